//! `onion completions` and `onion man`: what shells and `man` make of their output.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::onion::{Directory, run};

const COMMANDS: [&str; 12] =
    ["demo", "serve", "connect", "get", "probe", "relay", "proxy", "cert", "policy", "stream", "completions", "man"];

/// What `program` says when it gets `input`; `None` if there is no such program.
fn piped(program: &str, arguments: &[&str], input: &str) -> Option<String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut child) = command.spawn() else {
        eprintln!("skipped: there is no {program}");
        return None;
    };
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let (said, complaints) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success() && complaints.is_empty(), "{program}: {complaints}");
    Some(said)
}

#[test]
fn every_shell_gets_a_script_that_knows_commands_and_options() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = run(["completions", shell], "").succeeded().stdout;
        for known in COMMANDS.into_iter().chain(["max-connections", "self-signed"]) {
            assert!(script.contains(known), "{shell}: no {known}");
        }
    }
    let refused = run(["completions", "nosh"], "");
    assert_eq!(refused.status, Some(2));
    assert!(refused.stderr.contains("bash"), "{refused:?}");
}

#[test]
fn bash_completes_with_its_script() {
    let script = run(["completions", "bash"], "").succeeded().stdout;
    piped("bash", &["-n"], &script);
    let ask =
        "\nCOMP_WORDS=(onion relay --max-con) COMP_CWORD=2\n_onion onion --max-con relay\necho \"${COMPREPLY[@]}\"\n";
    if let Some(completed) = piped("bash", &["--norc", "-s"], &(script + ask)) {
        assert_eq!(completed, "--max-connections\n");
    }
}

#[test]
fn man_shows_every_page() {
    let directory = Directory::new();
    let pages = directory.file("man1");
    run(["man", "--directory", &pages], "").succeeded();
    let mut names: Vec<_> =
        fs::read_dir(&pages).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let mut expected: Vec<_> = COMMANDS.iter().map(|command| format!("onion-{command}.1")).collect();
    expected.push("onion.1".to_owned());
    expected.sort();
    assert_eq!(names, expected);
    for name in expected {
        let page = fs::read_to_string(format!("{pages}/{name}")).unwrap();
        let title = name.trim_end_matches(".1");
        for part in [&format!(".TH {title} 1"), ".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION", ".SH OPTIONS"] {
            assert!(page.contains(part), "{name}: no {part}");
        }
        assert_eq!(page, run(["man"].into_iter().chain(title.strip_prefix("onion-")), "").succeeded().stdout);
        // It complains of what it does not understand, and of lines that are too long to be filled.
        let Some(shown) = piped("groff", &["-man", "-ww", "-rLL=120n", "-Tutf8"], &page) else { continue };
        assert!(shown.contains(&format!("onion {}", env!("CARGO_PKG_VERSION"))), "{shown}");
    }
}

#[test]
fn a_page_has_the_sections_of_the_help() {
    let page = run(["man", "relay"], "").succeeded().stdout;
    for section in ["EXAMPLES", "CONNECTIONS", "SIGNALS", "\"EXIT STATUS\""] {
        assert!(page.contains(&format!(".SH {section}\n")), "{section}: {page}");
    }
    // A line of an example stays a line.
    let example = page.lines().position(|line| line.contains("onion relay stdio")).unwrap();
    assert!(page.lines().take(example).any(|line| line == ".nf"), "{page}");
    assert!(run(["man", "nothing"], "").failed(2).contains("the known ones are demo, serve"));
}
