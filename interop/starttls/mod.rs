//! STARTTLS: our client with the servers of others, and our server with their clients.

mod answers;
mod asks;
mod databases;
mod files;
mod mail;
mod postgresql;
mod probed;
mod relayed;

use crate::Case;

pub(crate) fn cases() -> Vec<Case> {
    let cases = [
        asks::cases(),
        answers::cases(),
        databases::cases(),
        files::cases(),
        mail::cases(),
        relayed::cases(),
        postgresql::cases(),
        probed::cases(),
    ];
    cases.into_iter().flatten().collect()
}
