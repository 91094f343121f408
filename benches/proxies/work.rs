//! The kinds of work, and how one is done through one proxy.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde::Serialize;

use super::Result;
use super::client::{self, Language};
use super::http2;
use super::origin::{Origin, PIECE, Wish, wish};
use super::peer::Running;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// Bytes from the target to the client, through one tunnel.
    Download,
    /// Bytes from the client to the target, through one tunnel.
    Upload,
    /// Tunnels that are opened, used for one byte each way, and closed; eight at a time.
    Tunnels,
    /// Tunnels that are open and idle.
    Idle,
}

/// What one measurement has found.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Sample {
    /// How much was done: bytes, or tunnels.
    pub(crate) amount: u64,
    /// Seconds on the clock of the wall.
    pub(crate) wall: f64,
    /// Seconds of CPU of the proxy.
    pub(crate) cpu: f64,
    /// How many more bytes the proxy has in memory at the end.
    pub(crate) memory: i64,
}

impl Kind {
    pub(crate) fn measure(self, proxy: &Running, origin: &Origin, quick: bool) -> Result<Sample> {
        let amount = self.amount(quick);
        if proxy.language == Language::Http2 {
            return self.measure_http2(proxy, origin, amount, quick);
        }
        // What is allocated or looked up once is not what is measured.
        for _ in 0..4 {
            ask(open(proxy, origin)?, Wish::Echo, 1)?;
        }
        let clocks = Clocks::start(proxy)?;
        let held = match self {
            Self::Download => {
                ask(open(proxy, origin)?, Wish::Download, amount)?;
                Vec::new()
            }
            Self::Upload => {
                ask(open(proxy, origin)?, Wish::Upload, amount)?;
                Vec::new()
            }
            Self::Tunnels => {
                many(proxy, origin, amount)?;
                Vec::new()
            }
            Self::Idle => (0..amount).map(|_| begin(open(proxy, origin)?)).collect::<Result<Vec<_>>>()?,
        };
        let sample = clocks.stop(self, amount, quick);
        drop(held);
        sample
    }

    fn measure_http2(self, proxy: &Running, origin: &Origin, amount: u64, quick: bool) -> Result<Sample> {
        let ends = (proxy.address, origin.address);
        for _ in 0..4 {
            http2::ask(ends, Wish::Echo, 1)?;
        }
        let clocks = Clocks::start(proxy)?;
        let held = match self {
            Self::Download => {
                http2::ask(ends, Wish::Download, amount)?;
                Vec::new()
            }
            Self::Upload => {
                http2::ask(ends, Wish::Upload, amount)?;
                Vec::new()
            }
            Self::Tunnels => {
                http2::many(ends, amount, AT_A_TIME)?;
                Vec::new()
            }
            Self::Idle => http2::idle(ends, amount)?,
        };
        let sample = clocks.stop(self, amount, quick);
        drop(held);
        sample
    }

    fn amount(self, quick: bool) -> u64 {
        match (self, quick) {
            (Self::Download | Self::Upload, true) => 1 << 20,
            (Self::Download | Self::Upload, false) => 1 << 30,
            (Self::Tunnels, true) => 16,
            (Self::Tunnels, false) => 2000,
            (Self::Idle, true) => 10,
            (Self::Idle, false) => 1000,
        }
    }
}

/// What a proxy has used when the work began.
struct Clocks<'a> {
    proxy: &'a Running,
    memory: u64,
    cpu: Duration,
    begun: Instant,
}

impl<'a> Clocks<'a> {
    fn start(proxy: &'a Running) -> Result<Self> {
        let memory = proxy.group().memory()?;
        Ok(Self { proxy, memory, cpu: proxy.group().cpu()?, begun: Instant::now() })
    }

    fn stop(self, kind: Kind, amount: u64, quick: bool) -> Result<Sample> {
        let wall = self.begun.elapsed();
        if let (Kind::Idle, false) = (kind, quick) {
            // What is freed behind the last byte is not in use.
            thread::sleep(SETTLED);
        }
        let group = self.proxy.group();
        let memory = i64::try_from(group.memory()?)? - i64::try_from(self.memory)?;
        let cpu = group.cpu()?.saturating_sub(self.cpu);
        Ok(Sample { amount, wall: wall.as_secs_f64(), cpu: cpu.as_secs_f64(), memory })
    }
}

fn open(proxy: &Running, origin: &Origin) -> Result<TcpStream> {
    client::open(proxy.language, proxy.address, origin.address)
}

/// Has the target do something, to its end.
fn ask(mut tunnel: TcpStream, what: Wish, amount: u64) -> Result<()> {
    tunnel.write_all(&wish(what, amount))?;
    let mut bytes = vec![b'y'; PIECE];
    let mut expected = 1;
    match what {
        Wish::Download => expected = amount,
        Wish::Upload => {
            let mut rest = amount;
            while rest > 0 {
                let count = rest.min(PIECE as u64);
                tunnel.write_all(&bytes[..count as usize])?;
                rest -= count;
            }
        }
        Wish::Echo => {}
    }
    while expected > 0 {
        match tunnel.read(&mut bytes)? {
            0 => return Err(format!("the tunnel ended {expected} bytes too early").into()),
            count => expected = expected.saturating_sub(count as u64),
        }
    }
    tunnel.shutdown(Shutdown::Write)?;
    // Until the proxy has closed it too.
    while tunnel.read(&mut bytes)? > 0 {}
    Ok(())
}

/// One byte there and one back, and the tunnel stays.
fn begin(mut tunnel: TcpStream) -> Result<TcpStream> {
    tunnel.write_all(&wish(Wish::Echo, 1))?;
    tunnel.read_exact(&mut [0])?;
    Ok(tunnel)
}

fn many(proxy: &Running, origin: &Origin, amount: u64) -> Result<()> {
    let each = amount / AT_A_TIME;
    thread::scope(|scope| {
        let clients: Vec<_> = (0..AT_A_TIME)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..each {
                        let asked = open(proxy, origin).and_then(|tunnel| ask(tunnel, Wish::Echo, 1));
                        asked.map_err(|error| error.to_string())?;
                    }
                    Ok::<_, String>(())
                })
            })
            .collect();
        for client in clients {
            client.join().map_err(|_| "a client has panicked")??;
        }
        Ok(())
    })
}

const AT_A_TIME: u64 = 8;
const SETTLED: Duration = Duration::from_secs(1);
