//! SOCKS5 (RFC 1928, RFC 1929) and SOCKS4a, client and server.
