//! Streams of MQTT to Mosquitto: in clear, over TLS, with a client certificate, over WebSocket, and through proxies.

use futures::StreamExt;
use onionskin::peer::ClassKind;
use onionskin::streams::policy::Policy;
use onionskin::streams::{Delivery, Event, Message, Stream, Streams};

use crate::Case;
use crate::bench::{Bench, run, runtime};
use crate::servers::microsocks::MICROSOCKS;
use crate::servers::mosquitto::MOSQUITTO;
use crate::servers::squid::SQUID;
use crate::servers::{NAME, PASSWORD, USER};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for way in WAYS {
        for (via, server) in [("", None), ("socks5", Some(&MICROSOCKS)), ("connect", Some(&SQUID))] {
            let between = server.map_or(String::new(), |server| format!(", through {}", server.name));
            let name = format!("stream of MQTT to mosquitto, {}{between}: messages of each quality", way.name);
            let case = Case::new(name, move |bench| {
                let via = server.map(|server| {
                    let service = if via == "socks5" { "socks" } else { "http" };
                    format!("tcp:{}+{via}", bench.server(server).address(service))
                });
                says_messages(bench, way, via.as_deref());
            });
            cases.push(match server {
                Some(server) => case.talks_to(&[&MOSQUITTO, server]),
                None => case.talks_to(&[&MOSQUITTO]),
            });
        }
    }
    let mut add = |name: &str, run: fn(&Bench)| cases.push(Case::new(name, run).talks_to(&[&MOSQUITTO]));
    add("stream of MQTT to mosquitto: the will of one that is lost, and what is retained", wills);
    add("stream of MQTT to mosquitto: a session that outlives its connection", resumes);
    add("stream of MQTT to mosquitto: who may not come in is told why", refuses);
    cases
}

/// A way to the broker.
#[derive(Clone, Copy)]
struct Way {
    name: &'static str,
    service: &'static str,
    keys: &'static str,
}

const WAYS: [Way; 4] = [
    Way { name: "in clear", service: "mqtt", keys: "" },
    Way { name: "over TLS", service: "mqtts", keys: TLS },
    Way {
        name: "with a client certificate",
        service: "certified",
        keys: r#""tls": true, "tls_trust_store": "own", "server_name": "onion.test", "client_cert": "me", "#,
    },
    Way { name: "over WebSocket", service: "ws", keys: r#""mqtt_over_ws": true, "http_url": "/mqtt", "# },
];

const TLS: &str = r#""tls": true, "tls_trust_store": "own", "server_name": "onion.test", "#;

/// The stream of this name, and of these keys.
fn open(bench: &Bench, service: &str, keys: &str) -> Stream {
    let address = bench.server(&MOSQUITTO).address(service);
    let port = address.rsplit(':').next().unwrap_or_default();
    let policy = format!(
        r#"{{
            "certs": {{ "root": {{ "file": "{}" }}, "chain": {{ "file": "{}" }}, "key": {{ "file": "{}" }} }},
            "trust_stores": {{ "own": ["root"] }}, "client_certs": {{ "me": {{ "cert": "chain", "key": "key" }} }},
            "retry": {{ "soon": {{ "backoff": [20], "conceal": 50 }} }},
            "s": {{ "it": {{
                "endpoint": "127.0.0.1", "port": {port}, "protocol": "mqtt", {keys}, "metadata": {{ "who": "" }}
            }} }}
        }}"#,
        bench.ca().display(),
        bench.certificate(NAME).display(),
        bench.key(NAME).display(),
    );
    let policy = Policy::read(&policy).unwrap_or_else(|error| panic!("{policy}: {error}"));
    Streams::new(policy, runtime()).unwrap().open("it").unwrap()
}

async fn hears(stream: &Stream) -> Message {
    stream.receive().await.expect("it is open").unwrap_or_else(|error| panic!("{error}"))
}

async fn stands(stream: &Stream) {
    let mut events = stream.events();
    loop {
        match events.next().await.expect("it is open") {
            Event::Connected => return,
            Event::Unreachable(error) | Event::AllRetriesFailed(error) => panic!("{error}"),
            _ => {}
        }
    }
}

fn says_messages(bench: &Bench, way: Way, via: Option<&str>) {
    let via_key = via.map_or(String::new(), |via| format!(r#""via": "{via}", "#));
    for qos in [0, 1, 2] {
        let topic = format!(
            "{}/{}/{qos}",
            way.service,
            via.map_or("alone", |via| if via.contains("socks") { "a" } else { "b" })
        );
        let keys = format!(
            r#"{}{via_key}"mqtt_topic": "{topic}/to", "mqtt_subscribe": "{topic}/#", "mqtt_qos": {qos}, "mqtt_clean_start": true"#,
            way.keys
        );
        let stream = open(bench, way.service, &keys);
        run(async {
            stream.connect();
            stands(&stream).await;
            let expected = if qos == 0 { Delivery::Sent } else { Delivery::Acknowledged };
            for text in ["", "short", &"x".repeat(200), &"y".repeat(100_000)] {
                assert_eq!(stream.send(text).await.unwrap(), expected);
                let message = hears(&stream).await;
                assert_eq!((message.payload, message.topic.unwrap()), (text.to_owned().into(), format!("{topic}/to")));
            }
            for n in 0..50 {
                drop(stream.enqueue(n.to_string()).await.unwrap());
            }
            for n in 0..50 {
                assert_eq!(hears(&stream).await.payload, n.to_string());
            }
            stream.close().await;
        });
    }
}

fn wills(bench: &Bench) {
    let keys = r#""mqtt_subscribe": "wills/#", "mqtt_qos": 1, "mqtt_clean_start": true"#;
    let witness = open(bench, "mqtt", keys);
    let one = |said: &str| {
        format!(
            r#""mqtt_topic": "other", "mqtt_client_id": "mortal", "mqtt_will_topic": "wills/{said}", "mqtt_will_message": "gone",
               "mqtt_will_qos": 1, "mqtt_will_retain": true, "mqtt_birth_topic": "wills/born", "mqtt_birth_message": "here", "mqtt_birth_qos": 1"#
        )
    };
    run(async {
        witness.connect();
        stands(&witness).await;
        let mortal = open(bench, "mqtt", &one("first"));
        mortal.connect();
        assert_eq!(hears(&witness).await.payload, "here");
        // One that says its end leaves no will.
        mortal.close().await;
        // One that gives its connection up does not.
        let mortal = open(bench, "mqtt", &format!(r#"{}, "idle_timeout_ms": 200"#, one("second")));
        mortal.connect();
        assert_eq!(hears(&witness).await.payload, "here");
        let will = hears(&witness).await;
        assert_eq!((will.topic.as_deref(), &will.payload[..]), (Some("wills/second"), &b"gone"[..]));
        mortal.close().await;
        // What was retained is there for who comes later.
        let late = open(bench, "mqtt", r#""mqtt_subscribe": "wills/second", "mqtt_clean_start": true"#);
        late.connect();
        assert_eq!(hears(&late).await.payload, "gone");
        late.close().await;
        witness.close().await;
    });
}

fn resumes(bench: &Bench) {
    let keys = r#""mqtt_client_id": "sleeper", "mqtt_subscribe": "sleep/#", "mqtt_qos": 2"#;
    run(async {
        let sleeper = open(bench, "mqtt", keys);
        sleeper.connect();
        stands(&sleeper).await;
        sleeper.disconnect();
        let speaker = open(bench, "mqtt", r#""mqtt_topic": "sleep/well", "mqtt_qos": 2, "mqtt_clean_start": true"#);
        for n in 0..20 {
            assert_eq!(speaker.send(n.to_string()).await.unwrap(), Delivery::Acknowledged);
        }
        sleeper.connect();
        for n in 0..20 {
            assert_eq!(hears(&sleeper).await.payload, n.to_string());
        }
        speaker.send("end").await.unwrap();
        assert_eq!(hears(&sleeper).await.payload, "end", "and nothing comes twice");
        speaker.close().await;
        sleeper.close().await;
    });
}

fn refuses(bench: &Bench) {
    let topic = r#""mqtt_topic": "t", "mqtt_clean_start": true"#;
    let tried = |service: &str, keys: &str| {
        let stream = open(bench, service, keys);
        let sent = run(stream.send("x"));
        run(stream.close());
        sent
    };
    let login = format!(r#"{topic}, "mqtt_user": "{USER}", "mqtt_password": "{PASSWORD}""#);
    assert_eq!(tried("login", &login).unwrap(), Delivery::Sent);
    let error = tried("login", &login.replace(PASSWORD, "guess")).unwrap_err();
    assert!(error.is_refused() && error.to_string().contains("5, not authorized"), "{error}");
    // TLS 1.3 says so behind the handshake: the layer and the reason are told all the same.
    assert_eq!(tried("certified", &format!("{}{topic}", WAYS[2].keys)).unwrap(), Delivery::Sent);
    let error = tried("certified", &format!("{TLS}{topic}")).unwrap_err();
    let class = error.class().unwrap_or_else(|| panic!("{error}"));
    assert!(matches!(class.kind(), ClassKind::ClientCertificateRefused { .. }), "{class}: {error}");
    // And a broker that is not the one that was meant.
    let error = tried("mqtts", &format!("{}{topic}", TLS.replace("onion.test", "other.test"))).unwrap_err();
    let class = error.class().unwrap_or_else(|| panic!("{error}"));
    assert!(matches!(class.kind(), ClassKind::Certificate(_)), "{class}: {error}");
}
