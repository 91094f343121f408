//! The keys of a stream.

use std::fmt;
use std::str::FromStr;

use super::super::document::Value;
use super::super::template::is_name;
use super::super::{
    Header, MqttVersion, Multipart, Place, Protocol, Publication, Qos, StreamPolicy, Template, Via, WhenFull,
};
use super::named::seconds;
use super::schema;
use super::{HTTP, Key, Kind, MQTT, Spoken, WEB, WS, WS_IN_ANY};
use crate::tls::Version;

/// A row of the table of a stream.
type Row = Key<StreamKeys>;

/// A stream while its keys are read: what several keys say together.
#[derive(Default)]
pub(super) struct StreamKeys {
    pub(super) stream: StreamPolicy,
    pub(super) will: PublicationKeys,
    pub(super) birth: PublicationKeys,
    pub(super) auth_header: Option<String>,
    pub(super) auth_preamble: String,
    /// The fields of HTTP that named values stand for beside those of `metadata`.
    pub(super) device_headers: Vec<(String, &'static str)>,
    pub(super) type_of_service: u8,
}

#[derive(Default)]
pub(super) struct PublicationKeys {
    pub(super) topic: Option<Template>,
    pub(super) message: Option<Template>,
    pub(super) qos: Qos,
    pub(super) retain: bool,
}

impl StreamKeys {
    /// The stream that they say.
    pub(super) fn finish(self) -> StreamPolicy {
        let mut stream = self.stream;
        stream.mqtt.will = self.will.finish();
        stream.mqtt.birth = self.birth.finish();
        let mut headers = Vec::new();
        for (name, field) in &stream.values {
            let Some((field, value)) = field.as_ref().zip(Template::value(name, Place::Header).ok()) else { continue };
            headers.push(Header::new(field, value));
        }
        for (field, value) in self.device_headers {
            stream.values.entry(value.to_owned()).or_insert(None);
            headers.extend(Template::value(value, Place::Header).ok().map(|value| Header::new(&field, value)));
        }
        if let Some(field) = self.auth_header {
            stream.values.entry(AUTH_VALUE.to_owned()).or_insert(None);
            let value = format!("{}${{{AUTH_VALUE}}}", self.auth_preamble.replace("${", "$${"));
            headers
                .extend(Template::parse(&value, Place::Header).ok().map(|value| Header::new(&field, value).needed()));
        }
        stream.http.headers = headers;
        if stream.dscp.is_none() && self.type_of_service > 0 {
            stream.dscp = Some(self.type_of_service >> 2);
        }
        stream
    }
}

impl PublicationKeys {
    fn finish(self) -> Option<Publication> {
        let mut publication =
            Publication::new(self.topic?, self.message.or_else(|| Template::literal("", Place::Text).ok())?);
        (publication.qos, publication.retain) = (self.qos, self.retain);
        Some(publication)
    }
}

pub(super) const STREAM: &[Row] = &[
    // Where to.
    Row::new(
        "endpoint",
        Kind::Template { place: Place::Host, set: |keys, text| keys.stream.endpoint = Some(text) },
        "",
        "Client: a name, an IP address, `+PATH` or `+@NAME` for a socket of Unix, or a URL, which also says port, path and TLS. Server: the address to listen on.",
    ),
    Row::new(
        "port",
        number(65_535, "", |keys, port| keys.stream.port = u16::try_from(port).unwrap_or_default()),
        "that of the protocol",
        "The port of TCP.",
    ),
    Row::new(
        "protocol",
        Kind::Choice { words: PROTOCOL_NAMES, set: |keys, index| keys.stream.protocol = PROTOCOLS[index] },
        "h1",
        "What is spoken at the end of all layers.",
    ),
    Row::new("server", Kind::Flag(|keys, on| keys.stream.is_server = on), "false", "It listens, and each connection that it accepts is a stream.")
        .spoken(&[Spoken::Raw, Spoken::H1, Spoken::H2, Spoken::Ws]),
    Row::new(
        "via",
        Kind::Text { expected: VIA, set: |keys, text| parsed(text).map(|via| keys.stream.via = Some(via)) },
        "that of the policy",
        "The proxies on the way, in the words of endpoint strings, with the last tunnel's target left out: `tcp:proxy.example:1080+socks5`.",
    )
    .client(),
    Row::new(
        "via-socks5",
        Kind::Text { expected: SOCKS, set: |keys, text| Via::socks5(text).map(|via| keys.stream.via = Some(via)).map_err(|error| error.to_string()) },
        "",
        "The short form of `via` for one proxy of SOCKS5.",
    )
    .client(),
    Row::new(
        "layers",
        Kind::Text { expected: "steps of an endpoint string, as `starttls:smtp+tls`", set: |keys, text| parsed(text).map(|layers| keys.stream.layers = Some(layers)) },
        "",
        "What is between the transport and the protocol, from the wire inwards, below the TLS of `tls`.",
    ),
    Row::new("attr_low_latency", Kind::Flag(|keys, on| mark(keys, 0x10, on)), "false", "Marks packets for low delay (the bits of RFC 1349)."),
    Row::new("attr_high_throughput", Kind::Flag(|keys, on| mark(keys, 0x08, on)), "false", "Marks packets for high throughput."),
    Row::new("attr_high_reliability", Kind::Flag(|keys, on| mark(keys, 0x04, on)), "false", "Marks packets for high reliability."),
    Row::new("attr_low_cost", Kind::Without("that bit means congestion now (RFC 3168)"), "", "A bit that marked packets for low cost."),
    Row::new(
        "dscp",
        number(63, "", |keys, mark| keys.stream.dscp = u8::try_from(mark).ok()),
        "0",
        "How packets are marked (RFC 2474).",
    ),
    // TLS.
    Row::new("tls", Kind::Flag(|keys, on| keys.stream.tls.is_on = on), "false", "Starts TLS on top of all `layers`."),
    Row::new(
        "tls_trust_store",
        Kind::Name { what: "trust store", set: |keys, name| keys.stream.tls.trust_store = Some(name) },
        "whom the system trusts",
        "Whom to trust.",
    )
    .client()
    .needs("tls"),
    Row::new(
        "client_cert",
        Kind::Own {
            expected: "the name of a client certificate",
            schema: || Value::object([("type", Value::list([Value::text("string"), Value::text("integer")]))]),
            read: |reading, node, path, keys| {
                keys.stream.tls.client_certificate = match &node.value {
                    // The index of libwebsockets is the name of one that the program brings.
                    Value::Text(name) | Value::Number(name) => Some(name.clone()),
                    _ => return reading.wrong_type(node, path, "the name of a client certificate"),
                };
            },
        },
        "",
        "Who we are. A number is the name of one that the program brings, as in libwebsockets.",
    )
    .client()
    .needs("tls"),
    Row::new(
        "server_cert",
        Kind::Names { what: "certificate", set: |keys, names| keys.stream.tls.server_certificate = names },
        "",
        "The certificate, or the chain with the own one first.",
    )
    .server()
    .needs("tls"),
    Row::new("server_key", Kind::Name { what: "certificate", set: |keys, name| keys.stream.tls.server_key = Some(name) }, "", "The private key.")
        .server()
        .needs("tls"),
    Row::new(
        "server_names",
        Kind::Own {
            expected: "an object of `{ \"cert\": .., \"key\": .. }` by name",
            schema: || schema::named(schema::identity()),
            read: |reading, node, path, keys| {
                keys.stream.tls.server_names = reading
                    .identities(node, path)
                    .into_iter()
                    .map(|(name, identity)| super::super::ServerName { name, certificate: identity.certificate, key: identity.key })
                    .collect();
            },
        },
        "",
        "Other certificates, for clients that ask for these names (SNI): `cert` and `key` for each.",
    )
    .server()
    .needs("tls"),
    Row::new(
        "client_ca",
        Kind::Name { what: "trust store", set: |keys, name| keys.stream.tls.client_trust_store = Some(name) },
        "",
        "Clients must show a certificate of this trust store.",
    )
    .server()
    .needs("tls"),
    Row::new(
        "server_name",
        Kind::Text { expected: "a name", set: |keys, name| { keys.stream.tls.server_name = Some(filled(name)?); Ok(()) } },
        "that of the endpoint",
        "The name to ask for and to verify.",
    )
    .client()
    .needs("tls"),
    Row::new(
        "alpn",
        Kind::Texts {
            expected: "names of protocols",
            set: |keys, name| {
                let name = filled(name)?;
                if name.len() > 255 { return Err("a name of ALPN has 255 bytes at most".to_owned()); }
                keys.stream.tls.alpn.get_or_insert_default().push(name);
                Ok(())
            },
        },
        "what goes with the protocol",
        "What to offer, the preferred first (RFC 7301).",
    )
    .needs("tls"),
    Row::new(
        "groups",
        Kind::Texts { expected: "groups of the key exchange", set: |keys, name| parsed(name).map(|group| keys.stream.tls.groups.push(group)) },
        "those of the library",
        "The groups of the key exchange, the preferred first.",
    )
    .needs("tls"),
    Row::new("min_version", Kind::Choice { words: VERSION_NAMES, set: |keys, index| keys.stream.tls.min_version = Some(VERSIONS[index]) }, "1.2", "The lowest version of TLS to agree to.")
        .needs("tls"),
    Row::new("max_version", Kind::Choice { words: VERSION_NAMES, set: |keys, index| keys.stream.tls.max_version = Some(VERSIONS[index]) }, "1.3", "The highest version of TLS to agree to.")
        .needs("tls"),
    Row::new(
        "pins",
        Kind::Texts { expected: "SHA-256 of keys", set: |keys, pin| parsed(pin).map(|pin| keys.stream.tls.pins.push(pin)) },
        "",
        "The SHA-256 of public keys, one of which the server must have beside everything else; in hexadecimal or base64.",
    )
    .client()
    .needs("tls"),
    Row::new("crl", Kind::Names { what: "certificate", set: |keys, names| keys.stream.tls.revocation_lists = names }, "", "Revocation lists, by their names in `certs`.")
        .needs("tls"),
    Row::new("handshake_timeout_ms", Kind::Time { least: 1, set: |keys, time| keys.stream.tls.handshake_timeout = time }, "10000", "How long the peer may take for the handshake.").needs("tls"),
    // Life.
    Row::new("retry", Kind::Name { what: "table of delays", set: |keys, name| keys.stream.retry = Some(name) }, "one attempt", "When it is tried again.").client(),
    Row::new("nailed_up", Kind::Flag(|keys, on| keys.stream.is_nailed_up = on), "false", "Connects as soon as it is opened.").client(),
    Row::new("opportunistic", Kind::Flag(|keys, on| keys.stream.is_opportunistic = on), "false", "Does not connect again after it was closed.").client(),
    Row::new("timeout_ms", Kind::Time { least: 0, set: |keys, time| keys.stream.timeout = time }, "for ever", "How long what was asked for may take in all.").client(),
    Row::new("connect_timeout_ms", Kind::Time { least: 1, set: |keys, time| keys.stream.connect_timeout = time }, "30000", "How long to try to reach the peer.").client(),
    Row::new("idle_timeout_ms", Kind::Time { least: 0, set: |keys, time| keys.stream.idle_timeout = time }, "for ever", "How long nothing may pass before the connection is given up."),
    Row::new(
        "client_buflen",
        Kind::Number { least: 1, most: 1 << 30, unit: "bytes", set: |keys, bytes| keys.stream.queue.bytes = usize::try_from(bytes).unwrap_or(usize::MAX) },
        "32768",
        "How many bytes may wait to be sent.",
    ),
    Row::new(
        "queue_messages",
        Kind::Number { least: 1, most: 1 << 20, unit: "", set: |keys, count| keys.stream.queue.messages = usize::try_from(count).unwrap_or(usize::MAX) },
        "1024",
        "How many messages may wait to be sent.",
    ),
    Row::new("when_full", Kind::Choice { words: WHEN_FULL_NAMES, set: |keys, index| keys.stream.queue.when_full = WHEN_FULL[index] }, "wait", "What happens with a message for which there is no room."),
    Row::new(
        "metadata",
        Kind::Texted {
            expected: "the named values, each with a field of HTTP or an empty text",
            set: |keys, name, field| {
                if !is_name(name) {
                    return Err("a name has letters, digits, `_`, `-` and `.`, 64 at most".to_owned());
                }
                let field = if field.is_empty() { None } else { Some(field_name(field)?) };
                keys.stream.values.insert(name.to_owned(), field);
                Ok(())
            },
        },
        "",
        "The named values, `${name}` in other keys; each with the field of HTTP that it becomes, or `\"\"`.",
    ),
    // HTTP.
    Row::new(
        "http_method",
        Kind::Text { expected: "a method", set: |keys, method| { keys.stream.http.method = Some(token(method)?.to_owned()); Ok(()) } },
        "GET",
        "The method of the request.",
    )
    .client()
    .spoken(HTTP),
    Row::new("http_url", Kind::Template { place: Place::Url, set: |keys, url| keys.stream.http.url = Some(url) }, "/", "Path and query.").client().spoken(WEB),
    Row::new(
        "http_expect",
        Kind::Number { least: 100, most: 599, unit: "", set: |keys, status| keys.stream.http.expect = u16::try_from(status).ok() },
        "200 to 299",
        "The status that is a success.",
    )
    .client()
    .spoken(HTTP),
    Row::new(
        "http_resp_map",
        Kind::Numbered {
            expected: "numbers by status",
            names: [100, 599],
            most: u32::MAX as u64,
            set: |keys, status, state| {
                let (Ok(status), Ok(state)) = (u16::try_from(status), u32::try_from(state)) else { return };
                keys.stream.http.response_map.insert(status, state);
            },
        },
        "",
        "What a status is called to the program.",
    )
    .client()
    .spoken(WEB),
    Row::new("allow_redirects", Kind::Flag(|keys, on| keys.stream.http.follow_redirects = on), "false", "Follows redirections: ten at most, never from https to http.").client().spoken(HTTP),
    Row::new("http_fail_redirect", Kind::Flag(|keys, on| keys.stream.http.redirect_is_portal = on), "false", "A redirection is the sign of a captive portal.").client().spoken(HTTP),
    Row::new("http_cookies", Kind::Flag(|keys, on| keys.stream.http.cookies = on), "false", "Keeps cookies, and sends them back.").client().spoken(WEB),
    Row::new("http_no_content_length", Kind::Flag(|keys, on| keys.stream.http.no_content_length = on), "false", "Does not say how long the body is.").client().spoken(HTTP),
    Row::new("http_www_form_urlencoded", Kind::Flag(|keys, on| keys.stream.http.form = on), "false", "The body is a form.").client().spoken(HTTP),
    Row::new("http_multipart_name", Kind::Text { expected: "a text", set: |keys, text| { part(keys).name = Some(quotable(text)?); Ok(()) } }, "", "The body is a part of a form, of this name.").client().spoken(HTTP),
    Row::new("http_multipart_filename", Kind::Text { expected: "a text", set: |keys, text| { part(keys).file_name = Some(quotable(text)?); Ok(()) } }, "", "The same, with the name of a file.").client().spoken(HTTP),
    Row::new("http_mime_content_type", Kind::Text { expected: "a text", set: |keys, text| { part(keys).content_type = Some(quotable(text)?); Ok(()) } }, "", "The same, with its type.").client().spoken(HTTP),
    Row::new("http_multipart_content_type", Kind::Text { expected: "a text", set: |keys, text| { part(keys).content_type = Some(quotable(text)?); Ok(()) } }, "", "The same as `http_mime_content_type`.").client().spoken(HTTP),
    Row::new("http_multipart_ss_in", Kind::Flag(|keys, on| keys.stream.http.multipart_in = on), "false", "A body with parts that is received is one message for each part.").client().spoken(HTTP),
    Row::new("rideshare", Kind::Without("a form has one part here"), "", "The stream that sends the next part of a form.").client().spoken(HTTP),
    Row::new("long_poll", Kind::Flag(|keys, on| keys.stream.http.long_poll = on), "false", "The request stays open, and only receives.").client().spoken(&[Spoken::H2]),
    Row::new("use_auth", Kind::Name { what: "auth", set: |keys, name| keys.stream.auth = Some(name) }, "", "Who asks, of those in `auth`.").client().spoken(WEB),
    Row::new(
        "http_auth_header",
        Kind::Text { expected: "a field of HTTP", set: |keys, field| { keys.auth_header = Some(field_name(field)?); Ok(()) } },
        "",
        "The field with the named value `http_auth`, which is declared by this. Without a value no attempt is made.",
    )
    .client()
    .spoken(WEB),
    Row::new(
        "http_auth_preamble",
        Kind::Text { expected: "what stands before the value", set: |keys, text| { plain(text)?; keys.auth_preamble = text.to_owned(); Ok(()) } },
        "",
        "What stands before that value, as `bearer `.",
    )
    .client()
    .spoken(WEB)
    .needs("http_auth_header"),
    Row::new("http_dsn_header", Kind::Text { expected: "a field of HTTP", set: |keys, field| { keys.device_headers.push((field_name(field)?, "device_serial")); Ok(()) } }, "", "The field with the named value `device_serial`.").client().spoken(WEB),
    Row::new("http_fwv_header", Kind::Text { expected: "a field of HTTP", set: |keys, field| { keys.device_headers.push((field_name(field)?, "firmware_version")); Ok(()) } }, "", "The field with the named value `firmware_version`.").client().spoken(WEB),
    Row::new("http_devtype_header", Kind::Text { expected: "a field of HTTP", set: |keys, field| { keys.device_headers.push((field_name(field)?, "device_type")); Ok(()) } }, "", "The field with the named value `device_type`.").client().spoken(WEB),
    // WebSocket.
    Row::new(
        "ws_subprotocol",
        Kind::Text { expected: "the name of a subprotocol", set: |keys, name| { keys.stream.ws.subprotocol = Some(token(name)?.to_owned()); Ok(()) } },
        "",
        "What a client offers, and a server answers if it was offered.",
    )
    .spoken(&[Spoken::Ws, Spoken::H1, Spoken::H2]),
    Row::new("ws_binary", Kind::Flag(|keys, on| keys.stream.ws.binary = on), "false", "Messages are binary.").spoken(WS),
    Row::new("ws_over_h2", Kind::Flag(|keys, on| keys.stream.ws.over_h2 = on), "false", "Over HTTP/2 (RFC 8441).").client().spoken(WS_IN_ANY),
    Row::new("ws_prioritize_reads", Kind::Without("reads wait for nothing here"), "", "Of libwebsockets.").spoken(WS),
    // MQTT.
    Row::new("mqtt_topic", Kind::Template { place: Place::Topic, set: |keys, topic| keys.stream.mqtt.topic = Some(topic) }, "", "Where to publish.").client().spoken(MQTT),
    Row::new(
        "mqtt_subscribe",
        Kind::Own {
            expected: SUBSCRIPTIONS,
            schema: schema::subscriptions,
            read: |reading, node, path, keys| {
                let nodes = match &node.value {
                    Value::List(nodes) => nodes.iter().collect(),
                    _ => vec![node],
                };
                for (index, one) in nodes.into_iter().enumerate() {
                    let path = if matches!(node.value, Value::List(_)) { format!("{path}[{index}]") } else { path.to_owned() };
                    keys.stream.mqtt.subscriptions.extend(reading.subscription(one, &path));
                }
            },
        },
        "",
        "What to receive: a filter, or several, each as a text or as `{ \"filter\": .., \"qos\": .. }`.",
    )
    .client()
    .spoken(MQTT),
    Row::new("mqtt_qos", Kind::Number { least: 0, most: 2, unit: "", set: |keys, qos| keys.stream.mqtt.qos = QOS[usize::try_from(qos).unwrap_or_default().min(2)] }, "0", "How surely: of what is published and subscribed to.").client().spoken(MQTT),
    Row::new("mqtt_retain", Kind::Flag(|keys, on| keys.stream.mqtt.retain = on), "false", "The broker keeps the last message.").client().spoken(MQTT),
    Row::new("mqtt_keep_alive", Kind::Number { least: 0, most: 65_535, unit: "s", set: |keys, time| keys.stream.mqtt.keep_alive = seconds(time) }, "0, never", "How long nothing is sent before a ping.").client().spoken(MQTT),
    Row::new("mqtt_clean_start", Kind::Flag(|keys, on| keys.stream.mqtt.clean_start = on), "false", "Begins without what the broker remembers.").client().spoken(MQTT),
    Row::new("mqtt_will_topic", Kind::Template { place: Place::Topic, set: |keys, topic| keys.will.topic = Some(topic) }, "", "Where the broker says that this client is lost.").client().spoken(MQTT),
    Row::new("mqtt_will_message", Kind::Template { place: Place::Text, set: |keys, text| keys.will.message = Some(text) }, "", "What it says then.").client().spoken(MQTT).needs("mqtt_will_topic"),
    Row::new("mqtt_will_qos", Kind::Number { least: 0, most: 2, unit: "", set: |keys, qos| keys.will.qos = QOS[usize::try_from(qos).unwrap_or_default().min(2)] }, "0", "How surely.").client().spoken(MQTT).needs("mqtt_will_topic"),
    Row::new("mqtt_will_retain", Kind::Flag(|keys, on| keys.will.retain = on), "false", "Whether it keeps it.").client().spoken(MQTT).needs("mqtt_will_topic"),
    Row::new("mqtt_birth_topic", Kind::Template { place: Place::Topic, set: |keys, topic| keys.birth.topic = Some(topic) }, "", "Where to publish first.").client().spoken(MQTT),
    Row::new("mqtt_birth_message", Kind::Template { place: Place::Text, set: |keys, text| keys.birth.message = Some(text) }, "", "What to publish there.").client().spoken(MQTT).needs("mqtt_birth_topic"),
    Row::new("mqtt_birth_qos", Kind::Number { least: 0, most: 2, unit: "", set: |keys, qos| keys.birth.qos = QOS[usize::try_from(qos).unwrap_or_default().min(2)] }, "0", "How surely.").client().spoken(MQTT).needs("mqtt_birth_topic"),
    Row::new("mqtt_birth_retain", Kind::Flag(|keys, on| keys.birth.retain = on), "false", "Whether the broker keeps it.").client().spoken(MQTT).needs("mqtt_birth_topic"),
    Row::new("mqtt_client_id", Kind::Template { place: Place::Text, set: |keys, text| keys.stream.mqtt.client_id = Some(text) }, "made at random", "The name of this client.").client().spoken(MQTT),
    Row::new("mqtt_user", Kind::Template { place: Place::Text, set: |keys, text| keys.stream.mqtt.user = Some(text) }, "", "Who logs in.").client().spoken(MQTT),
    Row::new("mqtt_password", Kind::Template { place: Place::Text, set: |keys, text| keys.stream.mqtt.password = Some(text) }, "", "With which password.").client().spoken(MQTT).needs("mqtt_user"),
    Row::new("mqtt_version", Kind::Choice { words: MQTT_VERSION_NAMES, set: |keys, index| keys.stream.mqtt.version = MQTT_VERSIONS[index] }, "3.1.1", "The version of MQTT.").client().spoken(MQTT),
    Row::new("mqtt_over_ws", Kind::Flag(|keys, on| keys.stream.mqtt.over_ws = on), "false", "In frames of WebSocket, to the path of `http_url`.").client().spoken(MQTT),
    Row::new("aws_iot", Kind::Without("no broker needs it"), "", "Of libwebsockets.").client().spoken(MQTT),
    // What is read, and does nothing.
    Row::new("aws_region", Kind::Without(SIGV4), "", "The value with the region of AWS.").client(),
    Row::new("aws_service", Kind::Without(SIGV4), "", "The value with the service of AWS.").client(),
    Row::new("attr_priority", Kind::Without("a priority is for `dscp`"), "", "The priority of the socket."),
    Row::new("direct_proto_str", Kind::Without("any field of HTTP can be set and read here"), "", "Fields of HTTP by name."),
    Row::new("payload_fmt", Kind::Without("it says nothing to the library"), "", "What payload is, for people."),
    Row::new("perf", Kind::Without("a connection tells its times in any case"), "", "Times of a connection as payload."),
    Row::new("local_sink", Kind::Without("a program has channels for that"), "", "A stream that ends in the same process."),
    Row::new("urgent_tx", Kind::Without(NOWHERE), "", "Of libwebsockets."),
    Row::new("urgent_rx", Kind::Without(NOWHERE), "", "Of libwebsockets."),
    Row::new("swake_validity", Kind::Without(MICRO), "", "Whether a timer may wake the machine."),
    Row::new("plugins", Kind::Without(NOWHERE), "", "Of libwebsockets."),
    Row::new("options", Kind::Without("there are no plugins to have them"), "", "Options of a plugin.").server(),
    Row::new("proxy_buflen", Kind::Without(SERIALISED), "", "The buffer of a proxy of streams."),
    Row::new("proxy_buflen_rxflow_on_above", Kind::Without(SERIALISED), "", "The same."),
    Row::new("proxy_buflen_rxflow_off_below", Kind::Without(SERIALISED), "", "The same."),
    Row::new("client_buflen_rxflow_on_above", Kind::Without(SERIALISED), "", "The same."),
    Row::new("client_buflen_rxflow_off_below", Kind::Without(SERIALISED), "", "The same."),
    Row::new("nghttp2_quirk_end_stream", Kind::Without(QUIRK), "", "Of libwebsockets.").spoken(&[Spoken::H2]),
    Row::new("h2q_oflow_txcr", Kind::Without(QUIRK), "", "Of libwebsockets.").spoken(&[Spoken::H2]),
];

/// As the field of old has the bit.
fn mark(keys: &mut StreamKeys, bit: u8, on: bool) {
    if on {
        keys.type_of_service |= bit;
    }
}

fn part(keys: &mut StreamKeys) -> &mut Multipart {
    keys.stream.http.multipart.get_or_insert_default()
}

/// What a text says to its own reader.
pub(super) fn parsed<T: FromStr<Err: fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

/// A text that is not empty.
fn filled(text: &str) -> Result<String, String> {
    plain(text)?;
    if text.is_empty() { Err("there is nothing in it".to_owned()) } else { Ok(text.to_owned()) }
}

/// A text that ends no line.
fn plain(text: &str) -> Result<(), String> {
    if text.chars().any(char::is_control) { Err("it has a control character".to_owned()) } else { Ok(()) }
}

/// What stands in quotes in a head of a part.
fn quotable(text: &str) -> Result<String, String> {
    plain(text)?;
    if text.contains('"') { Err("it has a quotation mark, which would end it".to_owned()) } else { Ok(text.to_owned()) }
}

/// RFC 9110, section 5.6.2.
fn token(text: &str) -> Result<&str, String> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    match !text.is_empty() && text.bytes().all(is_token) {
        true => Ok(text),
        false => Err("expected letters, digits and a few signs, and no space".to_owned()),
    }
}

/// The name of a field, with a colon behind it or without, as libwebsockets writes it.
fn field_name(text: &str) -> Result<String, String> {
    Ok(token(text.strip_suffix(':').unwrap_or(text))?.to_ascii_lowercase())
}

const fn number(most: u64, unit: &'static str, set: fn(&mut StreamKeys, u64)) -> Kind<StreamKeys> {
    Kind::Number { least: 0, most, unit, set }
}

const PROTOCOLS: &[Protocol] = &[Protocol::Raw, Protocol::H1, Protocol::H2, Protocol::Ws, Protocol::Mqtt];
const PROTOCOL_NAMES: &[&str] = &["raw", "h1", "h2", "ws", "mqtt"];
const VERSIONS: &[Version] = &[Version::Tls12, Version::Tls13];
const VERSION_NAMES: &[&str] = &["1.2", "1.3"];
const WHEN_FULL: &[WhenFull] = &[WhenFull::Wait, WhenFull::DropOldest, WhenFull::DropNewest];
const WHEN_FULL_NAMES: &[&str] = &["wait", "drop-oldest", "drop-newest"];
const QOS: &[Qos] = &[Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];
const MQTT_VERSIONS: &[MqttVersion] = &[MqttVersion::V3, MqttVersion::V5];
const MQTT_VERSION_NAMES: &[&str] = &["3.1.1", "5"];

/// The named value of `http_auth_header`.
const AUTH_VALUE: &str = "http_auth";

pub(super) const VIA: &str =
    "an endpoint string that ends in a tunnel without its target, as `tcp:proxy.example:1080+socks5`";
pub(super) const SOCKS: &str = "`host:port`, or `user:password@host:port`";
pub(super) const SUBSCRIPTIONS: &str = "a filter, an object with `filter` and `qos`, or an array of these";
const SIGV4: &str = "requests are not signed for AWS";
const NOWHERE: &str = "it has none in libwebsockets either";
const MICRO: &str = "it is for microcontrollers";
const SERIALISED: &str = "there is no proxy of streams";
const QUIRK: &str = "the HTTP/2 here needs no such help";
