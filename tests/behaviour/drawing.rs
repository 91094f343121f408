//! The stack made visible: in one line, as a drawing, and in the logs.

use std::cell::RefCell;
use std::sync::{Arc, Once};

use log::{Level, LevelFilter, Log, Metadata, Record};
use onionskin::rustls::NamedGroup;
use onionskin::stack::Stop;
use onionskin::testing::{Cut, Pair};
use onionskin::tls::{OnFailure, TlsClient, TlsServer, Verify, Version, default_provider};

use crate::common::Authority;
use crate::common::layers::{FailsWhenTold, PassThrough};
use crate::common::link::{Link, NAME, ONE, each, each_version};

/// Configurations of TLS 1.3 with one group, so that a drawing is the same with every provider.
fn configured() -> (TlsClient, TlsServer) {
    let ([client, _], server) = two_clients();
    (client, server)
}

fn two_clients() -> ([TlsClient; 2], TlsServer) {
    let authority = Authority::new();
    let mut provider = (*default_provider().unwrap()).clone();
    provider.kx_groups.retain(|group| group.name() == NamedGroup::X25519);
    let provider = Arc::new(provider);
    let versions = &[Version::Tls13];
    let server = TlsServer::builder(authority.identity(NAME)).provider(Arc::clone(&provider)).versions(versions);
    let client = TlsClient::builder(authority.roots()).provider(provider).versions(versions).alpn(["xmpp"]);
    let clients = [client.clone(), client].map(|client| client.build().unwrap());
    (clients, server.alpn(["xmpp"]).build().unwrap())
}

/// Both drawings, without what comes of signatures that are longer one time than another.
fn drawings(pair: &Pair) -> [String; 2] {
    [&pair.left, &pair.right].map(|peer| settled(&format!("{:#}", peer.stack)))
}

/// With `N` for the counts of bytes that a handshake inside makes differ from run to run.
fn settled(drawing: &str) -> String {
    let words = drawing.split(' ').map(|word| match word.trim_end_matches(|end| "\n,".contains(end)).parse::<u32>() {
        Ok(count) if count > 99 => word.replace(&count.to_string(), "N"),
        _ => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// An outer layer with the left as the client, one that does nothing on the left, an inner one with the left as the
/// server.
fn nested() -> Pair {
    let ([client, other], server) = two_clients();
    // So that the layer inside has a session to resume.
    nested_with([&other, &client], &server);
    nested_with([&client, &client], &server)
}

fn nested_with([outer, inner]: [&TlsClient; 2], server: &TlsServer) -> Pair {
    let mut pair = Pair::new(Cut::Whole);
    pair.left.splice(outer.to(NAME).unwrap());
    pair.right.splice(server.accept().unwrap());
    pair.run();
    pair.left.splice(PassThrough);
    pair.left.splice(server.accept().unwrap());
    pair.right.splice(inner.to(NAME).unwrap());
    pair.run();
    pair
}

#[test]
fn the_name_of_a_wire_that_leads_through_a_proxy_is_whole_and_a_longer_one_fits() {
    let mut stack = onionskin::stack::Stack::new(onionskin::stack::Limits::default());
    let name = "tcp mail.example:993 via tcp proxy.example:1080, tcp second.example:3128 [http1]";
    stack.name_wire(name);
    assert!(format!("{stack:#}").ends_with(&format!("wire          {name}")));
    stack.name_wire("x".repeat(200));
    let drawing = format!("{stack:#}");
    let last = drawing.lines().last().unwrap();
    assert!(last.ends_with("x…") && last.chars().count() <= 100, "{last}");
}

#[test]
fn a_stack_without_layers_is_an_application_on_a_wire() {
    let mut pair = Pair::new(Cut::Whole);
    assert_eq!(drawings(&pair)[0], "application\n    │\nwire          left");
    pair.left.write(b"!");
    pair.left.stack.name_wire("tcp 192.0.2.1:25");
    let now = pair.now();
    pair.left.stack.close(now);
    assert_eq!(
        drawings(&pair)[0],
        "application   closed for writing\n    │         ▼ waiting: 1 byte, close\nwire          tcp 192.0.2.1:25"
    );
    pair.run();
    let closed = "application   closed for writing\n    │\nwire          tcp 192.0.2.1:25  closed for writing";
    assert_eq!(
        drawings(&pair),
        [
            closed,
            "application\n    │         ▲ waiting: 1 byte, end of file\nwire          right  end of file received"
        ]
    );
}

#[test]
fn one_layer_says_that_it_handshakes_and_then_what_was_agreed() {
    let (client, server) = configured();
    let mut pair = Pair::new(Cut::Whole);
    pair.left.splice(client.to(NAME).unwrap());
    assert_eq!(
        drawings(&pair)[0],
        r#"
application
    │
[ tls #1 ]    client "server.example"  handshaking
    │         ▼ waiting: N bytes
wire          left"#
            .trim_start()
    );
    pair.right.splice(server.accept().unwrap());
    pair.run();
    pair.left.write(b"hello");
    pair.run();
    assert_eq!(
        drawings(&pair),
        [
            r#"
application
    │
[ tls #1 ]    client "server.example"  TLSv1.3  TLS13_AES_256_GCM_SHA384  X25519  alpn xmpp
    │         1 certificate  handshake 0.0 ms  bytes 0 in, 5 out
    │
wire          left"#
                .trim_start(),
            r#"
application
    │         ▲ waiting: 5 bytes
[ tls #1 ]    server "server.example"  TLSv1.3  TLS13_AES_256_GCM_SHA384  X25519  alpn xmpp
    │         handshake 0.0 ms  bytes 5 in, 0 out
    │
wire          right"#
                .trim_start()
        ]
    );
}

#[test]
fn three_layers_show_who_stops_and_what_waits_where() {
    let mut pair = nested();
    pair.right.write(b"hello");
    pair.left.stop(Stop::new()).unwrap();
    pair.left.write(b"outside");
    pair.run();
    assert_eq!(
        drawings(&pair),
        [
            r#"
application
    │                 ▲ waiting: 5 bytes  ▼ waiting: 7 bytes
[ tls #3 stopping ]   server "server.example"  TLSv1.3  TLS13_AES_256_GCM_SHA384  X25519  alpn xmpp
    │                 resumed  handshake 0.0 ms  bytes 5 in, 0 out  close_notify sent
    │
[ layer #2 ]
    │
[ tls #1 ]            client "server.example"  TLSv1.3  TLS13_AES_256_GCM_SHA384  X25519  alpn xmpp
    │                 1 certificate  handshake 0.0 ms  bytes N in, N out
    │
wire                  left"#
                .trim_start(),
            r#"
application
    │         ▲ waiting: end of #2
[ tls #2 ]    client "server.example"  TLSv1.3  TLS13_AES_256_GCM_SHA384  X25519  alpn xmpp
    │         1 certificate  resumed  handshake 0.0 ms  bytes 0 in, 5 out  close_notify received
    │
[ tls #1 ]    server "server.example"  TLSv1.3  TLS13_AES_256_GCM_SHA384  X25519  alpn xmpp
    │         handshake 0.0 ms  bytes N in, N out
    │
wire          right"#
                .trim_start()
        ]
    );
    assert_eq!(
        pair.left.stack.to_string(),
        "left ─ tls1.3 AES_256_GCM client \"server.example\" ─ layer ─ \
         tls1.3 AES_256_GCM server \"server.example\" (stopping)"
    );
}

#[test]
fn a_loss_shows_which_layers_failed() {
    let mut pair = nested();
    pair.right.hold(true);
    pair.left.inject(b"250 in clear\r\n");
    pair.run();
    let [drawing, _] = drawings(&pair);
    assert!(drawing.starts_with("application         the connection is lost\n"), "{drawing}");
    assert!(drawing.contains("\n[ tls #3 failed ]   server ") && drawing.contains("\n[ layer #2 ]\n"), "{drawing}");
    assert!(drawing.contains("\n[ tls #1 failed ]   client "), "{drawing}");
    assert!(drawing.ends_with("\nwire                left  closed for writing"), "{drawing}");

    let (client, _) = configured();
    let mut pair = Pair::new(Cut::Whole);
    pair.left.splice(client.to(NAME).unwrap());
    pair.left.inject(b"no\r\n");
    pair.run();
    let [drawing, _] = drawings(&pair);
    assert!(drawing.contains("[ tls #1 failed ]   client \"server.example\"  handshake failed\n"), "{drawing}");
}

#[test]
fn no_line_is_wider_than_a_page_or_broken_by_what_a_peer_says() {
    each(ONE, |case| {
        let mut link = Link::new(case);
        let alpn = ["\n\u{1b}[2J\u{7f}\r\u{9b}\u{202e}é"];
        let long = TlsClient::builder(Verify::nothing()).alpn(alpn).build().unwrap();
        let server = TlsServer::builder(Authority::new().identity(NAME)).alpn(alpn).build().unwrap();
        let name = format!("{0}.{0}.{0}", "n".repeat(63));
        link.right_splices(server.accept().unwrap());
        let layer = long.to(&name).unwrap();
        link.left_splices(layer);
        link.left.stack.name_wire("w\n".repeat(100));
        link.run();
        for peer in [&link.left, &link.right] {
            let drawing = format!("{:#}", peer.stack);
            let is_plain = |line: &str| line.chars().count() <= 100 && !line.contains(char::is_control);
            assert!(drawing.lines().all(is_plain), "{drawing}");
            assert!(drawing.contains("alpn \\n\\x1b[2J\\x7f\\r\\u{9b}\\u{202e}é"), "{drawing}");
            assert_eq!(drawing.matches("\n[ ").count(), peer.stack.depth(), "{drawing}");
            assert!(!peer.stack.to_string().contains('\n'));
        }
    });
}

/// The lines that the stacks of this thread log while something is done.
fn logged(level: Level, act: impl FnOnce()) -> Vec<String> {
    struct Lines;

    impl Log for Lines {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.target() == "onionskin::stack"
        }

        fn log(&self, record: &Record<'_>) {
            if self.enabled(record.metadata()) {
                LINES.with_borrow_mut(|lines| match lines {
                    Some((level, lines)) if *level == record.level() => lines.push(record.args().to_string()),
                    _ => {}
                });
            }
        }

        fn flush(&self) {}
    }

    thread_local! {
        static LINES: RefCell<Option<(Level, Vec<String>)>> = const { RefCell::new(None) };
    }
    static ONCE: Once = Once::new();
    ONCE.call_once(|| log::set_logger(&Lines).unwrap());
    log::set_max_level(LevelFilter::Trace);

    LINES.set(Some((level, Vec::new())));
    act();
    let (_, lines) = LINES.take().unwrap();
    lines
}

#[test]
fn every_change_is_logged_with_the_stack_as_it_stands_after_it() {
    let (client, server) = configured();
    let mut pair = Pair::new(Cut::Whole);
    let lines = logged(Level::Debug, || {
        pair.left.splice(client.to(NAME).unwrap());
        pair.right.splice(server.accept().unwrap());
        pair.run();
        pair.left.stop(Stop::new()).unwrap();
        pair.run();
        pair.right.stop(Stop::new()).unwrap();
        pair.run();
        let now = pair.now();
        pair.right.stack.abort(now);
    });
    let tls = "tls1.3 AES_256_GCM";
    let expected = [
        format!("layer #1 is ready; now left ─ {tls} client \"{NAME}\""),
        format!("layer #1 is ready; now right ─ {tls} server \"{NAME}\""),
        format!("layer #1 ended; now right ─ {tls} server \"{NAME}\""),
        "layer #1 is peeled (CloseNotify); now right".to_owned(),
        format!("layer #1 ended; now left ─ {tls} client \"{NAME}\" (stopping)"),
        "layer #1 is peeled (CloseNotify); now left".to_owned(),
        "the connection is lost: the connection was aborted; now right".to_owned(),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn failures_are_logged_and_a_trace_has_the_drawing() {
    each_version(1, |case| {
        let mut link = Link::connected(case);
        let id = link.left.splice(FailsWhenTold::default());
        let now = link.now();
        let lines = logged(Level::Trace, || link.left.stack.with_layer(now, id, FailsWhenTold::fail).unwrap());
        let (change, drawing) = lines[0].split_once('\n').unwrap();
        assert_eq!(change, format!("layer {id} failed: it was told to fail; now"));
        assert!(drawing.starts_with("application           the connection is lost\n"), "{drawing}");
        assert!(drawing.contains("\n[ layer #2 failed ]\n"), "{drawing}");

        let mut link = Link::outer(case);
        let layer = link.client_layer().on_failure(OnFailure::Peel);
        link.left_splices(layer);
        link.left.inject(b"250 in clear\r\n");
        let lines = logged(Level::Debug, || link.run());
        let [line] = &lines[..] else { panic!("{lines:?}") };
        assert!(line.starts_with("layer #1 failed and is peeled: ") && line.ends_with("; now left"), "{line}");
    });
}
