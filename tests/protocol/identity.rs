//! Who a client is, for the protocol that serves it.

use onionskin::protocol::{LayerView, Protocol, Result, Transport};
use onionskin::testing::{Cut, Dialogue};
use onionskin::tls::{TlsClient, TlsFacts, TlsServer};

use crate::common::link::NAME;
use crate::common::{Authority, BOTH};

/// Says something as soon as it may: in TLS 1.3 that is in one flight with its certificate.
struct Hasty(TlsClient);

impl Protocol for Hasty {
    fn connection_made(&mut self, transport: &mut Transport<'_>) -> Result {
        transport.start_tls(self.0.to(NAME)?)?;
        Ok(())
    }

    fn layer_ready(&mut self, transport: &mut Transport<'_>, _: &LayerView) -> Result {
        transport.write(b"hello")
    }
}

/// Notes what it is told, in its order.
struct Doorkeeper {
    tls: TlsServer,
    told: Vec<String>,
}

impl Protocol for Doorkeeper {
    fn connection_made(&mut self, transport: &mut Transport<'_>) -> Result {
        transport.start_tls(self.tls.accept()?)?;
        Ok(())
    }

    fn layer_ready(&mut self, _: &mut Transport<'_>, layer: &LayerView) -> Result {
        let identity = layer.tls.as_ref().and_then(TlsFacts::peer_identity);
        self.told.push(identity.map_or_else(|| "nobody".to_owned(), |identity| format!("{:?}", identity.names)));
        Ok(())
    }

    fn data_received(&mut self, transport: &mut Transport<'_>) -> Result {
        self.told.extend(transport.take_all().iter().map(|&byte| char::from(byte).to_string()));
        Ok(())
    }
}

#[test]
fn a_protocol_is_told_who_its_client_is_before_the_first_byte() {
    let (ca, staff) = (Authority::new(), Authority::new());
    for &version in BOTH {
        let server = TlsServer::builder(ca.identity(NAME)).versions(&[version]);
        let server = server.ask_for_client_certificates(staff.roots()).build().unwrap();
        let client = TlsClient::builder(ca.roots()).versions(&[version]);
        let known = client.clone().identity(staff.identity("client.example")).build().unwrap();
        let unknown = client.build().unwrap();
        for cut in [Cut::Whole, Cut::Bytes, Cut::Coalesced, Cut::Random(1)] {
            for (client, who) in [(&known, r#"[Dns("client.example")]"#), (&unknown, "nobody")] {
                let doorkeeper = Doorkeeper { tls: server.clone(), told: Vec::new() };
                let mut dialogue = Dialogue::new(cut, Hasty(client.clone()), doorkeeper);
                dialogue.run();
                assert_eq!(dialogue.right().told, [who, "h", "e", "l", "l", "o"], "{version:?} {cut:?}");
            }
        }
    }
}
