//! What a stream says of MQTT.

use std::time::Duration;

use super::Template;

/// The part of a stream that is about MQTT.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mqtt {
    /// `mqtt_topic`: where to publish.
    pub topic: Option<Template>,
    /// `mqtt_subscribe`: what to receive.
    pub subscriptions: Vec<Subscription>,
    /// `mqtt_qos`: of what is published, and of subscriptions that do not say their own.
    pub qos: Qos,
    /// `mqtt_retain`: the broker keeps the last message.
    pub retain: bool,
    /// `mqtt_keep_alive`: how long nothing is sent before a ping; never unless set, as with 0.
    pub keep_alive: Option<Duration>,
    /// `mqtt_clean_start`: begin without what the broker remembers.
    pub clean_start: bool,
    /// `mqtt_will_topic` and its like: what the broker says when this client is lost.
    pub will: Option<Publication>,
    /// `mqtt_birth_topic` and its like: what is published first.
    pub birth: Option<Publication>,
    /// `mqtt_client_id`: made at random unless set.
    pub client_id: Option<Template>,
    /// `mqtt_user`
    pub user: Option<Template>,
    /// `mqtt_password`
    pub password: Option<Template>,
    /// `mqtt_version`: 3 for 3.1.1, as it is unless set, or 5.
    pub version: MqttVersion,
    /// `mqtt_over_ws`: in frames of WebSocket, to the path of `http_url`.
    pub over_ws: bool,
}

/// What is received: a filter, and the quality of service that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Subscription {
    /// The filter, for [`Place::Filter`](super::Place::Filter).
    pub filter: Template,
    /// That of `mqtt_qos` unless set.
    pub qos: Option<Qos>,
}

impl Subscription {
    /// To this filter, with the quality of service of the stream.
    pub fn new(filter: Template) -> Self {
        Self { filter, qos: None }
    }
}

/// A message that is known beforehand.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Publication {
    /// Where, for [`Place::Topic`](super::Place::Topic).
    pub topic: Template,
    /// What, for [`Place::Text`](super::Place::Text).
    pub message: Template,
    /// How surely.
    pub qos: Qos,
    /// Whether the broker keeps it.
    pub retain: bool,
}

impl Publication {
    /// This message in this place, once at most and not kept.
    pub fn new(topic: Template, message: Template) -> Self {
        Self { topic, message, qos: Qos::default(), retain: false }
    }
}

/// The quality of service of MQTT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Qos {
    /// 0
    #[default]
    AtMostOnce,
    /// 1
    AtLeastOnce,
    /// 2
    ExactlyOnce,
}

/// The version of MQTT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MqttVersion {
    /// 3.1.1
    #[default]
    V3,
    /// 5.0
    V5,
}
