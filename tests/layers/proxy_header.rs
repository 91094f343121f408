//! The PROXY header: what is sent is accepted, exactly its bytes are taken, and what is no header is refused.

use std::net::SocketAddr;
use std::time::Duration;

use onionskin::layer::Counter;
use onionskin::layer::proxy_header::{
    AcceptProxyHeader, Command, HeaderAddresses, HeaderVersion, ProxyHeader, Received, SendProxyHeader, SocketType,
    TlvKind,
};
use onionskin::stack::{Event, LayerError, LayerErrorKind, LayerId, PeerAnswer};
use onionskin::testing::{Cut, Pair};
use proptest::prelude::*;

use crate::common::link::{Link, each, pattern, text};

fn v4() -> (SocketAddr, SocketAddr) {
    ("192.0.2.7:40000".parse().unwrap(), "192.0.2.1:443".parse().unwrap())
}

fn v6() -> (SocketAddr, SocketAddr) {
    ("[2001:db8::7]:40000".parse().unwrap(), "[2001:db8::1]:443".parse().unwrap())
}

/// One of each kind.
fn headers() -> Vec<ProxyHeader> {
    let unix = |transport| HeaderAddresses::Unix {
        source: b"/run/a".to_vec(),
        destination: b"\0abstract".to_vec(),
        transport,
    };
    let (SocketAddr::V4(source), SocketAddr::V4(destination)) = v4() else { unreachable!() };
    let datagram = HeaderAddresses::Ipv4 { source, destination, transport: SocketType::Datagram };
    let with_tlvs = |header: ProxyHeader| {
        let header = header.with_tlv(TlvKind::Authority, "mail.example").unwrap();
        let header = header.with_tlv(TlvKind::Other(0xe0), []).unwrap();
        header.with_tlv(TlvKind::UniqueId, pattern(128)).unwrap()
    };
    vec![
        ProxyHeader::v1(v4().0, v4().1),
        ProxyHeader::v1(v6().0, v6().1),
        ProxyHeader::v1(v4().0, v6().1),
        ProxyHeader::v1_unknown(),
        ProxyHeader::v2(HeaderAddresses::tcp(v4().0, v4().1)),
        ProxyHeader::v2(HeaderAddresses::tcp(v6().0, v6().1)),
        ProxyHeader::v2(datagram),
        ProxyHeader::v2(unix(SocketType::Stream)),
        ProxyHeader::v2(unix(SocketType::Datagram)),
        ProxyHeader::v2(HeaderAddresses::Unspecified),
        ProxyHeader::v2_local(),
        with_tlvs(ProxyHeader::v2(HeaderAddresses::tcp(v4().0, v4().1))),
        with_tlvs(ProxyHeader::v2(HeaderAddresses::Unspecified)),
        with_tlvs(ProxyHeader::v2(HeaderAddresses::tcp(v6().0, v6().1)).with_checksum().unwrap()),
    ]
}

fn accept(link: &mut Pair, accept: AcceptProxyHeader) -> (LayerId, Received) {
    let received = accept.received();
    (link.right.splice(accept), received)
}

#[test]
fn a_header_of_each_kind_arrives_and_what_follows_is_the_applications() {
    each(0..=1, |case| {
        for header in headers() {
            let mut link = Link::connected(case);
            link.right.events();
            let (layer, received) = accept(&mut link, AcceptProxyHeader::new());
            link.left.splice(SendProxyHeader::new(&header));
            link.left.write(b"hello");
            link.run();
            assert_eq!(received.header(), Some(&header));
            let events = link.right.events();
            let gone = matches!(events[..], [Event::Ready(ready), Event::Stopped(gone, PeerAnswer::NotNeeded)]
                if ready == layer && gone == layer);
            assert!(gone, "{events:?}");
            assert_eq!(text(&link.right.read()), "hello");
            link.talk();
        }
    });
}

#[test]
fn a_header_and_a_client_hello_in_one_segment_work() {
    each(0..=2, |case| {
        for header in [ProxyHeader::v1(v4().0, v4().1), ProxyHeader::v2(HeaderAddresses::tcp(v6().0, v6().1))] {
            let mut link = Link::connected(case);
            let (_, received) = accept(&mut link, AcceptProxyHeader::new());
            link.left.splice(SendProxyHeader::new(&header));
            link.left.events();
            let (left, right) = (link.left_starts(), link.right_starts());
            link.run();
            assert_eq!(received.header(), Some(&header));
            assert!(matches!(link.left.events()[..], [Event::Ready(id)] if id == left));
            assert!(
                matches!(link.right.events()[..], [Event::Ready(_), Event::Stopped(..), Event::Ready(id)] if id == right)
            );
            link.talk();
            link.stop();
            link.talk();
        }
    });
}

#[test]
fn what_was_written_before_leaves_before_the_header() {
    each(0..=0, |case| {
        let mut link = Link::new(case);
        link.left.write(b"first\n");
        link.left.splice(SendProxyHeader::new(&ProxyHeader::v1_unknown()));
        link.left.write(b"last");
        link.run();
        assert_eq!(text(&link.right.read()), r"first\nPROXY UNKNOWN\r\nlast");
    });
}

#[test]
fn the_other_direction_passes_while_the_header_is_awaited() {
    each(0..=1, |case| {
        let mut link = Link::connected(case);
        let (layer, received) = accept(&mut link, AcceptProxyHeader::new());
        link.right.write(b"220 ready\r\n");
        link.left.write(b"PROXY UNK");
        link.run();
        assert_eq!(text(&link.left.read()), r"220 ready\r\n");
        assert!(!received.is_decided() && link.right.read().is_empty());
        let now = link.now();
        assert!(link.right.stack.remove(now, layer).is_err(), "it waits for bytes that are not the application's");
        link.left.write(b"NOWN\r\nx");
        link.run();
        assert!(received.is_decided());
        assert_eq!(text(&link.right.read()), "x");
    });
}

#[test]
fn the_header_layer_leaves_from_the_middle_while_data_flows() {
    each(0..=1, |case| {
        let mut link = Link::connected(case);
        link.right.splice(Counter::new());
        let (_, received) = accept(&mut link, AcceptProxyHeader::new());
        let counter = Counter::new();
        let counts = counter.counts();
        link.right.splice(counter);
        link.left.splice(SendProxyHeader::new(&headers()[11]));
        link.left.write(&pattern(5000));
        link.right.write(&pattern(3000));
        link.run();
        assert!(received.is_decided());
        assert!(link.right.read() == pattern(5000) && link.left.read() == pattern(3000));
        assert_eq!((counts.inbound(), counts.outbound()), (5000, 3000));
    });
}

/// The kind of the error with which the right side is lost over these bytes, and what it says.
fn refused(
    case: crate::common::link::Case,
    how: AcceptProxyHeader,
    bytes: &[u8],
    end: bool,
) -> Option<(LayerErrorKind, String)> {
    let mut link = Link::connected(case);
    accept(&mut link, how);
    link.left.write(bytes);
    if end {
        let now = link.now();
        link.left.stack.close(now);
    }
    link.run();
    assert!(link.right.read().is_empty(), "nothing of it is the application's");
    let error = link.right.stack.lost()?.layer_error().unwrap();
    Some((error.kind(), error.to_string()))
}

#[test]
fn a_line_that_is_no_header_is_told_from_one_that_is_malformed() {
    use LayerErrorKind::{NotSpoken, Protocol};
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(200));
    let cases: &[(&str, LayerErrorKind)] = &[
        ("EHLO me\r\n", NotSpoken),
        ("PROXZ", NotSpoken),
        ("PROXY\r\n", NotSpoken),
        ("proxy TCP4", NotSpoken),
        ("PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n", Protocol),
        ("PROXY tcp4 192.0.2.1 192.0.2.2 1 2\r\n", Protocol),
        ("PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n", Protocol),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n", Protocol),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n", Protocol),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n", Protocol),
        ("PROXY TCP4 192.0.2.1 192.0.2.300 1 2\r\n", Protocol),
        ("PROXY TCP4 192.0.2.01 192.0.2.3 1 2\r\n", Protocol),
        ("PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n", Protocol),
        ("PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n", Protocol),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n", Protocol),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n", Protocol),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n", Protocol),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n", Protocol),
        ("PROXY TCP4 192.0.2.1 192.0.2.2  2\r\n", Protocol),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\rx", Protocol),
        ("PROXY \r\n", Protocol),
        (&long, Protocol),
    ];
    each(0..=1, |case| {
        for &(line, kind) in cases {
            let error = refused(case, AcceptProxyHeader::new(), line.as_bytes(), false);
            assert_eq!(error.as_ref().map(|error| error.0), Some(kind), "{line:?}: {error:?}");
        }
    });
}

#[test]
fn unknown_ignores_the_rest_of_its_line_whatever_it_is() {
    each(0..=0, |case| {
        for rest in ["", " ", " a", " a b c d e f g h", " \u{fffd}\u{7}", &format!(" {}", "x".repeat(107 - 16))] {
            let mut link = Link::new(case);
            let (_, received) = accept(&mut link, AcceptProxyHeader::new());
            link.left.write(format!("PROXY UNKNOWN{rest}\r\n").as_bytes());
            link.run();
            let expected = ProxyHeader::v1_unknown();
            assert_eq!(received.header(), Some(&expected), "{rest:?}: {:?}", link.right.stack.lost());
        }
    });
}

#[test]
fn the_longest_line_of_all_is_taken_and_one_byte_more_is_not() {
    let most =
        "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
    assert_eq!(most.len(), 107);
    assert!(matches!(ProxyHeader::parse(most.as_bytes()), Ok(Some((_, 107)))));
    let over = most.replace("UNKNOWN ", "UNKNOWN  ");
    assert_eq!(ProxyHeader::parse(over.as_bytes()).unwrap_err().kind(), LayerErrorKind::Protocol);
    assert!(matches!(ProxyHeader::parse(&most.as_bytes()[..106]), Ok(None)));
}

#[test]
fn a_malformed_block_is_refused() {
    let good = ProxyHeader::v2(HeaderAddresses::tcp(v4().0, v4().1)).with_tlv(TlvKind::Alpn, "h2").unwrap().encode();
    let changed = |at: usize, to: u8| {
        let mut bytes = good.clone();
        bytes[at] = to;
        bytes
    };
    assert!(ProxyHeader::parse(&good).unwrap().is_some());
    let mut cases = vec![changed(12, 0x11), changed(12, 0x31), changed(12, 0x22), changed(12, 0x2f)];
    for family in [0x01, 0x02, 0x10, 0x13, 0x20, 0x30, 0x33, 0x41, 0xff] {
        cases.push(changed(13, family));
    }
    // Too short for the addresses, and a piece of information that is longer than what is there.
    cases.extend([changed(15, 11), changed(15, 14), changed(15, 16), changed(30, 3), changed(29, 1)]);
    each(0..=0, |case| {
        for bytes in &cases {
            let error = refused(case, AcceptProxyHeader::new(), bytes, false);
            assert_eq!(error.as_ref().map(|error| error.0), Some(LayerErrorKind::Protocol), "{bytes:?}: {error:?}");
        }
        for at in 0..12 {
            let error = refused(case, AcceptProxyHeader::new(), &changed(at, b'?'), false);
            assert_eq!(error.as_ref().map(|error| error.0), Some(LayerErrorKind::NotSpoken), "{at}: {error:?}");
        }
    });
}

#[test]
fn a_local_header_is_taken_whatever_else_it_says() {
    let mut bytes = ProxyHeader::v2(HeaderAddresses::tcp(v6().0, v6().1)).encode();
    bytes[12] = 0x20;
    for family in [0x00, 0x21, 0x77] {
        bytes[13] = family;
        let (header, len) = ProxyHeader::parse(&bytes).unwrap().unwrap();
        assert_eq!(
            (header.command(), header.addresses(), len),
            (Command::Local, &HeaderAddresses::Unspecified, bytes.len())
        );
    }
}

#[test]
fn a_wrong_checksum_is_refused_and_a_right_one_anywhere_accepted() {
    let header = ProxyHeader::v2(HeaderAddresses::tcp(v4().0, v4().1)).with_checksum().unwrap();
    let header = header.with_tlv(TlvKind::Authority, "mail.example").unwrap();
    let good = header.encode();
    assert_eq!(ProxyHeader::parse(&good).unwrap().unwrap().0, header);
    for at in 16..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        // A change of a length or a kind may also be malformed in another way, or make the checksum something else.
        let kind_or_len = [28, 29, 30, 43, 44, 45].contains(&at);
        let parsed = ProxyHeader::parse(&bytes);
        assert!(parsed.is_err() || kind_or_len, "{at}: {parsed:?}");
    }
    // The sum in front of other information.
    let mut moved = ProxyHeader::v2(HeaderAddresses::Unspecified).with_checksum().unwrap().encode();
    assert_eq!(moved.len(), 16 + 7);
    assert!(ProxyHeader::parse(&moved).is_ok());
    moved[22] ^= 1;
    assert!(ProxyHeader::parse(&moved).is_err());
}

#[test]
fn an_end_inside_a_header_is_a_truncation() {
    each(0..=1, |case| {
        for header in [&headers()[1], &headers()[11]] {
            let bytes = header.encode();
            for len in [0, 1, 5, 13, 20, bytes.len() - 1] {
                let error = refused(case, AcceptProxyHeader::new(), &bytes[..len], true);
                let kind = error.as_ref().map(|error| error.0);
                assert_eq!(kind, Some(LayerErrorKind::Truncated), "{len} bytes of {header}: {error:?}");
            }
        }
    });
}

#[test]
fn a_header_that_does_not_come_in_time_is_a_loss() {
    each(0..=1, |case| {
        let mut link = Link::connected(case);
        accept(&mut link, AcceptProxyHeader::new());
        link.left.write(b"PROXY TCP4");
        link.run();
        link.advance(Duration::from_millis(9_999));
        assert!(link.right.lost().is_none());
        link.advance(Duration::from_millis(1));
        let error = link.right.lost().unwrap().layer_error().unwrap();
        assert_eq!(error.kind(), LayerErrorKind::HandshakeTimeout);

        let mut link = Link::connected(case);
        accept(&mut link, AcceptProxyHeader::new().timeout(None));
        link.advance(Duration::from_secs(3600));
        assert!(link.right.lost().is_none());
    });
}

#[test]
fn a_header_that_is_too_long_is_refused_before_it_comes() {
    each(0..=1, |case| {
        let header = ProxyHeader::v2(HeaderAddresses::Unspecified).with_tlv(TlvKind::Noop, vec![0; 5000]).unwrap();
        let bytes = header.encode();
        let error = refused(case, AcceptProxyHeader::new(), &bytes[..16], false);
        assert_eq!(error.map(|error| error.0), Some(LayerErrorKind::Limit));
        assert!(refused(case, AcceptProxyHeader::new().limit(6000), &bytes[..16], false).is_none());

        let mut link = Link::connected(case);
        let (_, received) = accept(&mut link, AcceptProxyHeader::new().limit(6000));
        link.left.splice(SendProxyHeader::new(&header));
        link.run();
        assert_eq!(received.header(), Some(&header));
    });
}

#[test]
fn no_header_passes_untouched_where_it_is_optional() {
    each(0..=1, |case| {
        for line in ["EHLO me\r\n", "P", "PROXZ", "\r\n\r\n\0\r\nQUIX"] {
            let mut link = Link::connected(case);
            let (_, received) = accept(&mut link, AcceptProxyHeader::new().optional());
            link.left.write(line.as_bytes());
            link.run();
            if line == "P" {
                assert!(!received.is_decided(), "it may yet be one");
                // The inner layers stay open: only the end of the stream below decides.
                if case.depth == 0 {
                    let now = link.now();
                    link.left.stack.close(now);
                } else {
                    link.left.write(b"?");
                }
                link.run();
            }
            assert!(received.is_decided() && received.header().is_none());
            assert!(text(&link.right.read()).starts_with(&text(line.as_bytes())));
        }
        let mut link = Link::connected(case);
        let (_, received) = accept(&mut link, AcceptProxyHeader::new().optional());
        link.left.splice(SendProxyHeader::new(&headers()[0]));
        link.run();
        assert_eq!(received.header(), Some(&headers()[0]));
    });
}

#[test]
fn optional_is_no_excuse_for_a_malformed_header() {
    each(0..=0, |case| {
        let error = refused(case, AcceptProxyHeader::new().optional(), b"PROXY TCP9 a b\r\n", false);
        assert_eq!(error.map(|error| error.0), Some(LayerErrorKind::Protocol));
    });
}

#[test]
fn only_the_version_that_is_allowed_is_a_header() {
    each(0..=0, |case| {
        let (v1, v2) = (headers()[0].encode(), headers()[4].encode());
        for (only, good, bad) in [(HeaderVersion::V1, &v1, &v2), (HeaderVersion::V2, &v2, &v1)] {
            assert!(refused(case, AcceptProxyHeader::new().only(only), good, false).is_none());
            let error = refused(case, AcceptProxyHeader::new().only(only), bad, false);
            assert_eq!(error.map(|error| error.0), Some(LayerErrorKind::NotSpoken));
        }
    });
}

#[test]
fn information_that_has_no_place_is_refused() {
    let long = vec![0; 65_530];
    let v2 = ProxyHeader::v2(HeaderAddresses::Unspecified);
    let full = v2.clone().with_tlv(TlvKind::Noop, &long).unwrap();
    assert_eq!(full.encode().len(), 16 + 3 + long.len());
    assert_eq!(full.with_checksum().unwrap_err().kind(), LayerErrorKind::Limit);
    assert_eq!(v2.with_tlv(TlvKind::Noop, vec![0; 65_533]).unwrap_err().kind(), LayerErrorKind::Limit);
    for header in [ProxyHeader::v1_unknown(), ProxyHeader::v2_local()] {
        assert_eq!(header.with_tlv(TlvKind::Alpn, "h2").unwrap_err().kind(), LayerErrorKind::Unsupported);
    }
}

#[test]
fn what_we_write_is_what_the_crate_ppp_reads() {
    for header in headers() {
        let bytes = header.encode();
        match header.version() {
            HeaderVersion::V1 => {
                let read = ppp::v1::Header::try_from(&bytes[..]).unwrap();
                assert_eq!(read.header.as_bytes(), bytes);
                let unknown = read.addresses == ppp::v1::Addresses::Unknown;
                assert_eq!(unknown, *header.addresses() == HeaderAddresses::Unspecified);
            }
            _ => {
                let read = ppp::v2::Header::try_from(&bytes[..]).unwrap();
                assert_eq!(read.as_bytes(), bytes);
                match (read.addresses, header.addresses()) {
                    (ppp::v2::Addresses::IPv4(read), HeaderAddresses::Ipv4 { source, destination, .. }) => {
                        assert_eq!((read.source_address, read.source_port), (*source.ip(), source.port()));
                        assert_eq!(
                            (read.destination_address, read.destination_port),
                            (*destination.ip(), destination.port())
                        );
                    }
                    (ppp::v2::Addresses::IPv6(read), HeaderAddresses::Ipv6 { source, destination, .. }) => {
                        assert_eq!((read.source_address, read.source_port), (*source.ip(), source.port()));
                        assert_eq!(
                            (read.destination_address, read.destination_port),
                            (*destination.ip(), destination.port())
                        );
                    }
                    (ppp::v2::Addresses::Unix(read), HeaderAddresses::Unix { source, destination, .. }) => {
                        assert!(read.source.starts_with(source) && read.destination.starts_with(destination));
                    }
                    (ppp::v2::Addresses::Unspecified, HeaderAddresses::Unspecified) => {}
                    other => panic!("{other:?}"),
                }
                if *header.addresses() != HeaderAddresses::Unspecified {
                    let read: Vec<_> = read.tlvs().map(|tlv| tlv.unwrap()).collect();
                    let read: Vec<_> = read.iter().map(|tlv| (tlv.kind, tlv.value.to_vec())).collect();
                    let ours: Vec<_> = header.tlvs().iter().map(|tlv| (tlv.kind.code(), tlv.value.clone())).collect();
                    assert_eq!(read, ours);
                }
            }
        }
    }
}

/// A stream that begins like a header more often than chance would have it.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let noise = || proptest::collection::vec(any::<u8>(), 0..300);
    let fronts: Vec<Vec<u8>> = headers().iter().map(ProxyHeader::encode).collect();
    let damaged = (proptest::sample::select(fronts.clone()), any::<proptest::sample::Index>(), any::<u8>());
    let damaged = damaged.prop_map(|(mut bytes, at, to)| {
        let at = at.index(bytes.len());
        bytes[at] = to;
        bytes
    });
    let front = prop_oneof![
        noise(),
        Just(b"PROXY ".to_vec()),
        Just(b"\r\n\r\n\0\r\nQUIT\n\x21\x11".to_vec()),
        proptest::sample::select(fronts),
        damaged,
    ];
    (front, noise()).prop_map(|(front, noise)| [front, noise].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whatever_comes_is_a_header_or_an_error_or_unfinished(bytes in hostile(), seed: u64) {
        let parsed = ProxyHeader::parse(&bytes);
        let mut pair = Pair::new(Cut::Random(seed));
        let (_, received) = accept(&mut pair, AcceptProxyHeader::new());
        pair.left.write(&bytes);
        pair.run();
        match parsed {
            Ok(Some((header, len))) => {
                prop_assert!(len <= bytes.len());
                prop_assert!(header.version() == HeaderVersion::V2 || len <= 107);
                // What is written again is read as the same.
                let again = header.encode();
                prop_assert_eq!(ProxyHeader::parse(&again).unwrap(), Some((header.clone(), again.len())));
                prop_assert_eq!(received.header(), Some(&header));
                prop_assert_eq!(pair.right.read(), &bytes[len..]);
            }
            Ok(None) => prop_assert!(!received.is_decided()),
            Err(error) => {
                let lost = pair.right.stack.lost().and_then(|reason| reason.layer_error()).map(LayerError::kind);
                prop_assert_eq!(lost, Some(error.kind()));
            }
        }
    }

    #[test]
    fn no_prefix_of_a_header_is_a_header(which in 0..14_usize, at: proptest::sample::Index) {
        let bytes = headers()[which].encode();
        let len = at.index(bytes.len());
        prop_assert_eq!(ProxyHeader::parse(&bytes[..len]).unwrap(), None);
    }
}
