//! A connection through any chain of proxies, and what each of them has said.
//!
//! ```sh
//! cargo run --example through_proxies -- tcp:localhost:1080+socks5:example.com:443+tls
//! ```
//!
//! Without an argument it asks the environment, as curl does: `ALL_PROXY=socks5h://localhost:1080`.

use std::error::Error;

use futures::AsyncWriteExt;
use onionskin::endpoint::{Connector, Endpoint, OpenError, OpenErrorKind, proxy_from_env};
use onionskin::printable::Printable;
use onionskin::runtime;
use onionskin::tunnel::{self, ErrorKind};

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = runtime::preferred().ok_or("built without a runtime")?;
    let endpoint: Endpoint = match std::env::args().nth(1) {
        Some(endpoint) => endpoint.parse()?,
        None => proxy_from_env(&"tcp:example.com:443+tls".parse()?, |name| std::env::var(name).ok())?,
    };
    let target = endpoint.target().and_then(|target| target.host()).ok_or("the endpoint leads to no host")?;
    runtime::block_on(runtime, async {
        let mut conn = match Connector::new(runtime, &endpoint)?.connect().await {
            Ok(conn) => conn,
            Err(error) => return Err(advised(error)),
        };
        for (index, hop) in conn.route().iter().enumerate() {
            println!("{}: {hop}", index + 1);
            for tls in &hop.tls {
                println!("   {tls}");
            }
        }
        println!("{conn:#}");
        // From here on it is a connection like any other.
        conn.write_all(format!("HEAD / HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n\r\n").as_bytes()).await?;
        if let Some(status) = conn.read_line().await? {
            println!("{}", String::from_utf8_lossy(&status));
        }
        conn.close().await?;
        Ok(())
    })
}

/// What can be done about it, where the proxy has said so.
fn advised(error: OpenError) -> Box<dyn Error> {
    if let OpenErrorKind::Tunnel(hop) = error.kind()
        && let Some(ErrorKind::AuthRequired(challenges)) = hop.tunnel_error().map(tunnel::Error::kind)
    {
        let realm = challenges.basic().and_then(|challenge| challenge.realm()).unwrap_or("nothing in particular");
        let realm = Printable::new(realm); // the proxy has said it, and it goes to a terminal
        return format!("{} wants a password for {realm}: write user= and password-file=", hop.proxy()).into();
    }
    error.into()
}
