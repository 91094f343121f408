//! The other end of the wire, played by hand.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use onionskin::Connection;
use onionskin::layer::opening::Opening;
use onionskin::runtime::Address;
use onionskin::testing::{Clock, Cut, WireEnd, wire};
use onionskin::tunnel::http1::{Connect, ConnectServer};
use onionskin::tunnel::{Answer, Error, ErrorKind, Grant, Question, Refusal};

use crate::executor::Task;

pub(crate) const CUTS: [Cut; 5] = [Cut::Whole, Cut::Bytes, Cut::Coalesced, Cut::Pieces(3), Cut::Random(7)];

/// One end of a wire without anything behind it.
pub(crate) struct Peer(pub(crate) Option<WireEnd>);

impl Peer {
    pub(crate) fn says(&mut self, bytes: impl AsRef<[u8]>) {
        Task::new(self.0.as_mut().unwrap().write_all(bytes.as_ref())).run().unwrap().unwrap();
    }

    /// All that has come.
    pub(crate) fn hears(&mut self) -> String {
        let (mut heard, mut buffer) = (Vec::new(), [0; 4096]);
        let mut cx = Context::from_waker(Waker::noop());
        // A wire that hands over at random pends for no reason.
        let mut patience = 50;
        while patience > 0 {
            match Pin::new(self.0.as_mut().unwrap()).poll_read(&mut cx, &mut buffer) {
                Poll::Ready(Ok(count @ 1..)) => heard.extend_from_slice(&buffer[..count]),
                Poll::Ready(_) => break,
                Poll::Pending => patience -= 1,
            }
        }
        heard.escape_ascii().to_string().replace("\\r\\n", "\n").replace("\\\"", "\"").replace("\\'", "'")
    }

    /// Whether the other end has closed.
    pub(crate) fn is_hung_up_on(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        matches!(Pin::new(self.0.as_mut().unwrap()).poll_read(&mut cx, &mut [0]), Poll::Ready(Ok(0)))
    }

    /// With a FIN behind what it has said.
    pub(crate) fn ends(&self) {
        self.0.as_ref().unwrap().end();
    }

    pub(crate) fn resets(&self) {
        self.0.as_ref().unwrap().fail(io::ErrorKind::ConnectionReset);
    }
}

/// A client with a proxy that is played by hand.
pub(crate) struct Dialogue<'a> {
    pub(crate) proxy: Peer,
    pub(crate) clock: Clock,
    client: Task<'a, Outcome>,
}

/// What a client has got, and what was behind it, up to the end.
pub(crate) struct Outcome {
    pub(crate) opened: Result<Answer, Error>,
    pub(crate) behind: Vec<u8>,
    pub(crate) layers: usize,
}

impl Dialogue<'_> {
    /// A client that has asked, and writes into the tunnel before it knows of any.
    pub(crate) fn new(cut: Cut, connect: Connect) -> Self {
        let clock = Clock::new();
        let (left, right) = wire(cut, 1 << 20);
        let mut connection = Connection::with_timer(left, Arc::new(clock.clone()));
        let client = async move {
            let layer = connection.splice(Opening::of(connect)).unwrap();
            // Where nothing can be asked for, nothing can be written.
            let _ = connection.write_all(WRITTEN.as_bytes()).await;
            let opened = connection.ready(layer).await.map(|view| view.facts::<Opening<Connect>>().unwrap().clone());
            let opened = opened.map_err(|error| Error::of(&error).unwrap_or_else(|| panic!("{error}")).clone());
            let (mut behind, layers) = (Vec::new(), connection.depth());
            if opened.is_ok() {
                connection.read_to_end(&mut behind).await.unwrap();
            }
            let _ = connection.close().await;
            Outcome { opened, behind, layers }
        };
        let mut dialogue = Self { proxy: Peer(Some(right)), clock, client: Task::new(client) };
        dialogue.run();
        dialogue
    }

    pub(crate) fn run(&mut self) {
        crate::executor::run(&mut [&mut self.client]);
    }

    /// What came of it, if it is over.
    pub(crate) fn outcome(&mut self) -> Option<Outcome> {
        self.run();
        self.client.output()
    }

    #[track_caller]
    pub(crate) fn error(&mut self) -> Error {
        self.outcome().expect("the client has come to an end").opened.expect_err("there is no tunnel")
    }
}

/// A server with a client that is played by hand.
pub(crate) struct Service<'a> {
    pub(crate) client: Peer,
    pub(crate) clock: Clock,
    server: Task<'a, Served>,
}

/// What a server was asked, and what became of it: what was behind the request, up to the end.
pub(crate) struct Served {
    pub(crate) questions: Vec<Question>,
    pub(crate) opened: Result<Vec<u8>, Error>,
    pub(crate) writes: Vec<usize>,
}

impl<'a> Service<'a> {
    pub(crate) fn new(
        cut: Cut,
        server: ConnectServer,
        answer: impl Fn(&Question) -> Result<Grant, Refusal> + 'a,
    ) -> Self {
        let clock = Clock::new();
        let (left, right) = wire(cut, 1 << 20);
        let mut connection = Connection::with_timer(right, Arc::new(clock.clone()));
        let server = async move {
            let layer = connection.splice(Opening::of(server).timeout(Some(Duration::from_secs(10)))).unwrap();
            let mut questions = Vec::new();
            let opened = loop {
                let asked = match connection.asked::<ConnectServer>(layer).await {
                    Ok(asked) => asked,
                    Err(error) => break Err(error),
                };
                questions.push(asked.question().clone());
                let answered = match answer(asked.question()) {
                    Ok(grant) => asked.grant(grant).await,
                    Err(refusal) => asked.refuse(refusal).await,
                };
                match (answered, questions.last()) {
                    (Err(error), _) => break Err(error),
                    (Ok(()), Some(Question::Tunnel(_))) if connection.depth() == 0 => break Ok(()),
                    _ => {}
                }
            };
            let opened = opened.map_err(|error| Error::of(&error).unwrap_or_else(|| panic!("{error}")).clone());
            let writes = connection.get_ref().writes();
            let mut behind = Vec::new();
            if opened.is_ok() {
                connection.read_to_end(&mut behind).await.unwrap();
            }
            let _ = connection.leave(Duration::from_secs(5)).await;
            Served { questions, opened: opened.map(|()| behind), writes }
        };
        let mut service = Self { client: Peer(Some(left)), clock, server: Task::new(server) };
        service.run();
        service
    }

    pub(crate) fn run(&mut self) {
        crate::executor::run(&mut [&mut self.server]);
    }

    pub(crate) fn served(&mut self) -> Option<Served> {
        self.run();
        self.server.output()
    }
}

/// What a client hears that says this and ends, and what the server has made of it.
#[track_caller]
pub(crate) fn served(
    cut: Cut,
    server: ConnectServer,
    said: impl AsRef<[u8]>,
    answer: impl Fn(&Question) -> Result<Grant, Refusal>,
) -> (String, Served) {
    let mut service = Service::new(cut, server, answer);
    service.client.says(said);
    service.run();
    service.client.ends();
    let served = service.served().expect("the server has come to an end");
    let heard = service.client.hears();
    assert!(service.client.is_hung_up_on());
    (heard, served)
}

pub(crate) fn grants(_: &Question) -> Result<Grant, Refusal> {
    Ok(Grant::default())
}

/// What a client has got that was answered so.
#[track_caller]
pub(crate) fn answered(cut: Cut, answer: impl AsRef<[u8]>) -> Outcome {
    let mut dialogue = Dialogue::new(cut, connect());
    assert_eq!(dialogue.proxy.hears(), REQUEST);
    dialogue.proxy.says(answer);
    dialogue.run();
    dialogue.proxy.ends();
    dialogue.outcome().expect("the client has come to an end")
}

#[track_caller]
pub(crate) fn refused(answer: impl AsRef<[u8]>) -> ErrorKind {
    answered(Cut::Whole, answer).opened.unwrap_err().kind().clone()
}

pub(crate) fn connect() -> Connect {
    Connect::new(Address::to_host("a.example", 443).unwrap()).by(Address::to_host("proxy.example", 3128).unwrap())
}

/// As [`Peer::hears`] shows it.
pub(crate) const REQUEST: &str = "CONNECT a.example:443 HTTP/1.1\nHost: a.example:443\n\n";

/// What the client writes into its tunnel.
pub(crate) const WRITTEN: &str = "POST / HTTP/1.1";
