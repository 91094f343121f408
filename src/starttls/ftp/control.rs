//! The control connection of a client that is async code.

use futures::io::{AsyncRead, AsyncWrite};

use super::reply::{Place, Replies};
use super::{Error, ErrorKind, Reply};
use crate::Connection;
use crate::connection::Stopped;
use crate::stack::Stop;

/// Asks for TLS on data connections: PBSZ 0 and PROT P.
///
/// # Errors
///
/// When the control connection has no TLS; when the server refuses ([`Error::is_refused`]), and data connections are
/// in clear then; when the connection is lost.
///
/// # Cancellation
///
/// As [`command`].
pub async fn protect<IO>(conn: &mut Connection<IO>) -> Result<(), Error>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    require_tls(conn)?;
    agree(conn, "PBSZ 0", "PBSZ").await?;
    agree(conn, "PROT P", "PROT").await
}

/// Gives up TLS on the control connection: CCC, and then a stop in this way. Data connections stay as they are.
///
/// From the end of this on, everything is in clear: commands can be read and forged, and so can replies. Whoever needs
/// it for a firewall that must read the ports better uses EPSV, which most firewalls know.
///
/// [`Stop::new`] sends our close_notify at once and waits for the server's. For servers that send none there is
/// [`Stop::lenient`], and the [answer](Stopped::answer) tells.
///
/// To start again: [`start_tls_as`](Connection::start_tls_as) with [`Ftp::greeted`](super::Ftp::greeted).
///
/// # Errors
///
/// When the control connection has no TLS, and nothing was sent; when the server refuses ([`Error::is_refused`]), and TLS
/// stays; as [`Connection::stop_with`].
///
/// # Cancellation
///
/// As [`command`]; the stop as [`Connection::stop_tls`].
pub async fn clear_control<IO>(conn: &mut Connection<IO>, stop: Stop) -> Result<Stopped, Error>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    require_tls(conn)?;
    agree(conn, "CCC", "CCC").await?;
    Ok(conn.stop_with(stop).await?)
}

/// Sends a command and waits for a reply to it, whatever it says; a preliminary one (1yz) too. The next one is
/// [`read_reply`]'s.
///
/// # Errors
///
/// When the command has a line feed in it, as [`Connection::write_line`], and as [`read_reply`].
///
/// # Cancellation
///
/// A part of the command may have been sent, and a part of the reply taken: the connection is of no more use.
pub async fn command<IO>(conn: &mut Connection<IO>, command: &str) -> Result<Reply, Error>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    conn.write_line(command).await?;
    read_reply(conn).await
}

/// Reads a reply, with all its lines.
///
/// # Errors
///
/// When something comes that is no reply, or one that is longer than 64 KiB; when the server has closed the connection or
/// stopped TLS; when the connection is lost.
///
/// # Cancellation
///
/// As [`command`].
pub async fn read_reply<IO>(conn: &mut Connection<IO>) -> Result<Reply, Error>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let (mut replies, mut lines, mut allowance) = (Replies::default(), Vec::new(), MAX_REPLY_LENGTH);
    loop {
        let line = conn.read_line().await?.ok_or(ErrorKind::Ended)?;
        // A line costs us something even if it is empty.
        allowance = allowance.checked_sub(line.len() + LINE_COST).ok_or(ErrorKind::TooLong)?;
        let place = replies.place(&line);
        if place == Place::Nowhere {
            return Err(Error::malformed("a reply", &line));
        }
        lines.push(line);
        if let Place::End(code) = place {
            return Ok(Reply { code, lines });
        }
    }
}

async fn agree<IO>(conn: &mut Connection<IO>, line: &'static str, verb: &'static str) -> Result<(), Error>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let reply = command(conn, line).await?;
    if !reply.is_positive() {
        return Err(ErrorKind::Refused { command: verb, reply }.into());
    }
    Ok(())
}

fn require_tls<IO>(conn: &Connection<IO>) -> Result<(), Error> {
    if conn.layers().tls().next().is_none() {
        return Err(ErrorKind::InClear.into());
    }
    Ok(())
}

const MAX_REPLY_LENGTH: usize = 64 * 1024;

const LINE_COST: usize = 32;
