//! IRC.

use onionskin::starttls::{ErrorKind, Irc};

use crate::common::BOTH;
use crate::common::link::{Link, each_version, text, tls_depth};
use crate::subject::{Client, Server, Subject};

pub(crate) const SUBJECT: Subject =
    Subject { peer: || Box::new(Irc::new().named("irc.example")), versions: BOTH, servers: SERVERS, clients: CLIENTS };

const SERVERS: &[Server] = &[
    Server {
        what: "no capability",
        says: &[b":irc.example CAP * LS * :sasl away-notify\r\n:irc.example CAP * LS :batch\r\n"],
        error: ErrorKind::NotOffered,
    },
    Server { what: "an empty list", says: &[b"CAP * LS :\r\n"], error: ErrorKind::NotOffered },
    Server {
        what: "capabilities that only look like it",
        says: &[b":tls CAP tls LS :draft/tls tlsx TLS -tls sts=port=6697,tls\r\n"],
        error: ErrorKind::NotOffered,
    },
    Server {
        what: "a capability that is not in the list",
        says: &[b":irc.example NOTICE * :CAP * LS :tls\r\n:irc.example CAP * NEW :tls\r\nCAP * LS :sasl\r\n"],
        error: ErrorKind::NotOffered,
    },
    Server {
        what: "no capabilities at all",
        says: &[b":irc.example 421 * CAP :what is CAP?\r\n"],
        error: ErrorKind::NotOffered,
    },
    Server {
        what: "no service",
        says: &[b"NOTICE * :*** one moment\r\n", b"ERROR :Closing link: go away\r\n"],
        error: ErrorKind::Refused,
    },
    Server {
        what: "a refusal",
        says: &[b":irc.example CAP * LS :sasl tls\r\n", b":irc.example 691 * :not now\r\n"],
        error: ErrorKind::Refused,
    },
    Server {
        what: "a refusal behind other news",
        says: &[
            b":irc.example NOTICE * :*** looking up your name\r\nPING :a b\r\n",
            b"@time=1 :irc.example CAP * LS * :tls=1\r\n:irc.example CAP * LS :sasl\r\n",
            b":irc.example NOTICE * :*** here is 670\r\n\r\n:irc.example CAP * DEL :tls\r\nPING x\r\n",
            b":irc.example 421 * STARTTLS :what is that?\r\n",
        ],
        error: ErrorKind::Refused,
    },
    Server {
        what: "an early go-ahead",
        says: &[b":irc.example CAP * LS :tls\r\n:irc.example 670 * :go ahead\r\n"],
        error: ErrorKind::OutOfTurn,
    },
    Server {
        what: "an early go-ahead behind a notice",
        says: &[b"CAP * LS :tls\r\nNOTICE * :hello\r\n:irc.example 670 * :go ahead\r\n"],
        error: ErrorKind::OutOfTurn,
    },
    Server {
        what: "an early go-ahead that comes in two pieces",
        says: &[b"CAP * LS :tls\r\n:irc.exam", b"ple 670 * :go ahead\r\n"],
        error: ErrorKind::OutOfTurn,
    },
    Server {
        what: "a go-ahead in place of capabilities",
        says: &[b":irc.example 670 * :go ahead\r\n"],
        error: ErrorKind::OutOfTurn,
    },
    Server { what: "capabilities twice", says: &[b"CAP * LS :tls\r\nCAP * LS :tls\r\n"], error: ErrorKind::OutOfTurn },
    Server {
        what: "a go-ahead from nobody",
        says: &[b"CAP * LS :tls\r\n", b"670 * :go ahead\r\n"],
        error: ErrorKind::Malformed,
    },
    Server {
        what: "a welcome",
        says: &[b"CAP * LS :tls\r\n", b":irc.example 001 a :welcome\r\n"],
        error: ErrorKind::Malformed,
    },
    Server { what: "a line without end", says: &[b"CAP * LS :tls\r\n", &[b':'; 8192]], error: ErrorKind::TooLong },
    Server { what: "something else", says: &[b"220 mail.example\r\n"], error: ErrorKind::Malformed },
];

const CLIENTS: &[Client] = &[
    Client {
        what: "a password in clear",
        says: &[b"CAP LS\r\n", b"PASS a\r\n"],
        hears: b":irc.example 451 *",
        error: None,
    },
    Client { what: "a name in clear", says: &[b"NICK a\r\n"], hears: b":irc.example 451 *", error: None },
    Client {
        what: "another name in clear",
        says: &[b"USER a 0 * :a b\r\n"],
        hears: b":irc.example 451 *",
        error: None,
    },
    Client { what: "capabilities", says: &[b"cap ls 302\r\n"], hears: b":irc.example CAP * LS :tls\r\n", error: None },
    Client {
        what: "the capability",
        says: &[b"CAP REQ :tls \r\n"],
        hears: b":irc.example CAP * ACK :tls",
        error: None,
    },
    Client { what: "another capability", says: &[b"CAP REQ :tls sasl\r\n"], hears: b":irc.example 451", error: None },
    Client { what: "nothing of a capability", says: &[b"CAP\r\n"], hears: b":irc.example 451", error: None },
    Client {
        what: "a ping",
        says: &[b":a PING :b c\r\n"],
        hears: b":irc.example PONG irc.example :b c\r\n",
        error: None,
    },
    Client { what: "an argument too few", says: &[b"PING\r\n"], hears: b":irc.example 409", error: None },
    Client { what: "nothing", says: &[b"\r\n\r\n"], hears: b"", error: None },
    Client { what: "a farewell", says: &[b"QUIT :bye\r\n"], hears: b"ERROR", error: Some(ErrorKind::NotAsked) },
    Client { what: "a line without end", says: &[&[b'S'; 8192]], hears: b"", error: Some(ErrorKind::TooLong) },
];

/// As InspIRCd does it, whose notices come at any time.
#[test]
fn a_client_answers_pings_ignores_notices_and_asks_between_two_lines() {
    each_version(1, |case| {
        let mut link = Link::new(case);
        link.left.inject(b":irc.example NOTICE * :*** looking up your name\r\n:irc.example NOT");
        link.run();
        SUBJECT.left_asks(&mut link);
        let turns: [(&[u8], &str); 6] = [
            (b"", ""),
            (b"ICE * :*** found\r\n", "CAP LS 302\\r\\n"),
            (b"PING :a b\r\n:irc.example NOTICE * :x\r\n", "PONG :a b\\r\\n"),
            (b":irc.example CAP * LS * :tls\r\n", ""),
            (b":irc.example CAP * LS :sasl\r\nPING c\r\n", "PONG :c\\r\\nSTARTTLS\\r\\n"),
            (b":irc.example NOTICE * :x\r\n", ""),
        ];
        for (says, answer) in turns {
            let before = link.left.sent().len();
            link.left.inject(says);
            link.run();
            assert_eq!(text(&link.left.sent()[before..]), answer);
        }
        assert_eq!(tls_depth(&link.left), 0);
        link.left.inject(b":irc.example 670 * :go ahead\r\n");
        link.run();
        assert_eq!(tls_depth(&link.left), 1);
    });
}
