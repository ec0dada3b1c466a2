//! What cases come to on kernels, for what is said of the kernels and not of the cases.

use std::sync::Arc;
use std::time::SystemTime;

use crate::case::Case;
use crate::document::{Document, SuiteIdentity, gather};
use crate::report::Progress;
use crate::run::{Options, run as run_cases};
use crate::style::Style;
use crate::targets::{Leaks, Target};

/// What cases come to on kernels.
pub(super) fn observe(cases: &Arc<[Case]>, targets: &[Target], quiet: bool, errors: Style) -> Document {
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let options = Options {
        jobs,
        rounds: Some(1),
        until_fail: false,
        guests: 1,
        isolate: false,
        leaks: Leaks::Ignored,
    };
    let mut progress = Progress::new(targets, cases, quiet, errors);
    let started = SystemTime::now();
    let runs = run_cases(cases, targets, options, &mut |target, event, _| progress.tell(target, event));
    progress.end();
    gather(cases, &runs, SuiteIdentity::default(), started)
}
