//! CCC: FTP gives up TLS on its control connection, with clients that end TLS in all the ways that real ones do.

use std::time::Duration;

use onionskin::protocol::{LayerId, LayerView, LineReceiver, Lines, PeerAnswer, Protocol, Result, Stop, Transport};
use onionskin::starttls::Ftp;
use onionskin::starttls::ftp::{Change, Protection};
use onionskin::testing::Dialogue;
use onionskin::tls::{TlsClient, TlsServer};

use crate::common::link::{Case, Link, NAME, ONE, each};

/// A server that repeats each command it does not know, and notes how it came.
struct Server {
    lines: Lines,
    tls: TlsServer,
    protection: Protection,
    through_tls: bool,
    commands: Vec<Command>,
    answers: Vec<PeerAnswer>,
}

#[derive(Clone, Debug, PartialEq)]
struct Command {
    line: String,
    through_tls: bool,
}

impl Protocol for Server {
    fn connection_made(&mut self, transport: &mut Transport<'_>) -> Result {
        transport.start_tls_as(Ftp::new(), self.tls.accept()?)?;
        Ok(())
    }

    fn data_received(&mut self, transport: &mut Transport<'_>) -> Result {
        self.receive_lines(transport)
    }

    fn layer_ready(&mut self, _: &mut Transport<'_>, _: &LayerView) -> Result {
        self.through_tls = true;
        Ok(())
    }

    fn layer_stopped(&mut self, _: &mut Transport<'_>, _: LayerId, answer: PeerAnswer) -> Result {
        self.through_tls = false;
        self.answers.push(answer);
        Ok(())
    }
}

impl LineReceiver for Server {
    fn lines(&mut self) -> &mut Lines {
        &mut self.lines
    }

    fn line_received(&mut self, transport: &mut Transport<'_>, line: &[u8]) -> Result {
        let command = Command { line: String::from_utf8_lossy(line).into_owned(), through_tls: self.through_tls };
        let Some(answer) = self.protection.command(line) else {
            let reply = format!("200 {}", command.line);
            self.commands.push(command);
            return self.send_line(transport, reply);
        };
        self.send_line(transport, answer.reply())?;
        match answer.change() {
            Change::StartTls => _ = transport.start_tls(self.tls.accept()?)?,
            Change::StopTls(stop) => _ = transport.stop_with(stop)?,
            Change::Nothing => {}
        }
        Ok(())
    }
}

/// A client that does what it is told, and answers the server's close_notify or not.
struct Client {
    tls: TlsClient,
    answers_stop: bool,
    heard: Vec<u8>,
    answer: Option<PeerAnswer>,
}

impl Protocol for Client {
    fn connection_made(&mut self, transport: &mut Transport<'_>) -> Result {
        transport.start_tls_as(Ftp::new(), self.tls.to(NAME)?)?;
        Ok(())
    }

    fn data_received(&mut self, transport: &mut Transport<'_>) -> Result {
        self.heard.extend(transport.take_all());
        Ok(())
    }

    fn layer_ended(&mut self, transport: &mut Transport<'_>, _: LayerId) -> Result {
        if self.answers_stop {
            transport.stop_tls()?;
        }
        Ok(())
    }

    fn layer_stopped(&mut self, _: &mut Transport<'_>, _: LayerId, answer: PeerAnswer) -> Result {
        self.answer = Some(answer);
        Ok(())
    }
}

/// How the client ends TLS when it has heard the answer to CCC.
#[derive(Clone, Copy, Debug)]
enum Ends {
    /// It sends its close_notify at once.
    First,
    /// It waits for the server's, and answers that.
    Second,
    /// It sends its close_notify, and the next command right behind it, in clear.
    FirstWithoutWaiting,
    /// It never sends one, and just goes on in clear.
    NeverAndGoesOn,
    /// It waits for the server's, and then just goes on in clear.
    NeverBehindTheServers,
    /// It does nothing at all for longer than the server waits, and then goes on in clear.
    NeverAndIsSilent,
}

const ALL: [Ends; 6] = [
    Ends::First,
    Ends::Second,
    Ends::FirstWithoutWaiting,
    Ends::NeverAndGoesOn,
    Ends::NeverBehindTheServers,
    Ends::NeverAndIsSilent,
];

impl Ends {
    /// What the server reports.
    fn answer(self) -> PeerAnswer {
        match self {
            Self::First | Self::Second | Self::FirstWithoutWaiting => PeerAnswer::CloseNotify,
            Self::NeverAndGoesOn | Self::NeverBehindTheServers => PeerAnswer::Missing,
            Self::NeverAndIsSilent => PeerAnswer::TimedOut,
        }
    }
}

struct Control {
    dialogue: Dialogue<Client, Server>,
}

impl Control {
    /// With TLS.
    fn new(case: Case) -> Self {
        let Link { pair, client, server, .. } = Link::new(case);
        let client = Client { tls: client, answers_stop: false, heard: Vec::new(), answer: None };
        let server = Server {
            lines: Lines::new(),
            tls: server,
            protection: Protection::in_tls(),
            through_tls: false,
            commands: Vec::new(),
            answers: Vec::new(),
        };
        let mut control = Self { dialogue: Dialogue::over(pair, client, server) };
        control.dialogue.run();
        control
    }

    fn says(&mut self, lines: &str) {
        self.dialogue.with_left(|_, transport| transport.write(lines.as_bytes())).unwrap();
        self.dialogue.run();
    }

    /// What the client has heard since this was asked last.
    fn heard(&mut self) -> String {
        let heard = self.dialogue.with_left(|client, _| std::mem::take(&mut client.heard));
        assert!(self.dialogue.left_reason().is_none(), "{:?}", self.dialogue.left_reason());
        String::from_utf8(heard).unwrap()
    }

    fn commands(&mut self) -> Vec<Command> {
        self.dialogue.with_right(|server, _| std::mem::take(&mut server.commands))
    }

    /// A command, and the answer to it.
    #[track_caller]
    fn asks(&mut self, line: &str, through_tls: bool) {
        self.says(&format!("{line}\r\n"));
        assert_eq!(self.heard(), format!("200 {line}\r\n"), "{:?}", self.dialogue.right_reason());
        assert_eq!(self.commands(), [Command { line: line.to_owned(), through_tls }]);
    }

    /// CCC has been answered, and nothing else was done.
    #[track_caller]
    fn asks_to_clear(&mut self) {
        self.says("CCC\r\n");
        assert_eq!(self.heard(), "200 in clear from here\r\n");
    }

    /// The client ends TLS, and both go on in clear.
    #[track_caller]
    fn ends_tls(&mut self, ends: Ends) {
        match ends {
            Ends::First => {
                self.client_stops(Stop::new());
                self.dialogue.run();
            }
            Ends::Second => {
                self.dialogue.with_left(|client, _| client.answers_stop = true);
                self.dialogue.advance(Stop::GRACE);
                self.dialogue.with_left(|client, _| client.answers_stop = false);
            }
            Ends::FirstWithoutWaiting => self.client_stops(Stop::new().writes_at_once()),
            Ends::NeverAndGoesOn => self.client_stops(Stop::new().abandon()),
            Ends::NeverBehindTheServers => {
                self.dialogue.advance(Stop::GRACE);
                self.client_stops(Stop::new().abandon());
            }
            Ends::NeverAndIsSilent => {
                self.dialogue.advance(SILENCE);
                self.client_stops(Stop::new().abandon());
            }
        }
        self.asks("PWD", false);
        let answer = self.dialogue.with_right(|server, _| server.answers.pop());
        assert_eq!(answer, Some(ends.answer()), "{ends:?}");
    }

    fn client_stops(&mut self, stop: Stop) {
        self.dialogue.with_left(|_, transport| transport.stop_with(stop)).unwrap();
    }

    fn client_starts(&mut self) {
        self.dialogue.with_left(|client, transport| {
            let layer = client.tls.to(NAME).unwrap();
            transport.start_tls_as(Ftp::new().greeted(), layer).unwrap();
        });
        self.dialogue.run();
    }
}

/// Longer than a stop may take.
const SILENCE: Duration = Duration::from_secs(6);

#[test]
fn the_server_goes_along_with_all_that_clients_do() {
    for ends in ALL {
        each(ONE, |case| {
            let mut control = Control::new(case);
            control.asks("USER a", true);
            control.asks_to_clear();
            eprintln!("{ends:?}");
            control.ends_tls(ends);
            control.asks("QUIT", false);
        });
    }
}

#[test]
fn tls_starts_and_is_cleared_thirty_six_times_on_one_connection() {
    each(ONE, |case| {
        let mut control = Control::new(case);
        for ends in ALL.into_iter().cycle().take(36) {
            control.asks("NOOP", true);
            control.asks_to_clear();
            control.ends_tls(ends);
            control.client_starts();
        }
        control.asks("NOOP", true);
    });
}

#[test]
fn a_command_behind_ccc_is_carried_out_as_one_that_came_through_tls() {
    each(ONE, |case| {
        let mut control = Control::new(case);
        control.says("CCC\r\nPWD\r\nNOOP\r\n");
        assert_eq!(control.heard(), "200 in clear from here\r\n", "the answers come behind TLS");
        control.client_stops(Stop::new());
        control.dialogue.run();
        assert_eq!(control.heard(), "200 PWD\r\n200 NOOP\r\n");
        let came = |line: &str| Command { line: line.to_owned(), through_tls: true };
        assert_eq!(control.commands(), [came("PWD"), came("NOOP")]);
        control.asks("SYST", false);
    });
}

#[test]
fn what_stands_behind_the_close_notify_is_a_command_in_clear() {
    each(ONE, |case| {
        let mut control = Control::new(case);
        control.asks_to_clear();
        control.client_stops(Stop::new());
        control.dialogue.run();
        control.dialogue.pair.right.inject(b"DELE all\r\n");
        control.dialogue.run();
        assert_eq!(control.commands(), [Command { line: "DELE all".to_owned(), through_tls: false }]);
    });
}

#[test]
fn words_in_place_of_the_close_notify_end_tls_and_are_in_clear() {
    each(ONE, |case| {
        let mut control = Control::new(case);
        control.asks_to_clear();
        control.dialogue.pair.right.inject(b"DELE all\r\n");
        control.dialogue.run();
        // The client is still in TLS, and protests.
        assert_eq!(control.commands()[0], Command { line: "DELE all".to_owned(), through_tls: false });
    });
}

#[test]
fn before_ccc_the_same_words_are_the_end_of_the_connection() {
    each(ONE, |case| {
        let mut control = Control::new(case);
        control.asks("NOOP", true);
        control.dialogue.pair.right.inject(b"DELE all\r\n");
        control.dialogue.run();
        assert_eq!(control.commands(), []);
        assert!(control.dialogue.right_reason().is_some_and(|reason| !reason.is_closed()));
    });
}

#[test]
fn a_client_does_not_believe_words_in_place_of_the_close_notify() {
    each(ONE, |case| {
        for (stop, believed) in [(Stop::new(), false), (Stop::new().lenient(), true)] {
            let mut control = Control::new(case);
            control.asks_to_clear();
            control.dialogue.pair.right.hold(true);
            control.client_stops(stop);
            control.dialogue.run();
            control.dialogue.pair.left.inject(b"227 (192,0,2,1,0,80)\r\n");
            control.dialogue.run();
            let (heard, answer) = control.dialogue.with_left(|client, _| (client.heard.clone(), client.answer));
            assert_eq!(answer, believed.then_some(PeerAnswer::Missing));
            assert_eq!(heard.starts_with(b"227"), believed);
            assert_eq!(control.dialogue.left_reason().is_none(), believed);
        }
    });
}
