//! Runs cases on targets, side by side, and gathers what came of them.

use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use crate::case::Case;
use crate::judge::Verdict;
use crate::target::{CaseResult, Note, Target, Unusable, Worker};

/// What came of the cases on one target.
#[derive(Clone, Debug)]
pub struct TargetRun {
    /// The target's name.
    pub name: String,
    /// `uname -r`, once it was reached.
    pub release: Option<String>,
    /// What else is to be said of it: the accelerator.
    pub remark: Option<String>,
    /// One for each case, in the cases' order.
    pub results: Vec<CaseResult>,
    /// From starting the target to its last result.
    pub elapsed: Duration,
    /// Why the target could not be used, or no more.
    pub unusable: Option<Unusable>,
}

/// Something happened on a target.
#[derive(Debug)]
pub enum Event {
    /// A worker says something.
    Note(Note),
    /// All its cases have results.
    Finished,
}

/// Runs all cases on all targets, at most `jobs` targets at a time. `tell` is called on this thread, with the target's
/// index.
pub fn run(
    cases: &[Case],
    targets: &[Target],
    jobs: usize,
    tell: &mut dyn FnMut(usize, &Event),
) -> Vec<TargetRun> {
    let (sender, receiver) = channel();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let mut runs: Vec<Option<TargetRun>> = targets.iter().map(|_| None).collect();
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, targets.len().max(1)) {
            let sender = sender.clone();
            let next = &next;
            scope.spawn(move || {
                loop {
                    let nth = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some(target) = targets.get(nth) else { return };
                    let run = run_target(cases, target, nth, &sender);
                    // The receiver lives until all senders are gone.
                    let _ = sender.send((nth, Message::Done(Box::new(run))));
                }
            });
        }
        drop(sender);
        for (nth, message) in receiver {
            match message {
                Message::Note(note) => tell(nth, &Event::Note(note)),
                Message::Done(run) => {
                    tell(nth, &Event::Finished);
                    runs[nth] = Some(*run);
                }
            }
        }
    });
    runs.into_iter().flatten().collect()
}

enum Message {
    Note(Note),
    Done(Box<TargetRun>),
}

fn run_target(cases: &[Case], target: &Target, nth: usize, sender: &Sender<(usize, Message)>) -> TargetRun {
    let begun = Instant::now();
    let mut worker = Worker::new(target.clone());
    let mut results: Vec<Option<CaseResult>> = cases.iter().map(|_| None).collect();
    let mut said = None;
    let borrowed: Vec<&Case> = cases.iter().collect();
    worker.run(&borrowed, &mut |note| {
        match &note {
            Note::Result(case, result) => results[*case] = Some(result.clone()),
            Note::Opened { remark, .. } => said = remark.clone().or(said.take()),
            Note::Opening(_) | Note::Running(_) => {}
        }
        let _ = sender.send((nth, Message::Note(note)));
    });
    let lost = || CaseResult { verdict: Verdict::Lost("no result came".into()), seen: None, remark: None };
    let results = results.into_iter().map(|result| result.unwrap_or_else(lost)).collect();
    TargetRun::new(&target.name, &worker, results, said, begun.elapsed())
}

impl TargetRun {
    fn new(
        name: &str,
        worker: &Worker,
        results: Vec<CaseResult>,
        remark: Option<String>,
        elapsed: Duration,
    ) -> TargetRun {
        TargetRun {
            name: name.to_owned(),
            release: worker.kernel().map(|k| k.release.clone()),
            remark,
            results,
            elapsed,
            unusable: worker.unusable().cloned(),
        }
    }

    /// The run of a single case.
    pub fn of_one(name: &str, worker: &Worker, result: CaseResult, elapsed: Duration) -> TargetRun {
        TargetRun::new(name, worker, vec![result], None, elapsed)
    }
}

/// The exit status of a run: 0 all as expected, 1 a case was not, 3 the harness could not do its work.
pub fn exit_status(runs: &[TargetRun]) -> u8 {
    let verdicts = || runs.iter().flat_map(|run| &run.results).map(|result| &result.verdict);
    if verdicts().any(|v| matches!(v, Verdict::Lost(_))) || runs.iter().any(|run| run.unusable.is_some()) {
        3
    } else if verdicts().all(Verdict::is_fine) {
        0
    } else {
        1
    }
}
