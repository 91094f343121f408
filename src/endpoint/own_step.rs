//! A step that no string says: the program brings it.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::grammar::Escaped;
use super::step::Step;
use crate::route::{AcceptLeg, DialLeg};

/// A step of the program's own: a tunnel through a proxy that speaks a protocol of yours, a layer of yours on everything.
///
/// ```
/// use onionskin::endpoint::{BaseTransport, Endpoint, OwnStep, TlsStep};
/// # use onionskin::route::DialLeg;
///
/// /// Behind `tunnel` TLS verifies the name that the tunnel leads to, and not that of the proxy.
/// fn through(tunnel: impl DialLeg + 'static) -> Endpoint {
///     let proxy = Endpoint::new(BaseTransport::tcp("proxy.example", 7000));
///     proxy.then(OwnStep::new("switchboard").dials(tunnel)).then(TlsStep::default())
/// }
/// ```
///
/// It is called by its name in what is printed, and does not parse back. Two of them are the same if they have the same legs.
#[derive(Clone, Debug)]
pub struct OwnStep {
    name: Arc<str>,
    dial: Option<Arc<dyn DialLeg>>,
    accept: Option<Arc<dyn AcceptLeg>>,
}

impl OwnStep {
    /// A step of this name that does nothing yet, and so is for neither side.
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), dial: None, accept: None }
    }

    /// What a client does for it.
    #[must_use]
    pub fn dials(self, leg: impl DialLeg + 'static) -> Self {
        Self { dial: Some(Arc::new(leg)), ..self }
    }

    /// What a server does for it.
    #[must_use]
    pub fn accepts(self, leg: impl AcceptLeg + 'static) -> Self {
        Self { accept: Some(Arc::new(leg)), ..self }
    }

    pub(super) fn dial_leg(&self) -> Option<Arc<dyn DialLeg>> {
        self.dial.clone()
    }

    pub(super) fn accept_leg(&self) -> Option<Arc<dyn AcceptLeg>> {
        self.accept.clone()
    }

    /// What tells one from another.
    fn identity(&self) -> (&str, Option<*const ()>, Option<*const ()>) {
        let dial = self.dial.as_ref().map(|leg| Arc::as_ptr(leg).cast());
        let accept = self.accept.as_ref().map(|leg| Arc::as_ptr(leg).cast());
        (&self.name, dial, accept)
    }
}

impl PartialEq for OwnStep {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for OwnStep {}

impl Hash for OwnStep {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

impl fmt::Display for OwnStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaped(&self.name).fmt(f)
    }
}

impl From<OwnStep> for Step {
    fn from(step: OwnStep) -> Self {
        Self::Own(step)
    }
}
