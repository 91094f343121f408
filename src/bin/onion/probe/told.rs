//! What is said of a look: the words for programs and people of what came of it.

use onionskin::connection::Error;
use onionskin::peer::Class;
use onionskin::starttls;
use onionskin::tls::CertificateFault;

use super::finding::{Finding, State};
use super::look::{Look, Outcome, Trusted};
use super::questions;
use super::refusal::Wants;
use super::report::{ClientCertificate, Tls};
use super::server::Server;
use super::shown::Certificate;

/// What has failed, as the library classes it.
pub(super) fn class(look: &Look) -> Option<Class> {
    match (&look.outcome, &look.trust) {
        (Outcome::NoTls(error) | Outcome::Failed(error) | Outcome::HangsUp(Some(error)), _)
        | (Outcome::Session, Trusted::No(error)) => Some(error.class()),
        _ => None,
    }
}

pub(super) fn tls(look: &Look) -> Tls {
    let finding = match &look.outcome {
        Outcome::Session => Finding::new(State::Offered),
        Outcome::Refused(refusal) => Finding::new(State::Refused).detail(&refusal.detail),
        Outcome::HangsUp(None) => Finding::new(State::HangsUp).detail("right behind the handshake"),
        Outcome::HangsUp(Some(error)) => {
            let finding = Finding::new(State::HangsUp).detail("right behind the handshake");
            finding.and(&questions::cause(error))
        }
        Outcome::Failed(error) if error.is_timeout() => Finding::new(State::Hangs).detail(questions::cause(error)),
        Outcome::Failed(error) => Finding::new(State::Failed).detail(questions::cause(error)),
        Outcome::NoTls(error) => no_tls(error),
    };
    let wants = if let Outcome::Refused(refusal) = &look.outcome { Some(refusal.wants) } else { None };
    let client_certificate = match wants {
        Some(Wants::Certificate) => ClientCertificate::Required,
        _ if look.asks_for_certificate => ClientCertificate::Asked,
        _ => ClientCertificate::NotAsked,
    };
    let tls = look.facts.as_ref().map_or_else(|| Tls::none(finding.clone()), |facts| Tls::of(finding.clone(), facts));
    Tls { wants, client_certificate, hello_retry: look.is_retried, ..tls }
}

pub(super) fn trust(server: &Server, trust: &Trusted, certificates: &[Certificate]) -> Finding {
    match trust {
        Trusted::NotAsked => Finding::new(State::NotAsked),
        _ if server.trusts_everyone() => Finding::new(State::NotChecked),
        Trusted::Yes => Finding::new(State::Trusted),
        Trusted::No(error) => match certificates.first() {
            Some(own) if own.is_self_issued() => untrusted(error).and("the certificate is its own issuer"),
            _ => untrusted(error),
        },
    }
}

fn no_tls(error: &Error) -> Finding {
    use starttls::ErrorKind;
    let state = match starttls::Error::of(error).map(starttls::Error::kind) {
        Some(ErrorKind::NotOffered) => return Finding::new(State::NotOffered),
        Some(ErrorKind::Refused) => State::Refused,
        Some(ErrorKind::Preauthenticated) => return Finding::new(State::Preauthenticated),
        _ if error.is_timeout() => State::Hangs,
        _ => State::Failed,
    };
    Finding::new(state).detail(questions::cause(error))
}

fn untrusted(error: &Error) -> Finding {
    match error.tls_error().and_then(CertificateFault::of) {
        Some(CertificateFault::UnknownIssuer) => Finding::new(State::UnknownIssuer),
        Some(CertificateFault::WrongName { .. }) => Finding::new(State::WrongName),
        Some(CertificateFault::Expired { .. }) => Finding::new(State::Expired),
        Some(CertificateFault::NotYetValid { .. }) => Finding::new(State::NotYetValid),
        Some(fault) => Finding::new(State::NotAccepted).detail(fault),
        None => Finding::new(State::NotAccepted).detail(questions::cause(error)),
    }
}

pub(super) fn certificate_hint(error: &Error) -> Option<String> {
    Some(match error.tls_error().and_then(CertificateFault::of)? {
        CertificateFault::UnknownIssuer | CertificateFault::IsAuthority => {
            "name its authority with --ca, or have a public one issue it".to_owned()
        }
        CertificateFault::WrongName { .. } => "ask for a name that it stands for: sni=NAME in the endpoint".to_owned(),
        CertificateFault::Expired { .. } => "the server must renew it".to_owned(),
        _ => return None,
    })
}
