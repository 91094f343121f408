//! Who looks after what is idle: one task for all of a pool, and not one each.

use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::future::BoxFuture;
use onionskin::pool::{Dismissal, Limits};
use onionskin::runtime::Timer;
use onionskin::testing::Clock;

use crate::{Origin, both, idle, on_every_runtime, pool_by_clock};

/// A clock that knows which tasks sleep by it: nobody but those that watch.
#[derive(Clone, Debug)]
struct Sleepers {
    clock: Clock,
    tasks: Arc<Mutex<Vec<Waker>>>,
    asleep: UnboundedSender<()>,
}

impl Sleepers {
    fn new() -> (Self, UnboundedReceiver<()>) {
        let (asleep, begun) = unbounded();
        (Self { clock: Clock::new(), tasks: Arc::default(), asleep }, begun)
    }

    /// How many tasks there were.
    fn tasks(&self) -> usize {
        self.tasks.lock().unwrap().len()
    }
}

impl Timer for Sleepers {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        let (mut sleep, here) = (self.clock.sleep_until(deadline), self.clone());
        Box::pin(poll_fn(move |cx| {
            let mut tasks = here.tasks.lock().unwrap();
            if !tasks.iter().any(|task| task.will_wake(cx.waker())) {
                // Kept, so that no task of later has the place of this one.
                tasks.push(cx.waker().clone());
            }
            drop(tasks);
            let _ = here.asleep.unbounded_send(());
            sleep.as_mut().poll(cx)
        }))
    }
}

#[test]
fn p9_idle_connections_are_watched_by_one_task() {
    on_every_runtime(async |runtime| {
        let (clock, mut asleep) = Sleepers::new();
        let limits = Limits::default().with_idle_time(Duration::from_secs(10));
        let mut origins = [Origin::new(runtime, "").await, Origin::new(runtime, "").await];
        let (pool, mut dismissals) = pool_by_clock(runtime, limits, &clock);
        let (mut clients, mut servers) = (Vec::new(), Vec::new());
        for number in 0..8 {
            let origin = &mut origins[number % 2];
            let (client, server) = both(&pool.peer(origin.endpoint("")).unwrap(), origin).await;
            clients.push(client);
            servers.push(server);
        }
        // To two peers, and each to be closed at a time of its own.
        for client in clients {
            client.give_back();
            clock.clock.advance(Duration::from_secs(1));
        }
        asleep.next().await.unwrap();
        assert_eq!((pool.statistics().idle, clock.tasks()), (8, 1));

        // The control: another pool has another.
        let (other, _) = pool_by_clock(runtime, limits, &clock);
        servers.push(idle(&other.peer(origins[0].endpoint("")).unwrap(), &mut origins[0]).await);
        while clock.tasks() < 2 {
            asleep.next().await.unwrap();
        }

        // All are looked after by that one, up to the last.
        for left in (0..8).rev() {
            clock.clock.advance(Duration::from_secs(10));
            assert_eq!(dismissals.next().await, Some(Dismissal::IdleTime));
            assert!(pool.statistics().idle <= left);
        }
        assert_eq!(clock.tasks(), 2);
    });
}
