//! What a layer has to say once it is ready.
//!
//! Each kind of layer has something else to say, and the list holds all of them as [`Layer`]. So it is said in two places: a
//! layer names the type of its facts ([`Opens`]), and hands them out without it ([`Layer::opened`]). [`Facts::of`] holds the
//! two together: facts of another type than the layer's do not compile.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use super::{CommandError, Event, Layer, LayerId, Stack};

/// A layer that can be opened: put in, and waited for until it has said what it has to say.
///
/// ```
/// use onionskin::stack::{Ends, Facts, Failure, Layer, LayerId, Opens, PeerAnswer, Report};
///
/// /// Takes one line from the peer, says what was in it, and is gone.
/// #[derive(Debug, Default)]
/// struct Banner {
///     line: Option<String>,
/// }
///
/// impl Opens for Banner {
///     type Facts = String;
/// }
///
/// impl Layer for Banner {
///     fn inbound(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
///         let input = ends.inbound_below();
///         if let Some(end) = input.front().iter().position(|&byte| byte == b'\n') {
///             self.line = Some(String::from_utf8_lossy(&input.front()[..end]).into_owned());
///             input.consume(end + 1);
///             ends.report(Report::Ready); // first, so that it is asked for its facts
///             ends.report(Report::Stopped(PeerAnswer::NotNeeded));
///         }
///         Ok(())
///     }
///
///     fn opened(&self, _layer: LayerId) -> Option<Facts> {
///         self.line.clone().map(Facts::of::<Self>)
///     }
/// }
/// ```
///
/// A layer that becomes another one ([`Report::Become`](super::Report::Become)) has the facts of that one.
pub trait Opens: Layer {
    /// What it has to say: `()` if that is nothing. Cheap to clone where that is possible.
    type Facts: Clone + fmt::Debug + Send + Sync + 'static;
}

impl Stack {
    /// As [`splice`](Self::splice), for whoever waits for [`Event::Ready`]: it follows for a layer of any kind, also for one that is
    /// ready as soon as it is put in and reports nothing. [`opened`](Self::opened) has its facts then.
    ///
    /// # Errors
    ///
    /// As [`splice`](Self::splice).
    pub fn open<L: Opens>(&mut self, now: Instant, layer: L) -> Result<LayerId, CommandError> {
        let id = self.splice(now, Box::new(layer))?;
        self.tell_opened(id);
        Ok(id)
    }

    /// Tells that a layer is ready, if it is so from the start and has reported nothing.
    pub(super) fn tell_opened(&mut self, id: LayerId) {
        let is_told = || self.events.iter().any(|event| matches!(event, Event::Ready(ready) if *ready == id));
        if self.layer(id).is_some_and(|layer| layer.opened(id).is_some()) && !is_told() {
            self.events.push_back(Event::Ready(id));
        }
    }

    /// What a layer has to say, if it is there and ready; and if it has left, as long as its [`Event::Ready`] is the last that
    /// [`poll_event`](Self::poll_event) has returned, or is still to come.
    #[must_use]
    pub fn opened(&self, id: LayerId) -> Option<Facts> {
        self.layer_at_ready(id)?.opened(id)
    }
}

/// The facts of some layer, as of when they were asked for. Clones share them.
#[derive(Clone)]
pub struct Facts(Option<Arc<dyn Known>>);

impl Facts {
    /// The facts of a layer of the kind `L`.
    #[must_use]
    pub fn of<L: Opens>(facts: L::Facts) -> Self {
        Self(Some(Arc::new(facts)))
    }

    /// Those of a layer that is ready and has nothing to say.
    #[must_use]
    pub fn nothing() -> Self {
        Self(None)
    }

    /// As those of a layer of the kind `L`, if they are of the type that such a one has.
    #[must_use]
    pub fn to<L: Opens>(&self) -> Option<&L::Facts> {
        let facts: &dyn Any = match &self.0 {
            Some(facts) => &**facts,
            None => &(),
        };
        facts.downcast_ref()
    }
}

impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(facts) => facts.fmt(f),
            None => ().fmt(f),
        }
    }
}

/// What facts of any type can do.
trait Known: Any + fmt::Debug + Send + Sync {}

impl<F: Any + fmt::Debug + Send + Sync> Known for F {}
