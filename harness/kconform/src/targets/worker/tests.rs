//! What is said of cases whose agent was lost.

use std::sync::Arc;

use kconform_plan::{Left, ObjectKind, Trace};

use super::parked::{also, not_again};
use super::{Case, Fault, Verdict};
use crate::load::{SuiteFile, load};
use crate::place::File;
use crate::targets::leaks::outlived;
use crate::targets::{Broken, LastWords};

pub(super) fn case() -> Case {
    let text = "cases:\n  - {name: one, steps: [{close: [0]}]}\n".to_owned();
    let file = Arc::new(File { path: "s.yaml".into(), text });
    load(&[SuiteFile { suite: "s".into(), file }]).cases.remove(0)
}

fn told(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Failed(failure) | Verdict::TimedOut(failure) => {
            format!("{}\n  expected: {}\n  got: {}", failure.text, failure.expected, failure.got)
        }
        other => format!("{other:?}"),
    }
}

#[test]
fn what_became_of_a_case_whose_agent_was_lost() {
    let words = |kernel_fault: Option<&str>, held_up| LastWords {
        what: "QEMU is still there".into(),
        kernel_fault: kernel_fault.map(str::to_owned),
        held_up,
        outside: false,
        console: vec!["the last line".into(), "of the console".into()],
    };
    let silent = || Broken::Silent(std::time::Duration::from_secs(9));
    let rows = [
        (silent(), words(None, false)),
        (silent(), words(None, true)),
        (silent(), words(Some("a panic"), false)),
        (Broken::Agent("no scratch directory".into()), words(None, false)),
        (Broken::Interrupted, LastWords::default()),
    ];
    let told = rows.into_iter().map(|(broken, words)| {
        let fault = Fault::new(&broken, words);
        format!("{}\n{}", fault.remark(), told(&fault.verdict(&case())))
    });
    insta::assert_snapshot!(told.collect::<Vec<_>>().join("\n\n"));
}

#[test]
fn what_is_left_beside_a_failure_or_never_again_is_told() {
    let left = Left::Object { kind: ObjectKind::Map, id: 7, number: 2, name: String::new(), places: vec![] };
    let traces = [Trace { left, undone: false }];
    let failed = also(outlived(&case(), &traces), &case(), &traces);
    let Verdict::Failed(failure) = failed else { panic!() };
    assert_eq!(failure.also[0].1, "what was left besides: map 7 (BPF_MAP_TYPE_ARRAY)");
    let said = "something came meanwhile, and did not when it ran again, alone: map 7 (BPF_MAP_TYPE_ARRAY)";
    assert_eq!(not_again(&traces), said);
}

/// A case that passes when it runs again is flaky, unless QEMU or ssh died by itself.
#[test]
fn what_becomes_of_a_verdict_that_came_when_the_case_ran_again() {
    let console = vec!["Kernel panic - not syncing: oops".to_owned()];
    let faults = [
        Fault::Kernel { what: "a panic".into(), console: console.clone() },
        Fault::Silent { what: "the agent has been silent for 9.0s".into(), console },
        Fault::Gone("the stream was closed".into()),
        Fault::Outside("QEMU ended (signal: 9 (SIGKILL))".into()),
    ];
    let because = "it is known".to_owned();
    let verdicts = [Verdict::Passed, Verdict::UnexpectedPass { because }, Verdict::Lost("no time".into())];
    let rows = faults.iter().flat_map(|fault| verdicts.iter().map(move |verdict| (fault, verdict)));
    let told = rows.map(|(fault, verdict)| {
        let (then, remark) = fault.clone().then(verdict.clone());
        format!("{}: {then:?}\n  {}", verdict.word(), remark.unwrap_or_else(|| "no remark".into()))
    });
    let probe = format!("{:?}", faults[0].clone().of_probe("gotol"));
    insta::assert_snapshot!(told.chain([probe]).collect::<Vec<_>>().join("\n"));
}
