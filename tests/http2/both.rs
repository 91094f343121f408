//! Our client and our server.

use futures::future::join;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use onionskin::tunnel::http2::{PendingTunnels, Tunnels};
use onionskin::tunnel::{Ender, ErrorKind, Grant, Reason};

use crate::{CONFIGURED, CUTS, NAME, run, target};

#[test]
fn t26_tls_in_a_tunnel_of_ours_ends_each_way_and_a_refusal_harms_nobody() {
    for cut in CUTS {
        run(|bench| async move {
            let (carrier, end) = bench.carrier(cut);
            let mut asked = PendingTunnels::over(bench.connection(end));
            let server = async {
                let granted = asked.next().await.unwrap();
                assert_eq!(granted.request().target, target());
                let mut inside = granted.grant(Grant::default()).await.unwrap();
                let refused = asked.next().await.unwrap();
                refused.refuse(Reason::ConnectionRefused).await.unwrap();
                inside.start_tls(CONFIGURED.1.accept().unwrap()).await.unwrap();
                let mut heard = Vec::new();
                inside.read_to_end(&mut heard).await.unwrap();
                inside.close().await.unwrap();
                drop(inside);
                assert!(asked.next().await.is_none(), "nobody asks for more");
                heard
            };
            let client = async {
                let tunnels = Tunnels::over(carrier).await.unwrap();
                let mut opened = tunnels.open(target()).await.unwrap();
                let error = tunnels.open(target()).await.unwrap_err();
                assert!(matches!(error.kind(), ErrorKind::Refused { by: Ender::Target, .. }), "{error}");
                opened.start_tls(CONFIGURED.0.to(NAME).unwrap()).await.unwrap();
                opened.write_all(&[7; 30_000]).await.unwrap();
                opened.close().await.unwrap();
                assert_eq!(opened.read_to_end(&mut Vec::new()).await.unwrap(), 0);
            };
            let (heard, ()) = join(server, client).await;
            assert_eq!(heard, [7; 30_000]);
        });
    }
}
