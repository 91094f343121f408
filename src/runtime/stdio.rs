//! Standard input and output as one socket.
//!
//! # The problem
//!
//! They may be pipes, files, a terminal or a socket, mostly shared with other processes. Non-blocking mode would be
//! theirs too, and files have no readiness; so they are read and written on threads, with calls that block. A socket
//! (that is how inetd starts a server) belongs to this connection, and goes to the runtime.
//!
//! The peer must read end of file when the write side is closed, and descriptor 1 cannot be closed: whatever the
//! program opens next would get its number, and every `println!` would write into it.
//!
//! # The rule
//!
//! The connection takes copies of the two descriptors, and puts `/dev/null` in their places. So it alone decides when
//! they close, what the program prints to standard output cannot end up between the bytes of the connection, and no
//! second connection can share them. It is done once in the life of a process.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use blocking::Unblock;
use futures::io::{AsyncRead, AsyncWrite};
use rustix::event::{PollFd, PollFlags, poll};

use super::inherited::{self, Inherited};
use super::{Address, ListeningSocket, Runtime, Socket, single};

/// Takes standard input and output.
///
/// What the program has printed is sent before; what it has read ahead from standard input is its own.
///
/// # Errors
///
/// `AddrInUse` if they have been taken before; else as the system reports them, for a process that was started without
/// the two, for example.
pub(crate) fn connect(runtime: &dyn Runtime) -> io::Result<Socket> {
    if TAKEN.swap(true, Ordering::SeqCst) {
        let message = "standard input and output are taken: a process has them once";
        return Err(io::Error::new(io::ErrorKind::AddrInUse, message));
    }
    let (input, output) = take()?;
    if is_same_socket(&input, &output)? {
        return match inherited::open(runtime, input.into())? {
            Inherited::Connected(socket) => Ok(socket),
            Inherited::Listening(_) => {
                Err(io::Error::new(io::ErrorKind::InvalidInput, "standard input listens: write fd:0 instead of stdio"))
            }
        };
    }
    let pipes = Pipes {
        input: Unblock::with_capacity(CAPACITY, Waiting(input)),
        output: Output::Open(Unblock::with_capacity(CAPACITY, Waiting(output))),
    };
    Ok(Socket::new(pipes, Address::Stdio, Address::Stdio))
}

/// As [`connect`], for a server: the one connection is there already.
///
/// # Errors
///
/// As [`connect`].
pub(crate) fn listen(runtime: &dyn Runtime) -> io::Result<ListeningSocket> {
    connect(runtime).map(single::listener)
}

fn take() -> io::Result<(File, File)> {
    io::stdout().flush()?;
    let input = io::stdin().as_fd().try_clone_to_owned()?;
    let output = io::stdout().as_fd().try_clone_to_owned()?;
    let nothing = OwnedFd::from(File::options().read(true).write(true).open("/dev/null")?);
    rustix::stdio::dup2_stdin(&nothing)?;
    rustix::stdio::dup2_stdout(&nothing)?;
    Ok((input.into(), output.into()))
}

fn is_same_socket(input: &File, output: &File) -> io::Result<bool> {
    if rustix::net::sockopt::socket_type(input).is_err() {
        return Ok(false);
    }
    let (input, output) = (input.metadata()?, output.metadata()?);
    Ok((input.dev(), input.ino()) == (output.dev(), output.ino()))
}

#[derive(Debug)]
struct Pipes {
    input: Unblock<Waiting>,
    output: Output,
}

#[derive(Debug)]
enum Output {
    Open(Unblock<Waiting>),
    Closed,
}

impl AsyncRead for Pipes {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.input).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Pipes {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Output::Open(output) = &mut self.output else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        let written = ready!(Pin::new(&mut *output).poll_write(cx, bytes))?;
        if written == 0 && !bytes.is_empty() {
            // The thread has met an error. To flush is the way to hear which.
            ready!(Pin::new(output).poll_flush(cx))?;
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.output {
            Output::Open(output) => Pin::new(output).poll_flush(cx),
            Output::Closed => Poll::Ready(Ok(())),
        }
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Output::Open(output) = &mut self.output {
            ready!(Pin::new(output).poll_close(cx))?;
            self.output = Output::Closed;
        }
        Poll::Ready(Ok(()))
    }
}

/// A file whose calls block, also where another process has put it into non-blocking mode.
#[derive(Debug)]
struct Waiting(File);

impl Waiting {
    fn when_ready<T>(
        &mut self,
        for_what: PollFlags,
        mut call: impl FnMut(&mut File) -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            match call(&mut self.0) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    match poll(&mut [PollFd::new(&self.0, for_what)], None) {
                        Ok(_) | Err(rustix::io::Errno::INTR) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                result => return result,
            }
        }
    }
}

impl Read for Waiting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.when_ready(PollFlags::IN, |file| file.read(buffer))
    }
}

impl Write for Waiting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.when_ready(PollFlags::OUT, |file| file.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

static TAKEN: AtomicBool = AtomicBool::new(false);

/// How many bytes each thread is ahead of the connection.
const CAPACITY: usize = 64 * 1024;
