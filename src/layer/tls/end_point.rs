//! The digest of a server's certificate that stands for it: `tls-server-end-point` (RFC 5929 section 4.1).
//!
//! It is made with the hash that the certificate is signed with, and with SHA-256 where that is MD5 or SHA-1. A certificate whose
//! signature has no hash of its own, as with Ed25519, has none.

#[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
use super::primitives::digest;

/// The digest. `None` if the certificate has none, or one with a hash that is not here.
#[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
pub(super) fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let algorithm = match super::algorithm::signature_hash(super::x509::signature_algorithm(certificate)?)? {
        256 => &digest::SHA256,
        384 => &digest::SHA384,
        512 => &digest::SHA512,
        _ => return None,
    };
    Some(digest::digest(algorithm, certificate).as_ref().to_vec())
}

#[cfg(not(any(feature = "aws-lc-rs", feature = "ring")))]
pub(super) fn end_point(_: &[u8]) -> Option<Vec<u8>> {
    None
}
