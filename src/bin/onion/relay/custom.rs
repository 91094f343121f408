//! Protocols whose peers end TCP without a close_notify as a matter of course.
//!
//! Whoever watches the numbers of a relay wants to know of the connections that are cut off, and where every connection looks
//! cut off, learns nothing. So those are counted apart. That it is the custom proves nothing, though: somebody in between can
//! cut a connection off just there, and the word for it says so.

use onionskin::endpoint::{Endpoint, Step};
use onionskin::starttls::KnownProtocol;

/// Whether peers between these two end so: those of TDS, Microsoft's own driver and tiberius among them, and servers do too. With
/// TDS 8.0 TLS comes first, and the application protocol (ALPN) tells it.
pub(super) fn is_without_close_notify(listen: &Endpoint, connect: &Endpoint) -> bool {
    let is_tds = |endpoint: &Endpoint| match endpoint.steps.last() {
        Some(Step::StartTls(step)) => step.protocol == KnownProtocol::Tds,
        Some(Step::Tls(step)) => step.alpn.iter().any(|protocol| protocol == "tds/8.0"),
        _ => false,
    };
    is_tds(listen) || is_tds(connect)
}
