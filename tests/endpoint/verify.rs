//! What an endpoint string says of how the peer is verified, on both sides.

use onionskin::endpoint::{Connector, Listener, OpenError};
use onionskin::peer::Class;
use onionskin::runtime;
use onionskin::rustls::pki_types::CertificateDer;
use onionskin::rustls::pki_types::pem::PemObject;
use onionskin::tls::Pin;
use rcgen::CertificateParams;

use crate::common::Authority;
use crate::{Files, on_every_runtime, open, talk};

/// The name of what is wrong.
fn class(error: &OpenError) -> &'static str {
    Class::of(error).unwrap().kind().name()
}

#[test]
fn p2_a_client_verifies_what_the_keys_say() {
    let files = Files::new("verify-client");
    let pem = std::fs::read_to_string(files.path("outer.example.pem")).unwrap();
    let pin = Pin::of(&CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap().to_string();
    let stranger = Authority::new();
    std::fs::write(files.path("stranger.pem"), stranger.pem()).unwrap();
    let (ca, other) = (files.ca(), format!("ca={}", files.path("stranger.pem")));
    let wrong = "0".repeat(64);
    on_every_runtime(async |runtime| {
        for (keys, expected) in [
            (format!("sni=outer.example:{ca}"), None),
            (format!("sni=other.example:{ca}"), Some("certificate_name")),
            (format!("sni=other.example:{ca}:verify=name"), Some("certificate_name")),
            (format!("sni=other.example:{ca}:verify=chain"), None),
            (format!("sni=other.example:{ca}:names=a.example,outer.example"), None),
            (format!("sni=outer.example:{ca}:names=a.example,192.0.2.1"), Some("certificate_name")),
            (format!("sni=outer.example:{other}:verify=chain"), Some("certificate_unknown_issuer")),
            (format!("sni=outer.example:{other}:verify=nothing"), Some("configuration")),
            ("sni=other.example:verify=nothing".to_owned(), None),
            (format!("sni=outer.example:{ca}:pin={wrong},{pin}"), None),
            (format!("sni=outer.example:{ca}:pin={wrong}"), Some("certificate_pin")),
            (format!("sni=other.example:verify=pin:pin={pin}"), None),
            (format!("sni=other.example:verify=pin:pin={wrong}"), Some("certificate_pin")),
            (format!("sni=other.example:verify=pin:pin={pin}:names=a.example"), Some("certificate_name")),
            #[cfg(feature = "webpki-roots")]
            (format!("sni=outer.example:{ca}:roots=webpki"), None),
        ] {
            for asked in ["tls", "starttls:smtp"] {
                let server = format!("tcp:127.0.0.1:0+{asked}:{}", files.identity("outer.example"));
                if expected == Some("configuration") {
                    let client = format!("tcp:127.0.0.1:1+{asked}:{keys}").parse().unwrap();
                    assert_eq!(class(&Connector::new(runtime, &client).map(drop).unwrap_err()), "configuration");
                    continue;
                }
                let (client, server) = open(runtime, &server, |address| format!("{address}+{asked}:{keys}")).await;
                match (client, server) {
                    (Ok(mut client), Ok(mut server)) => {
                        assert_eq!(expected, None, "{asked}:{keys}");
                        talk(&mut client, &mut server).await;
                    }
                    (Err(error), _) => assert_eq!(Some(class(&error)), expected, "{asked}:{keys}: {error}"),
                    (_, Err(error)) => panic!("{asked}:{keys}: {error}"),
                }
            }
        }
    });
}

#[test]
fn p2_lists_of_what_was_revoked_are_looked_at_on_both_sides() {
    let files = Files::new("verify-crl");
    for serial in [7, 8] {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.serial_number = Some(serial.into());
        let (chain, key) = files.authority.issue(&params);
        std::fs::write(files.path(&format!("{serial}.pem")), chain).unwrap();
        std::fs::write(files.path(&format!("{serial}.key")), key).unwrap();
    }
    let list = |revoked: &[u64], until| files.authority.revocation_list(revoked, until);
    let other = Authority::new().revocation_list(&[], 2900);
    std::fs::write(files.path("list.pem"), [other.pem().unwrap(), list(&[7], 2900).pem().unwrap()].concat()).unwrap();
    std::fs::write(files.path("list.der"), list(&[7], 2900).der()).unwrap();
    std::fs::write(files.path("other.der"), other.der()).unwrap();
    std::fs::write(files.path("old.der"), list(&[], 2021).der()).unwrap();
    let crl = |name: &str| format!("crl={}", files.path(name));
    let both = format!("{}:{}", crl("other.der"), crl("list.der"));
    let ca = files.ca();
    on_every_runtime(async |runtime| {
        for (shown, keys, expected) in [
            ("8", crl("list.pem"), None),
            ("8", both.clone(), None),
            ("7", both.clone(), Some("certificate_revoked")),
            ("7", crl("list.pem"), Some("certificate_revoked")),
            ("7", crl("list.der"), Some("certificate_revoked")),
            ("8", crl("other.der"), Some("certificate_revoked")),
            ("8", format!("{}:crl-unknown=accept", crl("other.der")), None),
            ("8", crl("old.der"), Some("certificate")),
            ("8", format!("{}:crl-expired=accept", crl("old.der")), None),
        ] {
            let identity = files.identity(shown);
            let (client, _server) = open(runtime, &format!("tcp:127.0.0.1:0+tls:{identity}"), |address| {
                format!("{address}+tls:sni=localhost:{ca}:{keys}")
            })
            .await;
            assert_eq!(client.err().as_ref().map(class), expected, "server {shown}, {keys}");
            let server = format!("tcp:127.0.0.1:0+tls:{}:client-{ca}:{keys}", files.identity("localhost"));
            let (_client, server) =
                open(runtime, &server, |address| format!("{address}+tls:sni=localhost:{ca}:{identity}")).await;
            assert_eq!(server.err().as_ref().map(class), expected, "client {shown}, {keys}");
        }
    });
}

#[test]
fn a_server_asks_clients_or_demands() {
    let files = Files::new("verify-clients");
    let stranger = Authority::new();
    let (chain, key) = stranger.pem_identity("stranger.example");
    std::fs::write(files.path("stranger.pem"), chain).unwrap();
    std::fs::write(files.path("stranger.key"), key).unwrap();
    let (ca, own, strange) = (files.ca(), files.identity("inner.example"), files.identity("stranger"));
    on_every_runtime(async |runtime| {
        for (auth, identity, expected) in [
            ("", "", Some("certificate_missing")),
            (":client-auth=demand", "", Some("certificate_missing")),
            (":client-auth=demand", &*own, None),
            (":client-auth=ask", "", None),
            (":client-auth=ask", &*own, None),
            (":client-auth=ask", &*strange, Some("certificate_unknown_issuer")),
        ] {
            let server = format!("tcp:127.0.0.1:0+tls:{}:client-{ca}{auth}", files.identity("localhost"));
            let identity = if identity.is_empty() { String::new() } else { format!(":{identity}") };
            let (_client, server) =
                open(runtime, &server, |address| format!("{address}+tls:sni=localhost:{ca}{identity}")).await;
            assert_eq!(server.err().as_ref().map(class), expected, "{auth} {identity}");
        }
    });
}

/// One socket, three names: each has its certificate, or that of all, and its own demands on clients.
#[test]
fn a_server_has_other_certificates_and_demands_for_a_name() {
    let files = Files::new("verify-named");
    let stranger = Authority::new();
    let (chain, key) = stranger.pem_identity("stranger.example");
    std::fs::write(files.path("stranger.pem"), chain).unwrap();
    std::fs::write(files.path("stranger.key"), key).unwrap();
    std::fs::write(files.path("staff.pem"), stranger.pem()).unwrap();
    let (ca, staff) = (files.ca(), format!("client-ca={}", files.path("staff.pem")));
    let (localhost, inner) = (files.identity("localhost"), files.identity("inner.example"));
    let (outer, strange) = (files.identity("outer.example"), files.identity("stranger"));
    // The first name has a certificate alone, and so the demands of all; the second has demands alone, and those replace all of
    // the others; the third has both.
    let demands = format!(
        ":client-{ca}:for=outer.example:{outer}:for=localhost:{staff}:for=inner.example:{inner}:{staff}:client-auth=ask"
    );
    on_every_runtime(async |runtime| {
        for (server, sni, shown, expected) in [
            (&*demands, "outer.example", &*inner, None),
            (&*demands, "outer.example", "", Some("certificate_missing")),
            (&*demands, "outer.example", &*strange, Some("certificate_unknown_issuer")),
            (&*demands, "localhost", &*strange, None),
            (&*demands, "localhost", &*inner, Some("certificate_unknown_issuer")),
            (&*demands, "localhost", "", Some("certificate_missing")),
            (&*demands, "inner.example", "", None),
            (&*demands, "inner.example", &*strange, None),
            (&*demands, "inner.example", &*inner, Some("certificate_unknown_issuer")),
            // The control: without names it is as the step says.
            (&*format!(":client-{ca}"), "localhost", &*inner, None),
            (&*format!(":client-{ca}"), "localhost", &*strange, Some("certificate_unknown_issuer")),
        ] {
            for asked in ["tls", "starttls:smtp"] {
                let server = format!("tcp:127.0.0.1:0+{asked}:{localhost}{server}");
                let shown = if shown.is_empty() { String::new() } else { format!(":{shown}") };
                let (client, server) =
                    open(runtime, &server, |address| format!("{address}+{asked}:sni={sni}:{ca}{shown}")).await;
                assert_eq!(server.as_ref().err().map(class), expected, "{asked} {sni} {shown}");
                if let (Ok(client), Ok(server)) = (&client, &server) {
                    let names =
                        |conn: &onionskin::Connection<_>| conn.layers().tls().last().unwrap().server_name.clone();
                    assert_eq!((names(client), names(server)), (Some(sni.to_owned()), Some(sni.to_owned())));
                }
            }
        }
    });
}

#[test]
fn what_is_wrong_for_a_name_is_said_with_it() {
    let files = Files::new("verify-named-wrong");
    let Some(runtime) = runtime::preferred() else { return };
    let (identity, ca) = (files.identity("localhost"), files.ca());
    for (keys, part) in [
        ("for=a.example:cert=/nowhere/a.pem:key=/nowhere/a.key", "for=a.example: "),
        ("for=a.example:cert=/nowhere/a.pem", "for=a.example: `cert` needs the private key"),
        ("for=a.example:client-auth=ask", "for=a.example: `client-auth` and `crl` of a server"),
        ("for=b.example:crl=/nowhere/a.crl", "for=b.example: "),
    ] {
        let endpoint = format!("tcp:127.0.0.1:0+tls:{identity}:{keys}").parse().unwrap();
        let error = runtime::block_on(runtime, Listener::new(runtime, &endpoint)).map(drop).unwrap_err();
        assert!(error.to_string().contains(part), "{keys}: {error} should tell of {part}");
    }
    let endpoint = format!("tcp:a:1+tls:{ca}:for=a.example:{identity}").parse().unwrap();
    let error = Connector::new(runtime, &endpoint).map(drop).unwrap_err();
    assert!(error.is_usage() && error.to_string().contains("`for` is for servers"), "{error}");
    // The control.
    let endpoint = format!("tcp:127.0.0.1:0+tls:{identity}:for=a.example:{identity}").parse().unwrap();
    runtime::block_on(runtime, Listener::new(runtime, &endpoint)).map(drop).unwrap();
}

#[test]
fn p3_what_cannot_be_meant_is_refused_before_a_socket_is_opened() {
    let files = Files::new("verify-misused");
    let Some(runtime) = runtime::preferred() else { return };
    let (ca, identity, pin) = (files.ca(), files.identity("localhost"), "0".repeat(64));
    std::fs::write(files.path("empty"), "").unwrap();
    let empty = files.path("empty");
    let crl = files.path("ca.pem");
    for (keys, part) in [
        (format!("insecure=yes:pin={pin}"), "exclude"),
        ("insecure=yes:names=a.example".to_owned(), "exclude"),
        ("insecure=yes:verify=name".to_owned(), "exclude"),
        (format!("verify=nothing:{ca}"), "exclude"),
        ("verify=pin".to_owned(), "pin=SHA256"),
        (format!("verify=pin:pin={pin}:{ca}"), "excludes `ca`"),
        (format!("{ca}:verify=chain:names=a.example"), "leave `names` out"),
        (format!("ca={empty}"), "it is empty"),
        (format!("{ca}:crl={empty}"), "no revocation list"),
        (format!("{ca}:crl={crl}"), "no revocation list"),
        (format!("{ca}:crl=/nowhere/a.crl"), "/nowhere/a.crl"),
        (format!("{ca}:crl-expired=accept"), "crl=FILE"),
        (format!("{ca}:client-auth=ask"), "for servers"),
    ] {
        for asked in ["tls", "starttls:imap"] {
            let endpoint = format!("tcp:a:1+{asked}:{keys}");
            let error = Connector::new(runtime, &endpoint.parse().unwrap()).map(drop).unwrap_err();
            assert!(error.is_usage() && error.to_string().contains(part), "{endpoint}: {error} should tell of {part}");
        }
    }
    for (keys, part) in [
        ("client-auth=ask".to_owned(), "client-ca=PEM"),
        (format!("crl={crl}"), "client-ca=PEM"),
        (format!("client-{ca}:crl={empty}"), "no revocation list"),
        (format!("client-ca={empty}"), "it is empty"),
        (format!("pin={pin}"), "for clients"),
        ("names=a".to_owned(), "for clients"),
        ("verify=chain".to_owned(), "for clients"),
    ] {
        let endpoint = format!("tcp:127.0.0.1:0+tls:{identity}:{keys}").parse().unwrap();
        let error = runtime::block_on(runtime, Listener::new(runtime, &endpoint)).map(drop).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains(part), "{keys}: {error} should tell of {part}");
    }
}
