//! The JSON of a policy, with the place of everything in it.
//!
//! What has names is written in two ways: as an array of objects with one key each, as libwebsockets has it, or as a plain object;
//! trust stores in a third one, with their name as a key. A document has them all as plain objects, so that one way is read, and an
//! overlay can name what it changes. Each member remembers how its place was written.

use std::fmt;

use jsonc_parser::ast;
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

use super::mistake::{At, MAX_MISTAKES, Mistake, MistakeKind, PolicyError, shown};

/// The text of a policy, read as JSON and no further.
///
/// ```
/// use onionskin::streams::policy::Document;
///
/// let document = Document::parse(r#"{ "s": [ { "echo": { "endpoint": "127.0.0.1", "port": 7, "protocol": "raw" } } ] }"#)?;
/// let changed = document.overlay(r#"{ "s": { "echo": { "port": 8 } } }"#)?;
/// assert_eq!(changed.policy()?.streams["echo"].port, 8);
/// # Ok::<_, onionskin::streams::policy::PolicyError>(())
/// ```
///
/// [`Display`](fmt::Display) writes it as JSON with everything that has names as plain objects. Two documents are equal if
/// they say the same, wherever in their texts.
#[derive(Clone)]
pub struct Document {
    pub(super) root: Node,
    /// Keys that stand there twice.
    pub(super) doubled: Vec<Mistake>,
}

impl Document {
    /// Reads a text as JSON (RFC 8259), of at most 4 MiB and nested at most 64 deep.
    ///
    /// # Errors
    ///
    /// When it is none, and for keys that are in an object twice.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let document = Self::parse_leniently(text)?;
        PolicyError::unless_none(document.doubled.clone())?;
        Ok(document)
    }

    /// The first of keys that are there twice counts.
    pub(super) fn parse_leniently(text: &str) -> Result<Self, PolicyError> {
        Self::read(text, false)
    }

    fn read(text: &str, is_in_overlay: bool) -> Result<Self, PolicyError> {
        let wrong = |line, column, message: String| {
            PolicyError::from(Mistake::new(MistakeKind::Syntax, "$", At { is_in_overlay, line, column }, message))
        };
        if text.len() > MAX_LEN {
            return Err(wrong(1, 1, format!("longer than {MAX_LEN} bytes")));
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let tree = parse_to_ast(text, &CollectOptions::default(), &STRICT).map_err(|error| {
            wrong(error.line_display(), error.column_display(), format!("no JSON: {}", error.kind()))
        })?;
        let tree = tree.value.ok_or_else(|| wrong(1, 1, "no JSON: there is nothing".to_owned()))?;
        let mut reading = Reading { lines: Lines::new(text, is_in_overlay), doubled: Vec::new() };
        if let Some(stray) = stray(text) {
            let At { line, column, .. } = reading.lines.at(stray);
            return Err(wrong(
                line,
                column,
                "no JSON: a control character or a space that only other formats have".to_owned(),
            ));
        }
        let mut root = reading.node(&tree, "$", 0)?;
        reading.name_sections(&mut root);
        Ok(Self { root, doubled: reading.doubled })
    }

    /// The same with a patch merged into it (RFC 7386): what it names is replaced, what it names as `null` is removed, everything else
    /// stays. Names are patched one by one, in whichever spelling. The result is checked as a whole, as a policy.
    ///
    /// # Errors
    ///
    /// When the patch is no JSON, or no policy comes of it. This document is unchanged in any case.
    pub fn overlay(&self, patch: &str) -> Result<Self, PolicyError> {
        let patch = Self::read(patch, true)?;
        PolicyError::unless_none(patch.doubled)?;
        let mut merged = self.clone();
        merge(&mut merged.root, patch.root);
        merged.policy()?;
        Ok(merged)
    }
}

impl PartialEq for Document {
    fn eq(&self, other: &Self) -> bool {
        self.root.value == other.root.value
    }
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root.value.write(f, 0)
    }
}

/// Says nothing of what is in it: keys and passwords are.
impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").finish_non_exhaustive()
    }
}

/// A value and its place.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) at: At,
    pub(super) value: Value,
}

#[derive(Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Flag(bool),
    /// As it is written.
    Number(String),
    Text(String),
    List(Vec<Node>),
    Object(Vec<Member>),
}

/// A key with its value.
#[derive(Clone)]
pub(super) struct Member {
    pub(super) name: String,
    /// Where the key stands.
    pub(super) at: At,
    /// How the way from the object to the value was written: `.name`, or `[2].name`.
    pub(super) step: String,
    pub(super) node: Node,
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl PartialEq for Member {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.node == other.node
    }
}

impl Value {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(super) fn number(number: u64) -> Self {
        Self::Number(number.to_string())
    }

    pub(super) fn list(values: impl IntoIterator<Item = Self>) -> Self {
        Self::List(values.into_iter().map(|value| Node { at: At::default(), value }).collect())
    }

    pub(super) fn object<N: Into<String>>(members: impl IntoIterator<Item = (N, Self)>) -> Self {
        let member = |(name, value): (N, Self)| {
            let name = name.into();
            Member { at: At::default(), step: step(&name), node: Node { at: At::default(), value }, name }
        };
        Self::Object(members.into_iter().map(member).collect())
    }

    /// What kind of value it is, for errors.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Flag(_) => "a flag",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "an array",
            Self::Object(_) => "an object",
        }
    }

    pub(super) fn member(&self, name: &str) -> Option<&Member> {
        match self {
            Self::Object(members) => members.iter().find(|member| member.name == name),
            _ => None,
        }
    }

    pub(super) fn write(&self, f: &mut dyn fmt::Write, depth: usize) -> fmt::Result {
        let line = |f: &mut dyn fmt::Write, depth: usize| write!(f, "\n{:1$}", "", depth * 2);
        match self {
            Self::Null => f.write_str("null"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Number(number) => f.write_str(number),
            Self::Text(text) => write_text(f, text),
            Self::List(nodes) if nodes.iter().all(|node| !matches!(node.value, Self::List(_) | Self::Object(_))) => {
                f.write_str("[")?;
                for (index, node) in nodes.iter().enumerate() {
                    f.write_str(if index > 0 { ", " } else { "" })?;
                    node.value.write(f, depth)?;
                }
                f.write_str("]")
            }
            Self::List(nodes) => {
                f.write_str("[")?;
                for (index, node) in nodes.iter().enumerate() {
                    f.write_str(if index > 0 { "," } else { "" })?;
                    line(f, depth + 1)?;
                    node.value.write(f, depth + 1)?;
                }
                line(f, depth)?;
                f.write_str("]")
            }
            Self::Object(members) if members.is_empty() => f.write_str("{}"),
            Self::Object(members) => {
                f.write_str("{")?;
                for (index, member) in members.iter().enumerate() {
                    f.write_str(if index > 0 { "," } else { "" })?;
                    line(f, depth + 1)?;
                    write_text(f, &member.name)?;
                    f.write_str(": ")?;
                    member.node.value.write(f, depth + 1)?;
                }
                line(f, depth)?;
                f.write_str("}")
            }
        }
    }
}

fn write_text(f: &mut dyn fmt::Write, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for letter in text.chars() {
        match letter {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            letter if u32::from(letter) < 0x20 => write!(f, "\\u{:04x}", u32::from(letter))?,
            letter => f.write_char(letter)?,
        }
    }
    f.write_str("\"")
}

/// How a key is written behind an object in a path.
pub(super) fn step(name: &str) -> String {
    let is_plain =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if is_plain { format!(".{name}") } else { format!("[{}]", shown(name)) }
}

/// RFC 7386: objects are merged, everything else is replaced.
fn merge(target: &mut Node, patch: Node) {
    let Value::Object(changes) = patch.value else {
        *target = patch;
        return;
    };
    if !matches!(target.value, Value::Object(_)) {
        *target = Node { at: patch.at, value: Value::Object(Vec::new()) };
    }
    let Value::Object(members) = &mut target.value else { return };
    for change in changes {
        let known = members.iter().position(|member| member.name == change.name);
        match (known, change) {
            (Some(at), Member { node: Node { value: Value::Null, .. }, .. }) => drop(members.remove(at)),
            (None, Member { node: Node { value: Value::Null, .. }, .. }) => {}
            (Some(at), change) => {
                merge(&mut members[at].node, change.node);
                members[at].at = change.at;
                members[at].step = change.step;
            }
            (None, mut change) => {
                let mut node = Node { at: change.node.at, value: Value::Null };
                merge(&mut node, change.node);
                change.node = node;
                members.push(change);
            }
        }
    }
}

/// From the tree of the parser to ours.
struct Reading {
    lines: Lines,
    doubled: Vec<Mistake>,
}

impl Reading {
    fn node(&mut self, tree: &ast::Value<'_>, path: &str, depth: usize) -> Result<Node, PolicyError> {
        let at = self.lines.at(tree.range().start);
        if depth > MAX_DEPTH {
            return Err(Mistake::new(MistakeKind::Syntax, path, at, format!("nested deeper than {MAX_DEPTH}")).into());
        }
        let value = match tree {
            ast::Value::NullKeyword(_) => Value::Null,
            ast::Value::BooleanLit(flag) => Value::Flag(flag.value),
            ast::Value::NumberLit(number) => Value::Number(number.value.to_owned()),
            ast::Value::StringLit(text) => Value::Text(text.value.clone().into_owned()),
            ast::Value::Array(array) => {
                let nodes = array.elements.iter().enumerate();
                let nodes = nodes.map(|(index, node)| self.node(node, &format!("{path}[{index}]"), depth + 1));
                Value::List(nodes.collect::<Result<_, _>>()?)
            }
            ast::Value::Object(object) => {
                let mut members = Vec::with_capacity(object.properties.len());
                for property in &object.properties {
                    let name = property.name.as_str();
                    let step = step(name);
                    let node = self.node(&property.value, &format!("{path}{step}"), depth + 1)?;
                    members.push(Member { name: name.to_owned(), at: self.lines.at(property.range.start), step, node });
                }
                self.without_doubled(&mut members, path);
                Value::Object(members)
            }
        };
        Ok(Node { at, value })
    }

    /// Leaves the first of each name.
    fn without_doubled(&mut self, members: &mut Vec<Member>, path: &str) {
        let mut seen = std::collections::BTreeMap::new();
        members.retain(|member| {
            let first = *seen.entry(member.name.clone()).or_insert(member.at);
            if first == member.at {
                return true;
            }
            if self.doubled.len() < MAX_MISTAKES {
                let message = format!("{} is there already, in line {}", shown(&member.name), first.line);
                self.doubled.push(Mistake::new(
                    MistakeKind::Duplicate,
                    format!("{path}{}", member.step),
                    member.at,
                    message,
                ));
            }
            false
        });
    }

    /// Has all that is named as plain objects.
    fn name_sections(&mut self, root: &mut Node) {
        let Value::Object(sections) = &mut root.value else { return };
        for section in sections.iter_mut().filter(|section| SECTIONS.contains(&section.name.as_str())) {
            self.name(&mut section.node, &format!("$.{}", section.name));
            if section.name != "s" {
                continue;
            }
            let Value::Object(streams) = &mut section.node.value else { continue };
            for stream in streams {
                let Value::Object(keys) = &mut stream.node.value else { continue };
                for key in keys.iter_mut().filter(|key| MAPS.contains(&key.name.as_str())) {
                    self.name(&mut key.node, &format!("$.s{}{}", stream.step, key.step));
                }
            }
        }
    }

    /// Makes an object of an array of objects; an array of anything else is left for the reader to refuse.
    fn name(&mut self, node: &mut Node, path: &str) {
        let Value::List(nodes) = &node.value else { return };
        if !nodes.iter().all(|node| matches!(node.value, Value::Object(_))) {
            return;
        }
        let Value::List(nodes) = std::mem::replace(&mut node.value, Value::Null) else { return };
        let mut named = Vec::new();
        for (index, node) in nodes.into_iter().enumerate() {
            let Value::Object(mut members) = node.value else { continue };
            let own =
                members.iter().position(|member| member.name == "name" && matches!(member.node.value, Value::Text(_)));
            // `{ "name": "x", "stack": [..] }`, and not the thing called `name`.
            match own {
                Some(own) if path != "$.certs" && !MAPS.iter().any(|map| path.ends_with(&format!(".{map}"))) => {
                    let own = members.remove(own);
                    let Value::Text(name) = own.node.value else { continue };
                    let node = Node { at: node.at, value: Value::Object(members) };
                    named.push(Member { name, at: own.at, step: format!("[{index}]"), node });
                }
                _ => named.extend(
                    members.into_iter().map(|member| Member { step: format!("[{index}]{}", member.step), ..member }),
                ),
            }
        }
        self.without_doubled(&mut named, path);
        node.value = Value::Object(named);
    }
}

/// What the parser lets pass: in a text a control character, which is written as an escape (RFC 8259, section 7), and elsewhere a space
/// beyond the four that there are (section 2).
fn stray(text: &str) -> Option<usize> {
    let (mut is_in_text, mut is_escaped) = (false, false);
    text.bytes().position(|byte| {
        let (was_in_text, was_escaped) = (is_in_text, is_escaped);
        is_escaped = was_in_text && !was_escaped && byte == b'\\';
        if byte == b'"' && !was_escaped {
            is_in_text = !was_in_text;
        }
        if was_in_text { byte < 0x20 } else { !matches!(byte, b' '..=b'~' | b'\t' | b'\n' | b'\r') }
    })
}

/// Where the lines of a text begin.
struct Lines {
    text: String,
    starts: Vec<usize>,
    is_in_overlay: bool,
}

impl Lines {
    fn new(text: &str, is_in_overlay: bool) -> Self {
        let starts = std::iter::once(0).chain(memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1)).collect();
        Self { text: text.to_owned(), starts, is_in_overlay }
    }

    fn at(&self, position: usize) -> At {
        let line = self.starts.partition_point(|&start| start <= position);
        let start = self.starts[line - 1];
        // A line may be as long as the text, so a column beyond reason is not counted out.
        let before = self.text.get(start..position).unwrap_or_default();
        let column = if before.len() > MAX_COLUMN { MAX_COLUMN } else { before.chars().count() };
        At { is_in_overlay: self.is_in_overlay, line, column: column + 1 }
    }
}

/// JSON, and nothing of what its parser reads beside that.
const STRICT: ParseOptions = ParseOptions {
    allow_comments: false,
    allow_loose_object_property_names: false,
    allow_trailing_commas: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// What has names at the top, and in a stream.
const SECTIONS: [&str; 6] = ["retry", "certs", "trust_stores", "client_certs", "auth", "s"];
const MAPS: [&str; 3] = ["metadata", "http_resp_map", "server_names"];

const MAX_LEN: usize = 4 << 20;
const MAX_DEPTH: usize = 64;
const MAX_COLUMN: usize = 1000;
