//! A stream, as the program has it.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::{Sink, Stream as FuturesStream};

use super::mailbox::{Mailbox, Order, Receipt};
use super::message::{Delivery, Message, MessageId};
use super::policy::StreamPolicy;
use super::{Error, ErrorKind, Event, State};

/// A stream of the policy: messages go out and come in, and where to is no affair of the program.
///
/// ```no_run
/// use onionskin::streams::{Delivery, Streams, policy::Policy};
///
/// # async fn example(runtime: &'static dyn onionskin::runtime::Runtime) -> Result<(), Box<dyn std::error::Error>> {
/// let streams = Streams::new(Policy::read_file("policy.json")?, runtime)?;
/// let telemetry = streams.open("telemetry")?;
/// telemetry.set("serial", "0042")?;
/// if telemetry.send("21.5").await? == Delivery::Acknowledged {
///     println!("it has arrived");
/// }
/// # Ok(())
/// # }
/// ```
///
/// All methods take `&self`, so several tasks may share one. A task of the runtime does the work, whether or not anybody waits
/// for it; when the stream is dropped, it ends the connection in order, and what still waits to be sent is dropped.
///
/// It is also a [`Sink`] of messages and a [`Stream`](futures::Stream) of those that arrive.
pub struct Stream {
    name: Arc<str>,
    declared: Arc<StreamPolicy>,
    mailbox: Arc<Mailbox>,
    /// What [`Sink`] has taken and not put in yet.
    pending: Option<Message>,
}

impl Stream {
    pub(super) fn new(name: Arc<str>, declared: Arc<StreamPolicy>, mailbox: Arc<Mailbox>) -> Self {
        Self { name, declared, mailbox, pending: None }
    }

    /// The name of the stream in the policy.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the connection is now. What it was meanwhile, [`events`](Self::events) tell.
    #[must_use]
    pub fn state(&self) -> State {
        self.mailbox.state()
    }

    /// Sets the value that `${name}` stands for, from the next attempt on, and in messages from the next one on.
    ///
    /// # Errors
    ///
    /// When the policy does not declare the name for this stream.
    pub fn set(&self, name: &str, value: impl Into<String>) -> Result<(), Error> {
        if !self.declared.values.contains_key(name) {
            let error = super::policy::DestinationError::undeclared(&self.name, name, self.declared.values.keys());
            return Err(error.into());
        }
        self.mailbox.set_value(name, value.into());
        Ok(())
    }

    /// The value of this name: what was set, or what has arrived in a field of HTTP.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<String> {
        self.mailbox.values().get(name).cloned()
    }

    /// Asks for a connection, and begins to count failures anew. In HTTP this is a request without a body. It does
    /// nothing where there is a connection, or an attempt under way.
    pub fn connect(&self) {
        self.mailbox.connect();
    }

    /// Ends the connection in order, and makes no further attempt until somebody asks for it. What waits to be sent waits on.
    pub fn disconnect(&self) {
        self.mailbox.order(Order::Disconnect);
    }

    /// Sends a message, and waits until it is known what became of it. This asks for a connection, if there is none.
    ///
    /// While there is no connection it waits in the queue of the stream, within the limits of the policy.
    ///
    /// # Errors
    ///
    /// When all retries failed, or the connection was lost while it was on its way and the protocol has no way to
    /// send it again (`raw`, `ws`, MQTT with QoS 0): then nobody knows whether it has arrived. When it was dropped for want of room.
    ///
    /// # Cancellation
    ///
    /// While it waits for room, nothing is sent. Behind that, it is sent all the same, and an event tells the outcome.
    pub async fn send(&self, message: impl Into<Message>) -> Result<Delivery, Error> {
        let receipt = self.enqueue(message).await?;
        receipt.await
    }

    /// Puts a message into the queue, and waits for nothing but for room there. What comes back may be waited for.
    ///
    /// # Errors
    ///
    /// When the stream is closed, or the message was dropped for want of room.
    ///
    /// # Cancellation
    ///
    /// Nothing is sent.
    pub async fn enqueue(&self, message: impl Into<Message>) -> Result<Sending, Error> {
        let mut message = Some(message.into());
        let (id, receipt) = poll_fn(|cx| self.mailbox.poll_send(&mut message, cx)).await?;
        Ok(Sending { id, receipt })
    }

    /// The next message, or piece of one, that has arrived. `None` when the stream is closed and nothing more will come.
    ///
    /// # Errors
    ///
    /// When all retries failed: once for each time, behind all that had arrived before. A stream that is asked for again goes on.
    ///
    /// # Cancellation
    ///
    /// Nothing is lost.
    pub async fn receive(&self) -> Option<Result<Message, Error>> {
        poll_fn(|cx| self.mailbox.poll_receive(cx)).await
    }

    /// What happens to the stream, from its opening on: each event is told once. Of what nobody takes the last 256 are kept.
    pub fn events(&self) -> Events {
        Events(Arc::clone(&self.mailbox))
    }

    /// Ends the connection in order, and waits until it is, for five seconds at most. What waits to be sent is dropped.
    ///
    /// # Cancellation
    ///
    /// It is closed all the same.
    pub async fn close(&self) {
        self.mailbox.order(Order::Close);
        poll_fn(|cx| self.mailbox.poll_closed(cx)).await;
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.mailbox.order(Order::Close);
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("name", &self.name).field("state", &self.state()).finish_non_exhaustive()
    }
}

impl FuturesStream for Stream {
    type Item = Result<Message, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.mailbox.poll_receive(cx)
    }
}

/// Flushing waits until it is known what became of each message. The outcomes are told by [events](Stream::events).
impl Sink<Message> for Stream {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let this = &mut *self;
        if this.pending.is_some() {
            drop(ready!(this.mailbox.poll_send(&mut this.pending, cx))?);
        }
        Poll::Ready(Ok(()))
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        self.pending = Some(message);
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        ready!(self.as_mut().poll_ready(cx))?;
        self.mailbox.poll_all_settled(cx).map(Ok)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        ready!(self.as_mut().poll_flush(cx))?;
        self.mailbox.order(Order::Close);
        self.mailbox.poll_closed(cx).map(Ok)
    }
}

/// A message that was sent, as a future of what becomes of it.
///
/// # Cancellation
///
/// It is sent all the same; an event tells the outcome.
#[derive(Debug)]
pub struct Sending {
    id: MessageId,
    receipt: Receipt,
}

impl Sending {
    /// Which message it is.
    #[must_use]
    pub fn id(&self) -> MessageId {
        self.id
    }
}

impl Future for Sending {
    type Output = Result<Delivery, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = ready!(Pin::new(&mut self.receipt).poll(cx));
        Poll::Ready(outcome.unwrap_or_else(|_| Err(ErrorKind::Closed.into())))
    }
}

/// What happens to a stream: see [`Event`]. Several of the same stream share what there is.
pub struct Events(Arc<Mailbox>);

impl FuturesStream for Events {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.0.poll_event(cx)
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}
