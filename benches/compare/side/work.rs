//! The kinds of work, written once for all peers over streams.
//!
//! ```text
//!    server                                   client
//!    accepts                                  connects
//!    one byte: "go ahead"   ───────────▶
//!                           ◀───────────      starts a layer; the two again for each layer
//!                           ◀───────────      warm-up
//!    clock starts, answers  ───────────▶      clock starts
//!                           ◀───────────      work
//!    answers, clock stops   ───────────▶      clock stops
//! ```
//!
//! The byte before each layer is what the answer to a STARTTLS is: it lets every peer start a layer without having
//! read ahead. The peers in other languages, in `benches/peers/`, speak the same.

use std::future::Future;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::try_join;
use futures::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use futures::stream::{self, StreamExt, TryStreamExt};

use super::home::Home;
use super::meter::{Meter, resident};
use super::tls::whole_handshakes;
use super::{CHUNK, Layering, Orders, Report, Result, Role, print_line};
use crate::plan::{Kind, Work};

/// Does the work of one side.
pub(crate) fn run<L: Layering>(layering: L, orders: &Orders) -> Result<Report> {
    let (kind, role, port) = (orders.kind, orders.role, orders.port);
    let side = Side { layering, kind, role, depth: orders.depth, port, work: orders.work() };
    if role == Role::Client {
        return match kind {
            Kind::Stack4 | Kind::Handshake | Kind::Resume => side.ask_handshakes(),
            Kind::Memory => side.ask_memory(),
            _ => side.ask(),
        };
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    print_line(&listener.local_addr()?.port().to_string())?;
    match kind {
        Kind::Stack4 | Kind::Handshake | Kind::Resume => side.serve_handshakes(&listener),
        Kind::Memory => side.serve_memory(&listener),
        _ => side.serve(&listener),
    }
}

#[derive(Clone)]
struct Side<L> {
    layering: L,
    kind: Kind,
    role: Role,
    depth: usize,
    port: u16,
    work: Work,
}

/// Work on connections that stay.
impl<L: Layering> Side<L> {
    fn serve(&self, listener: &TcpListener) -> Result<Report> {
        let meter = Arc::new(Meter::new(self.work.connections));
        let sockets = (0..self.work.connections).map(|_| accept(listener)).collect::<Result<Vec<_>>>()?;
        self.all(sockets, |side, socket| {
            let meter = Arc::clone(&meter);
            async move {
                let stream = side.layered(socket).await?;
                let stream = side.serve_part(stream, side.work.warm_up, || meter.warm()).await?;
                side.serve_part(stream, side.work.amount, || meter.done()).await
            }
        })?;
        Ok(meter.report()?)
    }

    fn ask(&self) -> Result<Report> {
        let meter = Arc::new(Meter::new(self.work.connections));
        let streams = self.all(vec![(); self.work.connections], |side, ()| async move {
            let stream = side.layered(side.connect()?).await?;
            side.ask_part(stream, side.work.warm_up).await
        })?;
        meter.begin();
        self.all(streams, |side, stream| {
            let meter = Arc::clone(&meter);
            async move {
                let stream = side.ask_part(stream, side.work.amount).await?;
                meter.done();
                Ok(stream)
            }
        })?;
        Ok(meter.report()?)
    }

    /// A future for each item: a single one on this thread, several where the peer runs such.
    fn all<I, T, F>(&self, items: Vec<I>, make: impl Fn(Self, I) -> F) -> Result<Vec<T>>
    where
        F: Future<Output = Result<T>> + Send + 'static,
        T: Send + 'static,
    {
        let home = self.layering.home();
        let mut futures: Vec<F> = items.into_iter().map(|item| make(self.clone(), item)).collect();
        if futures.len() > 1 {
            return home.all(futures);
        }
        futures.pop().map(|only| home.block_on(only)).into_iter().collect()
    }

    /// `amount` of work. `before_last` is called before the last answer, so that no client is ahead of it.
    async fn serve_part(&self, mut stream: L::Stream, amount: u64, before_last: impl FnOnce()) -> Result<L::Stream> {
        match self.kind {
            Kind::Bulk => receive(&mut stream, amount).await?,
            Kind::Both => stream = exchange(stream, amount).await?,
            Kind::Cycle => stream = self.cycle(stream, amount).await?,
            _ => {
                answer(&mut stream, amount - 1).await?;
                let mut message = [0; MESSAGE];
                stream.read_exact(&mut message).await?;
                before_last();
                write(&mut stream, &message).await?;
                return Ok(stream);
            }
        }
        before_last();
        write(&mut stream, &[1]).await?;
        Ok(stream)
    }

    async fn ask_part(&self, mut stream: L::Stream, amount: u64) -> Result<L::Stream> {
        match self.kind {
            Kind::Bulk => send(&mut stream, amount).await?,
            Kind::Both => stream = exchange(stream, amount).await?,
            Kind::Cycle => stream = self.cycle(stream, amount).await?,
            _ => {
                ask(&mut stream, amount).await?;
                return Ok(stream);
            }
        }
        stream.read_exact(&mut [0]).await?;
        Ok(stream)
    }

    /// Starts a layer, asks one byte through it, and stops it; `count` times.
    async fn cycle(&self, mut stream: L::Stream, count: u64) -> Result<L::Stream> {
        for _ in 0..count {
            stream = self.layering.start(stream, self.role).await?;
            if self.role == Role::Client {
                write(&mut stream, &[1]).await?;
            }
            stream.read_exact(&mut [0]).await?;
            if self.role == Role::Server {
                write(&mut stream, &[1]).await?;
            }
            stream = self.layering.stop(stream).await?;
        }
        Ok(stream)
    }

    /// All layers over a socket, each announced by the server.
    async fn layered(&self, socket: TcpStream) -> Result<L::Stream> {
        let mut stream = self.layering.clear(socket)?;
        let depth = if self.kind == Kind::Cycle { 0 } else { self.depth };
        for _ in 0..depth {
            match self.role {
                Role::Server => write(&mut stream, &[1]).await?,
                _ => stream.read_exact(&mut [0]).await?,
            }
            stream = self.layering.start(stream, self.role).await?;
        }
        Ok(stream)
    }

    fn connect(&self) -> Result<TcpStream> {
        let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        socket.set_nodelay(true)?;
        Ok(socket)
    }
}

/// New connections, one after the other.
impl<L: Layering> Side<L> {
    fn serve_handshakes(&self, listener: &TcpListener) -> Result<Report> {
        let meter = Meter::new(1);
        for number in 0..self.work.warm_up + self.work.amount {
            if number == self.work.warm_up {
                meter.begin();
            }
            let socket = accept(listener)?;
            self.layering.home().block_on(async {
                let mut stream = self.layered(socket).await?;
                answer(&mut stream, 1).await?;
                until_end(&mut stream).await;
                Ok(())
            })?;
        }
        meter.done();
        Ok(meter.report()?)
    }

    fn ask_handshakes(&self) -> Result<Report> {
        let meter = Meter::new(1);
        let mut until_up = Duration::ZERO;
        for number in 0..self.work.warm_up + self.work.amount {
            if number == self.work.warm_up {
                meter.begin();
                until_up = Duration::ZERO;
            }
            until_up += self.layering.home().block_on(async {
                let begun = Instant::now();
                let mut stream = self.layered(self.connect()?).await?;
                // With TLS 1.3 a client is done before its server: the answer tells that both are.
                ask(&mut stream, 1).await?;
                let elapsed = begun.elapsed();
                let _ = stream.close().await;
                Ok(elapsed)
            })?;
        }
        meter.done();
        let whole = whole_handshakes();
        if self.kind == Kind::Resume && whole > self.depth {
            return Err(format!("{whole} handshakes were whole, and not the first alone").into());
        }
        let report = meter.report()?;
        let is_up = self.kind == Kind::Stack4;
        Ok(Report { wall: if is_up { until_up.as_secs_f64() } else { report.wall }, ..report })
    }
}

/// Many connections that do nothing. The first one carries no TLS: each byte on it asks for a look at the memory, once
/// when one connection is up, and once when all are.
impl<L: Layering> Side<L> {
    fn serve_memory(&self, listener: &TcpListener) -> Result<Report> {
        let mut control = accept(listener)?;
        let mut idle = Vec::new();
        self.serve_idle(accept(listener)?, &mut idle)?;
        let before = answer_with_memory(&mut control)?;
        for _ in 0..self.work.connections {
            self.serve_idle(accept(listener)?, &mut idle)?;
        }
        let after = answer_with_memory(&mut control)?;
        Ok(Report { resident: Some((before, after)), ..Report::default() })
    }

    fn serve_idle(&self, socket: TcpStream, idle: &mut Vec<L::Stream>) -> Result<()> {
        let side = self.clone();
        let begin = async move {
            let mut stream = side.layered(socket).await?;
            let mut bytes = vec![0; ECHO];
            stream.read_exact(&mut bytes).await?;
            write(&mut stream, &bytes).await?;
            Ok(stream)
        };
        match self.layering.home() {
            Home::Runtime(runtime) => runtime.spawn(Box::pin(async move {
                let begun: Result<L::Stream> = begin.await;
                if let Ok(mut stream) = begun {
                    until_end(&mut stream).await;
                }
            })),
            Home::Thread => {
                let mut stream = self.layering.home().block_on(begin)?;
                self.layering.rest(&mut stream);
                idle.push(stream);
            }
        }
        Ok(())
    }

    fn ask_memory(&self) -> Result<Report> {
        let mut control = self.connect()?;
        let open = |_| async {
            let mut stream = self.layered(self.connect()?).await?;
            let mut bytes = vec![0; ECHO];
            write(&mut stream, &bytes).await?;
            stream.read_exact(&mut bytes).await?;
            Ok(stream)
        };
        let mut look = || -> Result<()> {
            control.write_all(&[1])?;
            Ok(control.read_exact(&mut [0])?)
        };
        let home = self.layering.home();
        let _first = home.block_on(open(0))?;
        look()?;
        let _all: Vec<_> =
            home.block_on(stream::iter(0..self.work.connections).map(open).buffer_unordered(OPENING).try_collect())?;
        look()?;
        Ok(Report::default())
    }
}

fn accept(listener: &TcpListener) -> Result<TcpStream> {
    let (socket, _) = listener.accept()?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

fn answer_with_memory(control: &mut TcpStream) -> Result<u64> {
    control.read_exact(&mut [0])?;
    let resident = resident()?;
    control.write_all(&[1])?;
    Ok(resident)
}

async fn write(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> Result<()> {
    stream.write_all(bytes).await?;
    Ok(stream.flush().await?)
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), mut amount: u64) -> Result<()> {
    let chunk = vec![0x2e; CHUNK];
    while amount > 0 {
        let count = amount.min(CHUNK as u64) as usize;
        stream.write_all(&chunk[..count]).await?;
        amount -= count as u64;
    }
    Ok(stream.flush().await?)
}

async fn receive(stream: &mut (impl AsyncRead + Unpin), mut amount: u64) -> Result<()> {
    let mut chunk = vec![0; CHUNK];
    while amount > 0 {
        let most = amount.min(CHUNK as u64) as usize;
        match stream.read(&mut chunk[..most]).await? {
            0 => return Err("the peer ended too early".into()),
            count => amount -= count as u64,
        }
    }
    Ok(())
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(stream: S, amount: u64) -> Result<S> {
    let (mut reader, mut writer) = stream.split();
    try_join(receive(&mut reader, amount), send(&mut writer, amount)).await?;
    Ok(reader.reunite(writer).map_err(|_| "two halves of one stream belong together")?)
}

async fn ask(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), count: u64) -> Result<()> {
    let mut message = [0x2e; MESSAGE];
    for _ in 0..count {
        write(stream, &message).await?;
        stream.read_exact(&mut message).await?;
    }
    Ok(())
}

async fn answer(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), count: u64) -> Result<()> {
    let mut message = [0; MESSAGE];
    for _ in 0..count {
        stream.read_exact(&mut message).await?;
        write(stream, &message).await?;
    }
    Ok(())
}

/// How the peer ends is no matter.
async fn until_end(stream: &mut (impl AsyncRead + Unpin)) {
    while matches!(stream.read(&mut [0; MESSAGE]).await, Ok(1..)) {}
}

/// Bytes of a request, and of an answer.
const MESSAGE: usize = 64;

/// Bytes that pass through a connection both ways before it is idle.
const ECHO: usize = 16 * 1024;

/// How many connections are opened at once.
const OPENING: usize = 32;
