//! Ways to the wire.

use std::io;

use futures::future::join;
use onionskin::endpoint::{Connector, Endpoint, Listener};
#[cfg(unix)]
use onionskin::runtime::KeepAlive;

use crate::{Files, on_every_runtime, open, talk};

#[test]
fn a_listener_tells_where_it_is() {
    let files = Files::new("where");
    on_every_runtime(async |runtime| {
        let identity = files.identity("localhost");
        let mut texts = vec![format!("tcp:127.0.0.1:0+tls:{identity}"), format!("tcp:localhost:0+tls:{identity}")];
        if std::net::TcpListener::bind("[::1]:0").is_ok() {
            texts.push(format!("tcp:[::1]:0+tls:{identity}"));
        }
        if cfg!(unix) {
            texts.push(format!("unix:{}+tls:{identity}", files.path("where")));
        }
        for text in texts {
            let listener = Listener::new(runtime, &text.parse().unwrap()).await.unwrap();
            let endpoint = listener.endpoint();
            assert_eq!(endpoint.to_string().parse::<Endpoint>().unwrap(), *endpoint);
            let transport = endpoint.transport.to_string();
            assert_eq!(endpoint.to_string(), format!("{transport}+tls:{identity}"));
            match listener.local_address().as_tcp() {
                Some(address) => assert_eq!(transport, format!("tcp:{address}")),
                None => assert_eq!(transport, format!("unix:{}", files.path("where"))),
            }
            let client = format!("{transport}+tls:sni=localhost:{}", files.ca()).parse().unwrap();
            let connecting = async { Connector::new(runtime, &client).unwrap().connect().await };
            let accepting = async { listener.accept().await.unwrap().ready().await };
            let (client, server) = join(connecting, accepting).await;
            talk(&mut client.unwrap(), &mut server.unwrap()).await;
        }
    });
}

#[test]
fn without_a_header_to_wait_for_a_peer_is_who_it_is() {
    on_every_runtime(async |runtime| {
        let listener = Listener::new(runtime, &"tcp:127.0.0.1:0".parse().unwrap()).await.unwrap();
        let connector = Connector::new(runtime, listener.endpoint()).unwrap();
        let (client, incoming) = join(connector.connect(), listener.accept()).await;
        let (mut client, incoming) = (client.unwrap(), incoming.unwrap());
        assert_eq!(incoming.addresses().peer.as_ref(), Some(client.get_ref().local_address()));
        let incoming = incoming.identify().await.unwrap();
        assert_eq!(incoming.addresses().peer.as_ref(), Some(client.get_ref().local_address()));
        assert!(!listener.has_ended());
        talk(&mut client, &mut incoming.ready().await.unwrap()).await;
    });
}

#[cfg(unix)]
#[test]
fn the_system_asks_a_silent_peer_as_the_endpoint_says() {
    on_every_runtime(async |runtime| {
        let standard = Some(KeepAlive::default());
        let mine = Some(KeepAlive { idle: 7, interval: 3, count: 2 });
        for (keys, expected) in
            [("", standard), (":keepalive=7:keepalive-interval=3:keepalive-count=2", mine), (":keepalive=off", None)]
        {
            let listener = Listener::new(runtime, &format!("tcp:127.0.0.1:0{keys}").parse().unwrap()).await.unwrap();
            let client = format!("{}{keys}", listener.endpoint().transport).parse().unwrap();
            let connecting = async { Connector::new(runtime, &client).unwrap().connect().await };
            let accepting = async { listener.accept().await.unwrap().ready().await };
            let (client, server) = join(connecting, accepting).await;
            for conn in [client.unwrap(), server.unwrap()] {
                assert_eq!(conn.get_ref().keep_alive().unwrap(), expected, "{runtime:?} {keys}");
            }
        }
    });
}

#[cfg(target_os = "linux")]
#[test]
fn an_abstract_name() {
    let files = Files::new("abstract");
    let name = format!("unix:@onionskin-{}", std::process::id());
    let server = format!("{name}+tls:{}", files.identity("localhost"));
    on_every_runtime(async |runtime| {
        // Nothing is left of the socket of the runtime before.
        let error = Connector::new(runtime, &name.parse().unwrap()).unwrap().connect().await.unwrap_err();
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::ConnectionRefused);

        let listener = Listener::new(runtime, &name.parse().unwrap()).await.unwrap();
        assert_eq!(listener.endpoint().to_string(), name);
        let error = Listener::new(runtime, &name.parse().unwrap()).await.unwrap_err();
        assert!(error.to_string().starts_with(&format!("cannot listen at {name}")), "{error}");
        drop(listener);

        let (client, server) =
            open(runtime, &server, |address| format!("{address}+tls:sni=localhost:{}", files.ca())).await;
        let (mut client, mut server) = (client.unwrap(), server.unwrap());
        assert!(client.layers().to_string().starts_with(&name.replacen(':', " ", 1)), "{}", client.layers());
        talk(&mut client, &mut server).await;

        let long = format!("unix:@{}", "x".repeat(108)).parse().unwrap();
        let error = Connector::new(runtime, &long).unwrap().connect().await.unwrap_err();
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::InvalidInput);
    });
}

#[test]
fn sockets_that_cannot_be_had_are_named() {
    on_every_runtime(async |runtime| {
        let taken = Listener::new(runtime, &"tcp:127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = format!("tcp:{}", taken.local_address().as_tcp().unwrap());
        let endpoint: Endpoint = address.parse().unwrap();
        let error = Listener::new(runtime, &endpoint).await.unwrap_err();
        assert!(error.is_io() && error.to_string().starts_with(&format!("cannot listen at {address}")), "{error}");
        assert_eq!(error.to_string().matches("cannot listen").count(), 1, "{error}");
        drop(taken);
        let error = Connector::new(runtime, &endpoint).unwrap().connect().await.unwrap_err();
        assert!(error.is_io() && error.to_string().starts_with(&format!("cannot connect to {address}")), "{error}");
        assert!(error.connection_error().is_none());
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::ConnectionRefused);
    });
}
