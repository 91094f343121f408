//! A layer that writes down what passes.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use crate::stack::{End, Ends, Failure, Layer, LayerError, LayerId, Opens, Order, Queue, Way};

/// Logs every byte that passes it, each way, with the marks between them, and changes nothing.
///
/// **It shows secrets.** Above TLS it shows what TLS was there to hide. It is a tool for finding faults, and nothing to
/// be left in a program that others use.
///
/// The lines go to the crate `log` at level `debug` with the target `onionskin::traffic`, or to a sink of your own. No
/// line is long, however much passes at once: a readable one shows up to 128 bytes and ends at a line feed, a
/// hexadecimal one shows 16.
///
/// ```
/// use std::sync::mpsc;
/// use onionskin::layer::TrafficLog;
/// use onionskin::testing::{Cut, Pair};
///
/// let (lines, seen) = mpsc::channel();
/// let mut pair = Pair::new(Cut::Whole);
/// pair.left.splice(TrafficLog::to(move |line| lines.send(line.to_owned()).unwrap_or(())).label("mail"));
/// pair.left.write(b"EHLO me\r\n");
/// assert_eq!(seen.recv().unwrap(), r"mail out EHLO me\r\n");
/// ```
pub struct TrafficLog {
    sink: Sink,
    form: Form,
    label: String,
    /// How many bytes have passed, each way.
    inbound: u64,
    outbound: u64,
}

/// How a [`TrafficLog`] shows bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Form {
    /// Text with escapes: `out EHLO me\r\n`.
    #[default]
    Readable,
    /// The offset in its direction, up to 16 bytes, and the same as ASCII:
    /// `out 00000010  6c 6f 6e 67 65 72 20 74  65 78 74 2e 2e 2e 0d 0a  |longer text.....|`.
    Hex,
}

enum Sink {
    Log,
    /// Behind a mutex that nobody ever locks, so that the layer is `Sync` whatever the sink is.
    Own(Mutex<Own>),
}

type Own = Box<dyn FnMut(&str) + Send>;

impl TrafficLog {
    /// Writes to the crate `log`.
    #[must_use]
    pub fn new() -> Self {
        Self::with_sink(Sink::Log)
    }

    /// Calls `sink` with each line, which has no line end.
    #[must_use]
    pub fn to(sink: impl FnMut(&str) + Send + 'static) -> Self {
        Self::with_sink(Sink::Own(Mutex::new(Box::new(sink))))
    }

    /// Chooses how bytes are shown.
    #[must_use]
    pub fn form(mut self, form: Form) -> Self {
        self.form = form;
        self
    }

    /// What every line begins with; unless set, the id of the layer.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    fn with_sink(sink: Sink) -> Self {
        Self { sink, form: Form::default(), label: String::new(), inbound: 0, outbound: 0 }
    }

    fn is_heard(&self) -> bool {
        match self.sink {
            Sink::Log => log::log_enabled!(target: TARGET, log::Level::Debug),
            Sink::Own(_) => true,
        }
    }

    fn say(&mut self, line: fmt::Arguments<'_>) {
        match &mut self.sink {
            Sink::Log => log::debug!(target: TARGET, "{} {line}", self.label),
            Sink::Own(sink) => {
                let sink = sink.get_mut().unwrap_or_else(PoisonError::into_inner);
                sink(&format!("{} {line}", self.label));
            }
        }
    }

    /// Moves what there is room for, and shows it.
    fn pass<M: Shown>(&mut self, from: &mut Queue<M>, to: &mut Queue<M>) {
        if !self.is_heard() {
            let before = from.len();
            to.take_from(from);
            *self.offset(M::DIRECTION) += (before - from.len()) as u64;
            return;
        }
        loop {
            let count = from.front().len().min(to.room());
            let passed = &from.front()[..count];
            self.show(M::DIRECTION, passed);
            to.push(passed);
            from.consume(count);
            let Some(mark) = from.take_mark() else { return };
            self.say(format_args!("{} -- {}", M::DIRECTION, Words(&mark)));
            to.push_mark(mark);
        }
    }

    fn offset(&mut self, direction: Direction) -> &mut u64 {
        match direction {
            Direction::In => &mut self.inbound,
            Direction::Out => &mut self.outbound,
        }
    }

    fn show(&mut self, direction: Direction, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let most = match self.form {
                Form::Readable => {
                    let shown = &bytes[..bytes.len().min(READABLE)];
                    shown.iter().position(|&byte| byte == b'\n').map_or(shown.len(), |end| end + 1)
                }
                Form::Hex => HEX,
            };
            let (line, rest) = bytes.split_at(most.min(bytes.len()));
            let offset = *self.offset(direction);
            match self.form {
                Form::Readable => self.say(format_args!("{direction} {}", line.escape_ascii())),
                Form::Hex => self.say(format_args!("{direction} {offset:08x}  {}", Dump(line))),
            }
            *self.offset(direction) += line.len() as u64;
            bytes = rest;
        }
    }
}

impl Default for TrafficLog {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for TrafficLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrafficLog").field("label", &self.label).field("form", &self.form).finish_non_exhaustive()
    }
}

impl Opens for TrafficLog {
    type Facts = ();
}

impl Layer for TrafficLog {
    fn name(&self) -> &'static str {
        "traffic log"
    }

    fn attach(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        if self.label.is_empty() {
            self.label = ends.id().to_string();
        }
        Ok(())
    }

    fn inbound(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        let Way { from, to } = ends.all().inbound;
        self.pass(from, to);
        Ok(())
    }

    fn outbound(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        let Way { from, to } = ends.all().outbound;
        self.pass(from, to);
        Ok(())
    }

    fn detach(&mut self, _ends: &mut Ends<'_>) -> Result<(), LayerError> {
        Ok(())
    }
}

#[derive(Clone, Copy, Debug)]
enum Direction {
    In,
    Out,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::In => "in ",
            Self::Out => "out",
        })
    }
}

/// A mark, in words.
trait Shown {
    const DIRECTION: Direction;

    fn words(&self) -> (&'static str, Option<LayerId>);
}

impl Shown for End {
    const DIRECTION: Direction = Direction::In;

    fn words(&self) -> (&'static str, Option<LayerId>) {
        match *self {
            Self::Layer(id) => ("end of layer", Some(id)),
            Self::Wire => ("end of file", None),
            Self::Truncated => ("cut off", None),
            Self::Lost => ("connection lost", None),
        }
    }
}

impl Shown for Order {
    const DIRECTION: Direction = Direction::Out;

    fn words(&self) -> (&'static str, Option<LayerId>) {
        match *self {
            Self::Finish(id) => ("finish layer", Some(id)),
            Self::Stop(id) => ("stop layer", Some(id)),
            Self::Close => ("close", None),
            Self::CloseWire => ("close of the wire", None),
        }
    }
}

struct Words<'a, M>(&'a M);

impl<M: Shown> fmt::Display for Words<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, layer) = self.0.words();
        f.write_str(what)?;
        layer.map_or(Ok(()), |id| write!(f, " {id}"))
    }
}

/// Up to 16 bytes, as hexadecimal numbers and as ASCII.
struct Dump<'a>(&'a [u8]);

impl fmt::Display for Dump<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for at in 0..HEX {
            match self.0.get(at) {
                Some(byte) => write!(f, "{byte:02x} ")?,
                None => f.write_str("   ")?,
            }
            if at == HEX / 2 - 1 {
                f.write_str(" ")?;
            }
        }
        f.write_str(" |")?;
        for &byte in self.0 {
            let shown = if byte.is_ascii_graphic() || byte == b' ' { char::from(byte) } else { '.' };
            write!(f, "{shown}")?;
        }
        f.write_str("|")
    }
}

/// The target of the lines in the crate `log`.
const TARGET: &str = "onionskin::traffic";

/// The most bytes that a readable line shows; escaped, each may take four characters.
const READABLE: usize = 128;

/// The bytes that a hexadecimal line shows.
const HEX: usize = 16;
