//! The JSON Schema of reports: not stale, and real reports keep to it.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use crate::case::Case;
use crate::document::gather::gather;
use crate::document::tests::sample::document;
use crate::document::{Document, Status, SuiteIdentity, identity};
use crate::load::{SuiteFile, load};
use crate::place::File;
use crate::run::{Options, TargetRun, run};
use crate::targets::{Leaks, Target};

use super::super::Format;
use super::written;

/// Cases that any user can run on any kernel: passing, failing, skipped, killed, with every kind of step.
const CASES: &str = r#"
cases:
  - name: passes
    steps:
      - memfd_create: [{str: "a\"b"}, MFD_CLOEXEC]
        save: fd
      - write: [$fd, {hex: "00 01 ff 0a 1b"}, 5]
        ret: 5
      - pread64: [$fd, {out: 5}, 5, 0]
        expect: {arg1: {hex: "00 01 ff 0a 1b"}}
      - fork:
          - close: [$fd]
      - repeat: {times: 3, as: i, steps: [{lseek: [$fd, $i, SEEK_SET], ret: $i}]}
  - name: fails
    steps:
      - close: [-1]
        errno: EINVAL
        about: it is EBADF
  - name: is skipped
    requires: {kernel: "<2.0"}
    steps:
      - getpid: []
  - name: ends
    steps:
      - exit_group: [3]
      - getpid: []
  - name: fails as expected
    known_issue: {when: {}, because: it always did}
    steps:
      - close: [-1]
  - name: passes unexpectedly
    known_issue: {when: {}, because: it never did}
    steps:
      - getpid: []
"#;

fn real() -> Document {
    let (cases, identity) = cases();
    let target = Target::named("native", &[]).expect("native is always there");
    let options = Options { rounds: Some(2), leaks: Leaks::Ignored, ..Options::default() };
    let runs = run(&cases, &[target], options, &mut |_, _, _| {});
    gather(&cases, &runs, identity, SystemTime::now())
}

fn cases() -> (Arc<[Case]>, SuiteIdentity) {
    let file = Arc::new(File { path: "cases/sample.yaml".into(), text: CASES.into() });
    let files = [SuiteFile { suite: "sample".into(), file }];
    let loaded = load(&files);
    assert_eq!(loaded.mistakes, []);
    let identity = identity(files.iter().map(SuiteFile::name_and_text), loaded.cases.len());
    (loaded.cases.into(), identity)
}

fn schema() -> serde_json::Value {
    serde_json::to_value(schemars::schema_for!(Document)).expect("a schema is JSON")
}

fn check(document: &Document) {
    let text = written(Format::Json, document);
    let validator = jsonschema::validator_for(&schema()).expect("a schema");
    let value = serde_json::from_str(&text).expect("JSON");
    let wrong: Vec<String> =
        validator.iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(&crate::document::read(&text).expect("it is one"), document);
}

#[test]
fn the_schema_in_the_repository_is_not_stale() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("report.schema.json");
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    let text = crate::document::schema();
    assert!(there == text, "stale; write it again: kconform schema report > {}", path.display());
}

#[test]
fn the_hand_made_report_keeps_to_the_schema() {
    check(&document());
}

#[test]
fn a_real_report_keeps_to_the_schema() {
    let document = real();
    check(&document);
    let got: Vec<Status> = document.cases.iter().map(|case| case.results[0].status).collect();
    let wanted = [
        Status::Passed,
        Status::Failed,
        Status::Skipped,
        Status::Failed,
        Status::ExpectedFailure,
        Status::UnexpectedPass,
    ];
    assert_eq!(got, wanted);
    assert!(!document.partial);
    let passed = &document.cases[0].results[0];
    assert_eq!(passed.runs.get(&Status::Passed), Some(&2));
    let text: Vec<String> = passed.steps.iter().map(|step| step.text()).collect();
    assert_eq!(text[1], "write(3, \"\\x00\\x01\\xff\\n\\x1b\", 5) = 5");
    assert_eq!(passed.steps[1].args[0].value, Some(3));
    assert_eq!(passed.steps[1].args[1].value, None, "an address means nothing elsewhere");
    assert_eq!(passed.steps[2].outputs[0].hex, "0001ff0a1b");
    // All rounds are there: the block's line and the call's, three times.
    assert_eq!(text.iter().filter(|line| line.starts_with("repeat: ")).count(), 3);
    let failed = &document.cases[1].results[0];
    assert_eq!(failed.steps[failed.failed_step().expect("a step")].errno.as_deref(), Some("EBADF"));
    assert_eq!(failed.failure.as_ref().expect("it failed").words, "errno: EINVAL");
    assert_eq!(failed.failure.as_ref().expect("it failed").place.line, 17);
}

#[test]
fn a_target_that_never_came_is_a_whole_report_that_says_so() {
    let (cases, identity) = cases();
    let document = gather(&cases, &[TargetRun::new("x86_64", cases.len())], identity, SystemTime::now());
    check(&document);
    assert!(document.partial);
    assert!(document.cases.iter().all(|case| case.results[0].status == Status::Lost));
    assert_eq!(document.targets[0].counts.get(&Status::Lost), Some(&6));
}

#[test]
fn the_suites_identity_is_what_sha256sum_says() {
    let identity = identity([("b", "two\n"), ("a/x", "one\n")].into_iter(), 2);
    assert_eq!(identity.files[0].name, "a/x.yaml");
    assert_eq!(identity.files[1].sha256, "27dd8ed44a83ff94d557f9fd0412ed5a8cbca69ea04922d88c01184a07300a5a");
    // (cd cases; sha256sum a/x.yaml b.yaml | sha256sum)
    assert_eq!(identity.sha256, "d8d6292c074ec0ab0d282831533d959392706fa242e040cc6a1717c3587c498b");
}
