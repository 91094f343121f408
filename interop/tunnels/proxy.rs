//! Clients of others ask, our `onion proxy` answers: one for each case, which takes users if the case says who asks.

use std::process::Command;

use super::asks::{connect, fetch, to_origin, to_proxy};
use super::origin::{Origin, PAGE};
use crate::Case;
use crate::bench::{Bench, Peer};
use crate::clients::tunnel::{
    HTTPS_PROXY_AGENT, PYSOCKS, PYTHON, PYTHON_H2, UNDICI, curl_through, ncat_through, node_through, python_through,
    s_client_through, stunnel_through,
};
use crate::servers::microsocks::MICROSOCKS;
use crate::servers::nghttpx::NGHTTPX;
use crate::servers::squid::SQUID;
use crate::servers::{NAME, PASSWORD, Server, USER};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = CURL.iter().map(Curl::case).collect();
    cases.extend(curl_in_other_ways());
    cases.extend(onwards());
    cases.extend(tools());
    cases.extend(scripts());
    cases
}

/// `onion proxy`, with loopback allowed.
pub(super) struct Proxy {
    pub(super) peer: Peer,
    /// `127.0.0.1:port`.
    pub(super) address: String,
}

impl Proxy {
    /// Behind TLS or not; `options` are more of its own.
    pub(super) fn start(bench: &Bench, tls: bool, options: &[&str]) -> Self {
        Self::start_bare(bench, tls, &[&["--allow", "127.0.0.0/8"], options].concat())
    }

    /// It allows what it always does, and that is not loopback.
    fn start_bare(bench: &Bench, tls: bool, options: &[&str]) -> Self {
        let mut listen = "tcp:127.0.0.1:0".to_owned();
        if tls {
            let (chain, key) = (bench.certificate(NAME), bench.key(NAME));
            listen += &format!("+tls:cert={}:key={}", chain.display(), key.display());
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_onion"));
        let mut peer = Peer::start(command.args(["proxy", &listen]).args(options));
        let line = peer.expect("listening on tcp:");
        let address = line.split("tcp:").nth(1).unwrap_or_default();
        let address = address.split(['+', ' ']).next().unwrap_or_default().to_owned();
        Self { peer, address }
    }

    /// As [`start`](Self::start), for [`USER`] with [`PASSWORD`] alone. `case` tells its file from those of others.
    fn start_with_users(bench: &Bench, tls: bool, case: &str) -> Self {
        let file = bench.directory().join(format!("users for {case}"));
        let mut onion = Command::new(env!("CARGO_BIN_EXE_onion"));
        let mut onion = Peer::start(onion.args(["proxy", "--hash-password", USER]));
        onion.say(&format!("{PASSWORD}\n"));
        onion.close_input();
        let line = onion.expect(&format!("{USER}:"));
        std::fs::write(&file, line + "\n").expect("a file can be written");
        Self::start(bench, tls, &["--users", file.to_str().expect("our paths are text")])
    }
}

/// curl, as it is told of a proxy.
struct Curl {
    /// The beginning of its URL; `https` is TLS to the proxy, `@` a log-in.
    scheme: &'static str,
    /// What curl says when it is refused; else it shows the page.
    refusal: Option<&'static str>,
}

impl Curl {
    fn case(&'static self) -> Case {
        our_proxy("curl", self.scheme, |bench| {
            let (tls, origin) = (self.scheme.starts_with("https"), Origin::web(bench));
            let mut proxy = if self.scheme.contains('@') {
                Proxy::start_with_users(bench, tls, &format!("curl {}", self.scheme.replace('/', "")))
            } else {
                Proxy::start(bench, tls, &[])
            };
            let url = format!("{}{}", self.scheme, proxy.address);
            let ended = curl_through(bench, &["--proxy", &url], &origin.by_name());
            match self.refusal {
                None => {
                    ended.with(PAGE);
                    proxy.peer.expect(" bytes there, ");
                }
                Some(refusal) => assert!(!ended.is_content() && ended.said.contains(refusal), "{}", ended.said),
            }
        })
    }
}

fn curl_in_other_ways() -> Vec<Case> {
    vec![
        our_proxy("curl", "--preproxy, through one and then another", |bench| {
            let (socks, http) = (Proxy::start(bench, false, &[]), Proxy::start(bench, false, &[]));
            let origin = Origin::web(bench);
            let preproxy = format!("socks5h://{}", socks.address);
            let proxy = format!("http://{}", http.address);
            curl_through(bench, &["--preproxy", &preproxy, "--proxy", &proxy], &origin.by_name()).with(PAGE);
        }),
        our_proxy("curl", "--proxy-header", |bench| {
            let (proxy, origin) = (Proxy::start(bench, false, &[]), Origin::web(bench));
            let (header, url) = ("X-Onion: peel", format!("http://{}", proxy.address));
            let ended = curl_through(bench, &["--proxy-header", header, "--proxy", &url], &origin.by_name());
            ended.with(PAGE);
            ended.with("> X-Onion: peel");
        }),
        our_proxy("curl", "nobody is there", |bench| {
            let (proxy, nobody) = (Proxy::start(bench, false, &[]), Origin::nobody());
            for (scheme, refusal) in [("http", "response 502"), ("socks5h", "(5)"), ("socks4a", "(91)")] {
                let url = format!("{scheme}://{}", proxy.address);
                let ended = curl_through(bench, &["--proxy", &url], &nobody.by_address());
                assert!(!ended.is_content() && ended.said.contains(refusal), "{}", ended.said);
            }
        }),
        our_proxy("curl", "loopback is denied unless it is allowed", |bench| {
            let (proxy, origin) = (Proxy::start_bare(bench, false, &[]), Origin::web(bench));
            for (scheme, refusal) in [("http", "response 403"), ("socks5h", "(2)"), ("socks4a", "(91)")] {
                let url = format!("{scheme}://{}", proxy.address);
                let ended = curl_through(bench, &["--proxy", &url], &origin.by_name());
                assert!(!ended.is_content() && ended.said.contains(refusal), "{}", ended.said);
            }
            fetch(connect(&format!("tcp:{}{}", origin.by_address(), to_origin(bench))).expect("the origin is there"));
        }),
    ]
}

/// Chains in which ours is the first proxy, and asks another by itself.
fn onwards() -> Vec<Case> {
    // What the next proxy says of a port where nobody is, and so ours too: Squid knows of 503 alone.
    let case = |servers: &'static [&'static Server], what: &str, refusal: &'static str, via: fn(&Bench) -> String| {
        our_proxy("curl", &format!("--via {what}"), move |bench| {
            let (origin, via) = (Origin::web(bench), via(bench));
            let mut proxy = Proxy::start_bare(bench, false, &["--allow", "localhost", "--via", &via]);
            for scheme in ["http", "socks4a", "socks5h"] {
                let url = format!("{scheme}://{}", proxy.address);
                curl_through(bench, &["--proxy", &url], &origin.by_name()).with(PAGE);
                proxy.peer.expect(" bytes there, ");
            }
            let url = format!("http://{}", proxy.address);
            let refused = curl_through(bench, &["--proxy", &url], &Origin::nobody().by_name());
            assert!(!refused.is_content() && refused.said.contains(refusal), "{}", refused.said);
        })
        .talks_to(servers)
    };
    vec![
        case(&[&SQUID], "squid", "response 503", |bench| {
            format!("tcp:{}+connect", bench.server(&SQUID).address("http"))
        }),
        case(&[&MICROSOCKS], "microsocks", "response 502", |bench| {
            format!("tcp:{}+socks5", bench.server(&MICROSOCKS).address("socks"))
        }),
        case(&[&NGHTTPX], "nghttpx by HTTP/2", "response 503", |bench| {
            format!("tcp:{}{}+connect", bench.server(&NGHTTPX).address("https"), to_proxy(bench))
        }),
        case(&[&SQUID, &MICROSOCKS], "squid and then microsocks", "response 502", |bench| {
            let (squid, microsocks) =
                (bench.server(&SQUID).address("https"), bench.server(&MICROSOCKS).address("socks"));
            format!("tcp:{squid}{}+connect:{microsocks}+socks5", to_proxy(bench))
        }),
    ]
}

fn tools() -> Vec<Case> {
    let ncat = |kind: &'static str| {
        our_proxy("ncat", kind, move |bench| {
            let (proxy, origin) = (Proxy::start(bench, false, &[]), Origin::web(bench));
            // Its SOCKS4 knows no names.
            let options: &[&str] = if kind == "socks4" { &["--proxy-dns", "local"] } else { &[] };
            ncat_through(bench, kind, options, &proxy.address, &origin.by_name()).expect(PAGE.trim_end());
        })
    };
    vec![
        our_proxy("openssl", "s_client -proxy", |bench| {
            let (proxy, origin) = (Proxy::start(bench, false, &[]), Origin::web(bench));
            s_client_through(bench, &[], &proxy.address, &origin.by_name()).with(PAGE);
        }),
        our_proxy("openssl", "s_client -proxy with a log-in", |bench| {
            let (proxy, origin) = (Proxy::start_with_users(bench, false, "openssl"), Origin::web(bench));
            let password = format!("pass:{PASSWORD}");
            let options = ["-proxy_user", USER, "-proxy_pass", &password];
            s_client_through(bench, &options, &proxy.address, &origin.by_name()).with(PAGE);
        }),
        ncat("http"),
        ncat("socks5"),
        ncat("socks4"),
        our_proxy("stunnel4", "protocol = connect", |bench| {
            let (proxy, origin) = (Proxy::start(bench, false, &[]), Origin::web(bench));
            assert!(stunnel_through(bench, &proxy.address, &origin.by_name()).ends_with(PAGE));
        }),
    ]
}

fn scripts() -> Vec<Case> {
    let python = |what: &'static str, tls: bool, needs: &'static str| {
        our_proxy("python3", what, move |bench| {
            let (proxy, origin) = (Proxy::start(bench, tls, &[]), Origin::web(bench));
            let ended = python_through(bench, what, &proxy.address, &origin.by_name(), &[]);
            ended.with(PAGE);
            ended.with("content");
        })
        .uses(PYTHON)
        .uses(needs)
    };
    let python_logs_in = |what: &'static str, needs: &'static str| {
        our_proxy("python3", &format!("{what}, with a log-in"), move |bench| {
            let (proxy, origin) = (Proxy::start_with_users(bench, false, what), Origin::web(bench));
            let ended = python_through(bench, what, &proxy.address, &origin.by_name(), &[USER, PASSWORD]);
            ended.with(PAGE);
            let refused = python_through(bench, what, &proxy.address, &origin.by_name(), &[USER, "other"]);
            assert!(!refused.is_content() && !refused.said.contains(PAGE), "{}", refused.said);
        })
        .uses(PYTHON)
        .uses(needs)
    };
    let node = |what: &'static str, tls: bool, needs: &'static str| {
        let scheme = if tls { "https" } else { "http" };
        our_proxy("node", &format!("{what}, {scheme}"), move |bench| {
            let (proxy, origin) = (Proxy::start(bench, tls, &[]), Origin::web(bench));
            let url = format!("{scheme}://{}", proxy.address.replace("127.0.0.1", "localhost"));
            let ended = node_through(bench, what, &url, &origin.by_name());
            ended.with(PAGE);
            ended.with("content");
        })
        .uses(needs)
    };
    vec![
        python("http.client", false, PYTHON),
        python("pysocks-http", false, PYSOCKS),
        python("pysocks-socks5", false, PYSOCKS),
        python("pysocks-socks4a", false, PYSOCKS),
        python_logs_in("http.client", PYTHON),
        python_logs_in("pysocks-socks5", PYSOCKS),
        node("https-proxy-agent", false, HTTPS_PROXY_AGENT),
        node("https-proxy-agent", true, HTTPS_PROXY_AGENT),
        node("undici", false, UNDICI),
        node("undici", true, UNDICI),
        python("h2", true, PYTHON_H2),
        python("h2c", false, PYTHON_H2),
        node("http2", true, "node"),
        node("http2", false, "node"),
    ]
}

fn our_proxy(client: &'static str, what: &str, run: impl FnOnce(&Bench) + Send + 'static) -> Case {
    Case::new(format!("our proxy with {client}: {what}"), run).uses(client)
}

const CURL: &[Curl] = &[
    Curl { scheme: "http://", refusal: None },
    Curl { scheme: "https://", refusal: None },
    Curl { scheme: "socks4a://", refusal: None },
    Curl { scheme: "socks4://", refusal: None },
    Curl { scheme: "socks5://", refusal: None },
    Curl { scheme: "socks5h://", refusal: None },
    Curl { scheme: "http://onion:peel@", refusal: None },
    Curl { scheme: "http://onion:other@", refusal: Some("response 407") },
    Curl { scheme: "https://onion:peel@", refusal: None },
    Curl { scheme: "socks5h://onion:peel@", refusal: None },
    Curl { scheme: "socks5h://onion:other@", refusal: Some("rejected") },
];
