//! `onion connect`: standard input to the peer, the peer's bytes to standard output.

use clap::Args;
use onionskin::Connection;
use onionskin::endpoint::{Endpoint, Step};
use onionskin::runtime::{Runtime, Socket};
use onionskin::starttls::KnownProtocol;
use onionskin::tls::{TlsLayer, TlsServer};

use crate::credentials::{IdentityFiles, Trust, read_roots};
use crate::dialogue::{Dialogue, Leaving, Pace, Partner};
use crate::failure::Failure;
use crate::input::{self, LineEnds, Requests, Source, Splitter};
use crate::key_log::KeyLog;
use crate::leave::leave;
use crate::logging::say;
use crate::open::{self, ClientDefaults};
use crate::route::{self, ProxyOption};
use crate::waiting::{AtEnd, EndOfInput, Limit};

/// Talk to a peer from standard input
///
/// Standard input goes to the peer and the peer's bytes to standard output, until both have ended; the end of standard input
/// is not passed on before the peer has answered (see below). The peer can be `onion serve`, which says in its own help what
/// it answers.
///
/// With a step `starttls`, as in tcp:mail.example:25+starttls:smtp, the peer speaks that protocol. It is asked for TLS, and
/// everything after that goes through TLS as it is, without local commands.
#[derive(Debug, Args)]
#[command(after_help = LOCAL_COMMANDS)]
pub(crate) struct Options {
    /// Where to connect, as in tcp:localhost:4433, unix:/run/onion.sock, tcp:localhost:4433+tls:sni=outer.example, or
    /// through a proxy as in tcp:proxy.example:3128+connect:mail.example:993+tls
    endpoint: String,
    /// Whom to trust instead of the authorities of the system
    #[arg(long, value_name = "PEM")]
    ca: Option<std::path::PathBuf>,
    /// Accept every certificate: for tests and diagnosis only
    #[arg(long, conflicts_with = "ca")]
    insecure: bool,
    /// After each line, wait for its answer: the line that answers it in the onion line protocol; with --raw a line, or several
    /// of which all but the last are marked by a hyphen as in SMTP; behind starttls:imap the line with its tag
    #[arg(long)]
    lockstep: bool,
    /// With --lockstep: the peer speaks first, so wait for what it says before the first line
    #[arg(long, requires = "lockstep")]
    greeting: bool,
    /// Send standard input as it is, without local commands, as a step `starttls` does too
    #[arg(long)]
    raw: bool,
    /// With --raw or a step `starttls`: end lines with CR LF, as most protocols do and no terminal does
    #[arg(long)]
    crlf: bool,
    #[command(flatten)]
    end_of_input: EndOfInput,
    /// When our direction has ended: how long the peer may be silent before it is given up, or none for as long as it likes; 30
    /// unless given, and none with --half-close or a terminal
    #[arg(long, value_name = "SECONDS")]
    patience: Option<Limit>,
    #[command(flatten)]
    identity: IdentityFiles,
    #[command(flatten)]
    key_log: KeyLog,
    #[command(flatten)]
    proxy: ProxyOption,
    /// When connected, say through which proxies: a line of JSON on standard error, an array with the outermost first
    #[arg(long)]
    json_route: bool,
    /// When connected, derive keying material with this label from the handshake of each layer of TLS (RFC 8446 section 7.5), and say
    /// it in a line on standard error, `layer #1 LABEL: HEX`, outer layers first; as `openssl s_server -keymatexport` does
    #[arg(long, value_name = "LABEL")]
    keymatexport: Option<String>,
    /// With --keymatexport: how many bytes of it
    #[arg(long, value_name = "NUMBER", default_value_t = 20, requires = "keymatexport", value_parser = clap::value_parser!(u16).range(1..=4096))]
    keymatexportlen: u16,
}

impl Options {
    /// What standard input is taken for.
    fn source(&self, endpoint: &Endpoint) -> Result<Source, Failure> {
        let protocol = endpoint.steps.iter().find_map(|step| match step {
            Step::StartTls(step) => Some(step.protocol),
            _ => None,
        });
        let requests = match protocol {
            _ if !self.lockstep => Requests::Unknown,
            Some(KnownProtocol::Imap) => Requests::TaggedLines(Vec::new()),
            _ => Requests::Lines,
        };
        match (protocol.is_some() || self.raw, self.crlf) {
            (true, true) => Ok(Source::Verbatim(LineEnds::Network { after_return: false }, requests)),
            (true, false) => Ok(Source::Verbatim(LineEnds::AsTheyAre, requests)),
            (false, true) => Err(Failure::usage("--crlf needs --raw, or a step `starttls`")),
            (false, false) => Ok(Source::Commands(Splitter::default())),
        }
    }
}

pub(crate) async fn run(runtime: &'static dyn Runtime, options: &Options) -> Result<(), Failure> {
    let endpoint = options.key_log.fill(options.proxy.fill(open::parse(&options.endpoint)?)?)?;
    let key_log = options.key_log.wanted()?;
    let trust = match &options.ca {
        _ if options.insecure => Trust::Everyone,
        Some(file) => Trust::Roots(read_roots("--ca", file)?),
        None => Trust::System,
    };
    let identity = options.identity.read()?;
    let server = identity.clone().map(|identity| TlsServer::builder(identity).key_log(key_log).build()).transpose()?;
    let defaults =
        ClientDefaults { trust_anchors: options.ca.as_ref(), insecure: options.insecure, identity: &options.identity };
    let source = options.source(&endpoint)?;
    let at_end = options.end_of_input.choice();
    let patience = options.patience.unwrap_or(match at_end {
        AtEnd::HalfClose => Limit(None),
        AtEnd::Wait(_) => PATIENCE,
    });
    let counts_answers = matches!(source, Source::Commands(_));
    let mut conn = open::connect(runtime, &endpoint, &defaults).await?;
    if options.json_route {
        say(format_args!("{}", route::json(conn.route())));
    }
    if let Some(label) = &options.keymatexport {
        export(&mut conn, label, options.keymatexportlen)?;
    }

    let input = input::read(runtime, source).map_err(|error| Failure::new(error).at("cannot start a thread"))?;
    let partner = Partner { host: open::host(&endpoint), trust, identity, server, key_log };
    let pace = if options.lockstep { Pace::Lockstep } else { Pace::Free };
    let leaving = Leaving::new(runtime, at_end, patience, counts_answers);
    let mut dialogue = Dialogue::new(conn, input, partner, pace, leaving);
    let result = async {
        if options.greeting {
            dialogue.await_greeting().await?;
        }
        dialogue.run().await
    };
    let result = result.await;
    leave(dialogue.into_connection()).await;
    result
}

/// Says the keying material of each layer of TLS.
fn export(conn: &mut Connection<Socket>, label: &str, length: u16) -> Result<(), Failure> {
    let layers: Vec<_> = conn.layers().tls().map(|facts| facts.layer).collect();
    if layers.is_empty() {
        return Err(Failure::usage("--keymatexport needs a layer of TLS: write a step `tls` into the endpoint"));
    }
    for layer in layers {
        let mut material = vec![0; usize::from(length)];
        let export = |tls: &mut TlsLayer| tls.export_keying_material(&mut material, label.as_bytes(), None);
        let exported = conn.with_layer(layer, export)?;
        exported.map_err(|error| Failure::new(error).at(format_args!("layer {layer}")))?;
        let material: String = material.iter().map(|byte| format!("{byte:02X}")).collect();
        say(format_args!("layer {layer} {label}: {material}"));
    }
    Ok(())
}

/// How long a peer may be silent when our direction has ended, and it had its time before that.
const PATIENCE: Limit = Limit::seconds(30);

const LOCAL_COMMANDS: &str = r"Lines that begin with a backslash are local commands. All but \layers ask the peer with the
command of the onion line protocol that has their name, wait for its OK, and then do it:
  \starttls [NAME]   start TLS inside the layers that are there, and verify that the peer is NAME,
                     the host of ENDPOINT unless given
  \rstarttls [NAME]  the same with us as the TLS server, which takes --cert and --key
  \stoptls           stop the innermost layer, the peer's close_notify first
  \astoptls          stop the innermost layer, our close_notify first
  \layers            show the layers on standard error
  \quit              let the peer close every layer and the connection
Two backslashes at the beginning of a line send one. The bytes behind a line `SINK n` are sent as they are.

Environment: SSLKEYLOGFILE=FILE is where --keylog writes, RUST_LOG=debug shows what layers do.

The end of standard input: many servers take our end for the end of the conversation, and what they had still to say is
lost. So unless standard input is a terminal, our direction stays open until the peer ends, or until everything asked in the
onion line protocol is answered, or until the peer has been silent for --wait. --half-close ends it at once. With --raw or a step
`starttls`, nothing more is sent when the peer has closed a layer: what was meant for TLS never goes in clear.

Exit status:
  0  a clean end: both sides have ended, and nothing unanswered was cut off by us. That is, whenever our direction ended before
     the peer's, what was sent last had been answered by something, or --half-close (or a terminal) had asked for it
  1  a failure: of the network, of a layer, a refusal, input that was not sent when the peer ended before us, an answer that
     was missing when it ended after us, or a peer that had not ended when --patience was over
  2  a command or an option that makes no sense";
