//! What is told of observations that are seldom made: on the terminal, and in reports.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use kconform_abi::Arch;
use kconform_plan::{End, Facts, Observation, Record, RecordKind};

use crate::case::Case;
use crate::document::SuiteIdentity;
use crate::document::gather::gather;
use crate::document::plain::details;
use crate::judge::judge;
use crate::kernel::Kernel;
use crate::load::{SuiteFile, load};
use crate::lower::lower;
use crate::place::File;
use crate::report::failures;
use crate::run::TargetRun;
use crate::style::Style;
use crate::targets::CaseResult;

const PLAIN: Style = Style { color: false };

fn cases() -> Vec<Case> {
    let text = "cases:\n  - name: closes\n    steps:\n      - close: [7]\n      - getpid: []\n".to_owned();
    let file = Arc::new(File { path: "s.yaml".into(), text });
    load(&[SuiteFile { suite: "s".into(), file }]).cases
}

/// A run on one target in which this was seen of the only case.
fn run(
    name: &str,
    cases: &[Case],
    records: &[(u32, RecordKind)],
    end: End,
    kernel_log: Vec<String>,
) -> TargetRun {
    let kernel = Kernel::new(Arch::X86_64, &Facts::default(), None, false);
    let lowered = lower(&cases[0], &kernel, 1.0).expect("it can be lowered");
    let record = |(step, kind): &(u32, RecordKind)| Record {
        step: *step,
        iteration: Vec::new(),
        time_ns: 0,
        kind: kind.clone(),
    };
    let records = records.iter().map(record).collect();
    let seen = Observation {
        records,
        end,
        duration_ns: 0,
        kernel_log,
        taint: None,
        left_behind: 0,
        lingers: false,
        unusual: false,
        dropped: 0,
    };
    let verdict = judge(&cases[0], &lowered, &seen, &kernel);
    let mut run = TargetRun::new(name, 1);
    run.tallies[0] = BTreeMap::from([(verdict.word(), 1)]);
    run.results[0] = CaseResult { verdict, seen: Some(Arc::new((lowered, seen))), remark: None };
    run
}

#[test]
fn what_is_seldom_seen() {
    let cases = cases();
    let begun = (0, RecordKind::Begin { args: vec![7], slots: Vec::new() });
    let done = (0, RecordKind::Done { ret: -4000, outputs: Vec::new(), attempts: 1, call_ns: 0 });
    let log = (1..100).map(|nth| format!("something happens, line {nth}")).collect();
    let runs = [
        // An errno without a name, and a kernel that has much to say.
        run("odd", &cases, &[begun.clone(), done], End::Finished, log),
        run("killed", &cases, std::slice::from_ref(&begun), End::Signaled(64), Vec::new()),
        run("exited", &cases, &[begun], End::Exited(3), Vec::new()),
        run("no_memory", &cases, &[], End::NotStarted(12), Vec::new()),
        TargetRun::new("silent", 1),
    ];
    let again = |targets: &[&str], id: &str| format!("kconform run -t {} {id}", targets.join(","));
    let mut told = failures(&cases, &runs, &again, PLAIN);
    let document = gather(&cases, &runs, SuiteIdentity::default(), SystemTime::UNIX_EPOCH);
    for result in &document.cases[0].results {
        told.push_str(&format!("in reports, on {}:\n", result.target));
        let lines = details(&document.cases[0], result);
        // All of the log is in a report.
        told.extend(lines.iter().filter(|line| !line.contains("line ")).map(|line| format!("    {line}\n")));
    }
    insta::assert_snapshot!(told);
}
