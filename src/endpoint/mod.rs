//! Endpoint strings: where to connect or listen, and what to put on top.
//!
//! ```text
//! tcp:127.0.0.1:4433+tls:sni=outer.example:ca=ca.pem+tls:sni=inner.example:ca=ca.pem
//! └── transport ───┘ └── outer step ────────────────┘ └── inner step ───────────────┘
//! ```
//!
//! Steps are joined by `+`, from the wire inwards. A step is a kind and its arguments, joined by
//! `:`; an argument is a value, or a key and a value joined by `=`. A backslash takes the meaning
//! from the character behind it: `\:` `\=` `\+` `\\` `\[` `\@`. An IPv6 address stands in brackets,
//! where nothing needs a backslash.
//!
//! # Transports
//!
//! | first step | for a client | for a server |
//! |---|---|---|
//! | `tcp:HOST:PORT` | to a name, an IPv4 address, or an IPv6 address in brackets | at the first address of the name; port 0 picks one |
//! | … `:timeout=SECONDS` | how long to resolve and to connect; 30 unless set, `none` for as long as the system does | not allowed |
//! | … `:keepalive=SECONDS` | how long nothing comes before the system asks whether the peer is still there; 60 unless set, `off` for never | the same |
//! | … `:keepalive-interval=SECONDS`, `:keepalive-count=NUMBER` | when it asks again, and how often in vain before the connection fails; 15 and 4 unless set | the same |
//! | … `:resolve-timeout=SECONDS`, `:connect-timeout=SECONDS` | how long each of the two may take by itself, within `timeout` | not allowed |
//! | … `:bind=ADDRESS`, `:bind-ports=FIRST-LAST` | the local address, and the ports of which one that is free is taken | not allowed |
//! | … `:user-timeout=SECONDS` | how long what was sent may go without being acknowledged before the connection fails; Linux | the same |
//! | … `:receive-buffer=BYTES`, `:send-buffer=BYTES`, `:dscp=0..63` | what the system holds in each direction, and how what is sent is marked ([`TcpOptions`]) | the same |
//! | … `:fast-open=yes`, `:reuse-port=yes` | to say the first bytes with the first packet (RFC 7413; Linux); not allowed | not allowed; to listen where others listen too |
//! | … `:total-timeout=SECONDS` | any transport: how long all of it may take, from the name to the last handshake; as long as the phases may, unless set | not allowed |
//! | … `:idle=SECONDS` | any transport: how long nothing may pass before the connection is given up; as long as it likes unless set, as with `none` | the same |
//! | … `:half-open=SECONDS` | any transport: the same, once one side has sent its end of file; the shorter of the two holds | the same |
//! | `unix:PATH` | to the socket in this file | creates the file, and removes it in the end; takes the place of a socket that nobody listens on any more |
//! | `unix:@NAME` | to a name in the abstract namespace of Linux; `\@` for a file whose name begins with `@` | the same |
//! | `stdio` | over standard input and output | the same: the one connection that there is |
//! | `fd:NUMBER` | over a connected socket that the parent process has handed down | at a socket that listens, or the one connection that there is |
//! | `systemd:INDEX` | as `fd`, with a socket of `LISTEN_FDS`, counted from 0 | the same |
//! | `systemd:name=NAME` | the same, by its name in `LISTEN_FDNAMES` | the same |
//!
//! `stdio`, `fd` and `systemd` are for Unix, and need a runtime that is built in. Sockets that are handed down may be TCP
//! or Unix. `stdio` and each socket of systemd can be opened once; a connection of `fd` is shut down when it is dropped.
//! `fd` with a number above 2 needs Linux 5.6, and a system that lets a process copy its own descriptors
//! (`pidfd_getfd`): some containers do not. The first use of `systemd` removes `LISTEN_FDS` and `LISTEN_PID` from the
//! environment, so that no child process takes them for its own.
//!
//! `stdio` takes standard input and output away from the rest of the process, which finds `/dev/null` in their places:
//! what it prints from then on goes nowhere. What it has read ahead through [`std::io::stdin`] stays its own. They are
//! read and written on threads that do not hold up the end of the process, 64 KiB ahead at most; so close the
//! connection before the process ends, or the last bytes may be lost.
//!
//! # Steps
//!
//! | step | key | for a client | for a server |
//! |---|---|---|---|
//! | `tls` | `sni` | the name to ask for and to verify; unless set, whom the steps before lead to: the host of `tcp`, or the target of a tunnel | |
//! | | `ca`, `roots`, `insecure` | whom to trust: a PEM file, `system` or `webpki`, or both; `yes` for everybody | |
//! | | `verify` | `name` for a chain and the name, as it is unless set; `chain` for any name; `pin` for a pin alone; `nothing` is `insecure` | |
//! | | `names` | names with commas between them, one of which it must have instead of `sni` | |
//! | | `pin` | SHA-256 of keys with commas between them, one of which it must have | |
//! | | `crl` | files of revocation lists, one each | the same, for clients |
//! | | `crl-unknown`, `crl-expired` | `accept` to take what no list knows, to believe one that is out of date | the same |
//! | | `cert`, `key` | PEM files, if the server asks for a certificate | PEM files, needed |
//! | | `ocsp` | | a file with an answer of OCSP in DER, to be stapled to the certificate |
//! | | `second-cert`, `second-key`, `second-ocsp` | | the same three for a certificate of another kind, as RSA beside ECDSA |
//! | | `alpn` | protocols with commas between them | the same |
//! | | `min`, `max` | versions: `1.2` or `1.3` | the same |
//! | | `groups` | groups of the key exchange with commas between them, the preferred first; with `X25519MLKEM768` in front unless set | the same |
//! | | `shares` | of how many groups the first message carries a key: `1` or `2` | |
//! | | `suites` | cipher suites with commas between them, the preferred first | the same |
//! | | `resumption` | `off` to resume no session | the same |
//! | | `ticket-keys` | | a file of keys, one to a line in 64 hexadecimal digits, for processes that resume each other's sessions |
//! | | `client-ca` | | a PEM file; clients must show a certificate |
//! | | `client-auth` | | `demand`, as it is unless set, or `ask` to take clients without one too |
//! | | `for=NAME` | | what is otherwise for clients that ask for this name, in the keys behind it: those of a certificate, and `client-ca`, `client-auth` and `crl` with theirs; any number of times, at the end of the step |
//! | | `keylog` | `yes` to write the secrets to the file that `SSLKEYLOGFILE` names | the same |
//! | | `handshake-timeout=SECONDS` | how long the peer may take for the handshake; 10 unless set, `none` for ever | the same |
//! | `starttls:PROTOCOL` | | TLS that the protocol is asked for: [`KnownProtocol`](crate::starttls::KnownProtocol) has the names | the same |
//! | | all keys of `tls` | as there | as there |
//! | | `name` | what it calls itself, or whom it asks for (XMPP) | what it calls itself |
//! | | `opportunistic` | `yes` to go on in clear if the server has no TLS | `yes` to take clients that do not ask for it |
//! | `proxy-header` | `version` | which form of the PROXY header to send: `1` or `2` | |
//! | | `from=ADDRESS:PORT`, `to=ADDRESS:PORT` | the addresses in it; unless set, those of the socket (behind a tunnel, whom that leads to), or of whom it connects for | |
//! | | `local` | `yes` to send one without addresses | |
//! | | `optional` | | `yes` to take clients without a header too |
//! | `connect:HOST:PORT` | | has a proxy of HTTP reach this target; the proxy is whom the steps before lead to | |
//! | | `version` | `1` or `2`, for HTTP/1.1 or HTTP/2; unless set, or with `auto`, what a `tls` step right before has agreed on, which then offers both | |
//! | | `user`, `password-file` | who asks; the password is the first line of the file | |
//! | | `header=NAME=VALUE` | a field of the request; any number of times | |
//! | | `timeout=SECONDS` | how long the proxy may take, with the target that it connects to; 30 unless set, `none` for ever | |
//! | `socks5:HOST:PORT` | | the same for a proxy of SOCKS5 | |
//! | | `dns` | `local` to resolve the name here, where else (`remote`) the proxy does | |
//! | | `user`, `password-file`, `timeout` | as for `connect` | |
//! | `socks4a:HOST:PORT` | `user`, `timeout` | the same for a proxy of SOCKS4a, which knows no IPv6 addresses and no password | |
//!
//! Steps stand in any order and depth. In `tcp:proxy.example:1080+socks5:origin.example:443+tls` the proxy is `proxy.example`, and
//! TLS verifies `origin.example`; with one more `+tls` before `socks5`, there is TLS to the proxy too. [`proxy_from_env`] puts a
//! step there for the proxy that the environment names, and [`Connection::route`](crate::Connection::route) tells of those that were gone through.
//!
//! `proxy-header` was called `proxy` once. That is still read, with a warning in the log, and printed by its new name.
//!
//! [`Silence`] says what counts for `idle` and `half-open`.
//!
//! Each phase has a limit of its own, and `total-timeout` limits them all; an error says which of them was over.
//! [`Incoming::identify`] tells whom a [`ProxyHeaderStep`] speaks for, and [`Connector::connect_for`] passes it on.
//!
//! Files are read once, when an endpoint is made ready. [`Listener::reload`], [`Connector::reload`] and
//! [`Server::reload`] read them again, for connections to come.
//!
//! # The files
//!
//! [`Endpoint`] parses with [`str::parse`] and prints in canonical form; the two are inverse. The
//! files are layers: `grammar` splits a string into words and knows no kind, `arguments` reads
//! words as values, `transport`, `silence`, `deadlines`, `sockets`, `step`, `named`, `tunnel` and `proxy_header` say what the words of each kind mean. `tls` makes
//! configurations out of a [`TlsStep`], `legs` makes every step ready as a leg of a [route](crate::route), `own_step` is one that
//! no string says. `happy_eyeballs` and `wire` open a transport; `connector`, `listener`, `incoming` and `server` put it all
//! together.

// | file | idea |
// |---|---|
// | `server.rs`, `incoming.rs` | protocols at endpoints, and a peer on its way through the steps |
// | `connector.rs`, `listener.rs`, `open_error.rs` | connecting and listening, and why neither came about |
// | `clients.rs` | TLS clients, made once for each place on each way |
// | `legs.rs`, `own_step.rs` | the steps, made ready as legs of a route, and one that the program brings |
// | `wire.rs`, `happy_eyeballs.rs` | from a transport to a socket or a listener |
// | `transport.rs`, `step.rs`, `tls.rs`, `named.rs`, `starttls.rs`, `tunnel.rs`, `proxy_header.rs`, `silence.rs`, `sockets.rs` | what each step means, with its keys |
// | `deadlines.rs` | how long opening may take, and which phase took too long |
// | `proxy_from_env.rs` | the proxy that the environment names |
// | `grammar.rs`, `arguments.rs`, `error.rs` | from a string to words, from words to values and back, and where that fails |

mod arguments;
mod clients;
mod connector;
mod deadlines;
mod error;
mod grammar;
pub(crate) mod happy_eyeballs;
mod incoming;
mod legs;
mod listener;
mod named;
mod open_error;
mod own_step;
mod proxy_from_env;
mod proxy_header;
mod server;
mod silence;
mod sockets;
mod starttls;
mod step;
#[cfg(test)]
mod tests;
mod tls;
mod transport;
mod tunnel;
mod wire;

use std::fmt;
use std::str::FromStr;

use self::arguments::{Arguments, Printer};
pub use self::connector::{Connector, connect};
pub use self::deadlines::Deadlines;
pub use self::error::{ErrorKind, ParseError, without_passwords};
pub use self::incoming::{Admitted, Incoming};
pub use self::listener::{Listener, listen};
pub use self::named::NamedServer;
pub use self::open_error::{OpenError, OpenErrorKind};
pub use self::own_step::OwnStep;
pub use self::proxy_from_env::{ProxyVariableError, proxy_from_env};
pub use self::proxy_header::ProxyHeaderStep;
pub use self::server::{Server, ServerStopped, Task, connect_with, listen_with};
pub use self::silence::{Silence, SilenceLimit};
pub use self::starttls::StartTlsStep;
pub use self::step::{ClientAuth, Step, TlsStep, TrustStore, VerifyStep};
pub use self::transport::{BaseTransport, ConnectTimeout, SystemdSocket};
pub use self::tunnel::{ConnectStep, HttpVersion, Login, Resolver, Socks4aStep, Socks5Step};
use crate::runtime::{Address, TcpOptions};

/// A transport and the steps on top of it.
///
/// ```
/// use onionskin::endpoint::{BaseTransport, Endpoint, Step, TlsStep};
///
/// let endpoint: Endpoint = "tcp:[::1]:4433+tls:sni=outer.example".parse()?;
/// let Step::Tls(tls) = &endpoint.steps[0] else { unreachable!() };
/// assert_eq!(tls.server_name.as_deref(), Some("outer.example"));
///
/// let plain = Endpoint::new(BaseTransport::unix("/run/app.sock"));
/// assert_eq!(plain.then(TlsStep::default()).to_string(), "unix:/run/app.sock+tls");
/// # Ok::<_, onionskin::endpoint::ParseError>(())
/// ```
///
/// The fields are open, so a program can put together what no string says: an empty path, a path
/// that is not UTF-8, an ALPN name with a comma. Such an endpoint prints, but does not parse back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Endpoint {
    /// The way to the wire.
    pub transport: BaseTransport,
    /// How long a connection may be silent.
    pub silence: Silence,
    /// How long a client may take to open one.
    pub deadlines: Deadlines,
    /// What the system is asked to do for the sockets of `tcp`.
    pub tcp: TcpOptions,
    /// What to put on top, the outermost first.
    pub steps: Vec<Step>,
}

impl Endpoint {
    /// An endpoint with nothing on top of its transport.
    pub fn new(transport: BaseTransport) -> Self {
        Self {
            transport,
            silence: Silence::default(),
            deadlines: Deadlines::default(),
            tcp: TcpOptions::default(),
            steps: Vec::new(),
        }
    }

    /// The same way to the wire, with nothing on top: what belongs to the transport goes with it.
    #[must_use]
    pub fn without_steps(&self) -> Self {
        Self { steps: Vec::new(), ..self.clone() }
    }

    /// Sets how long a connection may be silent.
    #[must_use]
    pub fn with_silence(mut self, silence: Silence) -> Self {
        self.silence = silence;
        self
    }

    /// Whom a client of this endpoint reaches: whom the last step that leads on to somebody else is for, or else the transport.
    /// `None` if that is a socket that was handed down, or a step of the program's own.
    #[must_use]
    pub fn target(&self) -> Option<Address> {
        let target = self.transport.target();
        self.steps.iter().fold(target, |target, step| match step {
            Step::Own(_) => None,
            step => step.target().cloned().or(target),
        })
    }

    /// Adds a step on top of those that are there.
    #[must_use]
    pub fn then(mut self, step: impl Into<Step>) -> Self {
        self.steps.push(step.into());
        self
    }
}

impl FromStr for Endpoint {
    type Err = ParseError;

    fn from_str(input: &str) -> Result<Self, ParseError> {
        parse(input).map_err(|error| error.within(input))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.transport, self.silence, self.deadlines)?;
        sockets::print(&self.tcp, Printer::new("", f)).finish()?;
        self.steps.iter().try_for_each(|step| write!(f, "+{step}"))
    }
}

/// A kind of transport or step: how it is called, and how its arguments are read.
struct Kind<T: 'static> {
    name: &'static str,
    /// The kind with its positional arguments, for errors.
    usage: &'static str,
    read: fn(&mut Arguments) -> Result<T, ParseError>,
}

impl<T> Kind<T> {
    fn list(kinds: &[Self]) -> String {
        let usages: Vec<_> = kinds.iter().map(|kind| kind.usage).collect();
        usages.join(", ")
    }
}

fn parse(input: &str) -> Result<Endpoint, ParseError> {
    let mut words = grammar::split(input)?.into_iter().map(step::renamed);
    let first = words.next().expect("a split yields at least one step");
    let is_tcp = first.kind.text == "tcp";
    let (transport, (silence, deadlines, tcp)) = meaning(first, &transport::KINDS, Place::First, |arguments| {
        let silence = Silence::read(arguments)?;
        Ok(match is_tcp {
            true => (silence, Deadlines::read(arguments)?, sockets::read(arguments)?),
            false => (silence, Deadlines::read_total(arguments)?, TcpOptions::default()),
        })
    })?;
    let mut endpoint = Endpoint { silence, deadlines, tcp, ..Endpoint::new(transport) };
    for step in words {
        let (step, ()) = meaning(step, &step::KINDS, Place::Later, |_| Ok(()))?;
        endpoint.steps.push(step);
    }
    Ok(endpoint)
}

#[derive(Clone, Copy)]
enum Place {
    First,
    Later,
}

/// What a step says, and what `common` reads of the arguments that its kind has left.
fn meaning<T, C>(
    step: grammar::Step,
    kinds: &[Kind<T>],
    place: Place,
    common: impl FnOnce(&mut Arguments) -> Result<C, ParseError>,
) -> Result<(T, C), ParseError> {
    let Some(kind) = kinds.iter().find(|kind| step.kind.text == kind.name) else {
        return Err(wrong_kind(&step.kind, &Kind::list(kinds), place));
    };
    let mut arguments = Arguments::new(step, kind.usage);
    let value = (kind.read)(&mut arguments)?;
    let common = common(&mut arguments)?;
    arguments.finish()?;
    Ok((value, common))
}

fn wrong_kind(kind: &grammar::Word, known: &str, place: Place) -> ParseError {
    let name = kind.text.as_str();
    let (error, message) = match place {
        Place::First if step::KINDS.iter().any(|known| known.name == name) => {
            (ErrorKind::Misplaced, format!("`{name}` cannot come first: begin with a transport ({known})"))
        }
        Place::Later if transport::KINDS.iter().any(|known| known.name == name) => {
            (ErrorKind::Misplaced, format!("`{name}` can only come first: what goes on top is one of {known}"))
        }
        Place::First => (ErrorKind::UnknownKind, format!("unknown transport {name:?}: the known ones are {known}")),
        Place::Later => (
            ErrorKind::UnknownKind,
            format!(r"unknown step {name:?}: the known ones are {known} (write \+ for a plain plus)"),
        ),
    };
    ParseError::new(error, kind.position, message)
}
