//! Which runtime is taken where none is named.
//!
//! A feature that some crate of the program switches on must not change what another one gets. So what decides is, in this
//! order, what the program has said ([`install`]), where the call is made (inside a tokio runtime that is tokio, whatever else
//! was compiled in), and last the order async-std, smol, tokio. async-std comes first there because it is the default feature,
//! which is on unless every crate of the program has switched it off: to add `smol` or `tokio` to the others changes nothing.

use std::error::Error as StdError;
use std::fmt;
use std::sync::OnceLock;

use super::Runtime;

/// The runtime to take where none is named; `None` if the crate was built without any of them.
///
/// 1. The one that the program has [`install`]ed.
/// 2. tokio, if this is called inside a tokio runtime and the feature `tokio` is there.
/// 3. async-std, else smol, else tokio: the first that was compiled in.
///
/// A library that must have a certain one names it instead of asking here: `&Tokio`.
pub fn preferred() -> Option<&'static dyn Runtime> {
    INSTALLED.get().copied().or_else(around_the_call).or_else(|| all().first().copied())
}

/// Has [`preferred`] give this runtime from now on, in the whole process: for the program itself to say, at its start, and not
/// for a library.
///
/// ```no_run
/// # #[cfg(feature = "smol")] {
/// use onionskin::runtime::{self, Runtime, Smol};
///
/// runtime::install(&Smol)?;
/// assert_eq!(runtime::preferred().map(Runtime::name), Some("smol"));
/// # }
/// # Ok::<(), onionskin::runtime::AlreadyInstalled>(())
/// ```
///
/// # Errors
///
/// When one was installed before, which stays.
pub fn install(runtime: &'static dyn Runtime) -> Result<(), AlreadyInstalled> {
    INSTALLED.set(runtime).map_err(|_| {
        let name = INSTALLED.get().map_or("", |installed| installed.name());
        AlreadyInstalled { name }
    })
}

/// The runtimes that were compiled in: async-std, smol, tokio, in this order.
pub fn all() -> &'static [&'static dyn Runtime] {
    &[
        #[cfg(feature = "async-std")]
        &super::AsyncStd,
        #[cfg(feature = "smol")]
        &super::Smol,
        #[cfg(feature = "tokio")]
        &super::Tokio,
    ]
}

/// A runtime was [`install`]ed before, and stays.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AlreadyInstalled {
    name: &'static str,
}

impl AlreadyInstalled {
    /// The [`name`](Runtime::name) of the one that stays.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }
}

impl fmt::Display for AlreadyInstalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the runtime {} was installed before: install one, at the start of the program", self.name)
    }
}

impl fmt::Debug for AlreadyInstalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for AlreadyInstalled {}

/// The one whose runtime this call is made in. Only tokio tells.
fn around_the_call() -> Option<&'static dyn Runtime> {
    #[cfg(feature = "tokio")]
    if super::tokio::is_around() {
        return Some(&super::Tokio);
    }
    None
}

static INSTALLED: OnceLock<&'static dyn Runtime> = OnceLock::new();
