//! Damaged dialogues: what comes of one does not depend on how it is cut.

use onionskin::testing::Dice;

use crate::outcome::{Side, outcome};

/// What real peers say, and what stands at the corners of the rules.
const SAID: [&str; 12] = [
    "HTTP/1.1 200 OK\r\n\r\n220 hello\r\n",
    "HTTP/1.1 103 x\r\nA: b\r\n\r\nHTTP/1.0 204 No\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 101 x\r\n\r\n",
    "HTTP/1.1 407 x\r\nProxy-Authenticate: Basic realm=\"a, b\", Negotiate\r\nContent-Length: 2\r\n\r\nno",
    "HTTP/1.1 407 x\nProxy-Authenticate: Basic\nTransfer-Encoding: chunked\n\n2;a\r\nno\r\n0\r\nA: b\r\n\r\n",
    "HTTP/1.1 502 x\r\nProxy-Status: a; error=dns_error; details=\"b\\\"\"\r\nContent-Length: 3\r\n\r\nno\nmore",
    "HTTP/1.1 503 x\r\nX-Squid-Error: ERR_DNS_FAIL 0\r\n\r\nno",
    "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\nProxy-Authorization: Basic b25pb246cGVlbA==\r\n\r\nbehind",
    "\r\nCONNECT [::1]:1 HTTP/1.0\n\nbehind",
    "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    "FOO_BAR a.example:443 HTTP/1.1\r\nHost: a\r\n\r\n",
    "\x16\x03\x01\x02\x00\x01\x00",
];

/// What is put in at random.
const PUT_IN: [&[u8]; 16] = [
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b" ",
    b"\0",
    b":",
    b"\xff",
    b"0",
    b"HTTP/1.1 ",
    b"Connection: close\r\n",
    b"Content-Length: 70000\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"fffffffff\r\n",
    b"\n\n\n\n\n\n\n\n\n",
    b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
];

#[test]
fn h4_what_comes_of_a_damaged_dialogue_does_not_depend_on_how_it_is_cut() {
    let (mut opened, mut lost) = (0, 0);
    for seed in 0..6000 {
        let mut dice = Dice::new(seed);
        let mut said = SAID[dice.below(SAID.len())].as_bytes().to_vec();
        for _ in 0..dice.below(4) {
            let at = dice.below(said.len() + 1);
            match dice.below(4) {
                0 => said.truncate(at),
                1 if at < said.len() => said[at] ^= 1 << dice.below(8),
                2 if at < said.len() => drop(said.remove(at)),
                _ => drop(said.splice(at..at, PUT_IN[dice.below(PUT_IN.len())].iter().copied())),
            }
        }
        let side = Side { is_client: said.starts_with(b"HTTP") != dice.one_in(20), asks: dice.one_in(2) };
        let (ends, piece) = (dice.one_in(2), 1 + dice.below(7));
        let whole = outcome(side, &said, said.len().max(1), ends);
        let cut = outcome(side, &said, piece, ends);
        assert!(
            whole == cut || !side.is_sure(),
            "{whole:?}, {cut:?}: seed {seed}: {} to {side:?}",
            said.escape_ascii()
        );
        opened += u32::from(whole.is_open);
        lost += u32::from(whole.lost.is_some());
    }
    // Neither is rare.
    assert!(opened > 500 && lost > 1000, "{opened} {lost}");
}
