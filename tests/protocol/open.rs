//! The verb in callbacks: every kind of layer is opened, also one of a stranger, and the event has what it says.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join;
use onionskin::Connection;
use onionskin::layer::proxy_header::{AcceptProxyHeader, HeaderAddresses, ProxyHeader, SendProxyHeader};
use onionskin::layer::{Counter, Deflate, IdleTimeout, Throttle, TrafficLog};
use onionskin::protocol::{LayerId, LayerView, PeerAnswer, Protocol, Result, Transport, run};
use onionskin::runtime::{self, block_on};
use onionskin::starttls::{Negotiate, Smtp};
use onionskin::testing::{Cut, Dialogue, Fault, StringTransport};
use onionskin::tls::{TlsClient, TlsLayer, TlsServer};

use crate::common::layers::{Banner, Names, PassThrough};
use crate::common::link::NAME;
use crate::common::{Authority, BOTH};

type Open = Box<dyn FnOnce(&mut Transport<'_>) -> Result<LayerId> + Send>;

/// Opens one layer after the other, each when the one before is ready, and writes down what each says. Then it sends a line,
/// stops all that can be stopped, and closes.
struct Opener {
    layers: VecDeque<Open>,
    opened: Option<LayerId>,
    /// Whether it stops layers, or is the one who answers.
    stops: bool,
    log: Log,
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn add(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

macro_rules! open {
    ($layer:expr) => {
        Box::new(move |transport: &mut Transport<'_>| Ok(transport.open($layer)?)) as Open
    };
}

impl Opener {
    fn new(layers: Vec<Open>, stops: bool) -> (Self, Log) {
        let log = Log::default();
        (Self { layers: layers.into(), opened: None, stops, log: log.clone() }, log)
    }

    fn client(tls: &TlsClient) -> (Self, Log) {
        let [outer, inner] = [(); 2].map(|()| tls.to(NAME).unwrap());
        let layers = vec![
            open!(SendProxyHeader::new(&header())),
            open!(Names::new("left")),
            open!(Banner::default()),
            open!(Counter::new()),
            open!(Throttle::new()),
            open!(IdleTimeout::new(Duration::MAX)),
            open!(TrafficLog::to(|_| ())),
            open!(Fault::cut(Cut::Whole)),
            open!(PassThrough),
            open!(Negotiate::new(Smtp::new(), outer)),
            open!(Deflate::new()),
            open!(inner),
        ];
        Self::new(layers, true)
    }

    fn server(tls: &TlsServer) -> (Self, Log) {
        let [outer, inner] = [(); 2].map(|()| tls.accept().unwrap());
        let layers = vec![
            open!(AcceptProxyHeader::new()),
            open!(Names::new("right")),
            Box::new(|transport: &mut Transport<'_>| {
                transport.write(b"welcome\n")?;
                Ok(transport.open(Counter::new())?)
            }),
            open!(Negotiate::new(Smtp::new(), outer)),
            open!(Deflate::new()),
            open!(inner),
        ];
        Self::new(layers, false)
    }

    fn go_on(&mut self, transport: &mut Transport<'_>) -> Result {
        match self.layers.pop_front() {
            Some(open) => self.opened = Some(open(transport)?),
            None if self.stops && transport.stop().is_ok() => {}
            None if self.stops => {
                transport.write(b"!")?;
                transport.close();
            }
            None => {}
        }
        Ok(())
    }
}

impl Protocol for Opener {
    fn connection_made(&mut self, transport: &mut Transport<'_>) -> Result {
        self.go_on(transport)
    }

    fn data_received(&mut self, transport: &mut Transport<'_>) -> Result {
        self.log.add(format!("data {}", transport.take_all().escape_ascii()));
        Ok(())
    }

    fn layer_ready(&mut self, transport: &mut Transport<'_>, layer: &LayerView) -> Result {
        assert_eq!(self.opened, Some(layer.id), "one at a time, and each once: {layer:?}");
        assert!(layer.is_ready());
        self.log.add(format!("{} says {}", layer.name, said(layer)));
        self.go_on(transport)
    }

    fn layer_ended(&mut self, transport: &mut Transport<'_>, _: LayerId) -> Result {
        transport.stop()?;
        Ok(())
    }

    fn layer_stopped(&mut self, transport: &mut Transport<'_>, _: LayerId, answer: PeerAnswer) -> Result {
        match answer {
            // One that has left: what it said is known.
            PeerAnswer::NotNeeded => Ok(()),
            answer => {
                self.log.add(format!("stopped {answer:?}"));
                self.go_on(transport)
            }
        }
    }
}

fn said(layer: &LayerView) -> String {
    if let Some(header) = layer.facts::<AcceptProxyHeader>() {
        return if header.as_ref() == Some(&self::header()) { "the header" } else { "another header" }.to_owned();
    }
    if let Some(name) = layer.facts::<Names>() {
        return name.clone();
    }
    if let Some(counts) = layer.facts::<Counter>() {
        return format!("{} sent", counts.outbound());
    }
    if let Some(facts) = layer.facts::<TlsLayer>() {
        assert_eq!((facts.layer, facts.server_name.as_deref()), (layer.id, Some(NAME)));
        assert!(layer.facts::<Negotiate>().is_some(), "they are of one type");
        return facts.version_name().to_owned();
    }
    layer.facts::<PassThrough>().map_or("something else".to_owned(), |()| "nothing".to_owned())
}

fn header() -> ProxyHeader {
    ProxyHeader::v2(HeaderAddresses::tcp("192.0.2.7:40000".parse().unwrap(), "192.0.2.1:443".parse().unwrap()))
}

const LEFT: [&str; 15] = [
    "proxy-header says nothing",
    "names says right",
    "banner says welcome",
    "counter says 0 sent",
    "throttle says nothing",
    "idle says nothing",
    "traffic log says nothing",
    "cut says nothing",
    "layer says nothing",
    "tls says TLSv1.3",
    "deflate says nothing",
    "tls says TLSv1.3",
    "stopped CloseNotify",
    "stopped CloseNotify",
    "stopped CloseNotify",
];

const RIGHT: [&str; 10] = [
    "proxy-header says the header",
    "names says left",
    "counter says 0 sent",
    "tls says TLSv1.3",
    "deflate says nothing",
    "tls says TLSv1.3",
    "stopped CloseNotify",
    "stopped CloseNotify",
    "stopped CloseNotify",
    "data !",
];

fn peers() -> ((Opener, Log), (Opener, Log)) {
    let authority = Authority::new();
    (Opener::client(&authority.client(BOTH)), Opener::server(&authority.server(NAME, BOTH)))
}

#[test]
fn every_layer_is_opened_in_memory() {
    for cut in [Cut::Whole, Cut::Bytes, Cut::Coalesced, Cut::Random(71), Cut::Random(72)] {
        let ((left, left_log), (right, right_log)) = peers();
        Dialogue::new(cut, left, right).run();
        assert_eq!(left_log.all(), LEFT, "{cut:?}");
        assert_eq!(right_log.all(), RIGHT, "{cut:?}");
    }
}

#[test]
fn every_layer_is_opened_over_tcp() {
    for &runtime in runtime::all() {
        let ((left, left_log), (right, right_log)) = peers();
        block_on(runtime, async {
            let listener = runtime.listen_tcp((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
            let address = listener.local_address().as_tcp().unwrap();
            let (near, far) = join(runtime.connect_tcp(address), listener.accept()).await;
            let connect = |socket| Connection::with_timer(socket, Arc::new(runtime));
            join(run(connect(near.unwrap()), left), run(connect(far.unwrap()), right)).await;
        });
        assert_eq!(left_log.all(), LEFT);
        assert_eq!(right_log.all(), RIGHT);
    }
}

#[test]
fn what_is_spliced_tells_only_what_it_reports() {
    let (opener, log) = Opener::new(Vec::new(), false);
    let mut transport = StringTransport::new(opener);
    transport.act(|_, transport| transport.splice(Counter::new())).unwrap();
    assert!(log.all().is_empty(), "a counter reports nothing");
    transport.act(|opener, transport| opener.opened = Some(transport.open(Counter::new()).unwrap()));
    assert_eq!(log.all(), ["counter says 0 sent"]);
}
