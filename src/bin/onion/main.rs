//! The command `onion`.
fn main() {}
