//! The server and the client of FTP.

use std::fs;
use std::process::{Command, Output};

use futures::io::AsyncReadExt;
use onionskin::Connection;
use onionskin::connection::{PeerAnswer, Stop};
use onionskin::runtime::Socket;
use onionskin::starttls::Ftp;
use onionskin::starttls::ftp::{self, ErrorKind, Passive};
use onionskin::tls::{Roots, TlsClient};

use crate::process::{Directory, Example, block_on, program};

/// A server with some files, and beside them one that is nobody's business.
struct Site {
    directory: Directory,
    server: Example,
    file: Vec<u8>,
}

impl Site {
    fn new() -> Self {
        let directory = Directory::new();
        let (root, trust) = (directory.path("root"), directory.path("ca.pem"));
        let file: Vec<u8> = (0..300_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        fs::create_dir_all(directory.path("root/inner")).unwrap();
        fs::write(directory.path("root/file"), &file).unwrap();
        fs::write(directory.path("root/inner/note"), "hello").unwrap();
        fs::write(directory.path("secret"), "secret").unwrap();
        #[cfg(unix)]
        for (link, to) in [("root/way-out", "../secret"), ("root/shortcut", "inner/note")] {
            std::os::unix::fs::symlink(to, directory.path(link)).unwrap();
        }
        let server = Example::start("ftp_server", ["tcp:127.0.0.1:0", &root, &trust]);
        Self { directory, server, file }
    }

    fn trust(&self) -> String {
        self.directory.path("ca.pem")
    }

    /// The other example.
    fn get(&self, path: &str, options: &[&str]) -> Output {
        let mut command = Command::new(program("ftp_get"));
        command.args([&self.server.endpoint, path, "--ca", &self.trust(), "--name", "localhost"]).args(options);
        command.output().unwrap()
    }

    /// A client that is logged in, and what data connections need.
    async fn client(&self) -> (Connection<Socket>, TlsClient) {
        let tls = TlsClient::new(Roots::from_pem_file(self.trust()).unwrap()).unwrap();
        let mut conn = self.server.connect().await;
        conn.start_tls_as(Ftp::new(), tls.to("localhost").unwrap()).await.unwrap();
        each(&mut conn, &[("FEAT", 211), ("PWD", 530), ("USER root", 530), ("USER anonymous", 331), ("PASS a@", 230)])
            .await;
        (conn, tls)
    }
}

async fn each(conn: &mut Connection<Socket>, script: &[(&str, u16)]) {
    for &(line, code) in script {
        let reply = ftp::command(conn, line).await.unwrap();
        assert_eq!(reply.code(), code, "{line}: {reply:?}");
    }
}

/// Does a transfer over a data connection of this kind, and gives what came.
async fn transfer(conn: &mut Connection<Socket>, passive: &str, line: &str, tls: Option<&TlsClient>) -> Vec<u8> {
    let reply = ftp::command(conn, passive).await.unwrap();
    let server = conn.get_ref().peer_address().as_tcp().unwrap();
    let address = Passive::of(&reply).unwrap().beside(server);
    let mut data = onionskin::connect(&format!("tcp:{address}")).await.unwrap();
    each(conn, &[(line, 150)]).await;
    if let Some(tls) = tls {
        data.start_tls(tls.to("localhost").unwrap()).await.unwrap();
    }
    let mut received = Vec::new();
    data.read_to_end(&mut received).await.unwrap();
    drop(data);
    let reply = ftp::read_reply(conn).await.unwrap();
    assert_eq!(reply.code(), 226, "{}", reply.text().escape_ascii());
    received
}

#[test]
fn the_client_gets_from_the_server_with_and_without_ccc() {
    let site = Site::new();
    for options in [&[][..], &["--ccc"]] {
        let output = site.get("file", options);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout == site.file);
    }
    assert_eq!(site.get("inner/note", &[]).stdout, b"hello");
}

#[test]
fn there_is_no_way_out_of_the_directory() {
    let site = Site::new();
    for path in ["../secret", "/../secret", "inner/../../secret", "way-out", "inner", "nothing"] {
        let output = site.get(path, &[]);
        assert!(!output.status.success() && output.stdout.is_empty(), "{path}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(" 550 "), "{path}");
    }
    if cfg!(unix) {
        assert_eq!(site.get("shortcut", &[]).stdout, b"hello");
    }
}

#[test]
fn data_is_in_clear_or_under_tls_as_the_client_asks() {
    let site = Site::new();
    block_on(async {
        let (mut conn, tls) = site.client().await;
        each(&mut conn, &[("RETR file", 425), ("PROT P", 503)]).await;
        assert!(transfer(&mut conn, "PASV", "RETR file", None).await == site.file);
        ftp::protect(&mut conn).await.unwrap();
        assert!(transfer(&mut conn, "EPSV", "RETR file", Some(&tls)).await == site.file);
        each(&mut conn, &[("SIZE file", 213), ("REST 299998", 350)]).await;
        assert_eq!(transfer(&mut conn, "EPSV", "RETR file", Some(&tls)).await, site.file[299_998..]);
        each(&mut conn, &[("CWD inner", 250)]).await;
        assert_eq!(transfer(&mut conn, "EPSV", "NLST -a", Some(&tls)).await, b"note\r\n");
        each(&mut conn, &[("CDUP", 250), ("CDUP", 250), ("CWD way-out", 550), ("STOR file", 550)]).await;
        let listing = transfer(&mut conn, "PASV", "LIST", Some(&tls)).await;
        let listing = String::from_utf8(listing).unwrap();
        assert!(listing.contains("300000") && listing.contains(" inner\r\n") && !listing.contains("way-out"));
    });
}

#[test]
fn tls_on_the_control_connection_is_given_up_and_taken_up_again() {
    let site = Site::new();
    block_on(async {
        let (mut conn, tls) = site.client().await;
        for _ in 0..5 {
            ftp::protect(&mut conn).await.unwrap();
            let stopped = ftp::clear_control(&mut conn, Stop::new()).await.unwrap();
            assert_eq!((stopped.answer, stopped.late), (PeerAnswer::CloseNotify, Vec::new()));
            let in_clear = ftp::protect(&mut conn).await.unwrap_err();
            assert!(matches!(in_clear.kind(), ErrorKind::InClear), "{in_clear}");
            each(&mut conn, &[("PROT C", 533), ("PWD", 257)]).await;
            assert!(transfer(&mut conn, "EPSV", "RETR file", Some(&tls)).await == site.file, "data keeps its TLS");
            conn.start_tls_as(Ftp::new().greeted(), tls.to("localhost").unwrap()).await.unwrap();
        }
    });
}

#[test]
fn a_command_behind_ccc_is_answered_in_clear() {
    let site = Site::new();
    block_on(async {
        let (mut conn, _) = site.client().await;
        conn.send_all(b"CCC\r\nPWD\r\nNOOP\r\n").await.unwrap();
        assert_eq!(ftp::read_reply(&mut conn).await.unwrap().code(), 200);
        assert_eq!(conn.stop_tls().await.unwrap().late, b"");
        assert_eq!(ftp::read_reply(&mut conn).await.unwrap().code(), 257);
        assert_eq!(ftp::read_reply(&mut conn).await.unwrap().code(), 200);
    });
}

#[test]
fn the_server_connects_to_its_client_and_to_nobody_else() {
    let site = Site::new();
    block_on(async {
        let (mut conn, _) = site.client().await;
        each(&mut conn, &[("PORT 192,0,2,1,156,64", 504), ("EPRT |1|127.0.0.1|25|", 504), ("PORT 1,2,3", 501)]).await;
        each(&mut conn, &[("EPRT |2|::1|40000|", 504), ("RETR file", 425)]).await;
        let listener = onionskin::listen("tcp:127.0.0.1:0").await.unwrap();
        let port = listener.local_address().as_tcp().unwrap().port();
        each(&mut conn, &[(&format!("EPRT |1|127.0.0.1|{port}|"), 200), ("RETR inner/note", 150)]).await;
        let mut data = listener.accept().await.unwrap().ready().await.unwrap();
        let mut received = Vec::new();
        data.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"hello");
    });
}
