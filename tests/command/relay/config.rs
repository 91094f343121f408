//! `--config`: several relays in one process, and what can be wrong with the file.

use futures::io::AsyncWriteExt;

use super::status::{eventually, scrape};
use super::{Files, Layers, NOBODY, Relay, block_on, dial, greet, listen, read_all};
use crate::onion::{Directory, Outcome, onion, run};

/// Runs `onion relay --check` over a file with this text, whose name is left out of what it says.
fn check(directory: &Directory, text: &str) -> Outcome {
    let file = directory.write("relays.toml", text);
    let outcome = run(["relay", "--check", "--config", &file], "");
    Outcome { stderr: outcome.stderr.replace(&file, "FILE"), ..outcome }
}

#[test]
fn two_relays_in_one_process_serve_reload_and_end_together() {
    let (files, others) = (Files::new(), Files::new());
    let (mail, web) = (listen("tcp:127.0.0.1:0"), listen(&format!("tcp:127.0.0.1:0{}", others.server(Layers::Tls))));
    let text = format!(
        r#"
        status = "0"
        max-connections = 40
        patience = 60
        truncated = "reset"

        [relay.mail]
        listen = "tcp:127.0.0.1:0{}"
        connect = "{}"

        [relay."web.1"]
        listen = 'tcp:127.0.0.1:0'
        connect = "{}{}"
        max-connections = 3
        max-per-peer = 1
        "#,
        files.server(Layers::Tls),
        mail.endpoint().transport,
        web.endpoint().transport,
        others.client(Layers::Tls),
    );
    let file = files.directory.write("relays.toml", &text);
    assert_eq!(run(["relay", "--check", "--config", &file], "").succeeded().stdout, "nothing is wrong; relays: 2\n");
    let mut relay = Relay::started(onion(["relay", "--config", &file]));
    let first = relay.endpoint.strip_suffix(" for mail").unwrap().to_owned();
    let second = relay.place("listening on ").strip_suffix(" for web.1").unwrap().to_owned();
    let status = relay.place("status at tcp:");

    block_on(async {
        let mut client = dial(&format!("{first}{}", files.client(Layers::Tls))).await.unwrap();
        let mut server = mail.accept().await.unwrap().ready().await.unwrap();
        greet(&mut client, &mut server).await;
        let mut other = dial(&second).await.unwrap();
        let mut other_server = web.accept().await.unwrap().ready().await.unwrap();
        greet(&mut other, &mut other_server).await;
        // The limits are each one's own.
        let turned_away = async { read_all(&mut dial(&second).await?).await.1 };
        assert_eq!(turned_away.await.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
        relay.hears(&["web.1 #2 from", "turned away"]);
        let sample =
            |name: &str, relay: &str, more: &str| scrape(&status)[&format!("{name}{{relay=\"{relay}\"{more}}}")];
        for (relay, limit) in [("mail", 40), ("web.1", 3)] {
            assert_eq!(sample("onion_relay_connections_limit", relay, ""), limit);
            eventually(|| sample("onion_relay_bytes_total", relay, ",from=\"listen\"") == 1);
            eventually(|| sample("onion_relay_connections", relay, "") == 1);
        }

        relay.signal("HUP");
        for (name, side) in [("mail", "LISTEN"), ("mail", "CONNECT"), ("web.1", "LISTEN"), ("web.1", "CONNECT")] {
            relay.hears(&[&format!("{name}: {side} side: certificates and keys were read again")]);
        }

        relay.signal("TERM");
        relay.hears(&["mail: asked to end: 1 connections"]);
        relay.hears(&["web.1: asked to end: 1 connections"]);
        dial(&first).await.unwrap_err();
        dial(&second).await.unwrap_err();
        // One that has ended waits for the other.
        client.close().await.unwrap();
        server.close().await.unwrap();
        relay.hears(&["mail #1 from", "ended"]);
        greet(&mut other, &mut other_server).await;
        other.close().await.unwrap();
        other_server.close().await.unwrap();
    });
    let (status, log) = relay.finish();
    assert_eq!(status, Some(0), "{log:#?}");
    for summary in ["mail: 1 accepted: 1 ended", "web.1: 2 accepted: 1 ended"] {
        assert!(log.iter().any(|line| line.contains(summary)), "{log:#?}");
    }
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let directory = Directory::new();
    let file = |relay: &str| format!("[relay.a]\nlisten = \"tcp:127.0.0.1:0\"\nconnect = \"tcp:127.0.0.1:1\"\n{relay}");
    for (text, expected) in [
        (String::new(), "FILE: there is no relay: begin one with [relay.NAME]"),
        ("patience = 3\n".to_owned(), "FILE: there is no relay"),
        (file("max-conections = 3"), "FILE:4: unknown key `max-conections`: is it `max-connections`?"),
        (file("lisen = 3"), "FILE:4: unknown key `lisen`: is it `listen`?"),
        (
            file("colour = 'red'"),
            "FILE:4: unknown key `colour`: the known ones are listen, connect, max-connections, max-per-peer, idle, half-open, truncated, patience",
        ),
        (format!("staus = '1'\n{}", file("")), "FILE:1: unknown key `staus`: is it `status`?"),
        ("\n\n[relays.a]\n".to_owned(), "FILE:3: unknown key `relays`: is it `relay`?"),
        (file("max-connections = 0"), "FILE:4: `max-connections` has to be a whole number, 1 or more"),
        (file("max-per-peer = -1"), "FILE:4: `max-per-peer` has to be a whole number, 1 or more"),
        (file("truncated = \"politely\""), "FILE:4: `truncated` has to be \"fin\" or \"reset\""),
        (file("truncated = true"), "FILE:4: `truncated` has to be \"fin\" or \"reset\""),
        (file("max-per-peer = 1.5"), "FILE:4: `max-per-peer` has to be a whole number, 1 or more"),
        (file("idle = 0"), "FILE:4: `idle` has to be a whole number of seconds, 1 or more"),
        (file("half-opn = 3"), "FILE:4: unknown key `half-opn`: is it `half-open`?"),
        (file("patience = '30s'"), "FILE:4: `patience` has to be a whole number of seconds, 0 or more"),
        (file("patience = 99999999999"), "FILE:4: `patience` has to be a whole number of seconds, 0 or more"),
        ("[relay.a]\nconnect = 'tcp:h:1'\n".to_owned(), "FILE:1: the relay a has no `listen`"),
        ("[relay.a]\nlisten = 'tcp:h:1'\n".to_owned(), "FILE:1: the relay a has no `connect`"),
        ("[relay.a]\nlisten = 4433\n".to_owned(), "FILE:2: `listen` has to be a string, in quotation marks"),
        ("[relay.a]\n\nlisten = 'tpc:h:1'\n".to_owned(), "FILE:3: listen: endpoint tpc:h:1: unknown transport"),
        ("[[relay]]\nlisten = 'tcp:h:1'\n".to_owned(), "FILE:1: `relay` has to be a table: write [relay.NAME]"),
        ("relay = 3\n".to_owned(), "FILE:1: `relay` has to be a table: write [relay.NAME]"),
        ("[relay]\nlisten = 'tcp:h:1'\n".to_owned(), "FILE:2: `listen` has to be a table: write [relay.NAME]"),
        ("[relay.'a b']\n".to_owned(), "FILE:1: \"a b\" is no name: letters, digits, `-`, `_` and `.` make one"),
        (format!("status = 'here'\n{}", file("")), "FILE:1: status: endpoint tcp:here"),
        (file("listen = 'tcp:h:1'"), "FILE:4: duplicate key"),
        (format!("{}[relay.a]\n", file("")), "FILE:4: duplicate key"),
        ("[relay.a\n".to_owned(), "FILE:1: "),
        (
            "[relay.a]\nlisten = 'tcp:h:1+starttls:smtp:cert=a:key=b'\nconnect = 'tcp:h:2+starttls:imap'\n".to_owned(),
            "FILE:1: relay a: LISTEN speaks smtp and CONNECT imap: they cannot be joined",
        ),
        (
            "[relay.a]\nlisten = 'tcp:[::1]:9'\nconnect = 'tcp:h:2'\n[relay.b]\nlisten = 'tcp:[::1]:9'\nconnect = 'tcp:h:2'\n"
                .to_owned(),
            "FILE: the relays a and b both listen at tcp:[::1]:9",
        ),
    ] {
        let said = check(&directory, &text).failed(2);
        assert!(said.starts_with(&format!("error: {expected}")), "{text}\n{said}");
    }
    let port = "[relay.a]\nlisten = 'tcp:127.0.0.1:0'\nconnect = 'tcp:h:2'\n";
    let same = format!("{port}{}", port.replace("relay.a", "relay.b"));
    assert_eq!(check(&directory, &same).succeeded().stdout, "nothing is wrong; relays: 2\n");
}

#[test]
fn a_check_reads_certificates_and_listens_nowhere() {
    let files = Files::new();
    let (listen, connect) = (files.server(Layers::Tls), files.client(Layers::Tls));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("tcp:{}{listen}", taken.local_addr().unwrap());
    let connect = format!("{NOBODY}{connect}");
    let checked = || run(["relay", "--check", &listen, &connect], "");
    assert_eq!(checked().succeeded().stdout, "nothing is wrong; relays: 1\n");
    let file = format!("[relay.it]\nlisten = '{listen}'\nconnect = '{connect}'\n");
    assert_eq!(check(&files.directory, &file).status, Some(0));
    for name in ["chain.pem", "key.pem", "ca.pem"] {
        let path = files.directory.file(name);
        let sound = std::fs::read(&path).unwrap();
        std::fs::write(&path, "nonsense").unwrap();
        let outcome = checked();
        assert!(matches!(outcome.status, Some(1 | 2)) && outcome.stderr.contains(name), "{outcome:?}");
        let outcome = check(&files.directory, &file);
        assert!(
            outcome.stderr.starts_with("error: relay it: endpoint ") && outcome.stderr.contains(name),
            "{outcome:?}"
        );
        std::fs::write(&path, sound).unwrap();
    }
    checked().succeeded();
    // What works and may surprise is said as well.
    let ftp =
        run(["relay", "--check", "tcp:127.0.0.1:0", &format!("{NOBODY}+starttls:ftp:sni=localhost")], "").succeeded();
    assert!(ftp.stderr.contains("data connections do not go through here"), "{ftp:?}");
    let status = run(["relay", "--check", "--status", "tcp:127.0.0.1:0+tls", &listen, &connect], "");
    assert!(status.stderr.starts_with("error: status: "), "{status:?}");
}

#[test]
fn a_file_stands_alone() {
    let directory = Directory::new();
    let missing = directory.file("missing.toml");
    assert!(run(["relay", "--config", &missing], "").failed(1).contains("missing.toml: "));
    let file = directory.write("a.toml", "[relay.a]\nlisten = 'tcp:127.0.0.1:0'\nconnect = 'tcp:127.0.0.1:1'\n");
    for more in [
        &["tcp:127.0.0.1:0", NOBODY][..],
        &["--max-connections", "3"],
        &["--max-per-peer", "3"],
        &["--patience", "3"],
        &["--truncated", "fin"],
    ] {
        let outcome = run(["relay", "--config", &file].into_iter().chain(more.iter().copied()), "");
        assert_eq!(outcome.status, Some(2), "{outcome:?}");
        assert!(outcome.stderr.contains("cannot be used with"), "{outcome:?}");
    }
    let limits = run(["relay", "--config", &file, "--half-open", "3"], "").failed(2);
    assert!(limits.contains("with --config limits stand in the file"), "{limits}");
    for few in [&["relay"][..], &["relay", "tcp:127.0.0.1:0"]] {
        assert_eq!(run(few.iter().copied(), "").status, Some(2));
    }
    let beside = Relay::started(onion(["relay", "--config", &file, "--status", "0"]));
    assert!(beside.endpoint.ends_with(" for a"));
    beside.place("status at tcp:127.0.0.1:");
}

/// One that cannot listen keeps the others from being half a service.
#[test]
fn all_relays_listen_or_none() {
    let directory = Directory::new();
    let text = "[relay.a]\nlisten = 'tcp:127.0.0.1:0'\nconnect = 'tcp:h:1'\n[relay.b]\nlisten = 'tcp:192.0.2.1:1'\nconnect = 'tcp:h:1'\n";
    let outcome = run(["relay", "--config", &directory.write("a.toml", text)], "");
    assert!(outcome.stdout.is_empty(), "{outcome:?}");
    assert!(outcome.stderr.contains("error: relay b: endpoint tcp:192.0.2.1:1: cannot listen at"), "{outcome:?}");
    assert_eq!(outcome.status, Some(1));
}
