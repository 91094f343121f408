//! Two relays with TLS between them, which they take off when there is TLS inside.

use std::io::Write;
use std::net::{Shutdown, TcpListener};
use std::thread::JoinHandle;

use super::*;
use crate::onion::run;

/// A place in a line where all that passes is written down, for one connection.
struct Tap {
    endpoint: String,
    /// What has passed there, and back.
    passed: JoinHandle<[Vec<u8>; 2]>,
}

impl Tap {
    fn before(endpoint: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = endpoint.strip_prefix("tcp:").unwrap().to_owned();
        let address = listener.local_addr().unwrap();
        let passed = thread::spawn(move || {
            let near = listener.accept().unwrap().0;
            let far = TcpStream::connect(endpoint).unwrap();
            let back = (far.try_clone().unwrap(), near.try_clone().unwrap());
            let back = thread::spawn(move || pass(back.0, back.1));
            [pass(near, far), back.join().unwrap()]
        });
        Self { endpoint: format!("tcp:{address}"), passed }
    }

    fn passed(self) -> [Vec<u8>; 2] {
        self.passed.join().unwrap()
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream) -> Vec<u8> {
    let (mut passed, mut space) = (Vec::new(), [0; 8192]);
    while let Ok(count @ 1..) = from.read(&mut space) {
        passed.extend(&space[..count]);
        if to.write_all(&space[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
    passed
}

/// How many bytes the two end with that are the same.
fn common(one: &[u8], other: &[u8]) -> usize {
    one.iter().rev().zip(other.iter().rev()).take_while(|(one, other)| one == other).count()
}

const OPTION: &str = "--peel-when-inner-tls";

const SIZE: usize = 300_000;

#[test]
fn the_tls_between_two_relays_goes_if_both_say_so() {
    let files = Files::new();
    for (here, there) in [(true, true), (true, false), (false, true)] {
        for version in ["1.2", "1.3"] {
            let inner = |steps: String| format!("{steps}:min={version}:max={version}");
            let options = |says: bool| if says { &[OPTION][..] } else { &[] };
            let far = listen(&format!("tcp:127.0.0.1:0{}", inner(files.server(Layers::Tls))));
            let listening = format!("tcp:127.0.0.1:0{}", files.server(Layers::Tls));
            let mut second = Relay::talkative(&listening, &far.endpoint().transport.to_string(), options(there));
            let between = Tap::before(&second.endpoint);
            let connecting = format!("{}{}", between.endpoint, files.client(Layers::Tls));
            let mut first = Relay::talkative("tcp:127.0.0.1:0", &connecting, options(here));
            let at_client = Tap::before(&first.endpoint);
            block_on(async {
                let client = format!("{}{}", at_client.endpoint, inner(files.client(Layers::Tls)));
                let (client, server) = join(dial(&client), async { far.accept().await.unwrap().ready().await }).await;
                let (mut client, mut server) = (client.unwrap(), server.unwrap());
                greet(&mut client, &mut server).await;
                greet(&mut server, &mut client).await;
                let talk = async |mut conn: Connection<Socket>, own: u8, others: u8| {
                    conn.write_all(&pattern(own, SIZE)).await.unwrap();
                    conn.close().await.unwrap();
                    let (read, result) = read_all(&mut conn).await;
                    result.unwrap();
                    assert!(read == pattern(others, SIZE), "{} bytes, not the ones that were sent", read.len());
                };
                join(talk(client, 1, 2), talk(server, 2, 1)).await;
            });
            let goes = here && there;
            let [one, other] = [at_client.passed(), between.passed()];
            for (inner, outer) in one.iter().zip(&other) {
                let common = common(inner, outer);
                assert_eq!(
                    common > SIZE,
                    goes,
                    "{version}, {here}, {there}: the last {common} bytes are the inner ones"
                );
            }
            for (relay, says) in [(&mut first, here), (&mut second, there)] {
                let line = relay.hears(&["#1 ", ": ended; "]);
                assert!(line.contains("bytes there"), "{line}");
                let told = relay.seen.iter().find(|line| line.contains("its outer TLS "));
                assert_eq!(told.is_some(), says, "{told:?}");
                if let Some(told) = told {
                    assert_eq!(told.contains("was taken off"), goes, "{told}");
                }
            }
        }
    }
}

#[test]
fn where_it_makes_no_sense_it_is_refused() {
    let files = Files::new();
    let (client, server) = (files.client(Layers::Tls), files.server(Layers::Tls));
    for (listen, connect, cause) in [
        ("", "", "no side ends with a step `tls`"),
        (&*server, &*client, "here both sides end with `tls`"),
        ("", &*format!("{client}:alpn=h2"), "leave `alpn` out of that step"),
    ] {
        let (listen, connect) = (format!("tcp:127.0.0.1:0{listen}"), format!("{NOBODY}{connect}"));
        let said = run(["relay", &listen, &connect, OPTION, "--check"], "").failed(2);
        assert!(said.contains(cause), "{said}");
    }
    let file = |says: &str| {
        files.directory.write(
            "relays.toml",
            format!("[relay.a]\nlisten = \"tcp:127.0.0.1:0\"\nconnect = \"{NOBODY}{client}\"\npeel-when-inner-tls = {says}\n"),
        );
        run(["relay", "--config", &files.directory.file("relays.toml"), "--check"], "")
    };
    file("true").succeeded();
    assert!(file("1").failed(2).contains("`peel-when-inner-tls` has to be true or false"));
}
