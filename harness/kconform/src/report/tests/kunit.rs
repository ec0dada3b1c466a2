//! The kernel's own KTAP parser reads what `--report ktap` writes. `ci/kunit-parser` gets it; without it there is
//! nothing to compare with, and the test says so (`KCONFORM_REQUIRE_KUNIT=1`: and fails).

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::sample::document;
use super::written;
use crate::report::Format;
use crate::report::document::Status;

/// Prints a line for each test of the third level: target, suite, name, status; then the number of errors.
const READ: &str = r#"
import io, sys
sys.path.insert(0, sys.argv[1])
stdout, sys.stdout = sys.stdout, io.StringIO() # the parser prints a summary of its own
import kunit_parser
lines = sys.stdin.read().split("\n")
try:
    root = kunit_parser.parse_run_tests(lines)
except TypeError: # since Linux 6.14 it is told where to print
    from kunit_printer import Printer
    root = kunit_parser.parse_run_tests(lines, Printer(sys.stdout))
sys.stdout = stdout
for target in root.subtests:
    for suite in target.subtests:
        for case in suite.subtests:
            print("|".join([target.name, suite.name, case.name, case.status.name]))
print(root.counts.errors)
"#;

/// A file of the cache, if it is there.
pub(super) fn cached(path: &str) -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    Some(cache.join("kconform").join(path)).filter(|path| path.is_file())
}

#[test]
fn the_kernels_parser_reads_it() {
    let Some(parser) = cached("kunit/kunit_parser.py") else {
        assert!(std::env::var_os("KCONFORM_REQUIRE_KUNIT").is_none(), "run ci/kunit-parser first");
        eprintln!("ignored: the kernel's parser is not there; ci/kunit-parser gets it");
        return;
    };
    let document = document();
    let mut python = Command::new("python3")
        .args(["-B", "-c", READ])
        .arg(parser.parent().expect("a folder"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3");
    let mut input = python.stdin.take().expect("a pipe");
    input.write_all(written(Format::Ktap, &document).as_bytes()).expect("it reads");
    drop(input);
    let output = python.wait_with_output().expect("it ends");
    assert!(output.status.success());
    let mut wanted = String::new();
    for (nth, target) in document.targets.iter().enumerate() {
        for case in &document.cases {
            let status = match case.results[nth].status {
                // The parser has no word for what is expected to fail.
                Status::Passed | Status::ExpectedFailure => "SUCCESS",
                Status::Skipped => "SKIPPED",
                _ => "FAILURE",
            };
            let name = case.id.split("::").nth(1).expect("an id").replace('#', "_");
            wanted.push_str(&format!("{}|{}|{name}|{status}\n", target.name, case.suite));
        }
    }
    assert_eq!(String::from_utf8(output.stdout).expect("text"), format!("{wanted}0\n"));
}
