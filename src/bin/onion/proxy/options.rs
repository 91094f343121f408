//! What the command line of `onion proxy` says.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::str::FromStr;

use clap::error::Error as ClapError;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, value_parser};
use onionskin::proxy::{Access, Rule, Rules};

use crate::failure::Failure;
use crate::join::HalfClose;
use crate::key_log::KeyLog;
use crate::logging::Format;
use crate::waiting::Limit;

/// Reach others on behalf of clients that speak SOCKS or CONNECT
///
/// Each LISTEN is a transport and whatever layers clients bring. SOCKS4a, SOCKS5 and CONNECT of HTTP/1.1 and
/// HTTP/2 share its port and are told apart by their first bytes, or by what TLS has agreed on. Prints `listening on ENDPOINT` when it accepts connections.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{DETAILS}"))]
pub(crate) struct Options {
    /// Where to listen, and the layers that clients bring: tcp:127.0.0.1:1080, tcp:0.0.0.0:443+tls:cert=PEM:key=PEM
    #[arg(required_unless_present = "hash_password")]
    pub(super) listen: Vec<String>,
    /// Reach targets through other proxies: an endpoint whose last step is connect, socks5 or socks4a without a target
    #[arg(long, value_name = "ROUTE")]
    pub(super) via: Option<String>,
    #[command(flatten)]
    pub(super) rules: RuleOptions,
    /// Who may come in: a file with a line NAME:HASH for each user
    #[arg(long, value_name = "FILE")]
    pub(super) users: Option<PathBuf>,
    /// Read a password from standard input, print the line of this user for the file of --users, and end
    #[arg(long, value_name = "NAME", conflicts_with = "listen")]
    pub(super) hash_password: Option<String>,
    #[command(flatten)]
    pub(super) limits: Limits,
    #[command(flatten)]
    pub(super) key_log: KeyLog,
    /// What the log looks like
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: Format,
}

/// What clients may take.
#[derive(Args, Clone, Debug)]
pub(super) struct Limits {
    /// The most connections at a time; further clients wait until they are accepted
    #[arg(long, value_name = "NUMBER", default_value = "10000")]
    pub(super) max_connections: NonZeroUsize,
    /// The most connections of one peer at a time; more are turned away
    #[arg(long, value_name = "NUMBER")]
    pub(super) max_per_peer: Option<NonZeroUsize>,
    /// The most tunnels of one user at a time; more are refused
    #[arg(long, value_name = "NUMBER", requires = "users")]
    pub(super) max_per_user: Option<NonZeroUsize>,
    /// The most tunnels at a time, those inside HTTP/2 too; more are refused
    #[arg(long, value_name = "NUMBER")]
    pub(super) max_tunnels: Option<NonZeroUsize>,
    /// The longest head of a request by HTTP
    #[arg(long, value_name = "BYTES", default_value = "16384", value_parser = value_parser!(u32).range(1024..=65536))]
    pub(super) head_size: u32,
    /// How long a client may take to begin, and then to say what it wants
    #[arg(long, value_name = "SECONDS", default_value = "10")]
    pub(super) request_timeout: NonZeroU32,
    /// How long to try to reach a target
    #[arg(long, value_name = "SECONDS", default_value = "20")]
    pub(super) connect_timeout: NonZeroU32,
    /// Give up a tunnel through which nothing has passed for so long, or none
    #[arg(long, value_name = "SECONDS", default_value = "3600")]
    pub(super) idle: Limit,
    /// Give up a connection of HTTP/2, of a client or to the proxy of --via, that has had no tunnel for so long, or none
    #[arg(long, value_name = "SECONDS", default_value = "300")]
    pub(super) idle_carrier: Limit,
    /// What the end of one side is for the other: it goes on until nothing has come for so long, or for ever with none; with no, both
    /// end
    #[arg(long, value_name = "SECONDS", default_value = "30")]
    pub(super) half_close: HalfCloseOption,
    /// How long tunnels may go on when the process is to end; those that are left are aborted
    #[arg(long, value_name = "SECONDS", default_value = "30")]
    pub(super) patience: u32,
}

/// What one end is for the other direction, and how long that may be silent then.
#[derive(Clone, Copy, Debug)]
pub(super) struct HalfCloseOption {
    pub(super) half_close: HalfClose,
    pub(super) limit: Limit,
}

impl FromStr for HalfCloseOption {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "no" {
            return Ok(Self { half_close: HalfClose::EndsBoth, limit: Limit(None) });
        }
        let limit = text.parse().map_err(|_| "write whole seconds from 1 up, none or no")?;
        Ok(Self { half_close: HalfClose::Kept, limit })
    }
}

/// `--allow`, `--deny` and `--rules`. The order of the first two counts, which is why they are read by hand.
#[derive(Clone, Debug, Default)]
pub(super) struct RuleOptions {
    rules: Rules,
    file: Option<PathBuf>,
}

impl RuleOptions {
    /// The rules of the command line, and behind them those of the file as it is now. It blocks.
    pub(super) fn read(&self) -> Result<Rules, Failure> {
        match &self.file {
            Some(file) => Ok(self.rules.clone().followed_by(Rules::from_file(file).map_err(Failure::new)?)),
            None => Ok(self.rules.clone()),
        }
    }
}

impl FromArgMatches for RuleOptions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, ClapError> {
        let mut found = Vec::new();
        for (option, access) in [("allow", Access::Allow), ("deny", Access::Deny)] {
            let places = matches.indices_of(option).into_iter().flatten();
            let rules = matches.get_many::<Rule>(option).into_iter().flatten().cloned();
            found.extend(places.zip(rules).map(|(place, rule)| (place, access, rule)));
        }
        found.sort_by_key(|(place, ..)| *place);
        let rules = found.into_iter().fold(Rules::new(), |rules, (_, access, rule)| rules.with(access, rule));
        Ok(Self { rules, file: matches.get_one("rules").cloned() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), ClapError> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for RuleOptions {
    fn augment_args(command: Command) -> Command {
        let rule = |name: &'static str| {
            let arg = Arg::new(name).long(name).value_name("RULE").action(ArgAction::Append);
            arg.value_parser(value_parser!(Rule))
        };
        command
            .arg(rule("allow").help(
                "Let clients reach these: a.example, .example, 10.0.0.0/8, *, each with ports: .example:443,8000-8099",
            ))
            .arg(
                rule("deny")
                    .help("Do not let clients reach these; of all rules, the first that is about a target decides"),
            )
            .arg(Arg::new("rules").long("rules").value_name("FILE").value_parser(value_parser!(PathBuf)).help(
                "Further rules, behind those of the command line: a file with a line allow RULE or deny RULE for each",
            ))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

const EXAMPLES: &str = r"Examples:
  for programs on this machine
    onion proxy tcp:127.0.0.1:1080
    curl --proxy socks5h://127.0.0.1:1080 https://www.example/
  behind TLS, for users that log in
    onion proxy --hash-password onion >> users
    onion proxy tcp:[::]:443+tls:cert=chain.pem:key=key.pem --users users
  for those who have a certificate of ours
    onion proxy tcp:[::]:443+tls:cert=chain.pem:key=key.pem:client-ca=ca.pem
  to some hosts only, on some ports
    onion proxy tcp:127.0.0.1:1080 --allow .example:443,993 --deny '*'
  through another proxy, and one behind it
    onion proxy tcp:127.0.0.1:1080 --via tcp:proxy.example:3128+connect
    onion proxy tcp:127.0.0.1:1080 --via tcp:proxy.example:443+tls+connect:next.example:1080+socks5";

const DETAILS: &str = r"Rules: of those of --allow and --deny in their order, and then of those in the file, the first that is about a target decides.
Where none is, port 443 is allowed, and other ports are denied. Special addresses are denied whatever name stands for them: loopback,
link-local, private, multicast and whatever else is not public, in every spelling that IPv6 has for them, and the addresses
of this machine; only a rule about addresses opens them: --allow 127.0.0.0/8. A name is resolved once, each of its addresses
is judged, and nobody else is connected to. Nobody reaches the proxy itself.

Via: the last proxy of ROUTE is asked for the target as the client gave it, and resolves a name itself. So rules about names and ports
hold, those about addresses for targets that are addresses, and localhost is denied unless a rule allows that name. A proxy of HTTP
is told in Via (RFC 9110) through whom a request has come; one that has come through here before is refused. SOCKS cannot tell that.
Over HTTP/2 tunnels share connections.

Answers: a tunnel is granted when the target is reached, and not before. What is refused is told in the client's language: a
status and Proxy-Status (RFC 9209) in HTTP, a reply in SOCKS.

Users: without --users everybody who can connect may ask. With it HTTP has Basic, SOCKS5 its user and password, and SOCKS4a is
refused. In clear, passwords can be read on their way: have TLS on LISTEN. An address that was wrong ten times is not looked at for
the rest of a minute.

Ends: what ends one direction of a tunnel is passed on behind the last byte, and a loss of one side as a loss of the other (a reset,
or TLS without its close_notify). After one side has ended, the other may go on for as long as something comes: --half-close.

Signals: the first SIGTERM or SIGINT begins a graceful shutdown: no client is accepted any more, and tunnels go on for --patience at
most; those that are left are aborted. A second one ends the process at once. SIGHUP reads certificates, keys, users, rules
and the files of --via again; what is wrong stays as it was. SIGUSR1 draws into the log which tunnels clients have over HTTP/2.

Log: a line for each tunnel when it ends, on standard error: who, to whom, bytes both ways, and how. With --log-format json each
line is an object with the fields listen, connection, tunnel (in HTTP/2), peer, user, protocol, target, reached, via, outcome,
side, class, cause, reason, bytes_there, bytes_back and seconds.";
