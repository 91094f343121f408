//! Sessions of endpoints: resumed by whoever connects to an equal one again, and each layer by itself.

use futures::future::join;
use onionskin::Connection;
use onionskin::endpoint::{Connector, Endpoint, Listener};
use onionskin::runtime::Socket;

use crate::{Files, on_every_runtime, talk};

/// Which layers have resumed a session.
fn resumed(conn: &Connection<Socket>) -> Vec<bool> {
    conn.layers().tls().map(|facts| facts.resumed).collect()
}

/// Both layers have one name, one certificate and equal keys, so a ticket of the outer would do for the inner: the first time there is
/// one, when the inner begins.
#[test]
fn p5_equal_endpoints_resume_and_no_layer_takes_the_ticket_of_another() {
    on_every_runtime(async |runtime| {
        let files = Files::new("resumption");
        let tls = format!("+tls:{}", files.identity("localhost"));
        let listen: Endpoint = format!("tcp:127.0.0.1:0{tls}{tls}").parse().unwrap();
        let listener = Listener::new(runtime, &listen).await.unwrap();
        let tls = format!("+tls:sni=localhost:{}", files.ca());
        let near: Endpoint = format!("{}{tls}{tls}", listener.endpoint().transport).parse().unwrap();
        // A connector of its own each time.
        let connect = async |near: &Endpoint| {
            let connector = Connector::new(runtime, near).unwrap();
            let (client, server) =
                join(connector.connect(), async { listener.accept().await.unwrap().ready().await }).await;
            let (mut client, mut server) = (client.unwrap(), server.unwrap());
            talk(&mut client, &mut server).await;
            assert_eq!(resumed(&client), resumed(&server));
            (connector, resumed(&client))
        };
        assert_eq!(connect(&near).await.1, [false, false]);
        assert_eq!(connect(&near).await.1, [true, true]);
        // Another trust, another name: another way.
        let other: Endpoint = format!("{near}:alpn=onion").parse().unwrap();
        assert_eq!(connect(&other).await.1, [true, false]);
        let (connector, again) = connect(&near).await;
        assert_eq!(again, [true, true]);
        // A reload has everything made anew.
        connector.reload().await.unwrap();
        assert_eq!(connect(&near).await.1, [false, false]);
    });
}
