//! From the names of certificates to a client or a server of TLS.

use std::fmt::Display;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use super::{ClientCertificate, Material, Policy, Tls};
use crate::tls::{Identity, Names, RevocationLists, Roots, TlsClient, TlsServer, TlsServerBuilder, Verify, Version};

/// What a key of a stream says cannot be done: the key, and why.
pub(super) type Fault = (&'static str, String);

/// A client that trusts whom the stream says it trusts, and offers `alpn`.
pub(super) fn client(policy: &Policy, tls: &Tls, alpn: &[String]) -> Result<TlsClient, Fault> {
    let (key, roots) = match &tls.trust_store {
        Some(store) => ("tls_trust_store", trusted(policy, store)),
        None => ("tls", system()),
    };
    let mut roots = roots.map_err(|why| (key, why))?;
    if let Some(lists) = revoked(policy, &tls.revocation_lists)? {
        roots = roots.revocation(lists);
    }
    let mut verify = Verify::chain(roots);
    if let Some(name) = &tls.server_name {
        verify = verify.names(Names::any_of([name.clone()]));
    }
    if !tls.pins.is_empty() {
        verify = verify.pinned(tls.pins.iter().copied());
    }
    let mut builder = TlsClient::builder(verify).alpn(alpn).versions(&versions(tls)?);
    if !tls.groups.is_empty() {
        builder = builder.groups(tls.groups.iter().copied());
    }
    if let Some(time) = tls.handshake_timeout {
        builder = builder.handshake_timeout(Some(time));
    }
    if let Some(name) = &tls.client_certificate {
        let known = policy.client_certificates.get(name);
        let known = known.ok_or_else(|| {
            ("client_cert", format!("no client certificate is called {name:?}: the program has to bring it"))
        })?;
        builder = builder.identity(identity(policy, known).map_err(|why| ("client_cert", why))?);
    }
    builder.build().map_err(|error| ("tls", error.to_string()))
}

/// A server that shows what the stream says.
pub(super) fn server(policy: &Policy, tls: &Tls, alpn: &[String]) -> Result<TlsServer, Fault> {
    let own = |certificate: &[String], key: &str| ClientCertificate::new(certificate.iter().cloned(), key);
    let key = tls.server_key.as_deref().ok_or_else(|| ("server_key", "a server with TLS needs one".to_owned()))?;
    let main = own(&tls.server_certificate, key);
    let mut server = configured(policy, tls, alpn, identity(policy, &main).map_err(|why| ("server_cert", why))?)?
        .build()
        .map_err(|error| ("server_cert", error.to_string()))?;
    for other in &tls.server_names {
        let identity = identity(policy, &own(&other.certificate, &other.key)).map_err(|why| ("server_names", why))?;
        let built =
            configured(policy, tls, alpn, identity)?.build().map_err(|error| ("server_names", error.to_string()))?;
        server = server.serving(&other.name, built);
    }
    Ok(server)
}

fn configured(policy: &Policy, tls: &Tls, alpn: &[String], identity: Identity) -> Result<TlsServerBuilder, Fault> {
    let mut builder = TlsServer::builder(identity).alpn(alpn).versions(&versions(tls)?);
    if !tls.groups.is_empty() {
        builder = builder.groups(tls.groups.iter().copied());
    }
    if let Some(time) = tls.handshake_timeout {
        builder = builder.handshake_timeout(Some(time));
    }
    if let Some(store) = &tls.client_trust_store {
        let mut roots = trusted(policy, store).map_err(|why| ("client_ca", why))?;
        if let Some(lists) = revoked(policy, &tls.revocation_lists)? {
            roots = roots.revocation(lists);
        }
        builder = builder.require_client_certificates(roots);
    }
    Ok(builder)
}

/// A chain and its key, by their names.
fn identity(policy: &Policy, identity: &ClientCertificate) -> Result<Identity, String> {
    let chain: Vec<_> = identity.certificate.iter().map(|name| certificates(policy, name)).collect::<Result<_, _>>()?;
    let key = match material(policy, &identity.key)? {
        Bytes::Der(der) => {
            PrivateKeyDer::try_from(der).map_err(|_| named(&identity.key, "no private key that can be used"))?
        }
        Bytes::Pem(pem) => PrivateKeyDer::from_pem_slice(&pem).map_err(|error| named(&identity.key, error))?,
    };
    Ok(Identity::new(chain.concat(), key))
}

fn trusted(policy: &Policy, name: &str) -> Result<Roots, String> {
    let store = policy.trust_stores.get(name).ok_or_else(|| format!("no trust store is called {name:?}"))?;
    let certificates: Vec<_> =
        store.certificates.iter().map(|name| certificates(policy, name)).collect::<Result<_, _>>()?;
    let own = Roots::from_certificates(certificates.concat()).map_err(|error| named(name, error));
    match (store.certificates.is_empty(), store.system) {
        (true, true) => system(),
        (true, false) => Err(named(name, "a trust store without certificates trusts nobody")),
        (false, true) => Ok(own?.and(system()?)),
        (false, false) => own,
    }
}

fn revoked(policy: &Policy, names: &[String]) -> Result<Option<RevocationLists>, Fault> {
    let list = |name: &String| {
        let lists = match material(policy, name)? {
            Bytes::Der(der) => RevocationLists::from_der([CertificateRevocationListDer::from(der)]),
            Bytes::Pem(pem) => RevocationLists::from_pem(&pem),
        };
        lists.map_err(|error| named(name, error))
    };
    let lists = names.iter().map(list).reduce(|these, those| Ok(these?.and(&those?)));
    lists.transpose().map_err(|why: String| ("crl", why))
}

fn certificates(policy: &Policy, name: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = match material(policy, name)? {
        Bytes::Der(der) => vec![CertificateDer::from(der)],
        Bytes::Pem(pem) => {
            CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|error| named(name, error))?
        }
    };
    if found.is_empty() { Err(named(name, "there is no certificate in it")) } else { Ok(found) }
}

enum Bytes {
    Der(Vec<u8>),
    Pem(Vec<u8>),
}

fn material(policy: &Policy, name: &str) -> Result<Bytes, String> {
    let material = policy.certificates.get(name).ok_or_else(|| format!("no certificate is called {name:?}"))?;
    Ok(match material {
        Material::Der(der) => Bytes::Der(der.clone()),
        Material::Pem(text) => Bytes::Pem(text.clone().into_bytes()),
        Material::File(path) => {
            let bytes = std::fs::read(path)
                .map_err(|error| named(name, format_args!("cannot read {}: {error}", path.display())))?;
            // DER begins with a sequence (X.680), which is `0` in a text.
            let is_pem = memchr::memmem::find(&bytes, b"-----BEGIN ").is_some();
            if bytes.first() == Some(&0x30) && !is_pem { Bytes::Der(bytes) } else { Bytes::Pem(bytes) }
        }
    })
}

fn versions(tls: &Tls) -> Result<Vec<Version>, Fault> {
    let least = tls.min_version.unwrap_or(Version::Tls12);
    let most = tls.max_version.unwrap_or(Version::Tls13);
    let all = [Version::Tls12, Version::Tls13].into_iter().filter(|version| (least..=most).contains(version));
    let all: Vec<_> = all.collect();
    if all.is_empty() { Err(("min_version", "`min_version` is above `max_version`".to_owned())) } else { Ok(all) }
}

fn named(name: &str, why: impl Display) -> String {
    format!("{name:?}: {why}")
}

#[cfg(feature = "system-roots")]
fn system() -> Result<Roots, String> {
    Roots::system().map_err(|error| error.to_string())
}

#[cfg(not(feature = "system-roots"))]
fn system() -> Result<Roots, String> {
    Err("whom the system trusts needs the feature `system-roots`, which was not built in: name a trust store"
        .to_owned())
}
