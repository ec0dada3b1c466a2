//! What cases come to on kernels, for what is said of the kernels and not of the cases.

use std::sync::Arc;

use crate::case::Case;
use crate::document::{Document, run_and_gather};
use crate::report::Progress;
use crate::run::Options;
use crate::style::Style;
use crate::targets::{Leaks, Target};

/// What cases come to on kernels.
pub(super) fn observe(cases: &Arc<[Case]>, targets: &[Target], quiet: bool, errors: Style) -> Document {
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let options = Options { jobs, leaks: Leaks::Ignored, ..Options::default() };
    let mut progress = Progress::new(targets, cases, quiet, errors);
    let document =
        run_and_gather(cases, targets, options, &mut |target, event, _| progress.tell(target, event));
    progress.end();
    document
}
