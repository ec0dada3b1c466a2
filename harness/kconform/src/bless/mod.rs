//! What a kernel answers, in place of what a case file expects: `kconform bless`.
//!
//! Cases run until each passes or nothing more can be changed: a case stops at its first step that does not do what it says, so
//! each run changes one step of a case. What changed is then run again, since what differs from run to run is no promise.

mod draft;
mod insert;
mod propose;
#[cfg(test)]
mod tests;
mod value;

use std::sync::Arc;

use crate::case::Case;
use crate::judge::Verdict;
use crate::load::{self, SuiteFile};
use crate::place::{Mistake, Place};
use crate::targets::CaseResult;
use draft::Drafts;
pub(crate) use draft::Left;
use propose::{asking, proposals, unexpected_outputs};

/// How often all cases run again when none of them asks for a change: what differs then differs from run to run.
const AGAIN: u32 = 2;

/// What can run cases.
pub(crate) trait Runs {
    /// Runs the cases once each; `None`: the run was given up. What was skipped or lost has that verdict.
    fn run(&mut self, cases: &Arc<[Case]>) -> Option<Vec<CaseResult>>;
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Blessed {
    /// The files that change: as they are, and as they will be.
    pub(crate) files: Vec<(SuiteFile, String)>,
    /// How many expectations changed.
    pub(crate) changes: usize,
    /// What stays as it is although the kernel does something else.
    pub(crate) left: Vec<Left>,
    /// The cases that did not run, and why.
    pub(crate) not_run: Vec<(String, String)>,
    /// How many ran.
    pub(crate) ran: usize,
    /// A case that was lost, and why.
    pub(crate) lost: Option<(String, String)>,
}

/// Why nothing came of it.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// The run was given up.
    Interrupted,
    /// A change makes a file that cannot be read: a fault of this module.
    Mistakes(Vec<Mistake>),
}

/// Lets a kernel say what the cases of these files expect. `means` tells which cases are meant, by their ids. With `outputs`,
/// outputs of which a step says nothing are expected too.
pub(crate) fn bless(
    files: &[SuiteFile],
    means: &dyn Fn(&Case) -> bool,
    outputs: bool,
    runs: &mut dyn Runs,
) -> Result<Blessed, Stopped> {
    let mut drafts = Drafts::new(files);
    let mut outputs_wanted = outputs;
    let (mut quiet, mut last) = (0, Vec::new());
    while quiet < AGAIN {
        let now = drafts.files();
        let loaded = load::load(&now);
        if !loaded.mistakes.is_empty() {
            if drafts.take_back(&loaded.mistakes) {
                continue;
            }
            return Err(Stopped::Mistakes(loaded.mistakes));
        }
        let cases: Arc<[Case]> = loaded.cases.into_iter().filter(|case| means(case)).collect();
        let results = runs.run(&cases).ok_or(Stopped::Interrupted)?;
        let mut changed = false;
        for (case, result) in cases.iter().zip(&results) {
            for proposal in proposals(case, result) {
                changed |= drafts.add(&case.id, proposal);
            }
        }
        if !changed && outputs_wanted {
            outputs_wanted = false;
            let asking: Arc<[Case]> = cases.iter().map(asking).collect();
            let results = runs.run(&asking).ok_or(Stopped::Interrupted)?;
            for (case, result) in asking.iter().zip(&results) {
                for proposal in unexpected_outputs(case, result) {
                    changed |= drafts.add(&case.id, proposal);
                }
            }
        }
        drafts.settle();
        quiet = if changed { 0 } else { quiet + 1 };
        last = cases.iter().map(|case| case.id.clone()).zip(results).collect();
        if drafts.is_untouched() && !changed {
            break;
        }
    }
    Ok(told(drafts, last))
}

fn told(drafts: Drafts, last: Vec<(String, CaseResult)>) -> Blessed {
    let (mut not_run, mut ran, mut lost) = (Vec::new(), 0, None);
    for (id, result) in last {
        match result.verdict {
            Verdict::Skipped(reason) => not_run.push((id, reason)),
            Verdict::Lost(reason) => lost = lost.or(Some((id, reason))),
            _ => ran += 1,
        }
    }
    let changes = drafts.changes();
    let (files, left) = drafts.into_changed();
    Blessed { files, changes, left, not_run, ran, lost }
}

/// A change that a case asks for, or why it cannot be had.
#[derive(Debug)]
struct Proposal {
    /// The step that does not do what it says.
    step: u32,
    /// What of it.
    part: Part,
    /// The words that the case has there, for messages.
    place: Place,
    /// What to write, or why nothing can be written.
    what: Result<Change, String>,
}

/// What of a step is not as expected.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// `errno`, `ret` or `signal`.
    Ret,
    /// An output, by its name.
    Output(String),
    /// All outputs of which nothing is said.
    Outputs,
    /// Something else.
    Other,
}

/// Text that takes the place of a part of the file as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Change {
    /// From there.
    start: usize,
    /// To there; the same as `start` where something is added.
    end: usize,
    /// What is there then.
    text: String,
}
