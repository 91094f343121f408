//! The sink for mail.

use std::process::Command;

use onionskin::Connection;
use onionskin::runtime::Socket;
use onionskin::starttls::Smtp;
use onionskin::tls::TlsClient;

use crate::process::{Directory, Example, ask, block_on, hear};

/// A client that has said EHLO inside TLS.
async fn greeted(example: &Example, tls: &TlsClient) -> Connection<Socket> {
    let mut conn = example.connect().await;
    conn.start_tls_as(Smtp::new(), tls.to("localhost").unwrap()).await.unwrap();
    let mut line = ask(&mut conn, "EHLO a.example").await;
    while line.starts_with("250-") {
        line = hear(&mut conn).await;
    }
    assert!(line.starts_with("250 "), "{line}");
    conn
}

/// Says each thing, of one line or many, and hears each answer, by its code.
async fn each(conn: &mut Connection<Socket>, script: &[(&str, &str)]) {
    for (line, code) in script {
        conn.send_all(format!("{line}\r\n").as_bytes()).await.unwrap();
        let answer = hear(conn).await;
        assert!(answer.starts_with(code), "{line}: {answer}");
    }
}

/// What the sink prints of a message, behind the line that says where it comes from.
fn printed(example: &mut Example) -> Vec<String> {
    assert!(example.line().starts_with("from tcp 127.0.0.1:"));
    let mut lines = Vec::new();
    while lines.last().is_none_or(|line| line != ".") {
        lines.push(example.line());
    }
    lines
}

#[test]
fn a_message_is_printed_as_it_was_meant() {
    let (mut example, tls) = Example::self_signed("smtp_sink");
    block_on(async {
        let mut conn = greeted(&example, &tls).await;
        each(
            &mut conn,
            &[
                ("RCPT TO:<b@b.example>", "503"),
                ("MAIL FROM:<a@a.example> SIZE=100", "250"),
                ("DATA", "503"),
                ("RCPT TO:<b@b.example\nRCPT TO:<forged@b.example>", "500"),
                ("RCPT TO:<b@b.example>", "250"),
                ("rcpt to:<c@c.example>", "250"),
                ("DATA", "354"),
                ("Subject: dots\r\n\r\n..\r\n...two\r\nQUIT\r\n\x1b[31mred\r\n.", "250"),
                ("STARTTLS", "503"),
                ("QUIT", "221"),
            ],
        )
        .await;
        assert_eq!(conn.read_line().await.unwrap(), None);
    });
    let message = printed(&mut example);
    let envelope = ["MAIL FROM:<a@a.example>", "RCPT TO:<b@b.example>", "RCPT TO:<c@c.example>", ""];
    let content = ["Subject: dots", "", ".", "..two", "QUIT", "[31mred", "."];
    // The first dot alone is the message's.
    assert_eq!(message[..7], [&envelope[..], &content[..3]].concat());
    let rest: Vec<_> = (0..4).map(|_| example.line()).collect();
    assert_eq!(rest, content[3..]);
}

#[test]
fn nothing_is_taken_in_clear() {
    let (example, tls) = Example::self_signed("smtp_sink");
    block_on(async {
        let mut conn = example.connect().await;
        assert!(hear(&mut conn).await.starts_with("220 "));
        each(&mut conn, &[("MAIL FROM:<a@a.example>", "530"), ("STARTTLS", "220")]).await;
        conn.start_tls(tls.to("localhost").unwrap()).await.unwrap();
        each(&mut conn, &[("MAIL FROM:<a@a.example>", "503"), ("HELO a.example", "250")]).await;
        each(&mut conn, &[("MAIL FROM:<a@a.example>", "250")]).await;
    });
}

#[test]
fn what_is_too_much_is_refused_and_the_next_message_taken() {
    let (mut example, tls) = Example::self_signed("smtp_sink");
    block_on(async {
        let mut conn = greeted(&example, &tls).await;
        each(&mut conn, &[("MAIL FROM:<a@a.example> SIZE=1048577", "552")]).await;
        let start = [("MAIL FROM:<>", "250"), ("RCPT TO:<b@b.example>", "250"), ("DATA", "354")];
        each(&mut conn, &start).await;
        let line = format!("{}\r\n", "x".repeat(998));
        conn.send_all(line.repeat(1100).as_bytes()).await.unwrap();
        each(&mut conn, &[(".", "552")]).await;
        each(&mut conn, &start).await;
        conn.send_all("x".repeat(5000).as_bytes()).await.unwrap();
        each(&mut conn, &[("\r\n.", "552")]).await;
        each(&mut conn, &start).await;
        // A message inside of a message: the end of the first one has no CR, so it is none.
        conn.send_all(b"first\n.\nMAIL FROM:<forged@b.example>\r\n.\r\n").await.unwrap();
        assert!(hear(&mut conn).await.starts_with("250 "));
        each(&mut conn, &[("QUIT", "221")]).await;
    });
    assert_eq!(printed(&mut example), ["MAIL FROM:<>", "RCPT TO:<b@b.example>", "", "first", "."]);
    assert_eq!(example.line(), "MAIL FROM:<forged@b.example>");
}

#[test]
fn pythons_smtplib_can_send() {
    let directory = Directory::new();
    let trust = directory.path("ca.pem");
    let mut example = Example::start("smtp_sink", ["tcp:127.0.0.1:0", &trust]);
    let port = example.endpoint.rsplit(':').next().unwrap().to_owned();
    let script = "import smtplib, ssl, sys
client = smtplib.SMTP('localhost', int(sys.argv[1]), timeout=30)
client.starttls(context=ssl.create_default_context(cafile=sys.argv[2]))
client.sendmail('a@a.example', ['b@b.example'], 'Subject: hello\\n\\n.from Python\\n')
client.quit()";
    let client = Command::new("python3").args(["-c", script, &port, &trust]).output();
    let output = match client {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && std::env::var_os("CI").is_none() => {
            return eprintln!("skipped: pythons_smtplib_can_send needs python3");
        }
        client => client.unwrap(),
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let expected = ["MAIL FROM:<a@a.example>", "RCPT TO:<b@b.example>", "", "Subject: hello", "", ".from Python", "."];
    assert_eq!(printed(&mut example), expected);
}
