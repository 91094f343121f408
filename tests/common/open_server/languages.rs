//! As much of each protocol as a server must speak to be asked for TLS, before it and inside.

/// A protocol, as a server that reads ahead sees it.
pub(crate) struct Language {
    /// As endpoints call it.
    pub(crate) name: &'static str,
    pub(crate) greeting: &'static [u8],
    /// What is said inside TLS before anybody has asked.
    pub(crate) greeting_inside: &'static [u8],
    /// How long the command at the front is, if all of it is there.
    pub(crate) command: fn(&[u8]) -> Option<usize>,
    /// Answers a command. Whether the client has greeted is kept for it.
    pub(crate) answer: fn(&[u8], &mut bool) -> Answer,
    /// Refuses this command.
    pub(crate) refuses: fn(&[u8]) -> Vec<u8>,
}

pub(crate) struct Answer {
    pub(crate) says: Vec<u8>,
    pub(crate) then: Then,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    GoOn,
    /// What is said is the go-ahead.
    StartTls,
    End,
}

pub(crate) const LANGUAGES: &[Language] = &[
    Language {
        name: "smtp",
        greeting: b"220 open.example\r\n",
        greeting_inside: b"",
        command: line,
        answer: |command, _| mail(command),
        refuses: |_| b"503 no\r\n".into(),
    },
    Language {
        name: "lmtp",
        greeting: b"220 open.example\r\n",
        greeting_inside: b"",
        command: line,
        answer: |command, _| mail(command),
        refuses: |_| b"503 no\r\n".into(),
    },
    Language {
        name: "imap",
        greeting: b"* OK open.example\r\n",
        greeting_inside: b"",
        command: line,
        answer: |command, _| imap(command),
        refuses: |command| format!("{} BAD no\r\n", tagged(command).0).into(),
    },
    Language {
        name: "pop3",
        greeting: b"+OK open.example\r\n",
        greeting_inside: b"",
        command: line,
        answer: |command, _| pop3(command),
        refuses: |_| b"-ERR no\r\n".into(),
    },
    Language {
        name: "sieve",
        greeting: SIEVE,
        greeting_inside: SIEVE,
        command: line,
        answer: |command, _| sieve(command),
        refuses: |_| b"NO \"no\"\r\n".into(),
    },
    Language {
        name: "nntp",
        greeting: b"200 open.example\r\n",
        greeting_inside: b"",
        command: line,
        answer: |command, _| nntp(command),
        refuses: |_| b"502 no\r\n".into(),
    },
    Language {
        name: "irc",
        greeting: b":open.example NOTICE * :looking up your name\r\n",
        greeting_inside: b"",
        command: line,
        answer: |command, _| irc(command),
        refuses: |_| b":open.example 691 * :no\r\n".into(),
    },
    Language {
        name: "ftp",
        greeting: b"220 open.example\r\n",
        greeting_inside: b"",
        command: line,
        answer: |command, _| ftp(command),
        refuses: |_| b"503 no\r\n".into(),
    },
    Language {
        name: "ldap",
        greeting: b"",
        greeting_inside: b"",
        command: |read| read.get(1).map(|len| usize::from(*len) + 2).filter(|len| *len <= read.len()),
        answer: |command, _| ldap(command),
        refuses: |command| ldap_response(command, 1),
    },
    Language {
        name: "xmpp",
        greeting: b"",
        greeting_inside: b"",
        command: tag,
        answer: xmpp,
        refuses: |_| b"<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>".into(),
    },
    Language {
        name: "xmpp-server",
        greeting: b"",
        greeting_inside: b"",
        command: tag,
        answer: xmpp,
        refuses: |_| b"<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>".into(),
    },
    Language {
        name: "postgres",
        greeting: b"",
        greeting_inside: b"",
        command: |read| {
            let len = u32::from_be_bytes(*read.first_chunk()?);
            usize::try_from(len).ok().filter(|len| *len <= read.len())
        },
        answer: |command, _| postgres(command),
        refuses: |_| postgres_error("no"),
    },
    SILENT_MYSQL,
    Language { name: "tds", ..SILENT_MYSQL },
];

/// For servers that only listen inside TLS.
const SILENT_MYSQL: Language = Language {
    name: "mysql",
    greeting: b"",
    greeting_inside: b"",
    command: |_| None,
    answer: |_, _| says("", Then::End),
    refuses: |_| Vec::new(),
};

fn line(read: &[u8]) -> Option<usize> {
    read.iter().position(|&byte| byte == b'\n').map(|end| end + 1)
}

/// Everything in these streams is a tag.
fn tag(read: &[u8]) -> Option<usize> {
    read.iter().position(|&byte| byte == b'>').map(|end| end + 1)
}

fn says(says: impl Into<Vec<u8>>, then: Then) -> Answer {
    Answer { says: says.into(), then }
}

fn words(command: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(command).split_whitespace().map(str::to_owned).collect()
}

fn first(command: &[u8]) -> String {
    words(command).first().cloned().unwrap_or_default().to_ascii_uppercase()
}

fn mail(command: &[u8]) -> Answer {
    match first(command).as_str() {
        "EHLO" | "LHLO" => says("250-open.example\r\n250 STARTTLS\r\n", Then::GoOn),
        "NOOP" => says("250 fine\r\n", Then::GoOn),
        "STARTTLS" => says("220 go ahead\r\n", Then::StartTls),
        "QUIT" => says("221 bye\r\n", Then::End),
        _ => says("500 what?\r\n", Then::GoOn),
    }
}

fn tagged(command: &[u8]) -> (String, String) {
    let words = words(command);
    let word = |index: usize| words.get(index).cloned().unwrap_or_default();
    (word(0), word(1).to_ascii_uppercase())
}

fn imap(command: &[u8]) -> Answer {
    let (tag, verb) = tagged(command);
    match verb.as_str() {
        "CAPABILITY" => says(format!("* CAPABILITY IMAP4rev1 STARTTLS\r\n{tag} OK\r\n"), Then::GoOn),
        "NOOP" => says(format!("{tag} OK\r\n"), Then::GoOn),
        "STARTTLS" => says(format!("{tag} OK\r\n"), Then::StartTls),
        "LOGOUT" => says(format!("* BYE\r\n{tag} OK\r\n"), Then::End),
        _ => says(format!("{tag} BAD what?\r\n"), Then::GoOn),
    }
}

fn pop3(command: &[u8]) -> Answer {
    match first(command).as_str() {
        "CAPA" => says("+OK\r\nSTLS\r\n.\r\n", Then::GoOn),
        "STLS" => says("+OK\r\n", Then::StartTls),
        "QUIT" => says("+OK\r\n", Then::End),
        _ => says("-ERR what?\r\n", Then::GoOn),
    }
}

fn sieve(command: &[u8]) -> Answer {
    match first(command).as_str() {
        "CAPABILITY" => says(SIEVE, Then::GoOn),
        "NOOP" => says(format!("OK (TAG {}) \"fine\"\r\n", words(command)[1]), Then::GoOn),
        "STARTTLS" => says("OK\r\n", Then::StartTls),
        "LOGOUT" => says("OK\r\n", Then::End),
        _ => says("NO \"what?\"\r\n", Then::GoOn),
    }
}

fn nntp(command: &[u8]) -> Answer {
    match first(command).as_str() {
        "CAPABILITIES" => says("101 these\r\nVERSION 2\r\nREADER\r\nSTARTTLS\r\n.\r\n", Then::GoOn),
        "DATE" => says("111 20261121093000\r\n", Then::GoOn),
        "STARTTLS" => says("382 go ahead\r\n", Then::StartTls),
        "QUIT" => says("205 bye\r\n", Then::End),
        _ => says("500 what?\r\n", Then::GoOn),
    }
}

fn irc(command: &[u8]) -> Answer {
    let words = words(command);
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["CAP", "LS", ..] => says(":open.example CAP * LS :tls\r\n", Then::GoOn),
        ["CAP", "REQ", name, ..] => says(format!(":open.example CAP * NAK {name}\r\n"), Then::GoOn),
        ["STARTTLS"] => says(":open.example 670 * :go ahead\r\n", Then::StartTls),
        ["QUIT", ..] => says("ERROR :bye\r\n", Then::End),
        _ => says(":open.example 451 * :what?\r\n", Then::GoOn),
    }
}

fn ftp(command: &[u8]) -> Answer {
    match first(command).as_str() {
        "FEAT" => says("211-these\r\n AUTH TLS\r\n211 end\r\n", Then::GoOn),
        "AUTH" => says("234 go ahead\r\n", Then::StartTls),
        "QUIT" => says("221 bye\r\n", Then::End),
        _ => says("530 what?\r\n", Then::GoOn),
    }
}

/// Every extended request succeeds.
fn ldap(command: &[u8]) -> Answer {
    let starts_tls = command.ends_with(b"1.3.6.1.4.1.1466.20037");
    says(ldap_response(command, 0), if starts_tls { Then::StartTls } else { Then::GoOn })
}

/// An extended response with this result code, to the request whose id is in one byte.
fn ldap_response(command: &[u8], code: u8) -> Vec<u8> {
    let id = command.get(4).copied().unwrap_or_default();
    vec![0x30, 12, 0x02, 1, id, 0x78, 7, 0x0a, 1, code, 0x04, 0, 0x04, 0]
}

fn xmpp(command: &[u8], greeted: &mut bool) -> Answer {
    let command = String::from_utf8_lossy(command);
    let header = "<?xml version='1.0'?><stream:stream from='open.example' id='1' version='1.0' xmlns='jabber:client' \
                  xmlns:stream='http://etherx.jabber.org/streams'>";
    if command.starts_with("<stream:stream") {
        *greeted = true;
        let features = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>";
        return says(format!("{header}{features}"), Then::GoOn);
    }
    if command.starts_with("<starttls") {
        return says("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", Then::StartTls);
    }
    if command.starts_with("<?xml") {
        return says("", Then::GoOn);
    }
    match (*greeted, command.starts_with("</stream:stream")) {
        (true, true) => says("</stream:stream>", Then::End),
        (true, false) => says("<stream:error/></stream:stream>", Then::End),
        (false, _) => says(format!("{header}<stream:error/></stream:stream>"), Then::End),
    }
}

fn postgres(command: &[u8]) -> Answer {
    let code = command.get(4..8).and_then(|code| code.try_into().ok()).map_or(0, u32::from_be_bytes);
    match (code, code >> 16) {
        (80_877_103, _) => says("S", Then::StartTls),
        (_, 3) => says([b'R', 0, 0, 0, 8, 0, 0, 0, 3], Then::GoOn),
        (_, version) => says(postgres_error(&format!("unsupported frontend protocol {version}.0")), Then::End),
    }
}

fn postgres_error(message: &str) -> Vec<u8> {
    let fields = format!("SFATAL\0C0A000\0M{message}\0\0");
    let len = u32::try_from(fields.len() + 4).unwrap();
    [b"E", &len.to_be_bytes()[..], fields.as_bytes()].concat()
}

const SIEVE: &[u8] = b"\"IMPLEMENTATION\" \"open\"\r\n\"SIEVE\" \"\"\r\n\"STARTTLS\"\r\n\"VERSION\" \"1.0\"\r\nOK\r\n";
