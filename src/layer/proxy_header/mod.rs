//! The PROXY protocol, versions 1 and 2: what a proxy says of the connection it passes on, before the first byte of
//! that.
//!
//! The [specification](https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt) is HAProxy's. The header stands at
//! the very front of a stream, once, from the side that opened the connection. [`SendProxyHeader`] writes it and is gone;
//! [`AcceptProxyHeader`] takes exactly its bytes, and not one more, and is gone. So a ClientHello may stand in the same
//! segment, and a header may also stand inside TLS, or anywhere else in the list.
//!
//! **Accept it only from a proxy that you know.** Whoever may send a header may claim any address. Nothing in the
//! protocol proves it; that is a matter of who can connect to the port.
//!
//! ```
//! use onionskin::layer::proxy_header::{AcceptProxyHeader, ProxyHeader, SendProxyHeader};
//! use onionskin::testing::{Cut, Pair};
//!
//! let mut pair = Pair::new(Cut::Bytes);
//! let header = ProxyHeader::v1("192.0.2.7:40000".parse().unwrap(), "192.0.2.1:443".parse().unwrap());
//! pair.left.splice(SendProxyHeader::new(&header));
//! pair.left.write(b"hello");
//!
//! let accept = AcceptProxyHeader::new();
//! let received = accept.received();
//! pair.right.splice(accept);
//! pair.run();
//! assert_eq!(received.header().and_then(|header| header.source()), header.source());
//! assert_eq!(pair.right.read(), b"hello");
//! assert_eq!(pair.right.stack.depth(), 0);
//! ```

mod accept;
mod header;
mod parse;
mod send;
mod tlv;

pub use self::accept::{AcceptProxyHeader, Received};
pub use self::header::{Command, HeaderAddresses, HeaderVersion, ProxyHeader, SocketType};
pub use self::send::SendProxyHeader;
pub use self::tlv::{Tlv, TlvKind};
