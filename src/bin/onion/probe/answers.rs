//! Taking apart what a server says: into replies, lines or messages, as its protocol does.

/// Takes apart what was heard so far. What is still incomplete is left out.
pub(super) type Split = fn(&[u8]) -> Vec<&[u8]>;

/// Replies that begin with three digits, in one line or more: SMTP, LMTP, NNTP, FTP.
pub(super) fn replies(heard: &[u8]) -> Vec<&[u8]> {
    let mut replies = Vec::new();
    let mut start = 0;
    let mut position = 0;
    for line in heard.split_inclusive(|&byte| byte == b'\n').filter(|line| line.ends_with(b"\n")) {
        position += line.len();
        // A line in the middle begins as it likes (RFC 959 section 4.2).
        let begins_more = heard[start..].get(3) == Some(&b'-');
        let ends_more = line.get(..3) == heard[start..].get(..3) && line.get(3) != Some(&b'-');
        if !begins_more || ends_more {
            replies.push(heard[start..position].trim_ascii_end());
            start = position;
        }
    }
    replies
}

/// Lines: IMAP, POP3, ManageSieve, IRC.
pub(super) fn lines(heard: &[u8]) -> Vec<&[u8]> {
    let whole = heard.split_inclusive(|&byte| byte == b'\n').filter(|line| line.ends_with(b"\n"));
    whole.map(<[u8]>::trim_ascii_end).collect()
}

/// Messages of LDAP (RFC 4511 section 4.1.1): a SEQUENCE each.
pub(super) fn ldap_messages(heard: &[u8]) -> Vec<&[u8]> {
    let mut messages = Vec::new();
    let mut rest = heard;
    while let Some(len) = ldap_message_len(rest).filter(|&len| len <= rest.len()) {
        let (message, behind) = rest.split_at(len);
        messages.push(message);
        rest = behind;
    }
    messages
}

/// All of it at once, for protocols in which a few words tell enough: XMPP, PostgreSQL.
pub(super) fn everything(heard: &[u8]) -> Vec<&[u8]> {
    if heard.is_empty() { Vec::new() } else { vec![heard] }
}

/// How long the message at the front is, with its tag and length (X.690 section 8.1.3).
fn ldap_message_len(bytes: &[u8]) -> Option<usize> {
    let [SEQUENCE, first, rest @ ..] = bytes else { return None };
    if *first < 0x80 {
        return Some(2 + usize::from(*first));
    }
    let digits = rest.get(..usize::from(first & 0x7f)).filter(|digits| digits.len() <= 4)?;
    let len = digits.iter().fold(0, |len, &digit| len << 8 | usize::from(digit));
    len.checked_add(2 + digits.len())
}

/// The tag of an LDAP message, and of what is in it.
const SEQUENCE: u8 = 0x30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_end_where_their_last_line_does() {
        let heard = b"250 one\r\n211-more\r\n 250 free text\r\n211-and\r\n211 end\r\n221\r\n250-open\r\n";
        let expected: [&[u8]; 3] = [b"250 one", b"211-more\r\n 250 free text\r\n211-and\r\n211 end", b"221"];
        assert_eq!(replies(heard), expected);
    }

    #[test]
    fn half_a_line_is_none() {
        assert_eq!(lines(b"+OK\r\n-ERR half"), [b"+OK"]);
        assert!(lines(b"").is_empty() && everything(b"").is_empty());
    }

    #[test]
    fn messages_end_where_their_length_says() {
        let expected: [&[u8]; 2] = [&[0x30, 1, 9], &[0x30, 0x81, 2, 8, 7]];
        assert_eq!(ldap_messages(&[0x30, 1, 9, 0x30, 0x81, 2, 8, 7, 0x30, 5, 1]), expected);
        assert!(ldap_messages(&[0x30, 0xff, 1, 2, 3]).is_empty(), "nobody has that much to say");
    }
}
