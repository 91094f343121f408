//! What a proxy of your own needs beside the languages: whom its clients may reach, and how they are reached.
//!
//! # The problem
//!
//! A proxy connects to whatever a stranger names, from where it stands. That is a place behind the firewall: its own loopback, the
//! machines beside it, the address at which clouds hand out credentials. So the question is never only what a name looks like.
//! Whoever owns the name decides what it stands for, and may say something else a moment later; and an IPv4 address has half a
//! dozen other spellings in IPv6.
//!
//! # The picture
//!
//! ```text
//!   "a.example:443"         name and port           each address                  these and no others
//!        │                       │                       │                               │
//!        └──▶ [ rules by name ] ─┴─▶ resolved once ──▶ [ rules by address ] ──────▶ connect to them
//!                  │ Denied               │ DnsError        │ ProhibitedAddress, Loop     │ ConnectionRefused, ...
//!                  └──────────────────────┴─────────────────┴─────────────────────────────┴──▶ a Reason
//! ```
//!
//! # The rule
//!
//! A name is resolved once. Each address of the answer is judged, by the IPv4 address in it if there is one, and only an address
//! that was judged is connected to: nobody asks a second time, so an answer that changes opens nothing.
//!
//! | file | idea |
//! |---|---|
//! | `rules.rs`, `rule.rs`, `network.rs` | what is allowed and denied: the list, a line of it, and addresses by their first bits |
//! | `special.rs` | addresses that are nobody's business unless a rule says so, and what other spellings of them mean |
//! | `reach.rs`, `next_hop.rs` | from a target to a connection; what is said of it when another proxy has opened none |
//! | `via.rs` | through whom a request has come, so that it does not go in circles |

mod network;
mod next_hop;
mod reach;
mod rule;
mod rules;
mod special;
mod via;

pub use self::reach::{Reach, Resolve, Unreached};
pub use self::rule::{Rule, RuleError};
pub use self::rules::{Access, Rules, RulesError};
