//! What signals ask for: SIGINT and SIGTERM the end, SIGHUP a fresh look at the files, SIGUSR1 a look at what there is.

use futures::future::{BoxFuture, FutureExt, Shared, pending};
use futures::stream::{BoxStream, StreamExt};

/// Is done when the process has been asked to end. Cheap to clone.
pub(crate) type Stopping = Shared<BoxFuture<'static, ()>>;

/// Has an item when files are to be read again.
pub(crate) type Hangups = BoxStream<'static, ()>;

/// Has an item when what there is is to be shown.
pub(crate) type Questions = BoxStream<'static, ()>;

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

/// One item for each SIGHUP, or for several that came while nobody looked.
#[cfg(unix)]
pub(crate) fn hangups() -> std::io::Result<Hangups> {
    each(signal_hook::consts::SIGHUP, "hangups")
}

/// One item for each SIGUSR1, or for several that came while nobody looked.
#[cfg(unix)]
pub(crate) fn questions() -> std::io::Result<Questions> {
    each(signal_hook::consts::SIGUSR1, "questions")
}

#[cfg(unix)]
fn each(signal: i32, thread: &str) -> std::io::Result<BoxStream<'static, ()>> {
    let mut signals = signal_hook::iterator::Signals::new([signal])?;
    let (mut tell, told) = futures::channel::mpsc::channel(0);
    std::thread::Builder::new().name(thread.to_owned()).spawn(move || {
        for _ in signals.forever() {
            // One that is still to be looked at stands for this one too.
            if tell.try_send(()).is_err_and(|error| error.is_disconnected()) {
                break;
            }
        }
    })?;
    Ok(told.boxed())
}

/// There is no such signal.
#[cfg(not(unix))]
pub(crate) fn hangups() -> std::io::Result<Hangups> {
    Ok(futures::stream::pending().boxed())
}

/// There is no such signal.
#[cfg(not(unix))]
pub(crate) fn questions() -> std::io::Result<Questions> {
    Ok(futures::stream::pending().boxed())
}
