//! SIGHUP: certificates, keys and authorities are read again.

use std::fs;
use std::process::Command;

use futures::future::join;
use onionskin::Connection;
use onionskin::endpoint::OpenError;
use onionskin::runtime::Socket;

use super::{Files, Layers, NOBODY, Path, block_on, dial, expect_reset, greet};
use crate::common::Authority;
use crate::onion::{onion, signal};

type Both = (Result<Connection<Socket>, OpenError>, Connection<Socket>);

/// A client that trusts the authority in this file.
async fn client(path: &Path, ca: &str) -> Both {
    let endpoint = format!("{}+tls:sni=localhost:ca={ca}", path.relay.endpoint);
    join(dial(&endpoint), async { path.far.accept().await.unwrap().ready().await.unwrap() }).await
}

#[track_caller]
fn is_unknown(ca: &str, path: &Path) {
    let endpoint = format!("{}+tls:sni=localhost:ca={ca}", path.relay.endpoint);
    let error = block_on(dial(&endpoint)).unwrap_err();
    assert!(error.connection_error().unwrap().is_certificate(), "{error}");
}

#[test]
fn new_clients_get_the_new_certificate_and_old_ones_go_on() {
    let files = Files::new();
    let ca = files.directory.file("ca.pem");
    let mut path = Path::new(&files, Layers::Tls, Layers::None, &[]);
    let (old, mut old_server) = block_on(client(&path, &ca));
    let mut old = old.unwrap();
    block_on(greet(&mut old, &mut old_server));

    let renewed = Authority::new();
    let new_ca = files.directory.write("new-ca.pem", renewed.pem());
    files.issue(&renewed);
    path.relay.signal("HUP");
    path.relay.hears(&["LISTEN side: certificates and keys were read again"]);
    is_unknown(&ca, &path);
    let (new, mut new_server) = block_on(client(&path, &new_ca));
    block_on(async {
        greet(&mut new.unwrap(), &mut new_server).await;
        greet(&mut old, &mut old_server).await;
        greet(&mut old_server, &mut old).await;
    });
}

#[test]
fn files_that_are_wrong_change_nothing() {
    let files = Files::new();
    let ca = files.directory.file("ca.pem");
    let mut path = Path::new(&files, Layers::Tls, Layers::None, &[]);
    let good = fs::read(files.directory.file("key.pem")).unwrap();
    let (_, another) = files.authority.pem_identity("localhost");
    let warning = "keeps what it has";
    type Damage<'a> = (&'a str, &'a dyn Fn());
    let damages: [Damage<'_>; 3] = [
        ("does not belong to the certificate", &|| drop(files.directory.write("key.pem", &another))),
        ("key.pem", &|| drop(files.directory.write("key.pem", "nothing of the kind"))),
        ("key.pem", &|| fs::remove_file(files.directory.file("key.pem")).unwrap()),
    ];
    for (count, (cause, damage)) in damages.into_iter().enumerate() {
        damage();
        path.relay.signal("HUP");
        // Each has a line of its own: what was heard before is forgotten.
        path.relay.seen.clear();
        let line = path.relay.hears(&["LISTEN side: ", warning]);
        assert!(line.contains(cause) && line.contains("ERROR"), "{count}: {line}");
        let (new, mut server) = block_on(client(&path, &ca));
        block_on(greet(&mut new.unwrap(), &mut server));
    }
    files.directory.write("key.pem", good);
    path.relay.signal("HUP");
    path.relay.hears(&["LISTEN side: certificates and keys were read again"]);
    let (new, mut server) = block_on(client(&path, &ca));
    block_on(greet(&mut new.unwrap(), &mut server));
}

#[test]
fn the_connect_side_reads_whom_to_trust_again() {
    let files = Files::new();
    let ca = files.directory.file("ca.pem");
    let mut path = Path::new(&files, Layers::None, Layers::Tls, &[]);
    let (mut old, mut old_server) = block_on(path.join());

    // The server is issued a certificate by somebody else, whom the relay does not know yet.
    let renewed = Authority::new();
    files.issue(&renewed);
    block_on(path.far.reload()).unwrap();
    expect_reset(&path.relay, || {
        let server = block_on(async { path.far.accept().await.unwrap().ready().await });
        assert!(server.unwrap_err().connection_error().unwrap().is_refused());
    });
    path.relay.hears(&["#2 ", "not joined, CONNECT side: layer #", "its issuer is none of the trust anchors"]);

    fs::write(&ca, renewed.pem()).unwrap();
    path.relay.signal("HUP");
    path.relay.hears(&["CONNECT side: certificates and keys were read again"]);
    block_on(async {
        let (mut client, mut server) = path.join().await;
        greet(&mut client, &mut server).await;
        greet(&mut old, &mut old_server).await;
    });

    fs::write(&ca, "").unwrap();
    path.relay.signal("HUP");
    let line = path.relay.hears(&["CONNECT side: ", "keeps what it has"]);
    assert!(line.contains("ca.pem"), "{line}");
    block_on(async {
        let (mut client, mut server) = path.join().await;
        greet(&mut client, &mut server).await;
    });
}

/// A certificate that cannot be read until somebody writes it, as on a file system that hangs.
#[test]
fn a_file_that_hangs_stops_nobody_and_hides_no_signal() {
    let files = Files::new();
    let (ca, chain) = (files.directory.file("ca.pem"), files.directory.file("chain.pem"));
    let mut path = Path::new(&files, Layers::Tls, Layers::None, &[]);
    let hangs = || {
        fs::remove_file(&chain).unwrap();
        assert!(Command::new("mkfifo").arg(&chain).status().unwrap().success());
    };
    let is_served = |path: &Path, ca: &str| {
        let (new, mut server) = block_on(client(path, ca));
        block_on(greet(&mut new.unwrap(), &mut server));
    };

    hangs();
    path.relay.signal("HUP");
    // The other side has no files, and does not wait.
    path.relay.hears(&["CONNECT side: certificates and keys were read again"]);
    is_served(&path, &ca);
    path.relay.signal("HUP");
    path.relay.hears(&["LISTEN side: its files are still being read"]);
    is_served(&path, &ca);

    // When the file system answers, the files are read twice: the second time they are others.
    let renewed = Authority::new();
    let new_ca = files.directory.write("new-ca.pem", renewed.pem());
    let (pem, key) = renewed.pem_identity("localhost");
    let fifo = fs::OpenOptions::new().write(true).open(&chain).unwrap();
    fs::remove_file(&chain).unwrap();
    files.directory.write("chain.pem", pem);
    files.directory.write("key.pem", key);
    drop(fifo);
    path.relay.hears(&["LISTEN side: ", "keeps what it has"]);
    path.relay.hears(&["LISTEN side: certificates and keys were read again"]);
    is_served(&path, &new_ca);

    hangs();
    path.relay.signal("HUP");
    path.relay.signal("TERM");
    let (status, log) = path.relay.finish();
    assert_eq!(status, Some(0), "{log:#?}");
}

/// Before it listens there is nothing to end gracefully.
#[test]
fn a_file_that_hangs_at_the_start_does_not_hide_a_signal_either() {
    let files = Files::new();
    let chain = files.directory.file("chain.pem");
    fs::remove_file(&chain).unwrap();
    assert!(Command::new("mkfifo").arg(&chain).status().unwrap().success());
    let listen = format!("tcp:127.0.0.1:0{}", files.server(Layers::Tls));
    let mut relay = onion(["relay", &listen, NOBODY]).spawn().unwrap();
    // It has opened the file when it can be opened for writing.
    let _held = fs::OpenOptions::new().write(true).open(&chain).unwrap();
    signal("TERM", relay.id());
    assert_eq!(relay.wait().unwrap().code(), None, "the signal has ended it");
}
