//! HTTP/1.1 by async-h1 over a connection with two layers of TLS: what a browser does through an HTTPS proxy.
//!
//! Client and server run in this process, over loopback TCP.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures::io::{AsyncRead, AsyncWrite};
use http_types::{Method, Request, Response, StatusCode, Url};
use onionskin::runtime::{self, Socket};
use onionskin::tls::{Identity, Roots, TlsClient, TlsServer};
use onionskin::{Connection, connect, listen};

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = runtime::preferred().ok_or("built without a runtime")?;
    let (client, server) = tls()?;
    runtime::block_on(runtime, async {
        let listener = listen("tcp:127.0.0.1:0").await?;
        let port = listener.local_address().as_tcp().ok_or("no port")?.port();
        runtime.spawn(Box::pin(async move {
            if let Err(error) = serve(&listener, &server).await {
                eprintln!("server: {error}");
            }
        }));

        let mut conn = connect(&format!("tcp:127.0.0.1:{port}")).await?;
        conn.start_tls(client.to("localhost")?).await?;
        conn.start_tls(client.to("localhost")?).await?;
        println!("{}", conn.layers());

        let request = Request::new(Method::Get, Url::parse("https://localhost/onion")?);
        let mut response = async_h1::connect(Shared::new(conn), request).await?;
        let body = response.body_string().await?;
        println!("{} {body}", response.status());
        if body != "you asked for /onion" { Err("the wrong answer".into()) } else { Ok(()) }
    })
}

async fn serve(listener: &onionskin::endpoint::Listener, tls: &TlsServer) -> Result<(), Box<dyn Error>> {
    let mut conn = listener.accept().await?.ready().await?;
    conn.start_tls(tls.accept()?).await?;
    conn.start_tls(tls.accept()?).await?;
    async_h1::accept(Shared::new(conn), |request| async move {
        let mut response = Response::new(StatusCode::Ok);
        response.set_body(format!("you asked for {}", request.url().path()));
        Ok(response)
    })
    .await?;
    Ok(())
}

/// async-h1 wants a stream that can be cloned.
#[derive(Clone)]
struct Shared(Arc<Mutex<Connection<Socket>>>);

impl Shared {
    fn new(conn: Connection<Socket>) -> Self {
        Self(Arc::new(Mutex::new(conn)))
    }

    fn with<R>(&self, poll: impl FnOnce(Pin<&mut Connection<Socket>>) -> R) -> R {
        poll(Pin::new(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl AsyncRead for Shared {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.with(|conn| conn.poll_read(cx, buffer))
    }
}

impl AsyncWrite for Shared {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.with(|conn| conn.poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|conn| conn.poll_flush(cx))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|conn| conn.poll_close(cx))
    }
}

fn tls() -> Result<(TlsClient, TlsServer), Box<dyn Error>> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let client = TlsClient::new(Roots::from_pem(chain.as_bytes())?)?;
    let server = TlsServer::new(Identity::from_pem(chain.as_bytes(), key.as_bytes())?)?;
    Ok((client, server))
}
