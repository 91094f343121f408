//! The end that SIGINT and SIGTERM ask for.

use futures::future::{BoxFuture, FutureExt, Shared, pending};

/// Is done when the process has been asked to end. Cheap to clone.
pub(crate) type Stopping = Shared<BoxFuture<'static, ()>>;

/// Never asks to end.
pub(crate) fn never() -> Stopping {
    pending().boxed().shared()
}

/// Listens for SIGINT and SIGTERM. The first asks to end; a second ends the process at once, with the status that
/// shells give to the signal.
#[cfg(unix)]
pub(crate) fn stopping() -> std::io::Result<Stopping> {
    use signal_hook::consts::{SIGINT, SIGTERM};

    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
    let (ask, asked) = futures::channel::oneshot::channel();
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let mut received = signals.forever();
        if received.next().is_some() && ask.send(()).is_ok() {
            log::info!("asked to end");
        }
        if let Some(signal) = received.next() {
            std::process::exit(128 + signal);
        }
    })?;
    Ok(async { asked.await.unwrap_or(()) }.boxed().shared())
}

/// Leaves the signals as they are: the system ends the process.
#[cfg(not(unix))]
pub(crate) fn stopping() -> std::io::Result<Stopping> {
    Ok(never())
}
