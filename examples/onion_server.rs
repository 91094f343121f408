//! A server of the onion line protocol, in its smallest useful form.
//!
//! ```text
//! cargo run --example onion_server -- tcp:127.0.0.1:4433 /tmp/ca.pem
//! cargo run --example onion_client -- tcp:127.0.0.1:4433 /tmp/ca.pem
//! ```
//!
//! The certificate is made on the spot; whom to trust for it is written to the file.

use std::error::Error;

use futures::AsyncWriteExt;
use onionskin::runtime::{self, Socket};
use onionskin::stack::End;
use onionskin::tls::{Identity, TlsFacts, TlsServer};
use onionskin::{Connection, listen};

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = runtime::preferred().ok_or("built without a runtime")?;
    runtime::block_on(runtime, async {
        let mut arguments = std::env::args().skip(1);
        let endpoint = arguments.next().unwrap_or_else(|| "tcp:127.0.0.1:4433".to_owned());
        let tls = self_signed(&arguments.next().unwrap_or_else(|| "/tmp/ca.pem".to_owned()))?;

        let listener = listen(&endpoint).await?;
        println!("listening on {}", listener.endpoint());
        loop {
            let incoming = listener.accept().await?;
            let tls = tls.clone();
            runtime.spawn(Box::pin(async move {
                let peer = incoming.addresses().to_string();
                let served = async { serve(incoming.ready().await?, &tls).await };
                match served.await {
                    Ok(()) => println!("{peer}: done"),
                    Err(error) => println!("{peer}: {error}"),
                }
            }));
        }
    })
}

/// Every answer is given at the depth at which it was asked for; then the depth changes.
async fn serve(mut conn: Connection<Socket>, tls: &TlsServer) -> Result<(), Box<dyn Error>> {
    loop {
        let Some(line) = conn.read_line().await? else {
            if let Some(End::Layer(_)) = conn.end() {
                conn.stop_tls().await?; // the peer has stopped TLS unasked: answer, and continue below
                continue;
            }
            return Ok(());
        };
        let line = String::from_utf8_lossy(&line).into_owned();
        let depth = conn.depth();
        match line.split(' ').next().unwrap_or_default() {
            "ECHO" => conn.write_line(line).await?,
            "DEPTH" => {
                let versions: Vec<_> = conn.layers().tls().map(TlsFacts::version_name).collect();
                let versions = if versions.is_empty() { "-".to_owned() } else { versions.join("/") };
                conn.write_line(format!("DEPTH {depth} {versions}")).await?;
            }
            "STARTTLS" => {
                conn.write_line(format!("OK STARTTLS {}", depth + 1)).await?;
                conn.start_tls(tls.accept()?).await?;
            }
            "STOPTLS" if depth > 0 => {
                conn.write_line(format!("OK STOPTLS {}", depth - 1)).await?;
                conn.stop_tls().await?;
            }
            "STOPTLS" => conn.write_line("ERR no layer to stop").await?,
            "QUIT" => {
                conn.write_line("BYE").await?;
                conn.close().await?;
                return Ok(());
            }
            _ => conn.write_line("ERR unknown command").await?,
        }
    }
}

fn self_signed(trust: &str) -> Result<TlsServer, Box<dyn Error>> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    std::fs::write(trust, made.cert.pem())?;
    let identity = Identity::from_pem(made.cert.pem().as_bytes(), made.signing_key.serialize_pem().as_bytes())?;
    Ok(TlsServer::new(identity)?)
}
