//! Who asks for tunnels over one connection of HTTP/2: our client, for every proxy.

use std::net::SocketAddr;

use futures::executor::block_on;
use futures::future::try_join_all;
use futures::{AsyncReadExt, AsyncWriteExt};
use onionskin::Connection;
use onionskin::runtime::{Address, Socket};
use onionskin::tunnel::http2::Tunnels;

use super::Result;
use super::origin::{PIECE, Wish, wish};

/// The proxy, and the target.
type Ends = (SocketAddr, SocketAddr);

/// Has the target do something through one tunnel, to its end.
pub(crate) fn ask(ends: Ends, what: Wish, amount: u64) -> Result<()> {
    block_on(async {
        let tunnels = begin(ends).await?;
        converse(tunnels.open(Address::from(ends.1)).await?, what, amount).await
    })
}

/// So many tunnels, some of them at a time, each of these over a connection of its own: not all proxies pass a half-close on, so
/// each tunnel ends with a reset, and nghttpx takes a thousand of these on a connection.
pub(crate) fn many(ends: Ends, amount: u64, at_a_time: u64) -> Result<()> {
    block_on(async {
        let clients = (0..at_a_time).map(|_| async {
            let tunnels = begin(ends).await?;
            for _ in 0..amount / at_a_time {
                converse(tunnels.open(Address::from(ends.1)).await?, Wish::Echo, 1).await?;
            }
            Ok::<_, Box<dyn std::error::Error>>(())
        });
        try_join_all(clients).await.map(drop)
    })
}

/// So many tunnels that have done something and are idle now.
pub(crate) fn idle(ends: Ends, amount: u64) -> Result<Vec<Connection<Socket>>> {
    block_on(async {
        let mut held = Vec::new();
        while (held.len() as u64) < amount {
            let tunnels = begin(ends).await?;
            for _ in 0..A_CONNECTION.min(amount - held.len() as u64) {
                let mut tunnel = tunnels.open(Address::from(ends.1)).await?;
                tunnel.write_all(&wish(Wish::Echo, 1)).await?;
                tunnel.read_exact(&mut [0]).await?;
                held.push(tunnel);
            }
        }
        Ok(held)
    })
}

async fn begin((proxy, _): Ends) -> Result<Tunnels> {
    let connection = onionskin::connect(&format!("tcp:{proxy}")).await?;
    Ok(Tunnels::over(connection).await?)
}

async fn converse(mut tunnel: Connection<Socket>, what: Wish, amount: u64) -> Result<()> {
    tunnel.write_all(&wish(what, amount)).await?;
    let mut bytes = vec![b'y'; PIECE];
    let mut expected = 1;
    match what {
        Wish::Download => expected = amount,
        Wish::Upload => {
            let mut rest = amount;
            while rest > 0 {
                let count = rest.min(PIECE as u64);
                tunnel.write_all(&bytes[..count as usize]).await?;
                rest -= count;
            }
        }
        Wish::Echo => {}
    }
    tunnel.flush().await?;
    while expected > 0 {
        match tunnel.read(&mut bytes).await? {
            0 => return Err(format!("the tunnel ended {expected} bytes too early").into()),
            count => expected = expected.saturating_sub(count as u64),
        }
    }
    Ok(tunnel.close().await?)
}

/// As many as a proxy usually allows on one connection.
const A_CONNECTION: u64 = 100;
