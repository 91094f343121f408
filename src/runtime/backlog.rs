//! How much of what was written to a TCP socket its peer has not yet taken.
//!
//! Linux takes megabytes at once from whoever writes, so a peer that reads slowly looks like one that does not read at all:
//! minutes may pass before there is room for more. What is left in the system's queue shows the difference. The call that
//! asks for it takes a pointer, which is not for code without `unsafe`; but the kernel also answers questions about sockets
//! by a protocol (sock_diag(7)), one small message each way. It is asked only when a time limit is over.

use std::net::{IpAddr, SocketAddr};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, netlink, recv, send, socket};

/// How many bytes the peer has not acknowledged, those that were never sent among them. `None` if the system does not tell:
/// some containers and hardened services may not ask.
pub(super) fn of(local: SocketAddr, peer: SocketAddr) -> Option<usize> {
    let asking = socket(AddressFamily::NETLINK, SocketType::DGRAM, Some(netlink::SOCK_DIAG)).ok()?;
    send(&asking, &question(local, peer)?, SendFlags::empty()).ok()?;
    let mut answer = [0; 1024];
    // The answer is there when the question has been sent.
    let (_, length) = recv(&asking, &mut answer[..], RecvFlags::DONTWAIT).ok()?;
    write_queue(&answer[..length.min(answer.len())])
}

/// A `nlmsghdr`, and behind it an `inet_diag_req_v2` for the one socket with these addresses.
fn question(local: SocketAddr, peer: SocketAddr) -> Option<Vec<u8>> {
    let mut question = Vec::with_capacity(QUESTION);
    question.extend_from_slice(&u32::try_from(QUESTION).ok()?.to_ne_bytes());
    question.extend_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    question.extend_from_slice(&NLM_F_REQUEST.to_ne_bytes());
    // A sequence number and a port, neither of which matters.
    question.extend_from_slice(&[0; 8]);

    let (local_ip, peer_ip) = (local.ip().to_canonical(), peer.ip().to_canonical());
    let family = if local_ip.is_ipv4() { AF_INET } else { AF_INET6 };
    question.extend_from_slice(&[family, IPPROTO_TCP, 0, 0]);
    question.extend_from_slice(&ANY_STATE.to_ne_bytes());
    question.extend_from_slice(&local.port().to_be_bytes());
    question.extend_from_slice(&peer.port().to_be_bytes());
    question.extend_from_slice(&padded(local_ip));
    question.extend_from_slice(&padded(peer_ip));
    let interface = match peer {
        SocketAddr::V6(peer) => peer.scope_id(),
        SocketAddr::V4(_) => 0,
    };
    question.extend_from_slice(&interface.to_ne_bytes());
    question.extend_from_slice(&ANY_COOKIE);
    Some(question)
}

/// Reads an `inet_diag_msg` behind its header.
fn write_queue(answer: &[u8]) -> Option<usize> {
    let kind = answer.get(4..6)?.try_into().ok().map(u16::from_ne_bytes)?;
    let queue = answer.get(WRITE_QUEUE..WRITE_QUEUE + 4)?.try_into().ok().map(u32::from_ne_bytes)?;
    (kind == SOCK_DIAG_BY_FAMILY).then_some(usize::try_from(queue).ok()?)
}

fn padded(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V6(address) => address.octets(),
        IpAddr::V4(address) => {
            let mut padded = [0; 16];
            padded[..4].copy_from_slice(&address.octets());
            padded
        }
    }
}

/// A header of 16 bytes, and 56.
const QUESTION: usize = 72;

/// Where `idiag_wqueue` stands: behind the header, four bytes, the identity of the socket (48), and two numbers.
const WRITE_QUEUE: usize = 16 + 4 + 48 + 8;

const SOCK_DIAG_BY_FAMILY: u16 = 20;

const NLM_F_REQUEST: u16 = 1;

const AF_INET: u8 = 2;

const AF_INET6: u8 = 10;

const IPPROTO_TCP: u8 = 6;

const ANY_STATE: u32 = u32::MAX;

const ANY_COOKIE: [u8; 8] = [0xff; 8];

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn what_a_peer_has_not_taken_is_told() {
        for at in ["127.0.0.1:0", "[::1]:0", "[::]:0"] {
            let Ok(listener) = TcpListener::bind(at) else { continue };
            let port = listener.local_addr().unwrap().port();
            let to = if at == "[::1]:0" { "::1" } else { "127.0.0.1" };
            let mut writer = TcpStream::connect((to, port)).unwrap();
            let (mut reader, _) = listener.accept().unwrap();
            let ask = |socket: &TcpStream| of(socket.local_addr().unwrap(), socket.peer_addr().unwrap());
            let Some(nothing) = ask(&writer) else {
                eprintln!("skipped: this system does not tell what is in the queue of a socket");
                return;
            };
            assert_eq!((nothing, ask(&reader)), (0, Some(0)), "{at}");

            writer.set_nonblocking(true).unwrap();
            let mut written = 0;
            while let Ok(count) = writer.write(&[7; 64 * 1024]) {
                written += count;
            }
            let full = ask(&writer).unwrap();
            assert!(full > 0 && full <= written, "{at}: {full} of {written}");
            assert_eq!(ask(&reader), Some(0), "{at}: the other side has written nothing");
            let mut space = vec![0; written];
            reader.read_exact(&mut space).unwrap();
            writer.shutdown(std::net::Shutdown::Write).unwrap();
            assert_eq!(reader.read(&mut space).unwrap(), 0);
            // The acknowledgement of the last bytes comes by itself.
            while ask(&writer).is_some_and(|left| left > 1) {
                std::thread::yield_now();
            }
        }
    }

    #[test]
    fn a_socket_that_is_not_there_and_an_answer_that_is_none_tell_nothing() {
        let nobody: SocketAddr = "127.0.0.1:1".parse().unwrap();
        assert_eq!(of(nobody, nobody), None);
        assert_eq!(write_queue(&[]), None);
        assert_eq!(write_queue(&[0; 200]), None);
    }
}
