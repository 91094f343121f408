//! What a relay is to do, read and found to make sense before anything is opened.

use std::fmt;

use onionskin::connection::OuterPeel;
use onionskin::endpoint::{BaseTransport, Connector, Endpoint, Listener, Step};
use onionskin::runtime::Runtime;

use super::config;
use super::ftp;
use super::greeting::{self, Greeting};
use super::options::{Limits, Options};
use super::status;
use crate::failure::Failure;
use crate::join::Side;
use crate::open;
use crate::room::Wish;
use crate::silence::SilenceOptions;
use crate::waiting::{AtEnd, Limit};

/// All that a process is to do.
#[derive(Debug)]
pub(super) struct Plans {
    pub(super) relays: Vec<Plan>,
    /// Where metrics are served.
    pub(super) status: Option<Endpoint>,
}

/// One relay that is to be.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) route: Route,
    pub(super) greeting: Greeting,
    pub(super) limits: Limits,
    /// How long the end of the LISTEN side is kept back, if it is.
    pub(super) hold: Option<Limit>,
}

/// From where to where, as the log and the metrics call it.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) name: Option<String>,
    /// What tells it from the others of the process: its name, or else where it listens.
    pub(super) label: String,
    pub(super) listen: Written,
    pub(super) connect: Written,
}

/// An endpoint, and the text that it was read from, by which its user knows it.
#[derive(Debug)]
pub(super) struct Written {
    text: String,
    pub(super) endpoint: Endpoint,
}

impl Plans {
    /// What the command line asks for, or the file that it names.
    pub(super) fn new(options: &Options) -> Result<Self, Failure> {
        let mut plans = match (&options.config, &options.listen, &options.connect) {
            (Some(_), ..) if options.limits.silence.is_set() => {
                return Err(Failure::usage(
                    "with --config limits stand in the file: there they are `idle` and `half-open`",
                ));
            }
            (Some(file), ..) => config::read(file)?,
            (None, Some(listen), Some(connect)) => {
                let written = |text| Written::new(text, options.limits.silence);
                let [listen, connect] = [written(listen)?, written(connect)?];
                Self { relays: vec![Plan::new(None, listen, connect, options.limits.clone())?], status: None }
            }
            (None, ..) => return Err(Failure::usage("LISTEN and CONNECT are missing")),
        };
        let mut from_input: Vec<_> = plans
            .relays
            .iter_mut()
            .filter(|plan| plan.route.listen.endpoint.transport == BaseTransport::Stdio)
            .collect();
        if from_input.is_empty() && options.end_of_input.is_set() {
            return Err(Failure::usage("--wait and --half-close are about standard input, and no LISTEN is stdio"));
        }
        if let AtEnd::Wait(limit) = options.end_of_input.choice() {
            from_input.iter_mut().for_each(|plan| plan.hold = Some(limit));
        }
        for plan in &mut plans.relays {
            let Route { listen, connect, .. } = &mut plan.route;
            connect.endpoint = options.proxy.fill(connect.endpoint.clone())?;
            plan.greeting = Greeting::between(&listen.endpoint, &connect.endpoint)?;
        }
        let routes = plans.relays.iter_mut().map(|plan| &mut plan.route);
        for side in routes.flat_map(|route| [&mut route.listen, &mut route.connect]) {
            side.endpoint = options.key_log.fill(side.endpoint.clone())?;
        }
        if let Some(status) = &options.status {
            plans.status = Some(status::endpoint(status)?);
        }
        Ok(plans)
    }

    /// Whether everything that is named is there and as it should be, as far as that shows without listening.
    pub(super) fn check(&self, runtime: &'static dyn Runtime) -> Result<(), Failure> {
        for Plan { route, .. } in &self.relays {
            let Route { listen, connect, .. } = route;
            Listener::check(&listen.endpoint).map_err(|error| route.at(listen.blame(error)))?;
            Connector::new(runtime, &connect.endpoint).map_err(|error| route.at(connect.blame(error)))?;
            route.warn();
        }
        match &self.status {
            Some(status) => Listener::check(status).map_err(|error| Failure::from(error).at("status")),
            None => Ok(()),
        }
    }
}

impl Plan {
    pub(super) fn new(
        name: Option<String>,
        mut listen: Written,
        mut connect: Written,
        limits: Limits,
    ) -> Result<Self, Failure> {
        if limits.peel_when_inner_tls {
            offer_peel(&mut listen, &mut connect)?;
        }
        let greeting = Greeting::between(&listen.endpoint, &connect.endpoint)?;
        let label = name.clone().unwrap_or_else(|| listen.text.clone());
        Ok(Self { route: Route { name, label, listen, connect }, greeting, limits, hold: None })
    }

    /// How much room it wants.
    pub(super) fn wish(&self) -> Wish {
        Wish { connections: self.limits.max_connections.get(), descriptors: self.descriptors() }
    }

    /// How many descriptors a connection takes: some runtimes have two for one that is not TCP, and where FTP has its data
    /// connections through here too, a client has one of these most of the time.
    fn descriptors(&self) -> usize {
        let sides = [&self.route.listen.endpoint, &self.route.connect.endpoint];
        let control: usize =
            sides.into_iter().map(|side| if let BaseTransport::Tcp { .. } = side.transport { 1 } else { 2 }).sum();
        let data = if ftp::is_whole(sides[0], sides[1]) { 2 } else { 0 };
        control + data
    }
}

/// Has the TLS between two relays agree to be taken off once there is TLS inside.
fn offer_peel(listen: &mut Written, connect: &mut Written) -> Result<(), Failure> {
    let wrong = |what: &str| Failure::usage(format_args!("--peel-when-inner-tls (peel-when-inner-tls) {what}"));
    let outer = match (listen.endpoint.steps.last_mut(), connect.endpoint.steps.last_mut()) {
        (Some(Step::Tls(_)), Some(Step::Tls(_))) => {
            return Err(wrong(
                "is for TLS between two relays, on one side of each, and here both sides end with `tls`",
            ));
        }
        (Some(Step::Tls(tls)), _) | (_, Some(Step::Tls(tls))) => tls,
        _ => return Err(wrong("is for TLS between two relays, and no side ends with a step `tls`")),
    };
    if !outer.alpn.is_empty() {
        return Err(wrong("is agreed by the application protocol: leave `alpn` out of that step"));
    }
    outer.alpn = vec![OuterPeel::ALPN.to_owned()];
    Ok(())
}

impl Route {
    pub(super) fn of(&self, side: Side) -> &Written {
        match side {
            Side::Listen => &self.listen,
            Side::Connect => &self.connect,
        }
    }

    /// What stands before a line in the log: the name, where there may be other relays.
    pub(super) fn mark(&self) -> String {
        self.name.as_ref().map(|name| format!("{name}: ")).unwrap_or_default()
    }

    /// Logs what whoever sets it up should know, if there is something.
    pub(super) fn warn(&self) {
        if let Some(caution) = greeting::caution(&self.listen.endpoint, &self.connect.endpoint) {
            log::warn!(relay = self.label; "{}: {caution}", self.label);
        }
    }

    /// Says of a failure that it is this relay's, where there are others.
    pub(super) fn at(&self, failure: Failure) -> Failure {
        match &self.name {
            Some(name) => failure.at(format_args!("relay {name}")),
            None => failure,
        }
    }
}

impl Written {
    pub(super) fn new(text: &str, silence: SilenceOptions) -> Result<Self, Failure> {
        Ok(Self { text: text.to_owned(), endpoint: silence.fill(open::parse(text)?) })
    }

    /// Says of an error that it is this endpoint's.
    pub(super) fn blame(&self, error: impl Into<Failure>) -> Failure {
        error.into().at(format_args!("endpoint {self}"))
    }
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connection_has_room_for_what_belongs_to_it() {
        for (listen, connect, expected) in [
            ("tcp:h:1", "tcp:h:2", 2),
            ("unix:/s", "tcp:h:2", 3),
            ("tcp:h:1+starttls:smtp:cert=c:key=k", "tcp:h:2", 2),
            ("tcp:h:1+starttls:ftp:cert=c:key=k", "tcp:h:2", 4),
        ] {
            let written = |text| Written::new(text, Default::default()).unwrap();
            let plan = Plan::new(None, written(listen), written(connect), Limits::default()).unwrap();
            assert_eq!(plan.wish().descriptors, expected, "{listen} {connect}");
        }
    }
}
