//! The algorithms of keys and signatures, by the names that people know.

use std::fmt;

use super::der::{BIT_STRING, INTEGER, OCTET_STRING, OID, Reader, SEQUENCE, dotted, tagged};

/// What kind of key this is: a public one in a certificate, or a private one in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KeyKind {
    Rsa {
        bits: usize,
    },
    /// A key that is for RSA-PSS alone.
    RsaPss,
    Ec(Curve),
    Ed25519,
    Ed448,
    Dsa,
    /// X25519, X448 and Diffie-Hellman: they agree on secrets and sign nothing.
    SignsNothing(&'static str),
    Other(String),
}

/// The curve of an EC key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Curve {
    Named(String),
    /// The curve is not named but spelled out.
    Explicit,
}

impl KeyKind {
    /// Of a public key: SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7), without the header of its SEQUENCE.
    pub(super) fn of_public(spki: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(spki);
        let algorithm = reader.take(SEQUENCE)?;
        // The first byte says how many bits of the last are not used.
        let (_, key) = reader.take(BIT_STRING)?.split_first()?;
        Self::of(algorithm, || {
            let mut key = Reader::new(Reader::only(key, SEQUENCE)?);
            Some(bits(key.take(INTEGER)?))
        })
    }

    /// Of a private key in PKCS#8 (RFC 5958), PKCS#1 (RFC 8017 appendix A.1.2) or SEC 1 (RFC 5915).
    pub(super) fn of_private(der: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(Reader::only(der, SEQUENCE)?);
        let version = reader.take(INTEGER)?;
        match reader.take_any()? {
            (SEQUENCE, algorithm) => {
                let key = reader.take(OCTET_STRING)?;
                Self::of(algorithm, || rsa_modulus(key).map(bits))
            }
            (INTEGER, modulus) => Some(Self::Rsa { bits: bits(modulus) }),
            (OCTET_STRING, _) if version == [1] => {
                let parameters = reader.take_if(tagged(0))?;
                Some(Self::Ec(Curve::of(parameters)?))
            }
            _ => None,
        }
    }

    fn of(algorithm: &[u8], rsa_bits: impl FnOnce() -> Option<usize>) -> Option<Self> {
        let mut reader = Reader::new(algorithm);
        let oid = reader.take(OID)?;
        Some(match oid {
            RSA => Self::Rsa { bits: rsa_bits()? },
            RSA_PSS => Self::RsaPss,
            EC => Self::Ec(Curve::of(reader.rest())?),
            [0x2b, 0x65, 110] => Self::SignsNothing("X25519"),
            [0x2b, 0x65, 111] => Self::SignsNothing("X448"),
            [0x2b, 0x65, 112] => Self::Ed25519,
            [0x2b, 0x65, 113] => Self::Ed448,
            DSA => Self::Dsa,
            DH | DHX => Self::SignsNothing("Diffie-Hellman"),
            other => Self::Other(dotted(other)),
        })
    }

    /// Why nobody here can use such a key, if that is known; and what to do.
    pub(super) fn fault(&self) -> Option<String> {
        let remedy = "make one with RSA of 2048 bits or more, or ECDSA on P-256 or P-384";
        Some(match self {
            Self::Rsa { bits } if *bits < MIN_RSA_BITS => {
                format!("it is an RSA key of {bits} bits, and at least {MIN_RSA_BITS} are needed: make a longer one")
            }
            Self::Rsa { bits } if *bits > MAX_RSA_BITS => {
                format!("it is an RSA key of {bits} bits, and at most {MAX_RSA_BITS} are accepted: make a shorter one")
            }
            Self::RsaPss => {
                "it is a key for RSA-PSS alone, which is not supported: make a plain RSA key, which signs with RSA-PSS too"
                    .to_owned()
            }
            Self::Ec(Curve::Explicit) => {
                "its curve is spelled out instead of named (explicit parameters): make one with a named curve, \
                 P-256 or P-384 (openssl: -param_enc named_curve)"
                    .to_owned()
            }
            Self::Rsa { .. } | Self::Ed25519 => return None,
            Self::Ec(Curve::Named(name)) if ["P-256", "P-384", "P-521"].contains(&name.as_str()) => return None,
            Self::SignsNothing(name) => format!("a key for {name} cannot sign: {remedy}"),
            other => format!("{other} is not supported: {remedy}"),
        })
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa { bits } => write!(f, "RSA with {bits} bits"),
            Self::RsaPss => f.write_str("RSA-PSS"),
            Self::Ec(Curve::Named(name)) => write!(f, "ECDSA on {name}"),
            Self::Ec(Curve::Explicit) => f.write_str("ECDSA on a curve that is spelled out"),
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::Ed448 => f.write_str("Ed448"),
            Self::Dsa => f.write_str("DSA"),
            Self::SignsNothing(name) => f.write_str(name),
            Self::Other(oid) => write!(f, "the algorithm {oid}"),
        }
    }
}

impl Curve {
    fn of(parameters: &[u8]) -> Option<Self> {
        match Reader::new(parameters).take_any()? {
            (OID, [0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 1]) => Some(Self::Named("P-192".to_owned())),
            (OID, [0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]) => Some(Self::Named("P-256".to_owned())),
            (OID, [0x2b, 0x81, 4, 0, 10]) => Some(Self::Named("secp256k1".to_owned())),
            (OID, [0x2b, 0x81, 4, 0, 33]) => Some(Self::Named("P-224".to_owned())),
            (OID, [0x2b, 0x81, 4, 0, 34]) => Some(Self::Named("P-384".to_owned())),
            (OID, [0x2b, 0x81, 4, 0, 35]) => Some(Self::Named("P-521".to_owned())),
            (OID, [0x2b, 0x24, 3, 3, 2, 8, 1, 1, ..]) => Some(Self::Named("a Brainpool curve".to_owned())),
            (OID, other) => Some(Self::Named(format!("the curve {}", dotted(other)))),
            (SEQUENCE, _) => Some(Self::Explicit),
            _ => None,
        }
    }
}

/// The name of a signature algorithm, from an AlgorithmIdentifier (without the header of its SEQUENCE).
pub(super) fn signature_name(algorithm: &[u8]) -> String {
    let Some(oid) = Reader::new(algorithm).take(OID) else { return "an unknown algorithm".to_owned() };
    let name = match oid {
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, rest @ ..] => match rest {
            [2] => "MD2",
            [4] => "MD5",
            [5] => "SHA-1",
            [10] => "RSA-PSS with parameters of its own",
            [11..=14] => "RSA",
            _ => "",
        },
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1] => "SHA-1 (ECDSA)",
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, _] => "ECDSA",
        [0x2a, 0x86, 0x48, 0xce, 0x38, 4, 3] => "SHA-1 (DSA)",
        [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 1..=8] => "DSA",
        [0x2b, 0x65, 112] => "Ed25519",
        [0x2b, 0x65, 113] => "Ed448",
        _ => "",
    };
    if name.is_empty() { format!("the algorithm {}", dotted(oid)) } else { name.to_owned() }
}

/// The bits of the hash that a certificate signed so is called by (RFC 5929 section 4.1), from an AlgorithmIdentifier (without the
/// header of its SEQUENCE). `None` if it has none.
#[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
pub(super) fn signature_hash(algorithm: &[u8]) -> Option<usize> {
    let mut reader = Reader::new(algorithm);
    Some(match reader.take(OID)? {
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 4 | 5] | [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1] => 256,
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, last] => match last {
            11 => 256,
            12 => 384,
            13 => 512,
            14 => 224,
            10 => {
                let mut parameters = Reader::new(reader.take(SEQUENCE)?);
                // SHA-1, which is left out, and so SHA-256.
                let Some(hash) = parameters.take_if(tagged(0)) else { return Some(256) };
                match Reader::new(Reader::only(hash, SEQUENCE)?).take(OID)? {
                    [0x2b, 14, 3, 2, 26] | [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1] => 256,
                    [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2] => 384,
                    [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3] => 512,
                    _ => return None,
                }
            }
            _ => return None,
        },
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, last] => match last {
            1 => 224,
            2 => 256,
            3 => 384,
            4 => 512,
            _ => return None,
        },
        _ => return None,
    })
}

/// The kind of key in an AlgorithmIdentifier (without the header of its SEQUENCE), as far as that alone says.
pub(super) fn key_name(algorithm: &[u8]) -> String {
    match Reader::new(algorithm).take(OID) {
        Some(RSA) => "RSA".to_owned(),
        _ => KeyKind::of(algorithm, || None).map_or_else(|| "an unknown kind".to_owned(), |kind| kind.to_string()),
    }
}

/// The modulus in a private key of PKCS#1.
fn rsa_modulus(key: &[u8]) -> Option<&[u8]> {
    let mut key = Reader::new(Reader::only(key, SEQUENCE)?);
    key.take(INTEGER)?;
    key.take(INTEGER)
}

/// How many bits a positive number has.
fn bits(integer: &[u8]) -> usize {
    let zeros = integer.iter().take_while(|&&byte| byte == 0).count();
    let significant = &integer[zeros..];
    significant.first().map_or(0, |first| significant.len() * 8 - first.leading_zeros() as usize)
}

const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const RSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const DSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x38, 4, 1];
const DH: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 3, 1];
const DHX: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3e, 2, 1];

/// The shortest RSA key that aws-lc-rs and ring take, and the longest.
pub(super) const MIN_RSA_BITS: usize = 2048;
pub(super) const MAX_RSA_BITS: usize = 8192;

#[cfg(all(test, any(feature = "aws-lc-rs", feature = "ring")))]
mod tests {
    use super::*;

    /// As OpenSSL writes them. What has no hash, or one that nobody can know, has no digest to be called by.
    #[test]
    fn p8_a_certificate_is_called_by_the_hash_that_it_is_signed_with() {
        let rsa = |last| [&[OID, 9][..], &RSA[..8], &[last, 5, 0]].concat();
        let ecdsa = |last| [&[OID, 8][..], &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, last]].concat();
        // The hash of the message, that of the mask, and the length of the salt, each in its own tag.
        let pss = |last, salt| {
            let hash = [0x30, 13, OID, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, last, 5, 0];
            let mask = [&[0xa1, 28, 0x30, 26, OID, 9][..], &RSA[..8], &[8], &hash].concat();
            let parameters = [&[0xa0, 15][..], &hash, &mask, &[0xa2, 3, 2, 1, salt]].concat();
            [&[OID, 9][..], RSA_PSS, &[0x30, 52], &parameters].concat()
        };
        for (algorithm, expected) in [
            (rsa(4), Some(256)),
            (rsa(5), Some(256)),
            (rsa(11), Some(256)),
            (rsa(12), Some(384)),
            (rsa(13), Some(512)),
            (rsa(14), Some(224)),
            (rsa(99), None),
            (vec![OID, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1], Some(256)),
            (ecdsa(1), Some(224)),
            (ecdsa(2), Some(256)),
            (ecdsa(3), Some(384)),
            (ecdsa(4), Some(512)),
            (ecdsa(5), None),
            ([&[OID, 9][..], RSA_PSS, &[0x30, 0]].concat(), Some(256)),
            (pss(1, 32), Some(256)),
            (pss(2, 48), Some(384)),
            (pss(3, 64), Some(512)),
            (pss(9, 32), None),
            ([&[OID, 9][..], RSA_PSS].concat(), None),
            (vec![OID, 3, 0x2b, 0x65, 0x70], None),
            (Vec::new(), None),
        ] {
            assert_eq!(signature_hash(&algorithm), expected, "{algorithm:x?}");
            // However it is cut, it is read without harm.
            for at in 0..algorithm.len() {
                let _ = signature_hash(&algorithm[..at]);
            }
        }
        let mut written = String::new();
        for byte in pss(3, 64) {
            written += &format!("{byte:02x}");
        }
        assert_eq!(written, PSS_SHA512);
    }

    /// From a certificate of `openssl req -x509 -sha512 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:-1`.
    const PSS_SHA512: &str = "06092a864886f70d01010a3034a00f300d06096086480165030402030500a11c301a\
        06092a864886f70d010108300d06096086480165030402030500a203020140";
}
