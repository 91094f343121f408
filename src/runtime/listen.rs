//! Listening, as far as it is the same for every runtime.
//!
//! To bind never waits, so the standard library does it and the runtime adopts the result. A Unix
//! socket leaves a file behind, which [`SocketFile`] removes; what becomes of one that nobody could remove says `stale.rs`.

use std::io;
use std::net::{SocketAddr, TcpListener};
#[cfg(unix)]
use std::{
    fs::{self, Metadata},
    os::unix::fs::{FileTypeExt, MetadataExt},
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
};

#[cfg(unix)]
use super::stale::Turn;
use super::{TcpOptions, tcp_open};

/// Listens at `at`, in non-blocking mode.
pub(super) fn bind_tcp(at: SocketAddr, options: &TcpOptions) -> io::Result<TcpListener> {
    tcp_open::listen(at, options).map_err(|error| explain(&error, &format!("tcp {at}")))
}

/// Listens at `at`, in non-blocking mode, also in the place of a socket that nobody listens on any more. The file lives as
/// long as the second value.
#[cfg(unix)]
pub(super) fn bind_unix(at: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let turn = Turn::take(at);
    let bound = match (UnixListener::bind(at), &turn) {
        (Err(error), Some(turn)) if error.kind() == io::ErrorKind::AddrInUse && turn.clear(at).unwrap_or(false) => {
            UnixListener::bind(at)
        }
        (bound, _) => bound,
    };
    let listener = bound.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => path_in_use(at),
        _ => explain(&error, &format!("unix {}", at.display())),
    })?;
    let file = SocketFile::at(at)?;
    listener.set_nonblocking(true)?;
    Ok((listener, file))
}

/// The file of a listening Unix socket: removed on drop if it still is the same file.
#[cfg(unix)]
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: Identity,
}

#[cfg(unix)]
impl SocketFile {
    fn at(path: &Path) -> io::Result<Self> {
        // The working directory may be another one when the listener is dropped.
        let path = std::path::absolute(path)?;
        let identity = Identity::of(&fs::symlink_metadata(&path)?);
        Ok(Self { path, identity })
    }

    fn is_still_ours(&self) -> bool {
        fs::symlink_metadata(&self.path)
            .is_ok_and(|found| found.file_type().is_socket() && Identity::of(&found) == self.identity)
    }
}

#[cfg(unix)]
impl Drop for SocketFile {
    fn drop(&mut self) {
        if !self.is_still_ours() {
            return;
        }
        if let Err(error) = fs::remove_file(&self.path) {
            log::warn!("cannot remove the socket {}: {error}", self.path.display());
        }
    }
}

/// What tells a file from another that was later created at the same path.
///
/// The inode number alone does not: file systems give a freed one to the next file. The time of the
/// last change stays as it is while a socket is in use, also through `chmod`.
#[cfg(unix)]
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    modified: (i64, i64),
}

#[cfg(unix)]
impl Identity {
    pub(super) fn of(file: &Metadata) -> Self {
        Self { device: file.dev(), inode: file.ino(), modified: (file.mtime(), file.mtime_nsec()) }
    }
}

#[cfg(unix)]
fn path_in_use(at: &Path) -> io::Error {
    let advice = match fs::symlink_metadata(at) {
        Ok(found) if !found.file_type().is_socket() => "it is not a socket: choose another path",
        _ => "stop the server that listens there, or choose another path",
    };
    let message = format!("unix {} is in use: {advice}", at.display());
    io::Error::new(io::ErrorKind::AddrInUse, message)
}

/// Names the address: whoever asked for a name does not know it.
fn explain(error: &io::Error, address: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{address}: {error}"))
}
