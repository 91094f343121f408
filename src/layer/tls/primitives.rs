//! What is needed of cryptography beside rustls, from the library that stands behind its provider. The two have the same shape.

#[cfg(feature = "aws-lc-rs")]
pub(super) use aws_lc_rs::{aead, digest, rand};
#[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
pub(super) use ring::{aead, digest, rand};
