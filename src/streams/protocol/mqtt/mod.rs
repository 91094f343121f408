//! MQTT 3.1.1: publications with an acknowledgement each, and what is subscribed to.
//!
//! ```text
//!      CONNECT ─▶ CONNACK ─▶ SUBSCRIBE ─▶ SUBACK ─▶ birth ─▶ PUBACK        the stream stands
//!      message ─▶ PUBLISH ─────────────────────▶ sent          QoS 0: it has left
//!                         ─▶ PUBACK ───────────▶ acknowledged  QoS 1
//!                         ─▶ PUBREC, PUBREL ─▶ PUBCOMP ─▶ acknowledged  QoS 2
//! ```
//!
//! What is kept is what the promise of an acknowledgement needs over one connection after the other:
//!
//! - **What is not acknowledged outlives the connection.** If the broker still has the session, it is sent again as the session wants
//!   it (DUP, or PUBREL); if not, it is published anew, but for what the broker had received already (PUBREC).
//! - **An identifier that was in flight when a connection broke is not used again** until all others were: there are brokers
//!   that take a new message under an old identifier for the old one, and drop it.
//! - **What arrives is acknowledged by the quality of service of its packet**, and only when there is room for it.

// | file | idea |
// |---|---|
// | `line.rs` | one connection: what is read, written and waited for |
// | `packets.rs` | what a policy says, as packets |
// | `wire.rs` | packets as bytes |

mod line;
mod packets;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;

use futures::future::BoxFuture;
use futures::io::{AsyncRead, AsyncWrite};

use self::line::Line;
use self::wire::Publish;
use super::super::mailbox::Outgoing;
use super::super::message::{Delivery, MessageId};
use super::super::policy::{MqttVersion, Protocol, Qos, StreamPolicy};
use super::super::{Error, ErrorKind};
use super::ws::{self, FramedBytes};
use super::{Attempt, Ending, Port, Speaker};

/// A stream of MQTT: the session, which outlives its connections.
#[derive(Default)]
pub(super) struct Mqtt(Session);

/// What is remembered from one connection to the next.
#[derive(Default)]
struct Session {
    /// What is published and not acknowledged, by its packet identifier.
    in_flight: BTreeMap<u16, InFlight>,
    /// What has arrived with QoS 2 and the broker may send again.
    received: BTreeSet<u16>,
    /// The identifier that was given last.
    last_id: u16,
    /// The name that is made up where the policy says none.
    made_up_name: Option<String>,
}

struct InFlight {
    outgoing: Outgoing,
    publish: Publish,
    /// Whether the broker has it, and only the last two packets of QoS 2 are missing.
    is_received: bool,
}

/// What is spoken over: the bytes of a connection, or those in the frames of a WebSocket.
trait Wire: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Wire for T {}

impl Speaker for Mqtt {
    fn speak<'s>(&'s mut self, attempt: &'s Attempt, port: &'s Port) -> BoxFuture<'s, Ending> {
        Box::pin(async move {
            match self.0.speak(attempt, port).await {
                Ok(ending) | Err(ending) => ending,
            }
        })
    }

    fn keeps(&self, id: MessageId) -> bool {
        self.0.in_flight.values().any(|kept| kept.outgoing.id == id)
    }
}

impl Session {
    async fn speak(&mut self, attempt: &Attempt, port: &Port) -> Result<Ending, Ending> {
        let policy = attempt.policy()?;
        // What was given up meanwhile is not sent again; what the broker has is brought to its end.
        self.in_flight.retain(|_, kept| kept.is_received || port.is_wanted(kept.outgoing.id));
        let connect = packets::connect(attempt, policy, || self.name(attempt))?;
        let subscribe = packets::filters(attempt, policy)?;
        let birth = policy.mqtt.birth.as_ref().map(|birth| packets::publication(attempt, "mqtt_birth_topic", birth));
        let birth = birth.transpose()?;
        let wire: Pin<Box<dyn Wire>> = if policy.mqtt.over_ws {
            Box::pin(FramedBytes::new(ws::open(attempt, port, Some(SUBPROTOCOL)).await?))
        } else {
            Box::pin(attempt.open(port).await?)
        };
        Ok(Line::new(wire, self, attempt, policy, port).run(&connect, subscribe, birth).await)
    }

    /// The name of this client, made up once.
    fn name(&mut self, attempt: &Attempt) -> String {
        let random = &attempt.shared.random;
        self.made_up_name.get_or_insert_with(|| format!("onion-{:08x}{:08x}", random.next(), random.next())).clone()
    }

    /// An identifier that nothing in flight has, and that was not used for as long as there are others.
    fn next_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            // Far fewer are in flight than there are.
            if !self.in_flight.contains_key(&self.last_id) {
                return self.last_id;
            }
        }
    }

    /// The broker has it, and says so in the way of this quality of service. One that is not in flight was acknowledged before: there are
    /// brokers that say it twice.
    fn acknowledged(&mut self, id: u16, by: Qos, port: &Port) -> Result<(), Error> {
        let Some(kept) = self.in_flight.get(&id) else { return Ok(()) };
        if kept.publish.qos != by || (by == Qos::ExactlyOnce && !kept.is_received) {
            return Err(Error::broken(Protocol::Mqtt, "an acknowledgement of another quality of service"));
        }
        if let Some(kept) = self.in_flight.remove(&id) {
            port.settle(kept.outgoing.id, Ok(Delivery::Acknowledged));
        }
        Ok(())
    }

    /// What is to be published anew, because the broker has forgotten the session: in the order in which it was sent.
    fn forgotten(&mut self, port: &Port) -> Vec<Outgoing> {
        self.received.clear();
        let mut kept: Vec<_> = std::mem::take(&mut self.in_flight).into_values().collect();
        kept.sort_unstable_by_key(|kept| kept.outgoing.id);
        let (received, lost): (Vec<_>, Vec<_>) = kept.into_iter().partition(|kept| kept.is_received);
        for kept in received {
            port.settle(kept.outgoing.id, Ok(Delivery::Acknowledged));
        }
        lost.into_iter().map(|kept| kept.outgoing).collect()
    }
}

/// What this version does not do of what a policy may ask for.
pub(super) fn check(policy: &StreamPolicy) -> Result<(), Error> {
    if policy.mqtt.version != MqttVersion::V3 {
        return Err(ErrorKind::Unsupported("MQTT 5 (mqtt_version)".to_owned()).into());
    }
    if policy.mqtt.over_ws { ws::check(policy) } else { Ok(()) }
}

/// What MQTT is called where a WebSocket begins (MQTT 3.1.1, section 6). There are brokers that answer another name and are silent.
const SUBPROTOCOL: &str = "mqtt";
