//! `onion cert`: an authority, and a certificate that it has issued.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use onionskin::printable::Printable;
use onionskin::rustls::pki_types::ServerName;

use crate::authority::{Authority, Readers, cannot_write, write_new};
use crate::failure::Failure;

/// Make an authority, and a certificate for a server or a client
///
/// Writes into DIR: ca.pem, the authority, which clients trust; ca-key.pem, its key, which issues more, with other tools; cert.pem
/// and key.pem, for the server. Only the owner can read the keys. Nothing is overwritten.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Options {
    /// Where to write the files; made if it is not there
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Whom the certificate stands for, DNS names (also *.NAME) and IP addresses
    #[arg(value_name = "NAME", default_values = ["localhost", "127.0.0.1", "::1"])]
    names: Vec<String>,
    /// For how many days the certificate is valid. The authority is for ten years, or longer if this is
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let names: Vec<&str> = options.names.iter().map(String::as_str).collect();
    names.iter().try_for_each(|name| check(name))?;
    let directory = &options.directory;
    let files = FILES.map(|file| directory.join(file));
    if let Some(taken) = files.iter().find(|file| file.symlink_metadata().is_ok()) {
        let taken = taken.display();
        return Err(Failure::new(format_args!("{taken} is there already: remove it, or name another directory")));
    }
    let authority = Authority::named("onion authority", Some(options.days.max(TEN_YEARS)))?;
    let issued = authority.issue(&names, Some(options.days))?;
    fs::create_dir_all(directory).map_err(|error| cannot_write(directory, &error))?;
    let texts = [
        (authority.certificate(), Readers::Everyone),
        (authority.key().to_owned(), Readers::Owner),
        (issued.certificate, Readers::Everyone),
        (issued.key, Readers::Owner),
    ];
    for (at, (file, (text, readers))) in files.iter().zip(&texts).enumerate() {
        if let Err(failure) = write_new(file, text, *readers) {
            // Half of them would be in the way of the next attempt.
            files[..at].iter().for_each(|written| drop(fs::remove_file(written)));
            return Err(failure);
        }
    }
    let [ca, _, cert, key] = files.map(|file| file.display().to_string());
    let name = names[0].strip_prefix("*.").map_or_else(|| names[0].to_owned(), |rest| format!("any.{rest}"));
    let mut output = io::stdout().lock();
    writeln!(output, "onion serve tcp:127.0.0.1:4433 --cert {cert} --key {key}")
        .and_then(|()| writeln!(output, "onion connect tcp:127.0.0.1:4433+tls:sni={} --ca {ca}", in_endpoint(&name)))
        .and_then(|()| output.flush())
        .map_err(Failure::output)
}

/// Whether a certificate can stand for this name, and a client ask for it.
fn check(name: &str) -> Result<(), Failure> {
    let bare = name.strip_prefix("*.").unwrap_or(name);
    match ServerName::try_from(bare) {
        Ok(ServerName::IpAddress(_)) if bare.len() < name.len() => {}
        Ok(_) => return Ok(()),
        Err(_) => {}
    }
    let name = Printable::new(name).quoted();
    Err(Failure::usage(format_args!("{name} is neither a DNS name nor an IP address")))
}

/// As it is written in an endpoint.
fn in_endpoint(name: &str) -> String {
    if name.contains(':') { format!("[{name}]") } else { name.to_owned() }
}

/// The authority and its key, the certificate and its key.
const FILES: [&str; 4] = ["ca.pem", "ca-key.pem", "cert.pem", "key.pem"];

const TEN_YEARS: u32 = 3650;

const EXAMPLE: &str = r"Example:
  onion cert certs mail.example 192.0.2.7
  onion serve tcp:0.0.0.0:4433 --cert certs/cert.pem --key certs/key.pem
  onion connect tcp:mail.example:4433+tls --ca certs/ca.pem

A certificate of your own making that is its own authority (openssl req -x509) works too, if it is named with --ca itself. This
one is better: it may not issue others, and it can be renewed without telling everybody who trusts it.";
