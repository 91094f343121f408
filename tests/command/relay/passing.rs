//! What passes through a relay, and what its log says of it.

use futures::future::join;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use onionskin::Connection;
use onionskin::runtime::Socket;

use super::{Files, Layers, NOBODY, Path, Relay, block_on, dial, greet, listen, pattern, read_all};
use crate::onion::run;

const SIZE: usize = 2 * 1024 * 1024;

const EACH: [Layers; 3] = [Layers::None, Layers::Tls, Layers::TlsInTls];

/// One end says all that it has to say and closes its half; the other hears that, and only then begins.
async fn one_after_the_other(mut first: Connection<Socket>, mut second: Connection<Socket>) {
    let first = async {
        first.write_all(&pattern(1, SIZE)).await.unwrap();
        first.close().await.unwrap();
        let (read, result) = read_all(&mut first).await;
        result.unwrap();
        assert!(read == pattern(2, SIZE), "{} bytes, not the ones that were sent", read.len());
    };
    let second = async {
        let (read, result) = read_all(&mut second).await;
        result.unwrap();
        assert!(read == pattern(1, SIZE), "{} bytes, not the ones that were sent", read.len());
        second.write_all(&pattern(2, SIZE)).await.unwrap();
        second.close().await.unwrap();
    };
    join(first, second).await;
}

async fn both_at_once(client: Connection<Socket>, server: Connection<Socket>) {
    let talk = async |conn: Connection<Socket>, sent: u8, received: u8| {
        let (mut reader, mut writer) = conn.split();
        let write = async {
            writer.write_all(&pattern(sent, SIZE)).await.unwrap();
            writer.close().await.unwrap();
        };
        let mut read = Vec::new();
        let (_, result) = join(write, reader.read_to_end(&mut read)).await;
        result.unwrap();
        assert!(read == pattern(received, SIZE), "{} bytes, not the ones that were sent", read.len());
    };
    join(talk(client, 1, 2), talk(server, 2, 1)).await;
}

#[test]
fn every_byte_and_both_half_closes_pass_whatever_the_layers_are() {
    let files = Files::new();
    for near in EACH {
        for far in EACH {
            eprintln!("{near:?} to {far:?}");
            let mut path = Path::new(&files, near, far, &[]);
            block_on(async {
                let (client, server) = path.join().await;
                one_after_the_other(client, server).await;
                let (client, server) = path.join().await;
                one_after_the_other(server, client).await;
                let (client, server) = path.join().await;
                both_at_once(client, server).await;
            });
            let counts = format!("ended; {SIZE} bytes there, {SIZE} back, ");
            for number in ["#1 ", "#2 ", "#3 "] {
                path.relay.hears(&[number, &counts]);
            }
        }
    }
}

#[test]
fn unix_sockets_are_joined_as_well() {
    let files = Files::new();
    let file = |name: &str| format!("unix:{}", files.directory.file(name));
    let far = listen(&format!("{}{}", file("far.sock"), files.server(Layers::Tls)));
    let relay = Relay::start(&file("near.sock"), &format!("{}{}", file("far.sock"), files.client(Layers::Tls)), &[]);
    assert_eq!(relay.endpoint, file("near.sock"));
    block_on(async {
        let (client, server) =
            join(dial(&relay.endpoint), async { far.accept().await.unwrap().ready().await.unwrap() }).await;
        one_after_the_other(client.unwrap(), server).await;
    });
}

/// As for a program that has no TLS itself, and is to talk to a server that has.
#[test]
fn standard_input_and_output_are_joined_as_well() {
    let files = Files::new();
    let far = listen(&format!("tcp:127.0.0.1:0{}", files.server(Layers::Tls)));
    let connect = format!("{}{}", far.endpoint().transport, files.client(Layers::Tls));
    let server = std::thread::spawn(move || {
        block_on(async {
            let mut conn = far.accept().await.unwrap().ready().await.unwrap();
            let (read, result) = read_all(&mut conn).await;
            result.unwrap();
            conn.write_all(&read).await.unwrap();
            conn.close().await.unwrap();
        });
    });
    let said = "said and heard\n".repeat(10_000);
    let outcome = run(["relay", "stdio", &connect, "--half-close"], &said).succeeded();
    assert_eq!(outcome.stdout, said);
    assert!(outcome.stderr.contains("#1 from stdio: ended; 150000 bytes there, 150000 back"), "{}", outcome.stderr);
    server.join().unwrap();

    // The process has one client, so how that one ends is how the process ends.
    let outcome = run(["relay", "stdio", NOBODY], &said);
    assert_eq!(outcome.status, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("not joined, CONNECT side: cannot connect"), "{}", outcome.stderr);
}

#[test]
fn the_log_has_a_line_for_each_connection() {
    let files = Files::new();
    let mut path = Path::new(&files, Layers::Tls, Layers::TlsInTls, &[]);
    let (local, remote) = block_on(async {
        let (mut client, mut server) = path.join().await;
        greet(&mut client, &mut server).await;
        server.write_all(b"twelve bytes").await.unwrap();
        server.close().await.unwrap();
        assert_eq!(read_all(&mut client).await.0, b"twelve bytes");
        client.close().await.unwrap();
        assert_eq!(read_all(&mut server).await.0, b"");
        (client.get_ref().local_address().to_string(), server.get_ref().local_address().to_string())
    });
    let line = path.relay.hears(&["#1 "]);
    let (_, line) = line.split_once("#1 ").unwrap();
    let (how, rest) = line.split_once("; ").unwrap();
    assert_eq!(how, format!("from {local}: ended"));
    let (counts, layers) = rest.split_once("; ").unwrap();
    let (bytes, seconds) = counts.rsplit_once(", ").unwrap();
    assert_eq!(bytes, "1 bytes there, 12 back");
    assert!(seconds.strip_suffix(" s").unwrap().parse::<f64>().unwrap() >= 0.0, "{seconds}");
    let (near, far) = layers.split_once(" ⇄ ").unwrap();
    assert!(near.starts_with(&format!("{local} ─ tls1.3 ")) && near.contains("server \"localhost\""), "{near}");
    assert!(
        far.starts_with(&format!("{remote} ─ tls1.3 ")) && far.matches("client \"localhost\"").count() == 2,
        "{far}"
    );
}

/// The one that has connected, and not the relay; unless the step names somebody.
#[test]
fn a_proxy_step_tells_of_the_client() {
    let far = listen("tcp:127.0.0.1:0+proxy-header");
    let transport = far.endpoint().transport.to_string();
    for (step, address) in [
        ("proxy-header:version=1", None),
        ("proxy-header", None),
        ("proxy-header:from=192.0.2.7:77", Some("tcp 192.0.2.7:77")),
    ] {
        // Both families, as a server for all the world listens: the addresses of IPv4 are such all the same.
        let mut relay = Relay::start("tcp:[::]:0", &format!("{transport}+{step}"), &[]);
        let port = relay.endpoint.rsplit(':').next().unwrap().to_owned();
        block_on(async {
            let near = format!("tcp:127.0.0.1:{port}");
            let connecting = dial(&near);
            let accepting = async { far.accept().await.unwrap().identify().await.unwrap() };
            let (client, incoming) = join(connecting, accepting).await;
            let client = client.unwrap();
            let real = client.get_ref().local_address().to_string();
            let addresses = incoming.addresses().clone();
            assert_eq!(addresses.peer.unwrap().to_string(), address.unwrap_or(&real), "{step}");
            assert_eq!(addresses.local.unwrap().to_string(), format!("tcp 127.0.0.1:{port}"), "{step}");
            let mut server = incoming.ready().await.unwrap();
            let mut client = client;
            greet(&mut client, &mut server).await;
        });
        relay.hears(&["#1 "]);
    }
}

/// From one proxy to the next.
#[test]
fn what_a_proxy_said_of_the_client_is_passed_on() {
    let far = listen("tcp:127.0.0.1:0+proxy-header");
    let mut relay =
        Relay::start("tcp:127.0.0.1:0+proxy-header", &format!("{}+proxy-header", far.endpoint().transport), &[]);
    block_on(async {
        let near = format!("{}+proxy-header:from=192.0.2.1:4321:to=198.51.100.2:25", relay.endpoint);
        let accepting = async { far.accept().await.unwrap().identify().await.unwrap() };
        let (_client, incoming) = join(dial(&near), accepting).await;
        let addresses = incoming.addresses().clone();
        assert_eq!(addresses.peer.unwrap().to_string(), "tcp 192.0.2.1:4321");
        assert_eq!(addresses.local.unwrap().to_string(), "tcp 198.51.100.2:25");
    });
    relay.hears(&["#1 from tcp 192.0.2.1:4321: "]);
}
