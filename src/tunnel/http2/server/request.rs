//! Which requests are for a tunnel, and what is answered to the others.
//!
//! The crate below has looked at the frames, and at what no request may have: it resets the stream of one that is malformed
//! (RFC 9113, section 8.1.1). It lets through what is well formed and nonsense all the same, such as a CONNECT to no host, or to
//! port 0; that is what this file is for.

use h2::ext::Protocol;
use http::request::Parts;
use http::{HeaderMap, Method, header};

use crate::tunnel::http::refusing::Refusing;
use crate::tunnel::http::{Field, basic};
use crate::tunnel::{Credentials, Request, TunnelProtocol, authority};

/// What a client wants.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) request: Request,
    /// Who it says that it is.
    pub(super) credentials: Option<Credentials>,
}

impl Wanted {
    /// What this request is for, or what a proxy of this name answers to it.
    pub(super) fn of(head: &Parts, name: &str) -> Result<Self, Refusing> {
        let malformed = |why| Refusing::request(name, 400, why);
        if head.method != Method::CONNECT {
            return Err(Refusing::request(name, 405, "this proxy opens tunnels, and does nothing else")
                .with("allow", "CONNECT"));
        }
        if head.extensions.get::<Protocol>().is_some() {
            return Err(Refusing::request(name, 501, "this proxy knows no such protocol"));
        }
        let asked = head.uri.authority().ok_or_else(|| malformed("the request has no target"))?.as_str();
        let target = authority::parse(asked.as_bytes()).map_err(malformed)?;
        if [header::CONTENT_LENGTH, header::TE].iter().any(|name| head.headers.contains_key(name)) {
            return Err(malformed("a request for a tunnel has no content"));
        }
        // What it says of its target in two places must agree (RFC 9113, section 8.3.1).
        if head.headers.get_all(header::HOST).iter().any(|host| !host.as_bytes().eq_ignore_ascii_case(asked.as_bytes()))
        {
            return Err(malformed("the request names two targets"));
        }
        if head.headers.len() > MAX_FIELDS {
            return Err(Refusing::request(name, 431, "the request has more fields than are accepted"));
        }
        let credentials = credentials_in(&head.headers);
        let fields = fields_of(&head.headers);
        let request = Request { protocol: TunnelProtocol::Http2, target, user: None, fields };
        Ok(Self { request, credentials })
    }
}

/// The user and the password of the one field that may have them.
fn credentials_in(fields: &HeaderMap) -> Option<Credentials> {
    let mut values = fields.get_all(header::PROXY_AUTHORIZATION).iter();
    let credentials = basic::parse(values.next()?.as_bytes())?;
    values.next().is_none().then_some(credentials)
}

fn fields_of(fields: &HeaderMap) -> Vec<Field> {
    let others = fields.iter().filter(|(name, _)| **name != header::PROXY_AUTHORIZATION);
    others.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_owned())).collect()
}

const MAX_FIELDS: usize = 100;
