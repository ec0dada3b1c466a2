//! Two reports compared, case by case.

use proptest::prelude::*;
use rstest::rstest;

use crate::document::diff::{Change, Difference, Kind, compare, diff};
use crate::document::{CaseResult, Document, Output, Status, Step};

use super::sample::document;

fn compared(change: impl Fn(&mut Document)) -> Difference {
    let mut after = document();
    change(&mut after);
    diff(&document(), &after, &[]).expect("the same targets")
}

fn kinds(difference: &Difference) -> Vec<(Kind, &str, &str)> {
    difference.changes.iter().map(|c| (c.kind, c.case.as_str(), c.target.as_str())).collect()
}

#[test]
fn nothing_changed() {
    let same = compared(|_| {});
    assert_eq!((same.changes.len(), same.compared, same.is_worse(true)), (0, 18, false));
}

#[rstest]
#[case::fails_now(0, Status::Failed, Kind::Worse)]
#[case::is_lost_now(0, Status::Lost, Kind::Worse)]
#[case::is_skipped_now(0, Status::Skipped, Kind::NewSkip)]
#[case::runs_now(2, Status::Passed, Kind::RunsNow)]
#[case::fails_where_it_was_skipped(2, Status::Failed, Kind::Worse)]
#[case::is_fixed(1, Status::Passed, Kind::Fixed)]
#[case::crashes_where_it_failed(1, Status::Crashed, Kind::Worse)]
fn verdicts(#[case] nth: usize, #[case] status: Status, #[case] kind: Kind) {
    let difference = compared(|after| after.cases[nth].results[0].status = status);
    assert_eq!(kinds(&difference), [(kind, document().cases[nth].id.as_str(), "native")]);
    assert_eq!(difference.is_worse(false), kind == Kind::Worse);
    assert_eq!(difference.is_worse(true), matches!(kind, Kind::Worse | Kind::NewSkip));
}

#[test]
fn cases_come_and_go() {
    let difference = compared(|after| {
        let mut failing = after.cases[1].clone();
        failing.id = "bpf/map/array::new".into();
        after.cases.remove(0);
        after.cases.push(failing);
    });
    let wanted = [
        (Kind::Worse, "bpf/map/array::new", "native"),
        (Kind::Gone, "bpf/map/array::passes", "native"),
        (Kind::Gone, "bpf/map/array::passes", "x86_64"),
    ];
    assert_eq!(kinds(&difference), wanted);
}

#[test]
fn another_errno_under_the_same_verdict_is_told() {
    let difference = compared(|after| {
        let step = &mut after.cases[0].results[0].steps[3];
        (step.errno, step.ret) = (Some("EPERM".into()), Some(-1));
        step.back = "-1 EPERM (Operation not permitted)".into();
    });
    assert_eq!(kinds(&difference), [(Kind::Changed, "bpf/map/array::passes", "native")]);
    let step = &difference.changes[0].steps[0];
    assert!(step.before.as_ref().is_some_and(|line| line.ends_with("-1 EINVAL (Invalid argument)")));
    assert!(step.after.as_ref().is_some_and(|line| line.ends_with("-1 EPERM (Operation not permitted)")));
}

#[test]
fn what_differs_from_run_to_run_is_not_told() {
    let difference = compared(|after| {
        let steps = &mut after.cases[0].results[0].steps;
        // The fd that is kept, an unchecked number, times.
        (steps[0].ret, steps[0].back) = (Some(7), "7".into());
        steps[2].outputs[0].hex = "2b".into();
        steps[3].call_ns = Some(1);
    });
    assert_eq!(kinds(&difference), []);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn output(name: &str, bytes: &[u8]) -> Output {
    let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    Output { name: name.into(), length: bytes.len() as u32, hex: hex(&bytes[..end]) }
}

/// A case that passes with these outputs of a call whose line says nothing of them.
fn passing(outputs: &[Output]) -> CaseResult {
    let call = Step {
        name: "bpf".into(),
        back: "0".into(),
        ret: Some(0),
        outputs: outputs.into(),
        ..Step::default()
    };
    CaseResult { steps: vec![call], ..CaseResult::bare("native", Status::Passed) }
}

fn log(line: &str) -> Output {
    output(
        "log_buf",
        format!("0: R1=ctx() R10=fp0\n0: (b7) r0 = 0 ; R0=0\n{line}\nprocessed 3 insns").as_bytes(),
    )
}

/// What differs is seen, wherever in an output it is.
#[test]
fn outputs_that_differ_are_shown_where_they_do() {
    let far = |number: u8| output("info", &[&[7; 96][..], &[0, number, 0, 0], &[9; 40]].concat());
    let long = |word: &str| log(&format!("{}{word} {}", "so ".repeat(80), "on ".repeat(80)));
    let pairs = [
        [log("invalid access of size 8"), log("dereference of modified ctx ptr")],
        [long("invalid"), long("misaligned")],
        [far(0), far(1)],
        [output("key", &[1]), output("key", &[2])],
        [output("value", &[1; 12]), output("value", b"a text it is")],
        [output("value", &[0; 8]), output("value", &[0; 9])],
        [log(""), output("log_buf", b"0: R1=ctx() R10=fp0")],
        [output("value", &[1; 4]), output("other", &[1; 4])],
        [output("value", &[1; 12]), output("value", &[1; 16])],
    ];
    let told = pairs.map(|[was, is]| {
        let change = compare("s::one", "native", Some(&passing(&[was])), Some(&passing(&[is])));
        let change = change.expect("they differ");
        let [step] = &change.steps[..] else { panic!("{change:?}") };
        format!("- {}\n+ {}\n", step.before.as_ref().expect("a line"), step.after.as_ref().expect("a line"))
    });
    insta::assert_snapshot!(told.join("\n"));
    let numbers = [log("at 0x10, 7 of 9"), log("at 0xff, 1 of 12")].map(|log| passing(&[log]));
    assert_eq!(compare("s::one", "native", Some(&numbers[0]), Some(&numbers[1])), None);
}

/// A report of another program's may have lines that say nothing of what came back.
#[test]
fn what_came_back_is_shown_in_any_case() {
    let came = |ret: Option<i64>, errno: Option<&str>| {
        let mut result = passing(&[]);
        (result.steps[0].ret, result.steps[0].errno) = (ret, errno.map(str::to_owned));
        result
    };
    let all = [came(Some(0), None), came(Some(7), None), came(Some(-1), Some("EPERM")), came(None, None)];
    let change = |a: usize, b: usize| {
        let change = compare("s::one", "native", Some(&all[a]), Some(&all[b])).expect("they differ");
        [&change.steps[0].before, &change.steps[0].after].map(|line| line.clone().expect("a line"))
    };
    assert_eq!(change(0, 1), ["bpf() = 0; returned 0", "bpf() = 0; returned 7"]);
    assert_eq!(change(3, 2), ["bpf() = 0; did not return", "bpf() = 0; failed with EPERM"]);
}

/// A known failure that fails in another way says the same: the reason why it is known.
#[test]
fn what_came_in_place_of_the_expected_is_told_of_both() {
    let known = |got: &str| {
        let mut result = document().cases[1].results[0].clone();
        result.status = Status::ExpectedFailure;
        result.reason = Some("not mended yet".into());
        result.failure.as_mut().expect("it failed").got = got.into();
        result
    };
    let change =
        compare("s::one", "native", Some(&known("EINVAL")), Some(&known("EPERM"))).expect("a change");
    assert_eq!(change.kind, Kind::Changed);
    assert_eq!(change.said.as_deref(), Some("not mended yet (got EINVAL)"));
    assert_eq!(change.says, "not mended yet (got EPERM)");
    assert_eq!(compare("s::one", "native", Some(&known("EPERM")), Some(&known("EPERM"))), None);
}

/// Whether a person sees what is not as it was.
fn is_shown(change: &Change) -> bool {
    let steps = change.steps.iter().all(|step| step.before != step.after);
    steps && (change.before != change.after || !change.steps.is_empty() || change.said.is_some())
}

fn any_output() -> impl Strategy<Value = Output> {
    let text = prop::collection::vec(prop::sample::select(b"ab 1\n".to_vec()), 0..60);
    let bytes = prop::collection::vec(prop::sample::select(vec![0, 0, 1, 0x61]), 0..60);
    (prop::sample::select(vec!["a", "b"]), prop_oneof![text, bytes])
        .prop_map(|(name, bytes)| output(name, &bytes))
}

fn any_step() -> impl Strategy<Value = Step> {
    let errno = prop::option::of(prop::sample::select(vec!["EPERM", "EINVAL"]));
    let outputs = prop::collection::btree_map("[ab]", any_output(), 0..3);
    (0..2u32, prop::option::of(-1..2i64), errno, outputs, any::<bool>()).prop_map(
        |(step, ret, errno, outputs, is_kept)| Step {
            step,
            name: "bpf".into(),
            back: "?".into(),
            ret,
            errno: errno.map(str::to_owned),
            outputs: outputs.into_iter().map(|(name, output)| Output { name, ..output }).collect(),
            saves: is_kept.then(|| ("kept".into(), "b".into())).into_iter().collect(),
            ..Step::default()
        },
    )
}

fn any_result() -> impl Strategy<Value = CaseResult> {
    let status = prop::sample::select(vec![Status::Passed, Status::Failed, Status::ExpectedFailure]);
    let got = prop::sample::select(vec!["EPERM", "EINVAL"]);
    (status, got, prop::collection::vec(any_step(), 0..3)).prop_map(|(status, got, mut steps)| {
        steps.dedup_by_key(|step| step.step);
        let mut result = CaseResult { steps, ..CaseResult::bare("native", status) };
        if status != Status::Passed {
            result.reason = (status == Status::ExpectedFailure).then(|| "known".into());
            result.failure = document().cases[1].results[0].failure.clone();
            result.failure.as_mut().expect("it failed").got = got.into();
        }
        result
    })
}

proptest! {
    #[test]
    fn what_is_told_as_changed_is_shown_and_else_nothing(was in any_result(), is in any_result()) {
        if let Some(change) = compare("s::one", "native", Some(&was), Some(&is)) {
            prop_assert!(is_shown(&change), "{change:?}");
        }
        prop_assert_eq!(compare("s::one", "native", Some(&was), Some(&was)), None);
    }
}

#[test]
fn that_nothing_can_be_compared_is_no_success() {
    let mut other = document();
    other.cases.clear();
    let error = diff(&document(), &other, &[]).expect_err("nothing to compare").to_string();
    assert_eq!(error, "the reports have no case in common");
}

#[test]
fn targets_are_paired() {
    let wanted = |pair: &str| diff(&document(), &document(), &[pair.to_owned()]);
    assert_eq!(wanted("native=x86_64").expect("both there").targets, [("native".into(), "x86_64".into())]);
    let error = wanted("natif").expect_err("not there").to_string();
    assert_eq!(error, r#"the first report has no target "natif"; it has native, x86_64"#);
}
