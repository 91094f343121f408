//! What concerns all listeners of the process: that it is to end, that files are to be read again, and who is to be told.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::future::{Either, select};
use futures::stream::{BoxStream, once, pending, select_all, unfold};
use futures::{FutureExt, StreamExt};
use onionskin::runtime::Runtime;

use crate::notify::Notifier;
use crate::signals::{Hangups, Stopping};

/// The order to read files again. The last clone that is dropped tells that all is done.
#[derive(Clone, Debug)]
pub(crate) struct Reload {
    _done: Arc<Done>,
}

#[derive(Debug)]
struct Done(UnboundedSender<()>);

/// The orders that a listener gets.
pub(crate) type Reloads = UnboundedReceiver<Reload>;

/// Everybody who waits for orders, and who is to get them.
#[derive(Debug)]
pub(crate) struct Attendant {
    runtime: &'static dyn Runtime,
    notifier: Notifier,
    listeners: Vec<UnboundedSender<Reload>>,
    /// Whether it has been told that the process is to end.
    is_ending: bool,
}

enum Event {
    Stop,
    Hangup,
    Reloaded,
    Pulse,
}

impl Attendant {
    /// Whoever has started the process is told how many of these there are.
    pub(crate) fn new(runtime: &'static dyn Runtime, what: &'static str) -> Self {
        Self { runtime, notifier: Notifier::from_environment(what), listeners: Vec::new(), is_ending: false }
    }

    /// The orders for one more listener.
    pub(crate) fn reloads(&mut self) -> Reloads {
        let (order, orders) = unbounded();
        self.listeners.push(order);
        orders
    }

    /// Gives orders, and tells of them, until `work` is done. That the process is to end is told before it does.
    pub(crate) async fn run<T>(mut self, stopping: Stopping, hangups: Hangups, work: impl Future<Output = T>) -> T {
        let output = match select(pin!(self.orders(stopping.clone(), hangups)), pin!(work)).await {
            Either::Left((never, _)) => match never {},
            Either::Right((output, _)) => output,
        };
        // The order may have come between the looks of the two, and the work be done at once.
        if !self.is_ending && stopping.now_or_never().is_some() {
            self.notifier.stopping();
        }
        output
    }

    async fn orders(&mut self, stopping: Stopping, hangups: Hangups) -> Infallible {
        let (done, reloaded) = unbounded();
        let mut events = select_all([
            once(stopping).map(|()| Event::Stop).boxed(),
            hangups.map(|()| Event::Hangup).boxed(),
            reloaded.map(|()| Event::Reloaded).boxed(),
            self.pulses(),
            // It never ends.
            pending().boxed(),
        ]);
        let mut reloading = 0;
        self.notifier.ready(self.listeners.len());
        loop {
            match events.next().await {
                Some(Event::Stop) => {
                    self.is_ending = true;
                    self.notifier.stopping();
                }
                Some(Event::Hangup) => {
                    if !self.is_ending {
                        self.notifier.reloading();
                    }
                    reloading += 1;
                    let reload = Reload { _done: Arc::new(Done(done.clone())) };
                    for listener in &self.listeners {
                        // One that has ended has nothing to read.
                        let _ = listener.unbounded_send(reload.clone());
                    }
                }
                Some(Event::Reloaded) => {
                    reloading -= 1;
                    if reloading == 0 && !self.is_ending {
                        self.notifier.ready(self.listeners.len());
                    }
                }
                Some(Event::Pulse) => self.notifier.alive(),
                None => {}
            }
        }
    }

    /// In the task that accepts connections: as long as that one runs, there are pulses.
    fn pulses(&self) -> BoxStream<'static, Event> {
        let Some(pause) = self.notifier.pulse() else { return pending().boxed() };
        let pulse = |(runtime, pause): (&'static dyn Runtime, Duration)| async move {
            runtime.sleep_until(runtime.now() + pause).await;
            Some((Event::Pulse, (runtime, pause)))
        };
        unfold((self.runtime, pause), pulse).boxed()
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        // Nobody listens any more when the process is over.
        let _ = self.0.unbounded_send(());
    }
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
mod tests {
    use std::os::unix::net::UnixDatagram;
    use std::task::Poll;

    use futures::channel::oneshot;
    use futures::future::poll_fn;
    use onionskin::runtime;

    use super::*;

    #[test]
    fn an_end_that_is_asked_for_behind_the_last_look_is_told_all_the_same() {
        let place = std::env::temp_dir().join(format!("onion-attend-{}", std::process::id()));
        let manager = UnixDatagram::bind(&place).unwrap();
        manager.set_nonblocking(true).unwrap();
        let runtime = runtime::preferred().unwrap();
        for is_asked in [true, false] {
            let notifier = Notifier::to(&place, "Tests").unwrap();
            let attendant = Attendant { runtime, notifier, listeners: Vec::new(), is_ending: false };
            let (ask, asked) = oneshot::channel();
            let (mut ask, stopping) = (Some(ask), async { asked.await.unwrap_or(()) }.boxed().shared());
            // Its first look is behind that of the attendant.
            let work = poll_fn(|_| {
                if is_asked {
                    ask.take().unwrap().send(()).unwrap();
                }
                Poll::Ready(())
            });
            runtime::block_on(runtime, attendant.run(stopping, pending().boxed(), work));
            let hear = || {
                let mut heard = [0; 64];
                let count = manager.recv(&mut heard).ok()?;
                Some(String::from_utf8_lossy(&heard[..count]).into_owned())
            };
            assert!(hear().unwrap().starts_with("READY=1"));
            assert_eq!(hear().as_deref(), is_asked.then_some("STOPPING=1"));
            drop(ask);
        }
        std::fs::remove_file(&place).unwrap();
    }
}
