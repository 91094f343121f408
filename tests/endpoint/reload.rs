//! The files of an endpoint, read again while it is in use.

use std::fs;

use futures::future::join;
use onionskin::Connection;
use onionskin::endpoint::{Connector, Listener, OpenError, Server};
use onionskin::protocol::{Addresses, Protocol, Result as Told, Transport};
use onionskin::runtime::{Runtime, Socket};

use crate::common::Authority;
use crate::{Files, on_every_runtime, talk};

impl Files {
    fn damage_key(&self) {
        // A good key, and not the one of the certificate.
        fs::copy(self.path("outer.example.key"), self.path("localhost.key")).unwrap();
    }
}

async fn listen(runtime: &'static dyn Runtime, files: &Files) -> Listener {
    let endpoint = format!("tcp:127.0.0.1:0+tls:{}", files.identity("localhost"));
    Listener::new(runtime, &endpoint.parse().unwrap()).await.unwrap()
}

fn connector(runtime: &'static dyn Runtime, files: &Files, listener: &Listener) -> Connector {
    let endpoint = format!("{}+tls:sni=localhost:{}", listener.endpoint().transport, files.ca());
    Connector::new(runtime, &endpoint.parse().unwrap()).unwrap()
}

type Both = (Result<Connection<Socket>, OpenError>, Result<Connection<Socket>, OpenError>);

async fn open(connector: &Connector, listener: &Listener) -> Both {
    join(connector.connect(), async { listener.accept().await.unwrap().ready().await }).await
}

async fn expect_talk(connector: &Connector, listener: &Listener) {
    let (client, server) = open(connector, listener).await;
    talk(&mut client.unwrap(), &mut server.unwrap()).await;
}

async fn expect_refusal(connector: &Connector, listener: &Listener) {
    let (client, server) = open(connector, listener).await;
    assert!(client.unwrap_err().connection_error().unwrap().is_certificate());
    assert!(server.unwrap_err().connection_error().unwrap().is_refused());
}

#[test]
fn both_sides_take_new_files_when_they_are_told_to() {
    on_every_runtime(async |runtime| {
        let files = Files::new("reload");
        let listener = listen(runtime, &files).await;
        let connector = connector(runtime, &files, &listener);
        let clone = connector.clone();
        let (client, server) = open(&connector, &listener).await;
        let (mut client, mut server) = (client.unwrap(), server.unwrap());

        files.renew();
        expect_talk(&connector, &listener).await;
        listener.reload().await.unwrap();
        expect_refusal(&connector, &listener).await;
        connector.reload().await.unwrap();
        expect_talk(&connector, &listener).await;
        expect_talk(&clone, &listener).await;
        // Those that were there before know nothing of it.
        talk(&mut client, &mut server).await;
    });
}

/// Connects, and reads what a server of TLS 1.3 sends behind its handshake. Whether a session was resumed.
async fn resumes(connector: &Connector, listener: &Listener) -> bool {
    let (client, server) = open(connector, listener).await;
    let (mut client, mut server) = (client.unwrap(), server.unwrap());
    talk(&mut client, &mut server).await;
    let resumed =
        |connection: &Connection<Socket>| connection.layers().iter().all(|layer| layer.tls.as_ref().unwrap().resumed);
    assert_eq!(resumed(&client), resumed(&server));
    resumed(&client)
}

#[test]
fn sessions_are_resumed_over_a_reload_of_files_that_are_the_same() {
    on_every_runtime(async |runtime| {
        for version in ["1.2", "1.3"] {
            let files = Files::new("reload-resumes");
            let (own, clients) = (files.identity("localhost"), files.path("clients.pem"));
            fs::write(&clients, files.authority.pem()).unwrap();
            let endpoint = format!("tcp:127.0.0.1:0+tls:{own}:client-ca={clients}:min={version}:max={version}");
            let listener = Listener::new(runtime, &endpoint.parse().unwrap()).await.unwrap();
            let own = files.identity("inner.example");
            let endpoint = format!("{}+tls:sni=localhost:{}:{own}", listener.endpoint().transport, files.ca());
            let connector = Connector::new(runtime, &endpoint.parse().unwrap()).unwrap();
            assert!(!resumes(&connector, &listener).await);
            for _ in 0..2 {
                listener.reload().await.unwrap();
                assert!(resumes(&connector, &listener).await, "{version}");
            }

            // Whom it lets in has changed, and the client with its certificate has to show it once more.
            let more = [files.authority.pem(), Authority::new().pem()].concat();
            fs::write(&clients, more).unwrap();
            listener.reload().await.unwrap();
            assert!(!resumes(&connector, &listener).await, "{version}");
            assert!(resumes(&connector, &listener).await, "{version}");
        }
    });
}

/// A key is exchanged while sessions live: first behind the old one, then in front of it, then alone.
#[test]
fn p5_a_reload_reads_the_keys_of_tickets_again() {
    on_every_runtime(async |runtime| {
        for version in ["1.2", "1.3"] {
            let files = Files::new("reload-ticket-keys");
            let (own, keys) = (files.identity("localhost"), files.path("tickets.keys"));
            let write = |which: &[u8]| {
                let lines: String = which.iter().map(|byte| format!("{byte:02x}").repeat(32) + "\n").collect();
                fs::write(&keys, lines).unwrap();
                // Whoever else can read them would be taken for the clients.
                #[cfg(unix)]
                fs::set_permissions(&keys, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
            };
            write(&[1]);
            let endpoint = format!("tcp:127.0.0.1:0+tls:{own}:ticket-keys={keys}:min={version}:max={version}");
            let listener = Listener::new(runtime, &endpoint.parse().unwrap()).await.unwrap();
            let endpoint = format!("{}+tls:sni=localhost:{}", listener.endpoint().transport, files.ca());
            let connector = Connector::new(runtime, &endpoint.parse().unwrap()).unwrap();
            assert!(!resumes(&connector, &listener).await);
            for which in [&[1, 2][..], &[2, 1]] {
                write(which);
                listener.reload().await.unwrap();
                assert!(resumes(&connector, &listener).await, "{version} {which:?}");
            }

            // A file that is wrong changes nothing.
            fs::write(&keys, "no key").unwrap();
            assert!(listener.reload().await.unwrap_err().to_string().contains("tickets.keys"));
            assert!(resumes(&connector, &listener).await, "{version}");

            // And a key that is there no longer opens nothing.
            write(&[3]);
            listener.reload().await.unwrap();
            assert!(!resumes(&connector, &listener).await, "{version}");
            assert!(resumes(&connector, &listener).await, "{version}");
        }
    });
}

#[test]
fn a_peer_keeps_the_files_of_the_time_when_it_was_accepted() {
    on_every_runtime(async |runtime| {
        let files = Files::new("reload-accepted");
        let listener = listen(runtime, &files).await;
        let connector = connector(runtime, &files, &listener);
        let accepting = async {
            let incoming = listener.accept().await.unwrap();
            files.renew();
            listener.reload().await.unwrap();
            incoming.ready().await
        };
        let (client, server) = join(connector.connect(), accepting).await;
        talk(&mut client.unwrap(), &mut server.unwrap()).await;
        expect_refusal(&connector, &listener).await;
    });
}

#[test]
fn what_is_wrong_with_one_step_changes_none() {
    on_every_runtime(async |runtime| {
        let files = Files::new("reload-wrong");
        let (outer, inner) = (files.identity("localhost"), files.identity("inner.example"));
        let endpoint = format!("tcp:127.0.0.1:0+tls:{outer}+tls:{inner}");
        let listener = Listener::new(runtime, &endpoint.parse().unwrap()).await.unwrap();
        // A second copy, so that what a client trusts does not change with the files of the server.
        fs::copy(files.path("ca.pem"), files.path("old-ca.pem")).unwrap();
        let ca = files.path("old-ca.pem");
        let transport = listener.endpoint().transport.to_string();
        let endpoint = format!("{transport}+tls:sni=localhost:ca={ca}+tls:sni=inner.example:ca={ca}");
        let connector = Connector::new(runtime, &endpoint.parse().unwrap()).unwrap();
        expect_talk(&connector, &listener).await;

        files.renew();
        let inner_key = fs::read(files.path("inner.example.key")).unwrap();
        fs::remove_file(files.path("inner.example.key")).unwrap();
        let error = listener.reload().await.unwrap_err();
        assert!(error.is_usage() && error.to_string().contains("inner.example.key"), "{error}");
        expect_talk(&connector, &listener).await;

        fs::write(files.path("inner.example.key"), inner_key).unwrap();
        files.damage_key();
        let error = listener.reload().await.unwrap_err();
        assert!(error.to_string().contains("does not belong to the certificate"), "{error}");
        expect_talk(&connector, &listener).await;

        fs::remove_file(&ca).unwrap();
        let error = connector.reload().await.unwrap_err();
        assert!(error.to_string().contains("old-ca.pem"), "{error}");
        expect_talk(&connector, &listener).await;

        files.renew();
        listener.reload().await.unwrap();
        expect_refusal(&connector, &listener).await;
    });
}

struct Silent;

impl Protocol for Silent {
    fn connection_made(&mut self, transport: &mut Transport<'_>) -> Told {
        transport.close();
        Ok(())
    }
}

#[test]
fn a_server_with_protocols_reloads_as_well() {
    on_every_runtime(async |runtime| {
        let files = Files::new("reload-server");
        let listener = listen(runtime, &files).await;
        let connector = connector(runtime, &files, &listener);
        let server = Server::new(listener, |_: &Addresses| Silent);
        connector.connect().await.unwrap();
        files.renew();
        server.reload().await.unwrap();
        assert!(connector.connect().await.unwrap_err().connection_error().unwrap().is_certificate());
        files.damage_key();
        server.reload().await.unwrap_err();
        connector.reload().await.unwrap();
        connector.connect().await.unwrap();
    });
}

/// A file that cannot be read until somebody writes it, like one on a file system that hangs.
#[cfg(unix)]
#[test]
fn a_file_that_hangs_holds_up_nobody_but_who_waits_for_it() {
    use std::process::Command;

    use futures::FutureExt;

    on_every_runtime(async |runtime| {
        let files = Files::new("reload-hangs");
        let listener = listen(runtime, &files).await;
        let connector = connector(runtime, &files, &listener);
        let server = Server::new(listen(runtime, &files).await, |_: &Addresses| Silent);
        let chain = files.path("localhost.pem");
        let good = fs::read(&chain).unwrap();
        fs::remove_file(&chain).unwrap();
        assert!(Command::new("mkfifo").arg(&chain).status().unwrap().success());

        let mut reloads = [listener.reload().boxed(), server.reload().boxed()];
        for reload in &mut reloads {
            assert!(reload.now_or_never().is_none(), "nobody has written the file");
        }
        expect_talk(&connector, &listener).await;
        connector.reload().await.unwrap();
        expect_talk(&connector, &listener).await;

        // Each of them reads it once, or both at once. Who still waits then finds a file, and so do the threads.
        let writer = std::thread::spawn(move || {
            fs::write(&chain, &good).unwrap();
            fs::remove_file(&chain).unwrap();
            fs::write(&chain, &good).unwrap();
        });
        writer.join().unwrap();
        drop(reloads);
        listener.reload().await.unwrap();
        expect_talk(&connector, &listener).await;
    });
}
