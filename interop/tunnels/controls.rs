//! Positive controls: each proxy of others with clients that are not ours either, and what it does when it refuses.

use super::origin::{Origin, PAGE};
use crate::Case;
use crate::bench::Bench;
use crate::clients::tunnel::{
    HTTPS_PROXY_AGENT, PYSOCKS, PYTHON, PYTHON_H2, UNDICI, curl_through, ncat_through, node_through, python_through,
    s_client_through, stunnel_through,
};
use crate::servers::Server;
use crate::servers::apache::APACHE;
use crate::servers::dante::DANTE;
use crate::servers::microsocks::{MICROSOCKS, MICROSOCKS_LOGIN};
use crate::servers::nghttpx::NGHTTPX;
use crate::servers::openssh::OPENSSH;
use crate::servers::place::Running;
use crate::servers::privoxy::PRIVOXY;
use crate::servers::squid::SQUID;
use crate::servers::tinyproxy::TINYPROXY;
use crate::servers::tor::TOR;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = CURL.iter().map(Way::case).collect();
    cases.extend(tools());
    cases.extend(scripts());
    cases
}

/// A proxy as curl is told of it.
struct Way {
    server: &'static Server,
    service: &'static str,
    /// The beginning of curl's URL for it.
    scheme: &'static str,
    /// What curl says of a refusal, if this proxy refuses; else the page is shown.
    refusal: Option<&'static str>,
}

impl Way {
    fn case(&'static self) -> Case {
        control(self.server, "curl", &format!("a tunnel, {} {}", self.service, self.scheme), |bench, running| {
            let origin = Origin::web(bench);
            let proxy = format!("{}{}", self.scheme, running.address(self.service));
            let ended = curl_through(bench, &["--proxy", &proxy], &origin.by_name());
            match self.refusal {
                None => {
                    ended.with(PAGE);
                }
                Some(refusal) => {
                    assert!(!ended.is_content() && ended.said.contains(refusal), "{}", ended.said);
                    curl_through(bench, &["--noproxy", "*"], &origin.by_name()).with(PAGE);
                }
            }
        })
    }
}

fn tools() -> Vec<Case> {
    vec![
        control(&SQUID, "openssl", "a tunnel", |bench, squid| {
            let origin = Origin::web(bench);
            s_client_through(bench, &[], &squid.address("http"), &origin.by_name()).with(PAGE);
        }),
        control(&SQUID, "ncat", "a tunnel with a log-in", |bench, squid| {
            let (origin, options) = (Origin::web(bench), ["--proxy-auth", "onion:peel"]);
            ncat_through(bench, "http", &options, &squid.address("http-login"), &origin.by_name())
                .expect(PAGE.trim_end());
        }),
        control(&SQUID, "stunnel4", "a tunnel", |bench, squid| {
            let origin = Origin::web(bench);
            assert!(stunnel_through(bench, &squid.address("http"), &origin.by_name()).ends_with(PAGE));
        }),
        control(&MICROSOCKS, "ncat", "a tunnel", |bench, microsocks| {
            let origin = Origin::web(bench);
            ncat_through(bench, "socks5", &[], &microsocks.address("socks"), &origin.by_name()).expect(PAGE.trim_end());
        }),
        control(&DANTE, "ncat", "a tunnel by SOCKS4", |bench, dante| {
            let origin = Origin::web(bench);
            let options = ["--proxy-dns", "local"];
            ncat_through(bench, "socks4", &options, &dante.address("socks"), &origin.by_name()).expect(PAGE.trim_end());
        }),
    ]
}

fn scripts() -> Vec<Case> {
    let python =
        |what: &'static str, server: &'static Server, service: &'static str, login: &'static [&'static str]| {
            control(server, "python3", &format!("a tunnel, {what}"), move |bench, running| {
                let origin = Origin::web(bench);
                let ended = python_through(bench, what, &running.address(service), &origin.by_name(), login);
                ended.with(PAGE);
                ended.with("content");
            })
            .uses(PYTHON)
        };
    let node = |what: &'static str, server: &'static Server, service: &'static str, scheme: &'static str| {
        control(server, "node", &format!("a tunnel, {what}, {scheme}"), move |bench, running| {
            let origin = Origin::web(bench);
            let proxy = running.address(service).replace("127.0.0.1", "localhost");
            let ended = node_through(bench, what, &format!("{scheme}://{proxy}"), &origin.by_name());
            ended.with(PAGE);
            ended.with("content");
        })
    };
    let login = &["onion", "peel"];
    vec![
        python("http.client", &SQUID, "http-login", login),
        python("pysocks-http", &SQUID, "http", &[]).uses(PYSOCKS),
        python("pysocks-socks5", &MICROSOCKS_LOGIN, "socks", login).uses(PYSOCKS),
        python("pysocks-socks4a", &OPENSSH, "socks", &[]).uses(PYSOCKS),
        python("h2", &NGHTTPX, "https", &[]).uses(PYTHON_H2),
        python("h2", &APACHE, "https", &[]).uses(PYTHON_H2),
        python("h2c", &NGHTTPX, "h2c", &[]).uses(PYTHON_H2),
        python("h2c", &APACHE, "http", &[]).uses(PYTHON_H2),
        node("https-proxy-agent", &SQUID, "http", "http").uses(HTTPS_PROXY_AGENT),
        node("https-proxy-agent", &SQUID, "https", "https").uses(HTTPS_PROXY_AGENT),
        node("undici", &SQUID, "http", "http").uses(UNDICI),
        node("undici", &SQUID, "https", "https").uses(UNDICI),
        node("http2", &NGHTTPX, "https", "https"),
        node("http2", &APACHE, "https", "https"),
    ]
}

/// A case for one proxy and one client.
fn control(
    server: &'static Server,
    client: &'static str,
    what: &str,
    run: impl FnOnce(&Bench, &Running) + Send + 'static,
) -> Case {
    let name = format!("{} with {client}: {what}", server.name);
    Case::new(name, move |bench| run(bench, bench.server(server))).uses(client).talks_to(&[server])
}

const CURL: &[Way] = &[
    Way { server: &SQUID, service: "http", scheme: "http://", refusal: None },
    Way { server: &SQUID, service: "https", scheme: "https://", refusal: None },
    Way { server: &SQUID, service: "http-login", scheme: "http://onion:peel@", refusal: None },
    Way { server: &SQUID, service: "http-login", scheme: "http://", refusal: Some("response 407") },
    Way { server: &SQUID, service: "http-login", scheme: "http://onion:other@", refusal: Some("response 407") },
    Way { server: &TINYPROXY, service: "http", scheme: "http://", refusal: None },
    Way { server: &PRIVOXY, service: "http", scheme: "http://", refusal: None },
    Way { server: &APACHE, service: "http", scheme: "http://", refusal: None },
    Way { server: &APACHE, service: "https", scheme: "https://", refusal: None },
    Way { server: &NGHTTPX, service: "https", scheme: "https://", refusal: None },
    Way { server: &DANTE, service: "socks", scheme: "socks5h://", refusal: None },
    // It takes the address that stands for a name in SOCKS4a for one.
    Way { server: &DANTE, service: "socks", scheme: "socks4a://", refusal: Some("rejected or failed") },
    Way { server: &MICROSOCKS, service: "socks", scheme: "socks5h://", refusal: None },
    Way { server: &MICROSOCKS, service: "socks", scheme: "socks5://", refusal: None },
    Way { server: &MICROSOCKS_LOGIN, service: "socks", scheme: "socks5h://onion:peel@", refusal: None },
    Way { server: &MICROSOCKS_LOGIN, service: "socks", scheme: "socks5h://onion:other@", refusal: Some("rejected") },
    Way { server: &OPENSSH, service: "socks", scheme: "socks5h://", refusal: None },
    Way { server: &OPENSSH, service: "socks", scheme: "socks4a://", refusal: None },
    Way { server: &TOR, service: "socks", scheme: "socks5h://", refusal: Some("(1)") },
    Way { server: &TOR, service: "socks", scheme: "socks4a://", refusal: Some("rejected or failed") },
    Way { server: &TOR, service: "http", scheme: "http://", refusal: Some("response 500") },
];
