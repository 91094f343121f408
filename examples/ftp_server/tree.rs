//! The files, and that there is no way out of their directory.
//!
//! A path of a client is first taken for what it says, where `..` at the root is the root; then the file system resolves
//! it, symbolic links and all, and what comes out of that must still be below the root. Somebody who can change the
//! directory meanwhile could lead around that, but he could as well put in what he wants to be read.

use std::fmt::Write;
use std::fs::{self, File, Metadata};
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

pub(crate) struct Tree {
    root: PathBuf,
}

impl Tree {
    pub(crate) fn new(root: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self { root: fs::canonicalize(root)? })
    }

    /// Opens a file at this offset.
    pub(crate) fn open(&self, place: &str, path: &str, offset: u64) -> io::Result<File> {
        let mut file = File::open(self.file(place, path)?.0)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(file)
    }

    pub(crate) fn size(&self, place: &str, path: &str) -> io::Result<u64> {
        Ok(self.file(place, path)?.1.len())
    }

    /// The name of a directory, seen from the root.
    pub(crate) fn directory(&self, place: &str, path: &str) -> io::Result<String> {
        let name = absolute(place, path);
        match self.real(&name)?.1.is_dir() {
            true => Ok(name),
            false => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    /// What is in a directory, or a file alone, as lines: names, or with what `ls -l` tells.
    pub(crate) fn list(&self, place: &str, path: &str, long: bool) -> io::Result<String> {
        // Many clients believe that there is an `ls` behind LIST.
        let path = path.split(' ').find(|word| !word.starts_with('-')).unwrap_or_default();
        let (real, metadata) = self.real(&absolute(place, path))?;
        let mut entries = Vec::new();
        if metadata.is_dir() {
            for entry in fs::read_dir(&real)? {
                let Ok(name) = entry?.file_name().into_string() else { continue };
                // What a client could not get, it is not shown.
                let found = self.real(&absolute(&absolute(place, path), &name));
                let Ok((_, metadata)) = found else { continue };
                if (metadata.is_file() || metadata.is_dir()) && !name.contains(char::is_control) {
                    entries.push((name, metadata));
                }
            }
        } else if let Some(name) = path.rsplit('/').next() {
            entries.push((name.to_owned(), metadata));
        }
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(entries.iter().fold(String::new(), |mut listing, (name, metadata)| {
            let facts = if long { long_form(metadata) } else { String::new() };
            let _ = write!(listing, "{facts}{name}\r\n");
            listing
        }))
    }

    /// A regular file: no device, and no pipe that would wait for somebody at its other end.
    fn file(&self, place: &str, path: &str) -> io::Result<(PathBuf, Metadata)> {
        let found = self.real(&absolute(place, path))?;
        if !found.1.is_file() {
            return Err(io::Error::other("not a file"));
        }
        Ok(found)
    }

    fn real(&self, name: &str) -> io::Result<(PathBuf, Metadata)> {
        let real = fs::canonicalize(self.root.join(name.trim_start_matches('/')))?;
        if !real.starts_with(&self.root) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let metadata = fs::metadata(&real)?;
        Ok((real, metadata))
    }
}

/// A path from a place, as a path from the root. It begins with a slash, and has no dots.
fn absolute(place: &str, path: &str) -> String {
    let from = if path.starts_with('/') { "" } else { place };
    let mut names = Vec::new();
    for name in from.split('/').chain(path.split('/')) {
        match name {
            "" | "." => {}
            ".." => _ = names.pop(),
            _ => names.push(name),
        }
    }
    format!("/{}", names.join("/"))
}

/// As `ls -l` has it, up to the name.
fn long_form(metadata: &Metadata) -> String {
    let kind = if metadata.is_dir() { "dr-xr-xr-x" } else { "-r--r--r--" };
    let age = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    let date = rcgen::date_time_ymd(1970, 1, 1) + age; // the crate that makes our certificate has a calendar
    let month = date.month().to_string();
    format!("{kind} 1 ftp ftp {:>12} {:.3} {:2}  {} ", metadata.len(), month, date.day(), date.year())
}
