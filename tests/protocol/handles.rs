//! A connection as other tasks and threads see it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake};
use std::thread;

use futures::FutureExt;
use onionskin::protocol::{Handle, HandleError, Streaming};
use onionskin::testing::{Cut, StringTransport};

use crate::common::link::pattern;
use crate::record::{Recorder, in_clear};

#[test]
fn writes_of_other_threads_leave_in_their_order() {
    let mut transport = StringTransport::new(Recorder::new());
    let handle = transport.handle();
    thread::spawn(move || {
        handle.write("one ").unwrap();
        handle.call(|transport| transport.write(b"two ")).unwrap();
        handle.write(b"three").unwrap();
        handle.close();
        handle.write("four").unwrap();
    })
    .join()
    .unwrap();
    transport.run();
    assert_eq!(transport.sent(), b"one two three");
    transport.end_of_input();
    assert!(transport.reason().unwrap().is_closed());
}

#[test]
fn a_handle_of_a_connection_that_is_over_says_so() {
    let mut transport = StringTransport::new(Recorder::new());
    let handle = transport.handle();
    assert!(!handle.is_over());
    handle.abort();
    transport.run();
    assert!(handle.is_over());
    assert_eq!(handle.write("late"), Err(HandleError::Over));
    assert_eq!(handle.call(|_| Ok(())), Err(HandleError::Over));
    assert_eq!(handle.writable().now_or_never(), Some(Err(HandleError::Over)));
    handle.close();
    handle.pause_producing();
}

#[test]
fn a_handle_takes_no_more_than_the_limit_and_tells_when_there_is_room() {
    let mut transport = StringTransport::new(Recorder::new());
    transport.hold(true);
    transport.act(|_, transport| transport.set_write_limit(1_000_000));
    let handle = transport.handle();
    handle.write(pattern(600_000)).unwrap();
    assert_eq!(handle.write(pattern(600_000)), Err(HandleError::Full), "while it waits for the connection");
    transport.run();
    assert_eq!(handle.write(pattern(600_000)), Err(HandleError::Full), "and while it waits in the connection");
    assert_eq!(handle.writable().now_or_never(), None);
    let mut room = Box::pin(handle.writable());
    assert!((&mut room).now_or_never().is_none());
    transport.hold(false);
    assert_eq!(room.now_or_never(), Some(Ok(())));
    handle.write(pattern(600_000)).unwrap();
    transport.run();
    assert_eq!(transport.sent().len(), 1_200_000);
}

#[test]
fn a_handle_refuses_what_would_never_fit_and_the_connection_lives() {
    let mut transport = StringTransport::new(Recorder::new());
    transport.act(|_, transport| transport.set_write_limit(1_000_000));
    let handle = transport.handle();
    assert_eq!(handle.write(pattern(1_000_001)), Err(HandleError::TooLong));
    handle.write(pattern(1_000_000)).unwrap();
    transport.run();
    assert_eq!(transport.sent().len(), 1_000_000);
    assert!(transport.reason().is_none());
}

#[test]
fn an_error_of_a_command_closes_the_connection() {
    let mut transport = StringTransport::new(Recorder::new());
    transport.handle().call(|_| Err("enough".into())).unwrap();
    transport.run();
    transport.end_of_input();
    assert_eq!(transport.reason().unwrap().to_string(), "enough");
}

#[test]
fn a_handle_is_a_producer_that_stops_reading_where_the_other_connection_is_full() {
    // left ── (a)  [ relay ]  (b) ── right
    let (mut a, _, _) = in_clear(Cut::Whole, Recorder::new(), Recorder::new());
    let mut b = StringTransport::new(Recorder::new());
    let reader = a.with_right(|_, transport| transport.handle());
    b.act(|_, transport| transport.register_producer(reader, Streaming::Push)).unwrap();
    a.run();
    assert!(!a.with_right(|_, transport| transport.is_paused()));
    b.hold(true);
    b.act(|_, transport| transport.write(&pattern(100_000))).unwrap();
    a.run();
    assert!(a.with_right(|_, transport| transport.is_paused()));
    b.hold(false);
    a.run();
    assert!(!a.with_right(|_, transport| transport.is_paused()));
    b.act(|_, transport| transport.abort());
    a.run();
    assert!(a.right_reason().is_some(), "the end of one is the end of the other");
}

/// Uses the handle as soon as it is woken, on the thread that wakes it.
struct Prompt(Handle, AtomicUsize);

impl Wake for Prompt {
    fn wake(self: Arc<Self>) {
        let _ = self.0.write("at last");
        self.1.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn whoever_waits_for_room_may_use_the_handle_when_it_is_woken() {
    for ends in [false, true] {
        let mut transport = StringTransport::new(Recorder::new());
        transport.hold(true);
        transport.act(|_, transport| transport.write(&pattern(100_000))).unwrap();
        let handle = transport.handle();
        let prompt = Arc::new(Prompt(handle.clone(), AtomicUsize::new(0)));
        let waker = Arc::clone(&prompt).into();
        let mut room = Box::pin(handle.writable());
        assert!(room.poll_unpin(&mut Context::from_waker(&waker)).is_pending());
        if ends {
            handle.abort();
            transport.run();
        }
        transport.hold(false);
        assert_eq!(prompt.1.load(Ordering::Relaxed), 1);
        assert_eq!(transport.sent().len(), if ends { 0 } else { 100_000 + "at last".len() });
    }
}

#[test]
fn waiting_for_room_in_vain_leaves_nothing_behind() {
    let mut transport = StringTransport::new(Recorder::new());
    transport.hold(true);
    transport.act(|_, transport| transport.write(&pattern(100_000))).unwrap();
    let handle = transport.handle();
    let prompt = Arc::new(Prompt(handle.clone(), AtomicUsize::new(0)));
    for given_up in [true, false] {
        let waker = Arc::clone(&prompt).into();
        let mut room = Box::pin(handle.writable());
        assert!(room.poll_unpin(&mut Context::from_waker(&waker)).is_pending());
        drop(waker);
        assert_eq!(Arc::strong_count(&prompt), 2);
        if given_up {
            drop(room);
            assert_eq!(Arc::strong_count(&prompt), 1);
        } else {
            transport.hold(false);
            assert_eq!(room.now_or_never(), Some(Ok(())));
        }
    }
    assert_eq!(prompt.1.load(Ordering::Relaxed), 1, "only the one that still waited");
}
