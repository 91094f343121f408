//! What a stream says of HTTP: the request, the answer, and the upgrade to WebSocket.

use std::collections::BTreeMap;

use super::Template;

/// The part of a stream that is about HTTP. A WebSocket begins with the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Http {
    /// `http_method`: `GET` unless set. A WebSocket has none.
    pub method: Option<String>,
    /// `http_url`: path and query, with or without the first `/`; `/` unless set.
    pub url: Option<Template>,
    /// `http_expect`: the status that is a success; 200 to 299 unless set.
    pub expect: Option<u16>,
    /// `http_resp_map`: what a status is called to the program.
    pub response_map: BTreeMap<u16, u32>,
    /// `allow_redirects`: follow redirections, ten at most and never from https to http.
    pub follow_redirects: bool,
    /// `http_fail_redirect`: a redirection is the sign of a captive portal.
    pub redirect_is_portal: bool,
    /// `http_cookies`: keep cookies, and send them back.
    pub cookies: bool,
    /// `http_no_content_length`: do not say how long the body is.
    pub no_content_length: bool,
    /// `http_www_form_urlencoded`: the body is a form.
    pub form: bool,
    /// `http_multipart_name` and its like: the body is the part of a form with parts.
    pub multipart: Option<Multipart>,
    /// `http_multipart_ss_in`: a body with parts that is received is one message for each part.
    pub multipart_in: bool,
    /// Fields of the request: those of `metadata`, in their order, then those of `http_auth_header` and its like.
    pub headers: Vec<Header>,
    /// `long_poll`: the request stays open, and only receives.
    pub long_poll: bool,
}

impl Http {
    /// A request of this method for this path and query.
    pub fn new(method: impl Into<String>, url: Template) -> Self {
        Self { method: Some(method.into()), url: Some(url), ..Self::default() }
    }

    /// Whether this status is a success.
    pub fn is_success(&self, status: u16) -> bool {
        self.expect.map_or((200..300).contains(&status), |expected| status == expected)
    }
}

/// A field of a request, made of named values.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// Its name, in lower case and without a colon.
    pub name: String,
    /// Its value, for [`Place::Header`](super::Place::Header).
    pub value: Template,
    /// What becomes of it while a name of the template has no value: the attempt fails if it is needed, else the field is left out.
    pub is_needed: bool,
}

impl Header {
    /// A field that is left out while a name in it has no value.
    pub fn new(name: &str, value: Template) -> Self {
        Self { name: name.trim_end_matches(':').to_ascii_lowercase(), value, is_needed: false }
    }

    /// The same, without which no attempt is made.
    #[must_use]
    pub fn needed(self) -> Self {
        Self { is_needed: true, ..self }
    }
}

/// What stands at the head of a part of a form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Multipart {
    /// `http_multipart_name`
    pub name: Option<String>,
    /// `http_multipart_filename`
    pub file_name: Option<String>,
    /// `http_mime_content_type`, or `http_multipart_content_type`
    pub content_type: Option<String>,
}
