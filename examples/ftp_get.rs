//! Gets one file over FTP, all of it protected by TLS, and writes it to standard output.
//!
//! ```text
//! cargo run --example ftp_get -- tcp:127.0.0.1:2121 README.md --ca /tmp/ca.pem --name localhost
//! cargo run --example ftp_get -- tcp:ftp.example:21 pub/file --user me:secret --ccc
//! ```
//!
//! | option | meaning |
//! |---|---|
//! | `--ca FILE` | whom to trust; the system's roots unless given |
//! | `--name NAME` | whom the certificate must name; the host of the endpoint unless given |
//! | `--user NAME:PASSWORD` | who to be; `anonymous` unless given |
//! | `--ccc` | gives up TLS on the control connection after the log-in, for firewalls that read it; the data stays protected |
//!
//! The data connection goes to the server of the control connection, whatever that says, and resumes its TLS session.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use futures::io::{AllowStdIo, AsyncWriteExt, copy};
use onionskin::Connection;
use onionskin::connection::Stop;
use onionskin::endpoint::{BaseTransport, Connector, Endpoint};
use onionskin::layer::IdleTimeout;
use onionskin::runtime::{self, Runtime, Socket};
use onionskin::starttls::Ftp;
use onionskin::starttls::ftp::{self, Passive, Reply};
use onionskin::tls::{Roots, TlsClient};

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = runtime::preferred().ok_or("built without a runtime")?;
    let wanted = Wanted::from_arguments(std::env::args().skip(1))?;
    runtime::block_on(runtime, get(runtime, &wanted))
}

/// What the command line asks for.
struct Wanted {
    server: Endpoint,
    path: String,
    name: String,
    tls: TlsClient,
    user: (String, String),
    clear_control: bool,
}

impl Wanted {
    fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let (mut positional, mut ca, mut name, mut clear_control) = (Vec::new(), None, None, false);
        let mut user = ("anonymous".to_owned(), "guest@".to_owned());
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--ca" => ca = Some(value()?),
                "--name" => name = Some(value()?),
                "--ccc" => clear_control = true,
                "--user" => {
                    let value = value()?;
                    let (name, password) = value.split_once(':').ok_or("a user is NAME:PASSWORD")?;
                    user = (name.to_owned(), password.to_owned());
                }
                _ => positional.push(argument),
            }
        }
        let [server, path] = &positional[..] else { return Err("needed: where the server is, and a path".into()) };
        let server: Endpoint = server.parse()?;
        let name = name.or(server.transport.host().cloned()).ok_or("a server at this endpoint needs a --name")?;
        let roots = ca.map_or_else(Roots::system, Roots::from_pem_file)?;
        Ok(Self { server, path: path.clone(), name, tls: TlsClient::new(roots)?, user, clear_control })
    }
}

async fn get(runtime: &'static dyn Runtime, wanted: &Wanted) -> Result<(), Box<dyn Error>> {
    let mut control = Connector::new(runtime, &wanted.server)?.connect().await?;
    let server = control.get_ref().peer_address().as_tcp().ok_or("FTP needs TCP")?;
    control.start_tls_as(Ftp::new(), wanted.tls.to(&wanted.name)?).await?;

    let (user, password) = &wanted.user;
    if ask(&mut control, &format!("USER {user}"), &[230, 331]).await?.code() == 331 {
        ask(&mut control, &format!("PASS {password}"), &[230, 202]).await?;
    }
    ftp::protect(&mut control).await?;
    ask(&mut control, "TYPE I", &[200]).await?;
    if wanted.clear_control {
        // Our close_notify leaves at once. Servers that answer with none of their own are not worth losing the file.
        ftp::clear_control(&mut control, Stop::new().lenient()).await?;
    }

    let mut data = open_data(runtime, &mut control, server).await?;
    ask(&mut control, &format!("RETR {}", wanted.path), &[125, 150]).await?;
    data.start_tls(wanted.tls.to(&wanted.name)?).await?;
    // The end counts only if the server's close_notify says so; else it is an error, and not a short file.
    copy(&mut data, &mut AllowStdIo::new(std::io::stdout())).await?;
    // Who has said goodbye may be gone before our own arrives, here and below.
    let _ = data.close().await;
    expect(ftp::read_reply(&mut control).await?, "RETR", &[226, 250])?;

    ask(&mut control, "QUIT", &[221]).await?;
    let _ = control.close().await;
    Ok(())
}

/// Connects where the server awaits us: by EPSV, or by PASV if it does not know that.
async fn open_data(
    runtime: &'static dyn Runtime,
    control: &mut Connection<Socket>,
    server: SocketAddr,
) -> Result<Connection<Socket>, Box<dyn Error>> {
    let mut reply = ftp::command(control, "EPSV").await?;
    if !reply.is_positive() {
        reply = ask(control, "PASV", &[227]).await?;
    }
    let address = Passive::of(&reply)?.beside(server);
    let endpoint = Endpoint::new(BaseTransport::tcp(address.ip().to_string(), address.port()));
    let mut data = Connector::new(runtime, &endpoint)?.connect().await?;
    data.open(IdleTimeout::new(PATIENCE)).await?;
    Ok(data)
}

async fn ask(control: &mut Connection<Socket>, command: &str, codes: &[u16]) -> Result<Reply, Box<dyn Error>> {
    let verb = command.split(' ').next().unwrap_or_default();
    expect(ftp::command(control, command).await?, verb, codes)
}

fn expect(reply: Reply, verb: &str, codes: &[u16]) -> Result<Reply, Box<dyn Error>> {
    if !codes.contains(&reply.code()) {
        let said = reply.lines().join(&b' ').escape_ascii().to_string();
        return Err(format!("the server says to {verb}: {said}").into());
    }
    Ok(reply)
}

/// How long a transfer may stand still.
const PATIENCE: Duration = Duration::from_secs(60);
