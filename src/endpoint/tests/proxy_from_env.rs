//! Which proxy the environment names, by tables.

use crate::endpoint::{Endpoint, Step, proxy_from_env};

/// The endpoint as it is reached with these variables, or the error.
fn through(endpoint: &str, variables: &[(&str, &str)]) -> String {
    let endpoint: Endpoint = endpoint.parse().unwrap();
    let variable =
        |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    match proxy_from_env(&endpoint, variable) {
        Ok(endpoint) => endpoint.to_string(),
        Err(error) => format!("error: {error}"),
    }
}

#[test]
fn the_variable_of_the_scheme_comes_before_that_for_all() {
    let tls = "tcp:a.example:443+tls";
    let [first, second] = ["tcp:one:1+connect:a.example:443+tls", "tcp:two:2+connect:a.example:443+tls"];
    for (variables, reached) in [
        (&[][..], tls),
        (&[("https_proxy", "one:1"), ("HTTPS_PROXY", "two:2"), ("all_proxy", "two:2")], first),
        (&[("HTTPS_PROXY", "http://one:1"), ("ALL_PROXY", "two:2")], first),
        (&[("HTTPS_PROXY", ""), ("ALL_PROXY", "two:2/")], second),
        (&[("all_proxy", "two:2"), ("ALL_PROXY", "one:1")], second),
        (&[("http_proxy", "one:1"), ("smtp_proxy", "one:1")], tls),
    ] {
        assert_eq!(through(tls, variables), reached, "{variables:?}");
    }
    let clear = "tcp:a.example:80";
    assert_eq!(through(clear, &[("http_proxy", "one:1")]), "tcp:one:1+connect:a.example:80");
    // Whoever asks a web server can set it, by a header `Proxy`.
    assert_eq!(through(clear, &[("HTTP_PROXY", "one:1")]), clear);
    let mail = "tcp:a.example:25+starttls:smtp";
    assert_eq!(through(mail, &[("SMTP_PROXY", "one:1")]), "tcp:one:1+connect:a.example:25+starttls:smtp");
    assert_eq!(through(mail, &[("https_proxy", "one:1")]), mail);
}

#[test]
fn a_proxy_is_a_url() {
    for (url, reached) in [
        ("proxy", "tcp:proxy:1080+connect:a:1"),
        ("HTTP://proxy:8080/", "tcp:proxy:8080+connect:a:1"),
        ("https://proxy", "tcp:proxy:443+tls+connect:a:1"),
        ("socks4a://me@proxy", "tcp:proxy:1080+socks4a:a:1:user=me"),
        ("socks5://proxy:9", "tcp:proxy:9+socks5:a:1:dns=local"),
        ("socks5h://[::1]:9", "tcp:[::1]:9+socks5:a:1"),
    ] {
        assert_eq!(through("tcp:a:1", &[("ALL_PROXY", url)]), reached);
    }
    for url in
        ["socks4://a:1", "ftp://a", "://a", "http://", "http://:1", "a:x", "a:65536", "a:0", "[::1", "a b", "a%20b:1"]
    {
        let error = through("tcp:a:1", &[("ALL_PROXY", url)]);
        assert!(error.starts_with("error: ALL_PROXY in the environment: "), "{url}: {error}");
    }
}

/// The user and the password are in the step, and in nothing that is printed.
#[test]
fn a12_credentials_are_decoded_and_not_shown() {
    let endpoint: Endpoint = "tcp:a:1".parse().unwrap();
    let with = |url: &str| proxy_from_env(&endpoint, |name| (name == "ALL_PROXY").then(|| url.to_owned()));
    let through = with("http://on%69on:p%40ss:%2F@proxy:1").unwrap();
    let Step::Connect(step) = &through.steps[0] else { panic!("{through}") };
    let crate::endpoint::Login::Known(credentials) = &step.login else { panic!("{step:?}") };
    assert_eq!((credentials.user(), credentials.password()), ("onion", &b"p@ss:/"[..]));
    let shown = format!("{through} {through:?}");
    assert!(!shown.contains("p@ss") && !shown.contains("onion"), "{shown}");
    for url in
        ["http://u:secret%4@proxy:1", "gopher://u:secret@proxy:1", "http://:secret@proxy:1", "http://u:secret@:1"]
    {
        let error = with(url).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
    }
}

#[test]
fn exceptions_are_names_with_all_below_them_addresses_and_networks() {
    for (host, exceptions, is_exception) in [
        ("a.example", "*", true),
        ("a.example", "b,*", false),
        ("a.example", "example", true),
        ("a.example", ".example", true),
        ("A.Example.", "b.example , a.example.", true),
        ("a.example", "a.example b", true),
        ("na.example", "a.example", false),
        ("a.example", "b.a.example", false),
        ("a.example", "a.example:443", false),
        ("a.example", ".", false),
        ("10.1.2.3", "10.0.0.0/8", true),
        ("10.1.2.3", "10.1.2.3", true),
        ("10.1.2.3", "10.1.2.0/31", false),
        ("10.1.2.3", "10.1.2.3/33", false),
        ("10.1.2.3", "10.1.2.3/x", false),
        ("10.1.2.3", "2.3,::/0", false),
        ("10.1.2.3", "0.0.0.0/0", true),
        ("[2001:db8::1]", "2001:db8::/32", true),
        ("[2001:db8::1]", "[2001:db8::1]", true),
        ("[2001:db9::1]", "2001:db8::/32", false),
    ] {
        let endpoint = format!("tcp:{host}:443+tls");
        for name in ["no_proxy", "NO_PROXY"] {
            let reached = through(&endpoint, &[("ALL_PROXY", "proxy:1"), (name, exceptions)]);
            assert_eq!(reached == endpoint, is_exception, "{host} {exceptions:?}: {reached}");
        }
    }
    let both = [("ALL_PROXY", "proxy:1"), ("no_proxy", "b"), ("NO_PROXY", "a")];
    assert_eq!(through("tcp:a:1", &both), "tcp:proxy:1+connect:a:1");
}

#[test]
fn what_goes_through_a_proxy_already_or_is_no_tcp_stays_as_it_is() {
    for endpoint in ["unix:/run/a", "tcp:b:1+connect:a:1+tls", "stdio+tls"] {
        assert_eq!(through(endpoint, &[("ALL_PROXY", "proxy:1")]), endpoint);
    }
    let reached = through("tcp:a:1:timeout=5:idle=9+proxy-header+tls", &[("ALL_PROXY", "proxy:1")]);
    assert_eq!(reached, "tcp:proxy:1:timeout=5:idle=9+connect:a:1+proxy-header+tls");
}
