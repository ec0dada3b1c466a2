//! Two reports compared, case by case.

use rstest::rstest;

use super::sample::document;
use crate::report::diff::{Difference, Kind, diff};
use crate::report::document::{Document, Status};

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
