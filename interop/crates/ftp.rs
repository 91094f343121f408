//! suppaftp: a crate that takes a socket of the standard library and nothing else, over a bridge.

use std::net::TcpStream;

use futures::channel::oneshot;
use futures::future::join3;
use onionskin::runtime::tcp_pair;
use suppaftp::{FtpError, FtpStream};

use crate::peers::{Conn, at_each_depth, tokio};

#[test]
fn a_session_goes_over_a_bridge_and_ends_in_order() {
    at_each_depth(|client, mut server, _depth| async move {
        let (stream, local) = tcp_pair(tokio()).unwrap();
        let session = in_a_thread(move || {
            let mut ftp = log_in(stream);
            assert_eq!(ftp.pwd().unwrap(), "/srv");
            ftp.quit().unwrap();
        });
        let ((), bridged, ()) = join3(session, client.bridge(local), answer(&mut server, usize::MAX)).await;
        bridged.unwrap();
    });
}

/// The server's connection goes away without a close_notify: to the client that is an error, and no end.
#[test]
fn a_lost_server_is_an_error_to_the_client() {
    at_each_depth(|client, mut server, depth| async move {
        let (stream, local) = tcp_pair(tokio()).unwrap();
        let session = in_a_thread(move || log_in(stream).pwd());
        let serve = async move {
            answer(&mut server, 3).await;
            drop(server);
        };
        let (path, bridged, ()) = join3(session, client.bridge(local), serve).await;
        let error = path.unwrap_err();
        assert!(
            matches!(&error, FtpError::ConnectionError(error) if error.kind() == std::io::ErrorKind::ConnectionReset),
            "{error}"
        );
        assert!(bridged.unwrap_err().error().is_truncated(), "depth {depth}");
    });
}

fn log_in(stream: TcpStream) -> FtpStream {
    let mut ftp = FtpStream::connect_with_stream(stream).unwrap();
    ftp.login("somebody", "secret").unwrap();
    ftp
}

/// As much of a server as it takes, for so many commands.
async fn answer(conn: &mut Conn, commands: usize) {
    conn.write_line("220 ready").await.unwrap();
    for _ in 0..commands {
        let Some(line) = conn.read_line().await.unwrap() else { break };
        let answer = match line.split(|&byte| byte == b' ').next().unwrap() {
            b"USER" => "331 and the password?",
            b"PASS" => "230 welcome",
            b"PWD" if commands < usize::MAX => return,
            b"PWD" => "257 \"/srv\" is where you are",
            b"QUIT" => "221 so long",
            _ => "502 no",
        };
        conn.write_line(answer).await.unwrap();
    }
    conn_close(conn).await;
}

async fn conn_close(conn: &mut Conn) {
    futures::io::AsyncWriteExt::close(conn).await.unwrap();
}

/// Lets a thread do what blocks.
async fn in_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, wait) = oneshot::channel();
    std::thread::spawn(move || done.send(work()).ok());
    wait.await.expect("the thread did not panic")
}
