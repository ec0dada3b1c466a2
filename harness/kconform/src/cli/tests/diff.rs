//! All of what `kconform diff` and `kconform compare` print.

use crate::cli::compare::lost;
use crate::cli::diff::text;
use crate::document::diff::{Difference, Kind, diff};
use crate::document::tests::sample::document;
use crate::document::{CaseResult, Document, Status};
use crate::style::Style;

use super::{PLAIN, without_colors};

/// A report in which something of every kind is not as it was.
fn after() -> Document {
    let mut after = document();
    after.suite.sha256 = "ef".repeat(32);
    let settings = after.targets[1].settings.as_mut().expect("they are known");
    settings.boot_options = vec!["console=ttyS0".into(), "lsm=bpf".into()];
    settings.sysctls.insert("net.core.bpf_jit_harden".into(), "0".into());
    settings.sysctls.insert("kernel.bpf_stats_enabled".into(), "1".into());
    settings.sysctls.insert("net.core.bpf_jit_limit".into(), "1".into());
    let result = |after: &mut Document, case: usize, target: usize, status: Status| {
        let old = &mut after.cases[case].results[target];
        let steps = std::mem::take(&mut old.steps);
        *old = CaseResult { steps, ..CaseResult::bare(&old.target, status) };
    };
    let failure = after.cases[1].results[0].failure.clone();
    result(&mut after, 0, 0, Status::Failed);
    after.cases[0].results[0].failure = failure;
    result(&mut after, 0, 1, Status::Skipped);
    after.cases[0].results[1].reason = Some("needs CONFIG_BPF_JIT".into());
    result(&mut after, 1, 0, Status::Passed);
    result(&mut after, 2, 0, Status::Passed);
    // The same verdict: another errno, and a step that is not reached any more.
    let changed = &mut after.cases[1].results[1].steps;
    changed[3].back = "-1 EPERM (Operation not permitted)".into();
    (changed[3].errno, changed[3].ret) = (Some("EPERM".into()), Some(-1));
    changed.remove(2);
    // As bad as before, in another way.
    result(&mut after, 4, 1, Status::Lost);
    after.cases[4].results[1].reason = Some("QEMU ended: killed".into());
    let mut new = after.cases[0].clone();
    new.id = "bpf/map/array::is_new".into();
    new.results.truncate(1);
    after.cases.pop();
    after.cases.push(new);
    after
}

fn compared() -> Difference {
    diff(&document(), &after(), &[]).expect("they have targets in common")
}

#[test]
fn every_kind_of_change() {
    let difference = compared();
    for (kind, heading) in Kind::ALL {
        assert!(difference.changes.iter().any(|change| change.kind == kind), "nothing is {heading}");
    }
    insta::assert_snapshot!(text(&difference, PLAIN));
    let colored = text(&difference, Style { color: true });
    assert_eq!(without_colors(&colored), text(&difference, PLAIN));
    assert_ne!(colored, text(&difference, PLAIN));
}

#[test]
fn two_targets_of_other_names() {
    let pair = ["native=x86_64".to_owned()];
    let mut whole = document();
    whole.partial = false;
    let difference = diff(&whole, &whole, &pair).expect("both are there");
    insta::assert_snapshot!(text(&difference, PLAIN));
}

#[test]
fn nothing() {
    let mut whole = document();
    whole.partial = false;
    let same = diff(&whole, &whole, &[]).expect("they have targets in common");
    assert_eq!(text(&same, PLAIN), "18 results on native, x86_64 compared: nothing changed\n");
}

/// `kconform compare` says first which kernel was lost.
#[test]
fn a_kernel_that_was_lost() {
    let mut document = document();
    let with = lost(&document, PLAIN);
    document.targets[1].lost.as_mut().expect("it is lost").mend = None;
    insta::assert_snapshot!(with + &lost(&document, PLAIN));
}
