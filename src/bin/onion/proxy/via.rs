//! `--via`: the way to the proxy that is asked for each target.

use onionskin::endpoint::{Connector, Endpoint, Resolver, Step};
use onionskin::runtime::Runtime;

use crate::failure::Failure;
use crate::key_log::KeyLog;
use crate::route;

/// Reads a ROUTE, and the files that it names.
pub(super) fn connector(runtime: &'static dyn Runtime, route: &str, key_log: KeyLog) -> Result<Connector, Failure> {
    let endpoint = key_log.fill(endpoint(route)?)?;
    Connector::new(runtime, &endpoint).map_err(|error| Failure::from(error).at(format_args!("--via {route}")))
}

fn endpoint(route: &str) -> Result<Endpoint, Failure> {
    let endpoint = route::via(route)?;
    match endpoint.steps.last() {
        // Its addresses would not have been judged.
        Some(Step::Socks5(step)) if step.dns == Resolver::Local => {
            Err(Failure::usage(format_args!("--via {route}: dns=local is not for a proxy: names go to the next one")))
        }
        _ => Ok(endpoint),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_resolved_by_the_next_proxy() {
        assert!(endpoint("tcp:p.example:1080+socks5:dns=remote").is_ok());
        let error = endpoint("tcp:p.example:1080+socks5:dns=local").unwrap_err().to_string();
        assert!(error.contains("dns=local"), "{error}");
    }
}
