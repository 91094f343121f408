//! Tunnels: our clients through the proxies of others, our proxy under the clients of others, and chains of both.
//!
//! Every case has an origin of its own, which shows a page over TLS, or a greeting in clear.

mod asks;
mod chains;
mod commands;
mod controls;
mod http2;
mod http2_server;
mod long;
pub(crate) mod origin;
mod proxy;

use crate::Case;

pub(crate) fn cases() -> Vec<Case> {
    let cases = [
        controls::cases(),
        asks::cases(),
        chains::cases(),
        commands::cases(),
        http2::cases(),
        http2_server::cases(),
        long::cases(),
        proxy::cases(),
    ];
    cases.into_iter().flatten().collect()
}
