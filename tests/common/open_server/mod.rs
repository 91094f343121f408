//! Servers that do with STARTTLS what no server should, in each protocol: so that there is something to find.
//!
//! Such a server reads ahead, as nearly all that were ever caught did, and [`Manners`] say what becomes of what it has
//! read when TLS starts.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod languages;

use std::sync::Arc;

use futures::AsyncReadExt;
use futures::io::AsyncWriteExt;
use onionskin::Connection;
use onionskin::connection::{End, Error};
use onionskin::runtime::{self, Socket};
use onionskin::stack::Stop;
use onionskin::starttls::KnownProtocol;
use onionskin::tls::TlsServer;

use self::languages::{Answer, LANGUAGES, Language, Then};

/// What a server does where it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Manners {
    pub(crate) behind: Behind,
    pub(crate) hello: Hello,
    pub(crate) inside: Inside,
    pub(crate) after: After,
}

/// What becomes of a command behind the request for TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behind {
    /// It goes into TLS, with everything else there: the negotiation is that of this crate.
    GoesIntoTls,
    /// It is kept and executed inside TLS: the hole.
    IsExecuted,
    IsDropped,
    /// The request is refused for its sake.
    IsRefused,
    /// It is answered in clear, behind the go-ahead.
    IsAnswered,
    /// Nothing is ever said inside TLS.
    SilencesAll,
}

/// What becomes of a ClientHello there, if the server reads ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hello {
    IsRefused,
    /// It is thrown away, and another is waited for.
    IsLost,
    /// Nothing is ever said again.
    Hangs,
}

/// What a request for TLS inside TLS comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inside {
    IsRefused,
    Nests,
    /// It is agreed to and forgotten.
    IsForgotten,
    /// A new handshake follows, on the bare socket: the TLS in which it was asked is thrown away.
    Replaces,
}

/// What follows the end of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    HangsUp,
    GoesOn,
    IsSilent,
}

impl Manners {
    /// Nothing is wrong with it.
    pub(crate) const HONEST: Self =
        Self { behind: Behind::GoesIntoTls, hello: Hello::IsRefused, inside: Inside::IsRefused, after: After::HangsUp };

    /// Whoever sits in between can put commands into the session.
    pub(crate) const OPEN: Self = Self { behind: Behind::IsExecuted, ..Self::HONEST };
}

/// Serves everybody who connects, until the process ends, and returns where: `tcp:127.0.0.1:40001`.
pub(crate) fn serve(protocol: &str, manners: Manners, tls: TlsServer) -> String {
    let language = LANGUAGES.iter().find(|language| language.name == protocol).expect("there is such a language");
    let runtime = runtime::preferred().expect("there is a runtime");
    let listener = runtime::block_on(runtime, runtime.listen_tcp(([127, 0, 0, 1], 0).into())).unwrap();
    let address = listener.local_address().as_tcp().unwrap();
    let tls = Arc::new(tls);
    runtime.spawn(Box::pin(async move {
        while let Ok(socket) = listener.accept().await {
            let mut session = Session {
                conn: Connection::with_timer(socket, Arc::new(runtime)),
                read: Vec::new(),
                language,
                manners,
                tls: Arc::clone(&tls),
                greeted: false,
            };
            runtime.spawn(Box::pin(async move {
                // That a client breaks off is what some tests are about.
                let _ = session.run().await;
                let _ = session.conn.close().await;
                session.ignore().await;
            }));
        }
    }));
    format!("tcp:{address}")
}

struct Session {
    conn: Connection<Socket>,
    /// What was read ahead.
    read: Vec<u8>,
    language: &'static Language,
    manners: Manners,
    tls: Arc<TlsServer>,
    /// Whether the client has said its first words, which are forgotten when TLS starts.
    greeted: bool,
}

type Outcome = Result<(), Error>;

impl Session {
    async fn run(&mut self) -> Outcome {
        if self.manners.behind == Behind::GoesIntoTls {
            let protocol: KnownProtocol = self.language.name.parse().expect("the crate knows it too");
            let peer = protocol.peer("server.example", None);
            self.conn.start_tls_as(&*peer, self.tls.accept()?).await?;
            self.conn.send_all(self.language.greeting_inside).await?;
        } else {
            self.conn.send_all(self.language.greeting).await?;
        }
        loop {
            while let Some(len) = (self.language.command)(&self.read) {
                let command: Vec<u8> = self.read.drain(..len).collect();
                let Answer { says, then } = (self.language.answer)(&command, &mut self.greeted);
                match then {
                    Then::GoOn => self.conn.send_all(&says).await?,
                    Then::StartTls => self.start_tls(&command, &says).await?,
                    Then::End => return self.conn.send_all(&says).await,
                }
            }
            let mut buffer = vec![0; 4096];
            match self.conn.read(&mut buffer).await {
                Ok(count @ 1..) => self.read.extend_from_slice(&buffer[..count]),
                Ok(_) if matches!(self.conn.end(), Some(End::Layer(_))) => self.tls_has_ended().await?,
                _ => return Ok(()),
            }
        }
    }

    async fn start_tls(&mut self, command: &[u8], go_ahead: &[u8]) -> Outcome {
        if self.conn.depth() > 0 {
            match self.manners.inside {
                Inside::IsRefused => return self.conn.send_all(&(self.language.refuses)(command)).await,
                Inside::IsForgotten => {
                    self.conn.send_all(go_ahead).await?;
                    self.ignore().await;
                    return Ok(());
                }
                Inside::Replaces => {
                    self.conn.send_all(go_ahead).await?;
                    self.conn.stop_with(Stop::new().abandon()).await?;
                    self.conn.start_tls(self.tls.accept()?).await?;
                    return Ok(());
                }
                Inside::Nests => {}
            }
        }
        let is_hello = self.read.starts_with(&[22, 3]);
        let refused = if is_hello { self.manners.hello == Hello::IsRefused } else { self.is_refused() };
        if refused {
            self.read.clear();
            return self.conn.send_all(&(self.language.refuses)(command)).await;
        }
        self.conn.send_all(go_ahead).await?;
        match self.manners.behind {
            _ if is_hello && self.manners.hello == Hello::Hangs => self.ignore().await,
            _ if is_hello => self.read.clear(),
            Behind::IsDropped => self.read.clear(),
            Behind::IsAnswered if !self.read.is_empty() => {
                let answer = (self.language.answer)(&self.read, &mut self.greeted);
                self.conn.send_all(&answer.says).await?;
            }
            _ => {}
        }
        self.conn.start_tls(self.tls.accept()?).await?;
        if self.manners.behind == Behind::SilencesAll {
            self.ignore().await;
        }
        self.greeted = false;
        self.conn.send_all(self.language.greeting_inside).await
    }

    fn is_refused(&self) -> bool {
        !self.read.is_empty() && self.manners.behind == Behind::IsRefused
    }

    async fn tls_has_ended(&mut self) -> Outcome {
        self.conn.stop_tls().await?;
        match self.manners.after {
            After::HangsUp => {
                // The end of it is read next.
                let _ = self.conn.close().await;
                Ok(())
            }
            After::GoesOn => Ok(()),
            After::IsSilent => {
                self.ignore().await;
                Ok(())
            }
        }
    }

    /// Reads to the end, without a word.
    async fn ignore(&mut self) {
        let mut buffer = vec![0; 4096];
        while let Ok(1..) = self.conn.read(&mut buffer).await {}
    }
}
