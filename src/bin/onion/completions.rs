//! `onion completions`: what a shell needs to complete a command line of ours.

use std::io::{self, Write};

use clap::{Args, Command};
use clap_complete::Shell;

use crate::failure::Failure;

/// Print what a shell needs to complete the commands and options of onion
#[derive(Debug, Args)]
#[command(after_help = WHERE)]
pub(crate) struct Options {
    /// Which shell
    shell: Shell,
}

/// Prints the script for `command`.
pub(crate) fn run(mut command: Command, options: &Options) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut command, "onion", &mut script);
    let mut output = io::stdout().lock();
    output.write_all(&script).and_then(|()| output.flush()).map_err(Failure::output)
}

const WHERE: &str = r"Where shells look for it:
  onion completions bash > ~/.local/share/bash-completion/completions/onion
  onion completions zsh  > ~/.zfunc/_onion      # with `fpath+=~/.zfunc` before compinit in ~/.zshrc
  onion completions fish > ~/.config/fish/completions/onion.fish";
