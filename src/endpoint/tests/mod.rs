//! Parsing and printing, and the order of connection attempts.

mod happy_eyeballs;
mod proxy_from_env;
mod strings;
