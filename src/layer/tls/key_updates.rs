//! When a KeyUpdate of ours may leave (RFC 8446 section 4.6.3). Peers count those that come with no data between them, and end a
//! connection over too many; so there is a limit, and none is sent that would change nothing.

use super::facts::Traffic;

/// Counts our key updates, those that were asked for and those that answer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KeyUpdates {
    wanted: bool,
    /// How many have left since our last data.
    in_a_row: u8,
    /// How many records of data the two sides had sealed when the last one left.
    last: Option<(u64, u64)>,
}

impl KeyUpdates {
    /// Somebody has asked for one.
    pub(super) fn want(&mut self) {
        self.wanted = true;
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// Takes the wish for one. Whether it is worth sending: not if the keys of the last one have sealed nothing on either side.
    pub(super) fn take_wanted(&mut self, traffic: &Traffic) -> bool {
        std::mem::take(&mut self.wanted) && self.last != Some(records(traffic))
    }

    /// Whether one more may leave with no data behind it.
    pub(super) fn may_go_alone(&self) -> bool {
        self.in_a_row < MAX_IN_A_ROW
    }

    /// One has left, with so much traffic before it.
    pub(super) fn sent(&mut self, traffic: &Traffic) {
        self.last = Some(records(traffic));
        self.in_a_row = self.in_a_row.saturating_add(1);
    }

    /// A record of data has left.
    pub(super) fn data_sent(&mut self) {
        self.in_a_row = 0;
    }
}

fn records(traffic: &Traffic) -> (u64, u64) {
    (traffic.records_out, traffic.records_in)
}

/// rustls and BoringSSL take 32 key updates without data between them, Go takes 16.
const MAX_IN_A_ROW: u8 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_go_alone_and_none_goes_for_nothing() {
        let mut updates = KeyUpdates::default();
        let mut traffic = Traffic::default();
        for _ in 0..MAX_IN_A_ROW {
            assert!(updates.may_go_alone());
            traffic.records_in += 1;
            updates.want();
            assert!(updates.take_wanted(&traffic));
            updates.sent(&traffic);
        }
        assert!(!updates.may_go_alone());
        updates.data_sent();
        assert!(updates.may_go_alone());
        // The keys have sealed nothing since.
        updates.want();
        assert!(!updates.take_wanted(&traffic));
        assert!(!updates.is_wanted());
    }
}
