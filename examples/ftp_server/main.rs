//! An FTP server: anybody may read a directory, under TLS.
//!
//! ```text
//! cargo run --example ftp_server -- tcp:127.0.0.1:2121 . /tmp/ca.pem
//! cargo run --example ftp_get -- tcp:127.0.0.1:2121 README.md --ca /tmp/ca.pem --name localhost
//! curl --ssl-reqd --cacert /tmp/ca.pem ftp://localhost:2121/
//! ```
//!
//! The certificate is made on the spot; whom to trust for it is written to the file. With two files in its place, they are
//! those of a certificate and its key. Nobody logs in without TLS. After that it is for each client to say: data connections
//! have TLS after `PROT P`, and the control connection has none after `CCC`.
//!
//! Data connections are opened to, and taken from, the address of the control connection only.

mod data;
mod session;
mod tree;

use std::error::Error;
use std::sync::Arc;

use onionskin::tls::{Identity, TlsServer};
use onionskin::{listen, runtime};

use self::session::Session;
use self::tree::Tree;

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = runtime::preferred().ok_or("built without a runtime")?;
    let mut arguments = std::env::args().skip(1);
    let (Some(endpoint), Some(directory)) = (arguments.next(), arguments.next()) else {
        return Err("needed: where to listen, and a directory".into());
    };
    let tls = tls(arguments.next(), arguments.next())?;
    let tree = Arc::new(Tree::new(directory)?);
    runtime::block_on(runtime, async {
        let listener = listen(&endpoint).await?;
        println!("listening on {}", listener.endpoint());
        let seats = Arc::new(());
        loop {
            let incoming = listener.accept().await?;
            if Arc::strong_count(&seats) > MAX_CLIENTS {
                continue; // which closes it
            }
            let (seat, tree, tls) = (Arc::clone(&seats), Arc::clone(&tree), tls.clone());
            runtime.spawn(Box::pin(async move {
                let peer = incoming.addresses().to_string();
                let served = async { Session::new(runtime, incoming.ready().await?, tls, tree)?.serve().await };
                match served.await {
                    Ok(()) => eprintln!("{peer}: done"),
                    Err(error) => eprintln!("{peer}: {error}"),
                }
                drop(seat);
            }));
        }
    })
}

/// With these two files, or with a certificate that is made on the spot, for whose trust one file is written.
fn tls(first: Option<String>, key: Option<String>) -> Result<TlsServer, Box<dyn Error>> {
    if let (Some(chain), Some(key)) = (&first, key) {
        return Ok(TlsServer::new(Identity::from_pem_files(chain, key)?)?);
    }
    let trust = first.unwrap_or_else(|| "/tmp/ca.pem".to_owned());
    let made = rcgen::generate_simple_self_signed(["localhost", "127.0.0.1", "::1"].map(str::to_owned))?;
    std::fs::write(trust, made.cert.pem())?;
    let identity = Identity::from_pem(made.cert.pem().as_bytes(), made.signing_key.serialize_pem().as_bytes())?;
    Ok(TlsServer::new(identity)?)
}

const MAX_CLIENTS: usize = 100;
