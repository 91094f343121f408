//! One connection of HTTP/2 and its streams, without any I/O (sans-I/O): bytes go in and come out, and time is an argument.
//!
//! ```text
//!     read, put, close, reset ──▶ Stream  Stream  Stream      each with queues of its own
//!                                    └──────┼───────┘
//!                                         Role                h2, of a client or of a server
//!                                           │
//!     handle_input ──▶ Frames ───────▶    Port    ──▶ with_output
//! ```
//!
//! A driver hands on what comes, sends what there is, calls [`Session::run`] after each of these and after whatever was done to a
//! stream, and [`Session::handle_timeout`] when [`Session::poll_deadline`] has passed. [`Session::news`] says which streams it has
//! got further. When the carrier ends, every stream that has not ended is lost: to nobody is that an end.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use h2::{Ping, PingPong, Reason as Code, RecvStream, SendStream};
use http::request::Parts;

use super::ask::Ask;
use super::fault::Fault;
use super::frames::{Frames, GoAway, SETTINGS, Seen};
use super::port::{Attention, Port, port};
use super::role::Role;
use super::server::questions::Questions;
use super::settings::Settings;
use super::stream::Stream;
use crate::connection::tree::{Branch, Plate};
use crate::tunnel::{Answer, ErrorKind};

/// One connection of HTTP/2 and its streams.
pub(super) struct Session {
    pub(super) settings: Settings,
    role: Role,
    port: Port,
    attention: Attention,
    /// Those of the peer.
    heard_frames: Frames,
    /// The first bytes of a server, until it is sure that they are HTTP/2.
    first: Option<Vec<u8>>,
    streams: BTreeMap<u32, Stream>,
    asks: BTreeMap<u32, Ask>,
    /// What each stream shows of itself.
    plates: BTreeMap<u32, Arc<Plate>>,
    /// What a client has asked.
    questions: Questions,
    /// Streams that nobody has any more, and whose last bytes are on their way to h2.
    left: Vec<u32>,
    ready: Arc<Ready>,
    news: News,
    /// How far the connection window has grown, in windows of a stream.
    windows: u32,
    pings: Option<PingPong>,
    heard: Instant,
    /// What the peer owes, since when.
    owed: Owed,
    going: Option<GoAway>,
    over: Option<Fault>,
    /// Whether we take no more tunnels.
    is_leaving: bool,
    /// When the last of them is to be gone, or, when all is over, what there is left to say.
    until: Option<Instant>,
}

/// What has changed since it was last asked.
#[derive(Debug, Default)]
pub(super) struct News {
    /// The streams that have something for their reader or writer.
    pub(super) streams: Vec<u32>,
    /// Whether there is something for those who wait for a stream: room for one, a new one, the end.
    pub(super) is_general: bool,
}

/// What the peer still owes us, each until when.
#[derive(Clone, Copy, Debug, Default)]
struct Owed {
    settings: Option<Instant>,
    settings_taken: Option<Instant>,
    pong: Option<Instant>,
}

impl Session {
    /// Begins as a client.
    pub(super) fn client(settings: Settings, now: Instant) -> Result<Self, Fault> {
        let (port, io) = port(Frames::behind_preface());
        let attention = Attention::new();
        let role = Role::client(io, &settings, attention.waker()).map_err(|error| refused_by_h2(&error))?;
        Ok(Self::new(role, port, attention, settings, now, Some(Vec::new())))
    }

    /// Begins as a server, which waits for the client to begin.
    pub(super) fn server(settings: Settings, now: Instant) -> Self {
        let (port, io) = port(Frames::default());
        let role = Role::server(io, &settings);
        let mut session = Self::new(role, port, Attention::new(), settings, now, None);
        session.heard_frames = Frames::behind_preface();
        session
    }

    fn new(
        mut role: Role,
        port: Port,
        attention: Attention,
        settings: Settings,
        now: Instant,
        first: Option<Vec<u8>>,
    ) -> Self {
        let due = settings.settings_timeout.and_then(|timeout| now.checked_add(timeout));
        Self {
            pings: role.ping_pong(),
            role,
            port,
            attention,
            heard_frames: Frames::default(),
            first,
            streams: BTreeMap::new(),
            asks: BTreeMap::new(),
            plates: BTreeMap::new(),
            questions: Questions::default(),
            left: Vec::new(),
            ready: Arc::default(),
            news: News::default(),
            windows: settings.windows(),
            heard: now,
            owed: Owed { settings: due, settings_taken: due, pong: None },
            going: None,
            over: None,
            is_leaving: false,
            until: None,
            settings,
        }
    }

    /// How many bytes [`handle_input`](Self::handle_input) takes now.
    pub(super) fn input_room(&self) -> usize {
        if self.over.is_some() { 0 } else { self.port.room() }
    }

    /// Takes what has come off the front of `bytes`, as much as there is room for.
    pub(super) fn handle_input(&mut self, now: Instant, bytes: &mut BytesMut) {
        self.heard = now;
        // Whatever came shows that the peer is there.
        self.owed.pong = None;
        let Some(first) = &mut self.first else { return self.receive(bytes) };
        let taken = bytes.len().min(MAX_FIRST - first.len());
        first.extend_from_slice(&bytes[..taken]);
        bytes.advance(taken);
        // What comes first from a server is its SETTINGS, not to be an ACK (RFC 9113, section 3.4).
        match first[..] {
            [_, _, _, SETTINGS, flags, ..] if flags & 1 == 0 => {
                let first = self.first.take().unwrap_or_default();
                self.receive(&mut BytesMut::from(&first[..]));
            }
            [_, _, _, SETTINGS] | [] | [_] | [_, _] | [_, _, _] => {}
            _ => {
                let fault = ErrorKind::NotSpoken(std::mem::take(first)).into();
                self.fail(&fault);
            }
        }
    }

    /// Hands on to h2 what it has room for.
    fn receive(&mut self, bytes: &mut BytesMut) {
        let taken = bytes.len().min(self.port.room());
        let Self { heard_frames, owed, going, news, .. } = self;
        heard_frames.look(&bytes[..taken], |frame| {
            let Some(seen) = Seen::of(frame) else { return };
            match seen {
                Seen::Settings => owed.settings = None,
                Seen::SettingsTaken => owed.settings_taken = None,
                Seen::GoAway(seen) => *going = Some(seen),
            }
            news.is_general = true;
        });
        self.port.receive(bytes);
    }

    /// Nothing more comes: the carrier has ended, or is lost.
    pub(super) fn handle_end(&mut self, why: Option<Fault>) {
        if self.over.is_some() {
            return;
        }
        let not_spoken = self.first.as_ref().filter(|first| !first.is_empty());
        let fault = match (why, not_spoken) {
            (Some(fault), _) => fault,
            (None, Some(first)) => ErrorKind::NotSpoken(first.clone()).into(),
            (None, None) => ErrorKind::Ended(if self.is_begun() { "the tunnel had" } else { "its SETTINGS" }).into(),
        };
        // What has come before is for the streams first.
        self.run();
        self.fail(&fault);
        self.port.end();
        self.run();
    }

    /// Has sent what is to be sent next: as much of it as is sent is taken off its front.
    pub(super) fn with_output<R>(&self, send: impl FnOnce(&mut BytesMut) -> R) -> R {
        self.port.with_output(send)
    }

    /// Nobody takes what is to be sent.
    pub(super) fn drop_output(&self) {
        self.port.with_output(BytesMut::clear);
    }

    pub(super) fn output_len(&self) -> usize {
        self.port.output_len()
    }

    /// Whether nothing comes behind the output.
    pub(super) fn is_shut(&self) -> bool {
        self.port.is_shut()
    }

    /// Moves all that can be moved inside.
    pub(super) fn run(&mut self) {
        loop {
            self.attention.take();
            let waker = self.attention.waker().clone();
            let cx = &mut Context::from_waker(&waker);
            if let Poll::Ready(done) = self.role.poll(cx) {
                self.news.is_general |= self.over.is_none();
                match done {
                    Err(error) => {
                        let fault = self.judge(u32::MAX, &error);
                        self.fail(&fault);
                    }
                    Ok(()) if self.over.is_none() => self.fail(&ErrorKind::Ended("the tunnel had").into()),
                    Ok(()) => {}
                }
            }
            if self.pings.is_none() {
                self.pings = self.role.ping_pong();
            }
            if let Some(pings) = &mut self.pings {
                // Whether it came, what came tells.
                let _ = pings.poll_pong(cx);
            }
            self.hear_questions();
            if self.questions.is_flood() && self.over.is_none() {
                self.fail(&ErrorKind::Http2("the client takes back more requests than it waits for".to_owned()).into());
                self.role.break_off(Code::ENHANCE_YOUR_CALM);
            }
            for departed in self.port.departed() {
                if self.streams.get_mut(&departed.stream).is_some_and(|stream| stream.handle_written(departed)) {
                    self.news.streams.push(departed.stream);
                }
            }
            self.drop_left();
            for id in self.ready.take() {
                self.advance(id);
            }
            if let Some(GoAway { code: 1.., .. }) = self.going
                && self.over.is_none()
            {
                let fault = ErrorKind::GoingAway(self.going.map_or(0, |going| going.code)).into();
                self.fail(&fault);
            }
            if !self.attention.take() && self.ready.is_empty() {
                break;
            }
        }
    }

    /// Looks at one stream of which h2 has news.
    fn advance(&mut self, id: u32) {
        let judged = Judge { going: self.going, over: self.over.clone(), id };
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if let Some(ask) = self.asks.get_mut(&id).filter(|ask| !ask.is_answered()) {
            let waker = self.ready.waker(id);
            ask.advance(stream, &mut Context::from_waker(&waker), |error| judged.judge(error));
            self.news.streams.push(id);
        }
        if let Some(code) = self.questions.taken_back(id, &mut Context::from_waker(&self.ready.waker(id))) {
            stream.fail(ErrorKind::Reset(code).into());
            self.news.streams.push(id);
        }
        let was_over = stream.is_over();
        if stream.advance(|error| judged.judge(error)) {
            self.news.streams.push(id);
        }
        self.news.is_general |= stream.is_over() && !was_over;
        self.news.is_general |= stream.settle();
    }

    /// All that is not over is over with this.
    fn fail(&mut self, fault: &Fault) {
        if self.over.is_some() {
            return;
        }
        let ids: Vec<u32> = self.streams.keys().copied().collect();
        for &id in &ids {
            self.advance(id);
        }
        self.over = Some(fault.clone());
        for (&id, stream) in &mut self.streams {
            let fault = Judge { going: self.going, over: None, id }.not_processed().unwrap_or_else(|| fault.clone());
            if let Some(ask) = self.asks.get_mut(&id) {
                ask.fail(fault.clone());
            }
            stream.fail(fault);
        }
        self.owed = Owed::default();
        self.news.streams.extend(ids);
        self.news.is_general = true;
        self.left.clear();
    }

    /// When [`handle_timeout`](Self::handle_timeout) is next due.
    pub(super) fn poll_deadline(&self) -> Option<Instant> {
        let Owed { settings, settings_taken, pong } = self.owed;
        let asks = self.asks.values().filter(|ask| !ask.is_answered()).filter_map(|ask| ask.due).min();
        [settings, settings_taken, pong, self.ping_due(), asks, self.idle_due(), self.until].into_iter().flatten().min()
    }

    fn idle_due(&self) -> Option<Instant> {
        let is_idle = self.role.is_server() && self.streams.is_empty() && self.over.is_none() && !self.is_leaving;
        self.settings.idle_timeout.filter(|_| is_idle).and_then(|limit| self.heard.checked_add(limit))
    }

    fn ping_due(&self) -> Option<Instant> {
        let is_used = self.over.is_none() && self.owed.pong.is_none() && !self.streams.is_empty();
        self.settings.ping_after.filter(|_| is_used).and_then(|after| self.heard.checked_add(after))
    }

    /// Does what is due. [`run`](Self::run) is to be called then.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        let is_due = |due: Option<Instant>| due.is_some_and(|due| due <= now);
        let owed = [
            (self.owed.settings, "its SETTINGS"),
            (self.owed.settings_taken, "its acceptance of our SETTINGS"),
            (self.owed.pong, "its answer to PING"),
        ];
        if let Some((_, what)) = owed.into_iter().find(|(due, _)| is_due(*due)) {
            self.fail(&ErrorKind::TimedOut(what).into());
            self.role.abandon();
            return;
        }
        if is_due(self.until) {
            self.until = None;
            match self.over {
                None => {
                    self.fail(&ErrorKind::TimedOut("the end of its tunnels").into());
                    self.role.break_off(Code::NO_ERROR);
                }
                // Nobody takes it.
                Some(_) => self.drop_output(),
            }
            return;
        }
        if is_due(self.idle_due()) {
            self.finish(now.checked_add(FAREWELL));
        }
        if is_due(self.ping_due()) {
            self.owed.pong = now.checked_add(self.settings.ping_timeout);
            if let Some(pings) = &mut self.pings {
                // One that is still under way is as good.
                let _ = pings.send_ping(Ping::opaque());
            }
        }
        for (id, ask) in &mut self.asks {
            let Some(stream) = self.streams.get_mut(id) else { continue };
            if !ask.is_answered() && is_due(ask.due) {
                ask.handle_timeout(stream);
                self.news.streams.push(*id);
            }
        }
    }

    /// Asks for a tunnel, if there may be one more. The stream is there at once, and has an answer later.
    pub(super) fn ask(&mut self, now: Instant, request: http::Request<()>, has_told: bool) -> Result<u32, Fault> {
        self.check_open()?;
        let limit = self.role.limit();
        if self.live() >= limit {
            return Err(ErrorKind::TooManyTunnels(limit).into());
        }
        let (response, send) = match self.role.ask(request) {
            Ok(Some(asked)) => asked,
            Ok(None) => return Err(ErrorKind::TooManyTunnels(limit).into()),
            Err(error) => return Err(self.judge(u32::MAX, &error)),
        };
        let id = send.stream_id().as_u32();
        let due = self.settings.answer_timeout.and_then(|timeout| now.checked_add(timeout));
        self.asks.insert(id, Ask::new(response, has_told, due));
        self.add(now, id, Some(send), None);
        Ok(id)
    }

    /// Whether another tunnel can be asked for, some time.
    pub(super) fn check_open(&self) -> Result<(), Fault> {
        match (&self.over, self.going) {
            (Some(fault), _) => Err(fault.clone()),
            (None, Some(_)) => Err(ErrorKind::GoingAway(0).into()),
            (None, None) if self.is_leaving => Err(ErrorKind::GoingAway(0).into()),
            (None, None) => Ok(()),
        }
    }

    /// Whether the peer has said that it goes away.
    pub(super) fn is_left(&self) -> bool {
        self.going.is_some()
    }

    /// Takes a stream in, of either role.
    fn add(&mut self, now: Instant, id: u32, send: Option<SendStream<Bytes>>, recv: Option<RecvStream>) {
        if self.streams.is_empty() {
            // Nobody has cared until now.
            self.heard = now;
        }
        self.streams.insert(id, Stream::new(send, recv, self.settings.stream_window, self.ready.waker(id)));
        self.ready.push(id);
        let needed = u32::try_from(self.streams.len()).unwrap_or(u32::MAX).saturating_add(1);
        if needed > self.windows {
            self.windows = needed;
            self.role.set_window(self.settings.window(needed));
        }
    }

    /// The answer to what was asked, if it is there. One that is no tunnel takes the stream with it.
    pub(super) fn take_answer(&mut self, id: u32) -> Option<Result<Answer, Fault>> {
        let answer = self.asks.get_mut(&id)?.answer()?;
        self.asks.remove(&id);
        if answer.is_err() {
            self.drop_stream(id);
        }
        Some(answer)
    }

    pub(super) fn stream(&mut self, id: u32) -> Option<&mut Stream> {
        // Whatever is done to it may be news to h2.
        self.ready.push(id);
        self.streams.get_mut(&id)
    }

    /// A stream shows this of itself.
    pub(super) fn label(&mut self, id: u32, plate: Arc<Plate>) {
        self.plates.insert(id, plate);
    }

    /// What there is to be seen of all streams together.
    pub(super) fn facts(&self) -> Vec<String> {
        let count = self.streams.len();
        let tunnels = match self.role.limit() {
            limit if !self.role.is_server() && limit < u32::MAX as usize && self.is_begun() && self.over.is_none() => {
                format!("{count} of at most {limit} tunnels")
            }
            _ if count == 1 => "1 tunnel".to_owned(),
            _ => format!("{count} tunnels"),
        };
        let state = match (&self.over, self.going) {
            (Some(_), _) => Some("over"),
            (None, Some(_)) => Some("the peer goes away"),
            (None, None) if self.is_leaving => Some("leaving"),
            (None, None) if !self.is_begun() => Some("not begun"),
            (None, None) => None,
        };
        let role = if self.role.is_server() { "server" } else { "client" };
        [role.to_owned(), tunnels].into_iter().chain(state.map(str::to_owned)).collect()
    }

    /// So many streams, and besides those whose plates are wanted; and how many others there are in each state.
    pub(super) fn look(&self, most: usize, wanted: &[Arc<Plate>]) -> (Vec<Branch>, BTreeMap<&'static str, usize>) {
        let (mut branches, mut others) = (Vec::new(), BTreeMap::new());
        for (&id, stream) in &self.streams {
            let plate = self.plates.get(&id);
            let is_wanted = plate.is_some_and(|plate| wanted.iter().any(|wanted| Arc::ptr_eq(wanted, plate)));
            if branches.len() < most || is_wanted {
                branches.push(Branch { stream: id, plate: plate.cloned(), facts: stream.facts() });
            } else {
                *others.entry(stream.state()).or_default() += 1;
            }
        }
        (branches, others)
    }

    /// The number of streams that the peer counts.
    pub(super) fn live(&self) -> usize {
        self.streams.values().filter(|stream| !stream.is_over()).count()
    }

    /// Whether all tunnels are gone, or over and read.
    pub(super) fn is_settled(&self) -> bool {
        self.streams.values().all(Stream::is_settled)
    }

    /// Nobody has the stream any more: it is reset (CANCEL) unless it is over. If our direction has been closed, what it had to
    /// say goes first.
    pub(super) fn forget(&mut self, id: u32) {
        self.asks.remove(&id);
        self.questions.answer(id);
        match self.streams.get(&id) {
            Some(stream) if stream.has_closed() && self.over.is_none() => self.left.push(id),
            _ => self.drop_stream(id),
        }
    }

    /// Drops what nobody has any more, when h2 has written the last of it: it would not with a reset behind it.
    fn drop_left(&mut self) {
        let Self { left, streams, .. } = self;
        let done = left.extract_if(.., |id| streams.get(id).is_none_or(Stream::is_written)).collect::<Vec<_>>();
        for id in done {
            self.drop_stream(id);
        }
    }

    /// h2 sends the reset when the last of a stream is dropped that is not over.
    fn drop_stream(&mut self, id: u32) {
        self.plates.remove(&id);
        if self.streams.remove(&id).is_some() {
            self.news.is_general = true;
        }
    }

    /// Takes no more tunnels, and says so to the peer when the last one is settled (GOAWAY). It is idempotent, and to be called
    /// again when one is.
    pub(super) fn leave(&mut self) {
        self.news.is_general |= !std::mem::replace(&mut self.is_leaving, true);
        if self.is_settled() {
            self.role.leave();
        }
    }

    /// Takes no more tunnels, and says so to the peer at once (GOAWAY); by then all that there are are to be gone.
    pub(super) fn finish(&mut self, until: Option<Instant>) {
        self.until = self.until.into_iter().chain(until).min();
        if !self.is_leaving {
            self.is_leaving = true;
            self.news.is_general = true;
            self.role.finish();
        }
    }

    /// Nobody has anything to do with it any more. A server that takes no more tunnels would wait until the client has heard so,
    /// to say what the last one was: now it says that at once.
    pub(super) fn depart(&mut self) {
        if self.role.is_server() && self.over.is_none() {
            self.role.break_off(Code::NO_ERROR);
        }
    }

    /// All is over, and what there is left to say has so much time.
    pub(super) fn bid_farewell(&mut self, now: Instant) {
        if self.over.is_some() && self.output_len() > 0 && self.until.is_none() {
            self.until = now.checked_add(FAREWELL);
        }
    }

    fn hear_questions(&mut self) {
        while let Some((request, mut respond)) = self.role.take_asked() {
            if self.is_leaving {
                respond.send_reset(Code::REFUSED_STREAM);
                continue;
            }
            let (head, recv) = request.into_parts();
            let id = respond.stream_id().as_u32();
            self.add(self.heard, id, None, Some(recv));
            self.questions.push(id, head, respond);
            self.news.is_general = true;
        }
    }

    /// Refuses the requests that nobody will take, such that the client may ask elsewhere.
    pub(super) fn refuse_rest(&mut self) {
        while let Some((id, _)) = self.questions.take() {
            if let Some(mut respond) = self.questions.answer(id) {
                respond.send_reset(Code::REFUSED_STREAM);
            }
            self.drop_stream(id);
        }
    }

    /// Why a stream is over that has not ended, or all of it.
    pub(super) fn fault(&self, id: u32) -> Option<Fault> {
        self.streams.get(&id).and_then(Stream::fault).or(self.over.as_ref()).cloned()
    }

    /// The next request that nobody has taken.
    pub(super) fn take_question(&mut self) -> Option<(u32, Parts)> {
        self.questions.take()
    }

    /// Answers a request with a tunnel; whether it was still waited for.
    pub(super) fn grant(&mut self, id: u32, answer: http::Response<()>) -> bool {
        let Some(mut respond) = self.questions.answer(id) else { return false };
        match (self.stream(id), respond.send_response(answer, false)) {
            (Some(stream), Ok(send)) => stream.speak(send),
            _ => return false,
        }
        true
    }

    /// Answers a request with anything else. What the client still sends is not wanted: h2 says so when the stream is dropped
    /// (RFC 9113, section 8.1).
    pub(super) fn refuse(&mut self, id: u32, answer: http::Response<()>, body: Bytes) {
        if let Some(mut respond) = self.questions.answer(id) {
            // Whoever has gone need not be told.
            let _ = respond.send_response(answer, false).and_then(|mut send| send.send_data(body, true));
        }
        self.drop_stream(id);
    }

    /// Why it is over, if it is.
    pub(super) fn over(&self) -> Option<&Fault> {
        self.over.as_ref()
    }

    /// Whether the peer has said what it begins with.
    pub(super) fn is_begun(&self) -> bool {
        self.owed.settings.is_none() && self.first.is_none()
    }

    /// Whether the peer has gone away as it had said, or we have.
    pub(super) fn is_gone(&self) -> bool {
        let has_ended = matches!(self.over, Some(Fault::Tunnel(ErrorKind::Ended(_))));
        has_ended && (self.is_leaving || matches!(self.going, Some(GoAway { code: 0, .. })))
    }

    /// There is news for all that wait for no stream of theirs.
    pub(super) fn tell_all(&mut self) {
        self.news.is_general = true;
    }

    /// What has changed since this was last asked.
    pub(super) fn news(&mut self) -> News {
        std::mem::take(&mut self.news)
    }

    fn judge(&self, id: u32, error: &h2::Error) -> Fault {
        Judge { going: self.going, over: self.over.clone(), id }.judge(error)
    }
}

/// What an error of h2 means to a stream.
struct Judge {
    going: Option<GoAway>,
    over: Option<Fault>,
    id: u32,
}

impl Judge {
    fn judge(&self, error: &h2::Error) -> Fault {
        let code = error.reason().map_or(0, u32::from);
        match &self.over {
            _ if error.is_reset() && error.is_remote() => ErrorKind::Reset(code).into(),
            _ if error.is_go_away() && error.is_remote() => {
                self.not_processed().unwrap_or_else(|| ErrorKind::GoingAway(code).into())
            }
            Some(over) if !error.is_reset() => over.clone(),
            _ => refused_by_h2(error),
        }
    }

    /// Whether the peer goes away and has done nothing for the stream.
    fn not_processed(&self) -> Option<Fault> {
        self.going.filter(|going| self.id > going.last).map(|_| ErrorKind::NotProcessed.into())
    }
}

fn refused_by_h2(error: &h2::Error) -> Fault {
    ErrorKind::Http2(match error.reason() {
        Some(code) => format!("the peer breaks the rules of HTTP/2: {}", code.description()),
        None => format!("h2, the library for HTTP/2, has failed: {error}"),
    })
    .into()
}

/// The streams of which h2 has news.
#[derive(Debug, Default)]
struct Ready(Mutex<Vec<u32>>);

struct StreamWaker {
    ready: Arc<Ready>,
    id: u32,
}

impl Ready {
    fn waker(self: &Arc<Self>, id: u32) -> Waker {
        Waker::from(Arc::new(StreamWaker { ready: Arc::clone(self), id }))
    }

    fn push(&self, id: u32) {
        let mut ready = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ready.last() != Some(&id) {
            ready.push(id);
        }
    }

    fn take(&self) -> Vec<u32> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

impl Wake for StreamWaker {
    fn wake(self: Arc<Self>) {
        self.ready.push(self.id);
    }
}

/// So many bytes are shown of what is no HTTP/2.
const MAX_FIRST: usize = 16;

/// How long the peer may take to hear that it is over.
const FAREWELL: Duration = Duration::from_secs(10);
