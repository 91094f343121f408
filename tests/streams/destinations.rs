//! From a stream of a policy to a connection: the way, the layers and the trust are what the policy says.

use futures::{AsyncReadExt, AsyncWriteExt};
use onionskin::endpoint::Listener;
use onionskin::runtime;
use onionskin::streams::policy::{Destinations, Document, Policy};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, Issuer, KeyPair};

/// What is declared has no value.
fn nothing(_: &str) -> Option<&'static str> {
    None
}

fn endpoint_of(stream: &str, top: &str) -> Result<String, String> {
    let text = format!(r#"{{ {top} "s": {{ "a": {{ {stream} }} }} }}"#);
    let policy = Policy::read(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let destination = Destinations::new(policy).client("a", |name| match name {
        "host" => Some("h.example"),
        "url" => Some("https://u.example:8443/x?y=z"),
        "plain" => Some("http://u.example"),
        _ => None,
    });
    destination.map(|destination| destination.endpoint.to_string()).map_err(|error| error.to_string())
}

#[test]
fn the_way_is_what_the_policy_says() {
    let socks = r#""via-socks5": "127.0.0.1:1080","#;
    for (stream, top, expected) in [
        (r#""endpoint": "a.example""#, "", "tcp:a.example:80"),
        (r#""endpoint": "a.example", "protocol": "mqtt", "mqtt_topic": "t""#, "", "tcp:a.example:1883"),
        (r#""endpoint": "[::1]", "port": 5"#, "", "tcp:[::1]:5"),
        (r#""endpoint": "::1", "port": 5"#, "", "tcp:[::1]:5"),
        (r#""endpoint": "+/run/a", "protocol": "raw""#, socks, "unix:/run/a"),
        (r#""endpoint": "+@a", "protocol": "raw""#, "", "unix:@a"),
        (r#""endpoint": "a.example""#, socks, "tcp:127.0.0.1:1080+socks5:a.example:80"),
        (
            r#""endpoint": "a.example", "via": "tcp:p.example:443+tls:insecure=yes+connect:version=1""#,
            socks,
            "tcp:p.example:443+tls:insecure=yes+connect:a.example:80:version=1",
        ),
        (
            r#""endpoint": "a.example", "port": 25, "protocol": "raw", "layers": "starttls:smtp:insecure=yes+tls:insecure=yes""#,
            socks,
            "tcp:127.0.0.1:1080+socks5:a.example:25+starttls:smtp:insecure=yes+tls:insecure=yes",
        ),
        (r#""endpoint": "x.${host}", "metadata": { "host": "" }"#, "", "tcp:x.h.example:80"),
        (r#""endpoint": "http://a.example:81/b""#, "", "tcp:a.example:81"),
        (
            r#""endpoint": "${url}", "tls": true, "tls_trust_store": "t", "metadata": { "url": "" }"#,
            TRUST,
            "tcp:u.example:8443+tls",
        ),
        (r#""endpoint": "a.example", "dscp": 46"#, "", "tcp:a.example:80:dscp=46"),
    ] {
        assert_eq!(endpoint_of(stream, top).as_deref(), Ok(expected), "{stream}");
    }
}

#[test]
fn what_leads_nowhere_names_the_key() {
    let raw = r#""protocol": "raw","#;
    for (stream, expected) in [
        (r#""endpoint": "${x}", "metadata": { "x": "" }"#, "$.s.a.endpoint: `${x}` has no value"),
        (r#""endpoint": "x.${url}", "metadata": { "url": "" }"#, "$.s.a.endpoint: the value of `${url}` is no host"),
        (
            r#""endpoint": "${plain}", "tls": true, "metadata": { "plain": "" }"#,
            "$.s.a.endpoint: a URL of http would take away the TLS",
        ),
        (r#""endpoint": "mqtt://a.example""#, "a URL of mqtt is nothing for a stream that speaks h1"),
        (r#""endpoint": "gopher://a.example""#, "no URL of this kind is known here"),
        (r#""endpoint": "https://me:secret@a.example""#, "a URL with a user in it"),
        (r#""endpoint": "http://a.example:x""#, "the port of the URL is none"),
        (r#""endpoint": "a_b..c""#, "is no host"),
        (r#""endpoint": "a.example", "use_auth": "aws""#, "$.s.a.use_auth: requests are not signed for AWS"),
        (
            &format!(r#"{raw} "endpoint": "+/run/a", "tls": true, "tls_trust_store": "t""#),
            "$.s.a.server_name: TLS over a socket of Unix",
        ),
        (
            &format!(r#"{raw} "endpoint": "+/run/a", "via": "tcp:p.example:1+socks5""#),
            "$.s.a.via: no proxy leads to a socket of Unix",
        ),
        (
            r#""endpoint": "a.example", "tls": true, "tls_trust_store": "gone""#,
            "$.s.a.tls_trust_store: \"gone\": cannot read /nowhere/ca.pem",
        ),
        (
            r#""endpoint": "a.example", "tls": true, "tls_trust_store": "t", "client_cert": 0"#,
            "$.s.a.client_cert: no client certificate is called \"0\"",
        ),
    ] {
        let error = endpoint_of(stream, TRUST).expect_err(stream);
        assert!(error.contains(expected) && !error.contains("secret"), "{stream}: {error}");
    }
    let destinations = Destinations::new(Policy::default());
    assert_eq!(destinations.client("b", nothing).unwrap_err().to_string(), "$.s: no stream is called \"b\"");
}

/// One trust store of a real certificate, and one whose file is not there.
const TRUST: &str = r#""certs": { "c": { "file": "tests/streams/policies/root.pem" }, "gone": { "file": "/nowhere/ca.pem" } },
    "trust_stores": { "t": ["c"], "gone": ["gone"] }, "auth": { "aws": { "type": "sigv4" } },"#;

/// What two peers need: PEM in the text of a policy.
struct World {
    ca: String,
    server: [String; 2],
    client: [String; 2],
    /// A certificate that a device has made for itself, an authority by its own words.
    device: [String; 2],
    device_pin: String,
}

impl World {
    fn new() -> Self {
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
        let issue = |name: &str| {
            let key = KeyPair::generate().unwrap();
            let issuer: &Issuer<'_, KeyPair> = &ca;
            let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, issuer).unwrap();
            [certificate.pem(), key.serialize_pem()]
        };
        let key = KeyPair::generate().unwrap();
        let mut device = CertificateParams::new(vec!["device.local".to_owned()]).unwrap();
        device.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let device = [device.self_signed(&key).unwrap().pem(), key.serialize_pem()];
        let spki = onionskin::tls::Pin::new(digest(&rcgen::PublicKeyData::subject_public_key_info(&key)));
        Self {
            ca: ca.pem(),
            server: issue("server.example"),
            client: issue("client.example"),
            device,
            device_pin: spki.to_string(),
        }
    }

    /// A policy of a server and a client, with these keys beside where they are.
    fn policy(&self, server: &str, client: &str) -> String {
        let json = |text: &str| serde_json::to_string(text).unwrap();
        let [own, own_key] = self.server.each_ref().map(|text| json(text));
        let [me, me_key] = self.client.each_ref().map(|text| json(text));
        let [device, device_key] = self.device.each_ref().map(|text| json(text));
        format!(
            r#"{{
              "certs": {{ "ca": {ca}, "own": {own}, "own-key": {own_key}, "me": {me}, "me-key": {me_key}, "device": {device}, "device-key": {device_key} }},
              "trust_stores": {{ "ca": ["ca"], "device": ["device"], "me": ["me"] }},
              "client_certs": {{ "me": {{ "cert": "me", "key": "me-key" }} }},
              "s": {{
                "server": {{ "server": true, "protocol": "raw", "endpoint": "127.0.0.1", "tls": true, {server} }},
                "client": {{ "protocol": "raw", "endpoint": "127.0.0.1", "port": 1, "tls": true, {client} }}
              }}
            }}"#,
            ca = json(&self.ca)
        )
    }
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    let algorithm = onionskin::tls::default_provider().unwrap();
    let suite = algorithm
        .cipher_suites
        .iter()
        .find_map(|suite| suite.tls13().filter(|suite| suite.common.hash_provider.output_len() == 32));
    suite.unwrap().common.hash_provider.hash(bytes).as_ref().try_into().unwrap()
}

/// What comes of a byte there and back: what the server saw of the client's certificates, or the client's failure.
fn meet(text: &str) -> Result<usize, String> {
    let runtime = runtime::preferred().unwrap();
    runtime::block_on(runtime, async {
        let document = Document::parse(text).unwrap();
        let policy = document.policy().unwrap_or_else(|error| panic!("{error}"));
        let listener =
            Listener::new(runtime, &Destinations::new(policy).server("server", nothing).unwrap()).await.unwrap();
        let port = listener.local_address().port().unwrap();
        let overlay = format!(r#"{{ "s": {{ "client": {{ "port": {port} }} }} }}"#);
        let destinations = Destinations::new(document.overlay(&overlay).unwrap().policy().unwrap());
        let server = async {
            let mut connection = listener.accept().await.unwrap().ready().await.map_err(|error| error.to_string())?;
            let mut byte = [0];
            connection.read_exact(&mut byte).await.map_err(|error| error.to_string())?;
            connection.write_all(&byte).await.map_err(|error| error.to_string())?;
            connection.flush().await.map_err(|error| error.to_string())?;
            Ok::<_, String>(connection.layers().tls().last().map_or(0, |facts| facts.peer_certificates.len()))
        };
        let client = async {
            let destination = destinations.client("client", nothing).map_err(|error| error.to_string())?;
            let connector = destination.connector(runtime).map_err(|error| error.to_string())?;
            let mut connection = connector.connect().await.map_err(|error| error.to_string())?;
            connection.write_all(b"x").await.map_err(|error| error.to_string())?;
            connection.flush().await.map_err(|error| error.to_string())?;
            let mut byte = [0];
            connection.read_exact(&mut byte).await.map_err(|error| error.to_string())?;
            Ok::<_, String>(())
        };
        let (server, client) = futures::join!(server, client);
        client.and(server)
    })
}

#[test]
fn trust_is_what_the_policy_says_and_nothing_else() {
    let world = World::new();
    let own = r#""server_cert": "own", "server_key": "own-key""#;
    let device = r#""server_cert": "device", "server_key": "device-key""#;
    let named = r#""server_name": "server.example""#;
    for (server, client, expected) in [
        (own.to_owned(), format!(r#"{named}, "tls_trust_store": "ca""#), Ok(0)),
        (own.to_owned(), format!(r#"{named}, "tls_trust_store": "device""#), Err("certificate")),
        (own.to_owned(), r#""server_name": "other.example", "tls_trust_store": "ca""#.to_owned(), Err("other.example")),
        (own.to_owned(), r#""tls_trust_store": "ca""#.to_owned(), Err("127.0.0.1")),
        (own.to_owned(), format!(r#"{named}, "tls_trust_store": "ca", "pins": ["{}"]"#, world.device_pin), Err("pin")),
        (
            device.to_owned(),
            format!(r#""server_name": "device.local", "tls_trust_store": "device", "pins": ["{}"]"#, world.device_pin),
            Ok(0),
        ),
        (device.to_owned(), r#""server_name": "device.local", "tls_trust_store": "ca""#.to_owned(), Err("certificate")),
        (
            format!(r#"{own}, "client_ca": "ca""#),
            format!(r#"{named}, "tls_trust_store": "ca", "client_cert": "me""#),
            Ok(1),
        ),
        (format!(r#"{own}, "client_ca": "ca""#), format!(r#"{named}, "tls_trust_store": "ca""#), Err("ertificate")),
        (
            format!(r#"{own}, "client_ca": "device""#),
            format!(r#"{named}, "tls_trust_store": "ca", "client_cert": "me""#),
            Err("alert"),
        ),
        (
            format!(r#"{own}, "max_version": "1.2""#),
            format!(r#"{named}, "tls_trust_store": "ca", "min_version": "1.3""#),
            Err("version"),
        ),
        (
            format!(r#"{own}, "max_version": "1.2""#),
            format!(r#"{named}, "tls_trust_store": "ca", "groups": "secp256r1""#),
            Ok(0),
        ),
        (
            format!(r#"{own}, "alpn": "a""#),
            format!(r#"{named}, "tls_trust_store": "ca", "alpn": ["b"]"#),
            Err("protocol"),
        ),
        (format!(r#"{own}, "alpn": "a""#), format!(r#"{named}, "tls_trust_store": "ca", "alpn": ["b", "a"]"#), Ok(0)),
        (
            format!(r#"{own}, "server_names": {{ "device.local": {{ "cert": "device", "key": "device-key" }} }}"#),
            r#""server_name": "device.local", "tls_trust_store": "device""#.to_owned(),
            Ok(0),
        ),
    ] {
        let met = meet(&world.policy(&server, &client));
        match expected {
            Ok(count) => assert_eq!(met, Ok(count), "{client}"),
            Err(word) => {
                let error = met.expect_err(&client);
                assert!(error.contains(word), "{client}: {error}");
            }
        }
    }
}

/// What goes the same way is the same to a pool, and what differs in anything is not.
#[test]
fn the_same_way_is_the_same_step_and_another_is_another() {
    let world = World::new();
    let server = r#""server_cert": "own", "server_key": "own-key""#;
    let text = world.policy(server, r#""tls_trust_store": "ca""#);
    let twin = r#"{ "s": {
        "twin": { "protocol": "raw", "endpoint": "127.0.0.1", "port": 1, "tls": true, "tls_trust_store": "ca" },
        "trust": { "protocol": "raw", "endpoint": "127.0.0.1", "port": 1, "tls": true, "tls_trust_store": "device" },
        "me": { "protocol": "raw", "endpoint": "127.0.0.1", "port": 1, "tls": true, "tls_trust_store": "ca", "client_cert": "me" },
        "alpn": { "protocol": "h1", "endpoint": "127.0.0.1", "port": 1, "tls": true, "tls_trust_store": "ca" },
        "port": { "protocol": "raw", "endpoint": "127.0.0.1", "port": 2, "tls": true, "tls_trust_store": "ca" },
        "via": { "protocol": "raw", "endpoint": "127.0.0.1", "port": 1, "tls": true, "tls_trust_store": "ca", "via-socks5": "127.0.0.1:9" }
    } }"#;
    let destinations = Destinations::new(Document::parse(&text).unwrap().overlay(twin).unwrap().policy().unwrap());
    let endpoint = |name: &str| destinations.client(name, nothing).unwrap().endpoint;
    assert_eq!(endpoint("client"), endpoint("client"));
    assert_eq!(endpoint("client"), endpoint("twin"));
    for other in ["trust", "me", "alpn", "port", "via"] {
        assert_ne!(endpoint("client"), endpoint(other), "{other}");
    }
}
