//! What is allowed and denied, by the rules and without them. Nobody is connected to here.

use onionskin::proxy::{Reach, Rules};
use onionskin::runtime::Address;
use onionskin::tunnel::Reason;

use crate::{judge, system};

/// An address that everybody may reach: the control of what is denied.
const PUBLIC: &str = "9.9.9.9";

#[test]
fn s6_without_rules_special_addresses_are_denied_in_every_spelling() {
    for denied in [
        "127.0.0.1",
        "127.255.255.255",
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "100.127.255.255",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.2.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
        "3fff::1",
        "100::1",
        "4000::1",
        // IPv4-mapped, IPv4-compatible, IPv4-translated.
        "::ffff:127.0.0.1",
        "::ffff:a00:1",
        "::127.0.0.1",
        "::ffff:0:127.0.0.1",
        // NAT64, and that of the network itself.
        "64:ff9b::7f00:1",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::808:808",
        // 6to4: 127.0.0.1 and 192.168.1.1.
        "2002:7f00:1::1",
        "2002:c0a8:101::",
        // Teredo, whose client is 127.0.0.1 and 10.0.0.1.
        "2001:0:909:909::80ff:fffe",
        "2001:0:909:909:0:0:f5ff:fffe",
        // ISATAP.
        "2606:4700::5efe:10.0.0.1",
        "2606:4700::200:5efe:7f00:1",
    ] {
        for host in [denied, "a.example"] {
            let unreached = judge("", host, 443, &[denied]).unwrap_err();
            assert_eq!(unreached.reason(), Reason::ProhibitedAddress, "{host} {denied}: {unreached}");
            assert!(unreached.is_denied());
        }
    }
    for allowed in [
        PUBLIC,
        "1.1.1.1",
        "100.128.0.1",
        "172.32.0.1",
        "192.0.1.1",
        "223.255.255.255",
        "2606:4700::1111",
        "::ffff:9.9.9.9",
        "::9.9.9.9",
        "64:ff9b::9.9.9.9",
        "2002:909:909::1",
        "2001:0:7f00:1::f6f6:f6f6",
    ] {
        for host in [allowed, "a.example"] {
            judge("", host, 443, &[allowed]).unwrap_or_else(|unreached| panic!("{host} {allowed}: {unreached}"));
        }
    }
}

#[test]
fn s6_a_spelling_of_an_allowed_network_is_allowed_and_one_of_a_denied_is_denied() {
    for spelled in ["127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::1"] {
        judge("allow 127.0.0.0/8", spelled, 25, &[]).unwrap();
        judge("allow ::ffff:127.0.0.0/104", spelled, 25, &[]).unwrap();
        // A rule about the spelling does not open what is meant.
        judge("allow ::/0", spelled, 443, &[]).unwrap_err();
    }
    for spelled in [PUBLIC, "::ffff:9.9.9.9", "64:ff9b::909:909", "2002:909:909::1"] {
        let unreached = judge("deny 9.9.9.0/24", spelled, 443, &[]).unwrap_err();
        assert_eq!(unreached.reason(), Reason::ProhibitedAddress, "{spelled}: {unreached}");
    }
    judge("deny 2002::/16", "2002:909:909::1", 443, &[]).unwrap_err();
    judge("deny 2002::/16", PUBLIC, 443, &[]).unwrap();
}

#[test]
fn s6_ports_other_than_443_want_a_rule() {
    for port in [1, 22, 25, 80, 442, 444, 8443, 65535] {
        for host in [PUBLIC, "a.example"] {
            let unreached = judge("", host, port, &[PUBLIC]).unwrap_err();
            assert_eq!(unreached.reason(), Reason::Denied, "{host}:{port}: {unreached}");
            judge("allow *", host, port, &[PUBLIC]).unwrap();
            let range = format!("allow *:{port}-{port}");
            judge(&range, host, port, &[PUBLIC]).unwrap();
        }
    }
    judge("allow *:80,8000-8099", "a.example", 8042, &[PUBLIC]).unwrap();
    judge("allow *:80,8000-8099", "a.example", 8100, &[PUBLIC]).unwrap_err();
}

#[test]
fn s6_the_first_rule_decides() {
    let rules = "
        # Who is let in, and who is not.
        deny  .bad.example
        allow good.bad.example   # too late
        allow .example:25
        deny  203.0.113.0/24
        allow 10.1.0.0/16
        deny  *
    ";
    for (host, port, address, expected) in [
        ("bad.example", 443, PUBLIC, Err(Reason::Denied)),
        ("good.bad.example.", 443, PUBLIC, Err(Reason::Denied)),
        ("GOOD.Example", 25, PUBLIC, Ok(())),
        ("good.example", 26, PUBLIC, Err(Reason::Denied)),
        ("good.example", 25, "203.0.113.7", Err(Reason::ProhibitedAddress)),
        ("good.example", 25, "10.2.0.1", Err(Reason::Denied)),
        ("good.example", 25, "10.1.0.1", Ok(())),
        ("elsewhere.test", 5432, "10.1.0.1", Ok(())),
        ("elsewhere.test", 443, PUBLIC, Err(Reason::Denied)),
    ] {
        let judged = judge(rules, host, port, &[address]);
        assert_eq!(judged.map(drop).map_err(|unreached| unreached.reason()), expected, "{host}:{port} {address}");
    }
}

#[test]
fn s6_who_owns_a_name_does_not_open_our_network() {
    for rule in ["allow a.example", "allow .example", "allow *"] {
        for address in ["127.0.0.1", "10.0.0.1", "::ffff:10.0.0.1", "fe80::1"] {
            let unreached = judge(rule, "a.example", 443, &[address]).unwrap_err();
            assert_eq!(unreached.reason(), Reason::ProhibitedAddress, "{rule} {address}: {unreached}");
        }
        judge(rule, "a.example", 80, &[PUBLIC]).unwrap();
        judge(&format!("{rule}\nallow 10.0.0.0/8"), "a.example", 80, &["10.0.0.1"]).unwrap();
    }
}

#[test]
fn s6_of_several_addresses_each_is_judged() {
    let found = judge("", "a.example", 443, &["127.0.0.1", PUBLIC, "::1", "2606:4700::1", "10.0.0.1"]).unwrap();
    assert_eq!(found, [PUBLIC, "2606:4700::1"]);
    let unreached = judge("", "a.example", 443, &["10.0.0.1", "::1"]).unwrap_err();
    assert!(unreached.to_string().contains("10.0.0.1 is a private address"), "{unreached}");
    let unreached = judge("", "a.example", 443, &[]).unwrap_err();
    assert_eq!(unreached.reason(), Reason::DnsError);
}

#[test]
fn s6_names_that_somebody_else_resolves_are_judged_by_name_and_port() {
    let permits = |rules: &str, host: &str, port| {
        let reach = Reach::new(system()).rules(Rules::parse(rules).unwrap());
        reach.permits(&Address::to_host(host, port).unwrap()).map_err(|unreached| unreached.reason())
    };
    assert_eq!(permits("", "a.example", 443), Ok(()));
    assert_eq!(permits("", "a.example", 80), Err(Reason::Denied));
    assert_eq!(permits("allow .example:80", "a.example", 80), Ok(()));
    assert_eq!(permits("deny .example", "a.example", 443), Err(Reason::Denied));
    for local in ["localhost", "LocalHost.", "a.localhost"] {
        assert_eq!(permits("allow *", local, 443), Err(Reason::Denied), "{local}");
    }
    assert_eq!(permits("allow localhost", "localhost", 80), Ok(()));
    // Of an address there is nothing to resolve.
    assert_eq!(permits("allow *", "127.0.0.1", 443), Err(Reason::ProhibitedAddress));
    assert_eq!(permits("allow 127.0.0.0/8", "127.0.0.1", 443), Ok(()));
    assert_eq!(permits("", PUBLIC, 443), Ok(()));
}

#[test]
fn files_with_mistakes_name_the_line() {
    for (text, expected) in [
        ("allow *\n\nforbid .example", "line 3: write allow RULE or deny RULE, and not \"forbid\""),
        ("deny", "line 1: \"\" is no rule: the host is missing"),
        ("allow a b", "line 1: \"a b\" is no rule"),
    ] {
        let error = Rules::parse(text).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    let error = Rules::from_file("/nowhere/rules".as_ref()).unwrap_err().to_string();
    assert!(error.contains("/nowhere/rules"), "{error}");
}
