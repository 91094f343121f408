//! The answering side of the onion line protocol, on one connection.

#[cfg(test)]
mod tests;

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};
use futures::io::{AsyncBufReadExt, AsyncRead, AsyncWrite};
use onionskin::Connection;
use onionskin::connection::{Error, ErrorKind};
use onionskin::stack::{End, Stop};
use onionskin::tls::{TlsClient, TlsServer};
use sha2::{Digest, Sha256};

use crate::protocol::{Answer, Command, DEFAULT_NAME, LINE_LIMIT, Refusal, depth, depth_limit};
use crate::signals::Stopping;

/// What an answerer brings to every connection.
#[derive(Debug)]
pub(crate) struct Service {
    /// Answers `STARTTLS`.
    pub(crate) server: Option<TlsServer>,
    /// Answers `RSTARTTLS`.
    pub(crate) client: Option<TlsClient>,
}

/// Answers one command after the other.
#[derive(Debug)]
pub(crate) struct Session<IO> {
    conn: Connection<IO>,
    service: Arc<Service>,
    stopping: Stopping,
}

/// Why a command was not carried out.
enum Trouble {
    /// The asker is told.
    Refused(Refusal),
    /// There is nobody left to tell.
    Lost(io::Error),
}

enum Heard {
    Line(Vec<u8>),
    TooLong,
    /// The innermost layer has ended, and nobody announced it.
    LayerEnd,
    End,
}

enum Next {
    Command,
    End,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Session<IO> {
    pub(crate) fn new(mut conn: Connection<IO>, service: Arc<Service>, stopping: Stopping) -> Self {
        conn.set_line_limit(LINE_LIMIT + b"\r\n".len());
        Self { conn, service, stopping }
    }

    /// Starts the layers that are there before the first command.
    pub(crate) async fn start(&mut self, servers: &[TlsServer]) -> io::Result<()> {
        for server in servers {
            let layer = server.accept().map_err(Error::from)?;
            self.conn.start_tls(layer).await?;
        }
        Ok(())
    }

    /// Answers until `QUIT`, the end of the connection, or a failure. The connection is then to be parted from.
    pub(crate) async fn run(&mut self) -> io::Result<()> {
        loop {
            match self.hear().await? {
                Heard::Line(line) => {
                    if let Next::End = self.answer(&line).await? {
                        return Ok(());
                    }
                }
                Heard::TooLong => return self.say(Answer::Refused(Refusal::LineTooLong)).await,
                Heard::LayerEnd => {
                    self.conn.stop_tls().await?;
                }
                Heard::End => return Ok(()),
            }
        }
    }

    pub(crate) fn into_connection(self) -> Connection<IO> {
        self.conn
    }

    /// Waits for a line, or for an end. The end of the process is one too.
    async fn hear(&mut self) -> io::Result<Heard> {
        let stopping = self.stopping.clone();
        let read = match select(pin!(self.conn.read_line()), stopping).await {
            Either::Left((read, _)) => read,
            Either::Right(_) => return Ok(Heard::End),
        };
        let is_layer_end = matches!(self.conn.stack().end_ahead(), Some(End::Layer(_)));
        match read {
            Ok(Some(line)) if line.len() > LINE_LIMIT => Ok(Heard::TooLong),
            Ok(Some(line)) => Ok(Heard::Line(line)),
            Ok(None) if is_layer_end => Ok(Heard::LayerEnd),
            Ok(None) => Ok(Heard::End),
            Err(error) => match error.kind() {
                ErrorKind::LineTooLong(_) => Ok(Heard::TooLong),
                ErrorKind::UnfinishedLine if is_layer_end => Ok(Heard::LayerEnd),
                ErrorKind::UnfinishedLine => Ok(Heard::End),
                _ => Err(error.into()),
            },
        }
    }

    async fn answer(&mut self, line: &[u8]) -> io::Result<Next> {
        let done = match Command::parse(line) {
            Ok(command) => self.carry_out(command).await,
            Err(refusal) => Err(refusal.into()),
        };
        match done {
            Ok(next) => Ok(next),
            Err(Trouble::Refused(reason)) => {
                self.say(Answer::Refused(reason)).await?;
                Ok(Next::Command)
            }
            Err(Trouble::Lost(error)) => Err(error),
        }
    }

    async fn carry_out(&mut self, command: Command) -> Result<Next, Trouble> {
        let agreement = command.agreement(depth(&self.conn));
        match command {
            Command::Echo(text) => self.say(Answer::Echo(&text)).await?,
            Command::Depth => {
                let layers = self.conn.layers();
                self.say(Answer::Depth(&layers)).await?;
            }
            Command::Start(_) => {
                let layer = self.service.server.as_ref().ok_or(Refusal::NoIdentity)?.accept().map_err(Error::from)?;
                self.check_room()?;
                self.say(agreement).await?;
                self.conn.start_tls(layer).await?;
            }
            Command::StartReversed(name) => {
                let client = self.service.client.as_ref().ok_or(Refusal::NoAnchors)?;
                let layer = client.to(name.as_deref().unwrap_or(DEFAULT_NAME)).map_err(Error::from)?;
                self.check_room()?;
                self.say(agreement).await?;
                self.conn.start_tls(layer).await?;
            }
            Command::Stop => {
                self.check_layer()?;
                self.say(agreement).await?;
                self.stop(Stop::new()).await?;
            }
            Command::StopAsker => {
                self.check_layer()?;
                self.say(agreement).await?;
                self.stop(Stop::new().after_peer(ASKER_FIRST)).await?;
            }
            Command::Glue(text) => {
                self.check_layer()?;
                self.queue(agreement)?;
                self.conn.begin_stop(Stop::new().writes_at_once())?;
                self.queue(Answer::Glued(&text))?;
                self.stop(Stop::new()).await?;
            }
            Command::Bulk(count) => self.send_bulk(count).await?,
            Command::Sink(count) => self.sink(count).await?,
            Command::Quit => {
                self.say(agreement).await?;
                return Ok(Next::End);
            }
        }
        Ok(Next::Command)
    }

    /// What comes through the layer behind the command that stops it is read past, never answered.
    async fn stop(&mut self, stop: Stop) -> Result<(), Error> {
        let stopped = self.conn.stop_with(stop).await?;
        if !stopped.late.is_empty() {
            log::debug!("{} late bytes behind the stop of layer {}", stopped.late.len(), stopped.layer);
        }
        Ok(())
    }

    async fn send_bulk(&mut self, count: u64) -> io::Result<()> {
        self.say(Answer::Bulk(count)).await?;
        let mut left = count;
        while left > 0 {
            let piece = piece(left, BULK.len());
            self.conn.send_all(&BULK[..piece]).await?;
            left -= piece as u64;
        }
        Ok(())
    }

    /// A layer that ends before the data does takes its command with it: nothing is answered.
    async fn sink(&mut self, count: u64) -> io::Result<()> {
        let mut digest = Sha256::new();
        let mut left = count;
        while left > 0 {
            let bytes = self.conn.fill_buf().await?;
            if bytes.is_empty() {
                return Ok(());
            }
            let taken = piece(left, bytes.len());
            digest.update(&bytes[..taken]);
            self.conn.consume_unpin(taken);
            left -= taken as u64;
        }
        self.say(Answer::Sunk(count, &digest.finalize())).await
    }

    /// In a segment of its own, as long as the socket takes it at once: whatever follows is sent behind it.
    async fn say(&mut self, answer: Answer<'_>) -> io::Result<()> {
        Ok(self.conn.write_line(answer.line()).await?)
    }

    /// Puts an answer in front of what is sent next.
    fn queue(&mut self, answer: Answer<'_>) -> io::Result<()> {
        let line = [&answer.line()[..], b"\r\n"].concat();
        // There is room: everything said before has been sent.
        match self.conn.queue(&line)? {
            taken if taken == line.len() => Ok(()),
            _ => Err(io::ErrorKind::WriteZero.into()),
        }
    }

    fn check_room(&self) -> Result<(), Refusal> {
        if self.conn.depth() < depth_limit() { Ok(()) } else { Err(Refusal::TooDeep) }
    }

    fn check_layer(&self) -> Result<(), Refusal> {
        if depth(&self.conn) > 0 { Ok(()) } else { Err(Refusal::NoLayer) }
    }
}

impl From<Refusal> for Trouble {
    fn from(reason: Refusal) -> Self {
        Self::Refused(reason)
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Lost(error)
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Lost(error.into())
    }
}

/// As much of `left` as fits into `most`.
fn piece(left: u64, most: usize) -> usize {
    usize::try_from(left).map_or(most, |left| left.min(most))
}

static BULK: [u8; 32 * 1024] = [b'x'; 32 * 1024];

/// How long an asker that wants to close first may take before we do.
const ASKER_FIRST: Duration = Duration::from_secs(4);
