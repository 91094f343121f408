//! The greeting of a protocol with STARTTLS.
//!
//! A step `starttls` says or takes the greeting itself, before TLS. If one side only has such a step, the other one has a
//! greeting too many or too few: a server behind the relay greets a client that was greeted already, or a client in front
//! of it waits for a greeting that was taken before TLS.

use futures::io::{AsyncRead, AsyncWrite};
use onionskin::Connection;
use onionskin::connection::Error;
use onionskin::endpoint::{Endpoint, StartTlsStep, Step};
use onionskin::starttls::{Greets, KnownProtocol, Negotiate, greeting};

use super::ftp;
use crate::failure::Failure;
use crate::join::Side;

/// What is to be done about the greeting before two sides are joined.
#[derive(Debug)]
pub(super) enum Greeting {
    /// It passes, or both sides have dealt with it.
    Passes,
    /// The server's is taken: the client has heard ours.
    Taken(KnownProtocol),
    /// The client gets one from us: the server's was taken.
    Given(Vec<u8>),
}

impl Greeting {
    pub(super) fn between(listen: &Endpoint, connect: &Endpoint) -> Result<Self, Failure> {
        let (near, far) = (innermost(listen), innermost(connect));
        let Some(step) = near.or(far) else { return Ok(Self::Passes) };
        if let (Some(near), Some(far)) = (near, far)
            && near.protocol != far.protocol
        {
            let (near, far) = (near.protocol, far.protocol);
            return Err(Failure::usage(format_args!("LISTEN speaks {near} and CONNECT {far}: they cannot be joined")));
        }
        check(step.protocol, near.is_some() && far.is_some())?;
        let peer = step.peer("localhost");
        Ok(match peer.greets() {
            Greets::Once if far.is_none() => Self::Taken(step.protocol),
            Greets::Once if near.is_none() => Self::Given(greeting(&*peer)),
            Greets::Never | Greets::Once | Greets::Again => Self::Passes,
        })
    }

    /// Does it, and says which side failed if one did.
    pub(super) async fn bring<IO>(
        &self,
        near: &mut Connection<IO>,
        far: &mut Connection<IO>,
    ) -> Result<(), (Side, Error)>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        match self {
            Self::Passes => Ok(()),
            Self::Taken(protocol) => {
                let taken = async {
                    let id = far.splice(Negotiate::greeting(&*protocol.peer("localhost", None)))?;
                    far.ready(id).await.map(drop)
                };
                taken.await.map_err(|error| (Side::Connect, error))
            }
            Self::Given(greeting) => near.send_all(greeting).await.map_err(|error| (Side::Listen, error)),
        }
    }
}

/// What whoever sets such a relay up should know, if there is something.
pub(super) fn caution(listen: &Endpoint, connect: &Endpoint) -> Option<&'static str> {
    let speaks_ftp = |endpoint| innermost(endpoint).is_some_and(|step| step.protocol == KnownProtocol::Ftp);
    let is_half = (speaks_ftp(listen) || speaks_ftp(connect)) && !ftp::is_whole(listen, connect);
    is_half.then_some(
        "ftp: data connections do not go through here, only the control connection does: they would if LISTEN ended with the step \
         and CONNECT were TCP without TLS",
    )
}

/// Some protocols bind what is said inside TLS to what was said before.
fn check(protocol: KnownProtocol, on_both_sides: bool) -> Result<(), Failure> {
    match protocol {
        KnownProtocol::Mysql => {
            Err(Failure::usage("mysql: a log-in is computed from the server's own greeting, so it cannot be relayed"))
        }
        KnownProtocol::Tds if !on_both_sides => Err(Failure::usage(
            "tds: the sides agree on encryption before they talk, so LISTEN and CONNECT both need the step",
        )),
        _ => Ok(()),
    }
}

fn innermost(endpoint: &Endpoint) -> Option<&StartTlsStep> {
    endpoint.steps.iter().rev().find_map(|step| match step {
        Step::StartTls(step) => Some(&**step),
        _ => None,
    })
}
