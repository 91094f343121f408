//! What a policy says of one stream.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Http, Layers, Mqtt, Place, Queue, Template, TemplateError, Tls, Via, Ws};

/// A stream: where it leads to, what is spoken, and what becomes of it when that fails.
///
/// ```
/// use onionskin::streams::policy::{Http, Place, Protocol, StreamPolicy, Template, Tls};
///
/// let mut stream = StreamPolicy::to(Protocol::H2, "api.example", 443)?;
/// stream.tls = Tls::on();
/// stream.http = Http::new("GET", Template::parse("/devices/${serial}", Place::Url)?);
/// stream.values.insert("serial".to_owned(), None);
/// # Ok::<_, onionskin::streams::policy::TemplateError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamPolicy {
    /// `endpoint`: the host of a client, or where a server listens; `+path` and `+@name` for sockets of Unix.
    pub endpoint: Option<Template>,
    /// `port`
    pub port: u16,
    /// `protocol`
    pub protocol: Protocol,
    /// `server`: it listens.
    pub is_server: bool,
    /// `tls` and what belongs to it.
    pub tls: Tls,
    /// `via`: the proxies in between; those of the policy unless set.
    pub via: Option<Via>,
    /// `layers`: what is between the transport and the protocol, in steps of the endpoint grammar, below `tls`.
    pub layers: Option<Layers>,
    /// `retry`: the name of a table; a single attempt unless set.
    pub retry: Option<String>,
    /// `opportunistic`: not opened again after it was closed.
    pub is_opportunistic: bool,
    /// `nailed_up`: opened at once.
    pub is_nailed_up: bool,
    /// `metadata`: the named values of it, and the field of HTTP that each stands for, in lower case and without a colon.
    pub values: BTreeMap<String, Option<String>>,
    /// `use_auth`: the name of who asks.
    pub auth: Option<String>,
    /// What is said of HTTP, for `h1`, `h2`, `ws`, and for MQTT over `ws`.
    pub http: Http,
    /// What is said of WebSocket, for `ws`, and for MQTT over it.
    pub ws: Ws,
    /// What is said of MQTT.
    pub mqtt: Mqtt,
    /// What waits to be sent.
    pub queue: Queue,
    /// `timeout_ms`: how long what was asked for may take in all; for ever unless set.
    pub timeout: Option<Duration>,
    /// `connect_timeout_ms`: how long to try to reach the peer; 30 seconds unless set.
    pub connect_timeout: Option<Duration>,
    /// `idle_timeout_ms`: how long nothing may pass; for ever unless set.
    pub idle_timeout: Option<Duration>,
    /// `dscp`, or `attr_low_latency` and its like: how what is sent is marked.
    pub dscp: Option<u8>,
}

impl StreamPolicy {
    /// A client that speaks this protocol with this host, without TLS.
    ///
    /// # Errors
    ///
    /// When the host, a template, is none.
    pub fn to(protocol: Protocol, host: &str, port: u16) -> Result<Self, TemplateError> {
        let endpoint = Some(Template::parse(host, Place::Host)?);
        Ok(Self { endpoint, port, protocol, ..Self::default() })
    }

    /// The port, or the one that goes with the protocol where none is set.
    pub fn port_or_standard(&self, is_tls: bool) -> Option<u16> {
        if self.port > 0 {
            return Some(self.port);
        }
        match (self.protocol, is_tls) {
            (Protocol::Raw, _) => None,
            (Protocol::Mqtt, true) if !self.mqtt.over_ws => Some(8883),
            (Protocol::Mqtt, false) if !self.mqtt.over_ws => Some(1883),
            (_, true) => Some(443),
            (_, false) => Some(80),
        }
    }

    /// All templates of the stream, each with the key that it is from.
    pub fn templates(&self) -> impl Iterator<Item = (&'static str, &Template)> {
        let (http, mqtt) = (&self.http, &self.mqtt);
        let single = [
            ("endpoint", &self.endpoint),
            ("http_url", &http.url),
            ("mqtt_topic", &mqtt.topic),
            ("mqtt_client_id", &mqtt.client_id),
            ("mqtt_user", &mqtt.user),
            ("mqtt_password", &mqtt.password),
        ];
        let single = single.into_iter().filter_map(|(key, template)| Some((key, template.as_ref()?)));
        let headers = http.headers.iter().map(|header| ("metadata", &header.value));
        let filters = mqtt.subscriptions.iter().map(|subscription| ("mqtt_subscribe", &subscription.filter));
        let publications = [
            (&mqtt.will, ["mqtt_will_topic", "mqtt_will_message"]),
            (&mqtt.birth, ["mqtt_birth_topic", "mqtt_birth_message"]),
        ];
        let publications =
            publications.into_iter().filter_map(|(publication, keys)| Some((publication.as_ref()?, keys)));
        let publications = publications.flat_map(|(this, keys)| keys.into_iter().zip([&this.topic, &this.message]));
        single.chain(headers).chain(filters).chain(publications)
    }
}

/// What is spoken at the end of all layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// `raw`: bytes.
    Raw,
    /// `h1`: HTTP/1.1.
    #[default]
    H1,
    /// `h2`: HTTP/2.
    H2,
    /// `ws`: WebSocket.
    Ws,
    /// `mqtt`: MQTT.
    Mqtt,
}

impl Protocol {
    /// How a policy calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::H1 => "h1",
            Self::H2 => "h2",
            Self::Ws => "ws",
            Self::Mqtt => "mqtt",
        }
    }
}
