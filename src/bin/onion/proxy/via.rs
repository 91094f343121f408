//! `--via`: the way to the proxy that is asked for each target.
//!
//! A ROUTE is an endpoint whose last step is `connect`, `socks5` or `socks4a` without the HOST and PORT that such a step has
//! elsewhere: these come with each client.

use onionskin::endpoint::{Connector, Endpoint, Resolver, Step};
use onionskin::runtime::Runtime;

use crate::failure::Failure;
use crate::key_log::KeyLog;
use crate::open;

/// Reads a ROUTE, and the files that it names.
pub(super) fn connector(runtime: &'static dyn Runtime, route: &str, key_log: KeyLog) -> Result<Connector, Failure> {
    let wrong = |failure: Failure| failure.at(format_args!("--via {route}"));
    let endpoint = key_log.fill(endpoint(route).map_err(wrong)?)?;
    Connector::new(runtime, &endpoint).map_err(|error| wrong(error.into()))
}

fn endpoint(route: &str) -> Result<Endpoint, Failure> {
    let missing = || Failure::usage("the last step is to be connect, socks5 or socks4a, without HOST and PORT");
    // A + in a value is escaped, and none follows the last one.
    let (before, last) = route.rsplit_once('+').ok_or_else(missing)?;
    let (kind, keys) = last.split_once(':').map_or((last, None), |(kind, keys)| (kind, Some(keys)));
    if !["connect", "socks5", "socks4a"].contains(&kind) {
        return Err(missing());
    }
    if keys.is_some_and(|keys| !keys.split(':').next().is_some_and(|first| first.contains('='))) {
        return Err(Failure::usage(format_args!("{kind} has no HOST and PORT here: each client brings its own")));
    }
    let keys = keys.map(|keys| format!(":{keys}")).unwrap_or_default();
    let endpoint = open::parse(&format!("{before}+{kind}:{ANYBODY}:1{keys}"))?;
    match endpoint.steps.last() {
        // Its addresses would not have been judged.
        Some(Step::Socks5(step)) if step.dns == Resolver::Local => {
            Err(Failure::usage("dns=local is not for --via: names go to the next proxy"))
        }
        _ => Ok(endpoint),
    }
}

/// In the place of the target, which is another each time.
const ANYBODY: &str = "target.invalid";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_ends_in_a_step_without_a_target() {
        for (route, steps) in [
            ("tcp:p.example:3128+connect", 1),
            ("tcp:p.example:443+tls+connect:header=a=b", 2),
            ("tcp:p.example:1080+socks5:q.example:3128+socks4a:user=onion", 2),
        ] {
            assert_eq!(endpoint(route).unwrap().steps.len(), steps, "{route}");
        }
        for (route, expected) in [
            ("tcp:p.example:3128", "the last step"),
            ("tcp:p.example:3128+tls", "the last step"),
            ("tcp:p.example:3128+connect:a.example:443", "no HOST and PORT"),
            ("tcp:p.example:1080+socks5:dns=local", "dns=local"),
            ("tcp:p.example:3128+connect:usr=b", "usr"),
        ] {
            let error = endpoint(route).unwrap_err().to_string();
            assert!(error.contains(expected), "{route}: {error}");
        }
    }
}
