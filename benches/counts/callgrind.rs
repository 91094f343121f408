//! Instructions, counted by callgrind.
//!
//! Callgrind runs a program on a processor of its own making and counts what that executes. So the counts do not depend
//! on the load of the machine, nor on its speed, and much less on its model than a time does: valgrind 3.19 shows every
//! program a Haswell with AES-NI and AVX2 at most, also where the real processor has AVX-512, VAES and SHA. All x86-64
//! machines with AVX2 therefore make the same choices: aws-lc takes its AES-GCM for AES-NI and AVX, and what a newer
//! processor would take instead is never counted. On a machine without AVX2 the counts are others;
//! [`processor`] tells.
//!
//! One thing must be told not to happen. Where a processor says that it copies fast with `rep movsb` (ERMS), glibc uses
//! that for blocks of 4 KiB and more, and callgrind counts it as one instruction for each *byte*: copies would look
//! thirty times as dear as they are, and dearer than the encryption. [`TUNABLES`] makes glibc copy with vectors.

use std::env;
use std::error::Error;
use std::io;
use std::process::Command;

use crate::probe::COLLECTED;

/// What came of one run.
pub(crate) struct Counted {
    /// Executed inside of [`Probe::collect`](crate::probe::Probe::collect).
    pub(crate) instructions: u64,
    /// What the program has printed.
    pub(crate) output: String,
}

/// Runs this program once more, with this argument, and counts.
pub(crate) fn count(argument: &str) -> Result<Counted, Box<dyn Error>> {
    let output = Command::new(VALGRIND)
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(format!("--toggle-collect=*{COLLECTED}*"))
        .arg(env::current_exe()?)
        .arg(argument)
        .env("GLIBC_TUNABLES", TUNABLES)
        .output()
        .map_err(|error| explain(&error))?;
    let log = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("{argument} under valgrind: {}\n{log}", output.status).into());
    }
    let collected = log.lines().find_map(|line| line.split_once("Collected :"));
    let instructions = collected.and_then(|(_, number)| number.trim().parse().ok()).filter(|&number| number > 0);
    let instructions = instructions.ok_or_else(|| format!("{argument}: callgrind has counted nothing\n{log}"))?;
    Ok(Counted { instructions, output: String::from_utf8(output.stdout)?.trim().to_owned() })
}

/// The version of valgrind.
pub(crate) fn version() -> Result<String, Box<dyn Error>> {
    let output = Command::new(VALGRIND).arg("--version").output().map_err(|error| explain(&error))?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn explain(error: &io::Error) -> Box<dyn Error> {
    if error.kind() == io::ErrorKind::NotFound {
        return "valgrind is not installed, and nothing else counts instructions: apt-get install valgrind".into();
    }
    format!("{VALGRIND}: {error}").into()
}

/// What the processor can do, of all that makes a difference to cryptography and copies: in a process under valgrind, what
/// valgrind shows.
pub(crate) fn processor() -> String {
    let mut features = vec![env::consts::ARCH];
    #[cfg(target_arch = "x86_64")]
    {
        macro_rules! look_for {
            ($($feature:tt)*) => {
                $(if is_x86_feature_detected!($feature) {
                    features.push($feature);
                })*
            };
        }
        look_for!("aes" "pclmulqdq" "avx" "avx2" "bmi2" "adx" "sha" "vaes" "vpclmulqdq" "avx512f");
    }
    features.join(" ")
}

const VALGRIND: &str = "valgrind";

const TUNABLES: &str = "glibc.cpu.hwcaps=-ERMS";
