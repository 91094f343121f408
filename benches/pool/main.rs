//! What a pool of connections saves, and what it costs: a connection is taken and given back, or opened anew.
//!
//! ```text
//! pool [--quick]      layers   take and give back      open, resumed      open, full
//! ```
//!
//! Both ends are in this process, over loopback, on each runtime. A row is the median of five rounds, in which its columns follow
//! one another, so that whatever disturbs the machine disturbs all of them.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

use futures::io::AsyncReadExt;
use onionskin::endpoint::{Connector, Endpoint, Listener};
use onionskin::pool::{Limits, Pool};
use onionskin::runtime::{self, Runtime};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let amount = match std::env::args().nth(1).as_deref() {
        None => Amount { rounds: 5, takes: 20_000, opens: 300 },
        Some("--quick") => Amount { rounds: 1, takes: 100, opens: 5 },
        Some(other) => return Err(format!("{other}: the one option is --quick").into()),
    };
    let files = Files::new()?;
    println!("{:10} {:>6} {:>16} {:>14} {:>12}", "", "layers", "take and give", "open, resumed", "open, full");
    for &runtime in runtime::all() {
        for layers in 0..=2 {
            let row = runtime::block_on(runtime, measure(runtime, &files, layers, &amount))?;
            let [taken, resumed, full] = row.map(|nanoseconds| nanoseconds / 1000.0);
            println!("{:10} {layers:6} {taken:13.2} µs {resumed:11.1} µs {full:9.1} µs", runtime.name());
        }
    }
    Ok(())
}

struct Amount {
    rounds: usize,
    takes: u32,
    opens: u32,
}

/// Nanoseconds for each: taken and given back, opened with sessions that are resumed, opened with full handshakes.
async fn measure(
    runtime: &'static dyn Runtime,
    files: &Files,
    layers: usize,
    amount: &Amount,
) -> Result<[f64; 3], Failure> {
    let address = serve(runtime, files, layers).await?;
    let resuming: Endpoint = format!("{address}{}", files.client("").repeat(layers)).parse()?;
    let full: Endpoint = format!("{address}{}", files.client(":resumption=off").repeat(layers)).parse()?;
    let (resuming_connector, full) = (Connector::new(runtime, &resuming)?, Connector::new(runtime, &full)?);
    let pool = Pool::new(runtime, Limits::default());
    let peer = pool.peer(resuming)?;
    let mut first = peer.take().await?;
    first.read_exact(&mut [0]).await?;
    first.give_back();
    open(&resuming_connector, 2).await?;
    let mut samples = [vec![], vec![], vec![]];
    for _ in 0..amount.rounds {
        let begun = Instant::now();
        for _ in 0..amount.takes {
            peer.take().await?.give_back();
        }
        samples[0].push(begun.elapsed().as_nanos() as f64 / f64::from(amount.takes));
        samples[1].push(open(&resuming_connector, amount.opens).await?);
        samples[2].push(open(&full, amount.opens).await?);
    }
    if pool.statistics().opened != 1 {
        return Err(format!("a connection was not used again: {:?}", pool.statistics()).into());
    }
    Ok(samples.map(|mut samples| {
        samples.sort_by(f64::total_cmp);
        samples[samples.len() / 2]
    }))
}

/// Opens so many, each until its first byte has come, with which the tickets have come too.
async fn open(connector: &Connector, count: u32) -> Result<f64, Failure> {
    let begun = Instant::now();
    for _ in 0..count {
        let mut connection = connector.connect().await?;
        connection.read_exact(&mut [0]).await?;
    }
    Ok(begun.elapsed().as_nanos() as f64 / f64::from(count))
}

/// Says a byte to whoever connects.
async fn serve(runtime: &'static dyn Runtime, files: &Files, layers: usize) -> Result<String, Failure> {
    let listening = format!("tcp:127.0.0.1:0{}", files.server().repeat(layers));
    let listener = Listener::new(runtime, &listening.parse()?).await?;
    let address = listener.endpoint().transport.to_string();
    runtime.spawn(Box::pin(async move {
        while let Ok(incoming) = listener.accept().await {
            runtime.spawn(Box::pin(async move {
                use futures::io::AsyncWriteExt;
                let Ok(mut connection) = incoming.ready().await else { return };
                let _ = connection.write_all(b"x").await;
                // Until the client has had enough.
                let _ = connection.read(&mut [0]).await;
            }));
        }
    }));
    Ok(address)
}

/// A certificate in files, which go when this does.
struct Files(PathBuf);

impl Files {
    fn new() -> Result<Self, Failure> {
        let directory = std::env::temp_dir().join(format!("onionskin-bench-pool-{}", std::process::id()));
        std::fs::create_dir_all(&directory)?;
        let files = Self(directory);
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(vec!["peer.example".to_owned()])?.signed_by(&key, &issuer)?;
        std::fs::write(files.0.join("ca.pem"), issuer.pem())?;
        std::fs::write(files.0.join("cert.pem"), certificate.pem())?;
        std::fs::write(files.0.join("key.pem"), key.serialize_pem())?;
        Ok(files)
    }

    fn client(&self, more: &str) -> String {
        format!("+tls:sni=peer.example:ca={}{more}", path(&self.0, "ca.pem"))
    }

    fn server(&self) -> String {
        format!("+tls:cert={}:key={}", path(&self.0, "cert.pem"), path(&self.0, "key.pem"))
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn path(directory: &Path, name: &str) -> String {
    directory.join(name).display().to_string()
}
