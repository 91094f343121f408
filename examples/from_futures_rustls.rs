//! The same program before and after: a client that says STARTTLS, talks inside TLS, and would like to go on in clear.
//!
//! `before` is written with futures-rustls, `after` with this crate. Both talk to the same server, which is in this
//! process.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use onionskin::listen;
use onionskin::runtime;
use onionskin::rustls::pki_types::CertificateDer;
use onionskin::rustls::pki_types::pem::PemObject;
use onionskin::rustls::{ClientConfig, RootCertStore};
use onionskin::tls::{Identity, TlsServer};

/// With futures-rustls: a reader of its own for the plaintext part, whose buffer must be empty when TLS begins; another
/// type from there on; and no way back, because the stream can neither stop nor give up the bytes behind the end.
mod before {
    use std::error::Error;
    use std::net::SocketAddr;
    use std::sync::Arc;

    use async_std::net::TcpStream;
    use futures::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use futures_rustls::TlsConnector;
    use futures_rustls::rustls::pki_types::ServerName;
    use onionskin::rustls::ClientConfig;

    pub(super) async fn client(server: SocketAddr, config: Arc<ClientConfig>) -> Result<(), Box<dyn Error>> {
        let mut plain = BufReader::new(TcpStream::connect(server).await?);
        plain.get_mut().write_all(b"STARTTLS\r\n").await?;
        let mut line = String::new();
        plain.read_line(&mut line).await?;
        if !plain.buffer().is_empty() {
            return Err("plaintext behind the go-ahead".into()); // forget this, and you have a hole
        }

        let tls = TlsConnector::from(config).connect(ServerName::try_from("localhost")?, plain.into_inner()).await?;
        let mut tls = BufReader::new(tls);
        tls.get_mut().write_all(b"ECHO inside\r\n").await?;
        tls.get_mut().flush().await?;
        line.clear();
        tls.read_line(&mut line).await?;
        println!("before: {}", line.trim_end());
        tls.get_mut().close().await?; // and here it ends
        Ok(())
    }
}

/// With this crate: one type, one variable, and the way back.
mod after {
    use std::error::Error;
    use std::net::SocketAddr;
    use std::sync::Arc;

    use async_std::net::TcpStream;
    use onionskin::Connection;
    use onionskin::rustls::ClientConfig;
    use onionskin::tls::TlsClient;

    pub(super) async fn client(server: SocketAddr, config: Arc<ClientConfig>) -> Result<(), Box<dyn Error>> {
        let mut conn = Connection::new(TcpStream::connect(server).await?);
        conn.write_line("STARTTLS").await?;
        conn.read_line().await?;

        conn.start_tls(TlsClient::from_rustls(config)?.to("localhost")?).await?; // plaintext behind the go-ahead fails here
        conn.write_line("ECHO inside").await?;
        println!("after: {}", String::from_utf8_lossy(&conn.read_line().await?.unwrap_or_default()));

        conn.write_line("STOPTLS").await?;
        conn.read_line().await?;
        conn.stop_tls().await?;
        conn.write_line("ECHO in clear again").await?;
        println!("after: {}", String::from_utf8_lossy(&conn.read_line().await?.unwrap_or_default()));
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = runtime::preferred().ok_or("built without a runtime")?;
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let server = TlsServer::new(Identity::from_pem(chain.as_bytes(), key.as_bytes())?)?;
    let config = client_config(chain.as_bytes())?;

    runtime::block_on(runtime, async {
        let listener = listen("tcp:127.0.0.1:0").await?;
        let address: SocketAddr = listener.local_address().as_tcp().ok_or("no port")?;
        runtime.spawn(Box::pin(async move {
            while let Ok(incoming) = listener.accept().await {
                if let Err(error) = serve(incoming, &server).await {
                    eprintln!("server: {error}");
                }
            }
        }));
        before::client(address, config.clone()).await?;
        after::client(address, config).await
    })
}

async fn serve(incoming: onionskin::endpoint::Incoming, tls: &TlsServer) -> Result<(), Box<dyn Error>> {
    let mut conn = incoming.ready().await?;
    loop {
        match conn.read_line().await? {
            Some(line) if line == b"STARTTLS" => {
                conn.write_line("OK").await?;
                conn.start_tls(tls.accept()?).await?;
            }
            Some(line) if line == b"STOPTLS" => {
                conn.write_line("OK").await?;
                conn.stop_tls().await?;
            }
            Some(line) => conn.write_line(line).await?,
            None => return Ok(()),
        }
    }
}

fn client_config(trust: &[u8]) -> Result<Arc<ClientConfig>, Box<dyn Error>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trust)?)?;
    let builder = ClientConfig::builder_with_provider(onionskin::tls::default_provider()?);
    Ok(builder.with_safe_default_protocol_versions()?.with_root_certificates(roots).with_no_client_auth().into())
}
