//! STARTTLS: our client with the servers of others, and our server with their clients.

mod answers;
mod asks;

use crate::Case;

pub(crate) fn cases() -> Vec<Case> {
    [asks::cases(), answers::cases()].into_iter().flatten().collect()
}
