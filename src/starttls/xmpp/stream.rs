//! A stream of XML, read in pieces (RFC 6120 section 4).
//!
//! A stream is a document that stays open as long as the connection. What a peer says is its start tag, then whole children
//! of it with white space between them, and at last its end tag. Each of these is a piece here. A piece is taken when all of
//! it is there, and up to the very `>` it ends with, because TLS may begin behind that.
//!
//! The parser is run over what has come, from the front of the piece, each time that more has come; so a piece has to be
//! short. XML is restricted (section 11.1): no comments, no processing instructions but the declaration, no DTD, and no
//! entities but the five that need none. CDATA, which nobody needs before TLS, is refused as well.

use quick_xml::errors::{Error as XmlError, SyntaxError};
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
        Self { namespaces: NamespaceResolver::default(), opened: None }
    }

    /// Takes a piece, if a whole one is there, and all white space before it.
    pub(super) fn next<'a>(&mut self, exchange: &mut Exchange<'a>, awaited: &str) -> Result<Option<Piece<'a>>, Error> {
        take_white_space(exchange);
        let input = exchange.input();
        let window = &input[..input.len().min(LONGEST)];
        let Ok(parsed) = self.parse(window) else { return Err(Error::malformed(awaited, window)) };
        let Some((piece, len)) = parsed else {
            if input.len() >= LONGEST {
                return Err(Error::too_long(LONGEST));
            }
            // At least one byte more is needed.
            exchange.peek(input.len() + 1)?;
            return Ok(None);
        };
        let Some(whole) = exchange.message(len)? else { return Ok(None) };
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

    /// The piece at the front of `input`, and its length; none if more is needed.
    fn parse(&self, input: &[u8]) -> Result<Option<(Parsed, usize)>, Malformed> {
        match (input, &self.opened) {
            ([], _) => return Ok(None),
            ([b'<', b'/', rest @ ..], Some(name)) => return parse_end(rest, name),
            ([b'<', ..], _) => {}
            _ => return Err(Malformed),
        }
        // Up to here it can be a whole piece, and no character is cut.
        let Some(last) = memchr::memrchr(b'>', input) else { return Ok(None) };
        let mut reader = Reader::from_reader(&input[..=last]);
        if self.opened.is_none() {
            return self.parse_header(&mut reader);
        }
        let parsed = self.parse_child(&mut reader)?;
        Ok(parsed.map(|parsed| (parsed, position(&reader))))
    }

    fn parse_header(&self, reader: &mut Reader<&[u8]>) -> Result<Option<(Parsed, usize)>, Malformed> {
        let mut first = true;
        loop {
            let Some(event) = read(reader)? else { return Ok(None) };
            match event {
                Event::Decl(_) if first => {}
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
                    return Ok(Some((Parsed::Header { name, namespaces, versioned, from }, position(reader))));
                }
                Event::Eof => return Ok(None),
                _ => return Err(Malformed),
            }
            first = false;
        }
    }

    fn parse_child(&self, reader: &mut Reader<&[u8]>) -> Result<Option<Parsed>, Malformed> {
        let mut namespaces = self.namespaces.clone();
        let mut names = Vec::new();
        let mut depth = 0;
        loop {
            let Some(event) = read(reader)? else { return Ok(None) };
            match &event {
                Event::Start(start) | Event::Empty(start) => {
                    namespaces.push(start).map_err(|_| Malformed)?;
                    let name = Name::of(start, &namespaces)?;
                    if depth < 2 {
                        names.push(name);
                    }
                    if let Event::Start(_) = event {
                        depth += 1;
                    } else {
                        namespaces.pop();
                    }
                    if depth > DEEPEST {
                        return Err(Malformed);
                    }
                }
                Event::End(_) => {
                    namespaces.pop();
                    depth -= 1;
                }
                Event::Text(_) => {}
                Event::GeneralRef(name) if name.is_char_ref() || resolve_xml_entity(name).is_some() => {}
                Event::Eof => return Ok(None),
                _ => return Err(Malformed),
            }
            if depth == 0 {
                let children = names.split_off(1);
                return Ok(names.pop().map(|name| Parsed::Child { name, children }));
            }
        }
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

/// The next event; none if the input ends in the middle of it.
fn read<'a>(reader: &mut Reader<&'a [u8]>) -> Result<Option<Event<'a>>, Malformed> {
    match reader.read_event() {
        Ok(event) => Ok(Some(event)),
        Err(XmlError::Syntax(
            SyntaxError::UnclosedTag
            | SyntaxError::UnclosedSingleQuotedAttributeValue
            | SyntaxError::UnclosedDoubleQuotedAttributeValue
            | SyntaxError::UnclosedXmlDecl,
        )) => Ok(None),
        Err(_) => Err(Malformed),
    }
}

/// Behind `</`.
fn parse_end(rest: &[u8], name: &str) -> Result<Option<(Parsed, usize)>, Malformed> {
    let Some(end) = memchr::memchr(b'>', rest) else { return Ok(None) };
    let same = rest[..end].trim_ascii_end() == name.as_bytes();
    if same { Ok(Some((Parsed::End, "</>".len() + end))) } else { Err(Malformed) }
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

fn position(reader: &Reader<&[u8]>) -> usize {
    usize::try_from(reader.buffer_position()).expect("it is within a slice")
}

fn is_white_space(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| b" \t\r\n".contains(byte))
}

pub(super) const STREAMS: &str = "http://etherx.jabber.org/streams";

/// More than any server's features have.
const LONGEST: usize = 8192;

/// Features have three levels, or four.
const DEEPEST: usize = 16;
