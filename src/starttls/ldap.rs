//! LDAP: StartTLS (RFC 4511 section 4.14).
//!
//! ```text
//! C: 1 ExtendedRequest 1.3.6.1.4.1.1466.20037
//! S: 1 ExtendedResponse success
//!    ─── TLS ───
//! C: 2 BindRequest
//! ```
//!
//! What a client has learned from the server before is forgotten (section 3.1.5 of RFC 4513). Either side may stop TLS and
//! go on in clear, with a close_notify (section 4.14.3).

use super::ber::{Element, Header, element};
use super::preamble::protocol;
use super::{Error, ErrorKind, Exchange, Machine, Progress};

protocol! {
    /// LDAP.
    ///
    /// After TLS the client goes on with a message id of its choice; ours has the id 1. A server answers everything but
    /// StartTLS with confidentialityRequired, and does not go away.
    Ldap "ldap" greets Never;
    client |_| Client::Silent;
    server |_| Server { id: NOTICE };
}

#[derive(Clone, Copy, Debug)]
enum Client {
    Silent,
    Asked,
}

impl Machine for Client {
    fn advance(&mut self, exchange: &mut Exchange<'_>) -> Result<Progress, Error> {
        if let Self::Silent = self {
            let name = element(REQUEST_NAME, &[START_TLS]);
            exchange.ask(&message(OUR_ID, EXTENDED_REQUEST, &[&name]))?;
            *self = Self::Asked;
            return Ok(Progress::Asked);
        }
        let Some(answer) = Message::take(exchange, self.awaits())? else { return Ok(Progress::Waiting) };
        let outcome = (answer.operation.tag == EXTENDED_RESPONSE).then(|| Outcome::parse(answer.operation.content));
        let Some(outcome) = outcome.flatten() else { return Err(Error::malformed(self.awaits(), answer.whole)) };
        match (answer.id, outcome.code) {
            (OUR_ID, [SUCCESS]) => Ok(Progress::GoAhead),
            // A server that does not know the operation (section 4.14.2).
            (OUR_ID, [PROTOCOL_ERROR]) if outcome.diagnostic.is_empty() => Err(Error::not_offered()),
            (OUR_ID, [PROTOCOL_ERROR]) => Err(Error::not_known(outcome.diagnostic)),
            // A notice is one of disconnection, whatever its code (section 4.4.1).
            (OUR_ID | NOTICE, _) => Err(outcome.refusal()),
            _ => Err(Error::malformed(self.awaits(), answer.whole)),
        }
    }

    fn awaits(&self) -> &'static str {
        "the answer to StartTLS"
    }
}

#[derive(Debug)]
struct Server {
    /// Of the request for TLS.
    id: u32,
}

impl Machine for Server {
    fn advance(&mut self, exchange: &mut Exchange<'_>) -> Result<Progress, Error> {
        let Some(Message { id, operation, whole }) = Message::take(exchange, self.awaits())? else {
            return Ok(Progress::Waiting);
        };
        if id == NOTICE {
            return Err(Error::malformed(self.awaits(), whole));
        }
        let answer = match operation.tag {
            UNBIND_REQUEST => return Err(Error::left()),
            EXTENDED_REQUEST => match Element::tagged(REQUEST_NAME, operation.content) {
                Some((START_TLS, [])) => {
                    self.id = id;
                    exchange.send(&message(id, EXTENDED_RESPONSE, &[&outcome(SUCCESS, "")]));
                    return Ok(Progress::GoAhead);
                }
                Some((START_TLS, _)) => {
                    let outcome = outcome(PROTOCOL_ERROR, "StartTLS has no value");
                    exchange.refuse(&message(id, EXTENDED_RESPONSE, &[&outcome]));
                    return Ok(Progress::Going);
                }
                _ => Some(EXTENDED_RESPONSE),
            },
            ABANDON_REQUEST => None,
            other => Some(answer_to(other).ok_or_else(|| Error::malformed(self.awaits(), whole))?),
        };
        if exchange.is_optional() {
            // A bind has a password in it.
            return Err(Error::new(ErrorKind::NotAsked, "the client goes on without StartTLS"));
        }
        if let Some(tag) = answer {
            exchange.refuse(&message(id, tag, &[&outcome(CONFIDENTIALITY_REQUIRED, "StartTLS first")]));
        }
        Ok(Progress::Going)
    }

    fn awaits(&self) -> &'static str {
        "StartTLS"
    }

    fn decline(&mut self, exchange: &mut Exchange<'_>) -> bool {
        let outcome = outcome(UNAVAILABLE, "no TLS at the time");
        exchange.refuse(&message(self.id, EXTENDED_RESPONSE, &[&outcome]));
        true
    }

    /// A notice of disconnection (section 4.4.1).
    fn turn_away(&mut self, exchange: &mut Exchange<'_>) {
        let outcome = outcome(CONFIDENTIALITY_REQUIRED, "too many requests without StartTLS");
        let name = element(RESPONSE_NAME, &[NOTICE_OF_DISCONNECTION]);
        exchange.send(&message(NOTICE, EXTENDED_RESPONSE, &[&outcome, &name]));
    }
}

/// LDAPMessage (section 4.1.1). Its controls are not looked at.
#[derive(Debug)]
struct Message<'a> {
    id: u32,
    operation: Element<'a>,
    /// All of it, for errors.
    whole: &'a [u8],
}

impl<'a> Message<'a> {
    /// Takes a message, if a whole one is there.
    fn take(exchange: &mut Exchange<'a>, awaited: &str) -> Result<Option<Self>, Error> {
        let header = Header::parse(exchange.input());
        let malformed = |bytes| Error::malformed(awaited, bytes);
        let Some(header) = header.map_err(|_| malformed(exchange.input()))? else {
            // Not even all of the header: there must be room for what is missing.
            exchange.peek(exchange.input().len() + 1)?;
            return Ok(None);
        };
        if header.tag != SEQUENCE {
            return Err(malformed(exchange.input()));
        }
        let Some(whole) = exchange.message(header.whole())? else { return Ok(None) };
        Self::parse(&whole[header.len..], whole).map(Some).ok_or_else(|| malformed(whole))
    }

    fn parse(content: &'a [u8], whole: &'a [u8]) -> Option<Self> {
        let (id, rest) = Element::tagged(INTEGER, content)?;
        // 0 to 2^31 - 1: four bytes at most, the first bit a sign.
        if id.is_empty() || id.len() > 4 || id[0] & 0x80 != 0 {
            return None;
        }
        let id = id.iter().fold(0, |id, &digit| id << 8 | u32::from(digit));
        let (operation, _) = Element::first(rest)?;
        Some(Self { id, operation, whole })
    }
}

/// LDAPResult (section 4.1.9).
#[derive(Debug)]
struct Outcome<'a> {
    code: &'a [u8],
    diagnostic: &'a [u8],
}

impl<'a> Outcome<'a> {
    fn parse(content: &'a [u8]) -> Option<Self> {
        let (code, rest) = Element::tagged(ENUMERATED, content)?;
        let (_, rest) = Element::tagged(OCTET_STRING, rest)?;
        let (diagnostic, _) = Element::tagged(OCTET_STRING, rest)?;
        Some(Self { code, diagnostic })
    }

    fn refusal(&self) -> Error {
        let code = match *self.code {
            [code] => match RESULTS.iter().find(|(known, _)| *known == code) {
                Some((_, name)) => format!("{name} (result code {code})"),
                None => format!("result code {code}"),
            },
            _ => "a result code that is none".to_owned(),
        };
        Error::refused_with(&code, self.diagnostic)
    }
}

fn message(id: u32, tag: u8, operation: &[&[u8]]) -> Vec<u8> {
    // A zero in front keeps the sign away; BER wants no more of them than that.
    let digits = id.to_be_bytes();
    let leading = digits.iter().take(3).take_while(|&&digit| digit == 0).count();
    let start = leading.saturating_sub(usize::from(digits[leading] & 0x80 != 0));
    element(SEQUENCE, &[&element(INTEGER, &[&digits[start..]]), &element(tag, operation)])
}

fn outcome(code: u8, diagnostic: &str) -> Vec<u8> {
    let matched = element(OCTET_STRING, &[]);
    [element(ENUMERATED, &[&[code]]), matched, element(OCTET_STRING, &[diagnostic.as_bytes()])].concat()
}

/// The answers that are nothing but an LDAPResult.
fn answer_to(request: u8) -> Option<u8> {
    ANSWERS.iter().find(|(known, _)| *known == request).map(|(_, answer)| *answer)
}

const NOTICE_OF_DISCONNECTION: &[u8] = b"1.3.6.1.4.1.1466.20036";
const START_TLS: &[u8] = b"1.3.6.1.4.1.1466.20037";

const OUR_ID: u32 = 1;
/// What the server says unasked has this id.
const NOTICE: u32 = 0;

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const ENUMERATED: u8 = 0x0a;
const SEQUENCE: u8 = 0x30;

const UNBIND_REQUEST: u8 = 0x42;
const ABANDON_REQUEST: u8 = 0x50;
const EXTENDED_REQUEST: u8 = 0x77;
const EXTENDED_RESPONSE: u8 = 0x78;
const REQUEST_NAME: u8 = 0x80;
const RESPONSE_NAME: u8 = 0x8a;

/// Bind, search, modify, add, delete, rename, compare.
const ANSWERS: [(u8, u8); 7] =
    [(0x60, 0x61), (0x63, 0x65), (0x66, 0x67), (0x68, 0x69), (0x4a, 0x6b), (0x6c, 0x6d), (0x6e, 0x6f)];

/// The names of result codes (section 4.1.9 and appendix A).
const RESULTS: [(u8, &str); 38] = [
    (1, "operationsError"),
    (2, "protocolError"),
    (3, "timeLimitExceeded"),
    (4, "sizeLimitExceeded"),
    (5, "compareFalse"),
    (6, "compareTrue"),
    (7, "authMethodNotSupported"),
    (8, "strongerAuthRequired"),
    (10, "referral"),
    (11, "adminLimitExceeded"),
    (12, "unavailableCriticalExtension"),
    (13, "confidentialityRequired"),
    (14, "saslBindInProgress"),
    (16, "noSuchAttribute"),
    (17, "undefinedAttributeType"),
    (18, "inappropriateMatching"),
    (19, "constraintViolation"),
    (20, "attributeOrValueExists"),
    (21, "invalidAttributeSyntax"),
    (32, "noSuchObject"),
    (33, "aliasProblem"),
    (34, "invalidDNSyntax"),
    (36, "aliasDereferencingProblem"),
    (48, "inappropriateAuthentication"),
    (49, "invalidCredentials"),
    (50, "insufficientAccessRights"),
    (51, "busy"),
    (52, "unavailable"),
    (53, "unwillingToPerform"),
    (54, "loopDetect"),
    (64, "namingViolation"),
    (65, "objectClassViolation"),
    (66, "notAllowedOnNonLeaf"),
    (67, "notAllowedOnRDN"),
    (68, "entryAlreadyExists"),
    (69, "objectClassModsProhibited"),
    (71, "affectsMultipleDSAs"),
    (80, "other"),
];

const SUCCESS: u8 = 0;
const PROTOCOL_ERROR: u8 = 2;
const CONFIDENTIALITY_REQUIRED: u8 = 13;
const UNAVAILABLE: u8 = 52;
