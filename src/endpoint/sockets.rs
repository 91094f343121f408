//! The keys of `tcp` that say what the system is asked to do for its sockets.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::arguments::{Arguments, Printer, choice, host};
use super::error::{ErrorKind, ParseError};
use super::grammar::Word;
use super::step::YES;
use crate::runtime::TcpOptions;

pub(super) fn read(arguments: &mut Arguments) -> Result<TcpOptions, ParseError> {
    Ok(TcpOptions {
        bind: arguments.key("bind", Word::ip_address)?,
        bind_ports: arguments.key("bind-ports", ports)?,
        user_timeout: arguments.key("user-timeout", |word| {
            Ok(Duration::from_secs(word.within::<u32>("time", "seconds", 1..=MAX_USER_TIMEOUT)?.into()))
        })?,
        receive_buffer: arguments.key("receive-buffer", bytes)?,
        send_buffer: arguments.key("send-buffer", bytes)?,
        dscp: arguments.key("dscp", |word| word.within("code point", "a number", 0..=MAX_DSCP))?,
        fast_open: arguments.key("fast-open", |word| word.choice(&YES))?.is_some(),
        reuse_port: arguments.key("reuse-port", |word| word.choice(&YES))?.is_some(),
    })
}

pub(super) fn print<'a, 'f>(options: &TcpOptions, printer: Printer<'a, 'f>) -> Printer<'a, 'f> {
    let yes = choice(&(), &YES).to_string();
    let ports = options.bind_ports.as_ref().map(|ports| match (ports.start(), ports.end()) {
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first}-{last}"),
    });
    printer
        .key("bind", options.bind.map(|address| host(&address.to_string()).to_string()))
        .key("bind-ports", ports)
        .key("user-timeout", options.user_timeout.map(|time| time.as_secs()))
        .key("receive-buffer", options.receive_buffer)
        .key("send-buffer", options.send_buffer)
        .key("dscp", options.dscp)
        .key("fast-open", options.fast_open.then_some(&yes))
        .key("reuse-port", options.reuse_port.then_some(&yes))
}

/// What of it is for one side only, where it is the other: with the key.
pub(super) fn misused(options: &TcpOptions, is_server: bool) -> Option<String> {
    let keys = [
        ("bind", options.bind.is_some(), false),
        ("bind-ports", options.bind_ports.is_some(), false),
        ("fast-open", options.fast_open, false),
        ("reuse-port", options.reuse_port, true),
    ];
    let (key, ..) = keys.into_iter().find(|&(_, is_set, for_server)| is_set && for_server != is_server)?;
    Some(match is_server {
        true => format!("`{key}` is for clients: a server listens where its HOST and PORT say"),
        false => format!("`{key}` is for servers: a client listens nowhere"),
    })
}

/// A port, or two with a hyphen between them, neither of them 0.
fn ports(word: Word) -> Result<RangeInclusive<u16>, ParseError> {
    let position = word.position;
    let text = word.text()?;
    let port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    let range = match text.split_once('-') {
        Some((first, last)) => port(first).zip(port(last)),
        None => port(&text).map(|port| (port, port)),
    };
    match range {
        Some((first, last)) if 0 < first && first <= last => Ok(first..=last),
        _ => {
            let message = format!("{text:?} is no range of ports: write FIRST-LAST, from 1 to 65535");
            Err(ParseError::new(ErrorKind::InvalidValue, position, message))
        }
    }
}

fn bytes(word: Word) -> Result<u32, ParseError> {
    word.within("size", "bytes", 1..=MAX_BUFFER)
}

/// Two bits of the byte are those of explicit congestion notification.
const MAX_DSCP: u8 = 63;

/// What fits into the system's number.
const MAX_BUFFER: u32 = 1 << 30;

/// The system counts milliseconds.
const MAX_USER_TIMEOUT: u32 = 2_147_483;
