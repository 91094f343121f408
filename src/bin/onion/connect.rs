//! `onion connect`: standard input to the peer, the peer's bytes to standard output.

use clap::Args;
use onionskin::endpoint::{Endpoint, Step};
use onionskin::runtime::Runtime;
use onionskin::tls::TlsServer;

use crate::credentials::{IdentityFiles, Trust, read_roots};
use crate::dialogue::{Dialogue, Pace, Partner};
use crate::failure::Failure;
use crate::input::{self, LineEnds, Source, Splitter};
use crate::open::{self, ClientDefaults};
use crate::part::part;

/// Talk to a peer from standard input
///
/// Standard input goes to the peer and the peer's bytes to standard output, until both have ended. The peer can be
/// `onion serve`, which says in its own help what it answers.
///
/// With a step `starttls`, as in tcp:mail.example:25+starttls:smtp, the peer speaks that protocol. It is asked for TLS, and
/// everything after that goes through TLS as it is, without local commands.
#[derive(Debug, Args)]
#[command(after_help = LOCAL_COMMANDS)]
pub(crate) struct Options {
    /// Where to connect, as in tcp:localhost:4433, unix:/run/onion.sock, tcp:localhost:4433+tls:sni=outer.example
    endpoint: String,
    /// Whom to trust instead of the authorities of the system
    #[arg(long, value_name = "PEM")]
    ca: Option<std::path::PathBuf>,
    /// Accept every certificate: for tests and diagnosis only
    #[arg(long, conflicts_with = "ca")]
    insecure: bool,
    /// After each line, wait for the line that answers it
    #[arg(long, conflicts_with = "raw")]
    lockstep: bool,
    /// Send standard input as it is, without local commands, as a step `starttls` does too
    #[arg(long)]
    raw: bool,
    /// With --raw or a step `starttls`: end lines with CR LF, as most protocols do and no terminal does
    #[arg(long)]
    crlf: bool,
    #[command(flatten)]
    identity: IdentityFiles,
}

impl Options {
    /// What standard input is taken for.
    fn source(&self, endpoint: &Endpoint) -> Result<Source, Failure> {
        let foreign = endpoint.steps.iter().any(|step| matches!(step, Step::StartTls(_)));
        match (foreign || self.raw, self.crlf) {
            (true, _) if self.lockstep => {
                Err(Failure::usage("--lockstep is for the onion line protocol: not behind a step `starttls`"))
            }
            (true, true) => Ok(Source::Verbatim(LineEnds::Network { after_return: false })),
            (true, false) => Ok(Source::Verbatim(LineEnds::AsTheyAre)),
            (false, true) => Err(Failure::usage("--crlf needs --raw, or a step `starttls`")),
            (false, false) => Ok(Source::Commands(Splitter::default())),
        }
    }
}

pub(crate) async fn run(runtime: &'static dyn Runtime, options: &Options) -> Result<(), Failure> {
    let endpoint = open::parse(&options.endpoint)?;
    let trust = match &options.ca {
        _ if options.insecure => Trust::Everyone,
        Some(file) => Trust::Roots(read_roots("--ca", file)?),
        None => Trust::System,
    };
    let identity = options.identity.read()?;
    let server = identity.clone().map(|identity| TlsServer::builder(identity).key_log().build()).transpose()?;
    let defaults =
        ClientDefaults { trust_anchors: options.ca.as_ref(), insecure: options.insecure, identity: &options.identity };
    let source = options.source(&endpoint)?;
    let conn = open::connect(runtime, &endpoint, &defaults).await?;

    let input = input::read(runtime, source).map_err(|error| Failure::new(error).at("cannot start a thread"))?;
    let partner = Partner { host: open::host(&endpoint).to_owned(), trust, identity, server };
    let pace = if options.lockstep { Pace::Lockstep } else { Pace::Free };
    let mut dialogue = Dialogue::new(conn, input, partner, pace);
    let result = dialogue.run().await;
    part(runtime, dialogue.into_connection()).await;
    result
}

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

Environment: SSLKEYLOGFILE=FILE has the secrets of every layer written there, RUST_LOG=debug shows what layers do.

Exit status: 0 after a clean end, 1 after a failure, 2 if a command or an option makes no sense.";
