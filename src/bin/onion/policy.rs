//! `onion policy`: what is wrong with a policy of streams, and what it means.
//!
//! | file | idea |
//! |---|---|
//! | `policy/show.rs` | a stream as a drawing |

mod show;

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use onionskin::printable::Printable;
use onionskin::streams::policy::{Document, Policy};

use crate::failure::Failure;

/// Check a policy of streams, or draw it
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Tell every mistake of a policy, with its path and line
    ///
    /// Also tells keys that have no effect, which are no mistakes. Exit status: 0 without mistakes, 1 with some.
    Check {
        /// The policy; - for standard input
        policy: PathBuf,
    },
    /// Draw each stream: its route, its layers, its trust, and its retries as a time line
    Show {
        /// The policy; - for standard input
        policy: PathBuf,
        /// The stream; all of them unless given
        name: Option<String>,
    },
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    match &options.command {
        Command::Check { policy } => check(policy),
        Command::Show { policy, name } => show(policy, name.as_deref()),
    }
}

fn check(file: &Path) -> Result<(), Failure> {
    let text = read(file)?;
    let mut output = io::stdout().lock();
    let (policy, told) = match Policy::read_leniently(&text) {
        Ok(read) => read,
        Err(error) => {
            for mistake in error.mistakes() {
                writeln!(output, "{mistake}").map_err(Failure::output)?;
            }
            return Err(mistakes(file, error.mistakes().len()));
        }
    };
    for mistake in &told {
        let mark = if mistake.kind().is_mistake() { "" } else { "note: " };
        writeln!(output, "{mark}{mistake}").map_err(Failure::output)?;
    }
    match told.iter().filter(|mistake| mistake.kind().is_mistake()).count() {
        0 => writeln!(output, "{}: no mistakes, {}", file.display(), counted(policy.streams.len(), "stream"))
            .map_err(Failure::output),
        count => Err(mistakes(file, count)),
    }
}

/// A policy without mistakes.
pub(crate) fn load(file: &Path) -> Result<Policy, Failure> {
    let text = read(file)?;
    let document = Document::parse(&text).and_then(|document| document.policy_in(folder(file)));
    document.map_err(|error| {
        let count = error.mistakes().len();
        Failure::new(format_args!(
            "{} has {}, `onion policy check` tells them; the first: {}",
            file.display(),
            counted(count, "mistake"),
            error.mistakes()[0]
        ))
    })
}

fn show(file: &Path, name: Option<&str>) -> Result<(), Failure> {
    let policy = load(file)?;
    let streams: Vec<_> = policy.streams.iter().filter(|(known, _)| name.is_none_or(|name| name == *known)).collect();
    if let (Some(name), true) = (name, streams.is_empty()) {
        let known: Vec<_> = policy.streams.keys().map(|name| Printable::new(name).to_string()).collect();
        return Err(Failure::usage(format_args!("no stream is called {name:?}: there are {}", known.join(", "))));
    }
    let drawings: Vec<_> = streams.into_iter().map(|(name, stream)| show::drawing(&policy, name, stream)).collect();
    io::stdout().lock().write_all(drawings.join("\n").as_bytes()).map_err(Failure::output)
}

fn read(file: &Path) -> Result<String, Failure> {
    if file != Path::new("-") {
        return std::fs::read_to_string(file)
            .map_err(|error| Failure::new(format_args!("cannot read {}: {error}", file.display())));
    }
    let mut text = String::new();
    io::stdin()
        .lock()
        .read_to_string(&mut text)
        .map_err(|error| Failure::new(error).at("cannot read standard input"))?;
    Ok(text)
}

fn folder(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new(""))
}

fn mistakes(file: &Path, count: usize) -> Failure {
    Failure::new(format_args!("{} has {}", file.display(), counted(count, "mistake")))
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
