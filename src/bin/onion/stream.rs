//! `onion stream`: one stream of a policy, from the terminal.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::pin::pin;
use std::task::{Context, Poll};

use clap::Args;
use futures::channel::mpsc;
use futures::{FutureExt, SinkExt, StreamExt};
use onionskin::printable::Printable;
use onionskin::runtime::{Runtime, block_on};
use onionskin::streams::policy::Protocol;
use onionskin::streams::{Delivery, Event, Message, State, Stream, Streams};

use crate::failure::{Failure, Status};
use crate::logging::say;
use crate::{policy, signals};

/// Run one stream of a policy: send to it, and print what it receives
///
/// What arrives goes to standard output: messages of MQTT and WebSocket with a line break behind each, everything else as it is.
/// What is sent is tried again as the policy says. Without --send a connection is asked for; in HTTP that is a request without a body.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    /// The policy; - for standard input
    policy: PathBuf,
    /// The stream
    name: String,
    /// Give a named value
    #[arg(long = "set", value_name = "NAME=VALUE")]
    values: Vec<String>,
    /// Send this; - for each line of standard input
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    send: Vec<String>,
    /// End when so many messages have been received
    #[arg(long, value_name = "NUMBER")]
    count: Option<u64>,
    /// Say on standard error what happens to the stream
    #[arg(long)]
    events: bool,
}

pub(crate) async fn run(runtime: &'static dyn Runtime, options: &Options) -> Result<(), Failure> {
    let policy = policy::load(&options.policy)?;
    let protocol = policy.streams.get(&options.name).map(|stream| stream.protocol);
    let streams = Streams::new(policy, runtime).map_err(Failure::usage)?;
    let stream = streams.open(&options.name).map_err(Failure::usage)?;
    for value in &options.values {
        let (name, value) =
            value.split_once('=').ok_or_else(|| Failure::usage(format_args!("--set {value}: not NAME=VALUE")))?;
        stream.set(name, value).map_err(Failure::usage)?;
    }
    let mut course = Course {
        stream: &stream,
        is_http: matches!(protocol, Some(Protocol::H1 | Protocol::H2)),
        has_lines: matches!(protocol, Some(Protocol::Mqtt | Protocol::Ws)),
        tells_events: options.events,
        left: options.count,
        sent: 0,
        settled: 0,
        is_all_sent: options.send.is_empty(),
        outcome: None,
    };
    let ended = course.run(runtime, options).await;
    stream.close().await;
    course.rest()?;
    ended?;
    course.outcome.map_or(Ok(()), Err)
}

/// How far it is.
struct Course<'s> {
    stream: &'s Stream,
    is_http: bool,
    has_lines: bool,
    tells_events: bool,
    /// How many messages are still to be received, where that was asked for.
    left: Option<u64>,
    sent: u64,
    settled: u64,
    is_all_sent: bool,
    /// What went wrong with one of those that were sent.
    outcome: Option<Failure>,
}

impl Course<'_> {
    async fn run(&mut self, runtime: &'static dyn Runtime, options: &Options) -> Result<(), Failure> {
        let mut stopping = signals::stopping().map_err(|error| Failure::new(error).at("cannot listen for signals"))?;
        let mut events = self.stream.events();
        if self.is_all_sent {
            // In HTTP it is settled like a message.
            self.sent += u64::from(self.is_http);
            self.stream.connect();
        }
        let (mut messages, input) = mpsc::channel(0);
        let texts: VecDeque<_> = options.send.iter().cloned().collect();
        std::thread::spawn(move || {
            let _ = block_on(runtime, feed(texts, &mut messages));
        });
        let stream = self.stream;
        let mut sent = pin!(input.then(|message| stream.enqueue(message)).fuse());
        poll_fn(|cx| {
            if stopping.poll_unpin(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            while !self.is_all_sent
                && let Poll::Ready(sending) = sent.poll_next_unpin(cx)
            {
                match sending {
                    Some(Ok(_)) => self.sent += 1,
                    Some(Err(error)) => return Poll::Ready(Err(Failure::new(error))),
                    None => self.is_all_sent = true,
                }
            }
            // Before the events: what they say has been received is printed then.
            while let Poll::Ready(Some(received)) = pin!(self.stream.receive()).poll_unpin(cx) {
                let is_enough = match received {
                    Ok(message) => self.print(&message)?,
                    // An event says the same.
                    Err(_) => false,
                };
                if is_enough {
                    return Poll::Ready(Ok(()));
                }
            }
            while let Poll::Ready(Some(event)) = events.poll_next_unpin(cx) {
                self.note(&event)?;
            }
            self.poll_done(cx)
        })
        .await
    }

    fn note(&mut self, event: &Event) -> Result<(), Failure> {
        if self.tells_events {
            say(Printable::new(&event.to_string()));
        }
        match event {
            Event::Delivered(_, delivery) => {
                self.settled += 1;
                if let Delivery::Refused(status) = delivery {
                    self.outcome = Some(refused(*status));
                }
            }
            Event::Undelivered(_, error) => {
                self.settled += 1;
                self.outcome = Some(Failure::new(error));
            }
            Event::AllRetriesFailed(error) => return Err(Failure::new(error)),
            _ => {}
        }
        Ok(())
    }

    fn poll_done(&self, _cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let is_settled = self.is_all_sent && self.settled == self.sent;
        let is_over = self.stream.state() == State::Idle && is_settled;
        let was_for_sending = self.sent > 0 && self.left.is_none();
        if is_settled && was_for_sending || is_over { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Whether it was the last that was to be received.
    fn print(&mut self, message: &Message) -> Result<bool, Failure> {
        let mut output = io::stdout().lock();
        let written = output.write_all(&message.payload).and_then(|()| match self.has_lines && message.is_last {
            true => output.write_all(b"\n"),
            false => Ok(()),
        });
        written.and_then(|()| output.flush()).map_err(Failure::output)?;
        if message.is_last
            && let Some(left) = &mut self.left
        {
            *left = left.saturating_sub(1);
            return Ok(*left == 0);
        }
        Ok(false)
    }

    /// Prints what had arrived before the end.
    fn rest(&mut self) -> Result<(), Failure> {
        while self.left != Some(0)
            && let Some(Some(Ok(message))) = self.stream.receive().now_or_never()
        {
            self.print(&message)?;
        }
        Ok(())
    }
}

/// Hands on what is to be sent, one after the other: it is taken when there is room.
async fn feed(texts: VecDeque<String>, to: &mut mpsc::Sender<Message>) -> Result<(), mpsc::SendError> {
    for text in texts {
        if text != "-" {
            to.send(text.into()).await?;
            continue;
        }
        for line in io::stdin().lock().split(b'\n') {
            let Ok(line) = line else { break };
            to.send(line.into()).await?;
        }
    }
    Ok(())
}

/// What a refusal means for the process.
fn refused(code: u16) -> Failure {
    let status = match code {
        300..=399 => Status::Redirected,
        400..=499 => Status::NotGiven,
        500..=599 => Status::ServerFailed,
        _ => Status::Failed,
    };
    Failure::new(format_args!("the answer is {code}")).with(status)
}

const EXAMPLES: &str = r"Examples:
  what a stream of HTTP gets
    onion stream policy.json weather --set city=Bern
  lines of a program, each a message with an acknowledgement
    sensor | onion stream policy.json telemetry --set serial=0042 --send -
  the next ten messages of what an MQTT stream subscribes to, and what happens meanwhile
    onion stream policy.json alarms --count 10 --events

It ends when all that was sent is settled, or --count messages were received; without either, when the stream does.

Exit status:
  0  all was sent, acknowledged where there are acknowledgements, and received
  1  a failure: all retries failed, or a message is lost
  2  a command line or a policy that makes no sense
  3  the answer is that it is somewhere else (300 to 399)
  4  the answer is that the request was wrong, or that there is nothing (400 to 499)
  5  the answer is that the server has failed (500 to 599)";
