//! Our examples, as processes: `cargo build --examples` makes them.

use std::path::PathBuf;
use std::process::Command;

use crate::bench::Peer;

/// The executable of an example.
pub(crate) fn example(name: &str) -> Command {
    // cargo puts this program into `deps`, and the examples beside that.
    let own = std::env::current_exe().expect("a program knows where it is");
    let program: PathBuf = own.with_file_name("../examples").join(name);
    assert!(program.is_file(), "{} is missing: `cargo build --features cli --examples` makes it", program.display());
    Command::new(program)
}

/// An example that listens, and its address.
pub(crate) fn serve(command: &mut Command) -> (Peer, String) {
    let mut server = Peer::start(command);
    let address = server.expect("listening on tcp:").replace("listening on tcp:", "");
    (server, address)
}
