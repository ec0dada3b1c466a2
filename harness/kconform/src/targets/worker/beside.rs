//! Several workers on one kernel: their cases run side by side. What passes so has passed. All else runs again alone, since
//! another case may have been in its way, and only where a case is alone are the kernel's words its own.

use std::collections::BTreeMap;

use kconform_plan::Observation;

use super::fault::Fault;
use super::neighbours::Suspects;
use super::{CaseResult, Note, Round, Waiting, Worker};
use crate::case::Case;
use crate::judge::Verdict;

/// How many plans each of them sends ahead, the one that runs included: a short case must not wait behind a long one.
pub(super) const AHEAD: usize = 2;

/// What a round of several workers shares.
pub(super) struct Beside<'a> {
    /// The next case that no worker has taken.
    pub(super) next: &'a dyn Fn() -> Option<usize>,
    /// Those that run again, alone.
    pub(super) alone: Vec<Waiting>,
}

/// A case that runs again, when no other does.
pub(crate) struct Alone(Waiting);

/// A case that did not simply pass, and why it runs again.
pub(super) fn again_alone(waiting: &Waiting, verdict: &Verdict, seen: &Observation) -> Option<Waiting> {
    let again = Waiting::new(waiting.case);
    match verdict {
        Verdict::Passed if seen.kernel_log.is_empty() && seen.taint.is_none() => None,
        Verdict::Failed(failure) | Verdict::TimedOut(failure) => {
            Some(Waiting { after: Some(Suspects::beside(failure)), ..again })
        }
        Verdict::Crashed { what, console } => {
            let (what, console) = (what.clone(), console.clone());
            Some(Waiting { before: Some(Fault::Kernel { what, console }), ..again })
        }
        _ => Some(again),
    }
}

impl Worker {
    /// One that runs cases on the kernel of this one, at the same time, and knows what this one knows.
    pub(crate) fn second(&self) -> Worker {
        Worker {
            is_second: true,
            probes: self.probes.clone(),
            types: self.types.clone(),
            sysctls: self.sysctls.clone(),
            leaks: self.leaks,
            hurried: self.hurried,
            ..Worker::new(self.target.clone())
        }
    }

    /// Reaches the kernel, and asks it all that these cases want to know of it before they run.
    pub(crate) fn get_ready(&mut self, cases: &[&Case], tell: &mut dyn FnMut(Note)) {
        while let Some(mut kernel) = self.open(tell) {
            if !(self.ask_types(cases) && self.ask_sysctls(cases)) {
                continue;
            }
            self.complete(&mut kernel);
            for case in cases {
                if self.has_unknown_probes(case, &kernel) {
                    // What becomes of the case itself is seen when it is its turn.
                    let _ = self.prepare(case, &kernel);
                }
            }
            return;
        }
    }

    /// Runs the cases that `next` hands out, by their indices, while other workers do the same. Those that came to no result
    /// come back.
    pub(crate) fn run_beside(
        &mut self,
        cases: &[&Case],
        next: &dyn Fn() -> Option<usize>,
        tell: &mut dyn FnMut(Note),
    ) -> Vec<Alone> {
        let mut round = Round::new(cases, tell);
        round.beside = Some(Beside { next, alone: Vec::new() });
        self.work(&mut round);
        round.beside.into_iter().flat_map(|beside| beside.alone).map(Alone).collect()
    }

    /// Runs cases when no other worker does: `again` came back from those that ran side by side, `first` have not run.
    pub(crate) fn run_alone(
        &mut self,
        cases: &[&Case],
        again: Vec<Alone>,
        first: &[usize],
        tell: &mut dyn FnMut(Note),
    ) {
        if !again.is_empty() {
            // An agent that nothing has happened to.
            self.opened = None;
        }
        let mut again: Vec<Waiting> = again.into_iter().map(|Alone(waiting)| waiting).collect();
        again.sort_by_key(|waiting| waiting.case);
        let mut harmed = BTreeMap::new();
        for waiting in &mut again {
            harmed.extend(waiting.before.take().map(|fault| (waiting.case, fault)));
        }
        let mut results: Vec<(usize, CaseResult)> = Vec::new();
        let mut told = |note| match note {
            Note::Result(case, result) if harmed.contains_key(&case) => {
                results.push((case, result));
            }
            other => tell(other),
        };
        let mut round = Round::new(cases, &mut told);
        round.queue.extend(again.into_iter().chain(first.iter().copied().map(Waiting::new)));
        self.work(&mut round);
        let is_found = results.iter().any(|(_, result)| !result.verdict.is_fine());
        for (case, result) in results {
            let result = match harmed.remove(&case) {
                Some(fault) => then(fault, result, is_found),
                None => result,
            };
            tell(Note::Result(case, result));
        }
    }
}

/// The result of a case that was running when the kernel or the agent came to harm, and that ran again alone. It is blamed
/// for that by itself; if it does nothing now, another one is, or all that were running have the blame. An agent alone may have
/// been lost for want of time or memory, which others took.
fn then(fault: Fault, result: CaseResult, is_found: bool) -> CaseResult {
    if !result.verdict.is_fine() {
        return result;
    }
    let told = format!("{} while other cases ran beside it, and not when it ran alone", fault.told());
    if is_found || !matches!(fault, Fault::Kernel { .. }) {
        return result.remarked(told);
    }
    CaseResult { verdict: Verdict::Flaky { what: told, console: fault.console().to_vec() }, ..result }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::tests::case;
    use super::*;

    fn passed() -> CaseResult {
        CaseResult { verdict: Verdict::Passed, seen: None, remark: None }
    }

    fn kernel() -> Fault {
        Fault::Kernel { what: "a warning".into(), console: vec!["WARNING: at f+0x1".into()] }
    }

    /// Nobody is let off as long as nobody is found.
    #[rstest]
    #[case::nobody(kernel(), false, "flaky")]
    #[case::another(kernel(), true, "passed")]
    #[case::an_agent(Fault::Gone("the stream was closed".into()), false, "passed")]
    #[case::silence(Fault::Silent { what: "the agent has been silent for 9.0s".into(), console: vec![] }, false, "passed")]
    #[case::outside(Fault::Outside("ssh ended".into()), false, "passed")]
    fn whose_fault_it_is(#[case] fault: Fault, #[case] is_found: bool, #[case] word: &str) {
        let result = then(fault, passed(), is_found);
        assert_eq!(result.verdict.word(), word);
        let said = match result.verdict {
            Verdict::Flaky { what, .. } => what,
            _ => result.remark.unwrap_or_default(),
        };
        assert!(said.ends_with(" while other cases ran beside it, and not when it ran alone"), "{said}");
    }

    #[test]
    fn what_harmed_the_kernel_alone_too_has_its_own_verdict() {
        let crashed = kernel().verdict(&case());
        let result = then(kernel(), CaseResult { verdict: crashed.clone(), ..passed() }, true);
        assert_eq!(result.verdict.word(), crashed.word());
        assert!(result.remark.is_none());
    }
}
