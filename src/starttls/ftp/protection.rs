//! The security commands, as a server answers them.

use crate::stack::{OnTimeout, Stop};
use crate::starttls::reply::command;

/// The state of a server's control connection, and what it says to AUTH, PBSZ, PROT and CCC (RFC 2228 section 3, RFC 4217
/// sections 4, 8 and 9).
///
/// It does no I/O: [`command`](Self::command) gives the reply, and what is to be done when that was sent.
///
/// ```text
///   clear ──AUTH TLS──> TLS ──PBSZ 0──> TLS, sized ──PROT P──> TLS, data protected
///     ▲                  │                 │                        │
///     └──────AUTH TLS──  cleared  <──CCC───┴────────────────────────┘
/// ```
///
/// In callbacks, with a [`LineReceiver`](crate::protocol::LineReceiver):
///
/// ```
/// use onionskin::protocol::{LineReceiver, Lines, Protocol, Result, Transport};
/// use onionskin::starttls::ftp::{Change, Protection};
/// use onionskin::tls::TlsServer;
///
/// struct Session {
///     lines: Lines,
///     tls: TlsServer,
///     protection: Protection,
/// }
///
/// impl Protocol for Session {
///     fn data_received(&mut self, transport: &mut Transport<'_>) -> Result {
///         self.receive_lines(transport)
///     }
/// }
///
/// impl LineReceiver for Session {
///     fn lines(&mut self) -> &mut Lines {
///         &mut self.lines
///     }
///
///     fn line_received(&mut self, transport: &mut Transport<'_>, line: &[u8]) -> Result {
///         let Some(answer) = self.protection.command(line) else {
///             return self.send_line(transport, "502 what is that?");
///         };
///         self.send_line(transport, answer.reply())?;
///         match answer.change() {
///             Change::StartTls => _ = transport.start_tls(self.tls.accept()?)?,
///             Change::StopTls(stop) => _ = transport.stop_with(stop)?,
///             Change::Nothing => {}
///         }
///         Ok(())
///     }
/// }
/// ```
///
/// Async code does the same with [`write_line`](crate::Connection::write_line), which sends the reply in a segment of its
/// own, [`start_tls`](crate::Connection::start_tls), and [`stop_with`](crate::Connection::stop_with), which hands
/// back as [`late`](crate::connection::Stopped::late) what the client sent through TLS behind CCC.
#[derive(Clone, Debug)]
pub struct Protection {
    control: Control,
    data: Data,
    refuses_clear_control: bool,
    refuses_clear_data: bool,
}

/// The control connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Control {
    /// There was no AUTH.
    Clear,
    Tls,
    /// There was TLS until CCC.
    Cleared,
}

/// What was settled about data connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Data {
    Nothing,
    BufferSize,
    Level(Level),
}

impl Protection {
    /// A connection in clear. Also what REIN makes of any (RFC 4217 section 11).
    #[must_use]
    pub fn new() -> Self {
        Self { control: Control::Clear, data: Data::Nothing, refuses_clear_control: false, refuses_clear_data: false }
    }

    /// A connection that has TLS, because [`Ftp`](super::Ftp) has started it.
    #[must_use]
    pub fn in_tls() -> Self {
        Self { control: Control::Tls, ..Self::new() }
    }

    /// Refuses CCC.
    #[must_use]
    pub fn refuse_clear_control(mut self) -> Self {
        self.refuses_clear_control = true;
        self
    }

    /// Refuses PROT C. Until there is a PROT P, no data connection is to be opened: see [`data`](Self::data).
    #[must_use]
    pub fn refuse_clear_data(mut self) -> Self {
        self.refuses_clear_data = true;
        self
    }

    /// The answer to a command, without its end of line. `None` if it is none of the four; what the others are answered
    /// is the application's.
    pub fn command(&mut self, line: &[u8]) -> Option<ProtectionReply> {
        let (verb, argument) = command(line);
        let is = |word: &str| verb.eq_ignore_ascii_case(word.as_bytes());
        if is("AUTH") {
            Some(self.auth(argument))
        } else if is("PBSZ") {
            Some(self.pbsz(argument))
        } else if is("PROT") {
            Some(self.prot(argument))
        } else if is("CCC") {
            Some(self.ccc(argument))
        } else {
            None
        }
    }

    /// How data connections are protected.
    #[must_use]
    pub fn data(&self) -> Level {
        match self.data {
            Data::Level(level) => level,
            Data::Nothing | Data::BufferSize => Level::Clear,
        }
    }

    /// Whether the control connection has TLS, once the changes so far have been made.
    #[must_use]
    pub fn is_control_protected(&self) -> bool {
        self.control == Control::Tls
    }

    /// Whether the client has ever asked for TLS, so that passwords can be told from those that were said in clear: CCC
    /// changes nothing in that.
    #[must_use]
    pub fn is_authenticated(&self) -> bool {
        self.control != Control::Clear
    }

    fn auth(&mut self, mechanism: &[u8]) -> ProtectionReply {
        if self.control == Control::Tls {
            return ProtectionReply::says("503 there is TLS already");
        }
        match &*mechanism.to_ascii_uppercase() {
            // TLS-C is what drafts of RFC 4217 called it (section 17).
            b"TLS" | b"TLS-C" => {
                self.control = Control::Tls;
                self.data = Data::Nothing;
                ProtectionReply { reply: "234 begin", change: Change::StartTls }
            }
            b"" => ProtectionReply::says("501 which mechanism?"),
            _ => ProtectionReply::says("504 only TLS is known"),
        }
    }

    fn pbsz(&mut self, size: &[u8]) -> ProtectionReply {
        if let Some(refusal) = self.refuse_in_clear() {
            return refusal;
        }
        if size.is_empty() || !size.iter().all(u8::is_ascii_digit) {
            return ProtectionReply::says("501 a number is needed");
        }
        if self.data == Data::Nothing {
            self.data = Data::BufferSize;
        }
        // TLS has records of its own: whatever was asked for, the answer is zero (RFC 4217 section 8).
        ProtectionReply::says("200 PBSZ=0")
    }

    fn prot(&mut self, level: &[u8]) -> ProtectionReply {
        if let Some(refusal) = self.refuse_in_clear() {
            return refusal;
        }
        if self.data == Data::Nothing {
            return ProtectionReply::says("503 PBSZ 0 first");
        }
        match &*level.to_ascii_uppercase() {
            b"P" => {
                self.data = Data::Level(Level::Private);
                ProtectionReply::says("200 data connections have TLS")
            }
            b"C" if self.refuses_clear_data => ProtectionReply::says("534 data connections must have TLS"),
            b"C" => {
                self.data = Data::Level(Level::Clear);
                ProtectionReply::says("200 data connections are in clear")
            }
            b"S" | b"E" => ProtectionReply::says("536 TLS has only C and P"),
            b"" => ProtectionReply::says("501 which level?"),
            _ => ProtectionReply::says("504 no such level"),
        }
    }

    fn ccc(&mut self, argument: &[u8]) -> ProtectionReply {
        if !argument.is_empty() {
            return ProtectionReply::says("501 no argument is needed");
        }
        if self.control != Control::Tls {
            return ProtectionReply::says("533 there is no TLS");
        }
        if self.refuses_clear_control {
            return ProtectionReply::says("534 TLS stays");
        }
        self.control = Control::Cleared;
        ProtectionReply { reply: "200 in clear from here", change: Change::StopTls(after_ccc()) }
    }

    /// What is said of data connections must have come through TLS: nobody else may turn their protection off.
    fn refuse_in_clear(&self) -> Option<ProtectionReply> {
        match self.control {
            Control::Tls => None,
            Control::Clear => Some(ProtectionReply::says("503 AUTH TLS first")),
            Control::Cleared => Some(ProtectionReply::says("533 not in clear")),
        }
    }
}

impl Default for Protection {
    fn default() -> Self {
        Self::new()
    }
}

/// What to answer, and what to do then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProtectionReply {
    reply: &'static str,
    change: Change,
}

impl ProtectionReply {
    fn says(reply: &'static str) -> Self {
        Self { reply, change: Change::Nothing }
    }

    /// The reply: one line, without its end. It is sent at the depth at which the command came.
    #[must_use]
    pub fn reply(&self) -> &'static str {
        self.reply
    }

    /// What is to be done when the reply is written.
    #[must_use]
    pub fn change(&self) -> Change {
        self.change
    }
}

/// A change of the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// None.
    Nothing,
    /// Start TLS as a server.
    StartTls,
    /// Stop TLS, in this way: the peer may go first, go second, or say nothing. Whoever sends the reply and the
    /// close_notify apart from each other makes it easy for clients that read only the first.
    StopTls(Stop),
}

/// How data connections are protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// PROT C, or nothing was said.
    Clear,
    /// PROT P: TLS.
    Private,
}

/// Both have agreed on CCC through TLS, so neither a missing close_notify nor a peer that says nothing at all for a while
/// is a reason to lose the connection.
fn after_ccc() -> Stop {
    Stop::new().after_peer(Stop::GRACE).lenient().on_timeout(OnTimeout::Peel)
}
