//! Our commands, on their way through proxies of others.

use std::process::Command;

use serde_json::Value;

use super::asks::{connect, fetch, to_origin, to_proxy};
use super::origin::{GREETING, Origin, PAGE};
use crate::Case;
use crate::bench::Peer;
use crate::servers::NAME;
use crate::servers::microsocks::MICROSOCKS;
use crate::servers::nghttpx::NGHTTPX;
use crate::servers::slapd::SLAPD;
use crate::servers::squid::SQUID;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("onion connect through squid: the proxy of the environment", |bench| {
            let origin = Origin::web(bench);
            let endpoint = format!("tcp:{}{}", origin.by_name(), to_origin(bench));
            let mut onion = Command::new(env!("CARGO_BIN_EXE_onion"));
            onion.args(["connect", "--raw", "--proxy-from-env", "--json-route", &endpoint]);
            onion.env("https_proxy", format!("http://{}", bench.server(&SQUID).address("http"))).env_remove("no_proxy");
            let mut onion = Peer::start(onion.env_remove("NO_PROXY"));
            let route: Value = serde_json::from_str(&onion.expect("\"hop\"")).expect("it is JSON");
            assert_eq!(route[0]["protocol"], "http1", "{route:#}");
            onion.say("GET / HTTP/1.0\r\n\r\n");
            onion.expect(PAGE.trim_end());
        })
        .talks_to(&[&SQUID]),
        Case::new("onion relay through squid and microsocks: a page", |bench| {
            let origin = Origin::web(bench);
            let (squid, microsocks) =
                (bench.server(&SQUID).address("https"), bench.server(&MICROSOCKS).address("socks"));
            let far = format!("tcp:{squid}{}+connect:{microsocks}+socks5:{}", to_proxy(bench), origin.by_name());
            let mut onion = Command::new(env!("CARGO_BIN_EXE_onion"));
            let mut relay = Peer::start(onion.args(["relay", "tcp:127.0.0.1:0", &far]));
            let near = relay.expect("listening on tcp:").replace("listening on ", "");
            let near = near.replace("127.0.0.1", "localhost");
            fetch(connect(&format!("{near}{}", to_origin(bench))).unwrap_or_else(|error| panic!("{error}")));
            relay.expect(" bytes there, ");
        })
        .talks_to(&[&SQUID, &MICROSOCKS]),
        Case::new("onion relay through nghttpx: a greeting", |bench| {
            let origin = Origin::greeting();
            let nghttpx = bench.server(&NGHTTPX).address("https");
            let far = format!("tcp:{nghttpx}{}+connect:{}", to_proxy(bench), origin.by_name());
            let mut onion = Command::new(env!("CARGO_BIN_EXE_onion"));
            let mut relay = Peer::start(onion.args(["relay", "tcp:127.0.0.1:0", &far]));
            let near = relay.expect("listening on tcp:").replace("listening on ", "");
            let mut conn = connect(&near).unwrap_or_else(|error| panic!("{error}"));
            crate::bench::run(async {
                assert_eq!(conn.read_line().await.unwrap().as_deref(), Some(GREETING.trim_end().as_bytes()));
                conn.write_line("peel me").await.unwrap();
                assert_eq!(conn.read_line().await.unwrap().as_deref(), Some(&b"peel me"[..]));
            });
        })
        .talks_to(&[&NGHTTPX]),
        // One that is quick to answer all of it.
        Case::new("onion probe through squid: slapd is as it is", |bench| {
            let (squid, slapd) = (bench.server(&SQUID).address("http"), bench.server(&SLAPD).address("ldap"));
            let starttls = format!("starttls:ldap:sni={NAME}:ca={}", bench.ca().display());
            let answers = probed(&format!("tcp:{squid}+connect:{slapd}+{starttls}"));
            assert_eq!(answers, ["refused", "refused", "refused", "hangs_up"]);
        })
        .talks_to(&[&SQUID, &SLAPD]),
    ]
}

/// What a server does with what a good client never says, in the words of `onion probe`.
fn probed(endpoint: &str) -> [String; 4] {
    let arguments = ["probe", endpoint, "--json", "--timeout", "3"];
    let output = Command::new(env!("CARGO_BIN_EXE_onion")).args(arguments).output().expect("it starts");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    ["glued_command", "glued_client_hello", "starttls_inside_tls", "close_notify"].map(|question| {
        report["questions"][question]["state"].as_str().unwrap_or_else(|| panic!("{report:#}")).to_owned()
    })
}
