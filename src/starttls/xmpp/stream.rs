//! A stream of XML, read in pieces (RFC 6120 section 4).
//!
//! A stream is a document that stays open as long as the connection. What a peer says is its start tag, then whole children
//! of it with white space between them, and at last its end tag. Each of these is a piece here. A piece is taken when all of
//! it is there, and up to the very `>` it ends with, because TLS may begin behind that.
//!
//! Whoever sends a piece byte by byte must not have the parser run over all of it with each byte. So a small scanner, which
//! looks at each byte once, finds where a tag ends; the parser is run over the text before a tag and that tag, once; and the
//! rest is remembered ([`Begun`]). XML is restricted (section 11.1): no comments, no processing instructions but the declaration, no DTD, and no
//! entities but the five that need none. CDATA, which nobody needs before TLS, is refused as well.

use quick_xml::escape::{resolve_xml_entity, unescape};
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::{LocalName, Namespace, NamespaceResolver, ResolveResult};
use quick_xml::reader::Reader;

use crate::starttls::{Error, Exchange};

/// One direction of a stream.
#[derive(Debug)]
pub(super) struct Stream {
    /// What the header has declared.
    namespaces: NamespaceResolver,
    /// The name of the header, as it is written, once that has come.
    opened: Option<String>,
    /// What is known of the piece at the front of the input.
    begun: Begun,
}

/// A piece of which a part has come.
#[derive(Debug, Default)]
struct Begun {
    scanned: usize,
    inside: Inside,
    /// All tags that have come whole are in so many bytes.
    parsed: usize,
    /// The elements that are open, as their names are written.
    open: Vec<String>,
    /// What they declare, besides the header.
    namespaces: Option<NamespaceResolver>,
    /// Of a child and of its own children.
    names: Vec<Name>,
    #[cfg(test)]
    events: usize,
}

/// What the scanner is inside of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Inside {
    #[default]
    Text,
    /// Behind a `<`.
    Opening,
    Tag,
    Quotes(u8),
    /// Behind `</` or `<?`, where quotes mean nothing.
    Unquoted,
}

#[derive(Debug)]
pub(super) enum Piece<'a> {
    /// The start tag.
    Header {
        /// Whether the version is 1.0 or more, and so features follow.
        versioned: bool,
        from: Option<String>,
    },
    Child(Child<'a>),
    /// The end tag.
    End,
}

/// A child of the stream.
#[derive(Debug)]
pub(super) struct Child<'a> {
    name: Name,
    children: Vec<Name>,
    /// All of it, for errors.
    pub(super) whole: &'a [u8],
}

#[derive(Debug)]
struct Name {
    namespace: String,
    local: String,
}

impl Stream {
    pub(super) fn new() -> Self {
        Self { namespaces: NamespaceResolver::default(), opened: None, begun: Begun::default() }
    }

    /// Takes a piece, if a whole one is there, and all white space before it.
    pub(super) fn next<'a>(&mut self, exchange: &mut Exchange<'a>, awaited: &str) -> Result<Option<Piece<'a>>, Error> {
        take_white_space(exchange);
        let input = exchange.input();
        let window = &input[..input.len().min(MAX_PIECE)];
        let Ok(parsed) = self.parse(window) else { return Err(Error::malformed(awaited, window)) };
        let Some((piece, len)) = parsed else {
            if input.len() >= MAX_PIECE {
                return Err(Error::too_long(MAX_PIECE));
            }
            // At least one byte more is needed.
            exchange.peek(input.len() + 1)?;
            return Ok(None);
        };
        let Some(whole) = exchange.message(len)? else { return Ok(None) };
        self.begun = Begun::default();
        Ok(Some(match piece {
            Parsed::Header { name, namespaces, versioned, from } => {
                self.opened = Some(name);
                self.namespaces = namespaces;
                Piece::Header { versioned, from }
            }
            Parsed::Child { name, children } => Piece::Child(Child { name, children, whole }),
            Parsed::End => Piece::End,
        }))
    }

    /// The piece at the front of `input`, and its length; none if more is needed. `input` begins with what it was before.
    fn parse(&mut self, input: &[u8]) -> Result<Option<(Parsed, usize)>, Malformed> {
        if input.first().is_some_and(|&first| first != b'<') {
            return Err(Malformed);
        }
        while let Some(end) = self.begun.scan(input)? {
            let tag = &input[self.begun.parsed..end];
            let is_first = std::mem::replace(&mut self.begun.parsed, end) == 0;
            let parsed = match &self.opened {
                None => self.parse_header(tag, is_first)?,
                Some(name) if is_first && tag.starts_with(b"</") => Some(parse_end(tag, name)?),
                Some(_) => self.parse_child(tag)?,
            };
            if let Some(parsed) = parsed {
                return Ok(Some((parsed, end)));
            }
        }
        Ok(None)
    }

    /// Text and a tag: the declaration, or the header itself.
    fn parse_header(&mut self, tag: &[u8], mut is_first: bool) -> Result<Option<Parsed>, Malformed> {
        let mut reader = self.begun.reader(tag);
        loop {
            match self.begun.read(&mut reader)? {
                Event::Decl(_) if is_first => {}
                Event::Text(text) if is_white_space(text.as_bytes()) => {}
                Event::Start(start) => {
                    let mut namespaces = self.namespaces.clone();
                    namespaces.push(&start).map_err(|_| Malformed)?;
                    let name = Name::of(&start, &namespaces)?;
                    if !name.is(STREAMS, "stream") {
                        return Err(Malformed);
                    }
                    let versioned = attribute(&start, "version")?.is_some_and(|version| is_versioned(&version));
                    let from = attribute(&start, "from")?;
                    let name = start.name().as_ref().to_owned();
                    return Ok(Some(Parsed::Header { name, namespaces, versioned, from }));
                }
                Event::Eof => return Ok(None),
                _ => return Err(Malformed),
            }
            is_first = false;
        }
    }

    /// Text and a tag of a child or of what is in it; the child, if it is whole with that.
    fn parse_child(&mut self, tag: &[u8]) -> Result<Option<Parsed>, Malformed> {
        let mut reader = self.begun.reader(tag);
        loop {
            let event = self.begun.read(&mut reader)?;
            match &event {
                Event::Start(start) | Event::Empty(start) => {
                    let namespaces = self.begun.namespaces.get_or_insert_with(|| self.namespaces.clone());
                    namespaces.push(start).map_err(|_| Malformed)?;
                    let name = Name::of(start, namespaces)?;
                    if self.begun.open.len() < 2 {
                        self.begun.names.push(name);
                    }
                    if let Event::Start(start) = &event {
                        self.begun.open.push(start.name().as_ref().to_owned());
                    } else {
                        namespaces.pop();
                    }
                    if self.begun.open.len() > MAX_DEPTH {
                        return Err(Malformed);
                    }
                }
                Event::End(end) => {
                    let name = self.begun.open.pop().ok_or(Malformed)?;
                    if end.name().as_ref() != name {
                        return Err(Malformed);
                    }
                    self.begun.namespaces.iter_mut().for_each(NamespaceResolver::pop);
                }
                Event::Text(_) => {}
                Event::GeneralRef(name) if name.is_char_ref() || resolve_xml_entity(name).is_some() => {}
                Event::Eof => return Ok(None),
                _ => return Err(Malformed),
            }
            if self.begun.open.is_empty() {
                let mut names = std::mem::take(&mut self.begun.names);
                let children = names.split_off(1);
                return Ok(names.pop().map(|name| Parsed::Child { name, children }));
            }
        }
    }
}

impl Begun {
    /// Where the next tag ends, if it does.
    fn scan(&mut self, input: &[u8]) -> Result<Option<usize>, Malformed> {
        while let Some(&byte) = input.get(self.scanned) {
            self.scanned += 1;
            self.inside = match (self.inside, byte) {
                (Inside::Text, b'<') => Inside::Opening,
                (Inside::Text, _) => Inside::Text,
                (Inside::Opening, b'/' | b'?') => Inside::Unquoted,
                // Comments, CDATA, a DTD: none of them is allowed.
                (Inside::Opening, b'!' | b'>') => return Err(Malformed),
                (Inside::Opening | Inside::Tag, quote @ (b'"' | b'\'')) => Inside::Quotes(quote),
                (Inside::Quotes(quote), _) if byte == quote => Inside::Tag,
                (Inside::Tag | Inside::Unquoted, b'>') => {
                    self.inside = Inside::Text;
                    return Ok(Some(self.scanned));
                }
                (Inside::Opening, _) => Inside::Tag,
                (inside, _) => inside,
            };
        }
        Ok(None)
    }

    /// A parser that knows nothing of the tags before.
    fn reader<'a>(&self, tag: &'a [u8]) -> Reader<&'a [u8]> {
        let mut reader = Reader::from_reader(tag);
        let config = reader.config_mut();
        config.check_end_names = false;
        config.allow_unmatched_ends = true;
        reader
    }

    /// The next event. What the scanner takes for whole is whole.
    fn read<'a>(&mut self, reader: &mut Reader<&'a [u8]>) -> Result<Event<'a>, Malformed> {
        #[cfg(test)]
        {
            self.events += 1;
        }
        reader.read_event().map_err(|_| Malformed)
    }
}

impl Child<'_> {
    pub(super) fn is(&self, namespace: &str, local: &str) -> bool {
        self.name.is(namespace, local)
    }

    /// Whether a child of its own has this name.
    pub(super) fn has(&self, namespace: &str, local: &str) -> bool {
        self.children.iter().any(|child| child.is(namespace, local))
    }
}

impl Name {
    /// Its name, if all its attributes are sound.
    fn of(start: &BytesStart<'_>, namespaces: &NamespaceResolver) -> Result<Self, Malformed> {
        for attribute in start.attributes() {
            unescape(&attribute.map_err(|_| Malformed)?.value).map_err(|_| Malformed)?;
        }
        let (namespace, local): (_, LocalName<'_>) = namespaces.resolve_element(start.name());
        let namespace = match namespace {
            ResolveResult::Bound(Namespace(namespace)) => namespace.to_owned(),
            ResolveResult::Unbound => String::new(),
            ResolveResult::Unknown(_) => return Err(Malformed),
        };
        Ok(Self { namespace, local: local.as_ref().to_owned() })
    }

    fn is(&self, namespace: &str, local: &str) -> bool {
        self.namespace == namespace && self.local == local
    }
}

/// What a piece says, without its bytes.
enum Parsed {
    Header { name: String, namespaces: NamespaceResolver, versioned: bool, from: Option<String> },
    Child { name: Name, children: Vec<Name> },
    End,
}

struct Malformed;

pub(super) fn take_white_space(exchange: &mut Exchange<'_>) {
    let count = exchange.input().iter().take_while(|&&byte| is_white_space(&[byte])).count();
    exchange.take(count);
}

/// The end tag of the stream.
fn parse_end(tag: &[u8], name: &str) -> Result<Parsed, Malformed> {
    let named = tag.strip_prefix(b"</").and_then(|tag| tag.strip_suffix(b">")).map(<[u8]>::trim_ascii_end);
    if named == Some(name.as_bytes()) { Ok(Parsed::End) } else { Err(Malformed) }
}

/// RFC 6120 section 4.7.5.
fn is_versioned(version: &str) -> bool {
    version.split('.').next().is_some_and(|major| major.parse::<u32>().is_ok_and(|major| major >= 1))
}

fn attribute(start: &BytesStart<'_>, name: &str) -> Result<Option<String>, Malformed> {
    let Some(attribute) = start.try_get_attribute(name).map_err(|_| Malformed)? else { return Ok(None) };
    let value = unescape(&attribute.value).map_err(|_| Malformed)?;
    Ok(Some(value.into_owned()))
}

fn is_white_space(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| b" \t\r\n".contains(byte))
}

pub(super) const STREAMS: &str = "http://etherx.jabber.org/streams";

/// More than any server's features have.
const MAX_PIECE: usize = 8192;

/// Features have three levels, or four.
const MAX_DEPTH: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &[u8] = b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";

    /// What a stream that has been opened makes of `input`, of which more and more comes, and what that takes: how many
    /// bytes are scanned, how many events parsed.
    fn read(input: &[u8], step: usize) -> (Option<Result<String, ()>>, usize, usize) {
        let mut stream = Stream::new();
        let header = stream.next(&mut Exchange::of(HEADER), "");
        assert!(matches!(header, Ok(Some(Piece::Header { .. }))), "{header:?}");
        let (mut scanned, mut events) = (0, 0);
        for end in (0..=input.len()).step_by(step) {
            let (had_scanned, had_parsed) = (stream.begun.scanned, stream.begun.events);
            let parsed = stream.parse(&input[..end]);
            scanned += stream.begun.scanned - had_scanned;
            events += stream.begun.events - had_parsed;
            match parsed {
                Ok(None) => {}
                Ok(Some((Parsed::Child { name, children }, len))) => {
                    return (Some(Ok(format!("{} {} {len}", name.local, children.len()))), scanned, events);
                }
                Ok(Some((Parsed::End, len))) => return (Some(Ok(format!("end {len}"))), scanned, events),
                Ok(Some((Parsed::Header { .. }, _))) | Err(Malformed) => return (Some(Err(())), scanned, events),
            }
        }
        (None, scanned, events)
    }

    #[test]
    fn a_piece_that_comes_byte_by_byte_is_looked_at_once() {
        let children = "<a x='>'>text</a><b/>".repeat(380);
        let piece = format!("<features>{children}</features>");
        assert!(piece.len() > 7900 && piece.len() < MAX_PIECE);
        let (found, scanned, events) = read(piece.as_bytes(), 1);
        assert_eq!(found, Some(Ok(format!("features 760 {}", piece.len()))));
        assert_eq!(scanned, piece.len());
        // A tag, its text, and the end of each part that was parsed.
        assert!(events <= 2 * (2 + 4 * 380), "{events}");
        // The control: in one go it is no less.
        let (whole, scanned, _) = read(piece.as_bytes(), piece.len());
        assert_eq!((whole, scanned), (found, piece.len()));
    }

    #[test]
    fn however_it_comes_the_piece_is_the_same() {
        let pieces: [(&str, Result<&str, ()>); 15] = [
            ("<a/>behind", Ok("a 0 4")),
            ("<a>&lt;&#65;<b/><c><d/></c></a><x>", Ok("a 2 31")),
            ("<a b='/>' c=\">'\"/>", Ok("a 0 18")),
            ("<p:a xmlns:p='urn:x'><p:b/></p:a >", Ok("a 1 34")),
            ("</stream:stream >", Ok("end 17")),
            ("</stream:other>", Err(())),
            ("<a></b>", Err(())),
            ("<a><!-- --></a>", Err(())),
            ("<a><![CDATA[x]]></a>", Err(())),
            ("<a><?pi x?></a>", Err(())),
            ("<a>&nbsp;</a>", Err(())),
            ("<a b='&nbsp;'/>", Err(())),
            ("<p:a/>", Err(())),
            ("text", Err(())),
            ("<>", Err(())),
        ];
        for (piece, expected) in pieces {
            for step in [1, 2, 3, piece.len()] {
                let input = format!("{piece}{}", " ".repeat(step));
                let (found, ..) = read(input.as_bytes(), step);
                assert_eq!(found, Some(expected.map(str::to_owned)), "{piece}, {step} bytes at a time");
            }
        }
    }
}
