//! The rounds in which a stack and its application go on, until neither can or others are to have their turn (cooperative
//! scheduling: the number of rounds is a budget).

use std::task::Context;

use futures::io::{AsyncRead, AsyncWrite};

use super::Wire;
use crate::stack::Stack;

/// What an application has made of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing: there was nothing new for it.
    Idle,
    /// Something, which may have to be sent.
    Busy,
    /// It has what it wants, and nothing more is to be read.
    Done,
}

/// How the rounds came to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rounds {
    /// The application has what it wants.
    Done,
    /// Nobody can go on: the task is woken when somebody can. Whether anything was done before.
    Idle { moved: bool },
    /// There is more to do, but others have their turn first: the task is to be woken at once.
    Tired,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Wire<IO> {
    /// Moves bytes between the socket and the stack, fires what is due, and has the application look at what came of it; again
    /// and again, but not without end: a peer can send much that has no effect.
    pub(crate) fn rounds(
        &mut self,
        stack: &mut Stack,
        cx: &mut Context<'_>,
        mut application: impl FnMut(&mut Stack, &mut Context<'_>) -> Step,
    ) -> Rounds {
        for round in 0..MAX_ROUNDS {
            let moved = self.turn(stack, cx);
            match application(stack, cx) {
                Step::Done => return Rounds::Done,
                Step::Idle if !moved => return Rounds::Idle { moved: round > 0 },
                Step::Idle | Step::Busy => {}
            }
            if stack.is_unfinished() {
                break;
            }
        }
        Rounds::Tired
    }
}

/// So many reads, of megabytes in all, before the executor gets its thread back.
pub(crate) const MAX_ROUNDS: usize = 128;
