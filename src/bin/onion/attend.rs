//! What concerns all listeners of the process: that it is to end, that files are to be read again, and who is to be told.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::stream::{BoxStream, once, pending, select_all, unfold};
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
        Self { runtime, notifier: Notifier::from_environment(what), listeners: Vec::new() }
    }

    /// The orders for one more listener.
    pub(crate) fn reloads(&mut self) -> Reloads {
        let (order, orders) = unbounded();
        self.listeners.push(order);
        orders
    }

    /// Gives orders, and tells of them, for as long as it is polled.
    pub(crate) async fn run(self, stopping: Stopping, hangups: Hangups) -> Infallible {
        let (done, reloaded) = unbounded();
        let mut events = select_all([
            once(stopping).map(|()| Event::Stop).boxed(),
            hangups.map(|()| Event::Hangup).boxed(),
            reloaded.map(|()| Event::Reloaded).boxed(),
            self.pulses(),
            // It never ends.
            pending().boxed(),
        ]);
        let (mut is_ending, mut reloading) = (false, 0);
        self.notifier.ready(self.listeners.len());
        loop {
            match events.next().await {
                Some(Event::Stop) => {
                    is_ending = true;
                    self.notifier.stopping();
                }
                Some(Event::Hangup) => {
                    if !is_ending {
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
                    if reloading == 0 && !is_ending {
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
