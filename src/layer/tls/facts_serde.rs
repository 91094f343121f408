//! The facts of a layer for programs: what `serde` writes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Serialize, Serializer};

use super::facts::{TlsFacts, Traffic};
use crate::printable::Printable;

/// Names of versions, suites and groups are those of rustls, times are milliseconds, certificates are DER in base64.
#[derive(Serialize)]
struct Told<'a> {
    layer: String,
    role: String,
    version: Option<&'static str>,
    cipher_suite: Option<String>,
    key_exchange_group: Option<String>,
    alpn: Option<String>,
    server_name: Option<&'a str>,
    resumed: bool,
    handshake_ms: Option<f64>,
    leaf_sha256: Option<String>,
    #[cfg(feature = "x509")]
    leaf: Option<Leaf>,
    chain: Vec<String>,
    traffic: ToldTraffic,
}

#[cfg(feature = "x509")]
#[derive(Serialize)]
struct Leaf {
    subject: String,
    issuer: String,
    serial: String,
    names: Vec<String>,
    not_before: i64,
    not_after: i64,
}

#[derive(Serialize)]
struct ToldTraffic {
    bytes_in: u64,
    bytes_out: u64,
    records_in: u64,
    records_out: u64,
    wire_bytes_in: u64,
    wire_bytes_out: u64,
}

impl Serialize for TlsFacts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Told {
            layer: self.layer.to_string(),
            role: self.role.to_string(),
            version: self.version.map(|_| self.version_name()),
            cipher_suite: self.cipher_suite.map(|suite| format!("{suite:?}")),
            key_exchange_group: self.key_exchange_group.map(|group| format!("{group:?}")),
            alpn: self.alpn.as_ref().map(|alpn| Printable::new(alpn).to_string()),
            server_name: self.server_name.as_deref(),
            resumed: self.resumed,
            handshake_ms: self.handshake_time.map(|took| took.as_secs_f64() * 1000.0),
            leaf_sha256: self.leaf_sha256().map(|digest| digest.iter().map(|byte| format!("{byte:02x}")).collect()),
            #[cfg(feature = "x509")]
            leaf: self.peer_certificates.first().and_then(super::CertificateFacts::read).map(|leaf| Leaf {
                subject: leaf.subject,
                issuer: leaf.issuer,
                serial: leaf.serial,
                names: leaf.names,
                not_before: leaf.not_before,
                not_after: leaf.not_after,
            }),
            chain: self.peer_certificates.iter().map(|der| STANDARD.encode(der)).collect(),
            traffic: ToldTraffic::from(self.traffic),
        }
        .serialize(serializer)
    }
}

impl From<Traffic> for ToldTraffic {
    fn from(traffic: Traffic) -> Self {
        let Traffic { bytes_in, bytes_out, records_in, records_out, wire_bytes_in, wire_bytes_out } = traffic;
        Self { bytes_in, bytes_out, records_in, records_out, wire_bytes_in, wire_bytes_out }
    }
}
