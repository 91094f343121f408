//! What a client makes of an answer that is no tunnel.

use super::{Challenges, Field, ProxyStatus, all};
use crate::tunnel::{Ender, ErrorKind};

/// The challenges of a 407.
pub(crate) fn challenges(fields: &[Field]) -> Challenges {
    Challenges::of(all(fields, "proxy-authenticate"))
}

/// What a status other than 2xx means. `reason` is what stands behind the status in HTTP/1.1.
pub(crate) fn refused(status: u16, reason: &str, fields: Vec<Field>, mut body: Vec<u8>) -> ErrorKind {
    let stated = stated(&fields);
    let squid = all(&fields, "x-squid-error").next().map(String::from_utf8_lossy);
    let by = stated
        .as_ref()
        .and_then(ProxyStatus::ender)
        .or_else(|| squid.as_deref().and_then(of_squid))
        .unwrap_or_else(|| of_status(status));
    let mut told = if reason.is_empty() { phrase(status).to_owned() } else { reason.to_owned() };
    if let Some(stated) = &stated {
        told.push_str(&format!(" ({}: {}", stated.proxy, stated.error().unwrap_or_default()));
        told.push_str(&stated.next_hop().map(|hop| format!(", next hop {hop}")).unwrap_or_default());
        told.push_str(&stated.details().map(|details| format!(", {details}")).unwrap_or_default());
        told.push(')');
    } else if let Some(squid) = squid {
        told.push_str(&format!(" ({squid})"));
    }
    body.truncate(MAX_BODY);
    ErrorKind::Refused { by, code: status, reason: told, fields, body }
}

/// What the proxy that has made the answer says of it: that nearest to the target, if several say something.
fn stated(fields: &[Field]) -> Option<ProxyStatus> {
    all(fields, "proxy-status").flat_map(ProxyStatus::list).find(|status| status.error().is_some())
}

/// Squid has an error of its own for everything.
fn of_squid(error: &str) -> Option<Ender> {
    Some(match error.split_whitespace().next()? {
        "ERR_ACCESS_DENIED" | "ERR_CACHE_ACCESS_DENIED" | "ERR_INVALID_URL" | "ERR_INVALID_REQ" | "ERR_TOO_BIG" => {
            Ender::Proxy
        }
        "ERR_CONNECT_FAIL"
        | "ERR_DNS_FAIL"
        | "ERR_CANNOT_FORWARD"
        | "ERR_READ_TIMEOUT"
        | "ERR_READ_ERROR"
        | "ERR_SECURE_CONNECT_FAIL"
        | "ERR_SOCKET_FAILURE" => Ender::Target,
        _ => return None,
    })
}

/// A 5xx without more is the target for some proxies and themselves for others; only that of a gateway says what it is.
fn of_status(status: u16) -> Ender {
    match status {
        502 | 504 => Ender::Target,
        400 | 401 | 403 | 405 | 407 | 429 | 431 | 501 | 505 => Ender::Proxy,
        _ => Ender::Unknown,
    }
}

/// What a status means (RFC 9110, section 15), of those that proxies answer with.
pub(crate) fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        301 => "Moved Permanently",
        302 => "Found",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ if status < 400 => "a redirection, which is not followed",
        _ if status < 500 => "the request was not accepted",
        _ => "the proxy has failed",
    }
}

/// As much of the body of a refusal is kept.
pub(crate) const MAX_BODY: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_refused_is_told_by_whoever_says_most() {
        for (status, name, value, by, reason) in [
            (
                502,
                "proxy-status",
                "onionskin; error=destination_ip_prohibited",
                Ender::Proxy,
                "Bad Gateway (onionskin: destination_ip_prohibited)",
            ),
            (403, "proxy-status", "a; error=dns_error; details=\"x\", b", Ender::Target, "Forbidden (a: dns_error, x)"),
            (503, "proxy-status", "a; received-status=503", Ender::Unknown, "Service Unavailable"),
            (503, "x-squid-error", "ERR_CONNECT_FAIL 111", Ender::Target, "Service Unavailable (ERR_CONNECT_FAIL 111)"),
            (503, "x-squid-error", "ERR_ACCESS_DENIED 0", Ender::Proxy, "Service Unavailable (ERR_ACCESS_DENIED 0)"),
            (504, "x", "", Ender::Target, "Gateway Timeout"),
            (403, "x", "", Ender::Proxy, "Forbidden"),
            (500, "x", "", Ender::Unknown, "Internal Server Error"),
            (302, "x", "", Ender::Unknown, "Found"),
            (699, "x", "", Ender::Unknown, "the proxy has failed"),
        ] {
            let fields = vec![(name.to_owned(), value.as_bytes().to_vec())];
            let ErrorKind::Refused { by: told, code, reason: told_reason, body, .. } =
                refused(status, "", fields, vec![b'x'; 5000])
            else {
                panic!("{status} is a refusal");
            };
            assert_eq!((told, code, &told_reason[..], body.len()), (by, status, reason, MAX_BODY), "{value}");
        }
    }
}
