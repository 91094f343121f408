//! FTP with TLS in front of a server that has none: the control connection, and what is sent over the others.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

use futures::io::{AsyncReadExt, AsyncWriteExt};
use onionskin::Connection;
use onionskin::runtime::Socket;
use onionskin::starttls::ftp::{self, Passive};

use super::{Files, Layers, Relay, block_on, dial, read_all};

/// A server of the old kind. What it is sent is told when its sender has ended.
struct Server {
    endpoint: String,
    stored: mpsc::Receiver<Vec<u8>>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("tcp:{}", listener.local_addr().unwrap());
        let (tell, stored) = mpsc::channel();
        thread::spawn(move || {
            for socket in listener.incoming() {
                let tell = tell.clone();
                thread::spawn(move || serve(socket.unwrap(), &tell));
            }
        });
        Self { endpoint, stored }
    }
}

fn serve(mut control: TcpStream, stored: &mpsc::Sender<Vec<u8>>) {
    let mut say = control.try_clone().unwrap();
    let mut say = |line: &str| _ = write!(say, "{line}\r\n");
    say("220-old\r\n220 server");
    let mut passive: Option<TcpListener> = None;
    let mut waiting = Vec::new();
    for line in BufReader::new(&mut control).lines().map_while(Result::ok) {
        let accept = |passive: &mut Option<TcpListener>| passive.take().unwrap().accept().unwrap().0;
        match line.split(' ').next().unwrap() {
            "EPSV" if line == "EPSV 9" => say("229 Entering nothing (||||)"),
            "PASV" | "EPSV" => {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                let port = listener.local_addr().unwrap().port();
                passive = Some(listener);
                match line.as_str() {
                    // Somewhere else altogether, as behind a translator of addresses.
                    "PASV" => say(&format!("227 Entering (10,0,0,1,{},{})", port >> 8, port & 0xff)),
                    _ => say(&format!("229 Entering (|||{port}|)")),
                }
            }
            "RETR" => {
                say("150 here it comes");
                let mut data = accept(&mut passive);
                data.write_all(&content()).unwrap();
                drop(data);
                say("226 done");
            }
            "CRASH" => {
                say("150 here it comes");
                let mut data = accept(&mut passive);
                data.write_all(b"the first half").unwrap();
                // Unread bytes make a reset of it.
                data.read_exact(&mut [0]).unwrap();
                drop(data);
                say("426 broken");
            }
            "WAIT" => {
                waiting.push(accept(&mut passive));
                say("150 wait");
                say("226 or not");
            }
            "STOR" => {
                say("150 send it");
                let mut file = Vec::new();
                accept(&mut passive).read_to_end(&mut file).unwrap();
                stored.send(file).unwrap();
                say("226 done");
            }
            "FEAT" => say("211-Features\r\n SIZE\r\n211 End"),
            "HELP" => say("214-220 is no reply\r\n226 nor this\r\n214 help"),
            "QUIT" => return say("221 bye"),
            "NOOP" => say("200 noop"),
            _ => say("500 what?"),
        }
    }
}

fn content() -> Vec<u8> {
    (0..300_000_u32).map(|at| (at % 251) as u8).collect()
}

struct Client {
    control: Connection<Socket>,
}

impl Client {
    async fn dial(relay: &Relay, files: &Files) -> Self {
        let step = files.client(Layers::Tls).replace("+tls:", "+starttls:ftp:");
        Self { control: dial(&format!("{}{step}", relay.endpoint)).await.unwrap() }
    }

    async fn asks(&mut self, line: &str, code: u16) -> Vec<String> {
        let reply = ftp::command(&mut self.control, line).await.unwrap();
        assert_eq!(reply.code(), code, "{line}: {reply:?}");
        reply.lines().iter().map(|line| String::from_utf8(line.clone()).unwrap()).collect()
    }

    /// The address for the next data connection.
    async fn passive(&mut self, line: &str) -> String {
        let reply = ftp::command(&mut self.control, line).await.unwrap();
        let passive = Passive::of(&reply).unwrap();
        if let Some(claimed) = passive.claimed() {
            assert_eq!(claimed.ip().to_string(), "127.0.0.1", "the relay's own address");
        }
        let control = self.control.get_ref().peer_address().as_tcp().unwrap();
        format!("tcp:{}", passive.beside(control))
    }
}

fn start(files: &Files) -> (Server, Relay) {
    start_with(files, &[])
}

fn start_with(files: &Files, options: &[&str]) -> (Server, Relay) {
    let server = Server::start();
    let relay = Relay::start(&listen_step(files), &server.endpoint, options);
    (server, relay)
}

fn listen_step(files: &Files) -> String {
    format!("tcp:127.0.0.1:0{}", files.server(Layers::Tls).replace("+tls:", "+starttls:ftp:"))
}

#[test]
fn files_go_both_ways_inside_tls_past_a_server_that_knows_none() {
    let files = Files::new();
    let (server, mut relay) = start(&files);
    block_on(async {
        let mut client = Client::dial(&relay, &files).await;
        client.asks("PBSZ 0", 200).await;
        client.asks("PROT P", 200).await;
        for line in ["EPSV", "PASV"] {
            let address = client.passive(line).await;
            // TLS begins when the server has said that there is something.
            let mut data = dial(&address).await.unwrap();
            client.asks("RETR file", 150).await;
            data.start_tls(tls(&files)).await.unwrap();
            let (file, end) = read_all(&mut data).await;
            assert!(file == content(), "{} bytes came", file.len());
            end.expect("and it ends gracefully");
            assert_eq!(ftp::read_reply(&mut client.control).await.unwrap().code(), 226);

            let address = client.passive(line).await;
            let mut data = dial(&address).await.unwrap();
            client.asks("STOR file", 150).await;
            data.start_tls(tls(&files)).await.unwrap();
            data.send_all(&content()).await.unwrap();
            data.close().await.unwrap();
            assert_eq!(ftp::read_reply(&mut client.control).await.unwrap().code(), 226);
            assert!(server.stored.recv().unwrap() == content());
        }
        client.asks("QUIT", 221).await;
    });
    relay.hears(&["#1", "ended", "bytes there"]);
}

fn tls(files: &Files) -> onionskin::tls::TlsLayer {
    files.authority.client(crate::common::BOTH).to("localhost").unwrap()
}

#[test]
fn what_is_about_tls_is_answered_in_its_turn_and_the_rest_passes() {
    let files = Files::new();
    let (_server, relay) = start(&files);
    block_on(async {
        let mut client = Client::dial(&relay, &files).await;
        assert_eq!(client.asks("FEAT", 211).await, ["211-Features", " SIZE", " PBSZ", " PROT", "211 End"]);
        assert_eq!(client.asks("HELP", 214).await, ["214-220 is no reply", "226 nor this", "214 help"]);
        client.asks("PROT P", 503).await;
        client.asks("AUTH TLS", 503).await;
        client.asks("CCC", 534).await;
        client.asks("REIN", 502).await;
        let past_us = ["LPRT 4,4,127,0,0,1,2,156,64", "LPSV", "CPSV", "SPSV"];
        for active in ["PORT 127,0,0,1,156,64", "eprt |1|127.0.0.1|40000|"].into_iter().chain(past_us) {
            let said = client.asks(active, 502).await;
            assert!(said[0].contains("use PASV or EPSV"), "{said:?}");
        }
        client.asks("SITE x", 500).await;
        client.asks("EPSV 9", 425).await;
        // More at once than the server may owe.
        client.control.send_all(&b"NOOP\r\n".repeat(500)).await.unwrap();
        for _ in 0..500 {
            assert_eq!(ftp::read_reply(&mut client.control).await.unwrap().code(), 200);
        }
        // All at once: each reply comes when it is its turn.
        let all = b"NOOP\r\nPBSZ 0\r\nPROT P\r\nNOOP\r\nHELP\r\nPROT S\r\nNOOP\r\n";
        client.control.send_all(all).await.unwrap();
        for code in [200, 200, 200, 200, 214, 536, 200] {
            assert_eq!(ftp::read_reply(&mut client.control).await.unwrap().code(), code);
        }
    });
}

#[test]
fn a_data_connection_in_clear_is_there_for_who_asks_for_it_and_nobody_else_gets_one() {
    let files = Files::new();
    let (_server, mut relay) = start(&files);
    block_on(async {
        let mut client = Client::dial(&relay, &files).await;
        let first = client.passive("EPSV").await;
        let second = client.passive("EPSV").await;
        // The first is given up with the second, though perhaps not at this very moment.
        while let Ok(mut gone) = dial(&first).await {
            assert!(gone.read(&mut [0]).await.map_or(true, |count| count == 0));
        }
        // From another address of this machine.
        let address = second.strip_prefix("tcp:").unwrap().parse().unwrap();
        let mut thief = stranger(address);
        let mut data = dial(&second).await.unwrap();
        client.asks("RETR file", 150).await;
        let (file, end) = read_all(&mut data).await;
        assert!(file == content());
        end.unwrap();
        let mut stolen = Vec::new();
        let _ = thief.read_to_end(&mut stolen);
        assert!(stolen.is_empty(), "{} bytes", stolen.len());
    });
    relay.hears(&["somebody else than 127.0.0.1 wanted its data connection"]);
}

/// A connection from 127.0.0.2.
fn stranger(address: std::net::SocketAddr) -> TcpStream {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &"127.0.0.2:0".parse::<std::net::SocketAddr>().unwrap()).unwrap();
    connect(&socket, &address).unwrap();
    socket.into()
}

#[test]
fn no_client_has_as_many_data_connections_as_it_likes() {
    let files = Files::new();
    let (_server, relay) = start(&files);
    block_on(async {
        let mut client = Client::dial(&relay, &files).await;
        let mut open = Vec::new();
        for _ in 0..100 {
            let reply = ftp::command(&mut client.control, "EPSV").await.unwrap();
            let Ok(passive) = Passive::of(&reply) else {
                assert_eq!(reply.code(), 425, "{reply:?}");
                assert!((10..20).contains(&open.len()), "{} are there", open.len());
                return;
            };
            let control = client.control.get_ref().peer_address().as_tcp().unwrap();
            open.push(dial(&format!("tcp:{}", passive.beside(control))).await.unwrap());
            // It is joined to a server that has come to say nothing.
            client.asks("WAIT", 150).await;
            assert_eq!(ftp::read_reply(&mut client.control).await.unwrap().code(), 226);
        }
        panic!("there is no limit");
    });
}

#[test]
fn a_file_that_breaks_off_does_not_look_whole() {
    let files = Files::new();
    let (_server, mut relay) = start(&files);
    block_on(async {
        let mut client = Client::dial(&relay, &files).await;
        client.asks("PBSZ 0", 200).await;
        client.asks("PROT P", 200).await;
        let mut data = dial(&client.passive("EPSV").await).await.unwrap();
        client.asks("CRASH", 150).await;
        data.start_tls(tls(&files)).await.unwrap();
        data.send_all(b"two bytes at least").await.unwrap();
        let (_, end) = read_all(&mut data).await;
        end.expect_err("it is no end");
        assert_eq!(ftp::read_reply(&mut client.control).await.unwrap().code(), 426);
        client.asks("QUIT", 221).await;
    });
    relay.hears(&["data connection of 127.0.0.1: CONNECT side"]);
}

#[test]
fn a_client_that_leaves_without_a_close_notify_is_not_a_loss() {
    let files = Files::new();
    let (_server, mut relay) = start(&files);
    block_on(async {
        let mut client = Client::dial(&relay, &files).await;
        client.asks("NOOP", 200).await;
        client.control.close_wire().await.unwrap();
        let (_, _) = read_all(&mut client.control).await;
    });
    relay.hears(&["#1 ", "truncated, LISTEN side", "6 bytes there"]);
}

#[test]
fn a_client_that_ends_behind_its_commands_is_answered() {
    let files = Files::new();
    let (_server, mut relay) = start(&files);
    for (number, leaves_out_close_notify) in [(1, false), (2, true)] {
        block_on(async {
            let mut client = Client::dial(&relay, &files).await;
            let address = client.passive("EPSV").await;
            client.control.send_all(b"RETR file\r\nPBSZ 0\r\nQUIT\r\n").await.unwrap();
            match leaves_out_close_notify {
                true => client.control.close_wire().await.unwrap(),
                false => client.control.close().await.unwrap(),
            }
            // The server owes the replies until then.
            let mut data = dial(&address).await.unwrap();
            let (file, end) = read_all(&mut data).await;
            assert!(file == content(), "{} bytes came", file.len());
            end.unwrap();
            let (said, end) = read_all(&mut client.control).await;
            let said = String::from_utf8(said).unwrap();
            assert_eq!(said, "150 here it comes\r\n226 done\r\n200 PBSZ=0\r\n221 bye\r\n");
            end.unwrap();
        });
        let outcome = if leaves_out_close_notify { "truncated, LISTEN side" } else { "ended" };
        relay.hears(&[&format!("#{number} "), outcome]);
    }
}

#[test]
fn an_end_that_nothing_proves_is_a_reset_for_the_server_where_that_is_asked_for() {
    let files = Files::new();
    for (options, expected) in [(&[][..], Ok(b"NOOP\r\n".to_vec())), (&["--truncated", "reset"], Err(RESET))] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = format!("tcp:{}", listener.local_addr().unwrap());
        let relay = Relay::start(&listen_step(&files), &place, options);
        let server = thread::spawn(move || {
            let (mut control, _) = listener.accept().unwrap();
            control.write_all(b"220 server\r\n").unwrap();
            let mut heard = vec![0; 6];
            control.read_exact(&mut heard).unwrap();
            if expected.is_ok() {
                control.write_all(b"200 noop\r\n").unwrap();
            }
            let end = control.read_to_end(&mut heard);
            (expected, end.map(|_| heard).map_err(|error| error.kind()))
        });
        block_on(async {
            let mut client = Client::dial(&relay, &files).await;
            client.control.send_all(b"NOOP\r\n").await.unwrap();
            client.control.close_wire().await.unwrap();
            let _ = read_all(&mut client.control).await;
        });
        let (expected, found) = server.join().unwrap();
        assert_eq!(found, expected, "{options:?}");
    }
}

const RESET: std::io::ErrorKind = std::io::ErrorKind::ConnectionReset;

#[test]
fn data_connections_have_the_limits_of_the_endpoints() {
    let files = Files::new();
    let (_server, mut relay) = start_with(&files, &["--idle", "1"]);
    block_on(async {
        let mut client = Client::dial(&relay, &files).await;
        let _data = dial(&client.passive("EPSV").await).await.unwrap();
        client.asks("WAIT", 150).await;
        relay.hears(&["data connection of 127.0.0.1: ", "nothing was sent or received for 1s"]);
    });
}
