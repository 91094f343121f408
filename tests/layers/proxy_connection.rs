//! The PROXY header over real sockets, in async code.

use std::net::Ipv4Addr;
use std::sync::Arc;

use futures::future::join;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use onionskin::Connection;
use onionskin::layer::Counter;
use onionskin::layer::proxy::{AcceptProxy, Addresses, ProxyHeader, TlvKind};
use onionskin::runtime::{self, Runtime, Socket, block_on};
use onionskin::stack::LayerErrorKind;
use onionskin::tls::Version;

use crate::common::Authority;

const NAME: &str = "server.example";

fn header() -> ProxyHeader {
    let addresses = Addresses::tcp("192.0.2.7:40000".parse().unwrap(), "192.0.2.1:443".parse().unwrap());
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
                left.send_proxy(&header()).await.unwrap();
                left.start_tls(client.to(NAME).unwrap()).await.unwrap();
                left.write_line("hello").await.unwrap();
                assert_eq!(left.read_line().await.unwrap().unwrap(), b"again");
                left.stop_tls().await.unwrap();
            };
            let answer = async {
                let accepted = right.accept_proxy(AcceptProxy::new()).await.unwrap();
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
            left.send_proxy(&header()).await.unwrap();
            left.write_line("hello").await.unwrap();
        };
        let answer = async {
            right.start_tls(server.accept().unwrap()).await.unwrap();
            assert_eq!(right.accept_proxy(AcceptProxy::new()).await.unwrap(), Some(header()));
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
        let error = right.accept_proxy(AcceptProxy::new()).await.unwrap_err();
        assert_eq!(error.layer_error().unwrap().kind(), LayerErrorKind::NotSpoken);
        assert!(error.to_string().contains("sent no PROXY header (it said \"EHLO me"), "{error}");

        let (mut left, mut right) = pair(runtime).await;
        left.write_line("EHLO me").await.unwrap();
        assert_eq!(right.accept_proxy(AcceptProxy::new().optional()).await.unwrap(), None);
        assert_eq!(right.read_line().await.unwrap().unwrap(), b"EHLO me");

        let (mut left, mut right) = pair(runtime).await;
        left.write_all(b"PROXY TCP4 ").await.unwrap();
        left.close().await.unwrap();
        assert!(right.accept_proxy(AcceptProxy::new()).await.unwrap_err().is_truncated());
    });
}
