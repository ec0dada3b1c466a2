//! Cases that came to a verdict, but left something that may go yet: they have their results when that has settled.

use std::collections::VecDeque;
use std::time::Duration;

use kconform_plan::Trace;

use super::{CaseResult, Note, Round, Waiting, Worker};
use crate::case::Case;
use crate::judge::Verdict;
use crate::targets::TargetKind;
use crate::targets::leaks::{Leaks, again, list, outlived, unheld};

/// How long what lingers is waited for when nothing else is to be done: longer than it takes the agent to be sure.
const PATIENCE: Duration = Duration::from_secs(6);

/// Why nothing is known of a case that came to a verdict.
const UNSAID: &str = "the agent was lost before it could say what the case left behind";

/// A case with a verdict that may not be its last.
pub(super) struct Parked {
    waiting: Waiting,
    result: CaseResult,
}

impl Worker {
    /// Whether what cases leave behind is looked for.
    pub(super) fn looks(&self) -> bool {
        self.leaks != Leaks::Ignored
    }

    /// Takes in a result. It is told now, or when what the case left has settled.
    pub(super) fn judged(
        &mut self,
        waiting: Waiting,
        result: CaseResult,
        lingers: bool,
        round: &mut Round<'_>,
    ) {
        let settled = self.opened.as_mut().map(|opened| opened.session.settled()).unwrap_or_default();
        let case = waiting.case;
        let left_something = settled.iter().any(|(id, _)| *id == case as u64);
        // What it leaves in a guest that is thrown away is nobody's trouble: it says so itself.
        let can_wait =
            !round.cases[case].fresh && !matches!(result.verdict, Verdict::Lost(_) | Verdict::Crashed { .. });
        if (lingers || left_something) && can_wait && self.looks() {
            self.parked.insert(case as u64, Parked { waiting, result });
        } else {
            self.tell(Parked { waiting, result }, Vec::new(), round);
        }
        self.settled(settled, round);
    }

    /// Has the agent say of all cases what they left; nothing may be in flight.
    pub(super) fn settle(&mut self, round: &mut Round<'_>) {
        if self.parked.is_empty() {
            return;
        }
        let patience = if self.hurried { Duration::ZERO } else { PATIENCE };
        let settled = self.opened.as_mut().map(|opened| opened.session.settle(patience));
        if let Some(Ok(settled)) = settled {
            self.settled(settled, round);
        } else {
            self.opened = None;
            self.losses += 1;
        }
        // It said nothing of these. They do not run again: nothing tells that it would say more.
        while let Some((_, parked)) = self.parked.pop_first() {
            if let Some(beside) = &mut round.beside {
                beside.alone.push(parked.waiting);
                continue;
            }
            let verdict = Verdict::Lost(UNSAID.into());
            (round.tell)(Note::Result(parked.waiting.case, CaseResult { verdict, ..parked.result }));
        }
    }

    /// The agent is gone: what its cases left is not known. They run again.
    pub(super) fn unpark(&mut self, queue: &mut VecDeque<Waiting>) {
        while let Some((_, parked)) = self.parked.pop_last() {
            queue.push_front(parked.waiting);
        }
    }

    /// Cases of which nothing lingers any more.
    fn settled(&mut self, settled: Vec<(u64, Vec<Trace>)>, round: &mut Round<'_>) {
        for (id, traces) in settled {
            // A probe has none.
            if let Some(parked) = self.parked.remove(&id) {
                self.tell(parked, traces, round);
            }
        }
    }

    /// Tells a result, now that it is known what the case left. On a kernel that others use too it runs again, alone, before
    /// anything is said to be its own.
    fn tell(&mut self, parked: Parked, traces: Vec<Trace>, round: &mut Round<'_>) {
        let Parked { waiting, mut result } = parked;
        let case = round.cases[waiting.case];
        let traces = if matches!(self.target.kind, TargetKind::Native) { unheld(traces) } else { traces };
        let passed = matches!(result.verdict, Verdict::Passed | Verdict::UnexpectedPass { .. });
        let traces = match &waiting.suspected {
            _ if self.target.is_guest() => traces,
            // It leaves behind what keeps it from running again.
            Some(first) if traces.is_empty() && !passed => first.clone(),
            Some(first) => {
                let common = again(first, traces);
                if common.is_empty() && !waiting.was_beside {
                    result.remark.get_or_insert(not_again(first));
                }
                common
            }
            None if !traces.is_empty() && passed => {
                let suspected = Some(traces);
                return match &mut round.beside {
                    Some(beside) => beside.alone.push(Waiting { suspected, was_beside: true, ..waiting }),
                    None => round.queue.push_back(Waiting { suspected, ..waiting }),
                };
            }
            None => traces,
        };
        if !traces.is_empty() {
            self.before.told(&traces);
            let left = outlived(case, &traces);
            result.verdict = match (result.verdict, left) {
                // Its failure when it ran alone says nothing: the first run was in its way.
                (_, left) if passed || waiting.suspected.is_some() => left,
                (verdict, _) => also(verdict, case, &traces),
            };
        }
        (round.tell)(Note::Result(waiting.case, result));
    }
}

/// What is said of a case that left something, it seemed.
pub(super) fn not_again(first: &[Trace]) -> String {
    format!("something came meanwhile, and did not when it ran again, alone: {}", list(first))
}

/// A failure with what the case left besides.
pub(super) fn also(mut verdict: Verdict, case: &Case, traces: &[Trace]) -> Verdict {
    if let Verdict::Failed(failure) | Verdict::TimedOut(failure) | Verdict::ExpectedFailure { failure, .. } =
        &mut verdict
    {
        failure.also.push((case.place.clone(), format!("what was left besides: {}", list(traces))));
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::super::tests::case;
    use super::*;
    use crate::targets::Target;

    /// A pass is none as long as it is not known what the case left.
    #[test]
    fn a_case_of_which_the_agent_said_nothing_more_is_lost() {
        let case = case();
        let mut worker = Worker::new(Target::native());
        let waiting = Waiting::new(0);
        let result = CaseResult { verdict: Verdict::Passed, seen: None, remark: None };
        worker.parked.insert(0, Parked { waiting, result });
        let (cases, mut told) = ([&case], Vec::new());
        let mut tell = |note| {
            if let Note::Result(nth, result) = note {
                told.push((nth, result.verdict));
            }
        };
        let mut round = Round::new(&cases, &mut tell);
        worker.settle(&mut round);
        assert!(round.is_over() && worker.parked.is_empty());
        let why = "the agent was lost before it could say what the case left behind";
        assert_eq!(told, [(0, Verdict::Lost(why.into()))]);
        assert_eq!(worker.losses, 1);
    }
}
