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
use futures::io::{AsyncBufRead, AsyncBufReadExt, AsyncWrite};
use onionskin::Connection;
use onionskin::connection::{Error, Stopped, Timing};
use onionskin::printable::Printable;
use onionskin::runtime::{Socket, Timer};
use onionskin::stack::{End, LayerId, Reason, Stop};
use onionskin::tls::{CertificateFacts, Identity, TlsClient, TlsFacts, TlsServer};

use crate::answers::Answers;
use crate::credentials::Trust;
use crate::failure::Failure;
use crate::input::{self, Expected, Input, Local};
use crate::logging::say;
use crate::protocol::{Command, LINE_LIMIT, depth};
use crate::waiting::{AtEnd, Limit, Quiet};

/// A conversation over one connection.
pub(crate) struct Dialogue {
    conn: Connection<Socket>,
    input: mpsc::Receiver<Vec<Input>>,
    /// What came from the channel and is still to be done.
    pieces: VecDeque<Input>,
    sending: Sending,
    partner: Partner,
    pace: Pace,
    leaving: Leaving,
}

/// What becomes of the end of the input.
pub(crate) struct Leaving {
    at_end: AtEnd,
    /// Runs while our direction is kept open, and then while the peer is waited for.
    wait: Quiet,
    patience: Quiet,
    /// What is asked and not answered, where that can be known.
    answers: Option<Answers>,
    /// Whether nothing has come since something was sent.
    unanswered: bool,
    /// Whether our direction was ended because the peer was silent.
    was_silent: bool,
}

impl Leaving {
    /// `counts_answers` in the onion line protocol only.
    pub(crate) fn new(timer: &'static dyn Timer, at_end: AtEnd, patience: Limit, counts_answers: bool) -> Self {
        let wait = match at_end {
            AtEnd::Wait(limit) => limit,
            AtEnd::HalfClose => Limit(None),
        };
        Self {
            at_end,
            wait: Quiet::new(timer, wait),
            patience: Quiet::new(timer, patience),
            answers: counts_answers.then(Answers::default),
            unanswered: false,
            was_silent: false,
        }
    }

    fn hear(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.wait.restart();
        self.patience.restart();
        self.unanswered = false;
        if let Some(answers) = &mut self.answers {
            answers.hear(bytes);
        }
    }

    /// Whether everything that was asked is known to be answered.
    fn is_answered(&self) -> bool {
        self.answers.as_ref().is_some_and(|answers| answers.missing() == 0)
    }

    /// Whether something was cut off, when the peer has ended after us.
    fn verdict(&self) -> Result<(), Failure> {
        match &self.answers {
            Some(answers) if answers.missing() > 0 => {
                Err(Failure::new(format_args!("the peer ended without {} of the answers", answers.missing())))
            }
            None if self.was_silent && self.unanswered => Err(Failure::new(format_args!(
                "nothing came for what was sent last within {:?}, and the peer ended when we did (--wait SECONDS waits longer; \
                 --half-close is for peers that answer nothing)",
                self.wait.limit()
            ))),
            _ => Ok(()),
        }
    }
}

/// What is needed to start layers with the peer.
pub(crate) struct Partner {
    /// The name to verify when none is given.
    pub(crate) host: String,
    pub(crate) trust: Trust,
    pub(crate) identity: Option<Identity>,
    /// How to be the TLS server.
    pub(crate) server: Option<TlsServer>,
    pub(crate) key_log: bool,
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
    /// The input has ended, and the peer may still have something to say before it is told.
    Waiting,
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
    /// The peer has been silent for as long as it may be.
    Silence,
}

impl Dialogue {
    pub(crate) fn new(
        conn: Connection<Socket>,
        input: mpsc::Receiver<Vec<Input>>,
        partner: Partner,
        pace: Pace,
        leaving: Leaving,
    ) -> Self {
        let sending = Sending::Open(Vec::new(), 0);
        Self { conn, input, pieces: VecDeque::new(), sending, partner, pace, leaving }
    }

    /// Waits for what the peer says before it is asked anything.
    pub(crate) async fn await_greeting(&mut self) -> Result<(), Failure> {
        self.await_answer(Expected::Reply).await
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
                Ok(Step::Input(None)) => self.end_input(),
                Ok(Step::Readable) => self.relay().await?,
                Ok(Step::Ended) if self.is_layer_ahead() => self.follow_peer().await?,
                Ok(Step::Ended) if matches!(self.sending, Sending::Closing | Sending::Closed) => {
                    return self.leaving.verdict();
                }
                Ok(Step::Ended) => return self.all_is_sent().await,
                Ok(Step::Silence) if matches!(self.sending, Sending::Waiting) => {
                    self.leaving.was_silent = true;
                    self.sending = Sending::Closing;
                }
                Ok(Step::Silence) => {
                    return Err(Failure::new(format_args!(
                        "the peer has not ended within {:?} of silence after our end (--patience SECONDS waits longer)",
                        self.leaving.patience.limit()
                    )));
                }
                Err(error) if self.is_left_behind(&error) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Nothing more is to be sent, and the peer is told so now or later.
    fn end_input(&mut self) {
        let is_to_wait = self.leaving.at_end != AtEnd::HalfClose && !self.leaving.is_answered();
        self.sending = if is_to_wait { Sending::Waiting } else { Sending::Closing };
    }

    /// Whether nothing was left to be sent, when the peer has ended before our input. Who has not written it yet has lost nothing.
    async fn all_is_sent(&mut self) -> Result<(), Failure> {
        let at_hand = match &self.sending {
            Sending::Open(bytes, sent) => bytes.len() - sent,
            Sending::Broken => {
                return Err(Failure::new("the peer ended, and what was sent last did not reach it"));
            }
            Sending::Waiting | Sending::Closing | Sending::Closed | Sending::Quit => return Ok(()),
        };
        let mut unsent = at_hand > 0;
        while !unsent {
            unsent = self.pieces.drain(..).any(|piece| matches!(piece, Input::Bytes(bytes) if !bytes.is_empty()));
            match self.input.try_recv() {
                Ok(pieces) => self.pieces.extend(pieces),
                Err(_) if !unsent && input::is_at_hand() => match self.input.next().await {
                    Some(pieces) => self.pieces.extend(pieces),
                    None => break,
                },
                Err(_) => break,
            }
        }
        match unsent {
            true => Err(Failure::new("the peer ended before all of the input was sent")),
            false => Ok(()),
        }
    }

    pub(crate) fn into_connection(self) -> Connection<Socket> {
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
            Input::EndOfRequest(expected) => {
                if let Some(answers) = &mut self.leaving.answers {
                    answers.expect(expected);
                }
                Ok(())
            }
            Input::Local(Local::Layers) => {
                if self.conn.timing() != Timing::default() {
                    say(format_args!("socket: {}", self.conn.timing()));
                }
                self.conn.layers().iter().for_each(|layer| say_certificate(layer.id, layer.tls.as_ref()));
                say(format_args!("{:#}", self.conn.tree()));
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
                None if line == agreed => {
                    // Answers come in the order of the requests.
                    if let Some(answers) = &mut self.leaving.answers {
                        answers.clear();
                    }
                    return Ok(());
                }
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
        let stopped = self.conn.stop_with(stop).await?;
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
            Expected::Reply => self.await_last_line(&line).await,
            Expected::Tagged(tag) => self.await_tag(&tag, line).await,
        }
    }

    /// Waits for the last line of a reply that begins with this one: the first that has a space behind the same three digits.
    async fn await_last_line(&mut self, first: &[u8]) -> Result<(), Failure> {
        let Some((code @ [b'0'..=b'9', b'0'..=b'9', b'0'..=b'9'], b"-")) = first.get(..4).map(|code| code.split_at(3))
        else {
            return Ok(());
        };
        loop {
            let line = self.await_line().await?;
            if line.starts_with(code) && line.get(3).is_none_or(|&mark| mark == b' ') {
                return Ok(());
            }
        }
    }

    async fn await_tag(&mut self, tag: &[u8], mut line: Vec<u8>) -> Result<(), Failure> {
        while line.split(|&byte| byte == b' ').next() != Some(tag) && !line.starts_with(b"+") {
            line = self.await_line().await?;
        }
        Ok(())
    }

    /// Shows what the peer says up to the end of a line, and returns that line, or as much of it as a line may have.
    async fn await_line(&mut self) -> Result<Vec<u8>, Failure> {
        let mut line = Vec::new();
        loop {
            self.await_peer().await?;
            let bytes = self.conn.fill_buf().await?;
            self.leaving.unanswered = false;
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
        self.leaving.hear(bytes);
        let count = bytes.len();
        self.conn.consume_unpin(count);
        self.close_if_answered();
        Ok(())
    }

    fn close_if_answered(&mut self) {
        if matches!(self.sending, Sending::Waiting) && self.leaving.is_answered() {
            self.sending = Sending::Closing;
        }
    }

    /// The peer has closed the innermost layer, so we do too.
    ///
    /// In the onion line protocol both continue below it. In others that is the end: what was meant for TLS is not for the wire.
    async fn follow_peer(&mut self) -> Result<(), Failure> {
        let closed = self.conn.layers().iter().last().map(|layer| layer.description.clone()).unwrap_or_default();
        let stopped = self.conn.stop_tls().await?;
        let layer = stopped.layer;
        if matches!(self.sending, Sending::Open(..) | Sending::Broken) {
            say(format_args!("the peer closed layer {layer} ({closed}); now {}", self.conn));
        }
        self.show_late(&stopped)?;
        match &self.sending {
            _ if self.leaving.answers.is_some() => {}
            Sending::Open(bytes, sent) if *sent < bytes.len() => {
                return Err(Failure::new(format_args!(
                    "the peer closed layer {layer} ({closed}) before {} bytes were sent, which are not for who is outside it",
                    bytes.len() - sent
                )));
            }
            Sending::Open(..) | Sending::Waiting => self.sending = Sending::Closing,
            _ => {}
        }
        Ok(())
    }

    fn show_late(&mut self, stopped: &Stopped) -> Result<(), Failure> {
        show(&stopped.late)?;
        self.leaving.hear(&stopped.late);
        self.close_if_answered();
        Ok(())
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
        match Pin::new(&mut self.conn).poll_fill_buf(cx) {
            Poll::Ready(bytes) => Poll::Ready(Ok(if bytes?.is_empty() { Step::Ended } else { Step::Readable })),
            Poll::Pending => self.poll_silence(cx).map(|()| Ok(Step::Silence)),
        }
    }

    /// Whether nothing passes while the peer is waited for.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let quiet = match self.sending {
            Sending::Waiting => &mut self.leaving.wait,
            Sending::Closing | Sending::Closed | Sending::Quit => &mut self.leaving.patience,
            Sending::Open(..) | Sending::Broken => return Poll::Pending,
        };
        let conn = &self.conn;
        quiet.poll_over(|| conn.stack().outbound_len() + conn.get_ref().unsent().unwrap_or(0), cx)
    }

    /// Sends what is waiting; ready when nothing is.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let is_layer_ahead = self.is_layer_ahead();
            let conn = Pin::new(&mut self.conn);
            match &mut self.sending {
                Sending::Open(bytes, sent) if *sent < bytes.len() => match ready!(conn.poll_write(cx, &bytes[*sent..]))
                {
                    Ok(count) => {
                        *sent += count;
                        self.leaving.unanswered = true;
                    }
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
        let builder = self.trust.client()?.key_log(self.key_log);
        Ok(match &self.identity {
            Some(identity) => builder.identity(identity.clone()),
            None => builder,
        }
        .build()?)
    }
}

/// Says whose certificate the peer of this layer has shown.
fn say_certificate(layer: LayerId, facts: Option<&TlsFacts>) {
    let Some(facts) = facts else { return };
    let (Some(leaf), Some(sha256)) = (facts.peer_certificates.first(), facts.leaf_sha256()) else { return };
    let digest: String = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    match CertificateFacts::read(leaf) {
        Some(said) => say(format_args!("layer {layer}: {said}  sha256 {digest}")),
        None => say(format_args!("layer {layer}: a certificate that cannot be read  sha256 {digest}")),
    }
}

/// Puts the peer's bytes on standard output, at once.
fn show(bytes: &[u8]) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    let shown = output.write_all(bytes).and_then(|()| output.flush());
    shown.map_err(|error| Failure::new(error).at("cannot write to standard output"))
}
