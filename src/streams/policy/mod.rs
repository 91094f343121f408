//! Policies: where streams lead to, and what becomes of them, as data.
//!
//! ```text
//!     text ──▶ Document ──▶ keys, one by one ──▶ names and sense ──▶ Policy        or all mistakes, each with path and line
//!                 ▲          (table of keys)          (check)           ▲
//!              overlay                                                  └── a program that puts one together
//! ```
//!
//! A policy is a [`Policy`]: a value with public parts, which a program can put together, or which is read from a JSON text in the
//! spelling of libwebsockets ([`Policy::read`]). A [`Document`] is the text before it means anything: that is what an overlay changes.
//!
//! Reading is strict. A typing error in a policy would otherwise be a stream without a trust store, or one that is never tried
//! again, and nobody would know. So an unknown key, a name that is not defined, a number out of range and a key that makes no
//! sense for the protocol are mistakes; names match exactly; and all mistakes are told at once. [`Policy::read_leniently`] is for
//! texts that were written for somebody else.

// | file | idea |
// |---|---|
// | `read.rs` | the ways to read a policy |
// | `document.rs` | JSON with the place of everything in it, and overlays |
// | `keys/` | the table of all keys, and what comes of it: the reader, the schema, the page |
// | `check.rs` | what no single key can tell: names are defined, streams can be ones |
// | `destination.rs`, `trust.rs` | from a stream to an endpoint: its way, its layers, its trust |
// | `mistake.rs` | what is wrong with a policy |
// | `stream.rs`, `http.rs`, `ws.rs`, `mqtt.rs`, `queue.rs` | what is said of one stream |
// | `retry.rs`, `tls.rs`, `auth.rs`, `via.rs` | what streams name: tables of delays, trust, who asks, and what lies on the way |
// | `template.rs` | text with named values in it |

mod auth;
mod check;
mod destination;
mod document;
mod http;
mod keys;
mod mistake;
mod mqtt;
mod queue;
mod read;
mod retry;
mod stream;
mod template;
mod tls;
mod trust;
mod via;
mod ws;

use std::collections::BTreeMap;

pub use self::auth::Auth;
pub use self::destination::{Destination, DestinationError, Destinations};
pub use self::document::Document;
pub use self::http::{Header, Http, Multipart};
pub use self::keys::{page, schema};
use self::mistake::At;
pub use self::mistake::{Mistake, MistakeKind, PolicyError};
pub use self::mqtt::{Mqtt, MqttVersion, Publication, Qos, Subscription};
pub use self::queue::{Queue, WhenFull};
pub use self::retry::{Conceal, Retry};
pub use self::stream::{Protocol, StreamPolicy};
pub use self::template::{FillError, Place, Template, TemplateError};
pub use self::tls::{ClientCertificate, Material, ServerName, Tls, TrustStore};
pub use self::via::{Layers, Via, WayError};
pub use self::ws::Ws;

/// Everything that a program's streams are.
///
/// ```
/// use onionskin::streams::policy::{Policy, Protocol, Retry, StreamPolicy};
///
/// let mut policy = Policy::default();
/// policy.retries.insert("default".to_owned(), Retry::default());
/// let mut stream = StreamPolicy::to(Protocol::Raw, "127.0.0.1", 7)?;
/// stream.retry = Some("default".to_owned());
/// policy.streams.insert("echo".to_owned(), stream);
/// # Ok::<_, onionskin::streams::policy::TemplateError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// `release`: for people.
    pub release: Option<String>,
    /// `product`: for people.
    pub product: Option<String>,
    /// `via`, or `via-socks5`: the proxies on the way of all streams that do not name their own.
    pub via: Option<Via>,
    /// `retry`: tables of delays, by name.
    pub retries: BTreeMap<String, Retry>,
    /// `certs`: certificates, keys and revocation lists, by name.
    pub certificates: BTreeMap<String, Material>,
    /// `trust_stores`: whom to trust, by name.
    pub trust_stores: BTreeMap<String, TrustStore>,
    /// `client_certs`: who we are, by name.
    pub client_certificates: BTreeMap<String, ClientCertificate>,
    /// `auth`: who asks in HTTP, by name.
    pub auth: BTreeMap<String, Auth>,
    /// `s`: the streams, by name.
    pub streams: BTreeMap<String, StreamPolicy>,
}
