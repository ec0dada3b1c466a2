#!/usr/bin/env bash
# quick-junit drops every tab of what a test printed, and all that follows an ESC ] that nothing ends.
#
# Versions:  quick-junit 0.8.0 (crates.io), Python's XML parser (expat) as the reader
# One would guess: `set_system_out` escapes what XML has signs for and leaves out what XML 1.0 cannot hold; the documentation
#            speaks of ANSI escapes besides, so colours go. A tab is text in XML, and stays.
# What happens: all text goes through a terminal's state machine that keeps what a terminal would print, and line feeds. A tab is
#            a command to a terminal, so columns run together: "1<tab>2" is read as 12, in names and messages too. ESC ], ESC P,
#            ESC _ and ESC X begin a string that lasts until its end mark: without one, everything to the end of the output is
#            gone, without an error. On the other hand U+FFFE and U+FFFF, which XML 1.0 does not have, pass, and no reader
#            takes the report.
# Why it matters: consoles of kernels and dumps of memory hold all of these. A number that is another number is worse than
#            none, and the lines that tell of an oops may be those that are cut. Replace these characters before quick-junit
#            sees them (by a space, by \x1b). nextest writes its JUnit reports with it.
# Seen, what was set as system-out and what a reader reads:
#   'pid\t1\t2'               'pid12'
#   'red \x1b[31moops\x1b[0m' 'red oops'
#   'a\x1b]b\nBUG: oops\n'    'a'
#   'a\x1bPb\nBUG: oops\n'    'a'
#   'a\ufffeb'                not well-formed
#
# Exit status: 0 as described, 1 if that has changed, 3 if a package cannot be had.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
missing() { echo "cannot be had: $*" >&2; exit 3; }
cd "$scratch"
command -v python3 >/dev/null || missing python3
mkdir -p writer/src
cat >writer/Cargo.toml <<'EOF'
[package]
name = "writer"
version = "0.0.0"
edition = "2021"
[dependencies]
quick-junit = "=0.8.0"
[workspace]
EOF
cat >writer/src/main.rs <<'EOF'
use quick_junit::{Report, TestCase, TestCaseStatus, TestSuite};

fn main() {
    let text = std::io::read_to_string(std::io::stdin()).unwrap();
    let mut case = TestCase::new("case", TestCaseStatus::success());
    case.set_system_out(text);
    let mut suite = TestSuite::new("suite");
    suite.add_test_case(case);
    let mut report = Report::new("run");
    report.add_test_suite(suite);
    print!("{}", report.to_string().unwrap());
}
EOF
CARGO_TARGET_DIR="$scratch/target" cargo build --quiet --manifest-path writer/Cargo.toml || missing "quick-junit 0.8.0"
cat >try.py <<'EOF'
import subprocess, sys
import xml.etree.ElementTree as tree

for text in ["pid\t1\t2", "red \x1b[31moops\x1b[0m", "a\x1b]b\nBUG: oops\n", "a\x1bPb\nBUG: oops\n", "a\ufffeb"]:
    report = subprocess.run([sys.argv[1]], input=text.encode(), stdout=subprocess.PIPE, check=True).stdout
    try:
        read = ascii(tree.fromstring(report).findtext(".//system-out"))
    except tree.ParseError:
        read = "not well-formed"
    print(f"{ascii(text):<25} {read}")
EOF
python3 try.py target/debug/writer | tee seen
diff - seen <<'EOF' || { echo "the behaviour has changed" >&2; exit 1; }
'pid\t1\t2'               'pid12'
'red \x1b[31moops\x1b[0m' 'red oops'
'a\x1b]b\nBUG: oops\n'    'a'
'a\x1bPb\nBUG: oops\n'    'a'
'a\ufffeb'                not well-formed
EOF
