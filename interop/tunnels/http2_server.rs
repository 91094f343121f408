//! Clients of others ask for tunnels over one connection of HTTP/2, our library answers.

use std::thread;

use futures::io::copy;
use futures::{AsyncReadExt, AsyncWriteExt, join};
use onionskin::endpoint::Listener;
use onionskin::tunnel::http2::{PendingTunnel, PendingTunnels};
use onionskin::tunnel::{Grant, Reason};

use super::asks::reach;
use super::origin::{Origin, PAGE};
use crate::Case;
use crate::bench::{Bench, run, runtime};
use crate::clients::tunnel::{PYTHON, PYTHON_H2, node_through, python_through};
use crate::servers::NAME;

pub(crate) fn cases() -> Vec<Case> {
    let python = |what: &'static str, tls: bool| {
        Case::new(format!("our HTTP/2 server with python3: {what}, two tunnels"), move |bench| {
            let (server, origin) = (serve(bench, tls), Origin::web(bench));
            let ended = python_through(bench, what, &server, &origin.by_name(), &[]);
            ended.with("statuses 200 200");
            assert_eq!(ended.with("content").matches(PAGE).count(), 2);
            // Nobody is there, and the client hears that by its streams alone.
            python_through(bench, what, &serve(bench, tls), &Origin::nobody().by_name(), &[]).with("statuses 502 502");
        })
        .uses(PYTHON)
        .uses(PYTHON_H2)
    };
    let node = |scheme: &'static str, tls: bool| {
        Case::new(format!("our HTTP/2 server with node: http2, {scheme}, two tunnels"), move |bench| {
            let (server, origin) = (serve(bench, tls), Origin::web(bench));
            let url = format!("{scheme}://{}", server.replace("127.0.0.1", "localhost"));
            let ended = node_through(bench, "http2", &url, &origin.by_name());
            assert_eq!(ended.with("content").matches(PAGE).count(), 2);
        })
        .uses("node")
    };
    vec![python("h2", true), python("h2c", false), node("https", true), node("http", false)]
}

/// Takes one client, and reaches whomever it asks for. Says where it listens.
fn serve(bench: &Bench, tls: bool) -> String {
    let mut endpoint = "tcp:127.0.0.1:0".to_owned();
    if tls {
        let (chain, key) = (bench.certificate(NAME), bench.key(NAME));
        endpoint += &format!("+tls:cert={}:key={}:alpn=h2", chain.display(), key.display());
    }
    let endpoint = endpoint.parse().expect("it is an endpoint");
    let listener = run(Listener::new(runtime(), &endpoint)).expect("a port is free");
    let address = listener.local_address().as_tcp().expect("it is TCP").to_string();
    thread::spawn(move || {
        run(async move {
            let client = listener.accept().await.unwrap().ready().await.unwrap();
            let mut tunnels = PendingTunnels::over(client);
            while let Some(pending) = tunnels.next().await {
                runtime().spawn(Box::pin(pass(pending)));
            }
        });
    });
    address
}

/// What becomes of one tunnel. What goes wrong in it shows on the other side.
async fn pass(mut pending: PendingTunnel) {
    let endpoint = pending.request().target.to_string().replacen("tcp ", "tcp:", 1);
    let Ok(far) = pending.during(reach(&endpoint)).await else { return };
    let Ok(far) = far else { return drop(pending.refuse(Reason::ConnectionRefused).await) };
    let Ok(near) = pending.grant(Grant::default()).await else { return };
    let ((near_reader, mut near_writer), (far_reader, mut far_writer)) = (near.split(), far.split());
    let there = async {
        let _ = copy(near_reader, &mut far_writer).await;
        let _ = far_writer.close().await;
    };
    let back = async {
        let _ = copy(far_reader, &mut near_writer).await;
        let _ = near_writer.close().await;
    };
    join!(there, back);
}
