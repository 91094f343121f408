//! The chat.

use futures::io::AsyncReadExt;
use onionskin::Connection;
use onionskin::runtime::Socket;
use onionskin::tls::TlsClient;

use crate::process::{Example, block_on, hear};

#[test]
fn clients_at_depths_zero_one_and_three_hear_each_other() {
    let (example, tls) = Example::self_signed("chat");
    block_on(async {
        let mut guests = Vec::new();
        for (nick, depth) in [("ann", 0), ("bob", 1), ("cem", 3)] {
            let mut guest = enter(&example, nick).await;
            for depth in 1..=depth {
                start(&mut guest, &tls, depth, nick).await;
            }
            guests.push(guest);
        }
        let [ann, bob, cem] = guests.try_into().unwrap();
        let mut guests = [ann, bob, cem];
        for (number, said) in [(0, "<ann/0> in clear"), (1, "<bob/1> in a skin"), (2, "<cem/3> in three")] {
            guests[number].write_line(said.split_once(' ').unwrap().1).await.unwrap();
            for guest in &mut guests {
                hear_until(guest, said).await;
            }
        }
        let [ann, _, cem] = &mut guests;
        ann.write_line("/who").await.unwrap();
        hear_until(ann, "* here are: ann/0 bob/1 cem/3").await;

        for depth in (0..3).rev() {
            cem.write_line("STOPTLS").await.unwrap();
            hear_until(cem, &format!("OK STOPTLS {depth}")).await;
            cem.stop_tls().await.unwrap();
            hear_until(ann, &format!("* cem is now at depth {depth}")).await;
        }
        cem.write_line("QUIT").await.unwrap();
        hear_until(cem, "BYE").await;
        hear_until(ann, "* cem has gone").await;
    });
}

#[test]
fn what_is_said_during_a_handshake_comes_through_it() {
    let (example, tls) = Example::self_signed("chat");
    block_on(async {
        let (mut ann, mut bob) = (enter(&example, "ann").await, enter(&example, "bob").await);
        bob.write_line("STARTTLS").await.unwrap();
        hear_until(&mut bob, "OK STARTTLS 1").await;
        ann.write_line("before the handshake").await.unwrap();
        hear_until(&mut ann, "<ann/0> before the handshake").await;
        bob.start_tls(tls.to("localhost").unwrap()).await.unwrap();
        hear_until(&mut bob, "<ann/0> before the handshake").await;
    });
}

#[test]
fn a_client_that_does_not_read_is_dropped_and_the_others_are_not() {
    let (example, _) = Example::self_signed("chat");
    block_on(async {
        let mut ann = enter(&example, "ann").await;
        let deaf = enter(&example, "deaf").await;
        let long = "x".repeat(900);
        let said = format!("<ann/0> {long}");
        // The kernel holds some megabytes for the one who does not read.
        for _ in 0..100_000 {
            ann.write_line(&long).await.unwrap();
            loop {
                match hear(&mut ann).await {
                    line if line == said => break,
                    line if line == "* deaf has gone" => return drop(deaf),
                    _ => {}
                }
            }
        }
        panic!("90 MB were kept for a client that does not read");
    });
}

#[test]
fn nick_names_are_checked() {
    let (example, _) = Example::self_signed("chat");
    block_on(async {
        let mut ann = enter(&example, "ann").await;
        let mut bob = enter(&example, "bob").await;
        bob.write_line("/nick ann").await.unwrap();
        hear_until(&mut bob, "* that nick name is taken").await;
        bob.write_line("/nick <ann/0>").await.unwrap();
        hear_until(&mut bob, "* a nick name has up to 20 letters and digits").await;
        bob.write_line("/nick rob").await.unwrap();
        hear_until(&mut ann, "* bob is now rob").await;
    });
}

#[test]
fn a_line_without_an_end_closes_the_connection() {
    let (example, _) = Example::self_signed("chat");
    block_on(async {
        let (mut ann, mut bob) = (enter(&example, "ann").await, enter(&example, "bob").await);
        bob.write_line("y".repeat(1000)).await.unwrap();
        hear_until(&mut ann, &format!("<bob/0> {}", "y".repeat(1000))).await;
        bob.write_line("y".repeat(1001)).await.unwrap();
        bob.read_to_end(&mut Vec::new()).await.unwrap();
        drop(bob); // who is waited for otherwise
        hear_until(&mut ann, "* bob has gone").await;
    });
}

async fn enter(example: &Example, nick: &str) -> Connection<Socket> {
    let mut conn = example.connect().await;
    assert_eq!(hear(&mut conn).await, "* welcome");
    conn.write_line(format!("/nick {nick}")).await.unwrap();
    while !hear(&mut conn).await.ends_with(&format!("is now {nick}")) {}
    conn
}

async fn start(conn: &mut Connection<Socket>, tls: &TlsClient, depth: usize, nick: &str) {
    conn.write_line("STARTTLS").await.unwrap();
    hear_until(conn, &format!("OK STARTTLS {depth}")).await;
    conn.start_tls(tls.to("localhost").unwrap()).await.unwrap();
    hear_until(conn, &format!("* {nick} is now at depth {depth}")).await;
}

async fn hear_until(conn: &mut Connection<Socket>, wanted: &str) {
    while hear(conn).await != wanted {}
}
