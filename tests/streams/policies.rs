//! Policies that people would write, and what is wrong with those of others.

use std::path::Path;
use std::time::Duration;

use onionskin::streams::policy::{
    Auth, Conceal, Document, Material, Mistake, MistakeKind, Place, Policy, PolicyError, Protocol, Qos, Retry,
    StreamPolicy, Template, Tls, TrustStore, WhenFull,
};

/// Those that people would write, with what they are.
pub(crate) const POLICIES: [(&str, &str); 7] = [
    ("the one of the original", include_str!("policies/original.json")),
    ("telemetry over MQTT through SOCKS", include_str!("policies/telemetry.json")),
    ("REST with OAuth2", include_str!("policies/rest.json")),
    ("a chat over WebSocket", include_str!("policies/chat.json")),
    ("a server of HTTP and WebSocket", include_str!("policies/server.json")),
    ("raw behind STARTTLS and layers", include_str!("policies/mail.json")),
    ("a device of one's own with a pin", include_str!("policies/device.json")),
];

fn policy(index: usize) -> Policy {
    Policy::read(POLICIES[index].1).unwrap_or_else(|error| panic!("{}: {error}", POLICIES[index].0))
}

/// A stream with these keys beside an endpoint and a port, in a policy with one of each name.
fn stream(keys: &str) -> String {
    format!(
        r#"{{
  "retry": {{ "default": {{ "backoff": [1] }} }},
  "certs": {{ "root": "MAA=" }},
  "trust_stores": {{ "own": ["root"] }},
  "s": {{ "a": {{ "endpoint": "a.example", "port": 1,
    {keys}
  }} }}
}}"#
    )
}

/// The mistakes of a policy, line by line.
fn mistakes(text: &str) -> String {
    Policy::read(text).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn a_policy_of_the_original_is_read_as_it_is_written() {
    let policy = policy(0);
    assert_eq!((policy.release.as_deref(), policy.product.as_deref()), (Some("01234567"), Some("myproduct")));
    let retry = &policy.retries["default"];
    assert_eq!(retry.backoff, [1, 2, 3, 5, 10].map(Duration::from_secs));
    assert_eq!((retry.conceal, retry.jitter_percent), (Conceal::Times(5), 20));
    assert_eq!(retry.ping_after, Some(Duration::from_secs(300)));
    assert_eq!(retry.hang_up_after, Some(Duration::from_secs(310)));
    assert!(matches!(&policy.certificates["root"], Material::Der(der) if der.len() > 300));
    assert_eq!(policy.trust_stores["le_via_root"], TrustStore::new(["root"]));
    let stream = &policy.streams["mintest"];
    assert_eq!((stream.port, stream.protocol), (4443, Protocol::H1));
    assert!(stream.tls.is_on && stream.is_opportunistic && !stream.is_nailed_up);
    assert_eq!(stream.http.url.as_ref().unwrap().to_string(), "index.html");
    assert_eq!(stream.retry.as_deref(), Some("default"));
}

#[test]
fn policies_that_people_would_write_are_read() {
    let telemetry = policy(1);
    assert_eq!(telemetry.via.as_ref().unwrap().to_string(), "tcp:127.0.0.1:1080+socks5");
    assert_eq!(telemetry.retries["patient"].conceal, Conceal::Always);
    let mqtt = &telemetry.streams["telemetry"].mqtt;
    assert_eq!(mqtt.qos, Qos::AtLeastOnce);
    let qos: Vec<_> = mqtt.subscriptions.iter().map(|subscription| subscription.qos).collect();
    assert_eq!(qos, [Some(Qos::ExactlyOnce), None]);
    assert!(mqtt.will.as_ref().unwrap().retain && mqtt.birth.is_some());
    assert_eq!(telemetry.streams["telemetry"].queue.when_full, WhenFull::DropOldest);
    assert!(matches!(telemetry.certificates["root"], Material::Pem(_)));

    let rest = policy(2);
    assert!(matches!(&rest.auth["api"], Auth::ClientCredentials { stream, .. } if stream == "token"));
    let order = &rest.streams["order"];
    assert_eq!(order.http.response_map.iter().collect::<Vec<_>>(), [(&404, &1404), (&410, &1410)]);
    assert_eq!(order.values["request"].as_deref(), Some("x-request-id"));
    assert!(order.http.is_success(200) && !order.http.is_success(204));

    let chat = policy(3);
    assert_eq!(chat.via.as_ref().unwrap().to_string(), "tcp:proxy.example:3128+connect");
    assert_eq!(chat.retries["chat"].conceal, Conceal::Always, "as 65535");
    assert!(chat.streams["chat"].ws.over_h2 && chat.streams["broker"].mqtt.over_ws);
    let [header] = &chat.streams["chat"].http.headers[..] else { panic!("one field") };
    assert_eq!((header.name.as_str(), header.value.to_string().as_str()), ("authorization", "bearer ${http_auth}"));
    assert!(header.is_needed);

    let server = policy(4);
    let front = &server.streams["front"];
    assert!(front.is_server && front.tls.client_trust_store.as_deref() == Some("clients"));
    assert_eq!(front.tls.server_names[0].name, "other.example");

    let mail = policy(5);
    assert_eq!(mail.streams["mail"].layers.as_ref().unwrap().steps().len(), 1);
    assert_eq!(mail.streams["deep"].layers.as_ref().unwrap().steps().len(), 2);

    let device = policy(6);
    let tls = &device.streams["device"].tls;
    assert_eq!((tls.pins.len(), tls.groups.len(), tls.client_certificate.as_deref()), (1, 2, Some("me")));
    assert_eq!(device.streams["device"].dscp, Some(4));
    assert_eq!(device.streams["device"].http.headers[0].name, "x-serial");
}

/// Arrays of objects with one name each, and plain objects; trust stores by a name of their own, or as their stack.
#[test]
fn both_spellings_say_the_same() {
    let object = r#"{ "retry": { "a": { "backoff": [1] }, "b": {} }, "certs": { "c": "MAA=" },
        "trust_stores": { "t": { "stack": ["c"] } }, "auth": { "x": { "type": "basic", "user": "u", "password": "p" } },
        "s": { "s": { "endpoint": "e", "metadata": { "m": "", "n": "x-n:" } } } }"#;
    let array = r#"{ "retry": [ { "a": { "backoff": [1] } }, { "b": {} } ], "certs": [ { "c": "MA A=" } ],
        "trust_stores": [ { "stack": ["c"], "name": "t" } ], "auth": [ { "name": "x", "type": "basic", "user": "u", "password": "p" } ],
        "s": [ { "s": { "endpoint": "e", "metadata": [ { "m": "" }, { "n": "x-n:" } ] } } ] }"#;
    let short = array.replace(r#"{ "stack": ["c"], "name": "t" }"#, r#"{ "t": ["c"] }"#);
    let policy = Policy::read(object).unwrap();
    assert_eq!(policy.retries.len(), 2);
    assert_eq!(Policy::read(array).unwrap(), policy);
    assert_eq!(Policy::read(&short).unwrap(), policy);
    assert_ne!(Policy::read(&short.replace("x-n", "x-o")).unwrap(), policy);
}

#[test]
fn each_mistake_is_told_with_its_path_its_line_and_what_was_meant() {
    for (keys, kind, expected) in [
        (
            r#""protocl": "h1""#,
            MistakeKind::UnknownKey,
            r#"line 6: $.s.a.protocl: no key is called "protocl"; did you mean "protocol"?"#,
        ),
        (r#""retry": "def""#, MistakeKind::UnknownName, r#"$.s.a.retry: no table of delays is called "def""#),
        (r#""retry": "defualt""#, MistakeKind::UnknownName, r#"; did you mean "default"?"#),
        (r#""retry": "Default""#, MistakeKind::UnknownName, r#"; did you mean "default"?"#),
        (
            r#""tls": true, "tls_trust_store": "owm""#,
            MistakeKind::UnknownName,
            r#"no trust store is called "owm"; did you mean "own"?"#,
        ),
        (r#""tls_trust_store": "own""#, MistakeKind::Misplaced, "`tls_trust_store` needs `tls` beside it"),
        (
            r#""tls": false, "tls_trust_store": "own""#,
            MistakeKind::Misplaced,
            "`tls_trust_store` needs `tls` beside it",
        ),
        (r#""port": 2"#, MistakeKind::Duplicate, r#"line 6: $.s.a.port: "port" is there already, in line 5"#),
        (r#""dscp": 64"#, MistakeKind::WrongValue, "expected a whole number from 0 to 63, and not 64"),
        (r#""dscp": 1.0"#, MistakeKind::WrongValue, "expected a whole number from 0 to 63, and not 1.0"),
        (r#""dscp": 1e1"#, MistakeKind::WrongValue, "and not 1e1"),
        (r#""dscp": -0"#, MistakeKind::WrongValue, "and not -0"),
        (r#""timeout_ms": 18446744073709551616"#, MistakeKind::WrongValue, "and not 18446744073709551616"),
        (r#""dscp": "1""#, MistakeKind::WrongType, "expected a whole number from 0 to 63, and not a text"),
        (r#""dscp": null"#, MistakeKind::WrongType, "and not null"),
        (r#""tls": 1"#, MistakeKind::WrongType, "expected true or false, and not a number"),
        (
            r#""protocol": "h3""#,
            MistakeKind::WrongValue,
            r#"expected "h1", "h2", "mqtt", "raw", "ws", and not "h3"; did you mean"#,
        ),
        (
            r#""mqtt_topic": "a""#,
            MistakeKind::Misplaced,
            "`mqtt_topic` is for mqtt, mqtt over ws, and this stream speaks h1",
        ),
        (
            r#""protocol": "ws", "http_method": "GET""#,
            MistakeKind::Misplaced,
            "`http_method` is for h1, h2, and this stream speaks ws",
        ),
        (
            r#""protocol": "mqtt", "mqtt_topic": "a", "http_url": "/""#,
            MistakeKind::Misplaced,
            "this stream speaks mqtt",
        ),
        (r#""server_cert": "root""#, MistakeKind::Misplaced, "`server_cert` is for servers"),
        (r#""server": true, "retry": "default""#, MistakeKind::Misplaced, "`retry` is for clients"),
        (
            r#""server": true, "tls": true"#,
            MistakeKind::Missing,
            "a server with TLS needs `server_cert` and `server_key`",
        ),
        (r#""http_url": "/${who}""#, MistakeKind::Undeclared, "$.s.a.http_url: `${who}` is not declared"),
        (r#""http_url": "/${whom}", "metadata": { "who": "" }"#, MistakeKind::Undeclared, r#"did you mean "who"?"#),
        (r#""http_url": "/${who""#, MistakeKind::WrongValue, "`${` without a `}`"),
        (r#""http_url": "/a b""#, MistakeKind::WrongValue, "a space"),
        (r#""metadata": { "a": "x\r\ny:" }"#, MistakeKind::WrongValue, "$.s.a.metadata.a"),
        (
            r#""protocol": "mqtt", "mqtt_subscribe": "a/b#""#,
            MistakeKind::WrongValue,
            "a wildcard that is not all of its level",
        ),
        (
            r#""protocol": "mqtt", "mqtt_topic": "a/+""#,
            MistakeKind::WrongValue,
            "a wildcard, which is for subscriptions",
        ),
        (r#""protocol": "mqtt""#, MistakeKind::Missing, "needs `mqtt_topic` or `mqtt_subscribe`"),
        (r#""via": "tcp:p.example:1""#, MistakeKind::WrongValue, "the last step has to be a tunnel"),
        (
            r#""via": "tcp:p.example:1+socks5:t.example:2""#,
            MistakeKind::WrongValue,
            "the last tunnel has no target here",
        ),
        (r#""via": "tcp:p.example:1+socks5", "via-socks5": "p.example:1""#, MistakeKind::Misplaced, "give one of them"),
        (r#""layers": "tsl""#, MistakeKind::WrongValue, "unknown step"),
        (r#""tls": true, "pins": ["abc"]"#, MistakeKind::WrongValue, "$.s.a.pins"),
        (
            r#""tls": true, "min_version": "1.3", "max_version": "1.2""#,
            MistakeKind::WrongValue,
            "`min_version` is above `max_version`",
        ),
        (r#""http_resp_map": { "99": 1 }"#, MistakeKind::WrongValue, "expected a key from 100 to 599"),
        (r#""use_auth": "nobody""#, MistakeKind::UnknownName, r#"no auth is called "nobody""#),
    ] {
        let error = Policy::read(&stream(keys)).map(|_| ()).expect_err(keys);
        let [mistake] = error.mistakes() else { panic!("{keys}: {error}") };
        assert_eq!(mistake.kind(), kind, "{keys}: {mistake}");
        assert!(mistake.to_string().contains(expected), "{keys}: {mistake}");
        assert!(mistake.line().is_some_and(|line| (5..=6).contains(&line)), "{keys}: {mistake}");
    }
    // And none of it is one where nothing is wrong.
    for keys in [
        r#""retry": "default""#,
        r#""tls": true, "tls_trust_store": "own", "pins": [], "client_cert": 0"#,
        r#""http_url": "/${who}/$${who}", "metadata": [ { "who": "" } ]"#,
        r#""protocol": "mqtt", "mqtt_subscribe": ["a/+/b/#", "+"]"#,
        r#""via": "tcp:p.example:1+socks5:q.example:2+tls+connect:version=1""#,
        r#""server": false, "tls": false"#,
    ] {
        Policy::read(&stream(keys)).unwrap_or_else(|error| panic!("{keys}: {error}"));
    }
}

#[test]
fn all_mistakes_are_told_in_the_order_of_the_text() {
    let text = r#"{
  "retry": [ { "a": { "backoff": [] , "svalidping": 10, "svalidhup": 5, "conceal": "ever" } } ],
  "certs": [ { "c": "!" } ],
  "s": [
    { "x": { "endpoint": "e", "port": 65536, "retry": "b" } },
    { "y": { "protocol": "raw" } }
  ],
  "what": {}
}"#;
    let found = Policy::read(text).unwrap_err();
    assert_eq!(found.to_string().split_once(" (and ").unwrap().1, "7 more mistakes)");
    let found = found.mistakes().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let places: Vec<_> = found.lines().map(|line| line.split(": ").take(2).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        places,
        [
            "line 2 $.retry[0].a.backoff",
            "line 2 $.retry[0].a.svalidping",
            "line 2 $.retry[0].a.conceal",
            "line 3 $.certs[0].c",
            "line 5 $.s[0].x.port",
            "line 5 $.s[0].x.retry",
            "line 6 $.s[1].y.endpoint",
            "line 8 $.what",
        ],
        "{found}"
    );
}

#[test]
fn what_is_no_json_or_not_of_its_shape_is_told_so() {
    for (text, expected) in [
        ("", "line 1: $: no JSON"),
        ("{", "no JSON"),
        ("{ \"s\": {}, }", "no JSON"),
        ("{ 's': {} }", "no JSON"),
        ("// c\n{}", "no JSON"),
        ("{} {}", "no JSON"),
        ("{ \"s\": 0x1 }", "no JSON"),
        ("[]", "$: expected an object, and not an array"),
        ("{ \"s\": [ [] ] }", "$.s: expected streams by name, and not an array"),
        ("{ \"s\": { \"a\": [ \"e\", 1 ] } }", "$.s.a: expected an object, and not an array"),
        ("{ \"retry\": { \"a\": [ [1] ] } }", "$.retry.a: expected an object, and not an array"),
        (
            "{ \"s\": [ { \"a\": {\"endpoint\":\"e\"} },\n { \"a\": {\"endpoint\":\"e\"} } ] }",
            "line 2: $.s[1].a: \"a\" is there already, in line 1",
        ),
        ("{ \"schema-version\": 2 }", "$.schema-version: expected a whole number from 1 to 1, and not 2"),
        ("{ \"trust_stores\": { \"t\": [] } }", "a trust store without certificates trusts nobody"),
        ("{ \"trust_stores\": { \"t\": [\"c\"] } }", "$.trust_stores.t: no certificate is called \"c\""),
        ("{ \"certs\": { \"c\": \"AAAA\" } }", "base64, and no DER in it"),
        ("{ \"auth\": { \"a\": { \"type\": \"basic\", \"user\": \"u\" } } }", "the type basic needs `password`"),
        (
            "{ \"auth\": { \"a\": { \"type\": \"bearer\", \"token\": \"t\", \"user\": \"u\" } } }",
            "`user` is nothing for the type bearer",
        ),
        ("{ \"auth\": { \"a\": {} } }", "`type` is missing"),
    ] {
        let error = Policy::read(text).map(|_| ()).expect_err(text);
        assert!(error.mistakes()[0].to_string().contains(expected), "{text}: {error}");
    }
    let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
    assert!(mistakes(&format!("{{ \"s\": {deep} }}")).contains("nested deeper than 64"));
    assert!(mistakes(&"[".repeat(100_000)).contains("no JSON"));
    assert!(mistakes(&" ".repeat(5 << 20)).contains("longer than"));
}

#[test]
fn a_lenient_reader_tells_what_it_has_passed_over() {
    let text = stream(
        r#""protocol": "ws", "prtocol": "h2", "urgent_tx": true, "dscp": 99, "aws_region": "r", "ws_binary": true, "retry": "x""#,
    );
    let (policy, passed_over) = Policy::read_leniently(&text).unwrap();
    let stream = &policy.streams["a"];
    assert_eq!((stream.protocol, stream.ws.binary, stream.dscp), (Protocol::Ws, true, None));
    assert_eq!(stream.retry.as_deref(), Some("x"), "never a stream with less than was asked for");
    let kinds: Vec<_> = passed_over.iter().map(Mistake::kind).collect();
    let without = MistakeKind::WithoutEffect;
    assert_eq!(kinds, [MistakeKind::UnknownKey, without, MistakeKind::WrongValue, without, MistakeKind::UnknownName]);
    assert!(Policy::read(&text).is_err());
    assert!(Policy::read_leniently("{").is_err());
    // What is right leaves nothing over.
    let (same, nothing) = Policy::read_leniently(POLICIES[1].1).unwrap();
    assert_eq!((same, nothing.len()), (policy_of(1), 0));
}

fn policy_of(index: usize) -> Policy {
    policy(index)
}

#[test]
fn filters_of_one_client_that_overlap_are_told() {
    for (filters, expected) in [
        (r##"["a/#", "a/b"]"##, true),
        (r##"["a/#", "a"]"##, true),
        (r##"["a/+/c", "a/b/+"]"##, true),
        (r##"["#", "${x}"]"##, true),
        (r##"["a/${x}", "a/+"]"##, true),
        (r##"["a/b", { "filter": "a/b", "qos": 1 }]"##, true),
        (r##"["a/+", "a/b/c"]"##, false),
        (r##"["a/#", "b/#"]"##, false),
        (r##"["a/${x}", "a/b"]"##, false),
    ] {
        let text = stream(&format!(r#""protocol": "mqtt", "metadata": {{ "x": "" }}, "mqtt_subscribe": {filters}"#));
        let (_, told) = Policy::read_leniently(&text).unwrap();
        assert_eq!(
            told.iter().map(Mistake::kind).collect::<Vec<_>>(),
            if expected { vec![MistakeKind::Doubtful] } else { vec![] },
            "{filters}"
        );
        Policy::read(&text).unwrap();
    }
}

#[test]
fn a_flag_is_cleared_and_a_name_is_removed_by_an_overlay() {
    let base = Document::parse(POLICIES[1].1).unwrap();
    let changed = base
        .overlay(r#"{ "via-socks5": null, "s": [ { "telemetry": { "nailed_up": false, "port": 1884, "mqtt_will_qos": null } } ] }"#)
        .unwrap()
        .policy()
        .unwrap();
    let stream = &changed.streams["telemetry"];
    assert!(!stream.is_nailed_up && changed.via.is_none());
    assert_eq!((stream.port, stream.mqtt.will.as_ref().unwrap().qos), (1884, Qos::AtMostOnce));
    assert_eq!(stream.mqtt.topic, policy(1).streams["telemetry"].mqtt.topic, "the rest stays");

    // What the overlay names may be in the base, and the other way round.
    let new = r#"{ "retry": { "new": {} }, "s": { "telemetry": { "retry": "new", "tls_trust_store": "own" } } }"#;
    assert_eq!(base.overlay(new).unwrap().policy().unwrap().streams["telemetry"].retry.as_deref(), Some("new"));
}

#[test]
fn an_overlay_is_checked_as_a_whole_and_changes_nothing_if_it_is_wrong() {
    let base = Document::parse(POLICIES[1].1).unwrap();
    let before = base.to_string();
    for (patch, expected) in [
        (
            "{ \"s\": {\n \"telemetry\": { \"retry\": \"pat\" } } }",
            "overlay, line 2: $.s.telemetry.retry: no table of delays is called \"pat\"",
        ),
        (r#"{ "retry": null }"#, "$.s.telemetry.retry: no table of delays is called \"patient\""),
        (r#"{ "s": { "telemetry": { "endpoint": null } } }"#, "a client needs an `endpoint`"),
        (r#"{ "s": { "telem": {} } }"#, "$.s.telem"),
        (
            r#"{ "s": { "telemetry": { "port": 1, "port": 2 } } }"#,
            "overlay, line 1: $.s.telemetry.port: \"port\" is there already",
        ),
        (r#"[]"#, "expected an object"),
        ("{", "overlay, line 1: $: no JSON"),
    ] {
        let error: PolicyError = base.overlay(patch).unwrap_err();
        assert!(error.to_string().contains(expected), "{patch}: {error}");
    }
    assert_eq!(base.to_string(), before);
    assert_eq!(base.overlay("{}").unwrap(), base);
}

/// The examples of RFC 7386, appendix A, as far as a policy can have them, in a place that takes any value.
#[test]
fn an_overlay_merges_as_the_rfc_says() {
    for (target, patch, merged) in [
        (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"a":null}"#, r#"{}"#),
        (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
        (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
        (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
        (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
        (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
        (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
        (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
        (r#"[1,2]"#, r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
        (r#"{}"#, r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
    ] {
        let within = |value: &str| format!(r#"{{ "metrics": {value} }}"#);
        let document = Document::parse(&within(target)).unwrap();
        assert_eq!(
            document.overlay(&within(patch)).unwrap(),
            Document::parse(&within(merged)).unwrap(),
            "{target} {patch}"
        );
    }
}

#[test]
fn what_is_read_prints_and_reads_the_same() {
    for (name, text) in POLICIES {
        let document = Document::parse(text).unwrap();
        let printed = document.to_string();
        assert_eq!(Document::parse(&printed).unwrap(), document, "{name}");
        assert_eq!(Policy::read(&printed).unwrap(), Policy::read(text).unwrap(), "{name}");
        assert!(!format!("{document:?}").contains("PRIVATE"), "{name}");
        serde_json::from_str::<serde_json::Value>(&printed).unwrap();
    }
}

#[test]
fn a_policy_that_a_program_puts_together_is_held_to_the_same() {
    let mut policy = Policy::default();
    policy.retries.insert("slow".to_owned(), Retry::new([Duration::from_secs(9)]));
    let mut stream = StreamPolicy::to(Protocol::H2, "${host}", 443).unwrap();
    stream.tls = Tls::trusting("own");
    stream.retry = Some("slow".to_owned());
    policy.streams.insert("a.b".to_owned(), stream);
    let found = policy.check().unwrap_err();
    let lines: Vec<_> = found.mistakes().iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            r#"$.s["a.b"].tls_trust_store: no trust store is called "own""#,
            r#"$.s["a.b"].endpoint: `${host}` is not declared: give it a place in `metadata`"#,
        ]
    );
    policy.trust_stores.insert("own".to_owned(), TrustStore::default());
    policy.streams.get_mut("a.b").unwrap().values.insert("host".to_owned(), None);
    policy.check().unwrap();
}

#[test]
fn a_policy_is_read_from_a_file_and_names_files_beside_it() {
    // Another package runs these tests as well.
    let mut folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let file =
        folders.find_map(|folder| folder.join("tests/streams/policies/device.json").canonicalize().ok()).unwrap();
    let policy = Policy::read_file(&file).unwrap();
    assert_eq!(policy.certificates["me"], Material::File(file.parent().unwrap().join("me.pem")));
    assert!(Policy::read_file(file.with_extension("none")).unwrap_err().to_string().contains("device.none"));
}

#[test]
fn no_value_reaches_a_place_that_it_would_change() {
    let fill = |place: Place, text: &str, value: &str| {
        Template::parse(text, place).unwrap().fill(|_| Some(value)).map_err(|error| error.to_string())
    };
    for (text, value, expected) in [
        ("/a/${v}/b", "x", "/a/x/b"),
        ("/a/${v}/b", "../c?d#e f", "/a/..%2Fc%3Fd%23e%20f/b"),
        ("/a?q=${v}", "1&r=2\r\n", "/a?q=1%26r%3D2%0D%0A"),
        ("/${v}", "ä%2e", "/%C3%A4%252e"),
        ("/a/$${v}/${v}/$", "x", "/a/${v}/x/$"),
        ("/a?b=${v}", "..", "/a?b=.."),
        ("/${v}.txt", "..", "/...txt"),
    ] {
        assert_eq!(fill(Place::Url, text, value).as_deref(), Ok(expected), "{text} {value:?}");
    }
    for (place, text, value) in [
        (Place::Url, "/a/${v}/b", ".."),
        (Place::Url, "/a/.${v}", "."),
        (Place::Header, "a ${v}", "b\r\nc: d"),
        (Place::Header, "${v}", "b\nc"),
        (Place::Header, "${v}", "b\0"),
        (Place::Topic, "a/${v}", "b/c"),
        (Place::Topic, "a/${v}", "#"),
        (Place::Topic, "a/${v}", "+"),
        (Place::Topic, "${v}/a", "$SYS"),
        (Place::Topic, "${v}", "a\0"),
        (Place::Filter, "${v}/b", "+"),
        (Place::Filter, "a/${v}", "#"),
        (Place::Host, "${v}.example", "evil.example/"),
        (Place::Host, "${v}.example", "user@evil"),
        (Place::Host, "${v}.example", "127.0.0.1:80"),
        (Place::Host, "${v}", "a b"),
        (Place::Text, "${v}", "a\0"),
    ] {
        let error = fill(place, text, value).unwrap_err();
        assert!(error.contains("`${v}`") && !error.contains(value.trim_end_matches('.')) || value.len() < 3, "{error}");
        // The same place takes what is harmless.
        assert!(fill(place, text, "ok").is_ok(), "{text}");
    }
    assert_eq!(fill(Place::Host, "${v}", "2001:db8::1").as_deref(), Ok("2001:db8::1"));
    assert_eq!(fill(Place::Filter, "+/${v}/#", "a").as_deref(), Ok("+/a/#"));
    let missing = Template::parse("/${v}", Place::Url).unwrap().fill(|_| None).unwrap_err();
    assert!(missing.is_missing() && missing.name() == "v");
}

#[test]
fn no_secret_is_in_what_debug_writes() {
    let text = r#"{ "via-socks5": "me:hunter2@p.example:1",
        "certs": { "k": "-----BEGIN PRIVATE KEY-----\nhunter2" },
        "auth": { "a": { "type": "basic", "user": "me", "password": "hunter2" } },
        "s": { "a": { "endpoint": "e.example", "protocol": "mqtt", "mqtt_topic": "seen", "mqtt_user": "me", "mqtt_password": "hunter2" },
               "b": { "endpoint": "e.example", "use_auth": "a", "http_auth_header": "authorization", "http_auth_preamble": "Basic hunter2" } } }"#;
    let policy = Policy::read(text).unwrap();
    let shown = format!("{policy:?} {:?}", Document::parse(text).unwrap());
    assert!(shown.contains("seen") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn templates_print_as_they_are_read() {
    for text in ["", "a", "${a}", "$", "$$", "$${", "$${a}${b}$c", "a${a.b-c_d}"] {
        let template = Template::parse(text, Place::Text).unwrap();
        assert_eq!(Template::parse(&template.to_string(), Place::Text).unwrap(), template, "{text}");
        assert_eq!(template.to_string(), text);
    }
    for text in ["${", "${}", "${a b}", "${${a}}", "$${${"] {
        assert!(Template::parse(text, Place::Text).is_err(), "{text}");
    }
}

/// The JSON of another reader is the same JSON, and what that refuses is refused.
#[test]
fn no_other_json_is_read_than_that_of_the_rfc() {
    let mut taken = Vec::new();
    for text in [
        "{\"a\":01}",
        "{\"a\":1.}",
        "{\"a\":.5}",
        "{\"a\":+1}",
        "{\"a\":1e}",
        "{\"a\":-}",
        "{\"a\":NaN}",
        "{\"a\":Infinity}",
        "{\"a\":\"\t\"}",
        "{\"a\":\"\n\"}",
        "{\"a\":\"\\x41\"}",
        "{\"a\":\"\\u12\"}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":tru}",
        "{a:1}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":1,,\"b\":2}",
        "{\"a\":[1 2]}",
        "{\"a\":[1,]}",
        "{\"a\":/**/1}",
        "{\"a\":'b'}",
        "{\"a\"}",
        "{\"a\":\"\\v\"}",
        "\u{a0}{}",
        "{}\0",
        "nul",
    ] {
        assert!(serde_json::from_str::<serde_json::Value>(text).is_err(), "{text:?}");
        taken.extend(Document::parse(text).is_ok().then_some(text));
    }
    assert_eq!(taken, [""; 0]);
    for text in ["{\"a\":-0.5e+3}", "{\"a\":\"\\ud83d\\ude00\\/\\b\"}", " \r\n\t{ } ", "{\"\":null}"] {
        assert!(serde_json::from_str::<serde_json::Value>(text).is_ok(), "{text:?}");
        Document::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
    }
}
