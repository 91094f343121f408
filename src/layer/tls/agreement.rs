//! What may be agreed on: groups of the key exchange and how many of them a client shares at once, cipher suites, versions.
//!
//! A client of TLS 1.3 sends the public key ("share") of a group before it knows which groups the server has. If the server wants
//! another one, that costs a round trip (HelloRetryRequest, RFC 8446 section 4.1.4). So the order is not only one of taste:
//!
//! ```text
//!   groups        X25519MLKEM768  X25519  secp256r1  secp384r1
//!                 ──────┬───────  ──┬───
//!   shares of two       1           2      the second is a part of the first, and costs 36 bytes and no computation
//!   shares of one       1
//! ```
//!
//! The hybrid of X25519 and ML-KEM comes first unless something else is said: who records a connection today reads it with no
//! quantum computer of later. Its share has 1,216 bytes, so that a ClientHello needs two segments. The order is ours and not
//! what rustls has by default: that depends on a feature which any crate of a program can switch on.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use rustls::crypto::{ActiveKeyExchange, CompletedKeyExchange, CryptoProvider, SharedSecret, SupportedKxGroup};
use rustls::ffdhe_groups::FfdheGroup;
use rustls::{CipherSuite, Error, NamedGroup, ProtocolVersion, SupportedCipherSuite, SupportedProtocolVersion};

use super::config_error::{ConfigError, ConfigErrorKind};

/// A group of the key exchange (RFC 8446 section 4.2.7), by the name that IANA's registry has for it.
///
/// ```
/// use onionskin::tls::Group;
///
/// assert_eq!("x25519".parse(), Ok(Group::X25519));
/// assert_eq!(Group::X25519_ML_KEM_768.to_string(), "X25519MLKEM768");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group(NamedGroup);

impl Group {
    /// `X25519MLKEM768`: the hybrid with ML-KEM of FIPS 203. Not with ring.
    pub const X25519_ML_KEM_768: Self = Self(NamedGroup::X25519MLKEM768);
    /// `secp256r1MLKEM768`: the same with P-256. Not with ring.
    pub const SECP256R1_ML_KEM_768: Self = Self(NamedGroup::secp256r1MLKEM768);
    /// `X25519`, RFC 7748.
    pub const X25519: Self = Self(NamedGroup::X25519);
    /// `secp256r1`: NIST's P-256.
    pub const SECP256R1: Self = Self(NamedGroup::secp256r1);
    /// `secp384r1`: NIST's P-384.
    pub const SECP384R1: Self = Self(NamedGroup::secp384r1);
    /// `MLKEM768`: ML-KEM alone, in TLS 1.3 only. Not with ring.
    pub const ML_KEM_768: Self = Self(NamedGroup::MLKEM768);
    /// `MLKEM1024`: ML-KEM alone, in TLS 1.3 only. Not with ring.
    pub const ML_KEM_1024: Self = Self(NamedGroup::MLKEM1024);

    const KNOWN: [Self; 7] = [
        Self::X25519_ML_KEM_768,
        Self::SECP256R1_ML_KEM_768,
        Self::X25519,
        Self::SECP256R1,
        Self::SECP384R1,
        Self::ML_KEM_768,
        Self::ML_KEM_1024,
    ];

    /// The group whose share is a part of this one's.
    fn component(self) -> Option<Self> {
        match self.0 {
            NamedGroup::X25519MLKEM768 => Some(Self::X25519),
            NamedGroup::secp256r1MLKEM768 => Some(Self::SECP256R1),
            _ => None,
        }
    }
}

impl Hash for Group {
    fn hash<H: Hasher>(&self, state: &mut H) {
        u16::from(self.0).hash(state);
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_str() {
            Some(name) => f.write_str(name),
            None => write!(f, "{:#06x}", u16::from(self.0)),
        }
    }
}

impl From<NamedGroup> for Group {
    fn from(group: NamedGroup) -> Self {
        Self(group)
    }
}

impl FromStr for Group {
    type Err = UnknownName;

    /// Without regard to case.
    fn from_str(name: &str) -> Result<Self, UnknownName> {
        named(&Self::KNOWN, name).ok_or_else(|| UnknownName::new("group", name, &Self::KNOWN))
    }
}

/// A cipher suite, by the name that IANA's registry has for it.
///
/// ```
/// use onionskin::tls::Suite;
///
/// let suite: Suite = "TLS_AES_128_GCM_SHA256".parse().unwrap();
/// assert_eq!(suite, onionskin::rustls::CipherSuite::TLS13_AES_128_GCM_SHA256.into());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suite(CipherSuite);

impl Suite {
    /// What rustls has: AEAD and forward secrecy, and nothing else.
    const KNOWN: [Self; 9] = [
        Self(CipherSuite::TLS13_AES_256_GCM_SHA384),
        Self(CipherSuite::TLS13_AES_128_GCM_SHA256),
        Self(CipherSuite::TLS13_CHACHA20_POLY1305_SHA256),
        Self(CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
        Self(CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
        Self(CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
        Self(CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
        Self(CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
        Self(CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
    ];
}

impl Hash for Suite {
    fn hash<H: Hasher>(&self, state: &mut H) {
        u16::from(self.0).hash(state);
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_str().map(|name| (name, name.strip_prefix("TLS13_"))) {
            // So rustls says which ones are of TLS 1.3.
            Some((_, Some(rest))) => write!(f, "TLS_{rest}"),
            Some((name, None)) => f.write_str(name),
            None => write!(f, "{:#06x}", u16::from(self.0)),
        }
    }
}

impl From<CipherSuite> for Suite {
    fn from(suite: CipherSuite) -> Self {
        Self(suite)
    }
}

impl FromStr for Suite {
    type Err = UnknownName;

    /// Without regard to case, and with `TLS13_` for `TLS_` too, as facts say it.
    fn from_str(name: &str) -> Result<Self, UnknownName> {
        let plain =
            name.get(..6).filter(|start| start.eq_ignore_ascii_case("TLS13_")).map(|_| format!("TLS_{}", &name[6..]));
        let found = named(&Self::KNOWN, plain.as_deref().unwrap_or(name));
        found.ok_or_else(|| UnknownName::new("cipher suite", name, &Self::KNOWN))
    }
}

fn named<T: Copy + fmt::Display>(known: &[T], name: &str) -> Option<T> {
    known.iter().copied().find(|known| known.to_string().eq_ignore_ascii_case(name))
}

/// A name that no group, or no cipher suite, has. Its text lists those that there are.
#[derive(Clone, PartialEq, Eq)]
pub struct UnknownName(String);

impl UnknownName {
    fn new<T: fmt::Display>(what: &str, name: &str, known: &[T]) -> Self {
        let known: Vec<_> = known.iter().map(ToString::to_string).collect();
        Self(format!("{name:?} is no {what}: the known ones are {}", known.join(", ")))
    }
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for UnknownName {}

/// Of how many groups a client of TLS 1.3 sends the public key before it has heard from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyShares {
    /// Of the first one alone.
    One,
    /// Of the first one, which is a hybrid, and of the classic group in it, which must be in the list too. So it is unless
    /// something else is said and wherever it is possible.
    Two,
}

/// What of all that a provider has may be agreed on.
#[derive(Clone, Debug, Default)]
pub(super) struct Choice {
    /// None for what is best.
    pub(super) groups: Option<Vec<Group>>,
    pub(super) shares: Option<KeyShares>,
    /// None for all.
    pub(super) suites: Option<Vec<Suite>>,
}

impl Choice {
    /// The provider with nothing but what may be agreed on. `given` is one that the program has chosen itself, with its order.
    pub(super) fn of(
        &self,
        provider: &CryptoProvider,
        given: bool,
        versions: &[&SupportedProtocolVersion],
    ) -> Result<CryptoProvider, ConfigError> {
        let mut chosen = provider.clone();
        match &self.groups {
            Some(groups) => chosen.kx_groups = groups_of(provider, given, groups)?,
            // A sort that keeps the order of all others.
            None if !given => chosen.kx_groups.sort_by_key(|group| group.name() != NamedGroup::X25519MLKEM768),
            None => {}
        }
        if let Some(suites) = &self.suites {
            chosen.cipher_suites = suites_of(provider, suites)?;
        }
        if let Some(shares) = self.shares {
            if !versions.iter().any(|version| version.version == ProtocolVersion::TLSv1_3) {
                return Err(unsupported("key shares are of TLS 1.3, which is not among the versions".to_owned()));
            }
            share(&mut chosen.kx_groups, shares)?;
        }
        Ok(chosen)
    }
}

fn groups_of(
    provider: &CryptoProvider,
    given: bool,
    wanted: &[Group],
) -> Result<Vec<&'static dyn SupportedKxGroup>, ConfigError> {
    if wanted.is_empty() {
        return Err(unsupported("no key can be exchanged without a group: name one".to_owned()));
    }
    let find = |(at, group): (usize, &Group)| {
        if wanted[..at].contains(group) {
            return Err(unsupported(format!("the group {group} is named twice")));
        }
        let own = provider.kx_groups.iter().find(|own| own.name() == group.0).copied();
        own.or_else(|| spare(provider, given, *group)).ok_or_else(|| {
            let all: Vec<_> = provider.kx_groups.iter().map(|own| Group(own.name()).to_string()).collect();
            unsupported(format!("the provider of cryptography has no group {group}: it has {}", all.join(", ")))
        })
    };
    wanted.iter().enumerate().map(find).collect()
}

/// What AWS-LC can and does not offer by itself.
#[cfg(feature = "aws-lc-rs")]
fn spare(provider: &CryptoProvider, given: bool, wanted: Group) -> Option<&'static dyn SupportedKxGroup> {
    let is_aws_lc = provider.kx_groups.iter().any(|group| group.name() == NamedGroup::X25519MLKEM768);
    let all = rustls::crypto::aws_lc_rs::ALL_KX_GROUPS;
    all.iter().find(|group| is_aws_lc && !given && group.name() == wanted.0).copied()
}

#[cfg(not(feature = "aws-lc-rs"))]
fn spare(_: &CryptoProvider, _: bool, _: Group) -> Option<&'static dyn SupportedKxGroup> {
    None
}

fn suites_of(provider: &CryptoProvider, wanted: &[Suite]) -> Result<Vec<SupportedCipherSuite>, ConfigError> {
    if wanted.is_empty() {
        return Err(unsupported("nothing can be encrypted without a cipher suite: name one".to_owned()));
    }
    let find = |(at, suite): (usize, &Suite)| {
        if wanted[..at].contains(suite) {
            return Err(unsupported(format!("the cipher suite {suite} is named twice")));
        }
        let own = provider.cipher_suites.iter().find(|own| own.suite() == suite.0).copied();
        own.ok_or_else(|| {
            let all: Vec<_> = provider.cipher_suites.iter().map(|own| Suite(own.suite()).to_string()).collect();
            unsupported(format!("the provider of cryptography has no cipher suite {suite}: it has {}", all.join(", ")))
        })
    };
    wanted.iter().enumerate().map(find).collect()
}

/// Makes the first group one of which so many shares are sent.
fn share(groups: &mut [&'static dyn SupportedKxGroup], shares: KeyShares) -> Result<(), ConfigError> {
    let Some(first) = groups.first().map(|first| Group(first.name())) else { return Ok(()) };
    let component = first.component().filter(|component| groups.iter().any(|group| group.name() == component.0));
    match (shares, component) {
        (KeyShares::Two, Some(_)) | (KeyShares::One, None) => {}
        (KeyShares::Two, None) => {
            return Err(unsupported(match first.component() {
                Some(component) => {
                    format!("there is no second key share for {first} without {component} among the groups")
                }
                None => format!("two key shares need a hybrid group as the first one, and {first} is none"),
            }));
        }
        (KeyShares::One, Some(_)) => groups[0] = Alone::of(groups[0]),
    }
    Ok(())
}

fn unsupported(message: String) -> ConfigError {
    ConfigError::new(ConfigErrorKind::Unsupported, message)
}

/// A hybrid group that does not tell what it is made of, so that rustls sends its share and no other.
#[derive(Debug)]
struct Alone(&'static dyn SupportedKxGroup);

impl Alone {
    /// That of `group`. A group lives as long as the program, and so does this one of it: it is made once.
    fn of(group: &'static dyn SupportedKxGroup) -> &'static Self {
        static MADE: Mutex<Vec<&Alone>> = Mutex::new(Vec::new());
        let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(alone) = made.iter().find(|alone| std::ptr::addr_eq(alone.0, group) && alone.name() == group.name())
        {
            return alone;
        }
        let alone: &Self = Box::leak(Box::new(Self(group)));
        made.push(alone);
        alone
    }
}

impl SupportedKxGroup for Alone {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        Ok(Box::new(AloneExchange(self.0.start()?)))
    }

    fn start_and_complete(&self, peer_pub_key: &[u8]) -> Result<CompletedKeyExchange, Error> {
        self.0.start_and_complete(peer_pub_key)
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        self.0.ffdhe_group()
    }

    fn name(&self) -> NamedGroup {
        self.0.name()
    }

    fn fips(&self) -> bool {
        self.0.fips()
    }

    fn usable_for_version(&self, version: ProtocolVersion) -> bool {
        self.0.usable_for_version(version)
    }
}

struct AloneExchange(Box<dyn ActiveKeyExchange>);

impl ActiveKeyExchange for AloneExchange {
    fn complete(self: Box<Self>, peer_pub_key: &[u8]) -> Result<SharedSecret, Error> {
        self.0.complete(peer_pub_key)
    }

    fn complete_for_tls_version(
        self: Box<Self>,
        peer_pub_key: &[u8],
        version: &SupportedProtocolVersion,
    ) -> Result<SharedSecret, Error> {
        self.0.complete_for_tls_version(peer_pub_key, version)
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        self.0.ffdhe_group()
    }

    fn pub_key(&self) -> &[u8] {
        self.0.pub_key()
    }

    fn group(&self) -> NamedGroup {
        self.0.group()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back_in_any_case() {
        for group in Group::KNOWN {
            assert_eq!(group.to_string().parse(), Ok(group));
            assert_eq!(group.to_string().to_lowercase().parse(), Ok(group));
        }
        for suite in Suite::KNOWN {
            assert_eq!(suite.to_string().parse(), Ok(suite));
            assert_eq!(format!("{:?}", suite.0).to_lowercase().parse(), Ok(suite));
        }
        let error = "P-256".parse::<Group>().unwrap_err().to_string();
        assert!(error.starts_with("\"P-256\" is no group: the known ones are X25519MLKEM768, "), "{error}");
        let error = "AES".parse::<Suite>().unwrap_err().to_string();
        assert!(error.contains("is no cipher suite: the known ones are TLS_AES_256_GCM_SHA384, "), "{error}");
    }
}
