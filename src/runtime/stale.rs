//! The file of a Unix socket whose process is gone.
//!
//! A process that is killed, or loses its power, leaves the file of its socket behind, and nobody can bind there until it is
//! gone. Whether somebody listens is for the system to say: it refuses a connection to a socket that nobody has. But
//! between the answer and the removal another process may have taken the place, so the file is not removed where it stands:
//!
//! 1. All who bind in a directory by this library take turns, by a lock on the directory. So none of them is ever seen
//!    between its bind and its listen, when the system refuses connections to it too.
//! 2. The file is moved aside. If what was moved is another file than the one that was asked, or somebody listens there
//!    after all, it is moved back.
//! 3. Then the place is bound, which fails if somebody else was faster.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, connect, socket};

use super::listen::Identity;

/// The turn to bind in a directory; over when it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    _lock: File,
}

impl Turn {
    /// Waits for it, for a moment: whoever binds does so at once. `None` if the directory cannot be locked.
    pub(super) fn take(at: &Path) -> Option<Self> {
        let directory = at.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let directory = File::open(directory).ok()?;
        for _ in 0..ATTEMPTS {
            match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Some(Self { _lock: directory }),
                Err(Errno::WOULDBLOCK | Errno::INTR) => std::thread::sleep(PAUSE),
                Err(_) => return None,
            }
        }
        None
    }

    /// Clears the place if it holds a socket that nobody listens on; whether it did.
    ///
    /// A file of another kind is never touched, nor a socket of which that cannot be said for certain.
    pub(super) fn clear(&self, at: &Path) -> io::Result<bool> {
        let Some(found) = dead(at)? else { return Ok(false) };
        let aside = aside(at);
        fs::rename(at, &aside)?;
        if dead(&aside).is_ok_and(|moved| moved.as_ref() == Some(&found)) {
            fs::remove_file(&aside)?;
            log::info!("took the place of the socket {}, on which nobody listened any more", at.display());
            return Ok(true);
        }
        // A link takes no place that somebody has, as a move would.
        fs::hard_link(&aside, at).and_then(|()| fs::remove_file(&aside))?;
        Ok(false)
    }
}

/// Which file it is, if it is a socket that nobody has.
fn dead(at: &Path) -> io::Result<Option<Identity>> {
    let found = fs::symlink_metadata(at)?;
    let identity = Identity::of(&found);
    Ok((found.file_type().is_socket() && is_refused(at)?).then_some(identity))
}

/// Whether the system says that nobody listens there. It does not wait for a listener whose queue is full.
fn is_refused(at: &Path) -> io::Result<bool> {
    let address = SocketAddrUnix::new(at)?;
    let attempt = socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    ioctl_fionbio(&attempt, true)?;
    Ok(connect(&attempt, &address) == Err(Errno::CONNREFUSED))
}

/// A name beside it that nobody has: a move takes the place of what is there.
fn aside(at: &Path) -> PathBuf {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    loop {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let aside = at.with_file_name(format!(".{:x}-{count:x}", std::process::id()));
        // Another process may have had our number before, and in a container nearly all have the same.
        if fs::symlink_metadata(&aside).is_err() {
            return aside;
        }
    }
}

/// How often, and how long in between, the turn is asked for: a tenth of a second in all.
const ATTEMPTS: usize = 20;

const PAUSE: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

    use super::*;
    use crate::runtime::listen::bind_unix;

    /// A directory of one test; removed when dropped. Its path is short enough for a socket.
    struct Directory(PathBuf);

    impl Directory {
        fn new() -> Self {
            let path = std::env::temp_dir().join(aside(Path::new("x")).with_extension("stale"));
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn place(&self) -> PathBuf {
            self.0.join("s")
        }

        /// As a killed process leaves it.
        fn with_stale_socket() -> Self {
            let directory = Self::new();
            drop(UnixListener::bind(directory.place()).unwrap());
            directory
        }

        fn files(&self) -> usize {
            fs::read_dir(&self.0).unwrap().count()
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_place_of_a_socket_that_nobody_has_is_taken() {
        let directory = Directory::with_stale_socket();
        let place = directory.place();
        assert!(UnixListener::bind(&place).is_err(), "control: the system does not give the place away");
        let (listener, file) = bind_unix(&place).unwrap();
        listener.set_nonblocking(false).unwrap();
        let client = UnixStream::connect(&place).unwrap();
        listener.accept().unwrap();
        drop(client);
        assert_eq!(directory.files(), 1, "nothing is left beside it");
        drop(file);
        assert_eq!(directory.files(), 0);
    }

    #[test]
    fn who_listens_keeps_the_place_also_with_a_full_queue() {
        let directory = Directory::new();
        let place = directory.place();
        let listener = UnixListener::bind(&place).unwrap();
        let mut waiting = Vec::new();
        loop {
            let address = SocketAddrUnix::new(&place).unwrap();
            let client = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
            ioctl_fionbio(&client, true).unwrap();
            match connect(&client, &address) {
                Ok(()) => waiting.push(client),
                Err(_) => break,
            }
            let error = bind_unix(&place).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "{error}");
            if waiting.len() > 10_000 {
                break;
            }
        }
        assert_eq!(bind_unix(&place).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        listener.accept().unwrap();
        assert_eq!(directory.files(), 1);
    }

    #[test]
    fn what_is_no_dead_socket_is_never_touched() {
        let directory = Directory::new();
        let place = directory.place();
        let refused = |what: &str| {
            let error = bind_unix(&place).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "{what}: {error}");
            assert_eq!(directory.files(), 1, "{what}");
        };
        fs::write(&place, "precious").unwrap();
        refused("a file");
        assert_eq!(fs::read(&place).unwrap(), b"precious");
        fs::remove_file(&place).unwrap();

        fs::create_dir(&place).unwrap();
        refused("a directory");
        fs::remove_dir(&place).unwrap();

        std::os::unix::fs::symlink("nowhere", &place).unwrap();
        refused("a link to nothing");
        fs::remove_file(&place).unwrap();

        let _datagrams = UnixDatagram::bind(&place).unwrap();
        refused("a live socket of another type");
    }

    #[test]
    fn what_has_the_name_beside_it_stays() {
        let directory = Directory::with_stale_socket();
        let next = aside(&directory.place());
        let next = next.file_name().and_then(|name| name.to_str()).unwrap();
        let (process, count) = next.split_once('-').unwrap();
        let count = usize::from_str_radix(count, 16).unwrap();
        let others: Vec<_> =
            (count..count + 1000).map(|count| directory.0.join(format!("{process}-{count:x}"))).collect();
        others.iter().for_each(|other| fs::write(other, "precious").unwrap());
        let _bound = bind_unix(&directory.place()).unwrap();
        assert!(others.iter().all(|other| fs::read(other).is_ok_and(|text| text == b"precious")));
        assert_eq!(directory.files(), others.len() + 1);
    }

    #[test]
    fn a_link_to_a_dead_socket_is_no_dead_socket() {
        let directory = Directory::with_stale_socket();
        let link = directory.0.join("link");
        std::os::unix::fs::symlink(directory.place(), &link).unwrap();
        assert_eq!(bind_unix(&link).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert_eq!(directory.files(), 2);
    }

    #[test]
    fn of_many_that_come_at_once_one_gets_the_place() {
        for _ in 0..20 {
            let directory = Directory::with_stale_socket();
            let place = directory.place();
            let start = std::sync::Barrier::new(8);
            let bound: Vec<_> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..8)
                    .map(|_| {
                        scope.spawn(|| {
                            start.wait();
                            bind_unix(&place)
                        })
                    })
                    .collect();
                threads.into_iter().filter_map(|thread| thread.join().unwrap().ok()).collect()
            });
            assert_eq!(bound.len(), 1);
            UnixStream::connect(&place).unwrap();
            assert_eq!(directory.files(), 1);
        }
    }

    #[test]
    fn one_who_takes_the_place_in_between_gets_it_back() {
        let directory = Directory::with_stale_socket();
        let place = directory.place();
        let turn = Turn::take(&place).unwrap();
        let found = dead(&place).unwrap();
        assert!(found.is_some());
        fs::remove_file(&place).unwrap();
        let _other = UnixListener::bind(&place).unwrap();
        assert!(!turn.clear(&place).unwrap());
        UnixStream::connect(&place).unwrap();
        assert_eq!(directory.files(), 1);
    }
}
