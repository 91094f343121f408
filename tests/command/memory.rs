//! What a process holds when a peak of connections is over.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use onionskin::Connection;
use onionskin::runtime::Socket;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::onion::{Directory, Server};
use crate::server::{ask, block_on, client, dial};

/// The allocator of the system would keep all of it: a few small allocations that live on hold the heap below them.
#[test]
fn a_peak_of_connections_is_given_back() {
    allow_open_files(CONNECTIONS + 500);
    let directory = Directory::new();
    let server = Server::self_signed(&directory);
    let tls = client(&directory);
    let open = async || {
        let mut conn = dial(&server).await;
        assert_eq!(ask(&mut conn, "STARTTLS").await, "OK STARTTLS 1");
        conn.start_tls(tls.to("localhost").unwrap()).await.unwrap();
        conn
    };
    // What is made once, and stays, is there with the first.
    block_on(open());
    let before = resident(&server);
    let connections: Vec<Connection<Socket>> = block_on(async {
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            connections.push(open().await);
        }
        connections
    });
    let peak = resident(&server);
    assert!(peak > 2 * before, "that was no peak: from {before} to {peak} KiB");
    drop(connections);

    let enough = before + (peak - before) / 2;
    let deadline = Instant::now() + PATIENCE;
    while resident(&server) > enough {
        assert!(Instant::now() < deadline, "{before} KiB before, {peak} at the peak, {} now", resident(&server));
        thread::sleep(Duration::from_millis(100));
    }
}

/// This process is the client of all of them. The server allows itself more when it starts.
fn allow_open_files(count: u64) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < count) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(count), maximum: limit.maximum }).unwrap();
    }
}

/// In KiB.
fn resident(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Enough that what the allocator keeps for its own convenience is less than half of what they need.
const CONNECTIONS: u64 = 2000;

/// The pages go back little by little, within ten seconds or so of when they were freed.
const PATIENCE: Duration = Duration::from_secs(60);
