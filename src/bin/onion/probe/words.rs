//! What the probe says in each protocol. A further protocol is a row in [`words`].
//!
//! Everything here is harmless: it asks for what every client may ask before it has logged in, or says goodbye. Whatever
//! has to be found again in an answer is called by one of the names below, [`GLUED`] behind the request for TLS, [`OURS`]
//! inside TLS. Answers come in the order of the questions, so a glued command that is executed inside TLS is answered
//! before ours, and nothing has to be waited for to tell one from the other.

use super::answers::{Split, everything, ldap_messages, lines, replies};

/// What to say, and what the answers mean.
pub(super) struct Words {
    /// How the protocol takes answers apart.
    pub(super) split: Split,
    /// What can be asked about the request for TLS, or why nothing can.
    pub(super) request: Result<Request, &'static str>,
    /// Said where TLS has ended, to see whether the server goes on in clear.
    pub(super) in_clear: Option<Vec<u8>>,
}

pub(super) struct Request {
    /// Said right behind the request for TLS, in one segment with it.
    pub(super) glued: Vec<u8>,
    /// Whether this answers `glued`.
    pub(super) answers_glued: Recognise,
    /// Said inside TLS.
    pub(super) ours: Vec<u8>,
    /// Whether this answers `ours`.
    pub(super) answers_ours: Recognise,
    /// Said inside TLS before it is asked for TLS again, and whether this answers it.
    pub(super) hello: Option<(Vec<u8>, Recognise)>,
    /// The request for TLS, said inside TLS.
    pub(super) again: Vec<u8>,
    /// Whether this agrees to `again`, if it answers it at all.
    pub(super) agrees: fn(&[u8]) -> Option<bool>,
}

/// Whether this is the answer that is meant.
type Recognise = fn(&[u8]) -> bool;

/// The words of the protocol that endpoints call `name`, in XMPP to the server of this domain, in mail from a
/// client that calls itself `own_name`.
pub(super) fn words(name: &str, domain: &str, own_name: &str) -> Option<Words> {
    Some(match name {
        "smtp" => mail("EHLO", own_name),
        "lmtp" => mail("LHLO", own_name),
        "imap" => imap(),
        "pop3" => pop3(),
        "sieve" => sieve(),
        "nntp" => nntp(),
        "irc" => irc(),
        "ftp" => ftp(),
        "ldap" => ldap(),
        "xmpp" => xmpp("jabber:client", domain),
        "xmpp-server" => xmpp("jabber:server", domain),
        "postgres" => postgres(),
        "mysql" => no_go_ahead("the server gives no go-ahead: what stands behind the request is TLS, by the protocol"),
        "tds" => no_go_ahead("the handshake is wrapped into packets of the protocol"),
        _ => return None,
    })
}

/// NOOP is 250 whatever was said before (RFC 5321 section 4.1.1.9), and from servers that take it for unknown or too early
/// it is one of the others: they have read it inside TLS all the same. One that complains of the gluing says something else.
fn mail(hello: &str, own_name: &str) -> Words {
    Words {
        split: replies,
        request: Ok(Request {
            glued: b"NOOP\r\n".into(),
            answers_glued: |reply| [b"250", b"500", b"502", b"503", b"530"].iter().any(|code| reply.starts_with(*code)),
            ours: b"QUIT\r\n".into(),
            answers_ours: |reply| reply.starts_with(b"221"),
            hello: Some((format!("{hello} {own_name}\r\n").into(), |reply| !reply.starts_with(b"220"))),
            again: b"STARTTLS\r\n".into(),
            agrees: |reply| Some(reply.starts_with(b"220")),
        }),
        in_clear: Some(b"NOOP\r\n".into()),
    }
}

fn imap() -> Words {
    Words {
        split: lines,
        request: Ok(Request {
            glued: b"GLUED NOOP\r\n".into(),
            answers_glued: |line| line.starts_with(b"GLUED "),
            ours: b"OURS LOGOUT\r\n".into(),
            answers_ours: |line| line.starts_with(b"OURS "),
            hello: None,
            again: b"AGAIN STARTTLS\r\n".into(),
            agrees: |line| {
                let (agrees, answers) = (b"AGAIN OK", line.starts_with(b"AGAIN ") || line.starts_with(b"* BYE"));
                answers.then(|| line.to_ascii_uppercase().starts_with(agrees))
            },
        }),
        in_clear: Some(b"CLEAR NOOP\r\n".into()),
    }
}

/// Only the answer to CAPA ends with a full stop, and there is no STAT before the login.
fn pop3() -> Words {
    Words {
        split: lines,
        request: Ok(Request {
            glued: b"CAPA\r\n".into(),
            answers_glued: |line| line == b".",
            ours: b"STAT\r\n".into(),
            answers_ours: |line| line.starts_with(b"-ERR"),
            hello: None,
            again: b"STLS\r\n".into(),
            agrees: |line| Some(line.starts_with(b"+OK")),
        }),
        in_clear: Some(b"CAPA\r\n".into()),
    }
}

/// The server repeats what NOOP says (RFC 5804 section 2.13). It announces its capabilities inside TLS unasked, so it is
/// asked for TLS again behind a NOOP of ours.
fn sieve() -> Words {
    let ours = format!("NOOP \"{OURS}\"\r\n");
    Words {
        split: lines,
        request: Ok(Request {
            glued: format!("NOOP \"{GLUED}\"\r\n").into(),
            answers_glued: |line| has(line, GLUED.as_bytes()),
            ours: ours.clone().into(),
            // A server that has no NOOP says NO to the glued one too, if it executes that.
            answers_ours: |line| has(line, OURS.as_bytes()),
            hello: Some((ours.clone().into(), |line| has(line, OURS.as_bytes()) || line.starts_with(b"NO"))),
            again: b"STARTTLS\r\n".into(),
            agrees: |line| {
                let (agrees, refuses) = (line.starts_with(b"OK"), line.starts_with(b"NO") || line.starts_with(b"BYE"));
                (agrees || refuses).then_some(agrees)
            },
        }),
        in_clear: Some(ours.into()),
    }
}

fn nntp() -> Words {
    Words {
        split: replies,
        request: Ok(Request {
            glued: b"CAPABILITIES\r\n".into(),
            answers_glued: |reply| reply.starts_with(b"101"),
            ours: b"QUIT\r\n".into(),
            answers_ours: |reply| reply.starts_with(b"205"),
            hello: None,
            again: b"STARTTLS\r\n".into(),
            agrees: |reply| Some(reply.starts_with(b"382")),
        }),
        in_clear: Some(b"DATE\r\n".into()),
    }
}

/// A capability that nobody has is refused by its name. Notices may come at any time.
fn irc() -> Words {
    Words {
        split: lines,
        request: Ok(Request {
            glued: format!("CAP REQ :{GLUED}\r\n").into(),
            answers_glued: |line| has(line, GLUED.as_bytes()),
            ours: format!("CAP REQ :{OURS}\r\n").into(),
            answers_ours: |line| has(line, OURS.as_bytes()) || line.starts_with(b"ERROR"),
            hello: None,
            again: b"STARTTLS\r\n".into(),
            agrees: |line| {
                let numeric = line.split(|&byte| byte == b' ').nth(1).unwrap_or_default();
                let refuses = line.starts_with(b"ERROR") || matches!(numeric, b"691" | b"421" | b"451");
                (refuses || numeric == b"670").then_some(!refuses)
            },
        }),
        in_clear: Some(format!("CAP REQ :{OURS}\r\n").into()),
    }
}

/// FEAT is for those who have not logged in (RFC 2389 section 3), and nothing else is answered with 211 here. Servers that
/// do not know it, or not yet, say so, which QUIT never hears.
fn ftp() -> Words {
    Words {
        split: replies,
        request: Ok(Request {
            glued: b"FEAT\r\n".into(),
            answers_glued: |reply| [b"211", b"500", b"502", b"530"].iter().any(|code| reply.starts_with(*code)),
            ours: b"QUIT\r\n".into(),
            answers_ours: |reply| reply.starts_with(b"221"),
            hello: None,
            again: b"AUTH TLS\r\n".into(),
            agrees: |reply| Some(reply.starts_with(b"234")),
        }),
        in_clear: Some(b"FEAT\r\n".into()),
    }
}

/// "Who am I?" (RFC 4532), which a server that does not know it answers too, each time under the number it was asked.
fn ldap() -> Words {
    Words {
        split: ldap_messages,
        request: Ok(Request {
            glued: ldap_request(GLUED_ID, WHO_AM_I),
            answers_glued: |message| ldap_id(message) == Some(GLUED_ID),
            ours: ldap_request(OURS_ID, WHO_AM_I),
            answers_ours: |message| ldap_id(message) == Some(OURS_ID),
            hello: None,
            again: ldap_request(OURS_ID, START_TLS),
            agrees: |message| {
                // The result code is the first thing in the response (RFC 4511 section 4.1.9).
                let code = message.windows(3).find(|window| window.starts_with(&[0x0a, 1])).map(|window| window[2]);
                (ldap_id(message) == Some(OURS_ID)).then_some(code == Some(0))
            },
        }),
        in_clear: Some(ldap_request(OURS_ID, WHO_AM_I)),
    }
}

/// A stream that was opened behind the request is told by its features: ours is only ever closed, which is an error of one
/// that was never opened.
fn xmpp(namespace: &str, domain: &str) -> Words {
    let to = domain.replace(['\'', '<', '&'], "");
    let open = format!(
        "<?xml version='1.0'?><stream:stream to='{to}' version='1.0' xmlns='{namespace}' \
         xmlns:stream='http://etherx.jabber.org/streams'>"
    );
    let ends = |heard: &[u8]| has(heard, b"</stream:stream>") || has(heard, b"<stream:error");
    Words {
        split: everything,
        request: Ok(Request {
            glued: open.clone().into(),
            answers_glued: |heard| has(heard, b"<stream:features"),
            ours: b"</stream:stream>".into(),
            answers_ours: ends,
            hello: Some((open.clone().into(), |heard| {
                let features = [&b"</stream:features>"[..], b"<stream:features/>", b"</stream:stream>"];
                features.iter().any(|end| has(heard, end))
            })),
            again: b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>".into(),
            agrees: |heard| {
                let agrees = has(heard, b"<proceed");
                let refuses = [&b"<failure"[..], b"<stream:error", b"</stream:stream>"];
                (agrees || refuses.iter().any(|word| has(heard, word))).then_some(agrees)
            },
        }),
        in_clear: Some(open.into()),
    }
}

/// CVE-2021-23214: a startup message behind the request. The server either asks this user for a password, or says that
/// there is none of that name. Ours has a version that there never was, which is refused by its number.
fn postgres() -> Words {
    Words {
        split: everything,
        request: Ok(Request {
            glued: postgres_startup(3 << 16, &format!("user\0{GLUED}\0database\0{GLUED}\0\0")),
            answers_glued: |heard| heard.starts_with(b"R") || has(heard, GLUED.as_bytes()),
            ours: postgres_startup(NO_VERSION << 16, "\0"),
            answers_ours: |heard| has(heard, NO_VERSION.to_string().as_bytes()),
            hello: None,
            again: postgres_startup(SSL_REQUEST, ""),
            agrees: |heard| Some(heard.starts_with(b"S")),
        }),
        in_clear: Some(postgres_startup(SSL_REQUEST, "")),
    }
}

fn no_go_ahead(reason: &'static str) -> Words {
    Words { split: everything, request: Err(reason), in_clear: None }
}

fn has(heard: &[u8], word: &[u8]) -> bool {
    heard.windows(word.len()).any(|window| window == word)
}

/// An extended request without a value (RFC 4511 section 4.12).
fn ldap_request(id: u8, oid: &str) -> Vec<u8> {
    let name = tagged(0x80, oid.as_bytes());
    tagged(0x30, &[tagged(0x02, &[id]), tagged(0x77, &name)].concat())
}

fn tagged(tag: u8, value: &[u8]) -> Vec<u8> {
    let len = u8::try_from(value.len()).expect("the values here are short");
    [&[tag, len], value].concat()
}

/// The message id, if it is in one byte.
fn ldap_id(message: &[u8]) -> Option<u8> {
    let length = *message.get(1)?;
    let header = if length < 0x80 { 2 } else { 2 + usize::from(length & 0x7f) };
    match message.get(header..)? {
        [0x02, 1, id, ..] => Some(*id),
        _ => None,
    }
}

/// A message without a type: its length, a version or a code in its place, and the rest.
fn postgres_startup(version: u32, rest: &str) -> Vec<u8> {
    let len = u32::try_from(8 + rest.len()).expect("it is short");
    [&len.to_be_bytes(), &version.to_be_bytes(), rest.as_bytes()].concat()
}

const GLUED: &str = "onion-glued";
const OURS: &str = "onion-ours";

const GLUED_ID: u8 = 71;
const OURS_ID: u8 = 72;
const WHO_AM_I: &str = "1.3.6.1.4.1.4203.1.11.3";
const START_TLS: &str = "1.3.6.1.4.1.1466.20037";

const SSL_REQUEST: u32 = 80_877_103;
const NO_VERSION: u32 = 9998;

#[cfg(test)]
mod tests {
    use onionskin::starttls::KnownProtocol;

    use super::*;

    #[test]
    fn a_server_that_does_not_know_the_glued_command_has_executed_it_all_the_same() {
        for (protocol, done) in [("ftp", "211-Features\r\n211 End"), ("smtp", "250 fine"), ("lmtp", "250 fine")] {
            let request = words(protocol, "server.example", "client.example").unwrap().request.ok().unwrap();
            for executed in [done, "500 what?", "502 not here", "530 log in first"] {
                assert!((request.answers_glued)(executed.as_bytes()), "{protocol}: {executed}");
            }
            for other in ["221 bye", "421 too late"] {
                assert!(!(request.answers_glued)(other.as_bytes()), "{protocol}: {other}");
            }
        }
    }

    #[test]
    fn a_refusal_that_may_be_that_of_the_glued_command_is_no_answer_to_ours() {
        let request = words("sieve", "server.example", "client.example").unwrap().request.ok().unwrap();
        assert!((request.answers_ours)(b"OK (TAG \"onion-ours\") \"done\""));
        assert!(!(request.answers_ours)(b"NO \"what is NOOP?\""));
    }

    #[test]
    fn every_protocol_has_its_words() {
        for (name, _) in KnownProtocol::ALL {
            assert!(words(name, "server.example", "client.example").is_some(), "{name} has no row");
        }
    }
}
