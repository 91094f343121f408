//! Endpoint strings, from both sides, over real sockets with every runtime.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod common;

use std::io;
use std::path::{Path, PathBuf};

use futures::future::join;
use onionskin::endpoint::{Connector, Endpoint, Listener, OpenError, OpenErrorKind};
use onionskin::runtime::{self, Runtime, Socket};
use onionskin::rustls::{CertificateError, Error::InvalidCertificate};
use onionskin::tls::{ConfigErrorKind, TlsFacts};
use onionskin::{Connection, connection};

use crate::common::Authority;

/// Certificates in files. The directory goes when this does.
struct Files(PathBuf);

impl Files {
    fn new(test: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("onionskin-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let authority = Authority::new();
        std::fs::write(directory.join("ca.pem"), authority.pem()).unwrap();
        for name in ["outer.example", "inner.example", "localhost"] {
            let (chain, key) = authority.pem_identity(name);
            std::fs::write(directory.join(format!("{name}.pem")), chain).unwrap();
            std::fs::write(directory.join(format!("{name}.key")), key).unwrap();
        }
        Self(directory)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    fn ca(&self) -> String {
        format!("ca={}", self.path("ca.pem"))
    }

    fn identity(&self, name: &str) -> String {
        format!("cert={}:key={}", self.path(&format!("{name}.pem")), self.path(&format!("{name}.key")))
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

type Both = (Result<Connection<Socket>, OpenError>, Result<Connection<Socket>, OpenError>);

/// Listens, connects to where that is, and lets both do their handshakes.
async fn open(runtime: &'static dyn Runtime, server: &str, client: impl Fn(&str) -> String) -> Both {
    let listener = Listener::new(runtime, &server.parse().unwrap()).await.unwrap();
    let address = listener.local_address();
    let address = match address.as_tcp() {
        Some(address) => format!("tcp:{address}"),
        None => server.split('+').next().unwrap().to_owned(),
    };
    let client: Endpoint = client(&address).parse().unwrap();
    let connecting = async { Connector::new(runtime, &client)?.connect().await };
    let accepting = async { listener.accept().await.unwrap().ready().await };
    join(connecting, accepting).await
}

fn on_every_runtime(test: impl AsyncFn(&'static dyn Runtime)) {
    for &runtime in runtime::all() {
        runtime::block_on(runtime, test(runtime));
    }
}

async fn talk(client: &mut Connection<Socket>, server: &mut Connection<Socket>) {
    client.write_line("hello").await.unwrap();
    assert_eq!(server.read_line().await.unwrap().as_deref(), Some(&b"hello"[..]));
    server.write_line("and back").await.unwrap();
    assert_eq!(client.read_line().await.unwrap().as_deref(), Some(&b"and back"[..]));
}

#[test]
fn two_layers_over_tcp_each_with_its_name() {
    let files = Files::new("two-layers");
    let server = format!(
        "tcp:127.0.0.1:0+tls:{}:max=1.2+tls:{}:alpn=onion",
        files.identity("outer.example"),
        files.identity("inner.example")
    );
    on_every_runtime(async |runtime| {
        let (client, server) = open(runtime, &server, |address| {
            format!("{address}+tls:sni=outer.example:{0}+tls:sni=inner.example:{0}:alpn=skin,onion", files.ca())
        })
        .await;
        let (mut client, mut server) = (client.unwrap(), server.unwrap());
        let layers = client.layers();
        let names: Vec<_> = layers.tls().map(|facts| facts.server_name.clone().unwrap()).collect();
        assert_eq!(names, ["outer.example", "inner.example"]);
        let versions: Vec<_> = layers.tls().map(TlsFacts::version_name).collect();
        assert_eq!(versions, ["TLSv1.2", "TLSv1.3"]);
        assert_eq!(server.layers().tls().last().unwrap().alpn.as_deref(), Some(&b"onion"[..]));
        talk(&mut client, &mut server).await;
    });
}

#[cfg(unix)]
#[test]
fn a_layer_over_a_unix_socket() {
    let files = Files::new("unix");
    let server = format!("unix:{}+tls:{}", files.path("socket"), files.identity("localhost"));
    on_every_runtime(async |runtime| {
        let (client, server) =
            open(runtime, &server, |address| format!("{address}+tls:sni=localhost:{}", files.ca())).await;
        let (mut client, mut server) = (client.unwrap(), server.unwrap());
        assert!(client.layers().to_string().starts_with(&format!("unix {}", files.path("socket"))));
        talk(&mut client, &mut server).await;
        assert!(!Path::new(&files.path("other")).exists());
    });
}

#[test]
fn the_host_is_verified_where_no_name_is_given() {
    let files = Files::new("host");
    let server = format!("tcp:localhost:0+tls:{}", files.identity("localhost"));
    on_every_runtime(async |runtime| {
        let host = |address: &str| format!("tcp:localhost:{}", address.rsplit(':').next().unwrap());
        let (client, server) = open(runtime, &server, |address| format!("{}+tls:{}", host(address), files.ca())).await;
        talk(&mut client.unwrap(), &mut server.unwrap()).await;
    });
    let server = format!("tcp:localhost:0+tls:{}", files.identity("outer.example"));
    on_every_runtime(async |runtime| {
        let host = |address: &str| format!("tcp:localhost:{}", address.rsplit(':').next().unwrap());
        let (client, server) = open(runtime, &server, |address| format!("{}+tls:{}", host(address), files.ca())).await;
        let error = client.unwrap_err();
        assert!(error.connection_error().unwrap().is_certificate(), "{error}");
        // What was asked for, and what the certificate is for, is there for programs too, through all conversions.
        let error = io::Error::from(error);
        let error = connection::Error::of(&error).unwrap().tls_error().unwrap();
        let another_name = matches!(error, InvalidCertificate(CertificateError::NotValidForNameContext { .. }));
        assert!(another_name, "{error}");
        let error = server.unwrap_err();
        assert!(error.connection_error().unwrap().is_refused(), "{error}");
    });
}

#[test]
fn a_server_can_demand_certificates() {
    let files = Files::new("client-ca");
    let server = format!("tcp:127.0.0.1:0+tls:{}:client-ca={}", files.identity("localhost"), files.path("ca.pem"));
    on_every_runtime(async |runtime| {
        let with =
            |address: &str| format!("{address}+tls:sni=localhost:{}:{}", files.ca(), files.identity("inner.example"));
        let (client, accepted) = open(runtime, &server, with).await;
        talk(&mut client.unwrap(), &mut accepted.unwrap()).await;

        let (_client, accepted) =
            open(runtime, &server, |address| format!("{address}+tls:insecure=yes:sni=localhost")).await;
        let error = accepted.unwrap_err();
        assert!(error.connection_error().unwrap().is_certificate(), "{error}");
    });
}

#[test]
fn what_cannot_be_meant_is_refused_before_a_socket_is_opened() {
    let files = Files::new("misused");
    let Some(runtime) = runtime::preferred() else { return };
    let client = |text: String| Connector::new(runtime, &text.parse().unwrap()).map(drop).unwrap_err();
    let server = |text: String| {
        runtime::block_on(runtime, Listener::new(runtime, &text.parse().unwrap())).map(drop).unwrap_err()
    };
    let identity = files.identity("localhost");
    let wrong_key = format!("cert={}:key={}", files.path("localhost.pem"), files.path("inner.example.key"));
    let ca = files.path("ca.pem");
    for (error, part) in [
        (client(format!("tcp:a:1+tls:client-ca={ca}")), "client-ca"),
        (client(format!("tcp:a:1+tls:insecure=yes:ca={ca}")), "exclude"),
        (client(format!("tcp:a:1+tls:ca={ca}:min=1.3:max=1.2")), "`min` is above `max`"),
        (client(format!("tcp:a:1+tls:ca={ca}:cert={ca}")), "key=PEM"),
        (client(format!("unix:/nowhere+tls:ca={ca}")), "sni=NAME"),
        (client(format!("tcp:a:1+tls:ca={}", files.path("missing.pem"))), "missing.pem"),
        (client(format!("tcp:a:1+tls:ca={}", files.path("localhost.key"))), "no certificate"),
        (server("tcp:127.0.0.1:0+tls".to_owned()), "`cert` and `key`"),
        (server(format!("tcp:127.0.0.1:0+tls:{identity}:sni=a")), "for clients"),
        (server(format!("tcp:127.0.0.1:0+tls:{wrong_key}")), "does not belong"),
    ] {
        assert!(error.is_usage() && error.to_string().contains(part), "{error} should tell of {part}");
    }
    let OpenErrorKind::Config(error) = server(format!("tcp:127.0.0.1:0+tls:{wrong_key}")).kind().clone() else {
        panic!()
    };
    assert_eq!(error.kind(), ConfigErrorKind::KeyMismatch);
}

#[test]
fn sockets_that_cannot_be_had_are_named() {
    on_every_runtime(async |runtime| {
        let taken = Listener::new(runtime, &"tcp:127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = format!("tcp:{}", taken.local_address().as_tcp().unwrap());
        let endpoint: Endpoint = address.parse().unwrap();
        let error = Listener::new(runtime, &endpoint).await.unwrap_err();
        assert!(error.is_io() && error.to_string().starts_with(&format!("cannot listen at {address}")), "{error}");
        drop(taken);
        let error = Connector::new(runtime, &endpoint).unwrap().connect().await.unwrap_err();
        assert!(error.is_io() && error.to_string().starts_with(&format!("cannot connect to {address}")), "{error}");
        assert!(error.connection_error().is_none());
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::ConnectionRefused);
    });
}
