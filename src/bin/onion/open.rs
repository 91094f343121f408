//! From an endpoint to a connection and to a listener: the command line fills in what the steps leave out.
//!
//! What the steps ask for is made ready before anything touches the network, so that a file that cannot be read is
//! found before a peer is bothered.

use std::path::PathBuf;

use onionskin::Connection;
use onionskin::endpoint::{BaseTransport, Connector, Endpoint, Listener, Step, TlsStep, VerifyStep, without_passwords};
use onionskin::runtime::{Address, Runtime, Socket};
use onionskin::tls::{Identity, TlsServer};

use crate::credentials::IdentityFiles;
use crate::failure::Failure;
use crate::protocol::DEFAULT_NAME;

/// Reads an endpoint string.
pub(crate) fn parse(text: &str) -> Result<Endpoint, Failure> {
    text.parse().map_err(|error| Failure::usage(format_args!("endpoint {}: {error}", without_passwords(text))))
}

/// What a client brings where a step says nothing.
#[derive(Debug)]
pub(crate) struct ClientDefaults<'a> {
    pub(crate) trust_anchors: Option<&'a PathBuf>,
    pub(crate) insecure: bool,
    pub(crate) identity: &'a IdentityFiles,
}

/// Connects, and starts the layers that the endpoint names.
pub(crate) async fn connect(
    runtime: &'static dyn Runtime,
    endpoint: &Endpoint,
    defaults: &ClientDefaults<'_>,
) -> Result<Connection<Socket>, Failure> {
    let endpoint = complete(endpoint, defaults)?;
    Ok(Connector::new(runtime, &endpoint)?.connect().await?)
}

/// The endpoint with the defaults in every step that leaves them out.
pub(crate) fn complete(endpoint: &Endpoint, defaults: &ClientDefaults<'_>) -> Result<Endpoint, Failure> {
    let mut endpoint = endpoint.clone();
    let mut name = endpoint.transport.host().map_or(DEFAULT_NAME, String::as_str).to_owned();
    if endpoint.transport == BaseTransport::Stdio {
        return Err(Failure::usage("stdio: what is typed in comes from there already, so no connection can"));
    }
    for step in &mut endpoint.steps {
        // Behind a proxy it is whom that was asked for.
        if let Some(target) = step.target().and_then(Address::host) {
            name = target;
        }
        let Some(tls) = step.tls_mut() else { continue };
        // A pin alone has no chain, and a step that says what is to be verified has it verified.
        if tls.trust_anchors.is_none() && tls.roots.is_none() && !tls.insecure && tls.verify != Some(VerifyStep::Pin) {
            tls.trust_anchors = defaults.trust_anchors.cloned();
            tls.insecure = defaults.insecure && !tls.says_what_to_verify();
        }
        fill_identity(tls, defaults.identity);
        tls.server_name.get_or_insert_with(|| name.clone());
    }
    Ok(endpoint)
}

/// The name to verify where none is given: the host that the endpoint names.
pub(crate) fn host(endpoint: &Endpoint) -> String {
    endpoint.target().and_then(|target| target.host()).unwrap_or_else(|| DEFAULT_NAME.to_owned())
}

/// Listens where the endpoint says, with the `proxy-header` steps right above the wire. The layers of TLS are to be started by
/// who serves the connections.
pub(crate) async fn listen(runtime: &'static dyn Runtime, endpoint: &Endpoint) -> Result<Listener, Failure> {
    let steps = endpoint.steps.iter().take_while(|step| is_proxy(step)).cloned();
    let outermost = steps.fold(endpoint.without_steps(), Endpoint::then);
    Ok(Listener::new(runtime, &outermost).await?)
}

/// What a server brings where a step says nothing.
#[derive(Debug)]
pub(crate) struct ServerDefaults<'a> {
    pub(crate) identity: &'a IdentityFiles,
    pub(crate) named: &'a [(String, Identity)],
    pub(crate) client_trust_anchors: Option<&'a PathBuf>,
}

/// One TLS server for each step of the endpoint that [`listen`] leaves, the outermost first.
pub(crate) fn servers(endpoint: &Endpoint, defaults: &ServerDefaults<'_>) -> Result<Vec<TlsServer>, Failure> {
    let server = |mut step: Step| {
        let tls = tls(&mut step)?;
        let own = tls.certificate.is_some() || tls.private_key.is_some();
        if own {
            return Ok(tls.server()?);
        }
        fill_identity(tls, defaults.identity);
        let missing = tls.certificate.is_none();
        let advise = |error| match missing {
            true => Failure::usage(format_args!("{error}: --cert and --key name them for every step")),
            false => Failure::from(error),
        };
        if tls.client_trust_anchors.is_none() {
            tls.client_trust_anchors = defaults.client_trust_anchors.cloned();
        }
        let named = defaults.named.iter().cloned();
        let builder = tls.server_builder().map_err(advise)?;
        let builder = named.fold(builder, |builder, (name, identity)| builder.name(name, identity));
        Ok(builder.build()?)
    };
    endpoint.steps.iter().skip_while(|step| is_proxy(step)).cloned().map(server).collect()
}

fn fill_identity(tls: &mut TlsStep, identity: &IdentityFiles) {
    if tls.certificate.is_none() && tls.private_key.is_none() {
        tls.certificate.clone_from(&identity.cert);
        tls.private_key.clone_from(&identity.key);
    }
}

fn is_proxy(step: &Step) -> bool {
    matches!(step, Step::ProxyHeader(_))
}

fn tls(step: &mut Step) -> Result<&mut TlsStep, Failure> {
    match step {
        Step::Tls(tls) => Ok(tls),
        other => Err(Failure::usage(format_args!("the step {other} is not one that this command can do there"))),
    }
}
