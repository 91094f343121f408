//! A model against the shelf: whatever is done in whatever order, nothing is held twice and nothing is forgotten.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use futures::FutureExt;
use futures::executor::block_on;

use super::*;

/// Something that notices when two have it at a time, and whose drop is counted.
struct Thing {
    is_held: Arc<AtomicBool>,
    alive: Arc<AtomicUsize>,
    peer: u64,
}

impl Thing {
    fn new(peer: u64, alive: &Arc<AtomicUsize>) -> Self {
        alive.fetch_add(1, SeqCst);
        Self { is_held: Arc::default(), alive: Arc::clone(alive), peer }
    }
}

impl Drop for Thing {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, SeqCst);
    }
}

fn held(item: Item<Thing>, peer: u64) -> Item<Thing> {
    assert_eq!(item.value.peer, peer, "it is another peer's");
    assert!(!item.value.is_held.swap(true, SeqCst), "somebody else has it");
    item
}

fn given(shelf: &Shelf<Thing>, item: Item<Thing>, now: Instant) -> Given<Thing> {
    assert!(item.value.is_held.swap(false, SeqCst), "who gives it had it");
    shelf.give(item, now)
}

fn new(shelf: &Shelf<Thing>, permit: Permit<Thing>, alive: &Arc<AtomicUsize>, now: Instant) -> Item<Thing> {
    let peer = permit.peer;
    held(shelf.item(|_| Thing::new(peer, alive), permit, now), peer)
}

/// A thousand threads, ten thousand times somebody takes and gives, seven peers with at most five open to each.
#[test]
fn p9_a_thousand_threads_hold_nothing_twice() {
    const THREADS: u64 = 1000;
    const TURNS: u64 = 10;
    let limits = Limits::default().with_idle(20, 4).with_open_per_peer(5, usize::MAX);
    let shelf = Shelf::new(limits);
    let (alive, turns, reused, now) = (Arc::default(), AtomicUsize::new(0), AtomicUsize::new(0), Instant::now());
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (shelf, alive, turns, reused) = (&shelf, &alive, &turns, &reused);
            let work = move || {
                for turn in 0..TURNS {
                    let peer = (thread + turn) % 7;
                    let handed = match shelf.take(peer) {
                        Taken::Item(item) => Handed::Item(item),
                        Taken::Permit(permit) => Handed::Permit(permit),
                        // Some lose their patience, with or without something in hand.
                        Taken::Wait(receiver) if (thread + turn) % 5 == 0 => {
                            drop(receiver);
                            continue;
                        }
                        Taken::Wait(receiver) => block_on(receiver).unwrap_or_else(|_| panic!("the shelf is open")),
                        Taken::TooMany(_) | Taken::Closed => panic!("everybody may wait"),
                    };
                    let item = match handed {
                        Handed::Item(item) => {
                            reused.fetch_add(1, SeqCst);
                            held(item, peer)
                        }
                        Handed::Permit(permit) => new(shelf, permit, alive, now),
                    };
                    turns.fetch_add(1, SeqCst);
                    std::thread::yield_now();
                    // Some break it.
                    if (thread * turn) % 11 != 10 {
                        drop(given(shelf, item, now));
                    }
                }
            };
            std::thread::Builder::new().stack_size(64 * 1024).spawn_scoped(scope, work).unwrap();
        }
    });
    let (idle, open, waiting) = shelf.counts();
    assert_eq!((open, waiting), (idle, 0), "only what is idle is open");
    assert_eq!(alive.load(SeqCst), idle);
    assert!(idle <= 20 && reused.load(SeqCst) > 0 && turns.load(SeqCst) > 1000);
    drop(shelf.close());
    assert_eq!((shelf.counts(), alive.load(SeqCst)), ((0, 0, 0), 0));
}

/// Who is still there, after any row of moves, is who the limits allow; seeds are printed.
#[test]
fn the_limits_hold_after_any_row_of_moves() {
    for seed in 0..200u64 {
        let mut dice = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut roll = |sides: u64| {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            dice % sides
        };
        let limits = Limits::default().with_idle(6, 3).with_open_per_peer(4, 2).with_uses(5);
        let limits = limits.with_idle_time(Duration::from_secs(10)).with_age(Duration::from_secs(25));
        let (shelf, alive, mut now) = (Shelf::<Thing>::new(limits), Arc::default(), Instant::now());
        let (mut in_use, mut queue) = (Vec::new(), Vec::new());
        for _ in 0..300 {
            match roll(8) {
                0..=2 => match shelf.take(roll(3)) {
                    Taken::Item(mut item) => {
                        item.uses += 1;
                        let peer = item.value.peer;
                        in_use.push(held(item, peer));
                    }
                    Taken::Permit(permit) => in_use.push(new(&shelf, permit, &alive, now)),
                    Taken::Wait(receiver) => queue.push(receiver),
                    Taken::TooMany(waiting) => assert_eq!(waiting, 2, "seed {seed}"),
                    Taken::Closed => unreachable!("it is open"),
                },
                3..=4 if !in_use.is_empty() => {
                    let item = in_use.swap_remove(usize::try_from(roll(in_use.len() as u64)).unwrap());
                    let is_spent = item.uses >= 5 || now - item.born >= Duration::from_secs(25);
                    let is_refused = matches!(given(&shelf, item, now), Given::Refused(..));
                    assert_eq!(is_refused, is_spent, "seed {seed}");
                }
                5 if !in_use.is_empty() => drop(in_use.pop()),
                6 if !queue.is_empty() => {
                    drop(queue.swap_remove(usize::try_from(roll(queue.len() as u64)).unwrap()));
                }
                _ => {
                    now += Duration::from_secs(roll(4));
                    while let Some(item) = shelf.overdue(now) {
                        assert!(shelf.check(&item, now).is_err(), "seed {seed}: its time is over");
                    }
                    assert!(shelf.next_deadline().is_none_or(|deadline| deadline > now), "seed {seed}");
                }
            }
            // What came to those who wait.
            let mut waiting = Vec::new();
            for mut receiver in std::mem::take(&mut queue) {
                match (&mut receiver).now_or_never() {
                    Some(Ok(Handed::Item(item))) => {
                        let peer = item.value.peer;
                        in_use.push(held(item, peer));
                    }
                    Some(Ok(Handed::Permit(permit))) => in_use.push(new(&shelf, permit, &alive, now)),
                    Some(Err(_)) => unreachable!("the shelf is open"),
                    None => waiting.push(receiver),
                }
            }
            queue = waiting;
            let (idle, open, waiting) = shelf.counts();
            assert_eq!((open, waiting), (idle + in_use.len(), queue.len()), "seed {seed}");
            assert_eq!(alive.load(SeqCst), open, "seed {seed}: whatever is open is somewhere");
            assert!(idle <= 6 && (0..3).all(|peer| shelf.idle_of(peer) <= 3), "seed {seed}");
        }
    }
}

/// What was picked to be looked at goes back to where it was, and is neither younger nor later.
#[test]
fn who_looks_at_one_leaves_the_order_as_it_was() {
    let (shelf, alive, now) = (Shelf::new(Limits::default().with_idle(2, 2)), Arc::default(), Instant::now());
    let mut numbers = Vec::new();
    for _ in 0..2 {
        let Some(permit) = shelf.reserve(0) else { panic!("there is room") };
        let item = new(&shelf, permit, &alive, now);
        numbers.push(item.number);
        drop(given(&shelf, item, now));
    }
    let item = shelf.pick(numbers[0]).unwrap();
    drop(shelf.give(item, now + Duration::from_secs(5)));
    assert_eq!(shelf.next_deadline(), Some(now + Limits::default().idle_time), "it is as old as before");
    let permit = shelf.reserve(0).unwrap();
    let third = new(&shelf, permit, &alive, now);
    let Given::Shelved { crowded_out: Some(first), .. } = given(&shelf, third, now) else { panic!("one is too many") };
    assert_eq!(first.number, numbers[0], "and it is still the first to go");
}
