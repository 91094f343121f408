//! As much of a certificate (RFC 5280) as must be known beside what rustls says of it: its dates, purposes and key.

use std::time::Duration;

use rustls::pki_types::UnixTime;

use super::algorithm::KeyKind;
use super::der::{GENERALIZED_TIME, INTEGER, OCTET_STRING, OID, Reader, SEQUENCE, UTC_TIME, tagged};

/// What is looked at of a certificate.
#[derive(Debug)]
pub(super) struct Certificate<'a> {
    pub(super) not_before: UnixTime,
    pub(super) not_after: UnixTime,
    /// The name of its issuer, without the header of its SEQUENCE.
    pub(super) issuer: &'a [u8],
    /// Its own name, likewise.
    pub(super) subject: &'a [u8],
    /// Its other names, likewise, if it has any that can be read (section 4.2.1.6).
    pub(super) alternative_names: Option<&'a [u8]>,
    /// Its key: SubjectPublicKeyInfo, without the header of its SEQUENCE.
    spki: &'a [u8],
    /// The purposes it is limited to, as object identifiers (section 4.2.1.12).
    purposes: Option<Vec<&'a [u8]>>,
}

/// What a certificate is shown for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Server,
    Client,
}

impl<'a> Certificate<'a> {
    /// Reads a certificate. `None` if it is none, or has an extension that is not as it should be.
    pub(super) fn read(der: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(Reader::only(der, SEQUENCE)?);
        let mut reader = Reader::new(reader.take(SEQUENCE)?);
        // The version, which is left out by the first.
        reader.take_if(tagged(0));
        let (_serial, _signature) = (reader.take(INTEGER)?, reader.take(SEQUENCE)?);
        let issuer = reader.take(SEQUENCE)?;
        let mut validity = Reader::new(reader.take(SEQUENCE)?);
        let (not_before, not_after) = (time(&mut validity)?, time(&mut validity)?);
        let subject = reader.take(SEQUENCE)?;
        let spki = reader.take(SEQUENCE)?;
        let (mut purposes, mut alternative_names) = (None, None);
        while let Some((tag, content)) = reader.take_any() {
            if tag == tagged(3) {
                let extensions = Reader::only(content, SEQUENCE)?;
                purposes = read_purposes(extensions)?;
                alternative_names = extension(extensions, SUBJECT_ALT_NAME).flatten();
            }
        }
        let alternative_names = alternative_names.and_then(|names| Reader::only(names, SEQUENCE));
        Some(Self { not_before, not_after, issuer, subject, alternative_names, spki, purposes })
    }

    pub(super) fn key(&self) -> Option<KeyKind> {
        KeyKind::of_public(self.spki)
    }

    /// Whether it may be used so: an extension that limits it must name the purpose.
    pub(super) fn is_for(&self, purpose: Purpose) -> bool {
        let wanted = match purpose {
            Purpose::Server => SERVER_AUTH,
            Purpose::Client => CLIENT_AUTH,
        };
        self.purposes.as_ref().is_none_or(|purposes| purposes.contains(&wanted))
    }
}

/// How a certificate is signed: its AlgorithmIdentifier, without the header of its SEQUENCE.
#[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
pub(super) fn signature_algorithm(der: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(Reader::only(der, SEQUENCE)?);
    reader.take(SEQUENCE)?;
    reader.take(SEQUENCE)
}

/// Outside: whether the extensions could be read. Inside: what they say.
#[allow(clippy::option_option, reason = "no limit is not the same as one that cannot be read")]
fn read_purposes(extensions: &[u8]) -> Option<Option<Vec<&[u8]>>> {
    let Some(value) = extension(extensions, EXTENDED_KEY_USAGE)? else { return Some(None) };
    let mut list = Reader::new(Reader::only(value, SEQUENCE)?);
    let mut purposes = Vec::new();
    while !list.is_empty() {
        purposes.push(list.take(OID)?);
    }
    Some(Some(purposes))
}

/// Outside: whether the extensions could be read, up to this one. Inside: what it says, if it is there.
#[allow(clippy::option_option, reason = "one that is not there is not the same as one that cannot be read")]
fn extension<'a>(extensions: &'a [u8], wanted: &[u8]) -> Option<Option<&'a [u8]>> {
    let mut extensions = Reader::new(extensions);
    while !extensions.is_empty() {
        let mut extension = Reader::new(extensions.take(SEQUENCE)?);
        if extension.take(OID)? != wanted {
            continue;
        }
        extension.take_if(BOOLEAN);
        return Some(Some(extension.take(OCTET_STRING)?));
    }
    Some(None)
}

/// UTCTime or GeneralizedTime, in the forms that section 4.1.2.5 allows.
fn time(reader: &mut Reader<'_>) -> Option<UnixTime> {
    let (tag, text) = reader.take_any()?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let year = digits(text, 2)?;
            (if year >= 50 { 1900 + year } else { 2000 + year }, &text[2..])
        }
        GENERALIZED_TIME => (digits(text, 4)?, &text[4..]),
        _ => return None,
    };
    if rest.len() != 11 || rest[10] != b'Z' {
        return None;
    }
    let field = |at: usize| digits(&rest[at..], 2);
    let (month, day, hour, minute, second) = (field(0)?, field(2)?, field(4)?, field(6)?, field(8)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = days_before(year, month) + day - 1;
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    // Before 1970 is long ago, whenever it was.
    Some(UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(seconds).unwrap_or(0))))
}

fn digits(text: &[u8], count: usize) -> Option<i64> {
    let text = text.get(..count)?;
    text.iter().try_fold(0, |number, &byte| byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0')))
}

/// Days from 1970 to the first of a month.
fn days_before(year: i64, month: i64) -> i64 {
    // Counted from March, so that the day that some years have more is the last.
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (month * 153 + 2) / 5 - EPOCH
}

/// The day of a time, as people write it: `2026-11-30`.
pub(super) fn date(time: UnixTime) -> String {
    let days = i64::try_from(time.as_secs() / 86_400).unwrap_or(i64::MAX).min(LAST_DAY);
    // The month that begins last before it. Nothing here is in a hurry.
    let mut year = 1970 + days / 366;
    while days_before(year + 1, 1) <= days {
        year += 1;
    }
    let month = (1..=12).rev().find(|&month| days_before(year, month) <= days).unwrap_or(1);
    format!("{year:04}-{month:02}-{:02}", days - days_before(year, month) + 1)
}

/// Days from the first of March of the year 0 to 1970.
const EPOCH: i64 = 719_468;

/// In the year 9999, beyond which certificates have no dates.
const LAST_DAY: i64 = 2_932_896;

const BOOLEAN: u8 = 0x01;
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 37];
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 17];
const SERVER_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
const CLIENT_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tag: u8, text: &str) -> Option<u64> {
        let der = [&[tag, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        time(&mut Reader::new(&der)).map(|time| time.as_secs())
    }

    #[test]
    fn times_are_read_and_dates_written() {
        for (tag, text, seconds, day) in [
            (UTC_TIME, "700101000000Z", 0, "1970-01-01"),
            (UTC_TIME, "000229235959Z", 951_868_799, "2000-02-29"),
            (UTC_TIME, "491231235959Z", 2_524_607_999, "2049-12-31"),
            (UTC_TIME, "261130161200Z", 1_796_055_120, "2026-11-30"),
            (GENERALIZED_TIME, "21000301000000Z", 4_107_542_400, "2100-03-01"),
            (GENERALIZED_TIME, "99991231235959Z", 253_402_300_799, "9999-12-31"),
        ] {
            assert_eq!(read(tag, text), Some(seconds), "{text}");
            assert_eq!(date(UnixTime::since_unix_epoch(Duration::from_secs(seconds))), day);
        }
        assert_eq!(read(UTC_TIME, "500101000000Z"), Some(0), "1950");
        assert_eq!(date(UnixTime::since_unix_epoch(Duration::from_secs(u64::MAX))), "9999-12-31");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in
            ["", "2611301612Z", "261130161200+0100", "261330161200Z", "26113016120 Z", "261130161200z", "261130246060Z"]
        {
            assert_eq!(read(UTC_TIME, text), None, "{text}");
        }
        assert_eq!(read(OCTET_STRING, "261130161200Z"), None);
    }
}
