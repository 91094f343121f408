//! CONNECT of HTTP/1.1 (RFC 9110, section 9.3.6; RFC 9112), client and server.
