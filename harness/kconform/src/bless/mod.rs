//! What a kernel answers, in place of what a case file expects: `kconform bless`.
//!
//! Cases run until each passes or nothing more can be changed: a case stops at its first step that does not do what it says, so
//! each run changes one step of a case. What changed is then run again, since what differs from run to run is no promise.

mod draft;
mod except;
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
pub(crate) use except::KernelName;
use propose::{answer, asking, excepting, proposals, unexpected_outputs};

/// How often all cases run again when none of them asks for a change: what differs then differs from run to run.
const AGAIN: u32 = 2;

/// What can run cases.
pub(crate) trait Runs {
    /// Runs the cases once each; `None`: the run was given up. What was skipped or lost has that verdict.
    fn run(&mut self, cases: &Arc<[Case]>) -> Option<Ran>;
}

/// What came of a run.
pub(crate) struct Ran {
    /// Of each case, in their order.
    pub(crate) results: Vec<CaseResult>,
    /// The kernel, if it was reached.
    pub(crate) kernel: Option<KernelName>,
}

/// A kernel that may answer otherwise, and those that tell where that begins and ends.
pub(crate) struct Elsewhere<R> {
    /// The kernel.
    pub(crate) on: R,
    /// Others of its architecture.
    pub(crate) near: Vec<R>,
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
/// outputs of which a step says nothing are expected too. Where other kernels answer otherwise, the steps get an `except`.
pub(crate) fn bless<R: Runs>(
    files: &[SuiteFile],
    means: &dyn Fn(&Case) -> bool,
    outputs: bool,
    right: &mut R,
    elsewhere: &mut [Elsewhere<R>],
) -> Result<Blessed, Stopped> {
    let (mut drafts, last) = on_right(files, means, outputs, right)?;
    let mut lost = first_lost(&last);
    for other in elsewhere {
        if lost.is_none() {
            drafts = drafts.on_top();
            lost = on_other(&mut drafts, means, right, other)?;
        }
    }
    Ok(told(drafts, last, lost))
}

/// The cases as the files will have them; `None` where a change was taken back for what it made of a file.
fn load_drafts(drafts: &mut Drafts, means: &dyn Fn(&Case) -> bool) -> Result<Option<Arc<[Case]>>, Stopped> {
    let loaded = load::load(&drafts.files());
    match loaded.mistakes.is_empty() {
        true => Ok(Some(loaded.cases.into_iter().filter(|case| means(case)).collect())),
        false if drafts.take_back(&loaded.mistakes) => Ok(None),
        false => Err(Stopped::Mistakes(loaded.mistakes)),
    }
}

/// Runs the cases until the files say what the kernel that is right does; what came of each at last.
fn on_right(
    files: &[SuiteFile],
    means: &dyn Fn(&Case) -> bool,
    outputs: bool,
    runs: &mut dyn Runs,
) -> Result<(Drafts, Vec<(String, CaseResult)>), Stopped> {
    let mut drafts = Drafts::new(files);
    let mut outputs_wanted = outputs;
    let (mut quiet, mut last) = (0, Vec::new());
    while quiet < AGAIN {
        let Some(cases) = load_drafts(&mut drafts, means)? else { continue };
        let results = runs.run(&cases).ok_or(Stopped::Interrupted)?.results;
        let mut changed = false;
        for (case, result) in cases.iter().zip(&results) {
            for proposal in proposals(case, result) {
                changed |= drafts.add(&case.id, proposal);
            }
        }
        if !changed && outputs_wanted {
            outputs_wanted = false;
            let asking: Arc<[Case]> = cases.iter().map(asking).collect();
            let results = runs.run(&asking).ok_or(Stopped::Interrupted)?.results;
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
    Ok((drafts, last))
}

/// Runs the cases until each step that another kernel answers otherwise has an `except`; the first case that was lost.
fn on_other<R: Runs>(
    drafts: &mut Drafts,
    means: &dyn Fn(&Case) -> bool,
    right: &mut R,
    other: &mut Elsewhere<R>,
) -> Result<Option<(String, String)>, Stopped> {
    let mut quiet = 0;
    while quiet < AGAIN {
        let Some(cases) = load_drafts(drafts, means)? else { continue };
        let ran = other.on.run(&cases).ok_or(Stopped::Interrupted)?;
        let results: Vec<_> = cases.iter().map(|case| case.id.clone()).zip(ran.results.clone()).collect();
        let Some(kernel) = ran.kernel.filter(|_| first_lost(&results).is_none()) else {
            return Ok(first_lost(&results));
        };
        let is_stopped =
            |result: &CaseResult| matches!(result.verdict, Verdict::Failed(_) | Verdict::TimedOut(_));
        let (stopped, results): (Vec<Case>, Vec<CaseResult>) =
            cases.iter().cloned().zip(ran.results).filter(|(_, result)| is_stopped(result)).unzip();
        let stopped: Arc<[Case]> = stopped.into();
        let mut seen = Vec::new();
        if !stopped.is_empty() {
            for one in std::iter::once(&mut *right).chain(&mut other.near) {
                let ran = one.run(&stopped).ok_or(Stopped::Interrupted)?;
                seen.extend(ran.kernel.map(|kernel| (kernel, ran.results)));
            }
        }
        let mut changed = false;
        for (nth, (case, result)) in stopped.iter().zip(&results).enumerate() {
            let others: Vec<_> = seen
                .iter()
                .filter_map(|(name, there)| Some((name.clone(), answer(case, result, there.get(nth)?)?)))
                .collect();
            if let Some(proposal) = excepting(case, result, &kernel, &others) {
                changed |= drafts.add(&case.id, proposal);
            }
        }
        drafts.settle();
        quiet = if changed { 0 } else { quiet + 1 };
        if drafts.is_untouched() && !changed {
            break;
        }
    }
    Ok(None)
}

/// The first case that was lost, and why.
fn first_lost(results: &[(String, CaseResult)]) -> Option<(String, String)> {
    results.iter().find_map(|(id, result)| match &result.verdict {
        Verdict::Lost(reason) => Some((id.clone(), reason.clone())),
        _ => None,
    })
}

fn told(drafts: Drafts, last: Vec<(String, CaseResult)>, lost: Option<(String, String)>) -> Blessed {
    let (mut not_run, mut ran) = (Vec::new(), 0);
    for (id, result) in last {
        match result.verdict {
            Verdict::Skipped(reason) => not_run.push((id, reason)),
            Verdict::Lost(_) => {}
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
    /// What another kernel does.
    Except,
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
