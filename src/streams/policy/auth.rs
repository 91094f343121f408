//! Who asks: what becomes the field `authorization` of a request.

use super::Template;

/// A way to say who asks, by the name that `use_auth` gives.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Auth {
    /// `basic`: a name and a password (RFC 7617).
    Basic {
        /// `user`
        user: Template,
        /// `password`
        password: Template,
    },
    /// `bearer`: a token that the program sets as a named value, or hands out when it is asked (RFC 6750).
    Bearer {
        /// `token`: usually `${name}`, so that it does not stand in the policy.
        token: Template,
    },
    /// `oauth2`: a token that another stream fetches with the credentials of this client, and fetches anew before it runs out
    /// (RFC 6749, section 4.4).
    ClientCredentials {
        /// `streamtype`: the stream that asks for the token, with `POST` and a form.
        stream: String,
        /// `client_id`
        client_id: Template,
        /// `client_secret`
        client_secret: Template,
        /// `scope`
        scope: Option<Template>,
    },
    /// `sigv4`: the signature of AWS, which this version reads and does not make.
    SigV4,
}
