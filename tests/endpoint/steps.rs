//! Layers that an endpoint asks for.

use std::io;
use std::path::Path;

use onionskin::connection;
use onionskin::endpoint::{Connector, Listener, OpenErrorKind};
use onionskin::runtime;
use onionskin::rustls::{CertificateError, Error::InvalidCertificate};
use onionskin::tls::{ConfigErrorKind, TlsFacts};

use crate::{Files, on_every_runtime, open, talk};

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
        (client(format!("stdio+tls:ca={ca}")), "sni=NAME"),
        (client("tcp:a:1+proxy-header:optional=yes".to_owned()), "`optional` is for servers"),
        (client("tcp:a:1+proxy-header:local=yes:from=1.2.3.4:5".to_owned()), "leave out `from` and `to`"),
        (client("tcp:a:1+proxy-header:from=1.2.3.4:5:to=[::1]:5".to_owned()), "both IPv4 or both IPv6"),
        (server("tcp:127.0.0.1:0+proxy-header:version=1".to_owned()), "for clients"),
        (server("tcp:127.0.0.1:0+proxy-header:from=1.2.3.4:5".to_owned()), "for clients"),
        (server("tcp:127.0.0.1:0:timeout=5".to_owned()), "`timeout` is for clients"),
        (server("tcp:127.0.0.1:0:timeout=none".to_owned()), "`timeout` is for clients"),
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
