//! `onion demo`.

use crate::onion::{Directory, finish, onion, run};

#[test]
fn the_demo_nests_and_peels_at_every_depth() {
    for depth in [1, 3, 8, 16] {
        let outcome = run(["demo", "--depth", &depth.to_string()], "").succeeded();
        let count = |what: &str| outcome.lines().iter().filter(|line| line.contains(what)).count();
        assert_eq!(outcome.stderr, "");
        assert_eq!(count("close_notify both ways"), depth, "{}", outcome.stdout);
        assert_eq!(count("TLSv1.3"), depth.div_ceil(2), "{}", outcome.stdout);
        assert_eq!(count("TLSv1.2"), depth / 2, "{}", outcome.stdout);
        assert_eq!(count(&format!("layer-{depth}.example")), 1, "{}", outcome.stdout);
        // A line at each depth on the way in, and one on the way out.
        assert_eq!(count("on the wire ✓"), 2 * depth + 1, "{}", outcome.stdout);
        let plural = if depth == 1 { "" } else { "s" };
        assert_eq!(count(&format!("{depth} handshake{plural}, {depth} stop{plural}")), 1, "{}", outcome.stdout);
    }
}

#[test]
fn three_layers_are_the_default() {
    let outcome = run(["demo"], "").succeeded();
    assert!(outcome.stdout.contains("3 handshakes, 3 stops"), "{}", outcome.stdout);
}

#[test]
fn boxes_nest_and_are_equally_wide() {
    let outcome = run(["demo", "--depth", "3"], "").succeeded();
    let mut open = Vec::new();
    let drawn = outcome.lines().into_iter().filter(|line| line.starts_with(['╭', '╰', '│']));
    let drawn: Vec<&str> = drawn.collect();
    for line in &drawn {
        assert_eq!(line.chars().count(), drawn[0].chars().count(), "{line}");
        let border = line.trim_start_matches(['│', '║', ' ']).chars().next();
        match border {
            Some(corner @ ('╭' | '╔')) => open.push(corner),
            Some('╰') => assert_eq!(open.pop(), Some('╭'), "{line}"),
            Some('╚') => assert_eq!(open.pop(), Some('╔'), "{line}"),
            _ => {}
        }
    }
    assert_eq!(open, []);
    assert_eq!(drawn.len(), 11);
}

#[test]
fn without_a_terminal_it_is_plain() {
    let outcome = run(["demo", "--depth", "1"], "").succeeded();
    assert!(!outcome.stdout.contains('\x1b'), "{}", outcome.stdout);
}

#[test]
fn a_depth_out_of_range_is_wrong_usage() {
    for depth in ["0", "17", "three"] {
        let outcome = run(["demo", "--depth", depth], "");
        assert_eq!(outcome.status, Some(2), "{outcome:?}");
        assert!(outcome.stderr.contains("--depth"), "{outcome:?}");
    }
}

#[test]
fn the_secrets_of_every_layer_go_to_the_key_log_if_it_is_wanted() {
    let directory = Directory::new();
    let file = directory.file("keys");
    let demo = |options: &[&str]| {
        let arguments = ["demo", "--depth", "2"].iter().chain(options).copied();
        finish(onion(arguments).env("SSLKEYLOGFILE", &file).spawn().unwrap()).succeeded()
    };
    // The variable may be there for another program, or be inherited.
    demo(&[]);
    assert!(!std::path::Path::new(&file).exists(), "nobody has asked for it");
    let outcome = demo(&["--keylog"]);
    let keys = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{error}: {outcome:?}"));
    // Client and server write each secret once: the outer layer speaks TLS 1.3, the inner one TLS 1.2.
    for label in ["CLIENT_TRAFFIC_SECRET_0 ", "SERVER_TRAFFIC_SECRET_0 ", "CLIENT_RANDOM "] {
        assert_eq!(keys.lines().filter(|line| line.starts_with(label)).count(), 2, "{keys}");
    }
}
