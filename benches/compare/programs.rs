//! The programs of the peers: this one, and those in other languages where their language is installed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::plan::Peer;
use crate::run::write_certificate;
use crate::side::{Provider, Result};

/// Programs that are ready to run, and a folder that they share, which goes when this is dropped.
pub(crate) struct Programs {
    folder: PathBuf,
    itself: PathBuf,
    found: BTreeMap<Peer, Found>,
}

enum Found {
    Version(String),
    Missing(String),
}

impl Programs {
    pub(crate) fn prepare(peers: &[Peer]) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("onionskin-compare-{}", std::process::id()));
        fs::create_dir(&folder)?;
        let mut programs = Self { folder, itself: std::env::current_exe()?, found: BTreeMap::new() };
        write_certificate(&programs.folder)?;
        fs::write(programs.folder.join(OPENSSL_FILE), OPENSSL_CONFIGURATION)?;
        for &peer in peers {
            let found = programs.find(peer);
            programs.found.insert(peer, found);
        }
        Ok(programs)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Why a peer cannot take part.
    pub(crate) fn missing(&self, peer: Peer) -> Option<String> {
        match self.found.get(&peer) {
            Some(Found::Missing(why)) => Some(why.clone()),
            _ => None,
        }
    }

    pub(crate) fn versions(&self) -> BTreeMap<Peer, String> {
        let version = |(&peer, found): (&Peer, &Found)| match found {
            Found::Version(version) => Some((peer, version.clone())),
            Found::Missing(_) => None,
        };
        self.found.iter().filter_map(version).collect()
    }

    /// The command of a peer, up to the words that say what to do.
    pub(crate) fn command(&self, peer: Peer, provider: Provider) -> Command {
        let script = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(name);
        match peer {
            Peer::Asyncio => {
                let mut command = Command::new("python3");
                command.arg(script("nested.py")).env("OPENSSL_CONF", self.folder.join(OPENSSL_FILE));
                command
            }
            Peer::Node => {
                let mut command = Command::new("node");
                command.arg(script("nested.mjs"));
                command
            }
            Peer::Go => Command::new(self.folder.join("nested-go")),
            _ => {
                let mut command = Command::new(&self.itself);
                command.args(["side", &peer.to_string(), &provider.to_string()]);
                command
            }
        }
    }

    fn find(&self, peer: Peer) -> Found {
        match peer {
            Peer::Aead | Peer::Tcp => Found::Version("as the others".into()),
            Peer::OursAsyncStd => locked(&["onionskin", "async-std"]),
            Peer::OursSmol => locked(&["onionskin", "smol"]),
            Peer::OursTokio => locked(&["onionskin", "tokio"]),
            Peer::OursBlocking => locked(&["onionskin"]),
            Peer::Rustls => locked(&["rustls"]),
            Peer::FuturesRustls => locked(&["futures-rustls", "rustls", "async-std"]),
            Peer::TokioRustls => locked(&["tokio-rustls", "rustls", "tokio"]),
            Peer::Openssl => {
                #[cfg(feature = "openssl")]
                return Found::Version(openssl::version::version().to_owned());
                #[cfg(not(feature = "openssl"))]
                return Found::Missing("not built: feature openssl".into());
            }
            Peer::Asyncio => asked(
                "python3",
                &["-c", "import ssl, sys; print('Python', sys.version.split()[0], 'with', ssl.OPENSSL_VERSION)"],
            ),
            Peer::Node => {
                asked("node", &["-p", "`Node ${process.versions.node} with OpenSSL ${process.versions.openssl}`"])
            }
            Peer::Go => match asked("go", &["version"]) {
                Found::Version(version) => self.build_go().map_or_else(Found::Missing, |()| Found::Version(version)),
                missing @ Found::Missing(_) => missing,
            },
        }
    }

    fn build_go(&self) -> std::result::Result<(), String> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/nested.go");
        let built = Command::new("go").arg("build").arg("-o").arg(self.folder.join("nested-go")).arg(source).output();
        match built {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(format!("go build: {}", String::from_utf8_lossy(&output.stderr).trim())),
            Err(error) => Err(format!("go build: {error}")),
        }
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        // It is a temporary folder: what stays goes some day.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// What a program prints about itself.
fn asked(program: &str, arguments: &[&str]) -> Found {
    match Command::new(program).args(arguments).output() {
        Ok(output) if output.status.success() => Found::Version(String::from_utf8_lossy(&output.stdout).trim().into()),
        Ok(output) => Found::Missing(format!("{program} does not work: {}", output.status)),
        Err(_) => Found::Missing(format!("{program} is not installed")),
    }
}

/// The versions of crates that this program was built with.
fn locked(crates: &[&str]) -> Found {
    let version = |name: &&str| {
        let entry = format!("name = \"{name}\"\nversion = \"");
        let found = include_str!("../../Cargo.lock").split(&entry).nth(1).and_then(|rest| rest.split('"').next());
        format!("{name} {}", found.unwrap_or("of an unknown version"))
    };
    Found::Version(crates.iter().map(version).collect::<Vec<_>>().join(", "))
}

const OPENSSL_FILE: &str = "openssl.cnf";

/// Python 3.11 has no call for the cipher suites and groups of TLS 1.3. It reads this.
const OPENSSL_CONFIGURATION: &str = "openssl_conf = defaults
[defaults]
ssl_conf = ssl
[ssl]
system_default = tls
[tls]
MinProtocol = TLSv1.3
Ciphersuites = TLS_AES_128_GCM_SHA256
Groups = X25519
";
