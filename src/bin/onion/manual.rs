//! `onion man`: the pages of the manual, made of the same words as `--help`.
//!
//! What stands behind the options in the help is one text of several paragraphs. Those that begin with a word and a colon are
//! sections of a page (`Exit status: 0 when ...`), and lines that are indented stay the lines that they are.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use crate::failure::Failure;

/// Print a page of the manual, for man
///
/// Without COMMAND it is the page of onion itself, which names those of its commands.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    /// The command whose page it is to be
    #[arg(conflicts_with = "directory")]
    command: Option<String>,
    /// Write all the pages into this directory, which is made if it is not there
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
}

/// Prints or writes pages about `root`.
pub(crate) fn run(root: Command, options: &Options) -> Result<(), Failure> {
    // `help` needs no page, and has to be left out before the rest is put together.
    let mut root = root.disable_help_subcommand(true);
    root.build();
    match &options.directory {
        Some(directory) => {
            let failed = |error: io::Error| Failure::new(error).at(directory.display());
            fs::create_dir_all(directory).map_err(failed)?;
            for command in root.get_subcommands().chain([&root]) {
                let (name, text) = page(command);
                fs::write(directory.join(name), text).map_err(failed)?;
            }
            Ok(())
        }
        None => {
            let (_, text) = page(named(&root, options.command.as_deref())?);
            let mut output = io::stdout().lock();
            output.write_all(&text).and_then(|()| output.flush()).map_err(Failure::output)
        }
    }
}

fn named<'a>(root: &'a Command, name: Option<&str>) -> Result<&'a Command, Failure> {
    let Some(name) = name else { return Ok(root) };
    root.find_subcommand(name).ok_or_else(|| {
        let known: Vec<_> = root.get_subcommands().map(Command::get_name).collect();
        Failure::usage(format_args!("there is no command {name:?}: the known ones are {}", known.join(", ")))
    })
}

/// The name of its file, and the page.
fn page(command: &Command) -> (String, Vec<u8>) {
    let behind = command.get_after_long_help().or(command.get_after_help()).map(ToString::to_string);
    let rest = sections(&behind.unwrap_or_default());
    let version = format!("onion {}", env!("CARGO_PKG_VERSION"));
    let bare = command.clone().after_help(None).after_long_help(None).version(None);
    let page = Man::new(bare).manual("Onionskin").source(version);
    let mut text = Vec::new();
    let written = page.render(&mut text).and_then(|()| rest.to_writer(&mut text));
    written.expect("a vector takes everything");
    (page.get_filename(), text)
}

fn sections(text: &str) -> Roff {
    let mut page = Roff::new();
    for paragraph in text.split("\n\n").filter(|paragraph| !paragraph.is_empty()) {
        let body = match paragraph.split_once(':') {
            Some((title, body)) if is_title(title) => {
                page.control("SH", [title.to_uppercase().as_str()]);
                capitalized(body.trim_start_matches(' ').trim_start_matches('\n'))
            }
            _ => {
                page.control("PP", []);
                paragraph.to_owned()
            }
        };
        let mut filled = true;
        for line in body.lines() {
            let fill = !line.starts_with(' ');
            if fill != filled {
                page.control(if fill { "fi" } else { "nf" }, []);
                filled = fill;
            }
            page.text([roman(line)]);
        }
        if !filled {
            page.control("fi", []);
        }
    }
    page
}

fn capitalized(text: &str) -> String {
    let mut rest = text.chars();
    let first = rest.next();
    first.into_iter().flat_map(char::to_uppercase).chain(rest).collect()
}

/// One word or two, and no sentence.
fn is_title(text: &str) -> bool {
    text.len() < MAX_TITLE_LENGTH && text.chars().all(|c| c.is_alphabetic() || c == ' ')
}

const MAX_TITLE_LENGTH: usize = 16;

const EXAMPLES: &str = r"Examples:
  onion man relay | man -l -
  onion man --directory /usr/local/share/man/man1";
