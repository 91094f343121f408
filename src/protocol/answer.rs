//! What a layer asks a protocol, and the answer, at once or later.

use std::fmt;
use std::marker::PhantomData;

use super::{Handle, HandleError, LayerId, Result, Transport};
use crate::layer::opening::{Answerable, Negotiation, Opening};
use crate::stack::{CommandError, CommandErrorKind};

/// What a layer asks; see [`layer_asked`](super::Protocol::layer_asked).
impl Transport<'_> {
    /// What the negotiation of this layer asks, as long as an answer is owed.
    #[must_use]
    pub fn question<N: Negotiation>(&self, layer: LayerId) -> Option<&N::Question> {
        self.stack().layer_as::<Opening<N>>(layer)?.question()
    }

    /// Grants what this layer asks for. What it answers leaves behind what was said before, and the layer goes on.
    ///
    /// # Errors
    ///
    /// When nothing is asked, or the layer is gone or of another kind, or the connection is lost: nobody was granted anything.
    pub fn grant<N: Answerable>(&mut self, layer: LayerId, grant: N::Grant) -> Result<(), CommandError> {
        self.answer_with(layer, |opening: &mut Opening<N>| opening.grant(grant))
    }

    /// Refuses what this layer asks for.
    ///
    /// # Errors
    ///
    /// As [`grant`](Self::grant).
    pub fn refuse<N: Answerable>(&mut self, layer: LayerId, refusal: N::Refusal) -> Result<(), CommandError> {
        self.answer_with(layer, |opening: &mut Opening<N>| opening.refuse(refusal))
    }

    /// Takes the answer to what this layer asks away, to give it later from wherever it is known: from a task that dials,
    /// say. One that is dropped declines.
    ///
    /// # Errors
    ///
    /// As [`grant`](Self::grant).
    pub fn answer_later<N: Answerable>(&self, layer: LayerId) -> Result<Answer<N>, CommandError> {
        match self.question_number::<N>(layer) {
            Some(question) => Ok(Answer { handle: self.handle(), layer, question, is_given: false, kind: PhantomData }),
            None => Err(CommandErrorKind::NotAsked(layer).into()),
        }
    }

    fn question_number<N: Negotiation>(&self, layer: LayerId) -> Option<u64> {
        self.stack().layer_as::<Opening<N>>(layer)?.question_number()
    }

    fn answer_with<N: Answerable>(
        &mut self,
        layer: LayerId,
        answer: impl FnOnce(&mut Opening<N>) -> bool,
    ) -> Result<(), CommandError> {
        if let Some(reason) = self.stack().lost() {
            return Err(CommandErrorKind::Lost(reason.clone()).into());
        }
        if self.with_layer(layer, answer)? { Ok(()) } else { Err(CommandErrorKind::NotAsked(layer).into()) }
    }
}

/// The answer that an application owes a layer, to be given once, from any task or thread; got from
/// [`Transport::answer_later`].
///
/// Dropping it declines: the peer is told no, in the words of the protocol. It answers the question that it was got for, and no
/// other: if that was answered meanwhile, it goes nowhere. So does an answer whose connection is over, and
/// [`Protocol::connection_ended`](super::Protocol::connection_ended) has told why.
pub struct Answer<N: Answerable> {
    handle: Handle,
    layer: LayerId,
    /// Which of the layer's questions it answers: the peer may be told no, and ask for something else.
    question: u64,
    is_given: bool,
    kind: PhantomData<fn() -> N>,
}

impl<N: Answerable> Answer<N> {
    /// The layer that asked.
    #[must_use]
    pub fn layer(&self) -> LayerId {
        self.layer
    }

    /// As [`Transport::grant`].
    ///
    /// # Errors
    ///
    /// When the connection is over.
    pub fn grant(self, grant: N::Grant) -> Result<(), HandleError> {
        let layer = self.layer;
        self.give(move |transport| transport.grant::<N>(layer, grant))
    }

    /// As [`Transport::refuse`].
    ///
    /// # Errors
    ///
    /// When the connection is over.
    pub fn refuse(self, refusal: N::Refusal) -> Result<(), HandleError> {
        let layer = self.layer;
        self.give(move |transport| transport.refuse::<N>(layer, refusal))
    }

    fn give(
        mut self,
        answer: impl FnOnce(&mut Transport<'_>) -> Result<(), CommandError> + Send + 'static,
    ) -> Result<(), HandleError> {
        self.is_given = true;
        self.call(answer)
    }

    /// Does this if the question is still open. To come too late is no error of the protocol's.
    fn call(
        &self,
        answer: impl FnOnce(&mut Transport<'_>) -> Result<(), CommandError> + Send + 'static,
    ) -> Result<(), HandleError> {
        let (layer, question) = (self.layer, self.question);
        self.handle.call(move |transport| {
            if transport.question_number::<N>(layer) == Some(question) {
                let _ = answer(transport);
            }
            Ok(())
        })
    }
}

impl<N: Answerable> Drop for Answer<N> {
    fn drop(&mut self) {
        if !self.is_given {
            let layer = self.layer;
            let _ = self.call(move |transport| transport.decline(layer));
        }
    }
}

impl<N: Answerable> fmt::Debug for Answer<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("layer", &self.layer).finish_non_exhaustive()
    }
}
