//! A tree of stacks, drawn from its carrier, from a tunnel, and from either side.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use futures::io::AsyncWriteExt;
use onionskin::Connection;
use onionskin::connection::View;
use onionskin::runtime::{Address, Socket};
use onionskin::rustls::NamedGroup;
use onionskin::testing::Cut;
use onionskin::tls::{TlsClient, TlsServer, Version, default_provider};
use onionskin::tunnel::http2::{Connect, PendingTunnels, Settings, Tunnels};
use onionskin::tunnel::{Credentials, Grant};

use crate::common::Authority;
use crate::{Bench, NAME, hear, run, say, settle, target};

/// Configurations with one version and one group, so that a drawing is the same with every provider.
fn configured() -> (TlsClient, TlsServer) {
    let authority = Authority::new();
    let mut provider = (*default_provider().unwrap()).clone();
    provider.kx_groups.retain(|group| group.name() == NamedGroup::X25519);
    let provider = Arc::new(provider);
    let versions = &[Version::Tls13];
    let client = TlsClient::builder(authority.roots()).provider(Arc::clone(&provider)).versions(versions);
    let server = TlsServer::builder(authority.identity(NAME)).provider(provider).versions(versions);
    (client.build().unwrap(), server.build().unwrap())
}

/// With `N` for the counts of bytes of three digits and more, which a handshake makes differ from run to run.
fn settled(drawing: impl std::fmt::Display) -> String {
    let drawing = format!("{drawing:#}");
    let words: Vec<&str> = drawing.split(' ').collect();
    let is_count = |index: usize| {
        let follows = words.get(index + 1).map(|word| word.trim_end_matches(|end| ",\n".contains(end)));
        matches!(follows.map(|word| word.split('\n').next()), Some(Some("in," | "in" | "out")))
    };
    let shown = words.iter().enumerate().map(|(index, word)| match word.parse::<u32>() {
        Ok(100..) if is_count(index) => "N",
        _ => word,
    });
    shown.collect::<Vec<_>>().join(" ")
}

/// The tunnels that a proxy has granted, in the order in which they were asked for.
type Granted = Rc<RefCell<Vec<Connection<Socket>>>>;

/// A proxy that grants whatever it is asked, and what it has granted.
fn grants_all(bench: &Bench, carrier: Connection<Socket>, settings: Settings) -> (View, Granted) {
    let granted = Granted::default();
    let mut asked = PendingTunnels::with(carrier, settings);
    let view = asked.view();
    let keep = Rc::clone(&granted);
    bench.spawn(async move {
        while let Some(pending) = asked.next().await {
            if pending.request().target == nobody() {
                // The request waits, and the client with it.
                std::mem::forget(pending);
            } else {
                let tunnel = pending.grant(Grant::default()).await.unwrap();
                keep.borrow_mut().push(tunnel);
            }
        }
    });
    (view, granted)
}

fn nobody() -> Address {
    Address::to_host("nobody.test", 9).unwrap()
}

fn host(name: &str) -> Address {
    Address::to_host(name, 443).unwrap()
}

/// Both sides of TLS in a tunnel.
async fn start_tls(near: &mut Connection<Socket>, far: &mut Connection<Socket>, tls: &(TlsClient, TlsServer)) {
    let (client, server) =
        futures::join!(near.start_tls(tls.0.to(NAME).unwrap()), far.start_tls(tls.1.accept().unwrap()));
    drop((client.unwrap(), server.unwrap()));
}

#[test]
fn each_tunnel_is_drawn_with_its_state_and_what_stands_on_it_from_either_side() {
    run(|bench| async move {
        let tls = configured();
        let (carrier, end) = bench.carrier(Cut::Whole);
        let (view, granted) = grants_all(&bench, bench.connection(end), Settings::new());
        let tunnels = Tunnels::over(carrier).await.unwrap();
        let mut open = tunnels.open(target()).await.unwrap();
        let mut ending = tunnels.open(host("b.test")).await.unwrap();
        let mut ended = tunnels.open(host("c.test")).await.unwrap();
        let mut done = tunnels.open(host("d.test")).await.unwrap();
        let mut far = granted.take();
        let waiting = Tunnels::clone(&tunnels);
        bench.spawn(async move { drop(waiting.open(nobody()).await) });
        start_tls(&mut open, &mut far[0], &tls).await;
        // With its tickets before it.
        say(&mut far[0], b"welcome").await;
        hear(&mut open, b"welcome").await;
        say(&mut ending, b"all of it").await;
        ending.close().await.unwrap();
        far[2].write_all(b"unread").await.unwrap();
        far[2].close().await.unwrap();
        far[3].close().await.unwrap();
        done.close().await.unwrap();
        settle().await;

        assert_eq!(
            settled(tunnels.tree()),
            r#"
        [ tls #1 ]    tls1.3 AES_256_GCM client "a.test"
    ┌── [ http2#1 ]   tcp mail.test:993  open  bytes N in, N out
    ├── [ http2#3 ]   tcp b.test:443  half-closed (local)  bytes 0 in, 9 out
    ├── [ http2#5 ]   tcp c.test:443  half-closed (remote)  bytes 6 in, 0 out  ▲ waiting: 6 bytes
    ├── [ http2#7 ]   tcp d.test:443  done
    ├── [ http2#9 ]   tcp nobody.test:9  waiting
    │
[ http2 ]             client  5 of at most 100 tunnels
    │
wire                  tcp proxy.test:443"#[1..]
        );
        assert_eq!(tunnels.tree().to_string(), "tcp proxy.test:443 ─ http2 client, 5 of at most 100 tunnels");
        assert_eq!(
            settled(view.tree().unwrap()),
            r#"
        [ tls #1 ]    tls1.3 AES_256_GCM server "a.test"
    ┌── [ http2#1 ]   tcp mail.test:993  open  bytes N in, N out
    ├── [ http2#3 ]   tcp b.test:443  half-closed (remote)  bytes 9 in, 0 out  ▲ waiting: 9 bytes
    ├── [ http2#5 ]   tcp c.test:443  half-closed (local)  bytes 0 in, 6 out
    ├── [ http2#7 ]   tcp d.test:443  done
    ├── [ http2#9 ]   tcp nobody.test:9  waiting
    │
[ http2 ]             server  5 tunnels
    │
wire                  tcp proxy.test:443"#[1..]
        );
        // What is over and read is drawn no more when nobody has it, and what stood on a tunnel goes with its layer.
        hear(&mut ended, b"unread").await;
        drop((ending, ended, done));
        let (near, far) = futures::join!(open.stop_tls(), far[0].stop_tls());
        drop((near.unwrap(), far.unwrap()));
        settle().await;
        let drawing = settled(tunnels.tree());
        assert!(drawing.starts_with("    ┌── [ http2#1 ]   tcp mail.test:993  open  bytes N in, N out"), "{drawing}");
        assert!(!drawing.contains("#7"), "{drawing}");
    });
}

#[test]
fn tunnels_in_tunnels_are_one_tree_and_the_one_that_is_looked_from_is_marked() {
    run(|bench| async move {
        let tls = configured();
        let (mut carrier, end) = bench.carrier(Cut::Whole);
        let mut other = bench.connection(end);
        start_tls(&mut carrier, &mut other, &tls).await;
        let (_, first) = grants_all(&bench, other, Settings::new());
        let outer = Tunnels::over(carrier).await.unwrap();
        let beside = outer.open(target()).await.unwrap();
        let mut way = outer.open(host("second.test")).await.unwrap();
        let mut far = first.borrow_mut().pop().unwrap();
        start_tls(&mut way, &mut far, &tls).await;
        let (second_view, second) = grants_all(&bench, far, Settings::new());
        let middle = Tunnels::over(way).await.unwrap();
        let way = middle.open(host("third.test")).await.unwrap();
        let far = second.borrow_mut().pop().unwrap();
        let (third_view, third) = grants_all(&bench, far, Settings::new());
        let inner = Tunnels::over(way).await.unwrap();
        let mut innermost = inner.open(host("last.test")).await.unwrap();
        let mut far = third.borrow_mut().pop().unwrap();
        start_tls(&mut innermost, &mut far, &tls).await;
        settle().await;

        let drawn = |mark: &str, marked: &str, stack: &str, hops: &str| {
            format!(
                r#"    ┌── [ http2#1 ]                   tcp mail.test:993  open{mark}
    │                   [ tls #1 ]    {stack}
    │               ┌── [ http2#1 ]   tcp last.test:443 [http2#3, http2#1, http2#1]  open
    │               │                 bytes N in, N out{marked}
    │               │
    │           [ http2 ]             client  1 of at most 100 tunnels
    │       ┌── [ http2#1 ]           tcp third.test:443 [http2#3, http2#1]  open
    │       │                         bytes N in, N out
    │       │
    │   [ http2 ]                     client  1 of at most 100 tunnels
    │   [ tls #1 ]                    client "a.test"  TLSv1.3  TLS13_AES_256_GCM_SHA384  X25519
    │       │                         1 certificate  handshake 0.0 ms  bytes N in, N out
    ├── [ http2#3 ]                   tcp second.test:443  open  bytes N in, N out
    │
[ http2 ]                             client  2 of at most 100 tunnels
    │
[ tls #1 ]                            client "a.test"  TLSv1.3  TLS13_AES_256_GCM_SHA384  X25519
    │                                 1 certificate  handshake 0.0 ms  bytes N in, N out
    │
wire                                  tcp proxy.test:443{hops}"#
            )
        };
        let outline = r#"tls1.3 AES_256_GCM client "a.test""#;
        let whole = drawn("", "", outline, "");
        assert_eq!(settled(outer.tree()), whole);
        assert_eq!(settled(middle.tree()), whole);
        assert_eq!(settled(inner.tree()), whole);
        assert_eq!(
            settled(beside.tree()),
            drawn(
                "  ◀ this one",
                "",
                outline,
                "\nhop 1         http2#1 at tcp proxy.test:443 to tcp mail.test:993  status 200  0.0 ms"
            )
        );
        // Its own layers it knows as they are now.
        let details = r#"client "a.test"  TLSv1.3  TLS13_AES_256_GCM_SHA384  X25519
    │                       │         1 certificate  handshake 0.0 ms  bytes 0 in, 0 out"#;
        let hops = r#"
hop 1         http2#3 at tcp proxy.test:443 to tcp second.test:443  status 200  0.0 ms
hop 2         http2#1 at tcp second.test:443 to tcp third.test:443  status 200  0.0 ms
hop 3         http2#1 at tcp third.test:443 to tcp last.test:443  status 200  0.0 ms"#;
        assert_eq!(settled(innermost.tree()), drawn("", "  ◀ this one", details, hops));
        assert_eq!(
            settled(third_view.tree().unwrap()),
            r#"
    ┌── [ http2#1 ]                   tcp mail.test:993  open
    │                   [ tls #1 ]    tls1.3 AES_256_GCM server "a.test"
    │               ┌── [ http2#1 ]   tcp last.test:443 [http2#3, http2#1, http2#1]  open
    │               │                 bytes N in, N out
    │               │
    │           [ http2 ]             server  1 tunnel
    │       ┌── [ http2#1 ]           tcp third.test:443 [http2#3, http2#1]  open
    │       │                         bytes N in, N out
    │       │
    │   [ http2 ]                     server  1 tunnel
    │   [ tls #1 ]                    server "a.test"  TLSv1.3  TLS13_AES_256_GCM_SHA384  X25519
    │       │                         handshake 0.0 ms  bytes N in, N out
    ├── [ http2#3 ]                   tcp second.test:443  open  bytes N in, N out
    │
[ http2 ]                             server  2 tunnels
    │
[ tls #1 ]                            server "a.test"  TLSv1.3  TLS13_AES_256_GCM_SHA384  X25519
    │                                 handshake 0.0 ms  bytes N in, N out
    │
wire                                  tcp proxy.test:443"#[1..]
        );
        assert_eq!(settled(second_view.tree().unwrap()), settled(third_view.tree().unwrap()));
    });
}

#[test]
fn the_picture_in_the_documentation_is_one_of_these() {
    run(|bench| async move {
        let tls = configured();
        let (mut carrier, end) = bench.carrier(Cut::Whole);
        let mut other = bench.connection(end);
        start_tls(&mut carrier, &mut other, &tls).await;
        let (_, granted) = grants_all(&bench, other, Settings::new());
        let outer = Tunnels::over(carrier).await.unwrap();
        let mut mail = outer.open(target()).await.unwrap();
        let mut news = outer.open(Address::to_host("news.test", 119).unwrap()).await.unwrap();
        let mut second = outer.open(host("second.test")).await.unwrap();
        let mut first = granted.take();
        let mut far = first.pop().unwrap();
        start_tls(&mut second, &mut far, &tls).await;
        let (_, _granted) = grants_all(&bench, far, Settings::new());
        start_tls(&mut mail, &mut first[0], &tls).await;
        say(&mut first[0], b"welcome").await;
        hear(&mut mail, b"welcome").await;
        say(&mut first[1], b"unread").await;
        say(&mut news, b"QUIT").await;
        news.close().await.unwrap();
        let last = Tunnels::over(second).await.unwrap().open(host("last.test")).await.unwrap();
        settle().await;
        let page = include_str!("../../docs/tunnels.md");
        let (_, from) = page.split_once("<!-- tree -->\n```text\n").unwrap();
        let (picture, _) = from.split_once("\n```\n<!-- /tree -->").unwrap();
        assert_eq!(settled(last.tree()), settled(picture), "{:#}", last.tree());
    });
}

#[test]
fn a_thousand_tunnels_are_summed_up_and_the_marked_one_is_among_those_shown() {
    run(|bench| async move {
        let (carrier, end) = bench.carrier(Cut::Whole);
        let (view, granted) = grants_all(&bench, bench.connection(end), Settings::new().max_tunnels(1000));
        let tunnels = Tunnels::over(carrier).await.unwrap();
        let mut opened = Vec::new();
        for _ in 0..1000 {
            opened.push(tunnels.open(target()).await.unwrap());
        }
        opened[500].close().await.unwrap();
        settle().await;
        let drawing = settled(tunnels.tree());
        assert_eq!(drawing.matches("[ http2#").count(), 10, "{drawing}");
        assert!(drawing.contains("    │   and 990 more   1 half-closed (local)  989 open\n    │\n"), "{drawing}");
        let drawing = settled(opened[999].tree());
        assert_eq!(drawing.matches("[ http2#").count(), 11, "{drawing}");
        assert!(drawing.contains("    ├── [ http2#1999 ]   tcp mail.test:993  open  ◀ this one\n"), "{drawing}");
        assert!(drawing.contains("    │   and 989 more "), "{drawing}");
        assert!(settled(view.tree().unwrap()).contains("    │   and 990 more   1 half-closed (remote)  989 open\n"));
        assert_eq!(granted.borrow().len(), 1000);
    });
}

#[test]
fn a_connection_that_is_no_tunnel_is_its_own_tree_and_a_view_ends_with_what_it_looks_at() {
    run(|bench| async move {
        let (carrier, end) = bench.carrier(Cut::Whole);
        assert_eq!(format!("{:#}", carrier.tree()), format!("{carrier:#}"));
        assert_eq!(carrier.tree().to_string(), carrier.to_string());
        let asked = PendingTunnels::over(bench.connection(end));
        let view = asked.view();
        assert_eq!(view.tree().unwrap().to_string(), "tcp proxy.test:443 ─ http2 server, 0 tunnels, not begun");
        drop(asked);
        assert!(view.tree().is_none());
    });
}

#[test]
fn no_credentials_are_drawn() {
    run(|bench| async move {
        let (carrier, end) = bench.carrier(Cut::Whole);
        let (view, _granted) = grants_all(&bench, bench.connection(end), Settings::new());
        let tunnels = Tunnels::over(carrier).await.unwrap();
        let connect = Connect::new(target()).credentials(Credentials::new("onion", "peel").unwrap());
        let tunnel = tunnels.open(connect.field("x-token", "hidden").unwrap()).await.unwrap();
        for drawing in [settled(tunnel.tree()), settled(tunnels.tree()), settled(view.tree().unwrap())] {
            assert!(drawing.contains("[ http2#1 ]"), "{drawing}");
            for secret in ["onion", "peel", "b25pb246cGVlbA", "hidden", "x-token"] {
                assert!(!drawing.contains(secret), "{drawing}");
            }
        }
    });
}
