//! Runs cases on targets, side by side, and gathers what came of them.

use std::collections::VecDeque;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::case::Case;
use crate::interrupt;
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
    Finished {
        /// From starting the target to its end.
        elapsed: Duration,
        /// Why the target could not be used, or no more.
        unusable: Option<Unusable>,
    },
}

/// How long targets may take to end after an interruption.
const LAST: Duration = Duration::from_millis(1500);

/// How often an interruption is looked for.
const GLANCE: Duration = Duration::from_millis(100);

/// Runs all cases on all targets, at most `jobs` targets at a time. `tell` is called on this thread, with the target's
/// index. After an interruption what is known by then comes back.
pub fn run(
    cases: &Arc<[Case]>,
    targets: &[Target],
    jobs: usize,
    tell: &mut dyn FnMut(usize, &Event),
) -> Vec<TargetRun> {
    let (sender, receiver) = channel();
    let mut runs: Vec<TargetRun> =
        targets.iter().map(|target| TargetRun::new(&target.name, cases.len())).collect();
    let waiting = Arc::new(Mutex::new(targets.iter().cloned().enumerate().collect::<VecDeque<_>>()));
    for _ in 0..jobs.clamp(1, targets.len().max(1)) {
        let (cases, waiting, sender) = (cases.clone(), waiting.clone(), sender.clone());
        // Not a scoped thread: one that is stuck must not keep an interrupted run from ending.
        std::thread::spawn(move || {
            loop {
                let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                let Some((nth, target)) = next else { return };
                run_target(&cases, target, nth, &sender);
            }
        });
    }
    drop(sender);
    let mut interrupted = None;
    loop {
        if interrupt::requested() && *interrupted.get_or_insert_with(Instant::now) + LAST < Instant::now() {
            break;
        }
        match receiver.recv_timeout(GLANCE) {
            Ok((nth, event)) => {
                runs[nth].take_in(&event);
                tell(nth, &event);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    runs
}

fn run_target(cases: &[Case], target: Target, nth: usize, sender: &Sender<(usize, Event)>) {
    let begun = Instant::now();
    // After an interruption nobody may be there to receive.
    let tell = |event| drop(sender.send((nth, event)));
    let mut worker = Worker::new(target);
    let borrowed: Vec<&Case> = cases.iter().collect();
    worker.run(&borrowed, &mut |note| tell(Event::Note(note)));
    let unusable = worker.unusable().cloned();
    // The target ends before it is said to have.
    drop(worker);
    tell(Event::Finished { elapsed: begun.elapsed(), unusable });
}

impl TargetRun {
    fn new(name: &str, cases: usize) -> TargetRun {
        let lost = CaseResult { verdict: Verdict::Lost("no result came".into()), seen: None, remark: None };
        TargetRun {
            name: name.to_owned(),
            release: None,
            remark: None,
            results: vec![lost; cases],
            elapsed: Duration::ZERO,
            unusable: None,
        }
    }

    /// The run of a single case.
    pub fn of_one(name: &str, worker: &Worker, result: CaseResult, elapsed: Duration) -> TargetRun {
        let release = worker.kernel().map(|k| k.release.clone());
        let unusable = worker.unusable().cloned();
        TargetRun { name: name.to_owned(), release, remark: None, results: vec![result], elapsed, unusable }
    }

    fn take_in(&mut self, event: &Event) {
        match event {
            Event::Note(Note::Opened { release, remark }) => {
                self.release = Some(release.clone());
                self.remark = remark.clone().or(self.remark.take());
            }
            Event::Note(Note::Result(case, result)) => self.results[*case] = result.clone(),
            Event::Note(Note::Opening(_) | Note::Running(_)) => {}
            Event::Finished { elapsed, unusable } => {
                self.elapsed = *elapsed;
                self.unusable = unusable.clone();
            }
        }
    }
}

/// The exit status of a run: 0 all as expected, 1 a case was not, 3 the harness could not do its work, 130 interrupted.
pub fn exit_status(runs: &[TargetRun]) -> u8 {
    if interrupt::requested() {
        return interrupt::STATUS;
    }
    let verdicts = || runs.iter().flat_map(|run| &run.results).map(|result| &result.verdict);
    if verdicts().any(|v| matches!(v, Verdict::Lost(_))) || runs.iter().any(|run| run.unusable.is_some()) {
        3
    } else if verdicts().all(Verdict::is_fine) {
        0
    } else {
        1
    }
}
