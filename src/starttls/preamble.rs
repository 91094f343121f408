//! How the files of most protocols begin, written once.

use super::{Error, Exchange, Machine, Progress};
use crate::stack::Layer;

/// A protocol whose value knows no more than one option, or none: its type, the ways to make it, and its two machines.
///
/// ```text
/// protocol! {
///     /// The documentation of the type.
///     Type "name" greets Once;
///     /// The documentation of its option.
///     option greeted;
///     client |of| ...;
///     server |of| ...;
/// }
/// ```
macro_rules! protocol {
    (
        $(#[$type_docs:meta])*
        $type:ident $name:literal greets $greets:ident;
        $($(#[$option_docs:meta])* option $option:ident;)?
        client $client:expr;
        server $server:expr;
    ) => {
        $(#[$type_docs])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct $type {
            $($option: bool,)?
        }

        impl $type {
            /// Either side, from the first word on.
            #[must_use]
            pub fn new() -> Self {
                Self::default()
            }

            $(
                $(#[$option_docs])*
                #[must_use]
                pub fn $option(mut self) -> Self {
                    self.$option = true;
                    self
                }
            )?
        }

        impl $crate::starttls::StartTls for $type {
            fn name(&self) -> &'static str {
                $name
            }

            fn greets(&self) -> $crate::starttls::Greets {
                $crate::starttls::Greets::$greets
            }

            fn client(&self) -> Box<dyn $crate::starttls::Machine> {
                let make: fn(&Self) -> _ = $client;
                Box::new(make(self))
            }

            fn server(&self) -> Box<dyn $crate::starttls::Machine> {
                let make: fn(&Self) -> _ = $server;
                Box::new(make(self))
            }
        }
    };
}

pub(super) use protocol;

/// A server that greets first, if it has not been done, and is then what it is.
#[derive(Debug)]
pub(super) struct Greeting<M> {
    words: Option<Vec<u8>>,
    server: M,
}

impl<M: Machine> Greeting<M> {
    /// Says `words`, unless the server has greeted already.
    pub(super) fn unless(greeted: bool, words: impl Into<Vec<u8>>, server: M) -> Self {
        Self { words: (!greeted).then(|| words.into()), server }
    }
}

impl<M: Machine> Machine for Greeting<M> {
    fn advance(&mut self, exchange: &mut Exchange<'_>) -> Result<Progress, Error> {
        match self.words.take() {
            Some(words) => {
                exchange.send(&words);
                Ok(Progress::Going)
            }
            None => self.server.advance(exchange),
        }
    }

    fn awaits(&self) -> &'static str {
        self.server.awaits()
    }

    fn turn_away(&mut self, exchange: &mut Exchange<'_>) {
        self.server.turn_away(exchange);
    }

    fn decline(&mut self, exchange: &mut Exchange<'_>) -> bool {
        self.server.decline(exchange)
    }

    fn direct_tls(&self) -> Option<&'static str> {
        self.server.direct_tls()
    }

    fn layer_below_tls(&mut self) -> Option<Box<dyn Layer>> {
        self.server.layer_below_tls()
    }
}
