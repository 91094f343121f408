//! OpenSSL's `s_server` and `s_client`.

use std::process::Command;

use futures::{AsyncReadExt, AsyncWriteExt};
use onionskin::endpoint::Listener;
use onionskin::runtime::Socket;
use onionskin::rustls::pki_types::CertificateDer;
use onionskin::rustls::pki_types::pem::PemObject;
use onionskin::stack::PeerAnswer;
use onionskin::tls::{ChannelBinding, Roots, TlsClient, TlsLayer, TlsServer, Version};
use onionskin::{Connection, connect};

use crate::Case;
use crate::bench::{Bench, Peer, run, runtime};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (version, name) in [(Version::Tls12, "1.2"), (Version::Tls13, "1.3")] {
        let mut add = |what: &str, run: fn(&Bench, Version)| {
            let case = Case::new(format!("openssl {what}, TLS {name}"), move |bench| run(bench, version));
            cases.push(case.needs("openssl", "version"));
        };
        add("s_server: handshake, talk, stop", client_talks_and_stops);
        add("s_server: certificate by SNI", client_asks_by_name);
        add("s_server: ALPN", client_offers_alpn);
        add("s_server: client certificate", client_shows_certificate);
        add("s_server: resumption", client_resumes);
        add("s_server: abrupt end", client_meets_abrupt_end);
        add("s_server: keying material", client_exports);
        add("s_server: keying material inside another layer", client_exports_inside);
        if version == Version::Tls12 {
            add("s_server: no keying material without extended master secret", client_exports_nothing);
        }
        add("s_client: handshake, talk, stop", server_talks_and_stops);
        add("s_client: certificate by SNI", server_chooses_by_name);
        add("s_client: ALPN", server_accepts_alpn);
        add("s_client: client certificate", server_demands_certificate);
        add("s_client: resumption", server_resumes);
        add("s_client: abrupt end", server_meets_abrupt_end);
        if version == Version::Tls13 {
            add("s_server: KeyUpdate from the peer", client_meets_key_update);
            add("s_client: KeyUpdate from the peer", server_meets_key_update);
        }
    }
    cases
}

fn flag(version: Version) -> &'static str {
    match version {
        Version::Tls12 => "-tls1_2",
        _ => "-tls1_3",
    }
}

/// `openssl s_server` on a port that it picked.
fn s_server(bench: &Bench, version: Version, arguments: &[&str]) -> (Peer, String) {
    let mut command = Command::new("openssl");
    command.args(["s_server", "-accept", "127.0.0.1:0", flag(version)]);
    command.arg("-cert").arg(bench.certificate("localhost")).arg("-key").arg(bench.key("localhost"));
    listening(command.args(arguments).current_dir(bench.directory()))
}

/// Starts it, and reads where it listens.
fn listening(command: &mut Command) -> (Peer, String) {
    let mut peer = Peer::start(command);
    let line = peer.expect("ACCEPT ");
    let address = line.split_whitespace().last().unwrap_or_default().to_owned();
    (peer, format!("tcp:{address}"))
}

/// `openssl s_client` for our server at `address`.
fn s_client(bench: &Bench, version: Version, address: &str, arguments: &[&str]) -> Peer {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", address, flag(version), "-verify_return_error", "-CAfile"]).arg(bench.ca());
    Peer::start(command.args(arguments).current_dir(bench.directory()))
}

fn client(bench: &Bench) -> TlsClient {
    TlsClient::new(bench.authority().roots()).expect("a client can be made")
}

/// Says a line to a server that turns it round.
async fn reversed(conn: &mut Connection<Socket>) {
    conn.write_line("onion").await.expect("a line can be sent");
    assert_eq!(conn.read_line().await.expect("a line comes back").as_deref(), Some(&b"noino"[..]));
}

fn client_talks_and_stops(bench: &Bench, version: Version) {
    let (_peer, address) = s_server(bench, version, &["-rev"]);
    run(async {
        let mut conn = connect(&address).await.expect("the server is reached");
        let facts = conn.start_tls(client(bench).to("localhost").unwrap()).await.expect("the handshake succeeds");
        assert_eq!(facts.version_name(), if version == Version::Tls12 { "TLSv1.2" } else { "TLSv1.3" });
        reversed(&mut conn).await;
        let stopped = conn.stop_tls().await.expect("openssl answers a close_notify");
        assert_eq!((stopped.answer, conn.depth()), (PeerAnswer::CloseNotify, 0));
    });
}

fn client_asks_by_name(bench: &Bench, version: Version) {
    let cert = bench.certificate("outer.example").display().to_string();
    let key = bench.key("outer.example").display().to_string();
    let (_peer, address) =
        s_server(bench, version, &["-rev", "-servername", "outer.example", "-cert2", &cert, "-key2", &key]);
    run(async {
        for name in ["outer.example", "localhost"] {
            let mut conn = connect(&address).await.expect("the server is reached");
            let facts = conn.start_tls(client(bench).to(name).unwrap()).await.expect("the name is verified");
            assert_eq!(facts.server_name.as_deref(), Some(name));
            reversed(&mut conn).await;
        }
    });
}

fn client_offers_alpn(bench: &Bench, version: Version) {
    let (_peer, address) = s_server(bench, version, &["-rev", "-alpn", "onion/2,onion/1"]);
    run(async {
        let client = TlsClient::builder(bench.authority().roots()).alpn(["onion/1", "onion/3"]).build().unwrap();
        let mut conn = connect(&address).await.expect("the server is reached");
        let facts = conn.start_tls(client.to("localhost").unwrap()).await.expect("the handshake succeeds");
        assert_eq!(facts.alpn.as_deref(), Some(&b"onion/1"[..]));
    });
}

fn client_shows_certificate(bench: &Bench, version: Version) {
    let ca = bench.ca().display().to_string();
    let (_peer, address) = s_server(bench, version, &["-rev", "-Verify", "2", "-verify_return_error", "-CAfile", &ca]);
    run(async {
        let builder = TlsClient::builder(bench.authority().roots());
        let known = builder.clone().identity(bench.authority().identity("client.example")).build().unwrap();
        let mut conn = connect(&address).await.expect("the server is reached");
        conn.start_tls(known.to("localhost").unwrap()).await.expect("the certificate is accepted");
        reversed(&mut conn).await;
        drop(conn); // s_server serves one after the other

        let unknown = builder.build().unwrap();
        let mut conn = connect(&address).await.expect("the server is reached");
        // In TLS 1.3 the server's refusal comes after our side of the handshake is done.
        let refused = match conn.start_tls(unknown.to("localhost").unwrap()).await {
            Err(error) => error,
            Ok(_) => conn.read_line().await.expect_err("without a certificate there is no talk"),
        };
        assert!(refused.is_refused(), "{refused}");
    });
}

fn client_resumes(bench: &Bench, version: Version) {
    let (_peer, address) = s_server(bench, version, &["-rev"]);
    let client = client(bench);
    run(async {
        for resumed in [false, true] {
            let mut conn = connect(&address).await.expect("the server is reached");
            let facts = conn.start_tls(client.to("localhost").unwrap()).await.expect("the handshake succeeds");
            assert_eq!(facts.resumed, resumed);
            // The tickets of TLS 1.3 come with the first answer at the latest.
            reversed(&mut conn).await;
        }
    });
}

/// What `s_server` says of its side, behind the handshake.
const EXPORTS: [&str; 4] = ["-keymatexport", "EXPERIMENTAL onion", "-keymatexportlen", "42"];

fn client_exports(bench: &Bench, version: Version) {
    let (peer, address) = s_server(bench, version, &EXPORTS);
    exports(bench, peer, &format!("{address}+tls:sni=localhost"), 1);
}

/// Through a relay that ends the outer layer and passes the inner one on.
fn client_exports_inside(bench: &Bench, version: Version) {
    let (peer, address) = s_server(bench, version, &EXPORTS);
    let (cert, key) = (bench.certificate("outer.example"), bench.key("outer.example"));
    let listen = format!("tcp:127.0.0.1:0+tls:cert={}:key={}", cert.display(), key.display());
    let mut relay = Peer::start(Command::new(env!("CARGO_BIN_EXE_onion")).args(["relay", &listen, &address]));
    let line = relay.expect("listening on ");
    let outer = line.split_whitespace().find(|word| word.starts_with("tcp:")).expect("it says where").to_owned();
    exports(bench, peer, &format!("{outer}+tls:sni=outer.example+tls:sni=localhost"), 2);
}

/// `onion connect` says the same bytes of the innermost layer as OpenSSL on the other side, and others of those around it.
fn exports(bench: &Bench, mut peer: Peer, endpoint: &str, depth: usize) {
    let mut onion = Command::new(env!("CARGO_BIN_EXE_onion"));
    onion.args(["connect", endpoint, "--raw", "--keymatexport", "EXPERIMENTAL onion", "--keymatexportlen", "42"]);
    let mut onion = Peer::start(onion.arg("--ca").arg(bench.ca()));
    let lines: Vec<_> = (0..depth).map(|_| onion.expect("EXPERIMENTAL onion: ")).collect();
    let material: Vec<_> = lines.iter().map(|line| line.rsplit(' ').next().unwrap_or_default().trim()).collect();
    let line = peer.expect("Keying material: ");
    let theirs = line.rsplit(' ').next().unwrap_or_default().trim();
    assert_eq!(theirs.len(), 84);
    assert_eq!(material.last(), Some(&theirs), "{lines:?}");
    assert_eq!(material.iter().filter(|ours| **ours == theirs).count(), 1, "{lines:?}");
}

/// Two connections of TLS 1.2 can be made to have the same keys where the peer has no extended master secret (RFC 7627).
fn client_exports_nothing(bench: &Bench, _: Version) {
    let without = bench.directory().join("without-extended-master-secret.cnf");
    let settings = "openssl_conf = top\n[top]\nssl_conf = ssl\n[ssl]\nsystem_default = all\n[all]\n\
                    Options = -ExtendedMasterSecret\n";
    std::fs::write(&without, settings).expect("a file can be written");
    for is_without in [true, false] {
        let mut command = Command::new("openssl");
        if is_without {
            command.env("OPENSSL_CONF", &without);
        }
        command.args(["s_server", "-accept", "127.0.0.1:0", "-tls1_2", "-rev"]);
        command.arg("-cert").arg(bench.certificate("localhost")).arg("-key").arg(bench.key("localhost"));
        let (_peer, address) = listening(&mut command);
        run(async {
            let mut conn = connect(&address).await.expect("the server is reached");
            let facts = conn.start_tls(client(bench).to("localhost").unwrap()).await.expect("the handshake succeeds");
            reversed(&mut conn).await;
            let derived = conn.with_layer(facts.layer, |tls: &mut TlsLayer| {
                (
                    tls.export_keying_material(&mut [0; 32], b"EXPERIMENTAL onion", None),
                    tls.channel_binding(ChannelBinding::Exporter).map(drop),
                    tls.channel_binding(ChannelBinding::ServerEndPoint).map(drop),
                )
            });
            let (material, binding, end_point) = derived.expect("the layer is there");
            for result in [material, binding] {
                let refused = result.err().map(|error| error.to_string());
                assert_eq!(refused.is_some(), is_without, "{refused:?}");
                assert!(refused.is_none_or(|why| why.contains("extended master secret (RFC 7627)")));
            }
            end_point.expect("that of the server is of its certificate, and no secret");
        });
    }
}

fn client_meets_abrupt_end(bench: &Bench, version: Version) {
    let (mut peer, address) = s_server(bench, version, &["-rev"]);
    run(async {
        let mut conn = connect(&address).await.expect("the server is reached");
        conn.start_tls(client(bench).to("localhost").unwrap()).await.expect("the handshake succeeds");
        reversed(&mut conn).await;
        peer.kill();
        let error = conn.read_line().await.expect_err("an abrupt end is no clean end");
        assert!(error.is_truncated(), "{error}");
    });
}

fn client_meets_key_update(bench: &Bench, version: Version) {
    let (mut peer, address) = s_server(bench, version, &[]);
    run(async {
        let mut conn = connect(&address).await.expect("the server is reached");
        conn.start_tls(client(bench).to("localhost").unwrap()).await.expect("the handshake succeeds");
        conn.write_line("before the key update").await.unwrap();
        peer.expect("before the key update");
        // K updates the server's keys and asks for ours. What s_server reads from its input together with a command
        // it drops, so the next line waits until it has answered something sent after the command.
        peer.say("K\n");
        conn.write_line("the command was read before this").await.unwrap();
        peer.expect("the command was read before this");
        peer.say("after the key update\n");
        assert_eq!(conn.read_line().await.unwrap().as_deref(), Some(&b"after the key update"[..]));
        conn.write_line("with our new keys").await.unwrap();
        peer.expect("with our new keys");
    });
}

/// Our server, and where it listens. It takes one peer after the other.
fn listener() -> (Listener, String) {
    run(async {
        let endpoint = "tcp:127.0.0.1:0".parse().unwrap();
        let listener = Listener::new(runtime(), &endpoint).await.expect("a free port is found");
        let address = listener.local_address().as_tcp().expect("it is TCP").to_string();
        (listener, address)
    })
}

fn server(bench: &Bench) -> TlsServer {
    TlsServer::new(bench.identity("localhost")).expect("a server can be made")
}

async fn accept(listener: &Listener) -> Connection<Socket> {
    listener.accept().await.expect("a peer comes").ready().await.expect("there is nothing to handshake")
}

fn server_talks_and_stops(bench: &Bench, version: Version) {
    let (listener, address) = listener();
    let mut peer = s_client(bench, version, &address, &["-verify_hostname", "localhost", "-quiet"]);
    run(async {
        let mut conn = accept(&listener).await;
        conn.start_tls(server(bench).accept().unwrap()).await.expect("the handshake succeeds");
        peer.say("hello from openssl\n");
        assert_eq!(conn.read_line().await.unwrap().as_deref(), Some(&b"hello from openssl"[..]));
        conn.write_line("hello from onionskin").await.unwrap();
        peer.expect("hello from onionskin");
        let stopped = conn.stop_tls().await.expect("openssl answers a close_notify");
        assert_eq!((stopped.answer, conn.depth()), (PeerAnswer::CloseNotify, 0));
        // It then closes the socket: a clean end in clear.
        assert_eq!(conn.read_line().await.expect("the end is clean"), None);
    });
}

fn server_chooses_by_name(bench: &Bench, version: Version) {
    let authority = bench.authority();
    let server = TlsServer::builder(authority.identity("localhost"))
        .name("outer.example", authority.identity("outer.example"))
        .build()
        .unwrap();
    let (listener, address) = listener();
    for name in ["outer.example", "localhost"] {
        let mut peer = s_client(bench, version, &address, &["-servername", name, "-verify_hostname", name, "-quiet"]);
        run(async {
            let mut conn = accept(&listener).await;
            let facts = conn.start_tls(server.accept().unwrap()).await.expect("the handshake succeeds");
            assert_eq!(facts.server_name.as_deref(), Some(name));
            conn.write_line("verified").await.unwrap();
            peer.expect("verified");
        });
    }
}

fn server_accepts_alpn(bench: &Bench, version: Version) {
    let server =
        TlsServer::builder(bench.authority().identity("localhost")).alpn(["onion/2", "onion/1"]).build().unwrap();
    let (listener, address) = listener();
    let mut peer = s_client(bench, version, &address, &["-alpn", "onion/1,onion/3"]);
    run(async {
        let mut conn = accept(&listener).await;
        let facts = conn.start_tls(server.accept().unwrap()).await.expect("the handshake succeeds");
        assert_eq!(facts.alpn.as_deref(), Some(&b"onion/1"[..]));
        peer.expect("ALPN protocol: onion/1");
    });
}

fn server_demands_certificate(bench: &Bench, version: Version) {
    let roots: Roots = bench.authority().roots();
    let server =
        TlsServer::builder(bench.authority().identity("localhost")).require_client_certificates(roots).build().unwrap();
    let (listener, address) = listener();
    let cert = bench.certificate("client.example").display().to_string();
    let key = bench.key("client.example").display().to_string();
    let mut peer = s_client(bench, version, &address, &["-cert", &cert, "-key", &key, "-quiet"]);
    run(async {
        let mut conn = accept(&listener).await;
        let facts = conn.start_tls(server.accept().unwrap()).await.expect("the certificate is accepted");
        let certificate = CertificateDer::from_pem_file(&cert).unwrap();
        assert_eq!(facts.peer_certificates.first(), Some(&certificate));
        conn.write_line("welcome").await.unwrap();
        peer.expect("welcome");
    });
    let _peer = s_client(bench, version, &address, &["-quiet"]);
    run(async {
        let mut conn = accept(&listener).await;
        let error = conn.start_tls(server.accept().unwrap()).await.expect_err("a certificate is required");
        assert!(error.is_certificate(), "{error}");
    });
}

fn server_resumes(bench: &Bench, version: Version) {
    let server = server(bench);
    let (listener, address) = listener();
    let session = bench.directory().join(format!("session{}", flag(version))).display().to_string();
    for (option, resumed) in [("-sess_out", false), ("-sess_in", true)] {
        // -ign_eof keeps it alive until the session has come and we end it.
        let mut peer = s_client(bench, version, &address, &[option, &session, "-ign_eof"]);
        run(async {
            let mut conn = accept(&listener).await;
            let facts = conn.start_tls(server.accept().unwrap()).await.expect("the handshake succeeds");
            assert_eq!(facts.resumed, resumed);
            conn.write_line("the tickets have left before this").await.unwrap();
            peer.expect("the tickets have left before this");
            conn.close().await.unwrap();
            let mut rest = Vec::new();
            conn.read_to_end(&mut rest).await.unwrap();
        });
        let (content, said) = peer.finish();
        assert!(content, "{said}");
    }
}

fn server_meets_abrupt_end(bench: &Bench, version: Version) {
    let (listener, address) = listener();
    let mut peer = s_client(bench, version, &address, &["-quiet"]);
    run(async {
        let mut conn = accept(&listener).await;
        conn.start_tls(server(bench).accept().unwrap()).await.expect("the handshake succeeds");
        peer.say("hello\n");
        conn.read_line().await.unwrap();
        peer.kill();
        let error = conn.read_line().await.expect_err("an abrupt end is no clean end");
        assert!(error.is_truncated() || error.reason().is_some_and(|reason| reason.io_error().is_some()), "{error}");
    });
}

fn server_meets_key_update(bench: &Bench, version: Version) {
    let (listener, address) = listener();
    let mut peer = s_client(bench, version, &address, &[]);
    run(async {
        let mut conn = accept(&listener).await;
        conn.start_tls(server(bench).accept().unwrap()).await.expect("the handshake succeeds");
        peer.say("before the key update\n");
        assert_eq!(conn.read_line().await.unwrap().as_deref(), Some(&b"before the key update"[..]));
        peer.say("K\n");
        peer.expect("KEYUPDATE");
        peer.say("after the key update\n");
        assert_eq!(conn.read_line().await.unwrap().as_deref(), Some(&b"after the key update"[..]));
        conn.write_line("with our new keys").await.unwrap();
        peer.expect("with our new keys");
        peer.close_input();
    });
}
