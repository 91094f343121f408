//! Who asks for a tunnel: as little as each language needs, over a blocking socket. HTTP/2 has a file of its own.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::Result;

/// The language in which a proxy is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    Socks5,
    Http1,
    Http2,
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Socks5 => "SOCKS5",
            Self::Http1 => "CONNECT of HTTP/1.1",
            Self::Http2 => "CONNECT of HTTP/2",
        })
    }
}

/// A tunnel to `target`, in one of the languages where the connection becomes it.
pub(crate) fn open(language: Language, proxy: SocketAddr, target: SocketAddr) -> Result<TcpStream> {
    let mut socket = TcpStream::connect(proxy)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    match language {
        Language::Socks5 => socks5(&mut socket, target)?,
        Language::Http1 => connect(&mut socket, target)?,
        Language::Http2 => return Err("a tunnel of HTTP/2 is no socket".into()),
    }
    Ok(socket)
}

fn socks5(socket: &mut TcpStream, target: SocketAddr) -> Result<()> {
    let SocketAddr::V4(target) = target else { return Err("the target is at 127.0.0.1".into()) };
    socket.write_all(&[5, 1, 0])?;
    let mut method = [0; 2];
    socket.read_exact(&mut method)?;
    let mut request = vec![5, 1, 0, 1];
    request.extend(target.ip().octets());
    request.extend(target.port().to_be_bytes());
    socket.write_all(&request)?;
    let mut reply = [0; 10];
    socket.read_exact(&mut reply)?;
    match (method, &reply[..4]) {
        ([5, 0], [5, 0, 0, 1]) => Ok(()),
        _ => Err(format!("it answers {method:?}, {reply:?}").into()),
    }
}

/// The target says nothing before it is spoken to, so nothing stands behind the head.
fn connect(socket: &mut TcpStream, target: SocketAddr) -> Result<()> {
    socket.write_all(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n").as_bytes())?;
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !head.ends_with(b"\r\n\r\n") {
        match socket.read(&mut piece)? {
            0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            count => head.extend_from_slice(&piece[..count]),
        }
    }
    match head.get(9..12) {
        Some(b"200") => Ok(()),
        _ => Err(format!("it answers {:?}", String::from_utf8_lossy(&head)).into()),
    }
}

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
