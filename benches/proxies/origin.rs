//! The target of every tunnel: one thread for each connection, and three things that it does.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

/// What a client may want. It says so in the first nine bytes: this byte, and a number.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wish {
    /// So many bytes.
    Download,
    /// To be heard for so many bytes, and one back.
    Upload,
    /// One byte, and nothing more.
    Echo,
}

/// A listener on loopback, for as long as the process lives.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
}

impl Origin {
    pub(crate) fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                // A tunnel that breaks is told by its client.
                let served = thread::Builder::new().stack_size(64 * 1024).spawn(move || serve(socket));
                drop(served);
            }
        });
        Ok(Self { address })
    }
}

/// The nine bytes.
pub(crate) fn wish(wish: Wish, count: u64) -> [u8; 9] {
    let mut bytes = [0; 9];
    bytes[0] = wish as u8;
    bytes[1..].copy_from_slice(&count.to_be_bytes());
    bytes
}

fn serve(mut socket: TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut head = [0; 9];
    socket.read_exact(&mut head)?;
    let mut rest = u64::from_be_bytes(head[1..].try_into().map_err(io::Error::other)?);
    match head[0] {
        kind if kind == Wish::Download as u8 => {
            let bytes = vec![b'x'; PIECE];
            while rest > 0 {
                let count = rest.min(PIECE as u64);
                socket.write_all(&bytes[..count as usize])?;
                rest -= count;
            }
        }
        kind if kind == Wish::Upload as u8 => {
            let mut bytes = vec![0; PIECE];
            while rest > 0 {
                match socket.read(&mut bytes)? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    count => rest = rest.saturating_sub(count as u64),
                }
            }
            socket.write_all(b"u")?;
        }
        _ => socket.write_all(b"e")?,
    }
    // Until the client is gone.
    let _ = socket.read(&mut head);
    Ok(())
}

/// As much as is written and read at a time.
pub(crate) const PIECE: usize = 64 * 1024;
