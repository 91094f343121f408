//! A proxy of your own: SOCKS and CONNECT on one port, and you decide each request.
//!
//! ```text
//! cargo run --example own_proxy -- tcp:127.0.0.1:1080 127.0.0.0/8
//! curl --proxy socks5h://127.0.0.1:1080 http://localhost:8000/
//! ```
//!
//! This one has decided that nobody gets to `forbidden.example` through it, and for the rest keeps to the rules that hold by default:
//! no port but 443, and no address of the local network. The second argument is a rule that allows more.

use std::error::Error;

use onionskin::proxy::{Reach, Rules};
use onionskin::runtime::{self, Socket};
use onionskin::tunnel::{Accepted, Acceptor, Grant, Reason};
use onionskin::{Connection, listen};

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = runtime::preferred().ok_or("built without a runtime")?;
    runtime::block_on(runtime, async {
        let mut arguments = std::env::args().skip(1);
        let listener = listen(&arguments.next().unwrap_or_else(|| "tcp:127.0.0.1:1080".to_owned())).await?;
        let rules =
            arguments.try_fold(Rules::new(), |rules, rule| Ok::<_, Box<dyn Error>>(rules.allow(rule.parse()?)))?;
        let reach = Reach::new(runtime).rules(rules);
        println!("listening on {}", listener.endpoint());
        loop {
            let (incoming, reach) = (listener.accept().await?, reach.clone());
            runtime.spawn(Box::pin(async move {
                let served = async { serve(incoming.ready().await?, &reach).await };
                served.await.unwrap_or_else(|error| println!("{error}"));
            }));
        }
    })
}

async fn serve(client: Connection<Socket>, reach: &Reach) -> Result<(), Box<dyn Error>> {
    let addresses = client.addresses().clone();
    let Accepted::One(mut pending) = Acceptor::new().accept(client).await? else { return Ok(()) };
    let request = pending.request().clone();
    println!("{addresses} wants to reach {}", request.target);
    if request.target.host().is_some_and(|host| host.ends_with(".forbidden.example")) {
        return Ok(pending.refuse(Reason::Denied).await?);
    }
    match pending.during(reach.connect(&request.target)).await? {
        Ok(far) => {
            let bound = far.local_address().clone();
            let tunnel = pending.grant(Grant::bound_to(bound)).await?;
            // Both ways, and the end of each; without a copy where the client has no TLS.
            tunnel.bridge(far).await?;
        }
        Err(unreached) => pending.refuse(unreached).await?,
    }
    Ok(())
}
