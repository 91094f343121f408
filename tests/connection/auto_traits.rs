//! What may be sent to another thread, and shared with one.

use std::fmt::Debug;

use onionskin::connection::{Error, LayerView, Layers, Parts, Stopped};
use onionskin::endpoint::{Connector, Incoming};
use onionskin::layer::{Counter, Deflate, IdleTimeout, Throttle, TrafficLog};
use onionskin::protocol::{Addresses, Handle, LimitConnections, Lines, Strings};
use onionskin::runtime::{self, ListeningSocket, Runtime, Socket};
use onionskin::stack::{Ends, Event, Layer, Queue, Reason, Report, Stack};
use onionskin::starttls::{Machine, Negotiate, StartTls};
use onionskin::testing::{Clock, Fault, Pair, WireEnd};
use onionskin::tls::{TlsClient, TlsFacts, TlsLayer, TlsServer};
use onionskin::{Connection, endpoint, protocol, route, starttls, tls};

use crate::peers::{Conn, pair, server};

fn is_shared<T: Send + Sync + ?Sized>() {}

/// A compiler that accepts this has checked it.
#[test]
fn public_types_are_send_and_sync() {
    is_shared::<Connection<Socket>>();
    is_shared::<Conn>();
    is_shared::<Parts<Socket>>();
    is_shared::<(Layers, LayerView, Stopped, Error)>();
    is_shared::<(Socket, ListeningSocket, runtime::Address, dyn Runtime)>();
    is_shared::<(Stack, Event, Reason, Report, Ends<'_>, Queue<onionskin::stack::End>)>();
    is_shared::<dyn Layer>();
    is_shared::<(Counter, Deflate, IdleTimeout, Throttle, TrafficLog, TlsLayer, Negotiate, Fault)>();
    is_shared::<(TlsClient, TlsServer, TlsFacts, tls::Roots, tls::Identity, tls::ConfigError)>();
    is_shared::<dyn StartTls>();
    is_shared::<dyn Machine>();
    is_shared::<(starttls::Error, starttls::KnownProtocol)>();
    is_shared::<(Connector, endpoint::Listener, Incoming, endpoint::OpenError, endpoint::Endpoint)>();
    is_shared::<(route::Route, route::RouteError, route::Arrival, endpoint::OwnStep)>();
    is_shared::<dyn route::DialLeg>();
    is_shared::<dyn route::AcceptLeg>();
    is_shared::<(endpoint::Server, endpoint::ServerStopped, endpoint::Task<Quiet>)>();
    is_shared::<(Handle, Addresses, Lines, Strings, protocol::Error, protocol::EndReason)>();
    is_shared::<LimitConnections<fn(&Addresses) -> Quiet>>();
    is_shared::<(WireEnd, Clock, Pair)>();
}

struct Quiet;

impl protocol::Protocol for Quiet {}

/// A task of its own that holds a reference, and futures of methods that take one.
#[test]
fn a_task_may_hold_a_reference_to_a_connection() {
    fn task<T: Send>(future: impl Future<Output = T> + Send) -> impl Future<Output = T> + Send {
        future
    }
    async fn look(conn: &(impl Debug + Sync)) -> String {
        std::future::ready(()).await;
        format!("{conn:?}")
    }
    let (mut left, right, _clock) = pair(onionskin::testing::Cut::Whole, 1000);
    left.splice(server()).unwrap();
    left.splice(TrafficLog::to({
        let not_shared = std::cell::Cell::new(0);
        move |_| not_shared.set(1)
    }))
    .unwrap();
    let looked = crate::executor::alone(task(async {
        let both = [&left, &right];
        look(&both).await
    }));
    assert!(looked.contains("tls") && looked.contains("traffic"), "{looked}");
    std::thread::scope(|scope| {
        let depth = scope.spawn(|| left.depth());
        assert_eq!(depth.join().unwrap(), 2);
    });
}
