//! How a server leaves: GOAWAY, and then the close_notify of TLS below it, so that its client knows that nothing is missing.

use std::sync::Arc;
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::select;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use onionskin::Connection;
use onionskin::connection::Error;
use onionskin::runtime::Socket;
use onionskin::testing::{Clock, Cut, wire};
use onionskin::tunnel::http2::PendingTunnels;

use super::raw::{ACK, Frame, GOAWAY, NO_ERROR, PREFACE, SETTINGS, frames_in};
use super::{connection, echo, serve};
use crate::executor::{Task, run};
use crate::{CONFIGURED, NAME};

/// Why the server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// The client has said that it goes, and is gone.
    ClientEnds,
    /// The service ends, with a tunnel that ends in time.
    Shutdown,
    /// Nobody has asked for anything for five minutes.
    Idle,
    /// Whoever served has dropped it.
    Dropped,
    /// The control: the wire is gone, and no word can leave.
    WireEnds,
}

const CAUSES: [Cause; 5] = [Cause::ClientEnds, Cause::Shutdown, Cause::Idle, Cause::Dropped, Cause::WireEnds];

/// What the client hears of it to the end, which is one or a loss.
fn farewell(cause: Cause, cut: Cut) -> (Vec<Frame>, Result<(), Error>) {
    let clock = Clock::new();
    let (left, right) = wire(cut, 1 << 20);
    let mut left: Connection<Socket> = connection(left, &clock);
    let (is_there, there) = oneshot::channel();
    let mut client = Task::new(async move {
        left.start_tls(CONFIGURED.0.to(NAME).unwrap()).await.unwrap();
        let settings = Frame::new(SETTINGS, 0, 0, &[]).bytes();
        left.write_all(&[PREFACE, &settings, &Frame::new(SETTINGS, ACK, 0, &[]).bytes()].concat()).await.unwrap();
        let asks = !matches!(cause, Cause::Idle | Cause::WireEnds);
        if asks {
            let tunnel = [Frame::connect(1, "a.example:443"), Frame::data(1, b"hello").ending()];
            left.write_all(&tunnel.map(|frame| frame.bytes()).concat()).await.unwrap();
        }
        left.flush().await.unwrap();
        let mut heard = Vec::new();
        let mut buffer = [0; 4096];
        while asks && !frames_in(&heard).iter().any(Frame::is_end) {
            let count = left.read(&mut buffer).await.unwrap();
            heard.extend(&buffer[..count]);
        }
        is_there.send(()).unwrap();
        if cause == Cause::ClientEnds {
            left.write_all(&Frame::new(GOAWAY, 0, 0, &[0; 8]).bytes()).await.unwrap();
            left.close().await.unwrap();
        }
        let mut rest = Vec::new();
        let ended = left.read_to_end(&mut rest).await;
        heard.extend(rest);
        (frames_in(&heard), ended.map(drop).map_err(|error| Error::of(&error).unwrap().clone()))
    });
    let accepting = CONFIGURED.1.accept().unwrap();
    let mut server = Task::new(async {
        if cause == Cause::WireEnds {
            let mut right = Connection::with_timer(right, Arc::new(clock.clone()));
            right.start_tls(accepting).await.unwrap();
            right.write_all(&Frame::new(SETTINGS, 0, 0, &[]).bytes()).await.unwrap();
            right.flush().await.unwrap();
            right.get_ref().end();
            return std::future::pending().await;
        }
        let mut right = connection(right, &clock);
        right.start_tls(accepting).await.unwrap();
        let mut tunnels = PendingTunnels::over(right);
        if matches!(cause, Cause::ClientEnds | Cause::Idle) {
            return drop(serve(tunnels, echo).await);
        }
        echo(tunnels.next().await.unwrap()).await.unwrap();
        // What the tunnel has had to say leaves while somebody drives.
        drop(select(Box::pin(tunnels.next()), there).await);
        if cause == Cause::Shutdown {
            tunnels.shutdown(Duration::from_secs(60));
            assert!(tunnels.next().await.is_none());
        }
    });
    for _ in 0..400 {
        run(&mut [&mut server, &mut client]);
        clock.advance(Duration::from_secs(1));
    }
    client.output().unwrap_or_else(|| panic!("{cause:?} {cut:?}: the client waits for ever"))
}

#[test]
fn t27_a_server_that_leaves_says_so_in_http2_and_in_tls() {
    for cut in [Cut::Whole, Cut::Pieces(100), Cut::Random(2)] {
        for cause in CAUSES {
            let (frames, ended) = farewell(cause, cut);
            let goaway = frames.iter().rfind(|frame| frame.kind == GOAWAY).map(Frame::code);
            if cause == Cause::WireEnds {
                let error = ended.expect_err("without a close_notify that is no end");
                assert!(error.is_truncated() && goaway.is_none(), "{error}");
                continue;
            }
            ended.unwrap_or_else(|error| panic!("{cause:?} {cut:?}: {error}"));
            // Whoever goes first need not be told that the other does so too.
            assert!(goaway == Some(NO_ERROR) || cause == Cause::ClientEnds && goaway.is_none(), "{cause:?} {goaway:?}");
        }
    }
}
