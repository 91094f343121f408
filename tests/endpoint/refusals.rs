//! Peers that are turned away, and endpoints that are only looked at.

use futures::io::AsyncReadExt;
use onionskin::endpoint::{Connector, Endpoint, Listener};

use crate::{Files, on_every_runtime, talk};

#[cfg(unix)]
#[test]
fn a_peer_that_is_turned_away_is_reset_and_others_are_not() {
    on_every_runtime(async |runtime| {
        let listener = Listener::new(runtime, &"tcp:127.0.0.1:0".parse().unwrap()).await.unwrap();
        let connector = Connector::new(runtime, listener.endpoint()).unwrap();
        let mut unwanted = connector.connect().await.unwrap();
        listener.accept().await.unwrap().turn_away();
        let error = unwanted.read(&mut [0]).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
        let mut welcome = connector.connect().await.unwrap();
        let mut peer = listener.accept().await.unwrap().ready().await.unwrap();
        talk(&mut welcome, &mut peer).await;
        // One that is merely dropped sees an end, which is what turning away is not.
        let mut dropped = connector.connect().await.unwrap();
        drop(listener.accept().await.unwrap());
        assert_eq!(dropped.read(&mut [0]).await.unwrap(), 0);
    });
}

#[test]
fn a_check_finds_what_is_wrong_and_takes_no_address() {
    on_every_runtime(async |runtime| {
        let files = Files::new(&format!("check-{}", runtime.name()));
        let taken = Listener::new(runtime, &"tcp:127.0.0.1:0".parse().unwrap()).await.unwrap();
        let place = &taken.endpoint().transport;
        let endpoint: Endpoint = format!("{place}+tls:{}", files.identity("localhost")).parse().unwrap();
        Listener::check(&endpoint).unwrap();
        assert!(Listener::new(runtime, &endpoint).await.unwrap_err().is_io(), "somebody listens there");
        for wrong in [&*format!("{place}+tls"), "tcp:127.0.0.1:0:timeout=3", "tcp:127.0.0.1:0+proxy-header:version=1"] {
            let wrong: Endpoint = wrong.parse().unwrap();
            let (checked, listening) = (Listener::check(&wrong).unwrap_err(), Listener::new(runtime, &wrong).await);
            assert_eq!(checked.to_string(), listening.unwrap_err().to_string());
        }
        std::fs::remove_file(files.path("localhost.key")).unwrap();
        assert!(Listener::check(&endpoint).unwrap_err().to_string().contains("localhost.key"));
    });
}
