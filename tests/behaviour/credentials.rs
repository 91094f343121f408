//! Files that are named as a certificate, a key or an authority and are none that can be used: one sentence, with the file and
//! the reason. `credentials/make.sh` made them.

use std::path::PathBuf;

use onionskin::tls::{ConfigError, ConfigErrorKind, Identity, Roots, TlsClient, TlsServer};

/// The error over this certificate and this key, as a server and as a client, which say the same.
fn refused(chain: &str, key: &str) -> ConfigError {
    let identity = || Identity::from_pem_files(file(chain), file(key));
    let roots = || Roots::from_pem_file(file("good.pem")).unwrap();
    let server = identity().and_then(TlsServer::new).err();
    let client = identity().and_then(|identity| TlsClient::builder(roots()).identity(identity).build()).err();
    let (server, client) = (server.expect("a server refuses it"), client.expect("a client refuses it"));
    assert_eq!(server.to_string(), client.to_string());
    assert_eq!(server.kind(), client.kind());
    server
}

fn file(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/behaviour/credentials")).join(name)
}

/// The same error, with the folder cut away.
fn sentence(error: &ConfigError) -> String {
    let text = error.to_string();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.len() < 400, "{} bytes: {text}", text.len());
    text.replace(&format!("{}/", file("").display().to_string().trim_end_matches('/')), "")
}

#[test]
fn keys_of_every_kind_that_is_supported_are_taken() {
    for key in ["good.key", "sec1.key"] {
        TlsServer::new(Identity::from_pem_files(file("good.pem"), file(key)).unwrap()).unwrap();
    }
    // Taken, and found to be another's.
    for key in ["rsa.key", "pkcs1.key", "ed25519.key", "p384.key"] {
        let error = refused("good.pem", key);
        assert_eq!(error.kind(), ConfigErrorKind::KeyMismatch, "{error}");
        let expected = format!(
            "the private key in {key} does not belong to the certificate in good.pem: name the one it was made with"
        );
        assert_eq!(sentence(&error), expected);
    }
}

#[test]
fn a_key_that_cannot_be_used_is_named_with_the_reason() {
    const REMEDY: &str = "make one with RSA of 2048 bits or more, or ECDSA on P-256 or P-384";
    let explicit = "its curve is spelled out instead of named (explicit parameters): make one with a named curve, P-256 or \
                    P-384 (openssl: -param_enc named_curve)";
    let short = "it is an RSA key of 1024 bits, and at least 2048 are needed: make a longer one";
    let pss =
        "it is a key for RSA-PSS alone, which is not supported: make a plain RSA key, which signs with RSA-PSS too";
    let unused = |key: &str, why: &str| format!("the private key in {key} cannot be used: {why}");
    let missing = |key: &str, why: &str| format!("no private key that can be used in {key}: {why}");
    let encrypted = "it is encrypted: decrypt it, with `openssl pkey -in FILE -out NEW`";
    for (key, expected) in [
        ("rsa1024.key", unused("rsa1024.key", short)),
        ("rsa1024-pkcs1.key", unused("rsa1024-pkcs1.key", short)),
        ("rsa-pss.key", unused("rsa-pss.key", pss)),
        ("ed448.key", unused("ed448.key", &format!("Ed448 is not supported: {REMEDY}"))),
        ("x25519.key", unused("x25519.key", &format!("a key for X25519 cannot sign: {REMEDY}"))),
        ("secp256k1.key", unused("secp256k1.key", &format!("ECDSA on secp256k1 is not supported: {REMEDY}"))),
        ("secp256k1-sec1.key", unused("secp256k1-sec1.key", &format!("ECDSA on secp256k1 is not supported: {REMEDY}"))),
        ("p224.key", unused("p224.key", &format!("ECDSA on P-224 is not supported: {REMEDY}"))),
        ("brainpool.key", unused("brainpool.key", &format!("ECDSA on a Brainpool curve is not supported: {REMEDY}"))),
        ("explicit.key", unused("explicit.key", explicit)),
        ("explicit-sec1.key", unused("explicit-sec1.key", explicit)),
        ("dsa.key", unused("dsa.key", &format!("DSA is not supported: {REMEDY}"))),
        ("dsa-old.key", missing("dsa-old.key", &format!("a DSA key is not supported: {REMEDY}"))),
        ("encrypted.key", missing("encrypted.key", encrypted)),
        ("encrypted-old.key", missing("encrypted-old.key", encrypted)),
        (
            "openssh.key",
            missing(
                "openssh.key",
                "it is a key in OpenSSH's own format: convert a copy, with `ssh-keygen -p -m pkcs8 -f COPY`",
            ),
        ),
        ("public.pem", missing("public.pem", "it holds the public key alone: name the file with the private one")),
        ("good.pem", missing("good.pem", "it holds a certificate and no key: name the file with the key")),
        (
            "certificate.der",
            missing("certificate.der", "it holds a certificate (DER) and no key: name the file with the key"),
        ),
        ("dsa-parameters.pem", missing("dsa-parameters.pem", "it holds parameters and no key")),
        (
            "key.der",
            missing("key.der", "it is DER: convert it to PEM, with `openssl pkey -inform DER -in FILE -out NEW`"),
        ),
        (
            "encrypted.der",
            missing(
                "encrypted.der",
                "it is DER and encrypted: convert it, with `openssl pkcs8 -inform DER -in FILE -out NEW`",
            ),
        ),
        (
            "both.p12",
            missing(
                "both.p12",
                "it is PKCS#12: take the key out, with `openssl pkcs12 -in FILE -nocerts -nodes -out NEW`",
            ),
        ),
        ("make.sh", missing("make.sh", "it has no line -----BEGIN PRIVATE KEY-----, and is no PEM")),
    ] {
        let error = refused("good.pem", key);
        assert_eq!(sentence(&error), expected);
        assert_eq!(error.kind(), ConfigErrorKind::BadKey, "{error}");
    }
}

#[test]
fn a_certificate_that_cannot_be_used_is_named_with_the_reason() {
    let missing = |name: &str, why: &str| format!("no certificate that can be used in {name}: {why}");
    for (chain, expected) in [
        (
            "certificate.der",
            missing("certificate.der", "it is DER: convert it to PEM, with `openssl x509 -inform DER -in FILE -out NEW`"),
        ),
        (
            "trusted.pem",
            missing(
                "trusted.pem",
                "it is of OpenSSL's own format (TRUSTED CERTIFICATE): convert it, with `openssl x509 -in FILE -out NEW`",
            ),
        ),
        (
            "certificate.p7b",
            missing("certificate.p7b", "it is PKCS#7: take them out, with `openssl pkcs7 -print_certs -in FILE -out NEW`"),
        ),
        (
            "request.pem",
            missing("request.pem", "it holds a request for a certificate, which an authority has to sign first"),
        ),
        (
            "both.p12",
            missing("both.p12", "it is PKCS#12: take them out, with `openssl pkcs12 -in FILE -nokeys -out NEW`"),
        ),
        ("good.key", missing("good.key", "it holds a private key: name the file with the certificate")),
        ("encrypted.key", missing("encrypted.key", "it holds a private key: name the file with the certificate")),
        ("key.der", missing("key.der", "it holds a private key (DER): name the file with the certificate")),
        ("public.pem", missing("public.pem", "it holds a public key alone")),
        ("make.sh", missing("make.sh", "it has no line -----BEGIN CERTIFICATE-----, and is no PEM")),
        (
            "version1.pem",
            "the certificate in version1.pem cannot be used: it is of X.509 version 1 or 2, which has no names of hosts: make \
             one of version 3"
                .to_owned(),
        ),
    ] {
        let error = refused(chain, "good.key");
        assert_eq!(sentence(&error), expected);
        assert_eq!(error.kind(), ConfigErrorKind::BadCertificate, "{error}");
        if chain != "version1.pem" {
            let error = Roots::from_pem_file(file(chain)).unwrap_err();
            assert_eq!(sentence(&error), expected, "as an authority");
        }
    }
}

#[test]
fn a_certificate_with_a_curve_that_is_spelled_out_is_told_from_one_of_another_key() {
    let error = refused("explicit.pem", "explicit.key");
    assert!(!error.is_key_mismatch(), "{error}");
    assert!(sentence(&error).contains("its curve is spelled out instead of named"), "{error}");
    // With a key that is named as it should be, it is the certificate that is at fault.
    let error = refused("explicit.pem", "explicit-named.key");
    assert_eq!(error.kind(), ConfigErrorKind::BadCertificate);
    assert!(
        sentence(&error).starts_with("the key of the certificate in explicit.pem cannot be used: its curve"),
        "{error}"
    );
}

#[test]
fn a_text_that_an_editor_has_spoilt_is_told_as_that() {
    let read = |name: &str| std::fs::read(file(name)).unwrap();
    let (chain, key) = (read("good.pem"), read("good.key"));
    type Spoil = fn(&[u8]) -> Vec<u8>;
    let spoil: [(&str, Spoil); 8] = [
        ("it is empty", |_| Vec::new()),
        ("it is empty", |_| b" \r\n\n".to_vec()),
        ("it begins with a byte order mark (BOM): save it as plain text without", |text| {
            [b"\xef\xbb\xbf", text].concat()
        }),
        ("it is UTF-16: save it as plain text, ASCII or UTF-8", |text| {
            let wide = text.iter().flat_map(|&byte| [byte, 0]);
            b"\xff\xfe".iter().copied().chain(wide).collect()
        }),
        ("its lines -----BEGIN and -----END must begin at the left edge", |text| {
            text.split_inclusive(|&byte| byte == b'\n').flat_map(|line| [b"  ", line].concat()).collect()
        }),
        ("it breaks off before its line -----END ", |text| text[..text.len() / 2].to_vec()),
        ("what stands between its lines BEGIN and END is damaged", |text| {
            let at = text.len() / 2;
            [&text[..at], b"?!", &text[at..]].concat()
        }),
        ("a line that begins with -----BEGIN does not end with -----", |text| {
            String::from_utf8(text.to_vec()).unwrap().replacen("-----\n", "---\n", 1).into_bytes()
        }),
    ];
    for (why, spoil) in spoil {
        let error = Identity::from_pem(&spoil(&chain), &key).unwrap_err();
        let expected = format!("no certificate that can be used in the PEM text: {why}");
        assert!(sentence(&error).starts_with(&expected), "{error}");
        let error = Identity::from_pem(&chain, &spoil(&key)).unwrap_err();
        let expected = format!("no private key that can be used in the PEM text: {why}");
        assert!(sentence(&error).starts_with(&expected), "{error}");
    }
    // Whatever the ends of lines are, and whatever stands around the sections.
    let windows = String::from_utf8(key.clone()).unwrap().replace('\n', "\r\n");
    let around = [b"a key of mine:\n", &key[..], b"that was it\n"].concat();
    for key in [windows.into_bytes(), around] {
        TlsServer::new(Identity::from_pem(&chain, &key).unwrap()).unwrap();
    }
}

#[test]
fn a_key_that_is_damaged_inside_its_text_is_told_as_that() {
    let chain = std::fs::read(file("good.pem")).unwrap();
    let key = "-----BEGIN PRIVATE KEY-----\nMAUCAQAwAA==\n-----END PRIVATE KEY-----\n";
    let error = TlsServer::new(Identity::from_pem(&chain, key.as_bytes()).unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "the private key cannot be used: it is damaged, or of a kind that is not known");
    let chain = "-----BEGIN CERTIFICATE-----\nMAUCAQAwAA==\n-----END CERTIFICATE-----\n";
    let error = Roots::from_pem(chain.as_bytes()).unwrap_err();
    let why = "it cannot be read as a certificate: have it made anew";
    assert_eq!(error.to_string(), format!("certificate 1 is not usable as a trust anchor: {why}"));
}

#[test]
fn a_chain_in_the_wrong_order_is_told_from_a_key_of_another() {
    let ca = crate::common::Authority::new();
    let (certificate, key) = ca.pem_identity("server.example");
    let identity = Identity::from_pem(format!("{}{certificate}", ca.pem()).as_bytes(), key.as_bytes()).unwrap();
    let error = TlsServer::new(identity).unwrap_err();
    assert!(error.is_key_mismatch());
    assert_eq!(
        error.to_string(),
        "the private key belongs to certificate 2, and must belong to the first: put the end entity in front of those who \
         issued it"
    );
}
