//! Parsing and printing, and the order of connection attempts.

mod addresses_in_turn;
mod deadlines;
mod happy_eyeballs;
mod proxy_from_env;
mod strings;
