#!/usr/bin/env bash
# Coverage-guided fuzzing with cargo-fuzz on stable Rust.
#
# Packages: cargo-fuzz 0.13.2, libfuzzer-sys 0.4.13 from crates.io; rustc 1.95.0 (stable).
# Guessed: it needs nightly, as its README says, or RUSTC_BOOTSTRAP=1.
# Seen (2026-11-30): with `--sanitizer none` it needs neither. All that is unstable is the flag for the sanitizer; the instrumentation for
# coverage goes through LLVM's pass arguments, which stable takes. The target is built, finds the branch behind four bytes
# that nobody would hit by chance, and the corpus grows. Without the option the same command fails on stable.
#
# For code without `unsafe` a sanitizer finds little, so a project's CI can fuzz with the toolchain that it has.
# Fails if either has changed.

set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
unset RUSTC_BOOTSTRAP
rustc --version | grep -vE 'nightly|beta|dev'
cargo install --quiet --locked --root tool cargo-fuzz --version =0.13.2
PATH=$folder/tool/bin:$PATH

mkdir -p fuzz/targets
cat >fuzz/Cargo.toml <<'TOML'
[package]
name = "probe-fuzz"
version = "0.0.0"
edition = "2021"
publish = false
[package.metadata]
cargo-fuzz = true
[dependencies]
libfuzzer-sys = "=0.4.13"
[[bin]]
name = "word"
path = "targets/word.rs"
test = false
[workspace]
TOML
cat >fuzz/targets/word.rs <<'RUST'
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    if input.len() > 3 && input[0] == b'l' && input[1] == b'a' && input[2] == b'y' && input[3] == b'e' {
        std::fs::write(std::env::var("REACHED").unwrap(), input).unwrap();
    }
});
RUST
cat >Cargo.toml <<'TOML'
[package]
name = "probe"
version = "0.0.0"
edition = "2021"
[workspace]
exclude = ["fuzz"]
TOML
mkdir src && touch src/lib.rs

echo '-- with --sanitizer none'
export REACHED=$folder/reached
cargo fuzz run --sanitizer none word -- -runs=2000000 -seed=1 -verbosity=0 2>log || { cat log; exit 1; }
test -s "$REACHED" || { echo 'the branch was not reached: there is no coverage'; exit 1; }
echo "built, and steered by coverage: $(head -c 4 "$REACHED") was reached; corpus: $(ls fuzz/corpus/word | wc -l) inputs"

echo '-- without'
if cargo fuzz run word -- -runs=1 2>log; then
    echo 'it runs on stable with a sanitizer now'
    exit 1
fi
grep -o "the option .Z. is only accepted on the nightly compiler" log | head -n 1
