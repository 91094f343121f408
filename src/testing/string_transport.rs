//! One protocol, and bytes in place of a peer.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use super::MemoryWire;
use crate::protocol::{Addresses, EndReason, Handle, Protocol, Session, Transport};
use crate::stack::{Limits, Stack};

/// A transport for unit tests of one protocol: what the peer sends is said by the test, and what is sent is kept.
///
/// There is no socket, no runtime and no other task; time passes when [`advance`](Self::advance) says so.
///
/// ```
/// use onionskin::protocol::{LineReceiver, Lines, Protocol, Result, Transport};
/// use onionskin::testing::StringTransport;
///
/// struct Adder(Lines);
///
/// impl Protocol for Adder {
///     fn data_received(&mut self, transport: &mut Transport<'_>) -> Result {
///         self.receive_lines(transport)
///     }
/// }
///
/// impl LineReceiver for Adder {
///     fn lines(&mut self) -> &mut Lines {
///         &mut self.0
///     }
///
///     fn line_received(&mut self, transport: &mut Transport<'_>, line: &[u8]) -> Result {
///         let numbers = std::str::from_utf8(line).map_err(|_| "no text")?.split(' ');
///         let sum: i64 = numbers.map(|number| number.parse().unwrap_or(0)).sum();
///         self.send_line(transport, sum.to_string().as_bytes())
///     }
/// }
///
/// let mut transport = StringTransport::new(Adder(Lines::new()));
/// transport.receive(b"1 2 3\r\n4");
/// assert_eq!(transport.sent(), b"6\r\n");
/// transport.receive(b" 5\r\n");
/// assert_eq!(transport.sent(), b"9\r\n");
/// transport.end_of_input();
/// assert!(transport.reason().is_some_and(|reason| reason.is_closed()));
/// ```
pub struct StringTransport<P: Protocol> {
    session: Session<P>,
    stack: Stack,
    now: Instant,
    wire: MemoryWire,
}

impl<P: Protocol> StringTransport<P> {
    /// A connection without addresses, already made.
    pub fn new(protocol: P) -> Self {
        Self::between(Addresses::default(), protocol)
    }

    /// A connection between these addresses, already made.
    pub fn between(addresses: Addresses, protocol: P) -> Self {
        let mut stack = Stack::new(Limits::default());
        stack.name_wire(addresses.to_string());
        let mut this =
            Self { session: Session::new(protocol, addresses), stack, now: Instant::now(), wire: MemoryWire::new() };
        this.run();
        this
    }

    /// The peer sends `bytes`, which arrive in one piece as far as the stack takes them.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.wire.arrive(bytes);
        self.run();
    }

    /// The peer closes its side, behind what it has sent.
    pub fn end_of_input(&mut self) {
        self.wire.arrive_end();
        self.run();
    }

    /// The socket fails.
    pub fn break_with(&mut self, error: io::Error) {
        self.stack.handle_error(self.now, error);
        self.run();
    }

    /// Takes what was sent since this was last asked.
    pub fn sent(&mut self) -> Vec<u8> {
        self.wire.take_sent()
    }

    /// While held, the peer reads nothing, and what is written piles up.
    pub fn hold(&mut self, hold: bool) {
        self.wire.stall(hold);
        self.run();
    }

    /// Lets time pass, and fires what is due on the way, in sequence.
    pub fn advance(&mut self, by: Duration) {
        let end = self.now + by;
        while let Some(due) = [self.session.poll_deadline(), self.stack.poll_deadline()].into_iter().flatten().min()
            && due <= end
        {
            self.set_now(due);
        }
        self.set_now(end);
    }

    /// Has the protocol, or the test in its place, use the transport outside of any callback.
    pub fn act<R>(&mut self, act: impl FnOnce(&mut P, &mut Transport<'_>) -> R) -> R {
        let result = self.session.with_transport(&mut self.stack, self.now, act);
        self.run();
        result
    }

    /// Does what handles of the connection have asked for.
    pub fn run(&mut self) {
        loop {
            let dispatched = self.session.dispatch(&mut self.stack, self.now);
            let moved = self.wire.turn(&mut self.stack, self.now);
            if !dispatched && !moved {
                return;
            }
        }
    }

    /// The protocol.
    pub fn protocol(&self) -> &P {
        self.session.protocol()
    }

    /// The protocol, to be changed.
    pub fn protocol_mut(&mut self) -> &mut P {
        self.session.protocol_mut()
    }

    /// A way to the connection from other tasks and threads; [`run`](Self::run) does what it asks for.
    pub fn handle(&self) -> Handle {
        self.session.handle()
    }

    /// Why the connection is over, if the protocol was told that it is.
    pub fn reason(&self) -> Option<&EndReason> {
        self.session.reason()
    }

    /// The stack below the protocol, to look at.
    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    fn set_now(&mut self, now: Instant) {
        self.now = now;
        if self.stack.poll_deadline().is_some_and(|due| due <= now) {
            self.stack.handle_timeout(now);
        }
        self.run();
    }
}

impl<P: Protocol> fmt::Debug for StringTransport<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StringTransport")
            .field("session", &self.session)
            .field("stack", &self.stack)
            .finish_non_exhaustive()
    }
}
