//! What a proxy has said when it opened a tunnel.

use crate::runtime::Address;

/// What a proxy has said when it opened a tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// An answer of HTTP, with a status from 200 to 299.
    #[non_exhaustive]
    Http {
        /// The status.
        status: u16,
        /// The fields, in the order in which they came, their names in lower case. `content-length` and `transfer-encoding`
        /// mean nothing here (RFC 9110, section 9.3.6); they are listed as they came.
        fields: Vec<(String, Vec<u8>)>,
        /// The statuses of the answers before it, from 100 to 199.
        informational: Vec<u16>,
    },
    /// A reply of SOCKS.
    #[non_exhaustive]
    Socks {
        /// The end of the proxy's connection to the target, as the proxy says it: many say zeros, and some a name. `None` if
        /// what they say is no address.
        bound: Option<Address>,
    },
}

impl Answer {
    /// The first field of this name, which is in lower case.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        match self {
            Self::Http { fields, .. } => {
                fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_slice())
            }
            Self::Socks { .. } => None,
        }
    }

    /// The address that the proxy has its connection to the target from, if it says so.
    #[must_use]
    pub fn bound(&self) -> Option<&Address> {
        match self {
            Self::Http { .. } => None,
            Self::Socks { bound } => bound.as_ref(),
        }
    }
}
