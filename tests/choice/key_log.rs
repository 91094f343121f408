//! The secrets of TLS, which go to a file for whoever has asked.

use std::fs;
use std::path::{Path, PathBuf};

use onionskin::endpoint::{Endpoint, Step, TlsStep};
use onionskin::testing::{Cut, Pair};
use onionskin::tls::{TlsClient, TlsServer};

use crate::alone;
use crate::common::Authority;

#[test]
fn secrets_are_written_where_it_was_asked_for_and_nowhere_else() {
    let folder = Folder::new();
    let [file, chain, key, ca] = ["secrets", "chain.pem", "key.pem", "ca.pem"].map(|name| folder.0.join(name));
    let authority = Authority::new();
    let identity = authority.pem_identity("server.example");
    fs::write(&chain, identity.0).unwrap();
    fs::write(&key, identity.1).unwrap();
    fs::write(&ca, authority.pem()).unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let client = format!("unix:s+tls:sni=server.example:ca={}", text(&ca));
    let server = format!("unix:s+tls:cert={}:key={}", text(&chain), text(&key));
    alone("key_log::written", &[("SSLKEYLOGFILE", &text(&file)), ("CLIENT", &client), ("SERVER", &server)]);
}

#[test]
#[ignore = "is the other process, which the test above starts"]
fn written() {
    let variable = |name| std::env::var(name).unwrap();
    let (client, server, file) = (variable("CLIENT"), variable("SERVER"), PathBuf::from(variable("SSLKEYLOGFILE")));
    let lines = || fs::read_to_string(&file).map_or(0, |text| text.lines().count());
    let handshake = |keys: &str| {
        let (client, server) = (step(&format!("{client}{keys}")), step(&format!("{server}{keys}")));
        shake_hands(&client.client().unwrap(), &server.server().unwrap());
    };

    handshake("");
    assert_eq!(lines(), 0, "the variable alone does nothing");
    handshake(":keylog=yes");
    let both = lines();
    assert!(both > 0 && both % 2 == 0, "each side writes its secrets: {both}");

    let (client, server) = (step(&client), step(&server));
    let both_sides = |wanted| {
        let client = client.client_builder().unwrap().key_log(wanted).build().unwrap();
        let server = server.server_builder().unwrap().key_log(wanted).build().unwrap();
        shake_hands(&client, &server);
    };
    both_sides(false);
    assert_eq!(lines(), both);
    both_sides(true);
    assert_eq!(lines(), 2 * both);
}

fn step(endpoint: &str) -> TlsStep {
    let endpoint: Endpoint = endpoint.parse().unwrap();
    assert_eq!(endpoint.to_string().parse::<Endpoint>().unwrap(), endpoint);
    endpoint.steps.iter().find_map(Step::tls).unwrap().clone()
}

fn shake_hands(client: &TlsClient, server: &TlsServer) {
    let mut pair = Pair::new(Cut::Whole);
    pair.left.splice(client.to("server.example").unwrap());
    pair.right.splice(server.accept().unwrap());
    pair.run();
    assert!(pair.left.stack.lost().is_none(), "{:?}", pair.left.stack.lost());
}

/// Removed with all that is in it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("onionskin-choice-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
