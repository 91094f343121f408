//! Streams of WebSocket to servers of others: `websockets` of Python, and `ws` of Node, in clear and over TLS, alone and
//! behind proxies.

use std::process::Command;

use futures::StreamExt;
use onionskin::streams::policy::Policy;
use onionskin::streams::{Delivery, Error, Event, Message, Stream, Streams};

use crate::Case;
use crate::bench::{Bench, Peer, run, runtime};
use crate::servers::microsocks::MICROSOCKS;
use crate::servers::squid::SQUID;
use crate::servers::{NAME, Server};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for library in [PYTHON, NODE] {
        for way in WAYS {
            for is_tls in [false, true] {
                let over = if is_tls { "over TLS" } else { "in clear" };
                let mut add = |what: &str, run: fn(&Bench, &Meeting)| {
                    let name = format!("stream of WebSocket to {}, {over}, {}: {what}", library.name, way.name);
                    let case = Case::new(name, move |bench| run(bench, &Meeting { library, way, is_tls }));
                    let case = library.programs.iter().fold(case, |case, program| case.uses(program));
                    cases.push(match way.what {
                        Between::Nothing => case,
                        Between::Proxy { server, .. } => case.talks_to(&[server]),
                    });
                };
                add("messages of each kind", says_messages);
                add("each end, and the way back", ends_and_comes_back);
            }
        }
        let name = format!("stream of WebSocket to {}: a subprotocol that it has not got", library.name);
        let case = Case::new(name, move |bench| has_no_such_subprotocol(bench, library));
        cases.push(library.programs.iter().fold(case, |case, program| case.uses(program)));
    }
    cases
}

/// A library with a server, and what has to be there for it.
#[derive(Clone, Copy)]
struct Library {
    name: &'static str,
    programs: [&'static str; 2],
    script: &'static str,
}

const PYTHON: Library = Library {
    name: "websockets of Python",
    programs: ["/usr/bin/python3", "/usr/lib/python3/dist-packages/websockets/__init__.py"],
    script: concat!(env!("CARGO_MANIFEST_DIR"), "/interop/streams/ws_server.py"),
};

const NODE: Library = Library {
    name: "ws of Node",
    programs: ["node", "/usr/share/nodejs/ws/index.js"],
    script: concat!(env!("CARGO_MANIFEST_DIR"), "/interop/streams/ws_server.mjs"),
};

/// What is in between.
#[derive(Clone, Copy)]
struct Way {
    name: &'static str,
    what: Between,
}

#[derive(Clone, Copy)]
enum Between {
    Nothing,
    /// A proxy, and the step of the endpoint that asks it.
    Proxy {
        server: &'static Server,
        service: &'static str,
        step: &'static str,
    },
}

const WAYS: [Way; 3] = [
    Way { name: "alone", what: Between::Nothing },
    Way { name: "through microsocks", what: Between::Proxy { server: &MICROSOCKS, service: "socks", step: "socks5" } },
    Way { name: "through squid", what: Between::Proxy { server: &SQUID, service: "http", step: "connect" } },
];

/// A stream and its server.
#[derive(Clone, Copy)]
struct Meeting {
    library: Library,
    way: Way,
    is_tls: bool,
}

impl Meeting {
    fn start(&self, bench: &Bench) -> (Peer, Stream) {
        let mut server = Command::new(self.library.programs[0]);
        server.args([self.library.script, "0"]);
        if self.is_tls {
            server.arg(bench.certificate(NAME)).arg(bench.key(NAME));
        }
        let mut server = Peer::start(&mut server);
        let port = listening(&mut server);
        let mut keys = String::new();
        match self.way.what {
            Between::Nothing => {}
            Between::Proxy { server, service, step } => {
                keys = format!(r#""via": "tcp:{}+{step}", "#, bench.server(server).address(service));
            }
        }
        if self.is_tls {
            keys += &format!(r#""tls": true, "tls_trust_store": "own", "server_name": "{NAME}", "#);
        }
        let policy = format!(
            r#"{{
                "certs": {{ "root": {{ "file": "{}" }} }}, "trust_stores": {{ "own": ["root"] }},
                "retry": {{ "soon": {{ "backoff": [20], "conceal": 100 }} }},
                "s": {{ "it": {{
                    "endpoint": "127.0.0.1", "port": {port}, "protocol": "ws", {keys}"retry": "soon",
                    "http_url": "/in/${{serial}}", "ws_subprotocol": "onion.v1", "metadata": {{ "serial": "x-serial:" }}
                }} }}
            }}"#,
            bench.ca().display(),
        );
        let policy = Policy::read(&policy).unwrap_or_else(|error| panic!("{policy}: {error}"));
        let stream = Streams::new(policy, runtime()).unwrap().open("it").unwrap();
        stream.set("serial", "0042").unwrap();
        stream.connect();
        server.expect("opened /in/0042 onion.v1 0042");
        (server, stream)
    }
}

fn listening(server: &mut Peer) -> u16 {
    let line = server.expect("listening on ");
    line.rsplit(' ').next().and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("no port in {line:?}"))
}

async fn hears(stream: &Stream) -> Message {
    stream.receive().await.expect("it is open").unwrap_or_else(|error| panic!("{error}"))
}

fn says_messages(bench: &Bench, meeting: &Meeting) {
    let (mut server, stream) = meeting.start(bench);
    run(async {
        for message in [
            Message::text("gr\u{fc}\u{df} dich \u{1f9c5}"),
            Message::text(""),
            Message::text("x".repeat(126)),
            Message::text("x".repeat(100_000)),
        ] {
            let text = message.payload.clone();
            assert_eq!(stream.send(message).await.unwrap(), Delivery::Sent);
            let echoed = hears(&stream).await;
            assert!(echoed.is_text && echoed.payload == text);
        }
        // It comes in fragments, and is one message here.
        stream.send("pieces").await.unwrap();
        assert_eq!(hears(&stream).await.payload, "in three pieces");
        // The server says it once our pong is there.
        stream.send("ping").await.unwrap();
        assert_eq!(hears(&stream).await.payload, "pong");
        for n in 0..200 {
            stream.send(format!("{n}")).await.unwrap();
        }
        for n in 0..200 {
            assert_eq!(hears(&stream).await.payload, format!("{n}"));
        }
        stream.close().await;
    });
    server.expect("closed 1000");
}

fn ends_and_comes_back(bench: &Bench, meeting: &Meeting) {
    let (mut server, stream) = meeting.start(bench);
    run(async {
        let mut events = stream.events();
        let mut lost = async |order: &str| -> Error {
            stream.send(order).await.unwrap();
            loop {
                match events.next().await.expect("it is open") {
                    Event::Disconnected(Some(error)) => break error,
                    Event::AllRetriesFailed(error) => panic!("{error}"),
                    _ => {}
                }
            }
        };
        let error = lost("close").await.to_string();
        assert!(error.contains("1001") && error.contains("going away"), "{error}");
        server.expect("closed 1001");
        server.expect("opened /in/0042");
        let error = lost("drop").await;
        assert!(!error.is_policy() && !error.is_refused(), "{error}");
        server.expect("opened /in/0042");
        stream.send("back").await.unwrap();
        assert_eq!(hears(&stream).await.payload, "back");
        stream.close().await;
    });
    server.expect("closed 1000");
}

/// `websockets` answers without one then, and `ws` too: a client that asked for one is right to say no.
fn has_no_such_subprotocol(_bench: &Bench, library: Library) {
    let mut server = Command::new(library.programs[0]);
    let mut server = Peer::start(server.args([library.script, "0"]));
    let port = listening(&mut server);
    let policy = format!(
        r#"{{ "s": {{ "it": {{ "endpoint": "127.0.0.1", "port": {port}, "protocol": "ws", "ws_subprotocol": "onion.v2" }} }} }}"#
    );
    let stream = Streams::new(Policy::read(&policy).unwrap(), runtime()).unwrap().open("it").unwrap();
    stream.connect();
    let error = run(stream.receive()).unwrap().unwrap_err();
    assert!(error.to_string().contains("subprotocol"), "{error}");
}
