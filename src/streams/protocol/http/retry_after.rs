//! How long a server asks to wait.

use std::time::{Duration, SystemTime};

use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};

/// How long to wait before the request is sent again, if the answer asks for that: 429 and 503 do (RFC 6585 section 4, RFC 9110
/// section 15.6.4), with a field `Retry-After` or without. Zero if it does not say how long, or when that is over.
pub(in crate::streams::protocol) fn retry_after(
    status: StatusCode,
    fields: &HeaderMap,
    now: SystemTime,
) -> Option<Duration> {
    if !matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        return None;
    }
    let text = fields.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).unwrap_or_default().trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More seconds than there are numbers is for ever.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(text).ok();
    Some(date.and_then(|date| date.duration_since(now).ok()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::{Duration, HeaderMap, StatusCode, SystemTime, retry_after};

    #[test]
    fn seconds_and_dates_of_those_who_ask_to_come_again() {
        let noon = httpdate::parse_http_date("Sun, 06 Nov 1994 12:00:00 GMT").unwrap();
        let of = |status: u16, field: Option<&str>| {
            let fields: HeaderMap =
                field.map(|value| ("retry-after".parse().unwrap(), value.parse().unwrap())).into_iter().collect();
            retry_after(StatusCode::from_u16(status).unwrap(), &fields, noon)
        };
        let some = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(of(503, Some("120")), some(120));
        assert_eq!(of(429, Some(" 7 ")), some(7));
        assert_eq!(of(503, Some("Sun, 06 Nov 1994 12:00:30 GMT")), some(30));
        assert_eq!(of(503, Some("Sunday, 06-Nov-94 12:00:30 GMT")), some(30));
        assert_eq!(of(503, Some("Sun, 06 Nov 1994 11:00:00 GMT")), some(0), "it is over");
        assert_eq!(of(503, Some("99999999999999999999999")), some(u64::MAX));
        for nonsense in ["", "-1", "soon", "1.5", "+3"] {
            assert_eq!(of(503, Some(nonsense)), some(0), "{nonsense:?}");
        }
        assert_eq!(of(503, None), some(0));
        assert_eq!(of(500, Some("120")), None);
        assert_eq!(of(200, Some("120")), None);
        assert!(retry_after(StatusCode::SERVICE_UNAVAILABLE, &HeaderMap::new(), SystemTime::now()).is_some());
    }
}
