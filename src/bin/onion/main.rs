//! The command `onion`: TLS that starts, nests and stops, to look at and to try.
//!
//! | file | idea |
//! |---|---|
//! | `demo.rs`, `drawing.rs`, `meter.rs` | `onion demo`: a client and a server in one process, and the picture of them |
//! | `serve.rs`, `session.rs` | `onion serve`: accepting connections, and answering the commands on one |
//! | `connect.rs`, `dialogue.rs`, `input.rs`, `answers.rs` | `onion connect`: standard input to the peer, and local commands |
//! | `get.rs` | `onion get`: what stands at a URL, through any route |
//! | `probe.rs`, `probe/` | `onion probe`: what an operator wants to know of a server, and four questions about its STARTTLS |
//! | `join.rs`, `join/` | two connections joined, how they ended, and how many there were |
//! | `attend.rs`, `notify.rs`, `room.rs`, `peers.rs` | what concerns all listeners of a process: its end, files to be read again, systemd, and how many connections there may be |
//! | `relay.rs`, `relay/` | `onion relay`: joining the connections to one endpoint with new ones to another |
//! | `proxy.rs`, `proxy/` | `onion proxy`: reaching others on behalf of clients |
//! | `protocol.rs` | the onion line protocol, as both sides see it |
//! | `open.rs`, `leave.rs` | from an endpoint to a connection, and how to leave one |
//! | `route.rs`, `json.rs` | the proxies on the way, to be named and to be told of; JSON for terminals |
//! | `credentials.rs`, `authority.rs` | certificates: from files, and made on the spot |
//! | `policy.rs`, `policy/` | `onion policy`: what is wrong with a policy of streams, and what it means |
//! | `stream.rs` | `onion stream`: one stream of a policy, from the terminal |
//! | `cert.rs` | `onion cert`: an authority and a certificate, as files |
//! | `completions.rs`, `manual.rs` | what shells and `man` want to know of the command |
//! | `silence.rs`, `waiting.rs` | how long connections may be silent, and what the end of standard input ends |
//! | `failure.rs`, `signals.rs`, `logging.rs` | what ends the process, and what it says |
//! | `key_log.rs` | the secrets of its connections, written down where somebody asked for that |
//!
//! Exit status: 0 for a clean end, 1 for a failure, 2 for a command line that makes no sense, from 3 on what `onion probe` has
//! found or `onion get` and `onion stream` were answered. Standard output is for what was asked for; everything said to people goes to standard error, a failure as one line.

#[cfg(not(any(feature = "async-std", feature = "smol", feature = "tokio")))]
compile_error!("the command `onion` needs a runtime: enable the feature `async-std`, `smol` or `tokio`");
#[cfg(not(any(feature = "aws-lc-rs", feature = "ring")))]
compile_error!("the command `onion` needs a provider of cryptography: enable the feature `aws-lc-rs` or `ring`");

mod answers;
mod attend;
mod authority;
mod cert;
mod completions;
mod connect;
mod credentials;
mod demo;
mod dialogue;
mod drawing;
mod failure;
mod get;
mod input;
mod join;
mod json;
mod key_log;
mod leave;
mod logging;
mod manual;
mod meter;
mod notify;
mod open;
mod peers;
mod policy;
mod probe;
mod protocol;
mod proxy;
mod relay;
mod room;
mod route;
mod serve;
mod session;
mod signals;
mod silence;
mod stream;
mod waiting;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use onionskin::runtime;

use self::failure::Failure;
use self::logging::Format;

/// glibc keeps what a peak of connections has left, because a few small allocations above it hold the whole heap.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// TLS that starts, nests and stops on a live connection
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Options),
    Serve(serve::Options),
    Connect(connect::Options),
    Get(get::Options),
    Probe(probe::Options),
    Relay(relay::Options),
    Proxy(proxy::Options),
    Cert(cert::Options),
    Policy(policy::Options),
    Stream(stream::Options),
    Completions(completions::Options),
    Man(manual::Options),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (format, shown) = match &arguments.command {
        Command::Relay(options) => (options.log_format, relay::LOG),
        Command::Proxy(options) => (options.log_format, proxy::LOG),
        Command::Serve(options) => (options.log_format, serve::shown(options.log_format)),
        _ => (Format::Text, QUIET),
    };
    logging::start(format, shown);
    match run(arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(format),
    }
}

fn run(command: Command) -> Result<(), Failure> {
    let runtime = runtime::preferred().expect("the command is built with a runtime");
    runtime::block_on(runtime, async {
        match command {
            Command::Demo(options) => demo::run(runtime, &options).await,
            Command::Serve(options) => serve::run(runtime, &options).await,
            Command::Connect(options) => connect::run(runtime, &options).await,
            Command::Get(options) => get::run(runtime, &options).await,
            Command::Probe(options) => probe::run(runtime, &options).await,
            Command::Relay(options) => relay::run(runtime, &options).await,
            Command::Proxy(options) => proxy::run(runtime, &options).await,
            Command::Cert(options) => cert::run(&options),
            Command::Policy(options) => policy::run(&options),
            Command::Stream(options) => stream::run(runtime, &options).await,
            Command::Completions(options) => completions::run(Arguments::command().name("onion"), &options),
            Command::Man(options) => manual::run(Arguments::command().name("onion"), &options),
        }
    })
}

/// What is logged unless `RUST_LOG` says otherwise, where failures are told without a log. That a step of an endpoint has
/// another name now is told in any case.
const QUIET: &str = "error,onionskin::endpoint::step=warn";
