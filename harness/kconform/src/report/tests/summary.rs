//! The end of a run on the terminal, from results made by hand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::case::Case;
use crate::document::SuiteIdentity;
use crate::document::gather::gather;
use crate::judge::{Failure, FailureKind, Verdict};
use crate::load::{SuiteFile, load};
use crate::place::File;
use crate::report::{failures, outline, summary, verdicts};
use crate::run::TargetRun;
use crate::style::Style;
use crate::targets::{CaseResult, Unusable};

const CASES: &str = "cases:
  - name: differs
    about: A case of which kernels think differently.
    source: [bpf(2), a commit]
    steps:
      - close: [99]
  - name: is lost
    steps:
      - close: [99]
  - name: skipped
    each: [{case: 0}, {case: 1}, {case: 2}, {case: 3}, {case: 4}, {case: 5}, {case: 6}, {case: 7}, {case: 8}, {case: 9}, {case: 10}, {case: 11}, {case: 12}, {case: 13}]
    steps:
      - close: [0]
";

fn cases() -> Vec<Case> {
    let file = Arc::new(File { path: "cases/s.yaml".into(), text: CASES.into() });
    let loaded = load(&[SuiteFile { suite: "s".into(), file }]);
    assert_eq!(loaded.mistakes, []);
    loaded.cases
}

fn failure(case: &Case, kind: FailureKind, text: &str, got: &str) -> Box<Failure> {
    Box::new(Failure {
        kind,
        place: case.steps[0].place.clone(),
        step: None,
        iteration: Vec::new(),
        text: text.into(),
        expected: "success".into(),
        got: got.into(),
        ret: None,
        also: vec![(case.place.clone(), "expected 1, got 2".into())],
    })
}

fn target(name: &str, cases: &[Case], verdicts: Vec<Verdict>) -> TargetRun {
    let mut run = TargetRun::new(name, cases.len());
    run.release = Some("6.12.94".into());
    run.remark = Some("emulated".into());
    run.elapsed = Duration::from_millis(61_234);
    for ((nth, _), verdict) in cases.iter().enumerate().zip(verdicts) {
        run.tallies[nth] = BTreeMap::from([(verdict.word(), 1)]);
        run.results[nth] = CaseResult { verdict, seen: None, remark: Some("a remark".into()) };
    }
    run
}

fn runs(cases: &[Case]) -> Vec<TargetRun> {
    let skipped = || (0..14).map(|nth| Verdict::Skipped(format!("needs reason {nth:02}")));
    let text = "expected success, got EBADF (9, Bad file descriptor)";
    let failed = failure(&cases[0], FailureKind::Ret, text, "EBADF (9, Bad file descriptor)");
    let gone = || Verdict::Lost("QEMU ended".into());
    let console = vec!["BUG: one".to_owned(), "two".to_owned()];
    let crashed = Verdict::Crashed { what: "a BUG".into(), console };
    let unexpected = || Verdict::UnexpectedPass { because: "it never did".into() };
    let mut all = vec![
        target(
            "native",
            cases,
            [Verdict::Failed(failed), Verdict::Passed].into_iter().chain(skipped()).collect(),
        ),
        target("x86_64", cases, [crashed, gone()].into_iter().chain(skipped()).collect()),
        target("riscv64", cases, [Verdict::Passed, unexpected()].into_iter().chain(skipped()).collect()),
        target("aarch64", cases, (0..cases.len()).map(|_| gone()).collect()),
    ];
    all[0].tallies[0] = BTreeMap::from([("failed", 1), ("passed", 9)]);
    all[3].release = None;
    all[3].unusable =
        Some(Unusable { what: "QEMU ended".into(), mend: Some("ci/setup".into()), not_set_up: false });
    all
}

const PLAIN: Style = Style { color: false };

#[test]
fn the_end_of_a_run() {
    let cases = cases();
    insta::assert_snapshot!("summary", summary(&cases, &runs(&cases), PLAIN));
}

/// Why there is no KVM is said of the first guest; the reports have it of each.
#[test]
fn why_guests_are_emulated_is_said_once() {
    let cases = cases();
    let why = "emulated: /dev/kvm: No such file or directory (os error 2)";
    let remarks = [
        "cases share this machine's UTS namespace".to_owned(),
        why.to_owned(),
        format!("{why}; from a snapshot"),
        "emulated: riscv64 on x86_64; came up at attempt 2".to_owned(),
        "KVM".to_owned(),
        "emulated: riscv64 on x86_64".to_owned(),
        "cases share this machine's UTS namespace".to_owned(),
    ];
    let names = ["native", "x86_64", "x86_64-6.1", "riscv64", "kvm", "riscv64-sid", "board"];
    let run = |(name, remark): (&str, &String)| TargetRun {
        remark: Some(remark.clone()),
        ..target(name, &cases, Vec::new())
    };
    let runs: Vec<_> = names.into_iter().zip(&remarks).map(run).collect();
    let document = gather(&cases, &runs, SuiteIdentity::default(), SystemTime::UNIX_EPOCH);
    let kept: Vec<_> = document.targets.iter().filter_map(|target| target.remark.clone()).collect();
    assert_eq!(kept, remarks);
    let expected = [
        "cases share this machine's UTS namespace",
        why,
        "emulated; from a snapshot",
        "emulated: riscv64 on x86_64; came up at attempt 2",
        "KVM",
        "emulated",
        "cases share this machine's UTS namespace",
    ];
    for text in [summary(&cases, &runs, PLAIN), outline(&document, PLAIN)] {
        let said: Vec<_> =
            text.lines().filter_map(|line| line.split_once("  (")).map(|(_, said)| said).collect();
        let expected: Vec<_> = expected.iter().map(|remark| format!("{remark})")).collect();
        assert_eq!(said, expected, "{text}");
    }
}

/// Colours are around words; without them the text is the same.
#[test]
fn the_end_of_a_run_in_colours() {
    let cases = cases();
    let colored = summary(&cases, &runs(&cases), Style { color: true });
    let mut plain = String::new();
    let mut parts = colored.split('\u{1b}');
    plain.push_str(parts.next().unwrap_or_default());
    parts.for_each(|part| plain.push_str(part.split_once('m').map_or("", |(_, rest)| rest)));
    assert_ne!(colored, plain);
    let lines = |text: &str| text.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
    assert_eq!(lines(&plain), lines(&summary(&cases, &runs(&cases), PLAIN)));
}

#[test]
fn what_was_not_as_it_should_be() {
    let cases = cases();
    let again =
        |targets: &[&str], id: &str| format!("kconform run --target {} --exact {id}", targets.join(","));
    insta::assert_snapshot!("failures", failures(&cases, &runs(&cases), &again, PLAIN));
}

#[test]
fn of_one_case_on_several_kernels() {
    let cases = &cases()[..1];
    let because = || "a known bug".to_owned();
    let failed = |kind| failure(&cases[0], kind, "it is not so", "so");
    let all = vec![
        target("native", cases, vec![Verdict::Passed]),
        target("x86_64", cases, vec![Verdict::Failed(failed(FailureKind::Output))]),
        target("x86_64-6.1", cases, vec![Verdict::TimedOut(failed(FailureKind::TimedOut))]),
        target("riscv64", cases, vec![Verdict::Skipped("needs Linux >=6.6".into())]),
        target("aarch64", cases, vec![Verdict::Lost("QEMU ended".into())]),
        target(
            "s390x",
            cases,
            vec![Verdict::ExpectedFailure { because: because(), failure: failed(FailureKind::Ret) }],
        ),
        target("x86_64-sid", cases, vec![Verdict::UnexpectedPass { because: because() }]),
        target("riscv64-sid", cases, vec![Verdict::Crashed { what: "an oops".into(), console: Vec::new() }]),
    ];
    insta::assert_snapshot!("verdicts", verdicts(&all, PLAIN));
}
