//! What the command line of `onion relay` says.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;

use crate::join::PassOn;
use crate::key_log::KeyLog;
use crate::logging::Format;
use crate::route::ProxyOption;
use crate::silence::SilenceOptions;
use crate::waiting::EndOfInput;

/// Join every connection to LISTEN with a new one to CONNECT
///
/// Each endpoint is a transport and whatever layers are to be on top of it, so TLS can be added, taken away, exchanged and
/// nested on either side. Prints `listening on ENDPOINT` when it accepts connections.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{DETAILS}"))]
pub(crate) struct Options {
    /// Where to listen, and the layers that clients bring: tcp:0.0.0.0:4433+tls:cert=PEM:key=PEM
    #[arg(required_unless_present = "config", conflicts_with = "config")]
    pub(super) listen: Option<String>,
    /// Where to connect for each client, and the layers there: tcp:mail.example:465+tls, unix:/run/app.sock
    #[arg(required_unless_present = "config", conflicts_with = "config")]
    pub(super) connect: Option<String>,
    /// Take relays, as many as there are, and their limits from a file in TOML
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Read everything, say whether something is wrong, and end without having listened
    #[arg(long)]
    pub(super) check: bool,
    #[command(flatten)]
    pub(super) limits: Limits,
    #[command(flatten)]
    pub(super) end_of_input: EndOfInput,
    /// Where Prometheus can fetch metrics, at /metrics: a port of 127.0.0.1, HOST:PORT or an endpoint
    #[arg(long, value_name = "ADDRESS")]
    pub(super) status: Option<String>,
    #[command(flatten)]
    pub(super) key_log: KeyLog,
    #[command(flatten)]
    pub(super) proxy: ProxyOption,
    /// What the log looks like
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: Format,
}

/// What a relay may take. In a file these are keys of the same names.
#[derive(Args, Clone, Debug)]
pub(super) struct Limits {
    /// The most connections at a time; further clients wait until they are accepted
    #[arg(long, value_name = "NUMBER", default_value_t = DEFAULT_CONNECTIONS, conflicts_with = "config")]
    pub(super) max_connections: NonZeroUsize,
    /// The most connections of one peer at a time; more are turned away
    #[arg(long, value_name = "NUMBER", conflicts_with = "config")]
    pub(super) max_per_peer: Option<NonZeroUsize>,
    #[command(flatten)]
    pub(super) silence: SilenceOptions,
    /// How the end of a side is passed on that ends TCP without a close_notify
    #[arg(long, value_name = "HOW", value_enum, default_value_t, conflicts_with = "config")]
    pub(super) truncated: PassOn,
    /// Stop the TLS between two relays once what passes is TLS itself, if both say this; see below for what is given up
    #[arg(long, conflicts_with = "config")]
    pub(super) peel_when_inner_tls: bool,
    /// How long connections may go on when the process is to end; those that are left are aborted
    #[arg(long, value_name = "SECONDS", default_value_t = DEFAULT_PATIENCE, conflicts_with = "config")]
    pub(super) patience: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: DEFAULT_CONNECTIONS,
            max_per_peer: None,
            silence: SilenceOptions::default(),
            truncated: PassOn::default(),
            peel_when_inner_tls: false,
            patience: DEFAULT_PATIENCE,
        }
    }
}

const DEFAULT_CONNECTIONS: NonZeroUsize = NonZeroUsize::new(10_000).expect("it is not zero");

/// In seconds.
const DEFAULT_PATIENCE: u32 = 30;

const EXAMPLES: &str = r"Examples:
  TLS for a server that has none
    onion relay tcp:[::]:4433+tls:cert=chain.pem:key=key.pem tcp:127.0.0.1:25
  STARTTLS for a mail server that has none
    onion relay tcp:[::]:2525+starttls:smtp:cert=chain.pem:key=key.pem tcp:127.0.0.1:25
  TLS for a client that has none
    onion relay tcp:127.0.0.1:2525 tcp:mail.example:465+tls
  the same for a program that talks on standard input and output
    onion relay stdio tcp:mail.example:465+tls
  STARTTLS for a mail client that has none
    onion relay tcp:127.0.0.1:1143 tcp:mail.example:143+starttls:imap
  a tunnel between two machines: what is inside may be TLS itself
    onion relay tcp:127.0.0.1:5432 tcp:db.example:4433+tls:ca=ca.pem:cert=me.pem:key=me.key
    onion relay tcp:[::]:4433+tls:cert=chain.pem:key=key.pem:client-ca=ca.pem unix:/run/postgresql/.s.PGSQL.5432
  TLS in TLS, taken apart
    onion relay tcp:[::]:4433+tls:cert=a.pem:key=a.key+tls:cert=b.pem:key=b.key tcp:127.0.0.1:80
  behind one proxy and in front of another, both told who the client is
    onion relay tcp:[::]:443+proxy-header+tls:cert=chain.pem:key=key.pem tcp:127.0.0.1:80+proxy-header:version=1
  through a proxy, for a program that knows of none
    onion relay tcp:127.0.0.1:1143 tcp:proxy.example:3128+connect:mail.example:993+tls
  several in one process, as a file says
    onion relay --config /etc/onion/relays.toml
  started by systemd, with the socket of a unit
    onion relay systemd:0+tls:cert=chain.pem:key=key.pem tcp:127.0.0.1:25
A proxy-header step of CONNECT tells of the client that has connected to LISTEN, unless it has from= and to=.";

const DETAILS: &str = r"Connections: for each client the handshakes of LISTEN are done first, then CONNECT is opened, and then bytes pass both
ways. The end of one direction (a close_notify, or an end of file where there is no TLS) is passed on as a half-close, and the
other direction goes on. A loss is never passed on as an end: what was received before it is sent, then the other side is closed
without a close_notify if it is inside TLS, and reset if it is TCP in clear; a Unix socket in clear sees an end of file. If
CONNECT cannot be opened, the client is treated in the same way.

Truncated: most TLS clients end TCP without a close_notify, behind their request, and read the answer. By default (--truncated
fin) that is passed on as what it was, an end of file behind the last byte and never a close_notify, and the other direction
goes on: behind the relay a server gets the same as if it spoke TLS itself, and the answer arrives. But nothing proves that
the client had said all, and a server in clear cannot see that. Where an end of file alone says that something is whole (an
upload, a file in the middle of which nothing tells its length), take --truncated reset: then the other side is broken off
as for a loss, which ends both directions, and the answer with them. Either way the log and the metrics call such a
connection truncated, and not ended. An end in the middle of a TLS record is a loss. In TDS nobody sends a close_notify, so there
it is called truncated by custom, and counted apart; it proves as little.

Peel: where two relays have TLS between them and clients and servers speak TLS with each other inside it, all is encrypted twice.
With --peel-when-inner-tls on both relays the outer TLS ends with a close_notify of each side once the inner handshake is done, and
the inner TLS passes as it is. Both agree to that in the outer handshake (by the application protocol onionskin-peel/1, so alpn= is
not for that step, and a LISTEN with it refuses clients that offer only others); if one of them does not say it, or what passes
is not TLS 1.2 or 1.3 from its first byte, or offers early data, the outer TLS stays. It takes one step `tls` at the end of LISTEN or of CONNECT, not both.
Given up from then on: lengths, times and ends of what is inside can be seen, nobody proves any more who is at the other end of
the socket (client-ca= counts for the beginning only), and whoever is on the way can put bytes in, which only the inner TLS will find.

A side that does not read makes the other one wait (backpressure), and no more than the buffers of the layers are held in memory.

A step `starttls` says or takes the greeting of its protocol before TLS. If only LISTEN has one, the greeting of the server
behind CONNECT is taken too; if only CONNECT has one, the client gets a greeting from the relay. What is said inside TLS
passes as it is, an offer of STARTTLS by the server too. tds needs the step on both sides, and mysql cannot be relayed by it.

FTP: where LISTEN ends with a step `starttls:ftp` and CONNECT is TCP without TLS, data connections go through the relay too, and have
TLS if the client asks for it (PROT P): the relay answers PBSZ and PROT, and names ports of its own, any that are free, in answers
to PASV and EPSV. Active mode (PORT, EPRT) and CCC are refused. --idle is for each connection by itself, and the control
connection says nothing while a file is on its way: let it be longer than that takes. In all other relays of FTP only the control connection passes:
clients open data connections to the address that the server names, and with EPSV to the relay's, where nobody listens.

PostgreSQL: on a LISTEN with `starttls:postgres` clients may also begin with TLS (sslnegotiation=direct), if they offer the ALPN
`postgresql`. A CancelRequest, which psql sends in clear over a connection of its own, is handed on behind the steps of CONNECT, also
from clients that would need a certificate for a session (client-ca=), as the server itself would take it: its key is what counts.
With TLS on both sides and another certificate than the server's, psql says `SCRAM channel binding check failed`: its
log-in is bound to the certificate that it sees (channel_binding=prefer is the default), and no relay can change that. Give LISTEN
the server's own certificate and key, have clients say channel_binding=disable, or have TLS on LISTEN only. With TLS on CONNECT
only, psql gives up at any log-in by SCRAM.

Proxies: CONNECT goes through any chain of them, with a step connect, socks5 or socks4a for each; the log line shows it. A file
with a password (password-file=) is read again on SIGHUP. --proxy-from-env is about CONNECT only.

Trust: certificates and keys are named in the endpoints (cert=, key=, ca=, sni=); LISTEN needs cert= and key= for TLS. Without
ca= the authorities of the system are trusted, without sni= the certificate must name the host of CONNECT.

Time limits: 30 seconds to connect (timeout= in the endpoint), 30 for each proxy on the way (timeout= in its step), 30 for what
comes before a STARTTLS, 10 for each handshake,
30 in which a peer takes nothing of the last bytes when all else is over, 2 until it closes then. Connections that say
nothing stay, unless --idle and --half-open, or idle= and half-open= in an endpoint, set a limit: a side over which nothing
has passed for that long is lost, and both sides see it as any loss. A side that still takes what is sent, however slowly, is
not silent, nor is one whose bytes the other side has no room for. A machine that is gone is noticed by TCP keep-alive within
two minutes (keepalive= in the endpoint).

Config: the file has a table [relay.NAME] for each relay, with listen and connect. Limits have the names of the options here
(max-connections, max-per-peer, idle, half-open, truncated, patience, peel-when-inner-tls = true); those above the tables are for every relay that has none
of its own. status stands above them too. A key that is not known is an error. --check reads it all, certificates too. SIGHUP
does not read the file again: for other relays and limits, start anew.

Peers: with --max-per-peer one address cannot take all the connections there are. A peer is an IPv4 address or the first
64 bits of an IPv6 address, behind a proxy-header step of LISTEN the client that the proxy names. One that has as many as it may have is
reset where LISTEN is TCP, before any handshake but that of the proxy. Peers without an IP address have no limit.

Signals: the first SIGTERM or SIGINT begins a graceful shutdown: it closes the listener and lets the connections go on, for
--patience at most; those that are left are aborted. A second one ends the process at once. SIGHUP reads certificates, keys and authorities
again: new connections have the new ones, and if something is wrong with the files of a side, that side keeps the old ones.
Clients are served while files are read, however long that takes.

Systemd: with NOTIFY_SOCKET in the environment it is told when all relays listen, when files are read again and when that is done,
and when the process is to end (Type=notify-reload); with WATCHDOG_USEC, twice in that time that the process lives.

Log: a line for each connection when it ends, on standard error, with the layers and bytes of both sides. RUST_LOG=warn
shows less, RUST_LOG=debug what layers do. With --log-format json each line is an object, which has what is known as fields:
relay, listen, connect, connection, peer, outcome, side, class, cause, bytes_there, bytes_back, seconds, listen_layers,
connect_layers.

Metrics: --status 9100 serves http://127.0.0.1:9100/metrics for Prometheus: what was accepted, what is live, how connections
ended, handshakes, failures by class, and bytes, for each relay. A port alone is one of the loopback address, since nobody is
asked who they are. An endpoint can ask: tcp:[::]:9100+tls:cert=PEM:key=PEM:client-ca=PEM. Four are answered at a time, each
in five seconds.

Open files: each connection needs two or more. The soft limit of the process is raised as far as needed and allowed; if that
is not enough for --max-connections, there are fewer.

Standard input: many servers take the end of our direction for the end of the conversation, and what they had still to say
is lost. So where LISTEN is stdio and standard input is no terminal, its end is passed on only when the server has ended, or
has been silent for --wait; --half-close passes it on at once. In other transports an end is always passed on at once.

Exit status:
  0  it has ended as asked. Where LISTEN has only one connection (stdio, fd), that one has ended gracefully, and nothing
     unanswered was cut off by us: whenever our direction ended before the server's, something had come for what was sent
     last, or --half-close (or a terminal) had asked for it
  1  after a failure; where LISTEN has only one connection, also if that one was not joined, was lost, or ended unanswered
  2  for a command line that makes no sense";
