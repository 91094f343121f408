//! Crates of others over a connection. Nothing is here but tests, and the programs of `docs/crates.md`.

/// The programs on the page, compiled, and run where they say so.
#[cfg(doctest)]
#[doc = include_str!("../../docs/crates.md")]
struct Page;
