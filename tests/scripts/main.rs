//! Scripts and hostility: what must hold whatever the applications, the wire and the peer do.

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
