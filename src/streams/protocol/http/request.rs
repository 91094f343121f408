//! From a policy, values and a message to a request.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};

use super::super::super::mailbox::{Outgoing, Values};
use super::super::super::policy::{Auth, Destination, Multipart, StreamPolicy};
use super::super::super::{Error, ErrorKind};
use super::super::Attempt;
use super::Body;
use super::body::Pieces;

/// The request for a message, and who brings the rest of its body where that is not known yet.
pub(super) fn of(
    attempt: &Attempt,
    policy: &StreamPolicy,
    destination: &Destination,
    outgoing: &Outgoing,
) -> Result<(Request<Body>, Option<Pieces>), Error> {
    let message = &outgoing.message;
    let method = policy.http.method.as_deref().unwrap_or("GET");
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| of_key(attempt, "http_method", "no method"))?;
    let mut fields = fields(attempt, policy, &outgoing.values)?;
    let (first, last) = match &policy.http.multipart {
        Some(multipart) => {
            let boundary = boundary(attempt);
            let content_type = format!("multipart/form-data; boundary={boundary}");
            fields.insert(CONTENT_TYPE, HeaderValue::try_from(content_type).map_err(|_| unusable(attempt))?);
            (part_head(&boundary, multipart), Some(Bytes::from(format!("\r\n--{boundary}--\r\n"))))
        }
        None => {
            if policy.http.form {
                fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
            }
            (Bytes::new(), None)
        }
    };
    add(&mut fields, &message.fields)?;
    let is_whole = message.is_last;
    let (pieces, body) = if is_whole && !policy.http.no_content_length {
        let all = [&first, &message.payload, last.as_ref().unwrap_or(&first)];
        (None, Body::whole(if last.is_some() { joined(all) } else { message.payload.clone() }))
    } else {
        let (pieces, body) = Pieces::new(joined([&first, &message.payload, &Bytes::new()]), last, !is_whole);
        (Some(pieces), body)
    };
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = uri(attempt, policy, destination, &outgoing.values)?;
    *request.headers_mut() = fields;
    Ok((request, pieces))
}

/// Where a stream of HTTP, or the handshake of a WebSocket, leads to.
pub(in crate::streams::protocol) fn uri(
    attempt: &Attempt,
    policy: &StreamPolicy,
    destination: &Destination,
    values: &Values,
) -> Result<Uri, Error> {
    let path = match (&destination.path, &policy.http.url) {
        (Some(path), _) => path.clone(),
        (None, Some(url)) => attempt.fill_with(values, "http_url", url)?,
        (None, None) => String::new(),
    };
    let scheme = if destination.is_tls { "https" } else { "http" };
    let uri = Uri::builder().scheme(scheme).authority(authority(destination));
    let uri = uri.path_and_query(format!("/{}", path.trim_start_matches('/'))).build();
    uri.map_err(|error| of_key(attempt, "http_url", &error.to_string()))
}

/// The host, and the port where it is not the one that goes without saying.
fn authority(destination: &Destination) -> String {
    let host = match destination.host.as_str() {
        // Over a socket of Unix there is nobody to be named.
        "" => "localhost".to_owned(),
        host if host.contains(':') => format!("[{host}]"),
        host => host.to_owned(),
    };
    match (destination.port, destination.is_tls) {
        (0, _) | (80, false) | (443, true) => host,
        (port, _) => format!("{host}:{port}"),
    }
}

/// The fields that the policy says, and who asks.
pub(in crate::streams::protocol) fn fields(
    attempt: &Attempt,
    policy: &StreamPolicy,
    values: &Values,
) -> Result<HeaderMap, Error> {
    let mut fields = HeaderMap::new();
    for header in &policy.http.headers {
        let is_missing = header.value.names().any(|name| !values.contains_key(name));
        if is_missing && !header.is_needed {
            continue;
        }
        let value = attempt.fill_with(values, "metadata", &header.value)?;
        let name = HeaderName::from_bytes(header.name.as_bytes());
        let name = name.map_err(|_| of_key(attempt, "metadata", "no name of a field"))?;
        let value = HeaderValue::from_str(&value).map_err(|_| unusable(attempt))?;
        fields.append(name, value);
    }
    if let Some(authorization) = authorization(attempt, policy, values)? {
        fields.entry(AUTHORIZATION).or_insert(authorization);
    }
    Ok(fields)
}

fn authorization(attempt: &Attempt, policy: &StreamPolicy, values: &Values) -> Result<Option<HeaderValue>, Error> {
    let auth = policy.auth.as_ref().and_then(|name| attempt.destinations.policy().auth.get(name));
    let text = match auth {
        None => return Ok(None),
        Some(Auth::Basic { user, password }) => {
            let user = attempt.fill_with(values, "use_auth", user)?;
            if user.contains(':') {
                return Err(of_key(attempt, "use_auth", "a name with a colon in it is nothing for Basic (RFC 7617)"));
            }
            let password = attempt.fill_with(values, "use_auth", password)?;
            format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
        }
        Some(Auth::Bearer { token }) => format!("Bearer {}", attempt.fill_with(values, "use_auth", token)?),
        Some(_) => return Err(ErrorKind::Unsupported("who asks is said by Basic and Bearer only".to_owned()).into()),
    };
    let mut value = HeaderValue::from_str(&text).map_err(|_| of_key(attempt, "use_auth", "no value of a field"))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// Adds the fields of one message, which may be any but those that say how the message itself is framed.
fn add(fields: &mut HeaderMap, own: &HeaderMap) -> Result<(), Error> {
    for (name, value) in own {
        if FRAMING.contains(name) {
            return Err(ErrorKind::Unsupported(format!("a field {name} of a message: the library writes it")).into());
        }
        fields.append(name, value.clone());
    }
    Ok(())
}

fn part_head(boundary: &str, multipart: &Multipart) -> Bytes {
    let mut head = format!("--{boundary}\r\ncontent-disposition: form-data");
    for (key, value) in [("name", &multipart.name), ("filename", &multipart.file_name)] {
        if let Some(value) = value {
            head.push_str(&format!("; {key}=\"{}\"", quoted(value)));
        }
    }
    if let Some(content_type) = &multipart.content_type {
        head.push_str("\r\ncontent-type: ");
        head.push_str(content_type);
    }
    head.push_str("\r\n\r\n");
    head.into()
}

/// As forms of HTML escape what would end a name (WHATWG HTML, multipart/form-data encoding algorithm).
fn quoted(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

fn boundary(attempt: &Attempt) -> String {
    let mut boundary = String::from("onion");
    for _ in 0..4 {
        boundary.push_str(&format!("{:08x}", attempt.shared.random.next()));
    }
    boundary
}

fn joined(pieces: [&Bytes; 3]) -> Bytes {
    let mut all = BytesMut::with_capacity(pieces.iter().map(|piece| piece.len()).sum());
    pieces.into_iter().for_each(|piece| all.put_slice(piece));
    all.freeze()
}

fn unusable(attempt: &Attempt) -> Error {
    of_key(attempt, "metadata", "no value of a field")
}

fn of_key(attempt: &Attempt, key: &str, why: &str) -> Error {
    super::super::super::policy::DestinationError::of_key(&attempt.name, key, why).into()
}

const FRAMING: [HeaderName; 6] = [CONNECTION, CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING, UPGRADE];
