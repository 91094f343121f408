//! The asking side, from standard input: what `onion connect` does once it is connected.
//!
//! One task does everything, so that there is no doubt in which order things happen: a local command is done when
//! everything before it has been sent and before anything behind it is. Each [`Step`] first sends what is waiting,
//! then looks at standard input, then at the peer; so bytes flow both ways at once, and neither side can hold up the
//! other.
//!
//! A refused command ends the dialogue. The lines behind a `\starttls` that did not happen are not for the wire.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::StreamExt;
use futures::channel::mpsc;
use futures::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncWrite};
use onionskin::Connection;
use onionskin::connection::{Error, Stopped};
use onionskin::printable::Printable;
use onionskin::stack::{End, Reason, Stop};
use onionskin::tls::{Identity, TlsClient, TlsServer};

use crate::credentials::Trust;
use crate::failure::Failure;
use crate::input::{Expected, Input, Local};
use crate::protocol::{Command, LINE_LIMIT, depth};

/// A conversation over one connection.
pub(crate) struct Dialogue<IO> {
    conn: Connection<IO>,
    input: mpsc::Receiver<Vec<Input>>,
    /// What came from the channel and is still to be done.
    pieces: VecDeque<Input>,
    sending: Sending,
    partner: Partner,
    pace: Pace,
}

/// What is needed to start layers with the peer.
pub(crate) struct Partner {
    /// The name to verify when none is given.
    pub(crate) host: String,
    pub(crate) trust: Trust,
    pub(crate) identity: Option<Identity>,
    /// How to be the TLS server.
    pub(crate) server: Option<TlsServer>,
}

/// Whether answers are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    Free,
    Lockstep,
}

/// Our direction of the conversation.
#[derive(Debug)]
enum Sending {
    /// These bytes, from this one on, are still to be sent; then there may be more.
    Open(Vec<u8>, usize),
    /// The input has ended: layer by layer is stopped, each when the one inside it has ended, then the wire is closed.
    /// What the peer still says is shown, however much it is and however long it takes.
    Closing,
    Closed,
    /// The peer is asked to close; nothing more is to be said.
    Quit,
    /// Sending failed. Why will show in reading, behind what the peer said before.
    Broken,
}

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Anything,
    Peer,
}

enum Step {
    /// `None` at the end of the input.
    Input(Option<Input>),
    /// The peer's bytes can be read without waiting.
    Readable,
    /// The innermost layer, or the connection, has ended.
    Ended,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Dialogue<IO> {
    pub(crate) fn new(conn: Connection<IO>, input: mpsc::Receiver<Vec<Input>>, partner: Partner, pace: Pace) -> Self {
        let sending = Sending::Open(Vec::new(), 0);
        Self { conn, input, pieces: VecDeque::new(), sending, partner, pace }
    }

    /// Talks until both sides have ended.
    pub(crate) async fn run(&mut self) -> Result<(), Failure> {
        loop {
            let step = match (self.pace, &self.sending) {
                (Pace::Lockstep, Sending::Open(..)) => Ok(Step::Input(self.next_input().await)),
                _ => self.step(Wanted::Anything).await,
            };
            match step {
                Ok(Step::Input(Some(input))) => self.take(input).await?,
                Ok(Step::Input(None)) => self.sending = Sending::Closing,
                Ok(Step::Readable) => self.relay().await?,
                Ok(Step::Ended) if self.is_layer_ahead() => self.follow_peer().await?,
                Ok(Step::Ended) => return Ok(()),
                Err(error) if self.is_left_behind(&error) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    pub(crate) fn into_connection(self) -> Connection<IO> {
        self.conn
    }

    async fn take(&mut self, input: Input) -> Result<(), Failure> {
        match input {
            Input::Bytes(bytes) => {
                self.sending = Sending::Open(bytes, 0);
                if self.pace == Pace::Lockstep {
                    poll_fn(|cx| self.poll_send(cx)).await;
                }
                Ok(())
            }
            Input::EndOfRequest(expected) if self.pace == Pace::Lockstep => self.await_answer(expected).await,
            Input::EndOfRequest(_) => Ok(()),
            Input::Local(Local::Layers) => {
                eprintln!("{:#}", self.conn);
                Ok(())
            }
            Input::Local(Local::Ask(command)) => self.ask(&command).await,
            Input::Broken(failure) => Err(failure),
        }
    }

    /// Asks the peer for a change, and makes the same change here.
    async fn ask(&mut self, command: &Command) -> Result<(), Failure> {
        // First what may fail before the peer is bothered.
        let layer = match command {
            Command::Start(name) => {
                let name = name.as_ref().unwrap_or(&self.partner.host);
                Some(self.partner.client()?.to(name)?)
            }
            Command::StartReversed(_) => {
                let server = self.partner.server.as_ref();
                let advice = r"\rstarttls makes us the TLS server: give a certificate with --cert and --key";
                Some(server.ok_or_else(|| Failure::usage(advice))?.accept()?)
            }
            _ => None,
        };
        self.agree(command).await?;
        match (command, layer) {
            (_, Some(layer)) => {
                self.conn.start_tls(layer).await?;
            }
            (Command::Stop, _) => self.stop(Stop::new().after_peer(Stop::GRACE)).await?,
            (Command::StopAsker, _) => self.stop(Stop::new()).await?,
            _ => self.sending = Sending::Quit,
        }
        Ok(())
    }

    /// Sends the line and waits until the peer has agreed to it.
    async fn agree(&mut self, command: &Command) -> Result<(), Failure> {
        let asked = command.line();
        let agreed = command.agreement(depth(&self.conn)).line();
        self.sending = Sending::Open([&asked, &b"\r\n"[..]].concat(), 0);
        loop {
            let line = self.await_line().await?;
            let asked = Printable::new(&asked);
            match line.strip_prefix(b"ERR ") {
                Some(reason) => {
                    return Err(Failure::new(format_args!("the peer refused {asked}: {}", Printable::new(reason))));
                }
                None if line == agreed => return Ok(()),
                // Earlier requests may have answers on the way.
                None if self.pace == Pace::Free && !line.starts_with(b"OK ") => {}
                None => {
                    let [said, agreed] = [&line, &agreed].map(|line| Printable::new(line).quoted());
                    return Err(Failure::new(format_args!(
                        "the peer answered {asked} with {said} and not with {agreed}"
                    )));
                }
            }
        }
    }

    async fn stop(&mut self, stop: Stop) -> Result<(), Failure> {
        let stopped = self.conn.stop_tls_with(stop).await?;
        self.show_late(&stopped)
    }

    async fn await_answer(&mut self, expected: Expected) -> Result<(), Failure> {
        let line = self.await_line().await?;
        match expected {
            Expected::Bulk => match Command::parse(&line) {
                Ok(Command::Bulk(count)) => self.await_bytes(count).await,
                _ => Ok(()),
            },
            Expected::Glue if line == Command::Glue(Vec::new()).agreement(0).line() => {
                self.stop(Stop::new().after_peer(Stop::GRACE)).await?;
                self.await_line().await.map(|_| ())
            }
            Expected::Line | Expected::Glue => Ok(()),
        }
    }

    /// Shows what the peer says up to the end of a line, and returns that line, or as much of it as a line may have.
    async fn await_line(&mut self) -> Result<Vec<u8>, Failure> {
        let mut line = Vec::new();
        loop {
            self.await_peer().await?;
            let bytes = self.conn.fill_buf().await?;
            let end = bytes.iter().position(|&byte| byte == b'\n');
            let taken = end.map_or(bytes.len(), |end| end + 1);
            show(&bytes[..taken])?;
            let room = LINE_LIMIT + b"\r\n".len() - line.len();
            line.extend_from_slice(&bytes[..taken.min(room)]);
            self.conn.consume_unpin(taken);
            if end.is_some() {
                let text = line.strip_suffix(b"\n").unwrap_or(&line);
                return Ok(text.strip_suffix(b"\r").unwrap_or(text).to_vec());
            }
        }
    }

    async fn await_bytes(&mut self, count: u64) -> Result<(), Failure> {
        let mut left = count;
        while left > 0 {
            self.await_peer().await?;
            let bytes = self.conn.fill_buf().await?;
            let taken = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
            show(&bytes[..taken])?;
            self.conn.consume_unpin(taken);
            left -= taken as u64;
        }
        Ok(())
    }

    /// Waits until the peer's bytes can be read without waiting.
    async fn await_peer(&mut self) -> Result<(), Failure> {
        match self.step(Wanted::Peer).await? {
            Step::Ended => {
                let what = match self.conn.layers().iter().last() {
                    Some(layer) => format!("layer {} ({})", layer.id, layer.description),
                    None => "the connection".to_owned(),
                };
                Err(Failure::new(format_args!("the peer closed {what} before it had answered")))
            }
            _ => Ok(()),
        }
    }

    async fn relay(&mut self) -> Result<(), Failure> {
        let bytes = self.conn.fill_buf().await?;
        show(bytes)?;
        let count = bytes.len();
        self.conn.consume_unpin(count);
        Ok(())
    }

    /// The peer has closed the innermost layer, so we do too, and go on below it.
    async fn follow_peer(&mut self) -> Result<(), Failure> {
        let closed = self.conn.layers().iter().last().map(|layer| layer.description.clone());
        let stopped = self.conn.stop_tls().await?;
        if matches!(self.sending, Sending::Open(..) | Sending::Broken) {
            let (layer, closed) = (stopped.layer, closed.unwrap_or_default());
            eprintln!("the peer closed layer {layer} ({closed}); now {}", self.conn);
        }
        self.show_late(&stopped)
    }

    fn show_late(&self, stopped: &Stopped) -> Result<(), Failure> {
        show(&stopped.late)
    }

    /// Whether the end of a layer comes before that of the connection. It may do so when no layer is left: one that has
    /// been stopped is gone before everything that it delivered is read.
    fn is_layer_ahead(&self) -> bool {
        depth(&self.conn) > 0 || matches!(self.conn.stack().end_ahead(), Some(End::Layer(_)))
    }

    /// Whether the peer, asked to quit, was gone before it had read our part of the leave-taking.
    fn is_left_behind(&self, error: &io::Error) -> bool {
        let socket = |error: &Error| error.reason().and_then(Reason::io_error).is_some();
        matches!(self.sending, Sending::Quit) && Error::of(error).is_some_and(socket)
    }

    async fn next_input(&mut self) -> Option<Input> {
        poll_fn(|cx| self.poll_input(cx)).await
    }

    async fn step(&mut self, wanted: Wanted) -> io::Result<Step> {
        poll_fn(|cx| self.poll_step(wanted, cx)).await
    }

    fn poll_step(&mut self, wanted: Wanted, cx: &mut Context<'_>) -> Poll<io::Result<Step>> {
        let may_ask = self.poll_send(cx).is_ready() && wanted == Wanted::Anything;
        if may_ask
            && matches!(self.sending, Sending::Open(..))
            && let Poll::Ready(input) = self.poll_input(cx)
        {
            return Poll::Ready(Ok(Step::Input(input)));
        }
        let bytes = ready!(Pin::new(&mut self.conn).poll_fill_buf(cx))?;
        Poll::Ready(Ok(if bytes.is_empty() { Step::Ended } else { Step::Readable }))
    }

    /// Sends what is waiting; ready when nothing is.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let is_layer_ahead = self.is_layer_ahead();
            let conn = Pin::new(&mut self.conn);
            match &mut self.sending {
                Sending::Open(bytes, sent) if *sent < bytes.len() => match ready!(conn.poll_write(cx, &bytes[*sent..]))
                {
                    Ok(count) => *sent += count,
                    Err(_) => self.sending = Sending::Broken,
                },
                // What goes wrong shows in reading.
                Sending::Closing if is_layer_ahead => {
                    let _ = self.conn.begin_stop(Stop::new().timeout(None));
                    return Poll::Ready(());
                }
                Sending::Closing => {
                    let _ = ready!(conn.poll_close(cx));
                    self.sending = Sending::Closed;
                }
                _ => return Poll::Ready(()),
            }
        }
    }

    fn poll_input(&mut self, cx: &mut Context<'_>) -> Poll<Option<Input>> {
        loop {
            if let Some(piece) = self.pieces.pop_front() {
                return Poll::Ready(Some(piece));
            }
            match ready!(self.input.poll_next_unpin(cx)) {
                Some(pieces) => self.pieces.extend(pieces),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl Partner {
    fn client(&self) -> Result<TlsClient, Failure> {
        let builder = self.trust.client()?;
        Ok(match &self.identity {
            Some(identity) => builder.identity(identity.clone()),
            None => builder,
        }
        .build()?)
    }
}

/// Puts the peer's bytes on standard output, at once.
fn show(bytes: &[u8]) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    let shown = output.write_all(bytes).and_then(|()| output.flush());
    shown.map_err(|error| Failure::new(error).at("cannot write to standard output"))
}
