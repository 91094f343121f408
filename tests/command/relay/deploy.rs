//! What is given to operators: the examples in `examples/deploy`, and that `docs/operating.md` leaves nothing out.

use std::fs;
use std::process::Command;

use super::{Files, NOBODY, Relay};
use crate::onion::{Directory, run};

fn text(path: &str) -> String {
    fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// The certificates are in `/etc/onion` there, and here where they are.
fn example(name: &str, files: &Files) -> String {
    text(&format!("examples/deploy/{name}")).replace("/etc/onion/", &files.directory.file(""))
}

#[test]
fn the_file_is_one_that_relays_can_be_made_of() {
    let files = Files::new();
    let file = files.directory.write("relays.toml", example("relays.toml", &files));
    let relays = text("examples/deploy/relays.toml").matches("\n[relay.").count();
    let said = run(["relay", "--check", "--config", &file], "").succeeded().stdout;
    assert_eq!(said, format!("nothing is wrong; relays: {relays}\n"));
}

/// As they are started by systemd, but for the certificates.
#[test]
fn the_units_start_what_they_should() {
    let files = Files::new();
    files.directory.write("relays.toml", example("relays.toml", &files));
    for unit in ["onion-relay.service", "onion-mail.service"] {
        let unit = example(unit, &files).replace("\\\n", " ");
        let mut starts = unit.lines().filter_map(|line| line.strip_prefix("ExecStart"));
        let commands: Vec<_> =
            starts.by_ref().map(|line| line.split_once("=/usr/local/bin/onion ").unwrap().1).collect();
        assert!(!commands.is_empty());
        // Without it, a client that reads slowly looks like a silent one.
        let families = unit.lines().find_map(|line| line.strip_prefix("RestrictAddressFamilies=")).unwrap();
        assert!(families.split(' ').any(|family| family == "AF_NETLINK"), "{families}");
        for command in commands {
            run(command.split_whitespace().chain(["--check"].into_iter().filter(|check| !command.contains(check))), "")
                .succeeded();
        }
    }
    assert!(example("onion-mail.service", &files).contains("systemd:name=mail+tls"));
    assert!(example("onion-mail.socket", &files).contains("\nFileDescriptorName=mail\n"));
}

#[test]
fn systemd_understands_the_units() {
    let units = ["onion-relay.service", "onion-mail.service", "onion-mail.socket"];
    // What it says of a unit among the others, whose text is changed before.
    let verify = |name: &str, change: fn(String) -> String| {
        let directory = Directory::new();
        for unit in units {
            let text = text(&format!("examples/deploy/{unit}"));
            let text = text.replace("/usr/local/bin/onion", env!("CARGO_BIN_EXE_onion"));
            directory.write(unit, if unit == name { change(text) } else { text });
        }
        let output =
            Command::new("systemd-analyze").args(["verify", "--man=no", &directory.file(name)]).output().ok()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // The units of the machine are none of ours.
        Some(said.lines().filter(|line| line.contains("onion-")).map(str::to_owned).collect::<Vec<_>>())
    };
    for unit in units {
        let Some(complaints) = verify(unit, |text| text) else {
            return eprintln!("skipped: there is no systemd-analyze");
        };
        assert!(complaints.is_empty(), "{complaints:#?}");
        let wrong =
            |text: String| text.replace("[Service]", "[Service]\nDog=1").replace("[Socket]", "[Socket]\nPort=1");
        assert!(!verify(unit, wrong).unwrap().is_empty(), "{unit}: it finds nothing");
    }
}

#[test]
fn the_page_has_every_option_and_every_metric() {
    let page = text("docs/operating.md");
    let script = run(["completions", "bash"], "").succeeded().stdout;
    let relay = script.split("onion__subcmd__relay)").nth(1).unwrap_or_else(|| panic!("{script}"));
    let options = relay.split("opts=\"").nth(1).unwrap().split('"').next().unwrap();
    let options = options.split_whitespace().filter(|option| option.starts_with("--"));
    let options: Vec<_> = options.filter(|option| !["--help", "--version"].contains(option)).collect();
    assert!(options.len() > 5, "{options:?}");
    for option in options {
        assert!(page.contains(&format!("| `{option}")), "no row for {option}");
    }
    let relay = Relay::start("tcp:127.0.0.1:0", NOBODY, &["--status", "0"]);
    let samples = super::status::scrape(&relay.place("status at tcp:"));
    for sample in samples.keys() {
        let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
        assert!(page.contains(&format!("| `{name}` |")), "no row for {name}");
        for label in labels.trim_end_matches('}').split(',').filter_map(|label| label.split_once('=')) {
            let word = label.1.trim_matches('"').replace('_', " ");
            let is_word = ["outcome", "class"].contains(&label.0);
            assert!(!is_word || page.contains(&format!("| `{word}` |")), "no row for {word}");
        }
    }
}
