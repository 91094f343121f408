//! The provider of cryptography.

use std::sync::Arc;

use onionskin::rustls::crypto::CryptoProvider;
use onionskin::testing::{Cut, Pair};
use onionskin::tls::{TlsClient, TlsServer, default_provider};

use crate::alone;
use crate::common::Authority;
use crate::common::link::facts;

#[test]
fn the_one_that_the_process_has_installed_comes_first() {
    alone("provider::installed", &[]);
}

#[test]
#[ignore = "is the other process, which the test above starts"]
fn installed() {
    let built_in = default_provider().unwrap();
    let usual = suite(None);
    let mut other = (*built_in).clone();
    other.cipher_suites.retain(|suite| suite.tls13().is_some() && format!("{:?}", suite.suite()) != usual);
    other.cipher_suites.truncate(1);
    let expected = format!("{:?}", other.cipher_suites[0].suite());
    other.install_default().unwrap();

    assert_eq!(suite(None), expected, "what was installed is taken by whoever names none");
    assert_eq!(suite(Some(built_in)), usual, "who names one has that");
}

/// The cipher suite of a handshake between two sides with this provider, or with none that is named.
fn suite(provider: Option<Arc<CryptoProvider>>) -> String {
    let authority = Authority::new();
    let (mut client, mut server) =
        (TlsClient::builder(authority.roots()), TlsServer::builder(authority.identity("server.example")));
    if let Some(provider) = provider {
        client = client.provider(Arc::clone(&provider));
        server = server.provider(provider);
    }
    let mut pair = Pair::new(Cut::Whole);
    let layer = pair.left.splice(client.build().unwrap().to("server.example").unwrap());
    pair.right.splice(server.build().unwrap().accept().unwrap());
    pair.run();
    assert!(pair.left.stack.lost().is_none(), "{:?}", pair.left.stack.lost());
    format!("{:?}", facts(&pair.left, layer).cipher_suite.unwrap())
}
