//! The grammar by example, every error with its place, and the two properties: print and parse
//! are inverse, and no string panics.

use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use rustls::CipherSuite;

use crate::endpoint::*;
use crate::layer::proxy_header;
use crate::runtime::{Address, KeepAlive, TcpOptions};
use crate::starttls::KnownProtocol;
use crate::tls::{Group, KeyShares, Pin, Suite, Version};

fn parsed(text: &str) -> Endpoint {
    text.parse().unwrap_or_else(|error: ParseError| panic!("{error:#}"))
}

fn error(text: &str) -> ParseError {
    text.parse::<Endpoint>().expect_err(text)
}

fn tcp(host: &str, port: u16) -> Endpoint {
    Endpoint::new(BaseTransport::tcp(host, port))
}

fn unix(path: &str) -> Endpoint {
    Endpoint::new(BaseTransport::unix(path))
}

fn abstract_socket(name: &str) -> Endpoint {
    Endpoint::new(BaseTransport::Abstract { name: name.into() })
}

fn systemd(socket: SystemdSocket) -> Endpoint {
    Endpoint::new(BaseTransport::Systemd(socket))
}

#[test]
fn transports() {
    assert_eq!(parsed("tcp:127.0.0.1:4433"), tcp("127.0.0.1", 4433));
    assert_eq!(parsed("tcp:mail.example:0"), tcp("mail.example", 0));
    assert_eq!(parsed("tcp:münchen.example.:65535"), tcp("münchen.example.", 65535));
    assert_eq!(parsed("tcp:[::1]:25"), tcp("::1", 25));
    assert_eq!(parsed("tcp:[fe80::1%eth0]:25"), tcp("fe80::1%eth0", 25));
    assert_eq!(parsed("unix:/run/app.sock"), unix("/run/app.sock"));
    assert_eq!(parsed("stdio"), Endpoint::new(BaseTransport::Stdio));
    assert_eq!(parsed("fd:3"), Endpoint::new(BaseTransport::Descriptor { number: 3 }));
    assert_eq!(parsed("systemd:0"), systemd(SystemdSocket::Index(0)));
    assert_eq!(parsed("systemd:name=http"), systemd(SystemdSocket::Name("http".into())));
}

#[test]
fn an_address_has_its_transport() {
    let to = |address: Address| {
        let transport = BaseTransport::to(&address)?;
        assert_eq!(parsed(&transport.to_string()).transport, transport);
        Some(transport.to_string())
    };
    let tcp = |text: &str| to(Address::Tcp(text.parse().unwrap())).unwrap();
    assert_eq!(tcp("127.0.0.1:25"), "tcp:127.0.0.1:25");
    assert_eq!(tcp("[::]:25"), "tcp:[::]:25");
    // A link-local address is one of several without its zone.
    assert_eq!(tcp("[fe80::1%2]:25"), "tcp:[fe80::1%2]:25");
    assert_eq!(to(Address::Unix(Some("@app".into()))).unwrap(), r"unix:\@app");
    assert_eq!(to(Address::Abstract(b"a:b".to_vec())).unwrap(), r"unix:@a\:b");
    assert_eq!(to(Address::Stdio).unwrap(), "stdio");
    // No string leads there.
    assert_eq!(to(Address::Abstract(vec![0xff])), None);
    assert_eq!(to(Address::Unix(None)), None);
}

#[test]
fn how_long_to_connect() {
    let with = |text: &str| match parsed(text).transport {
        BaseTransport::Tcp { timeout, .. } => timeout,
        other => panic!("{other:?}"),
    };
    assert_eq!(with("tcp:a:1"), ConnectTimeout::Standard);
    assert_eq!(with("tcp:a:1:timeout=5"), ConnectTimeout::Seconds(5.try_into().unwrap()));
    assert_eq!(with("tcp:timeout=none:a:1"), ConnectTimeout::Never);
    assert_eq!(parsed("tcp:timeout=07:[::1]:1").to_string(), "tcp:[::1]:1:timeout=7");
}

#[test]
fn how_a_silent_peer_is_asked() {
    let with = |text: &str| match parsed(text).transport {
        BaseTransport::Tcp { keep_alive, .. } => {
            keep_alive.map(|KeepAlive { idle, interval, count }| (idle, interval, count))
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(with("tcp:a:1"), Some((60, 15, 4)));
    assert_eq!(with("tcp:a:1:keepalive=5"), Some((5, 15, 4)));
    assert_eq!(with("tcp:a:1:keepalive-count=1:keepalive-interval=2"), Some((60, 2, 1)));
    assert_eq!(with("tcp:a:1:keepalive=off"), None);
    assert_eq!(parsed("tcp:a:1:keepalive=060:keepalive-count=9").to_string(), "tcp:a:1:keepalive-count=9");
}

#[test]
fn how_long_a_connection_may_be_silent() {
    for transport in
        ["tcp:a:1", "tcp:a:1:timeout=3:keepalive=off", "unix:s", "unix:@s", "stdio", "fd:3", "systemd:name=a"]
    {
        assert_eq!(parsed(transport).silence, Silence::default());
        let with = |keys: &str| {
            let text = format!("{transport}{keys}+tls");
            assert_eq!(parsed(&text).to_string(), text);
            assert_eq!(parsed(&text).transport, parsed(transport).transport);
            parsed(&text).silence
        };
        let silence = with(":idle=5:half-open=none");
        assert_eq!((silence.idle, silence.half_open), (SilenceLimit::seconds(5), SilenceLimit::Never));
        let silence = with(":half-open=7");
        assert_eq!((silence.idle, silence.half_open), (SilenceLimit::Unset, SilenceLimit::seconds(7)));
    }
    assert_eq!(parsed("unix:half-open=07:s:idle=1").to_string(), "unix:s:idle=1:half-open=7");
}

#[test]
fn an_at_begins_an_abstract_name_and_a_backslash_makes_it_a_path() {
    assert_eq!(parsed("unix:@app"), abstract_socket("app"));
    assert_eq!(parsed(r"unix:@a\:b"), abstract_socket("a:b"));
    assert_eq!(parsed("unix:@@"), abstract_socket("@"));
    assert_eq!(parsed(r"unix:\@app"), unix("@app"));
    assert_eq!(parsed("unix:./@app"), unix("./@app"));
    assert_eq!(unix("@app").to_string(), r"unix:\@app");
    assert_eq!(abstract_socket("app").to_string(), "unix:@app");
    // Elsewhere it means nothing.
    assert_eq!(parsed(r"unix:a+tls:ca=@b").to_string(), "unix:a+tls:ca=@b");
    assert_eq!(parsed(r"unix:a+tls:ca=\@b").to_string(), "unix:a+tls:ca=@b");
}

#[test]
fn every_proxy_header_key() {
    let text = "tcp:a:1+proxy-header:version=1:from=192.0.2.1:50000:to=[2001:db8::1]:443:local=yes:optional=yes+tls";
    let step = ProxyHeaderStep {
        version: Some(proxy_header::HeaderVersion::V1),
        from: Some("192.0.2.1:50000".parse().unwrap()),
        to: Some("[2001:db8::1]:443".parse().unwrap()),
        local: true,
        optional: true,
    };
    assert_eq!(parsed(text), tcp("a", 1).then(step).then(TlsStep::default()));
    assert_eq!(parsed(text).to_string(), text);
    assert_eq!(parsed("unix:a+proxy-header"), unix("a").then(ProxyHeaderStep::default()));
    // As it was once called.
    let former = text.replace("+proxy-header", "+proxy");
    assert_eq!((parsed(&former), parsed(&former).to_string()), (parsed(text), text.to_owned()));
}

#[test]
fn starttls_has_a_protocol_and_the_keys_of_tls() {
    let text = "tcp:a:1+starttls:smtp:name=b:opportunistic=yes:sni=mail.example:ca=ca.pem";
    let tls = TlsStep {
        server_name: Some("mail.example".into()),
        trust_anchors: Some("ca.pem".into()),
        ..Default::default()
    };
    let mut step = StartTlsStep::new(KnownProtocol::Smtp, tls);
    assert_eq!(parsed("tcp:a:1+starttls:smtp:sni=mail.example:ca=ca.pem"), tcp("a", 1).then(step.clone()));
    (step.name, step.opportunistic) = (Some("b".into()), true);
    assert_eq!(parsed(text), tcp("a", 1).then(step));
    assert_eq!(parsed(text).to_string(), text);
    for &(name, known) in KnownProtocol::ALL {
        let text = format!("unix:a+starttls:{name}");
        assert_eq!(parsed(&text), unix("a").then(StartTlsStep::new(known, TlsStep::default())));
        assert_eq!(parsed(&text).to_string(), text);
    }
}

fn target(host: &str, port: u16) -> Address {
    Address::to_host(host, port).unwrap()
}

#[test]
fn a_proxy_is_asked_for_the_target_that_its_step_names() {
    let text = r"tcp:a:1+tls+connect:b.example:2:version=2:user=me:password-file=p\\w:header=X-Who=me\=you:header=Via=a:timeout=5";
    let step = ConnectStep {
        version: HttpVersion::Http2,
        login: Login::File { user: "me".into(), password: r"p\w".replace(r"\\", r"\").into() },
        fields: vec![("X-Who".into(), "me=you".into()), ("Via".into(), "a".into())],
        timeout: ConnectTimeout::Seconds(5.try_into().unwrap()),
        ..ConnectStep::new(target("b.example", 2))
    };
    assert_eq!(parsed(text), tcp("a", 1).then(TlsStep::default()).then(step));
    let printed = r"header=X-Who\=me\=you:header=Via\=a:timeout=5";
    assert!(parsed(text).to_string().ends_with(printed), "{}", parsed(text));

    let text = "tcp:a:1+socks5:[::1]:2:dns=local:user=me:password-file=pw:timeout=none+socks4a:192.0.2.1:3:user=you+connect:c.example:4";
    let socks5 = Socks5Step {
        dns: Resolver::Local,
        login: Login::File { user: "me".into(), password: "pw".into() },
        timeout: ConnectTimeout::Never,
        ..Socks5Step::new(target("::1", 2))
    };
    let socks4a = Socks4aStep { user: Some("you".into()), ..Socks4aStep::new(target("192.0.2.1", 3)) };
    let endpoint = tcp("a", 1).then(socks5).then(socks4a).then(ConnectStep::new(target("c.example", 4)));
    assert_eq!(parsed(text), endpoint);
    assert_eq!(parsed(text).to_string(), text);
    assert_eq!(endpoint.target(), Some(target("c.example", 4)));
    assert_eq!(parsed("tcp:a:1+tls").target(), Some(target("a", 1)));
    assert_eq!(parsed("tcp:a:1+connect:b:2:version=auto+tls").to_string(), "tcp:a:1+connect:b:2+tls");
}

#[test]
fn two_layers_of_tls() {
    let text = "tcp:127.0.0.1:4433+tls:sni=outer.example:ca=ca.pem+tls:sni=inner.example";
    let outer = TlsStep {
        server_name: Some("outer.example".into()),
        trust_anchors: Some("ca.pem".into()),
        ..TlsStep::default()
    };
    let inner = TlsStep { server_name: Some("inner.example".into()), ..TlsStep::default() };
    assert_eq!(parsed(text), tcp("127.0.0.1", 4433).then(outer).then(inner));
    assert_eq!(parsed(text).to_string(), text);
}

#[test]
fn every_tls_key() {
    let text = "unix:s+tls:sni=a.example:ca=ca.pem:roots=webpki:insecure=yes:cert=chain.pem\
                :key=key.pem:alpn=h2,http/1.1:min=1.2:max=1.3:client-ca=clients.pem:keylog=yes\
                :verify=chain:names=a.example,192.0.2.7:pin=0707070707070707070707070707070707070707070707070707070707070707\
                :crl=a.crl:crl=b.crl:crl-unknown=accept:crl-expired=accept:client-auth=ask";
    let step = TlsStep {
        server_name: Some("a.example".into()),
        trust_anchors: Some("ca.pem".into()),
        roots: Some(TrustStore::Webpki),
        insecure: true,
        certificate: Some("chain.pem".into()),
        private_key: Some("key.pem".into()),
        alpn: vec!["h2".into(), "http/1.1".into()],
        min_version: Some(Version::Tls12),
        max_version: Some(Version::Tls13),
        client_trust_anchors: Some("clients.pem".into()),
        key_log: true,
        verify: Some(VerifyStep::Chain),
        names: vec!["a.example".into(), "192.0.2.7".into()],
        pins: vec![Pin::new([7; 32])],
        revocation_lists: vec!["a.crl".into(), "b.crl".into()],
        accept_unknown_revocation: true,
        accept_expired_lists: true,
        client_auth: Some(ClientAuth::Ask),
        ..TlsStep::default()
    };
    assert_eq!(parsed(text), unix("s").then(step));
    assert_eq!(parsed(text).to_string(), text);
}

#[test]
fn every_key_of_what_is_agreed_on() {
    let text = "unix:s+tls:ocsp=a.der:second-cert=b.pem:second-key=c.pem:second-ocsp=d.der\
                :groups=X25519,secp256r1:shares=1:suites=TLS_AES_128_GCM_SHA256:resumption=off:ticket-keys=keys";
    let step = TlsStep {
        ocsp_response: Some("a.der".into()),
        second_certificate: Some("b.pem".into()),
        second_private_key: Some("c.pem".into()),
        second_ocsp_response: Some("d.der".into()),
        ticket_keys: Some("keys".into()),
        groups: vec![Group::X25519, Group::SECP256R1],
        key_shares: Some(KeyShares::One),
        cipher_suites: vec![CipherSuite::TLS13_AES_128_GCM_SHA256.into()],
        without_resumption: true,
        ..TlsStep::default()
    };
    assert_eq!(parsed(text), unix("s").then(step));
    assert_eq!(parsed(text).to_string(), text);
    let other = text.replace("X25519", "x25519").replace("TLS_AES", "tls13_aes");
    assert_eq!(parsed(&other).to_string(), text);
}

#[test]
fn what_is_otherwise_for_a_name_stands_behind_it() {
    let text = "unix:s+tls:cert=a.pem:key=a.key:alpn=h2:handshake-timeout=5\
                :for=b.example:cert=b.pem:key=b.key:ocsp=b.der:second-cert=c.pem:second-key=c.key:second-ocsp=c.der\
                :client-ca=staff.pem:crl=a.crl:crl=b.crl:crl-unknown=accept:crl-expired=accept:client-auth=ask\
                :for=d.example:client-ca=all.pem";
    let b = NamedServer {
        certificate: Some("b.pem".into()),
        private_key: Some("b.key".into()),
        ocsp_response: Some("b.der".into()),
        second_certificate: Some("c.pem".into()),
        second_private_key: Some("c.key".into()),
        second_ocsp_response: Some("c.der".into()),
        client_trust_anchors: Some("staff.pem".into()),
        revocation_lists: vec!["a.crl".into(), "b.crl".into()],
        accept_unknown_revocation: true,
        accept_expired_lists: true,
        client_auth: Some(ClientAuth::Ask),
        ..NamedServer::new("b.example")
    };
    let d = NamedServer { client_trust_anchors: Some("all.pem".into()), ..NamedServer::new("d.example") };
    let step = TlsStep {
        certificate: Some("a.pem".into()),
        private_key: Some("a.key".into()),
        alpn: vec!["h2".into()],
        handshake_timeout: SilenceLimit::Seconds(std::num::NonZeroU32::new(5).unwrap()),
        named: vec![b.clone(), d],
        ..TlsStep::default()
    };
    assert_eq!(parsed(text), unix("s").then(step.clone()));
    assert_eq!(parsed(text).to_string(), text);
    // A key of the whole step is one before the names, in whichever order; and names have no case.
    let other = "unix:s+tls:alpn=h2:key=a.key:handshake-timeout=5:cert=a.pem:for=B.Example:key=b.key:cert=b.pem";
    let canonical = "unix:s+tls:cert=a.pem:key=a.key:alpn=h2:handshake-timeout=5:for=b.example:cert=b.pem:key=b.key";
    assert_eq!(parsed(other).to_string(), canonical);
    // So it is behind the words of a protocol, whose `name` is another matter.
    let text = "unix:s+starttls:smtp:name=mx.example:cert=a.pem:key=a.key:for=b.example:client-ca=staff.pem";
    let step = TlsStep {
        certificate: Some("a.pem".into()),
        private_key: Some("a.key".into()),
        named: vec![NamedServer { client_trust_anchors: Some("staff.pem".into()), ..NamedServer::new("b.example") }],
        ..TlsStep::default()
    };
    let step = StartTlsStep { name: Some("mx.example".into()), ..StartTlsStep::new(KnownProtocol::Smtp, step) };
    assert_eq!(parsed(text), unix("s").then(step));
    assert_eq!(parsed(text).to_string(), text);
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    use ErrorKind::*;
    let behind = "behind `for`, where what is for all stands before";
    for (text, kind, position, piece) in [
        ("unix:s+tls:for=a.example", MissingArgument, 24, "what is otherwise for \"a.example\" is missing"),
        ("unix:s+tls:for=a.example:for=b.example:cert=a", MissingArgument, 45, "for \"a.example\" is missing"),
        ("unix:s+tls:for=a.example:cert=a:alpn=h2", UnknownKey, 32, behind),
        ("unix:s+tls:for=a.example:cert=a:min=1.3", UnknownKey, 32, "the known ones are crl, cert, key"),
        ("unix:s+starttls:smtp:for=a.example:cert=a:name=b", UnknownKey, 42, behind),
        ("unix:s+starttls:smtp:for=a.example:cert=a:opportunistic=yes", UnknownKey, 42, behind),
        ("unix:s+tls:for=a.example:cert=a:cert=b", DuplicateKey, 32, "the key \"cert\" is given twice"),
        ("unix:s+tls:for=a.example:cert=a:for=A.example:cert=b", DuplicateKey, 36, "twice for \"a.example\""),
        ("unix:s+tls:for=a.example:8443:cert=a", UnexpectedArgument, 25, "KEY=VALUE"),
        ("unix:s+tls:for=:cert=a", InvalidValue, 15, "the host is empty"),
        ("unix:s+tls:for=*.example:cert=a", InvalidValue, 15, "no host"),
        ("unix:s+tls:for=192.0.2.1:cert=a", InvalidValue, 15, "write a DNS name"),
        ("unix:s+tls:for=[::1]:cert=a", InvalidValue, 15, "write a DNS name"),
        ("unix:s+tls:for=a.example.:cert=a", InvalidValue, 15, "without the dot"),
        ("unix:s+tls:for=a..example:cert=a", InvalidValue, 15, "no DNS name"),
    ] {
        let error = error(text);
        assert_eq!((error.kind(), error.position()), (kind, position), "{text}: {error}");
        assert!(error.to_string().contains(piece), "{text}: {error}");
    }
    // The control: before a name they are as they were.
    parsed("unix:s+tls:cert=a:alpn=h2:min=1.3:for=a.example:cert=a");
}

#[test]
fn the_canonical_form_orders_keys_and_drops_needless_writing() {
    assert_eq!(
        parsed(r"tcp:LOCALHOST:0025+tls:max=1.3:ca=a=b:sni=[::1]").to_string(),
        r"tcp:LOCALHOST:25+tls:sni=[::1]:ca=a\=b:max=1.3",
    );
}

#[test]
fn a_backslash_takes_the_meaning_away() {
    assert_eq!(parsed(r"unix:C\:\\a\+b\=c"), unix(r"C:\a+b=c"));
    assert_eq!(parsed(r"unix:\[a"), unix("[a"));
    assert_eq!(unix("[a:b]").to_string(), r"unix:\[a\:b]");
    assert_eq!(unix("a[b").to_string(), "unix:a[b");
}

/// Each string with what is wrong, the position, and a piece of the line that is printed.
#[test]
fn errors() {
    use ErrorKind::*;
    for (text, kind, position, piece) in [
        ("", EmptyStep, 0, "empty"),
        ("+", EmptyStep, 0, "empty"),
        ("unix:s+", EmptyStep, 7, "empty"),
        ("unix:s++tls", EmptyStep, 7, "empty"),
        (":a", EmptyStep, 0, "empty"),
        (r"unix:a\b", BadEscape, 6, r"\\"),
        (r"unix:a\", BadEscape, 6, r"\\"),
        ("tcp:[::1:25", BadBracket, 4, "never closed"),
        ("tcp:[::1]25", BadBracket, 9, "behind"),
        ("tpc:a:1", UnknownKind, 0, "tcp:HOST:PORT, unix:PATH"),
        ("tpc:a:1", UnknownKind, 0, "stdio, fd:NUMBER, systemd:INDEX"),
        (
            "unix:s+tsl",
            UnknownKind,
            7,
            "the known ones are tls, starttls:PROTOCOL, proxy-header, connect:HOST:PORT, socks5:HOST:PORT",
        ),
        ("unix:s+tls:ca=a+b.pem", UnknownKind, 16, r"write \+ for a plain plus"),
        ("tls:sni=a", Misplaced, 0, "tcp:HOST:PORT, unix:PATH"),
        ("tcp:a:1+unix:s", Misplaced, 8, "only come first"),
        ("unix:s+tls:ca=a:cn=b", UnknownKey, 16, "sni, ca, roots, insecure, cert, key"),
        ("unix:s+tls:=b", UnknownKey, 11, "client-ca"),
        (
            "unix:s+tls:groups=X25519,P-256",
            InvalidValue,
            18,
            "groups: \"P-256\" is no group: the known ones are X25519MLKEM768",
        ),
        (
            "unix:s+tls:suites=AES",
            InvalidValue,
            18,
            "suites: \"AES\" is no cipher suite: the known ones are TLS_AES_256",
        ),
        ("unix:s+tls:groups=X25519,", InvalidValue, 18, "empty"),
        ("unix:s+tls:shares=3", InvalidValue, 18, "write 1 or 2"),
        ("unix:s+tls:resumption=no", InvalidValue, 22, "write off"),
        ("tcp:a:1:timout=3", UnknownKey, 8, "timeout, keepalive, keepalive-interval, keepalive-count"),
        ("tcp:a:1:keepalive=0", InvalidValue, 18, "write seconds, or off, from 1 to 32767"),
        ("tcp:a:1:keepalive=32768", InvalidValue, 18, "from 1 to 32767"),
        ("tcp:a:1:keepalive=none", InvalidValue, 18, "\"none\" is no time"),
        ("tcp:a:1:keepalive-interval=off", InvalidValue, 27, "write seconds from 1 to 32767"),
        ("tcp:a:1:keepalive-count=128", InvalidValue, 24, "write a number from 1 to 127"),
        ("tcp:a:1:keepalive-count=3:keepalive=off", UnexpectedArgument, 24, "no interval and no count"),
        ("unix:s:timeout=3", UnknownKey, 7, "the known ones are idle, half-open"),
        ("stdio:fd=3", UnknownKey, 6, "the known ones are idle, half-open"),
        ("tcp:a:1:ilde=3", UnknownKey, 8, "timeout, keepalive, keepalive-interval, keepalive-count, idle, half-open"),
        ("tcp:a:1+tls:idle=3", UnknownKey, 12, "sni, ca, roots"),
        ("stdio:idle=0", InvalidValue, 11, "write whole seconds from 1 up, or none"),
        ("unix:s:half-open=off", InvalidValue, 17, "\"off\" is no time"),
        ("systemd:name=a:idle=1:idle=2", DuplicateKey, 22, "twice"),
        ("unix:s+starttls", MissingArgument, 15, "the protocol is missing: write starttls:PROTOCOL"),
        ("unix:s+starttls:smpt", InvalidValue, 16, "write smtp or lmtp or imap"),
        ("unix:s+starttls:smtp:ca=a:cn=b", UnknownKey, 26, "name, opportunistic, sni, ca"),
        ("proxy:1+tls", Misplaced, 0, "`proxy-header` cannot come first"),
        ("unix:s+proxy-header:form=a", UnknownKey, 20, "version, from, to, local, optional"),
        ("unix:s+tls:ca=a:ca=a", DuplicateKey, 16, "twice"),
        ("connect:a:1", Misplaced, 0, "`connect` cannot come first"),
        ("unix:s+connect", MissingArgument, 14, "HOST is missing: write connect:HOST:PORT"),
        ("unix:s+socks5:a", MissingArgument, 15, "PORT is missing: write socks5:HOST:PORT"),
        ("unix:s+socks5:a:0", InvalidValue, 16, "no port 0"),
        ("unix:s+connect:a..b:1", InvalidValue, 15, "nothing between two dots"),
        ("unix:s+connect:münchen.example:1", InvalidValue, 15, "A-labels"),
        ("unix:s+connect:[fe80::1%eth0]:1", InvalidValue, 15, "the zone"),
        ("unix:s+connect:u@a:1", InvalidValue, 15, "no host"),
        ("unix:s+socks4a:[::1]:1", InvalidValue, 15, "no words for an IPv6 address"),
        ("unix:s+connect:a:1:version=3", InvalidValue, 27, "1 or 2 or auto"),
        ("unix:s+socks5:a:1:dns=here", InvalidValue, 22, "remote or local"),
        ("unix:s+socks5:a:1:user=me", MissingArgument, 23, "user=NAME:password-file=FILE"),
        ("unix:s+connect:a:1:password-file=p", MissingArgument, 33, "user=NAME:password-file=FILE"),
        ("unix:s+connect:a:1:header=X", InvalidValue, 26, "header=NAME=VALUE"),
        ("unix:s+connect:a:1:header==X", InvalidValue, 26, "no name of a header"),
        ("unix:s+connect:a:1:header=X Y=Z", InvalidValue, 26, "no name of a header"),
        ("unix:s+connect:a:1:header=X=a\r\nb", InvalidValue, 26, "control character"),
        ("unix:s+connect:a:1:header=Content-Length=0", InvalidValue, 26, "not for you to say"),
        ("unix:s+connect:a:1:header=A=b:header=Host=b", InvalidValue, 37, "not for you to say"),
        ("unix:s+connect:a:1:header=Proxy-Authorization=b", InvalidValue, 26, "user= and password-file="),
        ("unix:s+connect:a:1:timeout=1:timeout=1", DuplicateKey, 29, "twice"),
        ("unix:s+connect:a:1:dns=local", UnknownKey, 19, "version, user, password-file, header, timeout"),
        ("tcp", MissingArgument, 3, "HOST"),
        ("tcp:25", MissingArgument, 6, "PORT is missing: write tcp:HOST:PORT"),
        ("tcp:25+tls", MissingArgument, 6, "PORT"),
        ("unix", MissingArgument, 4, "unix:PATH"),
        ("fd", MissingArgument, 2, "NUMBER is missing: write fd:NUMBER"),
        ("systemd", MissingArgument, 7, "name=NAME"),
        ("unix:s+proxy-header:from=1.2.3.4", MissingArgument, 32, "is missing: write from=1.2.3.4:PORT"),
        ("unix:s+proxy-header:from=[::1]:to=[::1]:1", MissingArgument, 41, "is missing: write from=[::1]:PORT"),
        ("tcp:a:1:2", UnexpectedArgument, 8, "write an argument as KEY=VALUE, the keys are timeout, keepalive"),
        ("stdio:a", UnexpectedArgument, 6, "the keys are idle, half-open"),
        ("fd:3:4", UnexpectedArgument, 5, "the keys are idle, half-open"),
        ("systemd:0:name=a", UnexpectedArgument, 8, "one of them"),
        ("unix:s+proxy-header:1.2.3.4", UnexpectedArgument, 20, "KEY=VALUE"),
        ("unix:s+proxy-header:25:from=1.2.3.4:25", UnexpectedArgument, 20, "KEY=VALUE"),
        ("unix:s+tls:a.example", UnexpectedArgument, 11, "KEY=VALUE"),
        ("unix:s+tls:", UnexpectedArgument, 11, "KEY=VALUE"),
        ("tcp::25", InvalidValue, 4, "host is empty: write a name"),
        ("tcp://a:25", InvalidValue, 4, "\"//a\" is no host: write a name or an address"),
        ("tcp:[]:25", InvalidValue, 4, "no IPv6"),
        ("tcp:[a.example]:25", InvalidValue, 4, "no IPv6"),
        ("tcp:[::1%]:25", InvalidValue, 4, "no IPv6"),
        (r"tcp:\:\:1:25", InvalidValue, 4, "brackets"),
        ("tcp:a b:25", InvalidValue, 4, "no host: write a name"),
        ("tcp:a:", InvalidValue, 6, "65535"),
        ("tcp:a:65536", InvalidValue, 6, "65535"),
        ("tcp:a:-1", InvalidValue, 6, "65535"),
        (r"tcp:a:\+1", InvalidValue, 6, "65535"),
        ("tcp:a:smtp", InvalidValue, 6, "65535"),
        ("tcp:a:[25]", InvalidValue, 6, "65535"),
        ("tcp:a:1:timeout=", InvalidValue, 16, "none"),
        ("tcp:a:1:timeout=0", InvalidValue, 16, "seconds from 1"),
        ("tcp:a:1:timeout=1.5", InvalidValue, 16, "seconds from 1"),
        ("tcp:a:1:timeout=4294967296", InvalidValue, 16, "seconds from 1"),
        ("tcp:a:1:timeout=[none]", InvalidValue, 16, "seconds from 1"),
        ("unix:@", InvalidValue, 5, "follows the @"),
        ("fd:x", InvalidValue, 3, "no descriptor"),
        ("fd:-1", InvalidValue, 3, "no descriptor"),
        ("fd:", InvalidValue, 3, "no descriptor"),
        ("systemd:http", InvalidValue, 8, "no index"),
        ("systemd:name=", InvalidValue, 13, "empty"),
        ("unix:s+proxy-header:version=3", InvalidValue, 28, "1 or 2"),
        ("unix:s+proxy-header:from=a:1", InvalidValue, 25, "no IP address"),
        ("unix:s+proxy-header:from=[1.2.3.4]:1", InvalidValue, 25, "no IP address"),
        ("unix:s+proxy-header:from=[fe80::1%eth0]:1", InvalidValue, 25, "no IP address"),
        (r"unix:s+proxy-header:to=\:\:1:1", InvalidValue, 23, "brackets"),
        ("unix:s+proxy-header:to=1.2.3.4:65536", InvalidValue, 31, "no port"),
        ("unix:s+proxy-header:local=no", InvalidValue, 26, "yes"),
        ("unix:s+proxy-header:optional=", InvalidValue, 29, "yes"),
        ("unix:", InvalidValue, 5, "empty"),
        ("unix:[s]", InvalidValue, 5, "IPv6"),
        ("unix:s+tls:sni=", InvalidValue, 15, "empty"),
        ("unix:s+tls:min=1.1", InvalidValue, 15, "1.2 or 1.3"),
        ("unix:s+tls:roots=mozilla", InvalidValue, 17, "system or webpki"),
        ("unix:s+tls:insecure=no", InvalidValue, 20, "yes"),
        ("unix:s+tls:verify=all", InvalidValue, 18, "write name or chain or pin or nothing"),
        ("unix:s+tls:names=a.example,*.b", InvalidValue, 17, "names: \"*.b\" is neither a DNS name nor an IP address"),
        ("unix:s+tls:names=", InvalidValue, 17, "a value is empty"),
        ("unix:s+tls:names=a,,b", InvalidValue, 17, "between two commas is empty"),
        ("unix:s+tls:pin=abc", InvalidValue, 15, "pin: \"abc\" is no pin"),
        ("unix:s+tls:crl=", InvalidValue, 15, "a value is empty"),
        ("unix:s+tls:crl=a:crl-unknown=yes", InvalidValue, 29, "write accept"),
        ("unix:s+tls:client-auth=maybe", InvalidValue, 23, "write demand or ask"),
        ("unix:s+tls:alpn=h2,,h3", InvalidValue, 16, "commas"),
    ] {
        let error = error(text);
        assert_eq!((error.kind(), error.position()), (kind, position), "{text}: {error}");
        assert!(error.to_string().contains(piece), "{text}: {error}");
    }
}

#[test]
fn questions_match_the_kind() {
    assert!(error("").is_syntax());
    assert!(error(r"unix:\a").is_syntax());
    assert!(error("tcp:[").is_syntax());
    assert!(error("a").is_unknown_kind());
    assert!(error("tls").is_misplaced());
    assert!(error("unix:s:a=b").is_unknown_key());
    assert!(error("unix:s+tls:ca=a:ca=b").is_duplicate_key());
    assert!(error("unix").is_missing_argument());
    assert!(error("unix:a:b").is_unexpected_argument());
    assert!(error("unix:").is_invalid_value());
    assert!(!error("unix:").is_syntax());
}

#[test]
fn the_caret_counts_characters_and_stays_on_its_line() {
    let printed = format!("{:#}", error("unix:größe\n+tsl"));
    let lines: Vec<_> = printed.lines().collect();
    let message = r#"unknown step "tsl": the known ones are tls, starttls:PROTOCOL, proxy-header, connect:HOST:PORT, socks5:HOST:PORT, socks4a:HOST:PORT (write \+ for a plain plus)"#;
    assert_eq!(lines, [message, "  unix:größe?+tsl", "              ^"]);
    assert!(!error("tcp:a\nb:1").to_string().contains('\n'));
}

fn host_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9][a-z0-9.-]{0,20}",
        any::<std::net::Ipv4Addr>().prop_map(|address| address.to_string()),
        any::<std::net::Ipv6Addr>().prop_map(|address| address.to_string()),
    ]
}

/// Any text but none, with many of the characters that mean something.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![r"[:=+\\\[\]@a,%]{1,8}", "\\PC{1,12}", "(?s).{1,6}"]
}

fn path() -> impl Strategy<Value = std::path::PathBuf> {
    any_text().prop_map(Into::into)
}

fn transport() -> impl Strategy<Value = BaseTransport> {
    prop_oneof![
        (host_text(), any::<u16>(), timeout(), option::of(keep_alive()))
            .prop_map(|(host, port, timeout, keep_alive)| BaseTransport::Tcp { host, port, timeout, keep_alive }),
        path().prop_map(|path| BaseTransport::Unix { path }),
        any_text().prop_map(|name| BaseTransport::Abstract { name }),
        Just(BaseTransport::Stdio),
        any::<u32>().prop_map(|number| BaseTransport::Descriptor { number }),
        any::<u32>().prop_map(|index| BaseTransport::Systemd(SystemdSocket::Index(index))),
        any_text().prop_map(|name| BaseTransport::Systemd(SystemdSocket::Name(name))),
    ]
}

fn timeout() -> impl Strategy<Value = ConnectTimeout> {
    prop_oneof![
        Just(ConnectTimeout::Standard),
        Just(ConnectTimeout::Never),
        any::<std::num::NonZeroU32>().prop_map(ConnectTimeout::Seconds),
    ]
}

fn keep_alive() -> impl Strategy<Value = KeepAlive> {
    let seconds = || prop_oneof![1..=32_767u16, Just(15), Just(60)];
    (seconds(), seconds(), 1..=127u8).prop_map(|(idle, interval, count)| KeepAlive { idle, interval, count })
}

fn socket_address() -> impl Strategy<Value = std::net::SocketAddr> {
    (any::<std::net::IpAddr>(), any::<u16>()).prop_map(Into::into)
}

prop_compose! {
    fn proxy_header_step()(
        version in option::of(prop_oneof![Just(proxy_header::HeaderVersion::V1), Just(proxy_header::HeaderVersion::V2)]),
        from in option::of(socket_address()),
        to in option::of(socket_address()),
        local in any::<bool>(),
        optional in any::<bool>(),
    ) -> ProxyHeaderStep {
        ProxyHeaderStep { version, from, to, local, optional }
    }
}

fn version() -> impl Strategy<Value = Version> {
    prop_oneof![Just(Version::Tls12), Just(Version::Tls13)]
}

fn agreement() -> impl Strategy<Value = (Vec<Group>, Option<KeyShares>, Vec<Suite>, bool)> {
    let group = prop_oneof![Just(Group::X25519_ML_KEM_768), Just(Group::SECP256R1), Just(Group::ML_KEM_1024)];
    let shares = prop_oneof![Just(KeyShares::One), Just(KeyShares::Two)];
    let suite = prop_oneof![
        Just(CipherSuite::TLS13_AES_128_GCM_SHA256.into()),
        Just(CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256.into()),
    ];
    (vec(group, 0..3), option::of(shares), vec(suite, 0..3), any::<bool>())
}

prop_compose! {
    fn tls_step()(
        server_name in option::of(host_text()),
        paths in [option::of(path()), option::of(path()), option::of(path()), option::of(path())].boxed(),
        roots in option::of(prop_oneof![Just(TrustStore::System), Just(TrustStore::Webpki)]),
        insecure in any::<bool>(),
        alpn in vec(any_text().prop_map(|name| name.replace(',', ";")), 0..3),
        min_version in option::of(version()),
        max_version in option::of(version()),
        key_log in any::<bool>(),
        (groups, key_shares, cipher_suites, without_resumption) in agreement().boxed(),
        verification in verification().boxed(),
        named in vec(named_server(), 0..3).boxed(),
        handshake_timeout in silence_limit(),
        server_files in [option::of(path()), option::of(path()), option::of(path()), option::of(path()), option::of(path())].boxed(),
    ) -> TlsStep {
        let [ocsp_response, second_certificate, second_private_key, second_ocsp_response, ticket_keys] = server_files;
        let [trust_anchors, certificate, private_key, client_trust_anchors] = paths;
        TlsStep {
            server_name,
            trust_anchors,
            roots,
            insecure,
            certificate,
            private_key,
            alpn,
            min_version,
            max_version,
            ocsp_response,
            second_certificate,
            second_private_key,
            second_ocsp_response,
            ticket_keys,
            groups,
            key_shares,
            cipher_suites,
            without_resumption,
            client_trust_anchors,
            key_log,
            handshake_timeout,
            named: unlike(named),
            ..verification
        }
    }
}

/// Those of different names.
fn unlike(mut named: Vec<NamedServer>) -> Vec<NamedServer> {
    named.sort_by(|one, other| one.name.cmp(&other.name));
    named.dedup_by(|one, other| one.name == other.name);
    named
}

fn named_server() -> impl Strategy<Value = NamedServer> {
    let files = [option::of(path()), option::of(path()), option::of(path()), option::of(path())];
    let second = [option::of(path()), option::of(path())];
    ("[a-z_]{1,9}(\\.[a-z]{1,9}){0,2}", path(), files, second, verification()).prop_map(
        |(name, certificate, [key, ocsp, client_ca, second_ocsp], [second, second_key], verification)| NamedServer {
            certificate: Some(certificate),
            private_key: key,
            ocsp_response: ocsp,
            second_certificate: second,
            second_private_key: second_key,
            second_ocsp_response: second_ocsp,
            client_trust_anchors: client_ca,
            revocation_lists: verification.revocation_lists,
            accept_unknown_revocation: verification.accept_unknown_revocation,
            accept_expired_lists: verification.accept_expired_lists,
            client_auth: verification.client_auth,
            ..NamedServer::new(name)
        },
    )
}

prop_compose! {
    /// What says how the peer is verified.
    fn verification()(
        verify in option::of(prop_oneof![Just(VerifyStep::Name), Just(VerifyStep::Chain), Just(VerifyStep::Pin)]),
        names in vec("[a-z_]{1,9}(\\.[a-z]{1,9}){0,2}|2001:db8::[1-9]", 0..3),
        pins in vec(any::<[u8; 32]>().prop_map(Pin::new), 0..3),
        revocation_lists in vec(path(), 0..3),
        accept in any::<[bool; 2]>(),
        client_auth in option::of(prop_oneof![Just(ClientAuth::Demand), Just(ClientAuth::Ask)]),
    ) -> TlsStep {
        let [accept_unknown_revocation, accept_expired_lists] = accept;
        TlsStep {
            verify,
            names,
            pins,
            revocation_lists,
            accept_unknown_revocation,
            accept_expired_lists,
            client_auth,
            ..TlsStep::default()
        }
    }
}

fn askable() -> impl Strategy<Value = Address> {
    let name = "[a-zA-Z0-9_]{1,20}(\\.[a-z0-9-]{1,20}){0,3}[a-z]";
    let host = prop_oneof![
        name,
        any::<std::net::Ipv4Addr>().prop_map(|address| address.to_string()),
        any::<std::net::Ipv6Addr>().prop_map(|address| address.to_string()),
    ];
    (host, 1..=u16::MAX).prop_map(|(host, port)| target(&host, port))
}

fn login() -> impl Strategy<Value = Login> {
    let file = (any_text(), path()).prop_map(|(user, password)| Login::File { user, password });
    prop_oneof![Just(Login::None), file]
}

fn field() -> impl Strategy<Value = (String, String)> {
    let value =
        any_text().prop_map(|text| text.chars().filter(|c| !c.is_control()).collect::<String>().trim().to_owned());
    ("X-[A-Za-z!#-]{0,8}", value)
}

fn tunnel_step() -> impl Strategy<Value = Step> {
    let version = prop_oneof![Just(HttpVersion::Auto), Just(HttpVersion::Http1), Just(HttpVersion::Http2)];
    let dns = prop_oneof![Just(Resolver::Remote), Just(Resolver::Local)];
    let is_ipv4 = |target: &Address| !target.as_tcp().is_some_and(|address| address.is_ipv6());
    let user = option::of(any_text().prop_map(|user| user.replace('\0', "0")));
    prop_oneof![
        (askable(), version, login(), vec(field(), 0..3), timeout()).prop_map(
            |(target, version, login, fields, timeout)| ConnectStep { target, version, login, fields, timeout }.into()
        ),
        (askable(), dns, login(), timeout()).prop_map(|(target, dns, login, timeout)| Socks5Step {
            target,
            dns,
            login,
            timeout
        }
        .into()),
        (askable().prop_filter("SOCKS4a has no IPv6", is_ipv4), user, timeout())
            .prop_map(|(target, user, timeout)| Socks4aStep { target, user, timeout }.into()),
    ]
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    // In boxes: a step of TLS by value, with how to make it simpler, is more than the stack of a test has room for.
    let step = prop_oneof![
        tls_step().prop_map(Step::from).boxed(),
        proxy_header_step().prop_map(Step::from).boxed(),
        tunnel_step().boxed(),
    ];
    let steps = vec(step, 0..4);
    let silence = (silence_limit(), silence_limit()).prop_map(|(idle, half_open)| Silence { idle, half_open });
    (transport(), silence, deadlines(), tcp_options(), steps).prop_map(
        |(transport, silence, mut deadlines, mut tcp, steps)| {
            if !matches!(transport, BaseTransport::Tcp { .. }) {
                (deadlines.resolve, deadlines.connect, tcp) = (None, None, TcpOptions::default());
            }
            Endpoint { transport, silence, deadlines, tcp, steps }
        },
    )
}

fn deadlines() -> impl Strategy<Value = Deadlines> {
    let limit = || option::of(any::<std::num::NonZeroU32>());
    (limit(), limit(), limit()).prop_map(|(resolve, connect, total)| Deadlines { resolve, connect, total })
}

fn tcp_options() -> impl Strategy<Value = TcpOptions> {
    let ports = (1..=u16::MAX, 1..=u16::MAX).prop_map(|(one, other)| one.min(other)..=one.max(other));
    let size = || option::of(1..=1_u32 << 30);
    let user_timeout = option::of((1..=2_147_483_u64).prop_map(Duration::from_secs));
    let flags = (any::<bool>(), any::<bool>());
    (
        option::of(any::<std::net::IpAddr>()),
        option::of(ports),
        user_timeout,
        size(),
        size(),
        option::of(0..=63_u8),
        flags,
    )
        .prop_map(
            |(bind, bind_ports, user_timeout, receive_buffer, send_buffer, dscp, (fast_open, reuse_port))| TcpOptions {
                bind,
                bind_ports,
                user_timeout,
                receive_buffer,
                send_buffer,
                dscp,
                fast_open,
                reuse_port,
            },
        )
}

fn silence_limit() -> impl Strategy<Value = SilenceLimit> {
    prop_oneof![
        Just(SilenceLimit::Unset),
        Just(SilenceLimit::Never),
        any::<std::num::NonZeroU32>().prop_map(SilenceLimit::Seconds),
    ]
}

/// Strings that come near to the grammar.
fn junk() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[:=+\\\\\\[\\]@]",
        "tcp|unix|stdio|fd|systemd|name|timeout|keepalive|off|idle|half-open|none|proxy-header|proxy|connect|socks5|socks4a|version|auto|user|password-file|header|dns|local|from|to|tls|sni|ca|alpn|min|1\\.3|yes|::1|localhost|25",
        "\\PC",
    ];
    vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

#[test]
fn a_password_that_is_written_where_none_belongs_is_not_shown() {
    for (text, shown) in [
        ("tcp:a:1+socks5:b:2:user=u:password=peel", "tcp:a:1+socks5:b:2:user=u:password=****"),
        (r"tcp:a:1+connect:b:2:password=p\:e\\:user=u+tls", "tcp:a:1+connect:b:2:password=******:user=u+tls"),
        ("tcp:a:1:password=p+tls:password=é", "tcp:a:1:password=*+tls:password=**"),
        ("tcp:a:1+tls:passwort=p", "tcp:a:1+tls:passwort=p"),
    ] {
        let error = error(text);
        assert_eq!(without_passwords(text), shown);
        assert!(format!("{error:#?} {error}").lines().any(|line| line.trim() == shown), "{error:#}");
    }
}

proptest! {
    #[test]
    fn what_is_printed_parses_back(endpoint in endpoint()) {
        let text = endpoint.to_string();
        prop_assert_eq!(parsed(&text), endpoint);
        prop_assert_eq!(parsed(&text).to_string(), text);
    }

    #[test]
    fn junk_is_an_endpoint_or_an_error_in_place(text in prop_oneof![junk(), any::<String>()]) {
        match text.parse::<Endpoint>() {
            Ok(endpoint) => prop_assert_eq!(parsed(&endpoint.to_string()), endpoint),
            Err(error) => {
                prop_assert!(text.is_char_boundary(error.position()));
                prop_assert_eq!(error.to_string().lines().count(), 1);
                prop_assert_eq!(format!("{error:#}").lines().count(), 3);
            }
        }
    }
}
