//! PROXY headers, of both versions.

use onionskin::layer::proxy_header::{AcceptProxyHeader, ProxyHeader};
use onionskin::testing::{Cut, Pair};

use crate::give_in_pieces;

/// A header is read the same however it is cut, takes exactly its own bytes, and what is written of it is read as the same.
pub fn proxy_headers(input: &[u8]) {
    let parsed = ProxyHeader::parse(input);
    if let Ok(Some((header, len))) = &parsed {
        assert!(*len <= input.len(), "no header is longer than what came");
        let encoded = header.encode();
        let again = ProxyHeader::parse(&encoded).expect("what is written can be read");
        assert_eq!(again, Some((header.clone(), encoded.len())));
        assert!(!header.to_string().is_empty());
        // A shorter part of it is not one yet.
        for end in 0..*len {
            assert!(matches!(ProxyHeader::parse(&input[..end]), Ok(None)), "{end} of {len} bytes are no whole header");
        }
    }
    let heard: Vec<Heard> = [1, 7, input.len()].into_iter().map(|piece| accept(input, piece)).collect();
    assert!(heard.windows(2).all(|two| two[0] == two[1]), "it depends on the cut: {heard:?}");
    if let (Ok(Some((header, len))), Some((accepted, rest))) = (&parsed, &heard[0]) {
        assert_eq!((header, &input[*len..]), (accepted, &rest[..]));
    }
}

/// The header, and what was read behind it; none where there is no header, or no whole one.
type Heard = Option<(ProxyHeader, Vec<u8>)>;

fn accept(input: &[u8], piece: usize) -> Heard {
    let mut peer = Pair::new(Cut::Whole).left;
    let layer = AcceptProxyHeader::new();
    let received = layer.received();
    peer.splice(layer);
    give_in_pieces(&mut peer, input, piece);
    let rest = peer.read();
    let Some(header) = received.header() else {
        assert_eq!(rest, b"", "nothing is read before the header");
        return None;
    };
    Some((header.clone(), rest))
}
