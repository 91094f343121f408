//! A client of somebody else asks, our server answers.

use std::thread;

use onionskin::endpoint::Listener;
use onionskin::tls::TlsFacts;

use crate::Case;
use crate::bench::{Bench, run, runtime};
use crate::clients::{gnutls_cli, s_client};
use crate::servers::NAME;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for &protocol in OPENSSL {
        for version in ["1.2", "1.3"] {
            let name = format!("our server with openssl: {protocol}, TLS {version}");
            let run = move |bench: &Bench| {
                let facts = answer(bench, protocol, version, |bench, address| {
                    // It ends with its input, so it does not hear the answer.
                    s_client(bench, protocol, address, "hello\n").with("Verify return code: 0 (ok)");
                });
                assert_eq!(facts.version_name(), format!("TLSv{version}"));
            };
            cases.push(Case::new(name, run).uses("openssl"));
        }
    }
    for &protocol in GNUTLS {
        let name = format!("our server with gnutls-cli: {protocol}");
        let run = move |bench: &Bench| {
            answer(bench, protocol, "1.3", |bench, address| {
                let ended = gnutls_cli(bench, protocol, address, "hello\n");
                ended.with("Status: The certificate is trusted");
                ended.with("heard: hello");
            });
        };
        cases.push(Case::new(name, run).uses("gnutls-cli"));
    }
    cases
}

/// Our server takes one client that says hello inside TLS, says what it has heard, and closes.
fn answer(bench: &Bench, protocol: &str, version: &str, client: impl FnOnce(&Bench, &str)) -> TlsFacts {
    let (chain, key) = (bench.certificate(NAME), bench.key(NAME));
    let step = format!("starttls:{protocol}:cert={}:key={}:max={version}", chain.display(), key.display());
    let endpoint = format!("tcp:127.0.0.1:0+{step}").parse().expect("it is an endpoint");
    let listener = run(Listener::new(runtime(), &endpoint)).expect("a port is free");
    let address = listener.local_address().as_tcp().expect("it is TCP").to_string();
    let server = thread::spawn(move || {
        run(async move {
            use futures::io::AsyncWriteExt;
            let mut conn = listener.accept().await.unwrap().ready().await.unwrap();
            let facts = conn.layers().tls().last().cloned().expect("TLS is there");
            let line = conn.read_line().await.unwrap().expect("a line comes");
            assert_eq!(line, b"hello");
            // The client may be gone by now.
            let _ = conn.write_line("heard: hello").await;
            let _ = conn.close().await;
            while let Ok(Some(_)) = conn.read_line().await {}
            facts
        })
    });
    client(bench, &address);
    server.join().expect("the server was content")
}

const OPENSSL: &[&str] = &[
    "smtp",
    "lmtp",
    "imap",
    "pop3",
    "sieve",
    "nntp",
    "irc",
    "ftp",
    "ldap",
    "xmpp",
    "xmpp-server",
    "postgres",
    "mysql",
];

const GNUTLS: &[&str] = &["smtp", "lmtp", "imap", "pop3", "sieve", "nntp", "ftp", "ldap", "postgres"];
