//! The other side ends, is reset, or falls silent at every byte of what it says, in both roles.

use std::io::ErrorKind as IoErrorKind;
use std::time::Duration;

use futures::FutureExt;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use onionskin::connection::Error as ConnectionError;
use onionskin::runtime::Timer;
use onionskin::testing::{Clock, Cut, WireEnd, wire};
use onionskin::tunnel::http2::{PendingTunnels, Tunnels};
use onionskin::tunnel::{Error, Grant};

use crate::executor::{Task, run};
use crate::peer::{ACK, DATA, END_HEADERS, END_STREAM, HEADERS, OK, SETTINGS, frame};
use crate::server::connection;
use crate::server::raw::{Frame, PREFACE};
use crate::target;

/// What happens at that byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    End,
    Reset,
    Silence,
}

const FATES: [Fate; 3] = [Fate::End, Fate::Reset, Fate::Silence];

impl Fate {
    fn befall(self, end: &mut WireEnd) {
        match self {
            Self::End => end.end(),
            Self::Reset => end.fail(IoErrorKind::ConnectionReset),
            Self::Silence => {}
        }
    }
}

/// How far one side has come, and why no further.
#[derive(Debug)]
struct Outcome {
    /// What it was told in its tunnel; `None` if it has got none.
    heard: Option<Vec<u8>>,
    /// Whether it has waited too long, and what it says; `None` for an end.
    loss: Option<(bool, String)>,
}

impl Outcome {
    fn without_tunnel(error: &Error) -> Self {
        Self { heard: None, loss: Some((error.is_timeout(), error.to_string())) }
    }

    fn of(heard: Vec<u8>, ended: std::io::Result<usize>) -> Self {
        let told = |error: std::io::Error| {
            let is_timeout = Error::of(&error).is_some_and(Error::is_timeout)
                || ConnectionError::of(&error).is_some_and(ConnectionError::is_timeout);
            (is_timeout, error.to_string())
        };
        Self { heard: Some(heard), loss: ended.err().map(told) }
    }
}

/// Feeds a side with the first so many bytes of what the other says in turns, and has that befall it.
fn outcome(
    side: impl AsyncFnOnce(WireEnd, &Clock) -> Outcome,
    turns: [&[u8]; 2],
    count: usize,
    cut: Cut,
    fate: Fate,
) -> Outcome {
    let clock = Clock::new();
    // What a side says is not read, so it must have room.
    let (mut peer, end) = wire(cut, 1 << 20);
    let mut work = Task::new(side(end, &clock));
    let mut rest = count;
    for turn in turns {
        run(&mut [&mut work]);
        let now = &turn[..rest.min(turn.len())];
        peer.write_all(now).now_or_never().expect("there is room").unwrap();
        rest -= now.len();
    }
    run(&mut [&mut work]);
    fate.befall(&mut peer);
    run(&mut [&mut work]);
    // Without a tunnel a client may be silent for five minutes.
    for _ in 0..if fate == Fate::Silence { 80 } else { 0 } {
        clock.advance(Duration::from_secs(5));
        run(&mut [&mut work]);
    }
    work.output().unwrap_or_else(|| panic!("{count} {fate:?}: somebody waits for ever"))
}

/// Both at every byte, and the control behind the last one. `tunnel_at` is where the tunnel is there.
fn at_every_byte(side: &impl AsyncFn(WireEnd, &Clock) -> Outcome, turns: [&[u8]; 2], tunnel_at: usize) {
    let whole = turns.concat().len();
    for cut in [Cut::Whole, Cut::Bytes] {
        for fate in FATES {
            for count in 0..whole {
                let Outcome { heard, loss } = outcome(side, turns, count, cut, fate);
                let (is_timeout, text) = loss.unwrap_or_else(|| panic!("{count} {fate:?}: that was no end"));
                assert_eq!(is_timeout, fate == Fate::Silence, "{count} {fate:?}: {text}");
                assert_eq!(heard.is_some(), count >= tunnel_at, "{count} {fate:?}: {text}");
                assert!(SAID.starts_with(&heard.unwrap_or_default()), "{count} {fate:?}");
            }
            let Outcome { heard, loss } = outcome(side, turns, whole, cut, fate);
            assert_eq!((heard.as_deref(), loss), (Some(SAID), None), "{fate:?}");
        }
    }
}

#[test]
fn t25_a_client_whose_proxy_is_gone_at_any_byte_has_no_clean_end() {
    let begun = [frame(SETTINGS, 0, 0, &[]), frame(SETTINGS, ACK, 0, &[])].concat();
    let answer = frame(HEADERS, END_HEADERS, 1, OK);
    let said = [&answer[..], &frame(DATA, 0, 1, SAID), &frame(DATA, END_STREAM, 1, &[])].concat();
    let client = async |end: WireEnd, clock: &Clock| {
        let tunnels = match Tunnels::over(connection(end, clock)).await {
            Ok(tunnels) => tunnels,
            Err(error) => return Outcome::without_tunnel(&error),
        };
        let mut opened = match tunnels.open(target()).await {
            Ok(opened) => opened,
            Err(error) => return Outcome::without_tunnel(&error),
        };
        let mut heard = Vec::new();
        let ended = opened.read_to_end(&mut heard).await;
        Outcome::of(heard, ended)
    };
    at_every_byte(&client, [&begun, &said], begun.len() + answer.len());
}

#[test]
fn t11_t25_a_server_whose_client_is_gone_at_any_byte_has_no_clean_end() {
    let begun = [PREFACE, &Frame::new(SETTINGS, 0, 0, &[]).bytes()].concat();
    let asks = [Frame::new(SETTINGS, ACK, 0, &[]).bytes(), Frame::connect(1, "mail.test:993").bytes()].concat();
    let said = [&asks[..], &Frame::data(1, SAID).bytes(), &Frame::data(1, &[]).ending().bytes()].concat();
    let server = async |end: WireEnd, clock: &Clock| {
        let since = clock.now();
        let mut asked = PendingTunnels::over(connection(end, clock));
        let Some(pending) = asked.next().await else {
            // Why, a server is not told before it is asked for anything: but it is over, and when.
            let has_waited = clock.now() - since >= Duration::from_secs(10);
            return Outcome { heard: None, loss: Some((has_waited, "nobody has asked".to_owned())) };
        };
        assert_eq!(pending.request().target, target());
        let mut opened = pending.grant(Grant::default()).await.unwrap();
        let mut heard = Vec::new();
        let ended = opened.read_to_end(&mut heard).await;
        if ended.is_err() {
            assert!(asked.next().await.is_none(), "with the connection it is over");
        }
        Outcome::of(heard, ended)
    };
    at_every_byte(&server, [&begun, &said], begun.len() + asks.len());
}

/// A proxy that has ended and reads nothing more makes nobody wait: what was written before is lost with the tunnel.
#[test]
fn t25_who_waits_to_be_read_hears_of_the_end_too() {
    for fate in [Fate::End, Fate::Reset] {
        let clock = Clock::new();
        let (mut peer, end) = wire(Cut::Whole, 10_000);
        let mut client = Task::new(async {
            let tunnels = Tunnels::over(connection(end, &clock)).await.unwrap();
            let mut opened = tunnels.open(target()).await.unwrap();
            let mut written = 0;
            while opened.write(&[7; 1000]).await.is_ok() {
                written += 1000;
                if opened.flush().await.is_err() {
                    break;
                }
            }
            let ended = opened.read_to_end(&mut Vec::new()).await;
            (written, ended.map_err(|error| error.to_string()))
        });
        let begun = [frame(SETTINGS, 0, 0, &[]), frame(SETTINGS, ACK, 0, &[])].concat();
        // 8 is WINDOW_UPDATE: there is room for all of it, but for the wire.
        let room =
            [frame(8, 0, 0, &(1_u32 << 20).to_be_bytes()), frame(8, 0, 1, &(1_u32 << 20).to_be_bytes())].concat();
        for said in [&begun, &[frame(HEADERS, END_HEADERS, 1, OK), room].concat()] {
            peer.write_all(said).now_or_never().unwrap().unwrap();
            run(&mut [&mut client]);
        }
        assert!(client.output().is_none(), "the control: it waits while nobody reads");
        fate.befall(&mut peer);
        run(&mut [&mut client]);
        let (written, ended) = client.output().unwrap_or_else(|| panic!("{fate:?}: it waits for ever"));
        assert!(written > 5000 && ended.is_err(), "{fate:?}: {written} {ended:?}");
    }
}

const SAID: &[u8] = b"not all of it";
