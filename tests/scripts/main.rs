//! Scripts and hostility: what must hold whatever the applications, the wire and the peer do.
//!
//! | file | idea |
//! |---|---|
//! | `model.rs`, `script.rs` | random scripts of two well-behaved peers, and a model of what each must read |
//! | `captured.rs` | what the scripts have found |
//! | `conversation.rs`, `damage.rs` | one fixed conversation, cut off after every byte, and with every byte damaged |
//! | `hostile.rs` | a peer that breaks the rules with what it can have before there are keys |
//! | `forger.rs`, `inside.rs` | a peer that breaks them with the keys in hand |
//! | `world.rs` | certificates and configurations, made once |

#![allow(clippy::unwrap_used, clippy::needless_pass_by_value, reason = "all of this is a test")]

mod captured;
#[path = "../common/mod.rs"]
mod common;
mod conversation;
mod damage;
mod forger;
mod hostile;
mod inside;
mod model;
mod script;
mod world;
