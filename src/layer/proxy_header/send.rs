//! The side that opened the connection.

use super::ProxyHeader;
use crate::stack::{Ends, Failure, Layer, Opens, PeerAnswer, Report};

/// Sends a header, and is gone from the list when [`splice`](crate::stack::Stack::splice) returns.
///
/// The header stands behind what was written before, so it comes first if nothing was.
#[derive(Debug)]
pub struct SendProxyHeader {
    header: Vec<u8>,
}

impl SendProxyHeader {
    /// To send this header.
    #[must_use]
    pub fn new(header: &ProxyHeader) -> Self {
        Self { header: header.encode() }
    }
}

impl Opens for SendProxyHeader {
    type Facts = ();
}

impl Layer for SendProxyHeader {
    fn name(&self) -> &'static str {
        "proxy-header"
    }

    fn attach(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        ends.outbound_below().push(&self.header);
        ends.report(Report::Ready);
        ends.report(Report::Stopped(PeerAnswer::NotNeeded));
        Ok(())
    }
}
