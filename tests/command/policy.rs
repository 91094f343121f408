//! `onion policy`: what is wrong with a policy, and what it means.

use std::fs;

use crate::onion::{Directory, run};

const GOOD: &str = r#"{
  "via-socks5": "127.0.0.1:1080",
  "retry": { "patient": { "backoff": [1000, 2000, 5000], "conceal": "always", "jitterpc": 20 }, "twice": { "conceal": 2, "jitterpc": 0 } },
  "s": {
    "telemetry": {
      "endpoint": "${broker}", "protocol": "mqtt", "tls": true, "retry": "patient", "urgent_tx": true,
      "metadata": { "broker": "", "serial": "" },
      "mqtt_topic": "devices/${serial}/readings", "mqtt_qos": 1, "mqtt_user": "me", "mqtt_password": "hunter2"
    },
    "mail": { "endpoint": "127.0.0.1", "port": 25, "protocol": "raw", "layers": "starttls:smtp:ca=ca.pem", "retry": "twice" }
  }
}"#;

#[test]
fn every_mistake_is_told_with_its_path_and_line() {
    let directory = Directory::new();
    let file = directory.file("policy.json");
    fs::write(
        &file,
        GOOD.replace("\"patient\",", "\"patent\",").replace("\"port\": 25", "\"port\": 25.0, \"port\": 26"),
    )
    .unwrap();
    let outcome = run(["policy", "check", &file], "");
    assert_eq!(outcome.status, Some(1), "{outcome:?}");
    assert_eq!(
        outcome.lines(),
        [
            "line 6: $.s.telemetry.retry: no table of delays is called \"patent\"; did you mean \"patient\"?",
            "note: line 6: $.s.telemetry.urgent_tx: `urgent_tx` has no effect: it has none in libwebsockets either",
            "line 10: $.s.mail.port: expected a whole number from 0 to 65535, and not 25.0",
            "line 10: $.s.mail.port: \"port\" is there already, in line 10",
        ]
    );
    assert!(outcome.stderr.contains("has 3 mistakes"), "{outcome:?}");

    fs::write(&file, GOOD).unwrap();
    let outcome = run(["policy", "check", &file], "").succeeded();
    assert!(outcome.lines()[1].ends_with("no mistakes, 2 streams"), "{outcome:?}");
    let outcome = run(["policy", "check", "-"], "{").failed(1);
    assert!(outcome.contains("- has 1 mistake"), "{outcome}");
    assert!(run(["policy", "check", &directory.file("none.json")], "").failed(1).contains("none.json"));
}

#[test]
fn a_policy_is_drawn() {
    let outcome = run(["policy", "show", "-"], GOOD).succeeded();
    assert_eq!(
        outcome.lines(),
        [
            "mail",
            "├─ route    tcp:127.0.0.1:1080+socks5 ─▶ 127.0.0.1:25",
            "├─ layers   starttls:smtp:ca=ca.pem",
            "├─ speaks   raw",
            "└─ retries  twice: ●─ 3 s ─●─ 3 s ─● ✗ all have failed: 3 attempts in 6 s",
            "",
            "telemetry",
            "├─ route    tcp:127.0.0.1:1080+socks5 ─▶ ${broker}:8883",
            "├─ layers   tls, 1.2 to 1.3",
            "├─ trust    whom the system trusts",
            "├─ speaks   mqtt, topic devices/${serial}/readings, qos 1",
            "└─ retries  patient: ●─ 1 s ─●─ 2 s ─●─ 5 s ─●─ 5 s ─●─ … for ever; each delay up to 20 % longer",
        ]
    );
    assert!(!outcome.stdout.contains("hunter2"));
    let one = run(["policy", "show", "-", "mail"], GOOD).succeeded();
    assert_eq!(one.lines().len(), 5);
    assert!(run(["policy", "show", "-", "male"], GOOD).failed(2).contains("there are mail, telemetry"));
    assert!(run(["policy", "show", "-"], "{ \"what\": 1 }").failed(1).contains("$.what"));
}
