//! `--keylog`: the secrets of TLS for whoever wants to read a capture.

use clap::Args;
use onionskin::endpoint::Endpoint;

use crate::failure::Failure;

/// Whether the secrets of every layer are written down.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct KeyLog {
    /// Write the secrets of every layer to the file that SSLKEYLOGFILE in the environment names
    #[arg(long)]
    keylog: bool,
}

impl KeyLog {
    /// What was asked for, if it can be done.
    pub(crate) fn wanted(self) -> Result<bool, Failure> {
        if self.keylog && std::env::var_os("SSLKEYLOGFILE").is_none() {
            return Err(Failure::usage("--keylog needs a file: set SSLKEYLOGFILE in the environment to its name"));
        }
        Ok(self.keylog)
    }

    /// The endpoint with this choice in every step that does not make it.
    pub(crate) fn fill(self, mut endpoint: Endpoint) -> Result<Endpoint, Failure> {
        let wanted = self.wanted()?;
        for tls in endpoint.steps.iter_mut().filter_map(|step| step.tls_mut()) {
            tls.key_log |= wanted;
        }
        Ok(endpoint)
    }
}
