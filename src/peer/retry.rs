//! Whether it is safe to try again.
//!
//! *Safe* is about what the peer may have done, not about whether it will help: a request that has reached somebody may be
//! carried out, and to send it once more may carry it out twice. As long as a layer was being opened, nothing of the
//! application's had left through it, so every failure until then is safe to repeat; whether there is any use in it, the kind
//! of failure tells. Where TLS starts on a live connection, commands may have left below that layer before: of those the caller knows. What would come out the same, a certificate that has expired or a password that is wrong, is not repeated.

use std::fmt;

use super::{Class, ClassKind, ConnectFault, ResolveFault};
use crate::stack::Progress;
use crate::{starttls, tunnel};

/// Whether to try again after a failure, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retry {
    /// Whether.
    pub advice: Advice,
    /// Why: a phrase.
    pub reason: &'static str,
}

/// Whether to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Advice {
    /// It is safe, and may help, in a while.
    Safe,
    /// It is safe, and may help at another address, or through another proxy, at once.
    SafeElsewhere,
    /// It is safe only if nothing was written that the peer would do twice.
    IfNothingSent,
    /// It would come out the same, or must first be looked at.
    No,
}

impl Class {
    /// Whether it is safe to try again, and why.
    #[must_use]
    pub fn retry(&self) -> Retry {
        let (advice, reason) = self.advise();
        Retry { advice, reason }
    }

    fn advise(&self) -> (Advice, &'static str) {
        use Advice::{IfNothingSent, No, Safe, SafeElsewhere};
        match self.kind() {
            ClassKind::Configuration => (No, "what was asked for must be put right first"),
            ClassKind::Misused => (No, "the program has asked for what cannot be done"),
            ClassKind::Aborted => (No, "it was ended on purpose"),
            ClassKind::Application => (No, "the application has said no"),
            ClassKind::Listen(_) => (No, "the address must be free, and allowed, first"),
            ClassKind::Resolve(ResolveFault::NotFound) => (SafeElsewhere, "the name stands for nobody: take another"),
            ClassKind::Resolve(_) => (Safe, "nobody was reached, and the name may be known soon"),
            ClassKind::Connect { fault: ConnectFault::LocalAddress, .. } => {
                (No, "the local address must be free, and one of this machine, first")
            }
            ClassKind::Connect { .. } => (SafeElsewhere, "nobody was reached"),
            ClassKind::Tunnel(error) => of_tunnel(error),
            ClassKind::StartTls(error) => match error.kind() {
                starttls::ErrorKind::Closed | starttls::ErrorKind::TimedOut => {
                    (Safe, "nothing of the application's was sent")
                }
                _ => (No, "the peer would answer the same"),
            },
            ClassKind::HandshakeTimeout | ClassKind::WholeTimeout => {
                (Safe, "nothing of the application's was sent: the peer may be overloaded")
            }
            ClassKind::Certificate(_) | ClassKind::NoCertificate => {
                (No, "the peer is not to be trusted until its certificate is another, or trust is")
            }
            ClassKind::ClientCertificateRefused { .. } => (No, "the peer would refuse the same certificate again"),
            ClassKind::Alert { alert, at } if is_passing(*alert) => match at {
                Some(Progress::Opening) => (Safe, "the peer has a fault that may pass"),
                _ => (IfNothingSent, "the peer has failed, and may have done what it was sent"),
            },
            ClassKind::Alert { .. } => (No, "the peer would refuse the same again"),
            ClassKind::NoCommonVersion
            | ClassKind::NoCommonSuite
            | ClassKind::NoCommonGroup
            | ClassKind::NoCommonSignature
            | ClassKind::NoCommonProtocol
            | ClassKind::Incompatible => (No, "both would offer the same again"),
            ClassKind::NotTls { .. } => (No, "the peer speaks something else"),
            ClassKind::Protocol => (No, "what breaks the rules once does it again, or somebody interferes"),
            ClassKind::Limit => (No, "the limit would be reached again"),
            ClassKind::Truncated | ClassKind::Reset | ClassKind::Socket(_) | ClassKind::Silent => match self.progress {
                Some(Progress::Opening) => (Safe, "nothing of the application's was sent"),
                _ => (IfNothingSent, "what was sent may have arrived, and been done"),
            },
        }
    }
}

fn of_tunnel(error: &tunnel::Error) -> (Advice, &'static str) {
    use Advice::{No, Safe, SafeElsewhere};
    use tunnel::{Ender, ErrorKind};
    match error.kind() {
        _ if error.is_not_processed() => (Safe, "the proxy has done nothing for it"),
        _ if error.is_auth() => (No, "the proxy wants to know who asks, or does not take who does"),
        ErrorKind::Refused { by: Ender::Target, .. } | ErrorKind::Reset(_) => {
            (SafeElsewhere, "the proxy has not reached the target")
        }
        ErrorKind::Refused { code: 500..=599, .. } => (Safe, "the proxy has a fault that may pass"),
        ErrorKind::Refused { .. } => (No, "the proxy would refuse again"),
        ErrorKind::Ended(_)
        | ErrorKind::TimedOut(_)
        | ErrorKind::NotRead
        | ErrorKind::GoingAway(_)
        | ErrorKind::Lost => (Safe, "there was no tunnel yet, so nothing of the application's was sent"),
        _ => (No, "the proxy would answer the same"),
    }
}

fn is_passing(alert: rustls::AlertDescription) -> bool {
    matches!(alert, rustls::AlertDescription::InternalError | rustls::AlertDescription::UserCanceled)
}

impl fmt::Display for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.advice, self.reason)
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Safe => "safe to try again",
            Self::SafeElsewhere => "safe to try at another address",
            Self::IfNothingSent => "safe to try again if nothing was sent",
            Self::No => "not to be tried again",
        })
    }
}
