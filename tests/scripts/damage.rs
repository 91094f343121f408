//! The conversation cut off after every byte, and with every byte damaged.

use onionskin::stack::LayerErrorKind;
use onionskin::tls::Version;

use crate::conversation::{Damage, Outcome, SideStory, Story, clear_ends, converse};

#[test]
fn a_stream_that_ends_early_is_truncated_for_every_open_layer_tls12() {
    cut_after_every_byte(Version::Tls12);
}

#[test]
fn a_stream_that_ends_early_is_truncated_for_every_open_layer_tls13() {
    cut_after_every_byte(Version::Tls13);
}

#[test]
fn a_damaged_byte_never_passes_through_tls_tls12() {
    damage_every_byte(Version::Tls12);
}

#[test]
fn a_damaged_byte_never_passes_through_tls_tls13() {
    damage_every_byte(Version::Tls13);
}

fn cut_after_every_byte(version: Version) {
    for asks in [true, false] {
        let stories = (0..).map(|count| (count, converse(version, asks, Damage::CutAfter(count))));
        let mut cuts = 0;
        let mut truncated = [0; 3];
        for (count, story) in stories.take_while(|(_, story)| story.damaged) {
            let context = format!("cut after {count} bytes: {story:?}");
            let [cut, other] = &story.sides;
            let open: Vec<_> = cut.started.iter().copied().filter(|id| !cut.ended.contains(id)).collect();
            match &cut.outcome {
                Outcome::Lost(reason) => {
                    let lost: Vec<_> = reason.layers().iter().map(|loss| loss.layer).collect();
                    assert_eq!(lost, open, "the layers named are not those open; {context}");
                    assert!(
                        reason.layers().iter().all(|loss| loss.error.kind() == LayerErrorKind::Truncated),
                        "{context}"
                    );
                }
                Outcome::Complete | Outcome::Clean => {
                    assert!(open.is_empty(), "a clean end with open layers; {context}");
                }
            }
            assert!(cut.ended.len() == 2 || !matches!(cut.outcome, Outcome::Complete), "{context}");
            assert!(all_lines_are_right(cut) && all_lines_are_right(other), "{context}");
            truncated[open.len()] += 1;
            cuts += 1;
        }
        assert!(cuts > 1_000, "two handshakes are longer than {cuts} bytes");
        assert!(truncated.iter().all(|&count| count > 10), "every depth is cut: {truncated:?}");
    }
}

fn damage_every_byte(version: Version) {
    for asks in [true, false] {
        let (clear_before, clear_behind) = clear_ends(asks);
        let stories =
            (0..).step_by(STRIDE).map(|index| (index, converse(version, asks, Damage::Flip(index, bits(index)))));
        for (index, story) in stories.take_while(|(_, story)| story.damaged) {
            let context = format!("byte {index} of {}", story.wire.len());
            let [damaged, other] = &story.sides;
            for (depth, heard, expected) in &damaged.heard {
                let wrong = heard.iter().zip(*expected).filter(|(heard, expected)| heard != expected).count();
                assert!(wrong <= usize::from(*depth == 0), "wrong plaintext; {context}: {damaged:?}");
            }
            assert!(all_lines_are_right(other), "{context}: {other:?}");
            if matches!(damaged.outcome, Outcome::Complete) {
                let in_clear = index < clear_before || index >= story.wire.len() - clear_behind;
                assert_eq!(in_clear, !all_lines_are_right(damaged), "{context}");
                assert!(in_clear || is_unprotected(&story, clear_before, index), "accepted; {context}: {story:?}");
            }
        }
    }
}

/// Whether this byte is the type or the version in the header of an outer record. TLS 1.3 has the real type inside, and
/// rustls authenticates both with the values that they should have (RFC 8446 section 5.2).
fn is_unprotected(story: &Story, clear_before: usize, index: usize) -> bool {
    let mut record = clear_before;
    while let Some(&[_, _, _, high, low]) = story.wire.get(record..record + 5) {
        if (record..record + 3).contains(&index) {
            return true;
        }
        record += 5 + usize::from(u16::from_be_bytes([high, low]));
    }
    false
}

fn all_lines_are_right(side: &SideStory) -> bool {
    side.heard.iter().all(|(_, heard, expected)| expected.starts_with(heard))
}

/// One bit or several, differently from byte to byte.
fn bits(index: usize) -> u8 {
    [1, 0x80, 0x10, 0xff, 4][index % 5]
}

/// Of the bytes damaged, to stay quick.
const STRIDE: usize = 1;
