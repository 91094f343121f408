//! OpenSSL: each layer is an `SslStream` over a pipe in memory, and the bytes are carried from pipe to pipe.
//!
//! ```text
//!    application    write ▼          ▲ read
//!                   [ SslStream ── Pipe ]      layers.last()
//!                           outbound ▼   ▲ inbound
//!                   [ SslStream ── Pipe ]      layers.first()
//!                           outbound ▼   ▲ inbound
//!    wire               output() ▼          ▲ fill()
//! ```
//!
//! A pipe is what OpenSSL's documentation does with memory BIOs. One write of the application goes through all
//! layers before anything is sent, as in ours.

use std::io::{self, Read, Write};
use std::path::Path;

use openssl::ssl::{
    ErrorCode, Ssl, SslCipherRef, SslContext, SslContextBuilder, SslFiletype, SslMethod, SslMode, SslSessionCacheMode,
    SslStream, SslVerifyMode, SslVersion,
};

use super::blocking::{Chain, MakesChains};
use super::tls::NAME;
use super::{CHUNK, Result, Role};

/// Makes chains for both roles.
#[derive(Clone)]
pub(crate) struct Contexts {
    client: SslContext,
    server: SslContext,
}

impl Contexts {
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let certificate = folder.join("certificate.pem");
        let mut client = base(SslMethod::tls_client())?;
        client.set_ca_file(&certificate)?;
        client.set_verify(SslVerifyMode::PEER);

        let mut server = base(SslMethod::tls_server())?;
        server.set_certificate_chain_file(&certificate)?;
        server.set_private_key_file(folder.join("key.pem"), SslFiletype::PEM)?;
        server.set_num_tickets(0)?;
        Ok(Self { client: client.build(), server: server.build() })
    }
}

fn base(method: SslMethod) -> Result<SslContextBuilder> {
    let mut context = SslContext::builder(method)?;
    context.set_min_proto_version(Some(SslVersion::TLS1_3))?;
    context.set_ciphersuites("TLS_AES_128_GCM_SHA256")?;
    context.set_groups_list("X25519")?;
    context.set_session_cache_mode(SslSessionCacheMode::OFF);
    // Advised for programs with many connections that are idle.
    context.set_mode(SslMode::RELEASE_BUFFERS);
    Ok(context)
}

impl MakesChains for Contexts {
    type Chain = OpenSslChain;

    fn chain(&self) -> OpenSslChain {
        OpenSslChain { contexts: self.clone(), layers: Vec::new(), clear: Pipe::default() }
    }
}

/// Layers of OpenSSL, from the wire inwards.
pub(crate) struct OpenSslChain {
    contexts: Contexts,
    layers: Vec<SslStream<Pipe>>,
    /// What the wire has while there is no layer.
    clear: Pipe,
}

impl OpenSslChain {
    /// The pipe that the wire fills and empties.
    fn wire(&mut self) -> &mut Pipe {
        self.layers.first_mut().map_or(&mut self.clear, SslStream::get_mut)
    }

    /// Carries up what has come, as far as the innermost layer.
    fn carry_up(&mut self) -> io::Result<()> {
        for index in 1..self.layers.len() {
            let (outer, inner) = self.layers.split_at_mut(index);
            let (outer, inbound) = (&mut outer[index - 1], &mut inner[0].get_mut().inbound);
            // More than a chunk at a time need not be in the clear.
            while !outer.get_ref().inbound.bytes().is_empty() || outer.ssl().pending() > 0 {
                let count = read(outer, inbound.space(RECORD))?;
                if count == 0 {
                    break;
                }
                inbound.filled(count);
            }
        }
        Ok(())
    }

    /// Carries down what is to be sent, from the innermost layer to the outermost.
    fn carry_down(&mut self) -> io::Result<()> {
        for index in (1..self.layers.len()).rev() {
            let (outer, inner) = self.layers.split_at_mut(index);
            let (outer, outbound) = (&mut outer[index - 1], &mut inner[0].get_mut().outbound);
            if !outbound.bytes().is_empty() {
                outer.write_all(outbound.bytes())?;
                outbound.consume(outbound.bytes().len());
            }
        }
        Ok(())
    }
}

impl Chain for OpenSslChain {
    fn start(&mut self, role: Role) -> Result<()> {
        let server = role == Role::Server;
        let mut ssl = Ssl::new(if server { &self.contexts.server } else { &self.contexts.client })?;
        if server {
            ssl.set_accept_state();
        } else {
            ssl.set_hostname(NAME)?;
            ssl.param_mut().set_host(NAME)?;
            ssl.set_connect_state();
        }
        // What has come already is the new layer's.
        let pipe = if self.layers.is_empty() { std::mem::take(&mut self.clear) } else { Pipe::default() };
        self.layers.push(SslStream::new(ssl, pipe)?);
        Ok(())
    }

    fn is_ready(&mut self) -> io::Result<bool> {
        self.carry_up()?;
        let Some(innermost) = self.layers.last_mut() else { return Ok(true) };
        let done = match innermost.do_handshake() {
            Ok(()) => true,
            Err(error) if error.code() == ErrorCode::WANT_READ => false,
            Err(error) => return Err(io::Error::other(error)),
        };
        if done {
            let suite = innermost.ssl().current_cipher().and_then(SslCipherRef::standard_name);
            let agreed = (innermost.ssl().version_str(), suite);
            if agreed != ("TLSv1.3", Some("TLS_AES_128_GCM_SHA256")) {
                return Err(io::Error::other(format!("agreed on {agreed:?}")));
            }
        }
        self.carry_down()?;
        Ok(done)
    }

    fn stop(&mut self) -> Result<()> {
        self.layers.last_mut().ok_or("no layer to stop")?.shutdown()?;
        Ok(self.carry_down()?)
    }

    fn is_stopped(&mut self) -> io::Result<bool> {
        self.carry_up()?;
        let Some(innermost) = self.layers.last_mut() else { return Ok(true) };
        // 0 is the end: data that was still on its way is none of the application's here.
        match innermost.ssl_read(&mut [0; 1]) {
            Err(error) if error.code() == ErrorCode::ZERO_RETURN => {}
            Err(error) if error.code() == ErrorCode::WANT_READ => return Ok(false),
            Err(error) => return Err(io::Error::other(error)),
            Ok(_) => return Err(io::Error::other("data behind the stop")),
        }
        self.carry_down()?;
        if self.layers.len() == 1 {
            // What follows the close_notify, and our own one, which may not have left yet.
            self.clear = std::mem::take(self.layers[0].get_mut());
        }
        self.layers.pop();
        Ok(true)
    }

    fn close(&mut self) -> io::Result<()> {
        for index in (0..self.layers.len()).rev() {
            self.layers[index].shutdown().map_err(io::Error::other)?;
            self.carry_down()?;
        }
        Ok(())
    }

    fn fill(&mut self, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<usize> {
        let inbound = &mut self.wire().inbound;
        let count = read(&mut inbound.space(CHUNK)[..CHUNK])?;
        inbound.filled(count);
        Ok(count)
    }

    fn output(&mut self) -> &[u8] {
        self.wire().outbound.bytes()
    }

    fn sent(&mut self, count: usize) {
        self.wire().outbound.consume(count);
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(innermost) = self.layers.last_mut() else { return self.clear.write(bytes) };
        innermost.write_all(bytes)?;
        self.carry_down()?;
        Ok(bytes.len())
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.carry_up()?;
        let Some(innermost) = self.layers.last_mut() else {
            return match self.clear.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
                result => result,
            };
        };
        let mut total = 0;
        while total < buffer.len() {
            match read(innermost, &mut buffer[total..])? {
                0 => break,
                count => total += count,
            }
        }
        Ok(total)
    }

    fn rest(&mut self) {
        for pipe in self.layers.iter_mut().map(SslStream::get_mut).chain([&mut self.clear]) {
            pipe.inbound.release();
            pipe.outbound.release();
        }
    }
}

/// 0 if nothing whole has come, or nothing more will.
fn read(layer: &mut SslStream<Pipe>, buffer: &mut [u8]) -> io::Result<usize> {
    match layer.ssl_read(buffer) {
        Ok(count) => Ok(count),
        Err(error) if matches!(error.code(), ErrorCode::WANT_READ | ErrorCode::ZERO_RETURN) => Ok(0),
        Err(error) => Err(io::Error::other(error)),
    }
}

/// Bytes between a layer and what is below it.
#[derive(Debug, Default)]
struct Pipe {
    inbound: Buffer,
    outbound: Buffer,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.inbound.bytes();
        if bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = bytes.len().min(buffer.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        self.inbound.consume(count);
        Ok(count)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outbound.space(bytes.len())[..bytes.len()].copy_from_slice(bytes);
        self.outbound.filled(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A queue of bytes in one piece. Space that was made stays, so that it is cleared only once.
#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Space behind the bytes, at least this much.
    fn space(&mut self, least: usize) -> &mut [u8] {
        if self.bytes.len() - self.end < least && self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.bytes.len() - self.end < least {
            self.bytes.resize((self.end + least).next_power_of_two(), 0);
        }
        &mut self.bytes[self.end..]
    }

    fn filled(&mut self, count: usize) {
        self.end += count;
    }

    fn consume(&mut self, count: usize) {
        self.start += count;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    fn release(&mut self) {
        if self.start == self.end {
            *self = Self::default();
        }
    }
}

/// The largest plaintext of a record.
const RECORD: usize = 16 * 1024;
