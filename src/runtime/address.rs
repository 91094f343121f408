//! One end of a connection, and whom a tunnel leads to.

use std::error::Error;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use crate::printable::Printable;

/// One end of a connection.
///
/// Prints as `tcp 127.0.0.1:25`, `tcp mail.example:25`, `unix /run/app.sock`, `unix @app`, `unix (unnamed)` or `stdio`, and
/// parses from that. What a path has in it that is not to be read is escaped ([`Printable`]): a PROXY header may name any.
/// Such a path does not parse back.
///
/// ```
/// use onionskin::runtime::Address;
///
/// let target = Address::to_host("mail.example", 25)?;
/// assert_eq!((target.to_string(), target.as_tcp()), ("tcp mail.example:25".to_owned(), None));
/// assert_eq!("tcp mail.example:25".parse(), Ok(target));
/// assert_eq!(Address::to_host("::1", 25)?.to_string(), "tcp [::1]:25");
/// # Ok::<_, onionskin::runtime::AddressError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// An IP address and a TCP port.
    Tcp(SocketAddr),
    /// A TCP port of a host that is called by its name, as a tunnel is asked for it. Nobody here resolves it: who is at the
    /// far end of a tunnel is for the proxy to find out.
    ///
    /// [`to_host`](Self::to_host) makes it of what can be asked for. The target of a connection to a transport has what that
    /// transport calls its host, whatever it is.
    Name {
        /// The name, as it was given.
        host: String,
        /// The port.
        port: u16,
    },
    /// The path of a Unix socket; `None` for the client's end, which has no name.
    Unix(Option<PathBuf>),
    /// The name of a Unix socket in the abstract namespace of Linux, without the zero byte before it.
    Abstract(Vec<u8>),
    /// The standard input and output of this process, which know of no address.
    Stdio,
}

impl Address {
    /// A port of a host, which is a name, an IPv4 address, or an IPv6 address without brackets.
    ///
    /// A name is not resolved, nor made lower case: a proxy is asked for it unchanged. It consists of letters, digits,
    /// `-` and `_` in labels of at most 63 bytes with dots between them, one dot behind the last if need be, 253 bytes
    /// without that (RFC 1035, section 2.3.4), and does not end in a number. A name in other scripts is given by its A-labels (RFC 5890): `xn--`.
    ///
    /// # Errors
    ///
    /// When that is no host; and for port 0, where nobody can be.
    pub fn to_host(host: &str, port: u16) -> Result<Self, AddressError> {
        if port == 0 {
            return Err(AddressError(format!("{} has no port 0: give one from 1 up", Printable::new(host).quoted())));
        }
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(SocketAddr::new(ip, port).into());
        }
        match mistake(host) {
            None => Ok(Self::Name { host: host.to_owned(), port }),
            Some(mistake) => Err(AddressError(format!("{} is no host: {mistake}", Printable::new(host).quoted()))),
        }
    }

    /// As [`to_host`](Self::to_host), for what a resolver is asked for: that decides what a name is.
    pub(crate) fn to_be_resolved(host: &str, port: u16) -> Self {
        match host.parse::<IpAddr>() {
            Ok(ip) => SocketAddr::new(ip, port).into(),
            Err(_) => Self::Name { host: host.to_owned(), port },
        }
    }

    /// The IP address and port, if this is TCP and the address is known.
    pub fn as_tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Name { .. } | Self::Unix(_) | Self::Abstract(_) | Self::Stdio => None,
        }
    }

    /// The name or the IP address of the host, as a certificate has it: an IPv6 address goes without brackets.
    pub fn host(&self) -> Option<String> {
        match self {
            Self::Tcp(address) => Some(address.ip().to_string()),
            Self::Name { host, .. } => Some(host.clone()),
            Self::Unix(_) | Self::Abstract(_) | Self::Stdio => None,
        }
    }

    /// The TCP port.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp(address) => Some(address.port()),
            Self::Name { port, .. } => Some(*port),
            Self::Unix(_) | Self::Abstract(_) | Self::Stdio => None,
        }
    }

    /// The address of a Unix socket.
    #[cfg(all(unix, any(feature = "async-std", feature = "smol", feature = "tokio")))]
    pub(super) fn unix(address: &std::os::unix::net::SocketAddr) -> Self {
        #[cfg(target_os = "linux")]
        if let Some(name) = std::os::linux::net::SocketAddrExt::as_abstract_name(address) {
            return Self::Abstract(name.to_owned());
        }
        Self::Unix(address.as_pathname().map(std::path::Path::to_owned))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp {address}"),
            Self::Name { host, port } => write!(f, "tcp {}:{port}", Printable::new(host)),
            Self::Unix(Some(path)) => write!(f, "unix {}", Printable::new(path.as_os_str().as_encoded_bytes())),
            Self::Unix(None) => f.write_str(UNNAMED),
            Self::Abstract(name) => write!(f, "unix @{}", Printable::new(name)),
            Self::Stdio => f.write_str(STDIO),
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let unknown = || AddressError(format!("{} is no address: {FORMS}", Printable::new(text).quoted()));
        match text {
            STDIO => return Ok(Self::Stdio),
            UNNAMED => return Ok(Self::Unix(None)),
            _ => {}
        }
        match text.split_once(' ').ok_or_else(unknown)? {
            ("unix", name) if name.starts_with('@') => Ok(Self::Abstract(name.as_bytes()[1..].to_vec())),
            ("unix", path) if !path.is_empty() => Ok(Self::Unix(Some(path.into()))),
            ("tcp", address) => match address.parse::<SocketAddr>() {
                Ok(address) => Ok(address.into()),
                Err(_) => {
                    // What has a colon in it is an IPv6 address, and stands in brackets.
                    let (host, port) = address.split_once(':').ok_or_else(unknown)?;
                    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
                    let port = port.parse().ok().filter(|_| is_number).ok_or_else(unknown)?;
                    Self::to_host(host, port)
                }
            },
            _ => Err(unknown()),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

/// Why something is no [`Address`]. Prints as one sentence.
#[derive(Clone, PartialEq, Eq)]
pub struct AddressError(String);

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for AddressError {}

/// What is wrong with a name that somebody else is to resolve, if anything is.
fn mistake(host: &str) -> Option<&'static str> {
    let name = host.strip_suffix('.').unwrap_or(host);
    if name.is_empty() {
        return Some("it is empty");
    }
    if !name.is_ascii() {
        return Some("a name in other scripts is given by its A-labels, xn--...");
    }
    if name.contains('%') {
        return Some("the zone of an address means nothing to another machine");
    }
    if let Some(other) = name.bytes().find(|byte| !byte.is_ascii_alphanumeric() && !b"-_.".contains(byte)) {
        return Some(match other {
            b':' | b'[' | b']' => "that is neither a name nor an IP address, which goes without brackets",
            b'@' => "a user's name has no place in it",
            _ => "a name has letters, digits, - and _ only, with dots between them",
        });
    }
    if name.len() > MAX_NAME {
        return Some("a name has at most 253 bytes");
    }
    if let Some(label) = name.split('.').find(|label| label.is_empty() || label.len() > MAX_LABEL) {
        return Some(if label.is_empty() {
            "there is nothing between two dots"
        } else {
            "a label has at most 63 bytes"
        });
    }
    // No domain at the top is a number (RFC 1123, section 2.1), and a resolver may take such a name for an address all the same.
    let is_number = name.rsplit('.').next()?.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some("it ends in a number as an IPv4 address does, which has four of them up to 255")
}

const STDIO: &str = "stdio";
const UNNAMED: &str = "unix (unnamed)";
const FORMS: &str = "write tcp HOST:PORT, unix PATH, unix @NAME, unix (unnamed) or stdio";

/// RFC 1035, section 2.3.4, as it is written with dots (RFC 1123, section 2.1).
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_parses_back() {
        for text in [
            "tcp 192.0.2.1:25",
            "tcp [2001:db8::1]:443",
            "tcp [::ffff:192.0.2.1]:443",
            "tcp mail.example:25",
            "tcp _srv.Example.:65535",
            "tcp 1.2.x3:25",
            "unix /run/a b.sock",
            "unix @app",
            "unix (unnamed)",
            "stdio",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        let long = format!("{}.{}", "a".repeat(63), "b.".repeat(94) + "c");
        assert_eq!(long.len(), 253);
        assert_eq!(Address::to_host(&long, 1).unwrap().host(), Some(long));
        assert_eq!(Address::to_host("2001:db8::1", 9).unwrap(), "tcp [2001:db8::1]:9".parse().unwrap());
    }

    #[test]
    fn a_host_that_nobody_can_be_asked_for_is_refused() {
        for (host, port, sentence) in [
            ("a.example", 0, "no port 0"),
            ("", 1, "it is empty"),
            (".", 1, "it is empty"),
            ("a..b", 1, "between two dots"),
            (".a", 1, "between two dots"),
            (&"a".repeat(64), 1, "63 bytes"),
            (&["a"; 128].join("."), 1, "253 bytes"),
            ("bücher.example", 1, "A-labels"),
            ("a b", 1, "letters, digits"),
            ("a\r\nHost: b", 1, r#""a\r\nHost: b" is no host"#),
            ("a/b", 1, "letters, digits"),
            ("user@a.example", 1, "user's name"),
            ("[::1]", 1, "without brackets"),
            ("fe80::1%eth0", 1, "the zone"),
            ("192.0.2.256", 1, "up to 255"),
            ("192.0.2.1.", 1, "up to 255"),
            ("127.1", 1, "up to 255"),
            ("2130706433", 1, "up to 255"),
        ] {
            let error = Address::to_host(host, port).unwrap_err().to_string();
            assert!(error.contains(sentence) && error.lines().count() == 1, "{host:?}: {error}");
        }
        for text in [
            "",
            "tcp",
            "tcp ",
            "tcp a",
            "tcp a:",
            "tcp a:+1",
            "tcp a:65536",
            "tcp :1",
            "tcp ::1:25",
            "tcp a:b:1",
            "udp a:1",
            "unix",
            "unix ",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text:?}");
        }
    }
}
