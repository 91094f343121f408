//! A client of the onion line protocol: TLS started twice and stopped twice on one socket.
//!
//! Run `onion_server` first; it says how.

use std::error::Error;

use futures::AsyncWriteExt;
use onionskin::runtime::{self, Socket};
use onionskin::tls::{Roots, TlsClient};
use onionskin::{Connection, connect};

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = runtime::preferred().ok_or("built without a runtime")?;
    runtime::block_on(runtime, async {
        let mut arguments = std::env::args().skip(1);
        let endpoint = arguments.next().unwrap_or_else(|| "tcp:127.0.0.1:4433".to_owned());
        let trust = arguments.next().unwrap_or_else(|| "/tmp/ca.pem".to_owned());
        let tls = TlsClient::new(Roots::from_pem_file(trust)?)?;

        let mut conn = connect(&endpoint).await?;
        ask(&mut conn, "ECHO in clear").await?;
        for _ in 0..2 {
            ask(&mut conn, "STARTTLS").await?;
            conn.start_tls(tls.to("localhost")?).await?;
            ask(&mut conn, "ECHO one layer further in").await?;
        }
        ask(&mut conn, "DEPTH").await?;
        for _ in 0..2 {
            ask(&mut conn, "STOPTLS").await?;
            conn.stop_tls().await?; // the socket stays open
            ask(&mut conn, "ECHO one layer further out").await?;
        }
        ask(&mut conn, "QUIT").await?;
        conn.close().await?;
        Ok(())
    })
}

async fn ask(conn: &mut Connection<Socket>, line: &str) -> Result<(), Box<dyn Error>> {
    println!("[{}]", conn.layers());
    println!("  > {line}");
    conn.write_line(line).await?;
    let answer = conn.read_line().await?.ok_or("the server has gone")?;
    println!("  < {}", String::from_utf8_lossy(&answer));
    Ok(())
}
