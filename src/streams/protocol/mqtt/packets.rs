//! What a policy says, as packets.

use std::time::Duration;

use super::super::super::mailbox::Outgoing;
use super::super::super::policy::{DestinationError, Publication, Qos, StreamPolicy, Template};
use super::super::super::{Error, ErrorKind};
use super::super::Attempt;
use super::wire::{Connect, MAX_TEXT, Publish, is_topic};

/// The first packet: who we are, and what is said when we are lost.
pub(super) fn connect(
    attempt: &Attempt,
    policy: &StreamPolicy,
    made_up_name: impl FnOnce() -> String,
) -> Result<Connect, Error> {
    let mqtt = &policy.mqtt;
    let fill = |key, template: &Option<_>| template.as_ref().map(|it| text(attempt, key, it)).transpose();
    let will = mqtt.will.as_ref().map(|will| publication(attempt, "mqtt_will_topic", will)).transpose()?;
    if will.as_ref().is_some_and(|will| will.payload.len() > MAX_TEXT) {
        return Err(too_long(attempt, "mqtt_will_message"));
    }
    Ok(Connect {
        client_id: fill("mqtt_client_id", &mqtt.client_id)?.unwrap_or_else(made_up_name),
        clean_session: mqtt.clean_start,
        keep_alive: seconds(mqtt.keep_alive),
        will,
        user: fill("mqtt_user", &mqtt.user)?,
        password: fill("mqtt_password", &mqtt.password)?,
    })
}

/// What is subscribed to.
pub(super) fn filters(attempt: &Attempt, policy: &StreamPolicy) -> Result<Vec<(String, Qos)>, Error> {
    let filters = policy.mqtt.subscriptions.iter().map(|subscription| {
        let filter = text(attempt, "mqtt_subscribe", &subscription.filter)?;
        Ok((filter, subscription.qos.unwrap_or(policy.mqtt.qos)))
    });
    filters.collect()
}

/// A message of the policy itself.
pub(super) fn publication(attempt: &Attempt, key: &str, publication: &Publication) -> Result<Publish, Error> {
    let topic = text(attempt, key, &publication.topic)?;
    if !is_topic(&topic) {
        return Err(DestinationError::of_key(&attempt.name, key, "not a topic: empty, or with a wildcard").into());
    }
    Ok(Publish {
        topic,
        payload: attempt.fill(key, &publication.message)?.into(),
        qos: publication.qos,
        retain: publication.retain,
    })
}

/// A message of the program, to its own topic or to that of the policy.
pub(super) fn message(attempt: &Attempt, policy: &StreamPolicy, outgoing: &Outgoing) -> Result<Publish, Error> {
    let message = &outgoing.message;
    if !(message.is_first && message.is_last) {
        return Err(ErrorKind::Unsupported("a message of MQTT in pieces".to_owned()).into());
    }
    let topic = match (&message.topic, &policy.mqtt.topic) {
        (Some(topic), _) => topic.clone(),
        (None, Some(topic)) => attempt.fill_with(&outgoing.values, "mqtt_topic", topic)?,
        (None, None) => {
            let why = "nothing says where to publish: neither the policy nor the message";
            return Err(DestinationError::of_key(&attempt.name, "mqtt_topic", why).into());
        }
    };
    let publish = Publish { topic, payload: message.payload.clone(), qos: policy.mqtt.qos, retain: policy.mqtt.retain };
    if !publish.is_possible() {
        let what = "a topic with a wildcard, or of no length or too much, or a message of more than 256 MiB";
        return Err(ErrorKind::Unsupported(what.to_owned()).into());
    }
    Ok(publish)
}

/// Why the broker does not want us (MQTT 3.1.1, table 3.1).
pub(super) fn refusal(code: u8) -> String {
    let why = match code {
        1 => "unacceptable protocol version",
        2 => "identifier rejected",
        3 => "server unavailable",
        4 => "bad user name or password",
        5 => "not authorized",
        _ => "a code that there is not",
    };
    format!("{code}, {why}")
}

fn text(attempt: &Attempt, key: &str, template: &Template) -> Result<String, Error> {
    let text = attempt.fill(key, template)?;
    if text.len() > MAX_TEXT { Err(too_long(attempt, key)) } else { Ok(text) }
}

fn too_long(attempt: &Attempt, key: &str) -> Error {
    DestinationError::of_key(&attempt.name, key, "longer than the 65535 bytes that MQTT has for it").into()
}

fn seconds(time: Option<Duration>) -> u16 {
    time.map_or(0, |time| u16::try_from(time.as_secs()).unwrap_or(u16::MAX))
}
