//! What a layer asks the application, in async code.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};

use futures::io::{AsyncRead, AsyncWrite};

use super::{Connection, Error};
use crate::driver::Half;
use crate::layer::opening::{Answerable, Opening};
use crate::stack::{CommandError, CommandErrorKind, LayerId};

impl<IO: AsyncRead + AsyncWrite + Unpin> Connection<IO> {
    /// Waits until the negotiation of this layer, an [`Opening`] that was [spliced](Self::splice), asks something.
    ///
    /// ```
    /// # use futures::io::{AsyncRead, AsyncWrite};
    /// # use onionskin::Connection;
    /// # use onionskin::connection::Error;
    /// use onionskin::starttls::{Negotiate, Smtp, Start};
    /// use onionskin::tls::TlsServer;
    ///
    /// async fn serve<IO>(mut conn: Connection<IO>, server: TlsServer) -> Result<(), Error>
    /// where
    ///     IO: AsyncRead + AsyncWrite + Unpin,
    /// {
    ///     let layer = conn.splice(Negotiate::new(Smtp::new(), server.accept()?).asking())?;
    ///     let mut asked = conn.asked::<Start>(layer).await?;
    ///     let has_room = asked.during(async { true }).await?; // the client waits as long as that takes
    ///     if has_room { asked.grant(()).await } else { asked.refuse(()).await }
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// When the layer is gone before it has asked, and when the connection is lost.
    ///
    /// # Cancellation
    ///
    /// The layer stays, and its question too.
    pub async fn asked<N: Answerable>(&mut self, layer: LayerId) -> Result<Asked<'_, IO, N>, Error>
    where
        N::Question: Clone,
    {
        let question = poll_fn(|cx| self.poll_asked::<N>(layer, cx)).await?;
        Ok(Asked { conn: self, layer, question, is_answered: false })
    }

    /// Answers nothing to what a layer has asked: the peer is told no; see [`Stack::decline`](crate::stack::Stack::decline).
    /// That leaves when anything is polled.
    ///
    /// # Errors
    ///
    /// As [`Stack::decline`](crate::stack::Stack::decline).
    pub fn decline(&mut self, layer: LayerId) -> Result<(), Error> {
        Ok(self.stack.decline(self.wire.now(), layer)?)
    }

    fn poll_asked<N: Answerable>(&mut self, layer: LayerId, cx: &Context<'_>) -> Poll<Result<N::Question, Error>>
    where
        N::Question: Clone,
    {
        self.drive(Half::Reader, cx);
        if let Some(error) = self.take_failure(layer) {
            return Poll::Ready(Err(error));
        }
        match self.stack.layer_as::<Opening<N>>(layer).map(Opening::question) {
            _ if self.stack.lost().is_some() => self.poll_loss(cx),
            Some(Some(question)) => Poll::Ready(Ok(question.clone())),
            Some(None) => Poll::Pending,
            None => Poll::Ready(Err(self.no_such_layer(layer))),
        }
    }

    /// Waits until what was said has been sent, or never will be.
    fn poll_said(&mut self, cx: &Context<'_>) -> Poll<()> {
        self.drive(Half::Reader, cx);
        if self.is_sent() {
            return Poll::Ready(());
        }
        match self.stack.lost() {
            Some(_) => self.poll_flushed(Half::Reader, cx).map(|_| ()),
            None => Poll::Pending,
        }
    }
}

/// The question of a layer that waits for its answer; got from [`Connection::asked`].
///
/// Dropping it declines: the peer is told no, in the words of the protocol, when anything is polled.
pub struct Asked<'a, IO, N: Answerable> {
    conn: &'a mut Connection<IO>,
    layer: LayerId,
    question: N::Question,
    is_answered: bool,
}

impl<IO, N: Answerable> Asked<'_, IO, N> {
    /// The layer that asks.
    pub fn layer(&self) -> LayerId {
        self.layer
    }

    /// What it asks.
    pub fn question(&self) -> &N::Question {
        &self.question
    }

    /// Leaves the question as it is: [`Connection::asked`] has it again.
    pub fn later(mut self) {
        self.is_answered = true;
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin, N: Answerable> Asked<'_, IO, N> {
    /// Finds out what to answer, and has an eye on the peer meanwhile: what it sends is kept, as far as there is room, and when
    /// it is gone `work` is dropped.
    ///
    /// # Errors
    ///
    /// When the connection is lost before `work` is done.
    ///
    /// # Cancellation
    ///
    /// Drops `work`; the question stays.
    pub async fn during<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Error> {
        let mut work = pin!(work);
        poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(Ok(done));
            }
            self.conn.drive(Half::Reader, cx);
            self.conn.poll_loss(cx)
        })
        .await
    }

    /// Grants it, and waits until the answer is sent.
    ///
    /// # Errors
    ///
    /// When the connection is lost, before or while the answer leaves, or the layer failed over it.
    ///
    /// # Cancellation
    ///
    /// It is granted all the same once this was polled, and declined before.
    pub async fn grant(mut self, grant: N::Grant) -> Result<(), Error> {
        self.answer(|opening| opening.grant(grant)).await?;
        self.conn.take_failure(self.layer).map_or_else(|| self.conn.check_lost(), Err)
    }

    /// Refuses it, and waits until the answer is sent. Whether the connection lives on is the affair of the protocol: what is
    /// called next tells.
    ///
    /// # Errors
    ///
    /// When the connection was lost before.
    ///
    /// # Cancellation
    ///
    /// As [`grant`](Self::grant).
    pub async fn refuse(mut self, refusal: N::Refusal) -> Result<(), Error> {
        self.answer(|opening| opening.refuse(refusal)).await
    }

    async fn answer(&mut self, answer: impl FnOnce(&mut Opening<N>) -> bool) -> Result<(), Error> {
        self.conn.check_lost()?;
        self.is_answered = true;
        if !self.conn.with_layer(self.layer, answer)? {
            return Err(CommandError::from(CommandErrorKind::NotAsked(self.layer)).into());
        }
        poll_fn(|cx| self.conn.poll_said(cx)).await;
        Ok(())
    }
}

impl<IO, N: Answerable> Drop for Asked<'_, IO, N> {
    fn drop(&mut self) {
        if !self.is_answered {
            // It may be gone, with the connection.
            let _ = self.conn.stack.decline(self.conn.wire.now(), self.layer);
        }
    }
}

impl<IO, N: Answerable> fmt::Debug for Asked<'_, IO, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked").field("layer", &self.layer).field("question", &self.question).finish_non_exhaustive()
    }
}
