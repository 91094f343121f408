//! The same tests over every runtime that was compiled in, against peers of the standard library
//! on threads of their own.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::pin::Pin;
use std::sync::mpsc;
use std::task::Poll;
use std::thread;
use std::time::Duration;

#[cfg(unix)]
use futures::FutureExt;
use futures::channel::oneshot;
use futures::executor;
use futures::future::{self, Either};
use futures::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

#[cfg(unix)]
use crate::runtime::KeepAlive;
use crate::runtime::{Address, Runtime, Socket, all, block_on};

const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(5);

#[test]
fn block_on_returns_a_result_and_borrows() {
    for &runtime in all() {
        let text = String::from("borrowed");
        assert_eq!(block_on(runtime, async { text.len() }), 8, "{runtime:?}");
    }
}

#[test]
fn the_nearer_deadline_comes_first() {
    for &runtime in all() {
        let start = runtime.now();
        let nearer_won = block_on(runtime, async {
            let far = runtime.sleep_until(start + LONG);
            let near = runtime.sleep_until(start + SHORT);
            matches!(future::select(far, near).await, Either::Right(_))
        });
        assert!(nearer_won, "{runtime:?}");
        assert!(runtime.now() >= start + SHORT, "{runtime:?} woke too early");
    }
}

#[test]
fn deadlines_are_reached_however_they_are_set() {
    for &runtime in all() {
        let (reached, order) = mpsc::channel();
        let start = runtime.now();
        // The last one first, so that each is nearer than all that are set; every other one is taken back.
        for number in (0..40).rev() {
            let at = start + SHORT + Duration::from_millis(number);
            let (reached, sleep) = (reached.clone(), runtime.sleep_until(at));
            runtime.spawn(Box::pin(async move {
                if number % 2 == 1 {
                    return drop(future::select(sleep, future::ready(())).await);
                }
                sleep.await;
                assert!(runtime.now() >= at, "{runtime:?} woke too early");
                reached.send(number).expect("the test waits");
            }));
        }
        drop(reached);
        let mut seen: Vec<_> = order.iter().collect();
        assert_eq!(seen.len(), 20, "{runtime:?}");
        seen.sort_unstable();
        assert!(seen.iter().all(|number| number % 2 == 0), "{runtime:?}: {seen:?}");
    }
}

#[test]
fn a_deadline_in_the_past_is_done() {
    for &runtime in all() {
        let now = runtime.now();
        block_on(runtime, runtime.sleep_until(now.checked_sub(SHORT).unwrap_or(now)));
    }
}

#[test]
fn a_spawned_task_runs_beside_its_starter() {
    for &runtime in all() {
        let (ask, asked) = oneshot::channel::<u32>();
        let (answer, answered) = oneshot::channel();
        let got = block_on(runtime, async {
            runtime.spawn(Box::pin(async move {
                let number = asked.await.unwrap();
                answer.send(number + 1).unwrap();
            }));
            ask.send(41).unwrap();
            answered.await
        });
        assert_eq!(got, Ok(42), "{runtime:?}");
    }
}

/// No context of the runtime's own: the executor is the one of `futures`.
#[test]
fn everything_works_under_a_foreign_executor() {
    for &runtime in all() {
        executor::block_on(async {
            runtime.sleep_until(runtime.now() + SHORT).await;
            let listener = runtime.listen_tcp(ANY_PORT).await.unwrap();
            let at = listener.local_address().as_tcp().unwrap();
            let (client, server) = future::join(runtime.connect_tcp(at), listener.accept()).await;
            let (mut client, mut server) = (client.unwrap(), server.unwrap());
            assert_eq!(client.local_address(), server.peer_address());
            assert_eq!(client.peer_address(), server.local_address());

            let (sent, done) = oneshot::channel();
            runtime.spawn(Box::pin(async move {
                server.write_all(b"hello").await.unwrap();
                sent.send(server).unwrap();
            }));
            let mut received = [0; 5];
            client.read_exact(&mut received).await.unwrap();
            assert_eq!(&received, b"hello", "{runtime:?}");
            drop(done.await.unwrap());
        });
    }
}

#[cfg(feature = "tokio")]
#[test]
fn tokio_takes_the_runtime_around_the_call() {
    let own = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let id = own.handle().id();
    let ran_in = own.block_on(async {
        let (sent, done) = oneshot::channel();
        crate::runtime::Tokio.spawn(Box::pin(async {
            sent.send(tokio::runtime::Handle::current().id()).unwrap();
        }));
        done.await.unwrap()
    });
    assert_eq!(ran_in, id);
}

#[test]
fn tcp_client_talks_to_a_real_server() {
    for &runtime in all() {
        let listener = TcpListener::bind(ANY_PORT).unwrap();
        let at = listener.local_addr().unwrap();
        let peer = thread::spawn(move || echo_until_end(listener.accept().unwrap().0));
        let socket = block_on(runtime, runtime.connect_tcp(at)).unwrap();
        assert_eq!(socket.peer_address(), &Address::Tcp(at));
        expect_echo_across_a_half_close(runtime, socket);
        peer.join().unwrap();
    }
}

#[test]
#[cfg(unix)]
fn a_reset_is_no_end_of_file() {
    for &runtime in all() {
        for reset in [false, true] {
            let listener = TcpListener::bind(ANY_PORT).unwrap();
            let at = listener.local_addr().unwrap();
            let socket = block_on(runtime, runtime.connect_tcp(at)).unwrap();
            let (mut peer, _) = listener.accept().unwrap();
            match reset {
                true => socket.reset().unwrap(),
                false => drop(socket),
            }
            let read = peer.read(&mut [0]).map_err(|error| error.kind());
            let expected = if reset { Err(io::ErrorKind::ConnectionReset) } else { Ok(0) };
            assert_eq!(read, expected, "{runtime:?}");
        }
        let (stream, mut peer) = std::os::unix::net::UnixStream::pair().unwrap();
        let socket = runtime.adopt_unix(stream).unwrap();
        assert_eq!(socket.reset().unwrap_err().kind(), io::ErrorKind::Unsupported, "{runtime:?}");
        assert_eq!(peer.read(&mut [0]).unwrap(), 0, "{runtime:?}: dropped all the same");
    }
}

#[test]
#[cfg(unix)]
fn the_system_asks_whether_a_silent_peer_is_still_there() {
    for &runtime in all() {
        let standard = Some(KeepAlive::default());
        let listener = block_on(runtime, runtime.listen_tcp(ANY_PORT)).unwrap();
        let at = listener.local_address().as_tcp().unwrap();
        let connected = block_on(runtime, runtime.connect_tcp(at)).unwrap();
        let accepted = block_on(runtime, listener.accept()).unwrap();
        let stream = TcpStream::connect(at).unwrap();
        let same = stream.try_clone().unwrap();
        assert!(!rustix::net::sockopt::socket_keepalive(&same).unwrap(), "control: nobody does by default");
        let adopted = runtime.adopt_tcp(stream).unwrap();
        for socket in [&connected, &accepted, &adopted] {
            assert_eq!(socket.keep_alive().unwrap(), standard, "{runtime:?}");
        }
        let other = Some(KeepAlive { idle: 7, interval: 3, count: 2 });
        adopted.set_keep_alive(other).unwrap();
        assert_eq!(adopted.keep_alive().unwrap(), other, "{runtime:?}");
        assert_eq!(rustix::net::sockopt::tcp_keepidle(&same).unwrap().as_secs(), 7, "{runtime:?}");
        let error = adopted.set_keep_alive(Some(KeepAlive { idle: 0, interval: 3, count: 2 })).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{runtime:?}: {error}");
        adopted.set_keep_alive(None).unwrap();
        assert_eq!(adopted.keep_alive().unwrap(), None, "{runtime:?}");
        assert!(!rustix::net::sockopt::socket_keepalive(&same).unwrap(), "{runtime:?}");

        let (stream, _peer) = std::os::unix::net::UnixStream::pair().unwrap();
        let error = runtime.adopt_unix(stream).unwrap().set_keep_alive(standard).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported, "{runtime:?}");
    }
}

#[test]
fn tcp_server_talks_to_real_clients() {
    for &runtime in all() {
        let listener = block_on(runtime, runtime.listen_tcp(ANY_PORT)).unwrap();
        let at = listener.local_address().as_tcp().unwrap();
        assert_ne!(at.port(), 0);
        for _ in 0..3 {
            let peer = thread::spawn(move || echo_until_end(TcpStream::connect(at).unwrap()));
            let socket = block_on(runtime, listener.accept()).unwrap();
            assert_eq!(socket.local_address(), &Address::Tcp(at));
            expect_echo_across_a_half_close(runtime, socket);
            peer.join().unwrap();
        }
    }
}

#[test]
fn a_connection_and_a_listener_can_be_adopted() {
    for &runtime in all() {
        let listener = TcpListener::bind(ANY_PORT).unwrap();
        let at = listener.local_addr().unwrap();
        let peer = thread::spawn(move || echo_until_end(listener.accept().unwrap().0));
        // Outside of everything that is async.
        let socket = runtime.adopt_tcp(TcpStream::connect(at).unwrap()).unwrap();
        assert_eq!(socket.peer_address(), &Address::Tcp(at));
        expect_echo_across_a_half_close(runtime, socket);
        peer.join().unwrap();

        let listener = runtime.adopt_tcp_listener(TcpListener::bind(ANY_PORT).unwrap()).unwrap();
        let at = listener.local_address().as_tcp().unwrap();
        let peer = thread::spawn(move || echo_until_end(TcpStream::connect(at).unwrap()));
        let socket = block_on(runtime, listener.accept()).unwrap();
        assert!(!listener.has_ended());
        expect_echo_across_a_half_close(runtime, socket);
        peer.join().unwrap();
    }
}

#[test]
fn a_dropped_accept_loses_no_connection() {
    for &runtime in all() {
        let listener = block_on(runtime, runtime.listen_tcp(ANY_PORT)).unwrap();
        let at = listener.local_address().as_tcp().unwrap();
        block_on(runtime, async {
            let accept = Box::pin(listener.accept());
            let sleep = runtime.sleep_until(runtime.now() + SHORT);
            assert!(matches!(future::select(accept, sleep).await, Either::Right(_)));
        });
        let peer = thread::spawn(move || echo_until_end(TcpStream::connect(at).unwrap()));
        let socket = block_on(runtime, listener.accept()).unwrap();
        expect_echo_across_a_half_close(runtime, socket);
        peer.join().unwrap();
    }
}

#[test]
fn a_refused_connection_says_so() {
    for &runtime in all() {
        // No program listens on the port of tcpmux, and no system hands it out.
        let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let error = block_on(runtime, runtime.connect_tcp(nobody)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused, "{runtime:?}");
    }
}

#[test]
fn a_tcp_port_in_use_is_named() {
    for &runtime in all() {
        let listener = TcpListener::bind(ANY_PORT).unwrap();
        let at = listener.local_addr().unwrap();
        let error = block_on(runtime, runtime.listen_tcp(at)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "{runtime:?}");
        assert!(error.to_string().contains(&format!("tcp {at}")), "{error}");
    }
}

#[test]
fn addresses_resolve_and_an_impossible_name_does_not() {
    for &runtime in all() {
        let v4 = block_on(runtime, runtime.resolve("127.0.0.1", 25)).unwrap();
        assert_eq!(v4, ["127.0.0.1:25".parse().unwrap()], "{runtime:?}");
        let v6 = block_on(runtime, runtime.resolve("::1", 25)).unwrap();
        assert_eq!(v6, ["[::1]:25".parse().unwrap()], "{runtime:?}");
        let error = block_on(runtime, runtime.resolve("no such host", 25)).unwrap_err();
        assert!(!error.to_string().contains("(\"no such host\", 25)"), "{runtime:?} says why, not what: {error}");
    }
}

#[test]
fn a_vectored_write_takes_every_slice() {
    for &runtime in all() {
        let listener = TcpListener::bind(ANY_PORT).unwrap();
        let at = listener.local_addr().unwrap();
        let socket = block_on(runtime, runtime.connect_tcp(at)).unwrap();
        expect_vectored_write(runtime, socket);
    }
}

#[cfg(unix)]
mod unix {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn client_talks_to_a_real_server() {
        for &runtime in all() {
            let folder = Folder::new();
            let path = folder.file("server");
            let listener = UnixListener::bind(&path).unwrap();
            let peer = thread::spawn(move || echo_until_end(listener.accept().unwrap().0));
            let socket = block_on(runtime, runtime.connect_unix(path.clone())).unwrap();
            assert_eq!(socket.peer_address(), &Address::Unix(Some(path)));
            assert_eq!(socket.local_address(), &Address::Unix(None));
            expect_echo_across_a_half_close(runtime, socket);
            peer.join().unwrap();
        }
    }

    #[test]
    fn server_talks_to_a_real_client() {
        for &runtime in all() {
            let folder = Folder::new();
            let path = folder.file("server");
            let listener = block_on(runtime, runtime.listen_unix(path.clone())).unwrap();
            assert_eq!(listener.local_address(), &Address::Unix(Some(path.clone())));
            let to = path.clone();
            let peer = thread::spawn(move || echo_until_end(UnixStream::connect(to).unwrap()));
            let socket = block_on(runtime, listener.accept()).unwrap();
            assert_eq!(socket.local_address(), &Address::Unix(Some(path)));
            assert_eq!(socket.peer_address(), &Address::Unix(None));
            expect_echo_across_a_half_close(runtime, socket);
            peer.join().unwrap();
        }
    }

    #[test]
    fn a_connection_and_a_listener_can_be_adopted() {
        for &runtime in all() {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let peer = thread::spawn(move || echo_until_end(theirs));
            let socket = runtime.adopt_unix(ours).unwrap();
            assert_eq!(socket.peer_address(), &Address::Unix(None));
            expect_echo_across_a_half_close(runtime, socket);
            peer.join().unwrap();

            let folder = Folder::new();
            let path = folder.file("server");
            let listener = runtime.adopt_unix_listener(UnixListener::bind(&path).unwrap()).unwrap();
            assert_eq!(listener.local_address(), &Address::Unix(Some(path.clone())));
            let to = path.clone();
            let peer = thread::spawn(move || echo_until_end(UnixStream::connect(to).unwrap()));
            let socket = block_on(runtime, listener.accept()).unwrap();
            expect_echo_across_a_half_close(runtime, socket);
            peer.join().unwrap();
            drop(listener);
            assert!(path.exists(), "{runtime:?} removed a file that is not its own");
        }
    }

    #[test]
    fn a_single_connection_is_accepted_once() {
        for &runtime in all() {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let listener = crate::runtime::single::listener(runtime.adopt_unix(ours).unwrap());
            let socket = block_on(runtime, listener.accept()).unwrap();
            // The next one waits for as long as this one is there.
            assert!(listener.accept().now_or_never().is_none(), "{runtime:?}");
            assert!(!listener.has_ended());
            let peer = thread::spawn(move || echo_until_end(theirs));
            expect_echo_across_a_half_close(runtime, socket);
            peer.join().unwrap();
            assert!(listener.has_ended());
            let error = block_on(runtime, listener.accept()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotConnected, "{runtime:?}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_abstract_name_has_no_file() {
        use crate::runtime::abstract_unix;

        for &runtime in all() {
            let name = format!("onionskin-runtime-{}", std::process::id());
            let address = Address::Abstract(name.clone().into_bytes());
            let listener = abstract_unix::listen(runtime, &name).unwrap();
            assert_eq!(listener.local_address(), &address);
            let client = block_on(runtime, abstract_unix::connect(runtime, &name)).unwrap();
            assert_eq!(client.peer_address(), &address);
            let server = block_on(runtime, listener.accept()).unwrap();
            assert_eq!(server.local_address(), &address);
            drop((client, server, listener));
            let error = block_on(runtime, abstract_unix::connect(runtime, &name)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused, "{runtime:?}");
        }
    }

    #[test]
    fn works_under_a_foreign_executor() {
        for &runtime in all() {
            let folder = Folder::new();
            let path = folder.file("server");
            executor::block_on(async {
                let listener = runtime.listen_unix(path.clone()).await.unwrap();
                let client = runtime.connect_unix(path.clone());
                let (client, server) = future::join(client, listener.accept()).await;
                let (mut client, mut server) = (client.unwrap(), server.unwrap());
                client.write_all(b"hello").await.unwrap();
                client.close().await.unwrap();
                let mut received = Vec::new();
                server.read_to_end(&mut received).await.unwrap();
                assert_eq!(received, b"hello", "{runtime:?}");
            });
        }
    }

    #[test]
    fn a_vectored_write_takes_every_slice() {
        for &runtime in all() {
            let folder = Folder::new();
            let path = folder.file("server");
            let _listener = UnixListener::bind(&path).unwrap();
            let socket = block_on(runtime, runtime.connect_unix(path)).unwrap();
            expect_vectored_write(runtime, socket);
        }
    }

    #[test]
    fn a_full_socket_makes_a_vectored_write_wait() {
        for &runtime in all() {
            let folder = Folder::new();
            let path = folder.file("server");
            let listener = UnixListener::bind(&path).unwrap();
            let mut socket = block_on(runtime, runtime.connect_unix(path)).unwrap();
            let (mut peer, _) = listener.accept().unwrap();
            let piece = [b'x'; 4096];
            let slices = [io::IoSlice::new(&piece), io::IoSlice::new(&piece)];
            let mut written = 0;
            block_on(runtime, async {
                future::poll_fn(|cx| {
                    while let Poll::Ready(count) = Pin::new(&mut socket).poll_write_vectored(cx, &slices) {
                        written += count.unwrap();
                    }
                    Poll::Ready(())
                })
                .await;
            });
            let reader = thread::spawn(move || {
                let mut received = Vec::new();
                peer.read_to_end(&mut received).unwrap();
                received.len()
            });
            written += block_on(runtime, socket.write_vectored(&slices)).unwrap();
            block_on(runtime, socket.close()).unwrap();
            assert_eq!(reader.join().unwrap(), written, "{runtime:?}");
        }
    }

    #[test]
    fn the_file_goes_with_the_listener() {
        for &runtime in all() {
            let folder = Folder::new();
            let path = folder.file("server");
            let listener = block_on(runtime, runtime.listen_unix(path.clone())).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            drop(listener);
            assert!(!path.exists(), "{runtime:?}");
            block_on(runtime, runtime.listen_unix(path)).unwrap();
        }
    }

    #[test]
    fn a_file_that_took_its_place_stays() {
        for &runtime in all() {
            let folder = Folder::new();
            let path = folder.file("server");
            let listener = block_on(runtime, runtime.listen_unix(path.clone())).unwrap();
            fs::remove_file(&path).unwrap();
            fs::write(&path, "somebody else's").unwrap();
            drop(listener);
            assert_eq!(fs::read_to_string(&path).unwrap(), "somebody else's");
        }
    }

    #[test]
    fn a_socket_that_took_its_place_stays() {
        for &runtime in all() {
            let folder = Folder::new();
            let path = folder.file("server");
            let ours = block_on(runtime, runtime.listen_unix(path.clone())).unwrap();
            fs::rename(&path, folder.file("moved")).unwrap();
            let _theirs = UnixListener::bind(&path).unwrap();
            drop(ours);
            assert!(path.exists(), "{runtime:?}");
        }
    }

    #[test]
    fn a_path_in_use_is_named_and_left_alone() {
        for &runtime in all() {
            let folder = Folder::new();
            let path = folder.file("server");
            let _first = block_on(runtime, runtime.listen_unix(path.clone())).unwrap();
            let error = block_on(runtime, runtime.listen_unix(path.clone())).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
            let text = error.to_string();
            assert!(text.contains(path.to_str().unwrap()) && text.contains("in use"), "{text}");
            assert!(UnixStream::connect(&path).is_ok());

            let plain = folder.file("plain");
            fs::write(&plain, "").unwrap();
            let error = block_on(runtime, runtime.listen_unix(plain)).unwrap_err();
            assert!(error.to_string().contains("not a socket"), "{error}");
        }
    }

    #[test]
    fn nobody_there() {
        for &runtime in all() {
            let folder = Folder::new();
            let path = folder.file("server");
            let error = block_on(runtime, runtime.connect_unix(path.clone())).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound, "{runtime:?}");
            drop(UnixListener::bind(&path).unwrap());
            let error = block_on(runtime, runtime.connect_unix(path)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused, "{runtime:?}");
        }
    }

    /// A folder of this test's own, removed with all that is in it.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("onionskin-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn file(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }
}

/// Sends, closes the write side, and only then reads: the peer answers after our end of file.
fn expect_echo_across_a_half_close(runtime: &dyn Runtime, mut socket: Socket) {
    let sent: Vec<u8> = (0..100_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let received = block_on(runtime, async {
        socket.write_all(&sent).await?;
        socket.close().await?;
        let mut received = Vec::new();
        socket.read_to_end(&mut received).await?;
        // A second close changes nothing, also after the peer is gone.
        socket.close().await?;
        io::Result::Ok(received)
    });
    assert!(received.unwrap() == sent, "{runtime:?}: the echo differs");
}

fn expect_vectored_write(runtime: &dyn Runtime, mut socket: Socket) {
    let slices = [b"one".as_slice(), b"", b"two", b"three"].map(io::IoSlice::new);
    let written = block_on(runtime, future::poll_fn(|cx| Pin::new(&mut socket).poll_write_vectored(cx, &slices)));
    assert_eq!(written.unwrap(), 11, "{runtime:?}");
}

/// Takes everything up to the end of file, then sends it back.
fn echo_until_end(mut peer: impl Read + Write) {
    let mut received = Vec::new();
    peer.read_to_end(&mut received).unwrap();
    peer.write_all(&received).unwrap();
}
