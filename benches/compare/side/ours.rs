//! Ours: a `Connection` on each runtime, and a bare `Stack`.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Instant;

use onionskin::connection::Connection;
use onionskin::runtime::{Runtime, Socket};
use onionskin::stack::{Event, Limits, Output, Readable, Stack, Stop};
use onionskin::tls::{Roots, TlsClient, TlsLayer, TlsServer, Version};

use super::blocking::{Chain, MakesChains};
use super::tls::{NAME, check_agreed, note};
use super::{CHUNK, Configuration, Home, Layering, Result, Role};

#[derive(Clone, Debug)]
struct Layers {
    client: TlsClient,
    server: TlsServer,
}

impl Layers {
    fn new(configuration: &Configuration) -> Result<Self> {
        // Made of what it verifies, a client keeps sessions in every layer.
        let client = if configuration.resumes {
            let verify = Roots::from_pem_file(&configuration.certificate)?;
            let client = TlsClient::builder(verify).provider(Arc::clone(&configuration.provider));
            client.versions(&[Version::Tls13]).build()?
        } else {
            TlsClient::from_rustls(Arc::clone(&configuration.client))?
        };
        let server = TlsServer::from_rustls(Arc::clone(&configuration.server))?;
        Ok(Self { client, server })
    }

    fn layer(&self, role: Role) -> Result<TlsLayer> {
        Ok(if role == Role::Server { self.server.accept()? } else { self.client.to(NAME)? })
    }
}

/// [`Connection`] on a runtime.
#[derive(Clone, Debug)]
pub(crate) struct Ours {
    runtime: &'static dyn Runtime,
    layers: Layers,
}

impl Ours {
    pub(crate) fn new(runtime: &'static dyn Runtime, configuration: &Configuration) -> Result<Self> {
        Ok(Self { runtime, layers: Layers::new(configuration)? })
    }
}

impl Layering for Ours {
    type Stream = Connection<Socket>;

    fn home(&self) -> Home {
        Home::Runtime(self.runtime)
    }

    fn clear(&self, socket: TcpStream) -> Result<Self::Stream> {
        Ok(Connection::with_timer(self.runtime.adopt_tcp(socket)?, Arc::new(self.runtime)))
    }

    async fn start(&self, mut stream: Self::Stream, role: Role) -> Result<Self::Stream> {
        let facts = stream.start_tls(self.layers.layer(role)?).await?;
        note(facts.resumed);
        check_agreed(facts.version == Some(Version::Tls13), facts.cipher_suite)?;
        Ok(stream)
    }

    async fn stop(&self, mut stream: Self::Stream) -> Result<Self::Stream> {
        stream.stop_tls().await?;
        Ok(stream)
    }
}

/// Makes stacks.
#[derive(Clone, Debug)]
pub(crate) struct Stacks(Layers);

impl Stacks {
    pub(crate) fn new(configuration: &Configuration) -> Result<Self> {
        Ok(Self(Layers::new(configuration)?))
    }
}

impl MakesChains for Stacks {
    type Chain = StackChain;

    fn chain(&self) -> StackChain {
        StackChain { stack: Stack::new(Limits::default()), layers: self.0.clone(), buffer: Vec::new() }
    }
}

/// A [`Stack`] that somebody else does the I/O for.
#[derive(Debug)]
pub(crate) struct StackChain {
    stack: Stack,
    layers: Layers,
    /// What was read last.
    buffer: Vec<u8>,
}

impl StackChain {
    fn check(&self) -> io::Result<()> {
        self.stack.lost().map_or(Ok(()), |reason| Err(io::Error::other(reason.to_string())))
    }
}

impl Chain for StackChain {
    fn start(&mut self, role: Role) -> Result<()> {
        self.stack.splice(Instant::now(), Box::new(self.layers.layer(role)?))?;
        Ok(())
    }

    fn is_ready(&mut self) -> io::Result<bool> {
        self.check()?;
        let Some(Event::Ready(id)) = self.stack.poll_event() else { return Ok(false) };
        note(self.stack.layer_as::<TlsLayer>(id).is_some_and(|layer| layer.facts(id).resumed));
        Ok(true)
    }

    fn stop(&mut self) -> Result<()> {
        let id = self.stack.innermost_stoppable().ok_or("no layer to stop")?;
        self.stack.stop(Instant::now(), id, Stop::new())?;
        Ok(())
    }

    fn is_stopped(&mut self) -> io::Result<bool> {
        self.check()?;
        while self.stack.poll_event().is_some() {}
        if self.stack.depth() > 0 || !matches!(self.stack.readable(), Readable::Ended(_)) {
            return Ok(false);
        }
        self.stack.pass_end(Instant::now()).map_err(io::Error::other)?;
        Ok(true)
    }

    fn close(&mut self) -> io::Result<()> {
        self.stack.close(Instant::now());
        Ok(())
    }

    fn fill(&mut self, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<usize> {
        self.buffer.resize(CHUNK, 0);
        let room = self.stack.input_room().min(CHUNK);
        let count = read(&mut self.buffer[..room])?;
        self.stack.handle_input(Instant::now(), &self.buffer[..count]);
        while self.stack.is_unfinished() {
            self.stack.handle_timeout(Instant::now());
        }
        Ok(count)
    }

    fn output(&mut self) -> &[u8] {
        match self.stack.poll_output() {
            Output::Bytes(bytes) => bytes,
            _ => &[],
        }
    }

    fn sent(&mut self, count: usize) {
        self.stack.handle_sent(Instant::now(), count);
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stack.write(Instant::now(), bytes).map_err(io::Error::other)
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match self.stack.readable() {
            Readable::Bytes(bytes) => {
                let count = bytes.len().min(buffer.len());
                buffer[..count].copy_from_slice(&bytes[..count]);
                count
            }
            _ => return self.check().map(|()| 0),
        };
        self.stack.consume(Instant::now(), count);
        Ok(count)
    }

    fn rest(&mut self) {
        self.buffer = Vec::new();
    }
}
