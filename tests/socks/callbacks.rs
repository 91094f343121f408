//! Protocols open tunnels and are asked for them.

use onionskin::layer::opening::Opening;
use onionskin::protocol::{EndReason, LayerView, Protocol, Result, Transport};
use onionskin::testing::{Cut, Dialogue};
use onionskin::tunnel::socks::{Socks4a, Socks5, SocksServer};
use onionskin::tunnel::{Error, ErrorKind, Grant, Question, Reason};

use crate::{credentials, target};

/// A client, and what it has heard.
struct Client {
    is_old: bool,
    log: Vec<String>,
    error: Option<ErrorKind>,
}

impl Client {
    fn new(is_old: bool) -> Self {
        Self { is_old, log: Vec::new(), error: None }
    }
}

impl Protocol for Client {
    fn connection_made(&mut self, transport: &mut Transport<'_>) -> Result {
        let target = target("a.example:443");
        match self.is_old {
            true => transport.open(Opening::of(Socks4a::new(target)))?,
            false => transport.open(Opening::of(Socks5::new(target).credentials(credentials())))?,
        };
        transport.write(b"to the target")
    }

    fn layer_ready(&mut self, _: &mut Transport<'_>, layer: &LayerView) -> Result {
        let answer = layer.facts::<Opening<Socks5>>().or_else(|| layer.facts::<Opening<Socks4a>>()).unwrap();
        self.log.push(format!("{} from {}", layer.name, answer.bound().unwrap()));
        Ok(())
    }

    fn data_received(&mut self, transport: &mut Transport<'_>) -> Result {
        self.log.push(String::from_utf8(transport.take_all()).unwrap());
        Ok(())
    }

    fn connection_ended(&mut self, reason: &EndReason) {
        self.error = Error::of(reason).map(|error| error.kind().clone());
    }
}

/// A proxy, which knows one user and one target, and is its target itself.
struct Proxy {
    server: SocksServer,
    knows: &'static str,
    log: Vec<String>,
}

impl Protocol for Proxy {
    fn connection_made(&mut self, transport: &mut Transport<'_>) -> Result {
        transport.splice(Opening::of(self.server.clone()))?;
        Ok(())
    }

    fn layer_asked(&mut self, transport: &mut Transport<'_>, layer: &LayerView) -> Result {
        match transport.question::<SocksServer>(layer.id).unwrap().clone() {
            Question::Login(login) if login == credentials() => {
                self.log.push("somebody logs in".to_owned());
                transport.grant::<SocksServer>(layer.id, Grant::default())?;
            }
            Question::Tunnel(request) if request.target == target(self.knows) => {
                self.log.push(format!("{:?} to {}", request.user, request.target));
                transport.grant::<SocksServer>(layer.id, Grant::bound_to(target("192.0.2.7:8080")))?;
            }
            _ => transport.refuse::<SocksServer>(layer.id, Reason::ConnectionRefused.into())?,
        }
        Ok(())
    }

    fn data_received(&mut self, transport: &mut Transport<'_>) -> Result {
        let said = transport.take_all();
        self.log.push(String::from_utf8(said).unwrap());
        transport.write(b"from the target")
    }
}

fn talk(cut: Cut, is_old: bool, server: SocksServer, knows: &'static str) -> Dialogue<Client, Proxy> {
    let mut dialogue = Dialogue::new(cut, Client::new(is_old), Proxy { server, knows, log: Vec::new() });
    dialogue.run();
    dialogue
}

#[test]
fn k15_protocols_are_asked_and_grant() {
    for cut in [Cut::Whole, Cut::Coalesced, Cut::Random(1)] {
        for (is_old, server, asked, name) in [
            (false, SocksServer::new(), &["None to tcp a.example:443"][..], "socks5"),
            (true, SocksServer::new(), &["None to tcp a.example:443"], "socks4a"),
            (
                false,
                SocksServer::new().authenticating(),
                &["somebody logs in", "Some(\"onion\") to tcp a.example:443"],
                "socks5",
            ),
        ] {
            let dialogue = talk(cut, is_old, server, "a.example:443");
            assert_eq!(dialogue.left().log[0], format!("{name} from tcp 192.0.2.7:8080"));
            assert_eq!(dialogue.left().log[1..].concat().matches("from the target").count(), 1);
            let (questions, said) = dialogue.right().log.split_at(asked.len());
            assert_eq!(
                (questions, said.concat()),
                (&asked.iter().map(|&line| line.to_owned()).collect::<Vec<_>>()[..], "to the target".to_owned())
            );
        }
    }
}

#[test]
fn k14_protocols_are_asked_and_refuse() {
    for cut in [Cut::Whole, Cut::Bytes, Cut::Random(2)] {
        for (is_old, code) in [(false, 5), (true, 91)] {
            let dialogue = talk(cut, is_old, SocksServer::new(), "b.example:443");
            assert!(dialogue.left().log.is_empty() && dialogue.right().log.is_empty());
            let refused = dialogue.left().error.as_ref();
            assert!(matches!(refused, Some(ErrorKind::Refused { code: found, .. }) if *found == code), "{refused:?}");
            assert!(dialogue.right_reason().is_some());
        }
    }
}
