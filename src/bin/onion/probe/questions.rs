//! Four questions that are asked of a server by being a bad client, each on a connection of its own.
//!
//! A question fails if it cannot be asked. Whatever the server makes of it is a finding.

use futures::FutureExt;
use onionskin::Connection;
use onionskin::connection::Error;
use onionskin::runtime::Socket;
use onionskin::rustls;
use onionskin::stack::{OnTimeout, PeerAnswer, Stop};
use onionskin::starttls::{self, Negotiate};
use onionskin::tls::TlsLayer;

use super::finding::{Finding, State, quoted};
use super::later::Later;
use super::server::{Heard, Server, Trust};
use super::witness::{Reached, Witness};
use super::words::{Request, Words};
use crate::failure::Failure;

/// What becomes of a command that stands behind the request for TLS, in one segment with it.
///
/// It was said in clear, by anybody. So it must never be taken for one that came through TLS, which is what a server does
/// that reads ahead and keeps what it has read (CVE-2011-0411 and many after it).
pub(super) async fn glued_command(server: &Server, words: &Words) -> Result<Finding, Failure> {
    let (peer, request) = match to_be_asked(server, words) {
        Ok(both) => both,
        Err(finding) => return Ok(finding),
    };
    let layer = server.layer(Trust::Everyone, None)?;
    let mut conn = server.connect().await?;
    let negotiate = server.bounded(Negotiate::new(&peer, layer)).glued(request.glued.clone());
    if let Err(error) = conn.negotiate(negotiate).await {
        return Ok(no_handshake(&error, peer.reached()));
    }
    let settled = |heard: &[u8]| {
        (words.split)(heard).into_iter().find_map(|answer| {
            let executed = (request.answers_glued)(answer);
            (executed || (request.answers_ours)(answer)).then(|| (executed, quoted(answer)))
        })
    };
    let mut heard = Vec::new();
    let finding = match server.ask(&mut conn, &request.ours, &mut heard, settled).await {
        Heard::Answer((true, answer)) => Finding::new(State::Executed).detail(answer),
        Heard::Answer((false, _)) => Finding::new(State::Dropped),
        Heard::End => Finding::new(State::Refused).quoting("the server hangs up inside TLS", &heard),
        // The session is there, and whoever is slow may still execute the command in it.
        Heard::Silence => Finding::unknown("the server says nothing inside TLS in time"),
    };
    server.leave(conn).await;
    Ok(finding)
}

/// What becomes of a ClientHello that stands behind the request for TLS, in one segment with it.
///
/// A client in a hurry may send that, and some servers wait for ever then. One that has thrown it away takes another.
pub(super) async fn glued_client_hello(server: &Server, words: &Words) -> Result<Finding, Failure> {
    let peer = match to_be_asked(server, words) {
        Ok((peer, _)) => peer,
        Err(finding) => return Ok(finding),
    };
    let later = Later::new();
    let mut tls = Connection::new(later.clone());
    let id = tls.splice(unhurried(server)?)?;
    let early = tls.ready(id).now_or_never();
    debug_assert!(early.is_none(), "there is nobody to answer");

    let mut conn = server.connect().await?;
    let negotiating = conn.splice(server.bounded(Negotiate::without_tls(&peer)).glued(later.collected()))?;
    if let Err(error) = conn.ready(negotiating).await {
        return Ok(no_handshake(&error, peer.reached()));
    }
    later.attach(conn);
    match server.within(tls.ready(id)).await {
        Some(Ok(_)) => return Ok(Finding::new(State::Taken)),
        Some(Err(error)) => return Ok(Finding { state: State::Refused, ..no_handshake(&error, peer.reached()) }),
        None => {}
    }
    drop(tls);
    let mut conn = later.detach().expect("it was attached above");
    match server.within(conn.start_tls(unhurried(server)?)).await {
        Some(Ok(_)) => Ok(Finding::new(State::Lost)),
        Some(Err(_)) | None => Ok(Finding::new(State::Hangs)),
    }
}

/// Without a deadline of its own, which would count from the moment at which there is nobody yet.
fn unhurried(server: &Server) -> Result<TlsLayer, Failure> {
    Ok(server.layer(Trust::Everyone, None)?.handshake_timeout(None))
}

/// Whether TLS can be asked for inside TLS.
pub(super) async fn starttls_inside_tls(server: &Server, words: &Words) -> Result<Finding, Failure> {
    let request = match to_be_asked(server, words) {
        Ok((_, request)) => request,
        Err(finding) => return Ok(finding),
    };
    let mut heard = Vec::new();
    let (mut conn, answer) = match ask_again(server, words, request, &mut heard).await? {
        Ok(asked) => asked,
        Err(finding) => return Ok(finding),
    };
    let finding = match answer {
        Heard::Answer((true, _)) => match nested(server, &mut conn).await? {
            Finding { state: State::Agrees, .. } if instead(server, words, request).await? => {
                Finding::new(State::Replaces)
            }
            finding => finding,
        },
        Heard::Answer((false, answer)) => Finding::new(State::Refused).detail(answer),
        Heard::End => Finding::new(State::Refused).quoting("the server hangs up", &heard),
        Heard::Silence => Finding::new(State::Hangs),
    };
    server.leave(conn).await;
    Ok(finding)
}

/// A connection with TLS on which TLS was asked for once more, and whether the server has agreed to that, in which words; or
/// why it could not be asked.
async fn ask_again(
    server: &Server,
    words: &Words,
    request: &Request,
    heard: &mut Vec<u8>,
) -> Result<Result<(Connection<Socket>, Heard<(bool, String)>), Finding>, Failure> {
    let mut conn = server.connect_tls().await?;
    if let Some((hello, answers)) = &request.hello {
        let answered = |heard: &[u8]| (words.split)(heard).into_iter().any(answers).then_some(());
        match server.ask(&mut conn, hello, heard, answered).await {
            Heard::Answer(()) => heard.clear(),
            Heard::End => {
                return Ok(Err(Finding::new(State::Unknown).quoting("the server hangs up before that", heard)));
            }
            Heard::Silence => return Ok(Err(Finding::new(State::Hangs))),
        }
    }
    let agreed = |heard: &[u8]| {
        (words.split)(heard)
            .into_iter()
            .find_map(|answer| (request.agrees)(answer).map(|agrees| (agrees, quoted(answer))))
    };
    let answer = server.ask(&mut conn, &request.again, heard, agreed).await;
    Ok(Ok((conn, answer)))
}

/// The server agreed to start TLS inside TLS and did not: whether it takes the request for one to begin anew, below the TLS in
/// which it was asked. It has thrown that away then, and with it whoever was logged in there.
async fn instead(server: &Server, words: &Words, request: &Request) -> Result<bool, Failure> {
    let asked = ask_again(server, words, request, &mut Vec::new()).await?;
    let Ok((mut conn, Heard::Answer((true, _)))) = asked else { return Ok(false) };
    if conn.stop_with(Stop::new().abandon()).await.is_err() {
        return Ok(false);
    }
    Ok(conn.start_tls(server.layer(Trust::Everyone, None)?).await.is_ok())
}

/// The server agreed to start TLS inside TLS: whether it does.
async fn nested(server: &Server, conn: &mut Connection<Socket>) -> Result<Finding, Failure> {
    Ok(match conn.start_tls(server.layer(Trust::Everyone, None)?).await {
        Ok(_) => Finding::new(State::Nests),
        Err(error) => Finding::new(State::Agrees).detail(cause(&error)),
    })
}

/// What a server does when TLS has ended and the connection has not.
pub(super) async fn close_notify(server: &Server, words: Option<&Words>) -> Result<Finding, Failure> {
    if server.counts_connections() {
        let why = "the server counts connections that end without a log-in, and bars the address in the end";
        return Ok(Finding::new(State::DoesNotApply).detail(why));
    }
    let mut conn = server.connect_tls().await?;
    let stop = Stop::new().timeout(Some(server.timeout())).on_timeout(OnTimeout::Peel).lenient();
    let answered = match conn.stop_with(stop).await {
        Ok(stopped) => stopped.answer == PeerAnswer::CloseNotify,
        // It may hang up in the middle of whatever it was about to say.
        Err(error) => return Ok(Finding::new(State::HangsUp).detail(cause(&error))),
    };
    let in_clear = words.and_then(|words| words.in_clear.as_deref()).unwrap_or_default();
    // A server that takes us for still being inside TLS may say so in a record (RFC 8446 section 5.1).
    let speaks = |heard: &[u8]| heard.first().is_some_and(|first| !matches!(first, 20..=24)).then_some(());
    let mut heard = Vec::new();
    let finding = match server.ask(&mut conn, in_clear, &mut heard, speaks).await {
        Heard::Answer(()) => Finding::new(State::Plaintext).detail(quoted(&heard)),
        Heard::End => Finding::new(State::HangsUp),
        Heard::Silence => Finding::new(State::Silent),
    };
    server.leave(conn).await;
    Ok(if answered { finding } else { finding.and("the server sends no close_notify of its own") })
}

/// What is needed for a question about the request for TLS, or why there is no such question.
fn to_be_asked<'a>(server: &Server, words: &'a Words) -> Result<(Witness, &'a Request), Finding> {
    let peer = server.peer().expect("there are words only for those who speak a protocol");
    let request = words.request.as_ref().map_err(|reason| Finding::new(State::DoesNotApply).detail(reason))?;
    Ok((Witness::new(peer), request))
}

/// Why TLS did not start with something glued to the request for it.
fn no_handshake(error: &Error, reached: Reached) -> Finding {
    match (reached, error.tls_error()) {
        (Reached::Nothing, _) => Finding::unknown(cause(error)),
        _ if error.is_timeout() => Finding::new(State::Hangs),
        (Reached::Request, _) => Finding::new(State::Refused).detail(cause(error)),
        (Reached::GoAhead, _) if error.is_not_spoken() => Finding::new(State::AnsweredInClear).detail(cause(error)),
        (Reached::GoAhead, Some(rustls::Error::AlertReceived(alert))) => {
            Finding::new(State::FedToTls).detail(format_args!("the server sends the alert {alert:?}"))
        }
        // What was glued has broken the handshake, and not every TLS library says so.
        (Reached::GoAhead, None) => Finding::new(State::FedToTls).detail("the server hangs up behind the go-ahead"),
        (Reached::GoAhead, Some(_)) => Finding::unknown(cause(error)),
    }
}

/// What went wrong, without the layer in which it did: there is only one here that is of interest.
pub(super) fn cause(error: &Error) -> String {
    let negotiation = starttls::Error::of(error).map(ToString::to_string);
    let layer = || error.layer_error().map(ToString::to_string);
    negotiation.or_else(layer).unwrap_or_else(|| error.to_string())
}
