//! The steps of an endpoint, made ready as legs of a route: files are read, and sessions can be resumed.
//!
//! A new kind of step is an arm in each of the two functions below. That files can be read again while connections are opened
//! is no concern of a kind: [`Legs`] makes all of them anew and exchanges them together.

use std::sync::{Arc, Mutex, MutexGuard};

use super::clients::Place;
use super::open_error::{OpenError, OpenErrorKind};
use super::{Step, TlsStep};
use crate::route::tls::{AcceptTls, DialTls};
use crate::route::{AcceptLeg, DialLeg};
use crate::runtime::{Address, Runtime, unblock};

/// What a client does for each step, where `target` is whom the transport leads to.
pub(super) fn dial(
    steps: &[Step],
    target: Option<Address>,
    runtime: &'static dyn Runtime,
) -> Result<Arc<[Arc<dyn DialLeg>]>, OpenError> {
    let leg = |(index, step)| {
        let place = Place::new(target.as_ref(), &steps[..=index]);
        dial_leg(step, steps[index + 1..].first(), place, runtime)
    };
    let legs: Arc<[_]> = steps.iter().enumerate().map(leg).collect::<Result<_, _>>()?;
    legs.iter().try_fold(target, |target, leg| leg.leads_to(target))?;
    Ok(legs)
}

fn dial_leg(
    step: &Step,
    next: Option<&Step>,
    place: Place,
    runtime: &'static dyn Runtime,
) -> Result<Arc<dyn DialLeg>, OpenError> {
    Ok(match step {
        Step::Tls(tls) => {
            // TLS to a proxy of HTTP offers what can be spoken with that.
            let offered = match next {
                Some(Step::Connect(step)) if tls.alpn.is_empty() => step.version.alpn(),
                _ => &[],
            };
            let client = match offered {
                [] => place.client(tls)?,
                _ => {
                    let alpn = offered.iter().map(|name| (*name).to_owned()).collect();
                    place.client(&TlsStep { alpn, ..(**tls).clone() })?
                }
            };
            Arc::new(DialTls { client, name: tls.server_name.clone(), can_be_in_http1: offered.len() > 1 })
        }
        Step::StartTls(step) => Arc::new(step.dial(place)?),
        Step::ProxyHeader(step) => Arc::new(step.dial().map_err(misused)?),
        Step::Connect(step) => Arc::new(step.dial().map_err(|mistake| misused(&mistake))?),
        Step::Socks5(step) => Arc::new(step.dial(runtime).map_err(|mistake| misused(&mistake))?),
        Step::Socks4a(step) => Arc::new(step.dial().map_err(|mistake| misused(&mistake))?),
        Step::Own(step) => step.dial_leg().ok_or_else(|| misused(&format!("`{step}` is for servers")))?,
    })
}

/// What a server does for each step.
pub(super) fn accept(steps: &[Step]) -> Result<Arc<[Arc<dyn AcceptLeg>]>, OpenError> {
    steps.iter().map(accept_leg).collect()
}

fn accept_leg(step: &Step) -> Result<Arc<dyn AcceptLeg>, OpenError> {
    Ok(match step {
        Step::Tls(tls) => Arc::new(AcceptTls(tls.server()?)),
        Step::StartTls(step) => Arc::new(step.accept()?),
        Step::ProxyHeader(step) => Arc::new(step.accept().map_err(misused)?),
        Step::Connect(_) | Step::Socks5(_) | Step::Socks4a(_) => {
            return Err(misused(&format!("`{step}` is for clients: a server of tunnels is `onion proxy`")));
        }
        Step::Own(step) => step.accept_leg().ok_or_else(|| misused(&format!("`{step}` is for clients")))?,
    })
}

fn misused(mistake: &str) -> OpenError {
    OpenErrorKind::Misused(mistake.to_owned()).into()
}

/// The legs of an endpoint, which can be made anew while others go them. Clones stand for the same ones.
#[derive(Debug)]
pub(super) struct Legs<L: ?Sized> {
    current: Arc<Mutex<Current<L>>>,
}

#[derive(Debug)]
struct Current<L: ?Sized> {
    legs: Arc<[Arc<L>]>,
    /// How often others were asked for, and which time brought these.
    asked: u64,
    brought: u64,
}

impl<L: ?Sized> Legs<L> {
    pub(super) fn new(legs: Arc<[Arc<L>]>) -> Self {
        Self { current: Arc::new(Mutex::new(Current { legs, asked: 0, brought: 0 })) }
    }

    /// Those of this moment.
    pub(super) fn current(&self) -> Arc<[Arc<L>]> {
        Arc::clone(&self.lock().legs)
    }

    fn lock(&self) -> MutexGuard<'_, Current<L>> {
        self.current.lock().expect("nothing panics while it exchanges legs")
    }
}

impl<L: Send + Sync + ?Sized + 'static> Legs<L> {
    /// Takes others for whoever asks from now on, or leaves everything as it is if one of them cannot be made.
    ///
    /// Files are read on a thread where nobody is kept waiting. Who has asked last is believed, whatever comes first.
    pub(super) fn renew<M>(
        &self,
        steps: &[Step],
        make: M,
    ) -> impl Future<Output = Result<(), OpenError>> + Send + use<L, M>
    where
        M: FnOnce(&[Step]) -> Result<Arc<[Arc<L>]>, OpenError> + Send + 'static,
    {
        let steps = steps.to_vec();
        let legs = self.clone();
        let time = {
            let mut current = self.lock();
            current.asked += 1;
            current.asked
        };
        async move {
            let renewed = unblock(move || make(&steps)).await?;
            let mut current = legs.lock();
            if time > current.brought {
                current.legs = renewed;
                current.brought = time;
            }
            Ok(())
        }
    }
}

impl<L: ?Sized> Clone for Legs<L> {
    fn clone(&self) -> Self {
        Self { current: Arc::clone(&self.current) }
    }
}
