//! What lies behind the tunnels: one for each case, on loopback.
//!
//! It is made of sockets of the standard library and of rustls, so none of our layers stands on this side.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use onionskin::rustls::pki_types::pem::PemObject;
use onionskin::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use onionskin::rustls::{ServerConfig, ServerConnection, Stream};
use onionskin::tls::default_provider;

use crate::bench::Bench;
use crate::servers::NAME;
use crate::servers::place::free_port;

/// Somebody to be reached, who serves any number of clients at a time until the run ends.
pub(crate) struct Origin(u16);

impl Origin {
    /// Shows [`PAGE`] over TLS to whoever asks for one with HTTP, and ends with a close_notify.
    pub(crate) fn web(bench: &Bench) -> Self {
        let config = config(bench);
        Self::serve(move |mut socket| {
            let mut tls = ServerConnection::new(config.clone()).map_err(std::io::Error::other)?;
            let mut head = BufReader::new(Stream::new(&mut tls, &mut socket));
            let mut line = String::new();
            while head.read_line(&mut line)? > 0 && line.trim_end() != "" {
                line.clear();
            }
            let length = PAGE.len();
            let answer = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{PAGE}");
            Stream::new(&mut tls, &mut socket).write_all(answer.as_bytes())?;
            tls.send_close_notify();
            tls.complete_io(&mut socket)?;
            // Until the other side ends too, so that nothing is reset.
            socket.shutdown(std::net::Shutdown::Write)?;
            socket.read_to_end(&mut Vec::new())?;
            Ok(())
        })
    }

    /// Says every line again, over TLS.
    pub(crate) fn secret(bench: &Bench) -> Self {
        let config = config(bench);
        Self::serve(move |mut socket| {
            let mut tls = ServerConnection::new(config.clone()).map_err(std::io::Error::other)?;
            let mut lines = BufReader::new(Stream::new(&mut tls, &mut socket));
            let mut line = Vec::new();
            while lines.read_until(b'\n', &mut line)? > 0 {
                lines.get_mut().write_all(&line)?;
                line.clear();
            }
            Ok(())
        })
    }

    /// Says [`GREETING`] in clear before it is asked, and then every line again.
    pub(crate) fn greeting() -> Self {
        Self::serve(|mut socket| {
            socket.write_all(GREETING.as_bytes())?;
            let mut lines = BufReader::new(socket.try_clone()?);
            let mut line = Vec::new();
            while lines.read_until(b'\n', &mut line)? > 0 {
                socket.write_all(&line)?;
                line.clear();
            }
            Ok(())
        })
    }

    /// Nobody.
    pub(crate) fn nobody() -> Self {
        Self(free_port())
    }

    fn serve(client: impl Fn(TcpStream) -> std::io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port is found");
        let port = listener.local_addr().expect("it has one").port();
        let client = Arc::new(client);
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let client = client.clone();
                // What goes wrong here shows on the other side.
                thread::spawn(move || socket.set_read_timeout(Some(PATIENCE)).and_then(|()| client(socket)));
            }
        });
        Self(port)
    }

    /// As a name, which the proxy resolves.
    pub(crate) fn by_name(&self) -> String {
        format!("localhost:{}", self.0)
    }

    pub(crate) fn by_address(&self) -> String {
        format!("127.0.0.1:{}", self.0)
    }
}

fn config(bench: &Bench) -> Arc<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(bench.certificate(NAME)).expect("the bench wrote it");
    let chain = chain.collect::<Result<_, _>>().expect("these are certificates");
    let key = PrivateKeyDer::from_pem_file(bench.key(NAME)).expect("the bench wrote it");
    let builder = ServerConfig::builder_with_provider(default_provider().expect("one is compiled in"));
    let builder = builder.with_safe_default_protocol_versions().expect("it knows them").with_no_client_auth();
    Arc::new(builder.with_single_cert(chain, key).expect("they belong together"))
}

pub(crate) const PAGE: &str = "an onion behind the tunnel\n";
pub(crate) const GREETING: &str = "220 onion\r\n";

const PATIENCE: Duration = Duration::from_secs(30);
