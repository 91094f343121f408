//! HTTP/2 as a connection of many tunnels (RFC 9113, section 8.5), client and server.
