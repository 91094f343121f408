//! The receivers: each format against every cut and every layer change, at its limits, and against hostile input.

mod conformance;
mod hostile;
mod layers;
mod lines;
mod strings;

use onionskin::protocol::{
    LayerId, LayerView, LineReceiver, Lines, PeerAnswer, Protocol, Result, StringReceiver, Strings, Transport,
};
use onionskin::testing::{Cut, StringTransport};

/// All formats that are tested alike.
const FORMATS: [Format; 7] = [
    Format::Lines,
    Format::ExactLines,
    Format::OddLines,
    Format::Netstring,
    Format::Int8,
    Format::Int16,
    Format::Int32,
];

const CUTS: [Cut; 5] = [Cut::Whole, Cut::Bytes, Cut::Coalesced, Cut::Random(1), Cut::Random(2)];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Lines,
    ExactLines,
    /// With a delimiter that has its own beginning inside.
    OddLines,
    Netstring,
    Int8,
    Int16,
    Int32,
}

impl Format {
    fn framer(self) -> Framer {
        match self {
            Self::Lines => Framer::Lines(Lines::new()),
            Self::ExactLines => Framer::Lines(Lines::delimited_by("\r\n")),
            Self::OddLines => Framer::Lines(Lines::delimited_by("||>")),
            Self::Netstring => Framer::Strings(Strings::netstring()),
            Self::Int8 => Framer::Strings(Strings::int8()),
            Self::Int16 => Framer::Strings(Strings::int16()),
            Self::Int32 => Framer::Strings(Strings::int32()),
        }
    }

    /// Written down apart from what the receivers send, so that one is a check of the other.
    fn framed(self, message: &str) -> Vec<u8> {
        let length = message.len();
        match self {
            Self::Lines | Self::ExactLines => format!("{message}\r\n").into_bytes(),
            Self::OddLines => format!("{message}||>").into_bytes(),
            Self::Netstring => format!("{length}:{message},").into_bytes(),
            Self::Int8 => [&[u8::try_from(length).unwrap()], message.as_bytes()].concat(),
            Self::Int16 => [&u16::try_from(length).unwrap().to_be_bytes(), message.as_bytes()].concat(),
            Self::Int32 => [&u32::try_from(length).unwrap().to_be_bytes(), message.as_bytes()].concat(),
        }
    }

    fn all_framed(self, messages: &[&str]) -> Vec<u8> {
        messages.iter().flat_map(|message| self.framed(message)).collect()
    }
}

enum Framer {
    Lines(Lines),
    Strings(Strings),
}

/// Writes down what it gets, and does with each message what `act` says.
struct Receiver<A> {
    framer: Framer,
    log: Vec<String>,
    act: A,
}

impl<A: Act> Receiver<A> {
    fn new(framer: Framer, act: A) -> Self {
        Self { framer, log: Vec::new(), act }
    }

    fn received(&mut self, transport: &mut Transport<'_>, message: &[u8]) -> Result {
        self.log.push(format!("{} {}", transport.depth(), message.escape_ascii()));
        self.act.act(&mut self.framer, transport, message)
    }
}

/// What a test does inside the callback.
trait Act: Send + 'static {
    fn act(&mut self, framer: &mut Framer, transport: &mut Transport<'_>, message: &[u8]) -> Result;
}

impl<F> Act for F
where
    F: FnMut(&mut Framer, &mut Transport<'_>, &[u8]) -> Result + Send + 'static,
{
    fn act(&mut self, framer: &mut Framer, transport: &mut Transport<'_>, message: &[u8]) -> Result {
        self(framer, transport, message)
    }
}

/// Only writes down.
fn nothing(_: &mut Framer, _: &mut Transport<'_>, _: &[u8]) -> Result {
    Ok(())
}

impl<A: Act> Protocol for Receiver<A> {
    fn data_received(&mut self, transport: &mut Transport<'_>) -> Result {
        match self.framer {
            Framer::Lines(_) => self.receive_lines(transport),
            Framer::Strings(_) => self.receive_strings(transport),
        }
    }

    fn layer_ready(&mut self, _transport: &mut Transport<'_>, _layer: &LayerView) -> Result {
        self.log.push("ready".to_owned());
        Ok(())
    }

    fn layer_ended(&mut self, transport: &mut Transport<'_>, _layer: LayerId) -> Result {
        self.log.push("ended".to_owned());
        transport.stop_tls()?;
        Ok(())
    }

    fn layer_stopped(&mut self, _transport: &mut Transport<'_>, _layer: LayerId, _answer: PeerAnswer) -> Result {
        self.log.push("stopped".to_owned());
        Ok(())
    }
}

impl<A: Act> LineReceiver for Receiver<A> {
    fn lines(&mut self) -> &mut Lines {
        match &mut self.framer {
            Framer::Lines(lines) => lines,
            Framer::Strings(_) => panic!("these are no lines"),
        }
    }

    fn line_received(&mut self, transport: &mut Transport<'_>, line: &[u8]) -> Result {
        self.received(transport, line)
    }
}

impl<A: Act> StringReceiver for Receiver<A> {
    fn strings(&mut self) -> &mut Strings {
        match &mut self.framer {
            Framer::Strings(strings) => strings,
            Framer::Lines(_) => panic!("these are no strings"),
        }
    }

    fn string_received(&mut self, transport: &mut Transport<'_>, string: &[u8]) -> Result {
        self.received(transport, string)
    }

    fn length_limit_exceeded(&mut self, _transport: &mut Transport<'_>, length: usize) -> Result {
        self.log.push(format!("{length} is too long"));
        Ok(())
    }
}

/// A receiver that only writes down, and this input, followed by the end of it.
fn receive(framer: Framer, input: &[u8]) -> StringTransport<Receiver<impl Act>> {
    let mut transport = StringTransport::new(Receiver::new(framer, nothing));
    transport.receive(input);
    transport.end_of_input();
    transport
}
