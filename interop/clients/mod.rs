//! Clients of others that know STARTTLS, and in [`tunnel`] those that know proxies, ready to be pointed at an address.
//!
//! Each function runs one program against `127.0.0.1:port`, with the bench's authority as its only trust anchor and a
//! time limit, and says how it ended. The certificate that it wants to see is one for [`NAME`](crate::servers::NAME).

mod chat;
mod curl;
mod database;
mod ftp;
mod ldap;
mod mail;
mod python;
mod tls;
pub(crate) mod tunnel;

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

pub(crate) use self::chat::go_sendxmpp;
pub(crate) use self::curl::curl;
pub(crate) use self::database::{Encryption, mariadb, psql, psql_command, psql_with, tsql};
pub(crate) use self::ftp::lftp;
pub(crate) use self::ldap::ldapsearch;
pub(crate) use self::mail::{exim, posttls_finger, sieve_connect, swaks};
pub(crate) use self::python::python;
pub(crate) use self::tls::{gnutls_cli, s_client};

use crate::servers::find;

/// How a client ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The status it exited with; none if it was killed, which is what happens at the end of its time.
    pub(crate) status: Option<i32>,
    /// Its output, with that for errors behind it.
    pub(crate) said: String,
}

impl Ended {
    pub(crate) fn is_content(&self) -> bool {
        self.status == Some(0)
    }

    /// What it said, if it was content and said `text`.
    #[track_caller]
    pub(crate) fn with(&self, text: &str) -> &str {
        // A file that was fetched is long, and the conversation stands behind it.
        let tail = self.said.char_indices().rev().nth(SHOWN).map_or(0, |(index, _)| index);
        let expected: String = text.chars().take(80).collect();
        assert!(
            self.is_content() && self.said.contains(text),
            "{expected:?} was expected; {:?}:\n{}",
            self.status,
            &self.said[tail..]
        );
        &self.said
    }
}

/// A client by its name, wherever it is, without the configuration of whoever runs this.
fn client(program: &str) -> Command {
    let mut command = Command::new(find(program).unwrap_or_else(|| panic!("{program} is missing")));
    command.env("HOME", "/nonexistent");
    command
}

/// The port of `127.0.0.1:port`.
fn port(address: &str) -> &str {
    address.strip_prefix("127.0.0.1:").unwrap_or_else(|| panic!("{address} is not 127.0.0.1:port"))
}

/// Runs a client to its end, with `input` to read; then its input ends.
fn run(command: &mut Command, input: &str) -> Ended {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).spawn();
    let mut child = child.unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let mut stdin = child.stdin.take().expect("it is piped");
    let input = input.to_owned();
    // It may end without reading all of it.
    thread::spawn(move || stdin.write_all(input.as_bytes()));
    let streams: [Box<dyn Read + Send>; 2] =
        [Box::new(child.stdout.take().expect("it is piped")), Box::new(child.stderr.take().expect("it is piped"))];
    let outputs = streams.map(|mut stream| {
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = stream.read_to_end(&mut bytes);
            let _ = sender.send(bytes);
        });
        receiver
    });
    // A client has ended when it has closed both of its outputs, or when its time is up.
    let mut said = Vec::new();
    let mut in_time = true;
    for output in &outputs {
        let part = output.recv_timeout(PATIENCE).or_else(|_| {
            in_time = false;
            let group = format!("-{}", child.id());
            let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
            output.recv()
        });
        said.extend(part.unwrap_or_default());
    }
    let status = child.wait().expect("a child can be waited for");
    let mut said = String::from_utf8_lossy(&said).into_owned();
    if !in_time {
        said.push_str(&format!("\n(killed after {PATIENCE:?})"));
    }
    Ended { status: status.code(), said }
}

/// Characters of what a client said, in the words of a case that failed.
const SHOWN: usize = 6000;
const PATIENCE: Duration = Duration::from_secs(20);
