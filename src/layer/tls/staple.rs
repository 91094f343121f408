//! The answer of OCSP that a server has stapled to its certificate (RFC 6066 section 8), on its way past rustls.
//!
//! rustls shows it to who verifies the certificate and keeps it nowhere. One verifier serves all connections of a configuration,
//! and must, for sessions are resumed only where it is the same; so it cannot know whose answer it sees. It is called in the
//! middle of reading a record though, on the same thread, and whoever reads that record waits for it here.

use std::cell::RefCell;

/// What a server has stapled while `read` was reading, beside what came of that.
pub(super) fn overhear<T>(read: impl FnOnce() -> T) -> (T, Option<Vec<u8>>) {
    let before = SHOWN.take();
    let result = read();
    (result, SHOWN.replace(before))
}

/// Shows one to who waits for it.
pub(super) fn show(response: &[u8]) {
    if !response.is_empty() {
        SHOWN.replace(Some(response.to_vec()));
    }
}

thread_local! {
    static SHOWN: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}
