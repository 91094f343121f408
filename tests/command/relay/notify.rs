//! What systemd is told, through a socket of ours.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Command;

use futures::io::AsyncWriteExt;

use super::{Files, HANGING, Layers, NOBODY, Relay, block_on, dial, greet, listen};
use crate::onion::{Directory, onion, run};

/// A relay that was started by somebody who listens at `name`.
fn started(name: &str, arguments: &[&str], more: &[(&str, &str)]) -> Relay {
    let mut command: Command = onion(["relay"].into_iter().chain(arguments.iter().copied()));
    command.env("NOTIFY_SOCKET", name).envs(more.iter().copied());
    Relay::started(command)
}

fn bound(path: &str) -> UnixDatagram {
    let socket = UnixDatagram::bind(path).unwrap();
    socket.set_read_timeout(Some(HANGING)).unwrap();
    socket
}

fn hear(socket: &UnixDatagram) -> Vec<String> {
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).expect("a word for systemd");
    String::from_utf8(buffer[..length].to_vec()).unwrap().lines().map(str::to_owned).collect()
}

fn monotonic(line: &str) -> u64 {
    line.strip_prefix("MONOTONIC_USEC=").unwrap().parse().unwrap()
}

#[test]
fn ready_reloading_and_stopping_are_told_in_their_order() {
    let files = Files::new();
    let path = files.directory.file("notify");
    let manager = bound(&path);
    let far = listen("tcp:127.0.0.1:0");
    let near = format!("tcp:127.0.0.1:0{}", files.server(Layers::Tls));
    let relay = started(&path, &[&near, &far.endpoint().transport.to_string()], &[]);
    assert_eq!(hear(&manager), ["READY=1", "STATUS=Relays that serve: 1"]);
    let mut times = Vec::new();
    for _ in 0..2 {
        relay.signal("HUP");
        let reloading = hear(&manager);
        assert_eq!(reloading[0], "RELOADING=1");
        times.push(monotonic(&reloading[1]));
        assert_eq!(hear(&manager)[0], "READY=1");
    }
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
    let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
    assert!(times[0] < times[1] && times[1] as f64 / 1e6 <= uptime + 1.0, "{times:?} at {uptime}");
    block_on(async {
        let mut client = dial(&format!("{}{}", relay.endpoint, files.client(Layers::Tls))).await.unwrap();
        let mut server = far.accept().await.unwrap().ready().await.unwrap();
        greet(&mut client, &mut server).await;
        relay.signal("TERM");
        // While the last connection goes on.
        assert_eq!(hear(&manager), ["STOPPING=1"]);
        greet(&mut client, &mut server).await;
        client.close().await.unwrap();
        server.close().await.unwrap();
    });
    assert_eq!(relay.finish().0, Some(0));
}

/// It is told that all is well with what there is: that the files are wrong is for the log.
#[test]
fn a_reload_that_finds_wrong_files_is_over_too() {
    let files = Files::new();
    let path = files.directory.file("notify");
    let manager = bound(&path);
    let mut relay = started(&path, &[&format!("tcp:127.0.0.1:0{}", files.server(Layers::Tls)), NOBODY], &[]);
    hear(&manager);
    std::fs::write(files.directory.file("key.pem"), "nonsense").unwrap();
    relay.signal("HUP");
    assert_eq!(hear(&manager)[0], "RELOADING=1");
    assert_eq!(hear(&manager)[0], "READY=1");
    relay.hears(&["keeps what it has"]);
}

/// With a file that nobody writes into, as on a file system that hangs: what has begun is not told to be over.
#[test]
fn a_reload_is_over_when_every_relay_has_read_everything() {
    let files = Files::new();
    let path = files.directory.file("notify");
    let manager = bound(&path);
    let slow = Files::new();
    let text = format!(
        "[relay.a]\nlisten = 'tcp:127.0.0.1:0{}'\nconnect = '{NOBODY}'\n[relay.b]\nlisten = 'tcp:127.0.0.1:0{}'\nconnect = '{NOBODY}'\n",
        files.server(Layers::Tls),
        slow.server(Layers::Tls),
    );
    let mut relay = started(&path, &["--config", &files.directory.write("relays.toml", text)], &[]);
    assert_eq!(hear(&manager)[1], "STATUS=Relays that serve: 2");
    let chain = slow.directory.file("chain.pem");
    let sound = std::fs::read(&chain).unwrap();
    std::fs::remove_file(&chain).unwrap();
    assert!(Command::new("mkfifo").arg(&chain).status().unwrap().success());
    relay.signal("HUP");
    assert_eq!(hear(&manager)[0], "RELOADING=1");
    // Three of the four have been read.
    for _ in 0..3 {
        let line = relay.hears(&["were read again"]);
        relay.seen.retain(|seen| *seen != line);
    }
    manager.set_nonblocking(true).unwrap();
    assert!(manager.recv(&mut [0; 64]).is_err(), "nothing more was told");
    manager.set_nonblocking(false).unwrap();
    std::fs::write(&chain, sound).unwrap();
    assert_eq!(hear(&manager)[0], "READY=1");
}

#[test]
fn an_abstract_name_is_as_good_as_a_path() {
    let name = format!("onion-notify-{}", std::process::id());
    let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    manager.set_read_timeout(Some(HANGING)).unwrap();
    let relay = started(&format!("@{name}"), &["tcp:127.0.0.1:0", NOBODY], &[]);
    assert_eq!(hear(&manager)[0], "READY=1");
    relay.signal("INT");
    assert_eq!(hear(&manager), ["STOPPING=1"]);
    assert_eq!(relay.finish().0, Some(0));
}

#[test]
fn the_watchdog_hears_that_the_process_lives() {
    let directory = Directory::new();
    let path = directory.file("notify");
    let manager = bound(&path);
    let _relay = started(&path, &["tcp:127.0.0.1:0", NOBODY], &[("WATCHDOG_USEC", "40000")]);
    assert_eq!(hear(&manager)[0], "READY=1");
    for _ in 0..3 {
        assert_eq!(hear(&manager), ["WATCHDOG=1"]);
    }
    // The dog of another process.
    let other = directory.file("other");
    let manager = bound(&other);
    let relay = started(&other, &["tcp:127.0.0.1:0", NOBODY], &[("WATCHDOG_USEC", "1"), ("WATCHDOG_PID", "1")]);
    assert_eq!(hear(&manager)[0], "READY=1");
    relay.signal("TERM");
    assert_eq!(hear(&manager), ["STOPPING=1"]);
}

#[test]
fn nobody_to_tell_is_no_reason_not_to_serve() {
    let directory = Directory::new();
    for name in [&*directory.file("missing"), "vsock:2:1234", "relative", "@", ""] {
        let mut relay = started(name, &["tcp:127.0.0.1:0", NOBODY], &[]);
        relay.signal("TERM");
        relay.hears(&["asked to end: 0 connections"]);
        assert_eq!(relay.finish().0, Some(0), "{name}");
    }
    // One that fails is never ready.
    let path = directory.file("notify");
    let manager = bound(&path);
    let mut command = onion(["relay", "tcp:192.0.2.1:1", NOBODY]);
    command.env("NOTIFY_SOCKET", &path);
    assert_eq!(crate::onion::finish(command.spawn().unwrap()).status, Some(1));
    manager.set_nonblocking(true).unwrap();
    assert!(manager.recv(&mut [0; 64]).is_err());
    run(["relay", "--check", "tcp:127.0.0.1:0", NOBODY], "").succeeded();
}
