//! What one attempt goes by.

use std::pin::pin;
use std::sync::Arc;

use futures::future::{Either, select};

use super::super::mailbox::Values;
use super::super::policy::{Destination, DestinationError, Destinations, StreamPolicy, Template};
use super::super::shared::Shared;
use super::super::{Error, ErrorKind};
use super::{Ending, Port, Wish};
use crate::connection::Connection;
use crate::runtime::Socket;

/// One attempt to speak: over which way, with which values. What the policy says now holds for all of it.
pub(in crate::streams) struct Attempt {
    pub(in crate::streams) name: Arc<str>,
    pub(in crate::streams) destinations: Arc<Destinations>,
    pub(in crate::streams) values: Arc<Values>,
    pub(in crate::streams) shared: Arc<Shared>,
}

impl Attempt {
    /// What the policy says of the stream.
    pub(in crate::streams) fn policy(&self) -> Result<&StreamPolicy, Error> {
        let stream = self.destinations.policy().streams.get(&*self.name);
        stream.ok_or_else(|| DestinationError::unknown(&self.name).into())
    }

    /// Where it leads to.
    pub(in crate::streams) fn destination(&self) -> Result<Destination, Error> {
        Ok(self.destinations.client(&self.name, |name| self.value(name))?)
    }

    /// A connection to there, all its layers done; or how the attempt ends without one, which it also does when closing is asked for.
    pub(in crate::streams) async fn open(&self, port: &Port) -> Result<Connection<Socket>, Ending> {
        self.open_to(&self.destination()?, port).await
    }

    /// The same to this destination.
    pub(in crate::streams) async fn open_to(
        &self,
        destination: &Destination,
        port: &Port,
    ) -> Result<Connection<Socket>, Ending> {
        let connector = destination.connector(self.shared.runtime)?;
        until_close(port, async { Ok(connector.connect().await?) }).await
    }

    /// The value of this name, if it is set.
    pub(in crate::streams) fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// A template of this key, filled with the values.
    pub(in crate::streams) fn fill(&self, key: &str, template: &Template) -> Result<String, Error> {
        self.fill_with(&self.values, key, template)
    }

    /// The same with the values that were set when a message was sent.
    pub(in crate::streams) fn fill_with(
        &self,
        values: &Values,
        key: &str,
        template: &Template,
    ) -> Result<String, Error> {
        let filled = template.fill(|name| values.get(name).map(String::as_str));
        filled.map_err(|error| ErrorKind::Policy(DestinationError::of_key(&self.name, key, error.to_string())).into())
    }
}

/// Does what takes its time, unless closing is asked for meanwhile.
pub(in crate::streams) async fn until_close<T>(
    port: &Port,
    work: impl Future<Output = Result<T, Ending>>,
) -> Result<T, Ending> {
    let closing = async { while !matches!(port.wish(false).await, Wish::Close) {} };
    match select(pin!(work), pin!(closing)).await {
        Either::Left((outcome, _)) => outcome,
        Either::Right(_) => Err(Ending::Done),
    }
}
