//! Layers in async code: the PROXY header over real sockets, and those that keep time over a clock of the test's.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::join;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use onionskin::Connection;
use onionskin::connection::Error;
use onionskin::layer::proxy_header::{AcceptProxyHeader, HeaderAddresses, ProxyHeader, TlvKind};
use onionskin::layer::{Counter, Deflate, IdleTimeout, Rate, Throttle};
use onionskin::runtime::{self, Runtime, Socket, block_on};
use onionskin::stack::LayerErrorKind;
use onionskin::testing::{Clock, Cut, wire};
use onionskin::tls::Version;

use crate::common::Authority;

const NAME: &str = "server.example";

fn header() -> ProxyHeader {
    let addresses = HeaderAddresses::tcp("192.0.2.7:40000".parse().unwrap(), "192.0.2.1:443".parse().unwrap());
    ProxyHeader::v2(addresses).with_tlv(TlvKind::Authority, NAME).unwrap()
}

async fn pair(runtime: &'static dyn Runtime) -> (Connection<Socket>, Connection<Socket>) {
    let listener = runtime.listen_tcp((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
    let address = listener.local_address().as_tcp().unwrap();
    let (left, right) = join(runtime.connect_tcp(address), listener.accept()).await;
    let connect = |socket| Connection::with_timer(socket, Arc::new(runtime));
    (connect(left.unwrap()), connect(right.unwrap()))
}

#[test]
fn a_header_then_tls_and_a_counter_that_leaves_below_it() {
    let authority = Authority::new();
    let (client, server) = (authority.client(&[Version::Tls13]), authority.server(NAME, &[Version::Tls13]));
    for &runtime in runtime::all() {
        block_on(runtime, async {
            let (mut left, mut right) = pair(runtime).await;
            let ask = async {
                left.send_proxy_header(&header()).await.unwrap();
                left.start_tls(client.to(NAME).unwrap()).await.unwrap();
                left.write_line("hello").await.unwrap();
                assert_eq!(left.read_line().await.unwrap().unwrap(), b"again");
                left.stop_tls().await.unwrap();
            };
            let answer = async {
                let accepted = right.accept_proxy_header(AcceptProxyHeader::new()).await.unwrap();
                assert_eq!(accepted, Some(header()));
                assert_eq!(right.stack().depth(), 0);
                let counter = Counter::new();
                let counts = counter.counts();
                let layer = right.splice(counter).unwrap();
                right.start_tls(server.accept().unwrap()).await.unwrap();
                assert_eq!(right.read_line().await.unwrap().unwrap(), b"hello");
                right.remove(layer).unwrap();
                let seen = counts.inbound();
                assert!(seen > 0);
                right.write_line("again").await.unwrap();
                assert_eq!(right.read(&mut [0]).await.unwrap(), 0);
                right.stop_tls().await.unwrap();
                assert_eq!(counts.inbound(), seen);
                assert!(right.remove(layer).unwrap_err().is_no_such_layer());
            };
            join(ask, answer).await;
        });
    }
}

#[test]
fn a_header_inside_tls_is_accepted() {
    let authority = Authority::new();
    let (client, server) = (authority.client(&[Version::Tls12]), authority.server(NAME, &[Version::Tls12]));
    let Some(runtime) = runtime::preferred() else { return };
    block_on(runtime, async {
        let (mut left, mut right) = pair(runtime).await;
        let ask = async {
            left.start_tls(client.to(NAME).unwrap()).await.unwrap();
            left.send_proxy_header(&header()).await.unwrap();
            left.write_line("hello").await.unwrap();
        };
        let answer = async {
            right.start_tls(server.accept().unwrap()).await.unwrap();
            assert_eq!(right.accept_proxy_header(AcceptProxyHeader::new()).await.unwrap(), Some(header()));
            assert_eq!(right.read_line().await.unwrap().unwrap(), b"hello");
        };
        join(ask, answer).await;
    });
}

#[test]
fn what_is_no_header_fails_by_its_name_and_passes_where_it_is_optional() {
    let Some(runtime) = runtime::preferred() else { return };
    block_on(runtime, async {
        let (mut left, mut right) = pair(runtime).await;
        left.write_line("EHLO me").await.unwrap();
        let error = right.accept_proxy_header(AcceptProxyHeader::new()).await.unwrap_err();
        assert_eq!(error.layer_error().unwrap().kind(), LayerErrorKind::NotSpoken);
        assert!(error.to_string().contains("sent no PROXY header (it said \"EHLO me"), "{error}");

        let (mut left, mut right) = pair(runtime).await;
        left.write_line("EHLO me").await.unwrap();
        assert_eq!(right.accept_proxy_header(AcceptProxyHeader::new().optional()).await.unwrap(), None);
        assert_eq!(right.read_line().await.unwrap().unwrap(), b"EHLO me");

        let (mut left, mut right) = pair(runtime).await;
        left.write_all(b"PROXY TCP4 ").await.unwrap();
        left.close().await.unwrap();
        assert!(right.accept_proxy_header(AcceptProxyHeader::new()).await.unwrap_err().is_truncated());
    });
}

#[test]
fn a_throttle_gives_out_as_time_passes_and_all_when_it_is_lifted() {
    let clock = Clock::new();
    let (near, far) = wire(Cut::Whole, 100_000);
    let mut conn = Connection::with_timer(near, Arc::new(clock.clone()));
    let mut peer = Connection::with_timer(far, Arc::new(clock.clone()));
    let throttle = conn.splice(Throttle::new().inbound(Rate::per_second(1000).burst(100))).unwrap();
    peer.write_all(&[b'x'; 5000]).now_or_never().unwrap().unwrap();
    let mut bytes = vec![0; 5000];
    conn.read_exact(&mut bytes[..100]).now_or_never().expect("the burst is there").unwrap();
    {
        let mut second = conn.read_exact(&mut bytes[..1000]);
        for _ in 0..20 {
            assert!((&mut second).now_or_never().is_none());
            clock.advance(Duration::from_millis(50));
        }
        second.now_or_never().expect("a second has passed").unwrap();
    }
    assert!(conn.read(&mut bytes).now_or_never().is_none());
    conn.with_layer(throttle, |throttle: &mut Throttle| throttle.set_inbound(None)).unwrap();
    conn.read_exact(&mut bytes[..3900]).now_or_never().expect("the rest").unwrap();
    assert!(conn.with_layer(throttle, |_: &mut Counter| ()).is_err(), "it is of another type");
}

#[test]
fn an_idle_connection_fails_with_a_timeout_that_io_error_tells() {
    let clock = Clock::new();
    let (near, _far) = wire(Cut::Whole, 1000);
    let mut conn = Connection::with_timer(near, Arc::new(clock.clone()));
    conn.splice(IdleTimeout::new(Duration::from_secs(60))).unwrap();
    assert!(conn.read(&mut [0]).now_or_never().is_none());
    clock.advance(Duration::from_secs(60));
    let error = conn.read(&mut [0]).now_or_never().expect("it is over").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    assert!(Error::of(&error).unwrap().is_timeout(), "{error}");
}

#[test]
fn compression_is_stopped_as_tls_is() {
    let Some(runtime) = runtime::preferred() else { return };
    block_on(runtime, async {
        let (mut left, mut right) = pair(runtime).await;
        let ask = async {
            left.splice(Deflate::new()).unwrap();
            left.write_line("packed").await.unwrap();
            let stopped = left.stop_tls().await.unwrap();
            assert_eq!(stopped.late, b"late");
            left.write_line("in clear").await.unwrap();
        };
        let answer = async {
            right.splice(Deflate::new()).unwrap();
            assert_eq!(right.read_line().await.unwrap().unwrap(), b"packed");
            assert_eq!(right.read(&mut [0]).await.unwrap(), 0);
            right.write_all(b"late").await.unwrap();
            right.stop_tls().await.unwrap();
            assert_eq!(right.read_line().await.unwrap().unwrap(), b"in clear");
        };
        join(ask, answer).await;
    });
}

#[test]
fn a_header_that_nobody_waits_for_any_more_is_taken_all_the_same() {
    let clock = Clock::new();
    let (near, far) = wire(Cut::Whole, 1000);
    let mut conn = Connection::with_timer(near, Arc::new(clock.clone()));
    let mut peer = Connection::with_timer(far, Arc::new(clock));
    let accept = AcceptProxyHeader::new();
    let received = accept.received();
    assert!(conn.accept_proxy_header(accept).now_or_never().is_none(), "and the future is dropped");
    peer.send_proxy_header(&header()).now_or_never().expect("there is room").unwrap();
    peer.write_line("hello").now_or_never().expect("there is room").unwrap();
    assert_eq!(conn.read_line().now_or_never().expect("it is there").unwrap().unwrap(), b"hello");
    assert_eq!(received.header(), Some(&header()));
}
