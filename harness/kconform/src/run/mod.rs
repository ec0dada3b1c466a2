//! Runs cases on targets, side by side, and gathers what came of them.

pub mod enough;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::case::Case;
use crate::guest::qemu::end_all;
use crate::interrupt;
use crate::judge::Verdict;
use crate::kernel::Kernel;
use crate::targets::{CaseResult, Leaks, Note, Target, Unusable, Worker};

/// What is said of a case whose result is not there.
pub(crate) const NO_RESULT: &str = "no result came";

/// What came of the cases on one target.
#[derive(Clone, Debug)]
pub struct TargetRun {
    /// The target's name.
    pub name: String,
    /// `uname -r`, once it was reached.
    pub release: Option<String>,
    /// What is known of its kernel, once it was reached.
    pub kernel: Option<Kernel>,
    /// What its guests' random numbers come of (`--seed`); `None` where it has no guests.
    pub seed: Option<u32>,
    /// What else is to be said of it: the accelerator.
    pub remark: Option<String>,
    /// One for each case, in the cases' order. Of several rounds it is the first that was not as it should be, else the
    /// first.
    pub results: Vec<CaseResult>,
    /// For each case, how often it came to which verdict ([`Verdict::word`]).
    pub tallies: Vec<BTreeMap<&'static str, u64>>,
    /// From starting the target to its last result.
    pub elapsed: Duration,
    /// Why the target could not be used, or no more.
    pub unusable: Option<Unusable>,
}

/// How cases are run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How many targets run at a time.
    pub jobs: usize,
    /// How often each target runs all cases; `None`: until it is stopped.
    pub rounds: Option<u64>,
    /// A target runs no further round once a case was not as it should be.
    pub until_fail: bool,
    /// How many guests of a target run side by side, each with a part of the cases.
    pub guests: usize,
    /// How many cases run side by side on each kernel that is no guest's; `None`: as many as suit the target
    /// ([`Target::usually_beside`]).
    pub beside: Option<usize>,
    /// Cases run in another order, which this number gives; `None`: in theirs.
    pub shuffle: Option<u64>,
    /// Every case has a guest for itself, as far as targets are guests.
    pub isolate: bool,
    /// Whether what outlives a case is looked for.
    pub leaks: Leaks,
}

/// One target after the other, each case once, a guest for all of them.
impl Default for Options {
    fn default() -> Options {
        let leaks = Leaks::Looked;
        let rounds = Some(1);
        let (jobs, guests) = (1, 1);
        Options {
            jobs,
            rounds,
            until_fail: false,
            guests,
            beside: None,
            shuffle: None,
            isolate: false,
            leaks,
        }
    }
}

/// Something happened on a target.
#[derive(Debug)]
pub enum Event {
    /// A worker says something.
    Note(Note),
    /// Another round begins; the first one has number 1, and is not announced.
    Round(u64),
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

/// How long of it they may take without their guests being ended under them: one that boots hears of nothing.
const BY_THEMSELVES: Duration = Duration::from_millis(500);

/// How often an interruption is looked for.
const GLANCE: Duration = Duration::from_millis(100);

/// Runs all cases on all targets. `tell` is called on this thread, with the target's
/// index and what is known of it by now. After an interruption what
/// is known by then comes back.
pub fn run(
    cases: &Arc<[Case]>,
    targets: &[Target],
    options: Options,
    tell: &mut dyn FnMut(usize, &Event, &TargetRun),
) -> Vec<TargetRun> {
    let (sender, receiver) = channel();
    let mut runs: Vec<TargetRun> = targets
        .iter()
        .map(|target| TargetRun { seed: target.seed(), ..TargetRun::new(&target.name, cases.len()) })
        .collect();
    let waiting = Arc::new(Mutex::new(targets.iter().cloned().enumerate().collect::<VecDeque<_>>()));
    for _ in 0..options.jobs.clamp(1, targets.len().max(1)) {
        let (cases, waiting, sender) = (cases.clone(), waiting.clone(), sender.clone());
        // Not a scoped thread: one that is stuck must not keep an interrupted run from ending.
        std::thread::spawn(move || {
            loop {
                let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                let Some((nth, target)) = next else { return };
                run_target(&cases, target, nth, options, &sender);
            }
        });
    }
    drop(sender);
    let mut interrupted: Option<Instant> = None;
    let mut ended = vec![false; targets.len()];
    loop {
        if interrupt::requested() {
            let since = interrupted.get_or_insert_with(Instant::now).elapsed();
            if since > LAST {
                break;
            }
            if since > BY_THEMSELVES {
                end_all();
            }
        }
        match receiver.recv_timeout(GLANCE) {
            Ok((nth, event)) => {
                ended[nth] |= matches!(event, Event::Finished { .. });
                runs[nth].take_in(&event);
                tell(nth, &event, &runs[nth]);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    unfinished(&mut runs, &ended, interrupt::requested());
    runs
}

/// A target that did not come to its end is lost, though its cases may all have results of earlier rounds.
fn unfinished(runs: &mut [TargetRun], ended: &[bool], interrupted: bool) {
    let what =
        if interrupted { "interrupted" } else { "its thread ended before its time: a bug of kconform's" };
    for (run, _) in runs.iter_mut().zip(ended).filter(|(_, ended)| !**ended) {
        run.unusable = Some(Unusable { what: what.into(), mend: None, not_set_up: false });
    }
}

fn run_target(cases: &[Case], target: Target, nth: usize, options: Options, sender: &Sender<(usize, Event)>) {
    let begun = Instant::now();
    // After an interruption nobody may be there to receive.
    let tell = |event| drop(sender.send((nth, event)));
    let is_guest = target.is_guest();
    let guests = if is_guest { options.guests.clamp(1, cases.len().max(1)) } else { 1 };
    let beside = options.beside.unwrap_or_else(|| target.usually_beside());
    let beside = if is_guest { 1 } else { beside.min(cases.len() / FEWEST) };
    let worker =
        || Worker::new(target.clone()).isolated(options.isolate).checking_leaks(options.leaks, false);
    let mut workers: Vec<Worker> = (0..guests).map(|_| worker()).collect();
    let failed = AtomicBool::new(false);
    let mut order =
        if beside > 1 && options.shuffle.is_none() { spread(cases) } else { (0..cases.len()).collect() };
    let mut random = options.shuffle.map(fastrand::Rng::with_seed);
    for round in 1.. {
        // Each round has an order of its own.
        if let Some(random) = &mut random {
            random.shuffle(&mut order);
        }
        let ordered: Vec<&Case> = order.iter().map(|&nth| &cases[nth]).collect();
        if round > 1 {
            tell(Event::Round(round));
        }
        let tell = |note: Note| {
            let note = note.renumbered(|nth| order[nth]);
            if matches!(&note, Note::Result(_, result) if !result.verdict.is_fine()) {
                failed.store(true, Ordering::Relaxed);
            }
            tell(Event::Note(note));
        };
        match &mut workers[..] {
            [worker] if beside > 1 => run_side_by_side(&ordered, worker, beside, &tell),
            several => run_round(&ordered, several, options.isolate, &tell),
        }
        let failed = failed.load(Ordering::Relaxed);
        let enough = options.rounds.is_some_and(|rounds| round >= rounds) || options.until_fail && failed;
        if enough || unusable(&workers).is_some() {
            break;
        }
    }
    for change in workers.iter_mut().filter_map(Worker::changes) {
        tell(Event::Note(Note::Remark(change)));
    }
    let unusable = unusable(&workers).cloned();
    // The target ends before it is said to have.
    drop(workers);
    tell(Event::Finished { elapsed: begun.elapsed(), unusable });
}

/// Why one of the workers can do no more.
fn unusable(workers: &[Worker]) -> Option<&Unusable> {
    workers.iter().find_map(Worker::unusable)
}

/// Parts that each worker gets of the cases, if it is not alone: enough that all of them end at about the same time.
const PARTS: usize = 8;

/// Each case once, by whichever worker comes to it. A worker that can do no more ends; what nobody came to is lost.
fn run_round(cases: &[&Case], workers: &mut [Worker], isolate: bool, tell: &(dyn Fn(Note) + Sync)) {
    let part = match workers.len() {
        1 => cases.len().max(1),
        _ if isolate => 1,
        several => cases.len().div_ceil(several * PARTS).max(1),
    };
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for worker in workers.iter_mut() {
            let next = &next;
            scope.spawn(move || {
                while worker.unusable().is_none() {
                    let first = next.fetch_add(part, Ordering::Relaxed);
                    let Some(rest) = cases.get(first..).filter(|rest| !rest.is_empty()) else { return };
                    let some = &rest[..part.min(rest.len())];
                    worker.run(some, &mut |note| tell(note.renumbered(|nth| nth + first)));
                }
            });
        }
    });
    let why = unusable(workers).map_or_else(String::new, |unusable| unusable.what.clone());
    let lost = CaseResult { verdict: Verdict::Lost(why), seen: None, remark: None };
    for case in next.into_inner().min(cases.len())..cases.len() {
        tell(Note::NotRun(case, lost.clone()));
    }
}

/// A worker gets at least so many cases; else an agent more costs more than it saves.
const FEWEST: usize = 16;

/// An order of the cases that spreads those of each suite evenly. Neighbours in a file often wait for the same lock of the kernel
/// (RTNL, say) and hold up whatever runs beside them.
fn spread(cases: &[Case]) -> Vec<usize> {
    let mut of_suite: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (nth, case) in cases.iter().enumerate() {
        of_suite.entry(&case.suite).or_default().push(nth);
    }
    // The middle of a case's share of the run, from 0 to 2^32.
    let place = |nth: usize, of: usize| ((2 * nth as u64 + 1) << 32) / (2 * of as u64);
    let mut placed: Vec<(u64, usize)> = of_suite
        .values()
        .flat_map(|suite| suite.iter().enumerate().map(|(nth, &case)| (place(nth, suite.len()), case)))
        .collect();
    placed.sort_unstable();
    placed.into_iter().map(|(_, case)| case).collect()
}

/// Each case once, on one kernel, so many at a time; those that need the kernel for themselves, or did not simply pass, run
/// alone when the others are through.
fn run_side_by_side(all: &[&Case], worker: &mut Worker, beside: usize, tell: &(dyn Fn(Note) + Sync)) {
    let (mut alone, free): (Vec<usize>, Vec<usize>) = (0..all.len()).partition(|&nth| all[nth].exclusive);
    worker.get_ready(all, &mut |note| tell(note));
    let next = AtomicUsize::new(0);
    let take = || free.get(next.fetch_add(1, Ordering::Relaxed)).copied();
    let again = Mutex::new(Vec::new());
    let run = |worker: &mut Worker, tell: &mut dyn FnMut(Note)| {
        let back = worker.run_beside(all, &take, tell);
        again.lock().unwrap_or_else(PoisonError::into_inner).extend(back);
    };
    if worker.unusable().is_none() {
        let seconds: Vec<Worker> = (1..beside).map(|_| worker.second()).collect();
        std::thread::scope(|scope| {
            for mut second in seconds {
                // Of its agent nothing is said: it is not the target.
                scope.spawn(move || {
                    run(&mut second, &mut |note| {
                        if matches!(note, Note::Running(_) | Note::Result(..)) {
                            tell(note);
                        }
                    });
                });
            }
            run(worker, &mut |note| tell(note));
        });
    }
    alone.extend(free.iter().skip(next.into_inner()));
    let again = again.into_inner().unwrap_or_else(PoisonError::into_inner);
    worker.run_alone(all, again, &alone, &mut |note| tell(note));
}

impl TargetRun {
    /// Nothing is known of any of its cases yet.
    pub(crate) fn new(name: &str, cases: usize) -> TargetRun {
        let lost = CaseResult { verdict: Verdict::Lost(NO_RESULT.into()), seen: None, remark: None };
        TargetRun {
            name: name.to_owned(),
            release: None,
            kernel: None,
            seed: None,
            remark: None,
            results: vec![lost; cases],
            tallies: vec![BTreeMap::new(); cases],
            elapsed: Duration::ZERO,
            unusable: None,
        }
    }

    /// The run of a single case.
    pub fn of_one(name: &str, worker: &Worker, result: CaseResult, elapsed: Duration) -> TargetRun {
        TargetRun {
            release: worker.kernel().map(|k| k.release.clone()),
            kernel: worker.kernel().cloned(),
            unusable: worker.unusable().cloned(),
            seed: worker.target().seed(),
            results: vec![result],
            elapsed,
            ..TargetRun::new(name, 1)
        }
    }

    fn take_in(&mut self, event: &Event) {
        match event {
            Event::Note(Note::Opened { kernel, remark }) => {
                self.release = Some(kernel.release.clone());
                self.kernel = Some((**kernel).clone());
                self.remark = remark.clone().or(self.remark.take());
            }
            Event::Note(Note::Result(case, result)) => self.take_result(*case, result),
            // What a later round did not come to, since the target was lost, is no news of the case.
            Event::Note(Note::NotRun(case, _)) if !self.tallies[*case].is_empty() => {}
            Event::Note(Note::NotRun(case, result)) => self.take_result(*case, result),
            Event::Note(Note::Remark(more)) => {
                let remarks = self.remark.take().into_iter().chain([more.clone()]);
                self.remark = Some(remarks.collect::<Vec<_>>().join("; "));
            }
            Event::Note(Note::Opening(_) | Note::Doing(_) | Note::Running(_)) | Event::Round(_) => {}
            Event::Finished { elapsed, unusable } => {
                self.elapsed = *elapsed;
                self.unusable = unusable.clone();
            }
        }
    }
}

impl TargetRun {
    /// Not all its cases came to a result: the target was lost, or the run was interrupted.
    pub fn is_partial(&self) -> bool {
        self.unusable.is_some() || self.tallies.iter().any(BTreeMap::is_empty)
    }

    fn take_result(&mut self, case: usize, result: &CaseResult) {
        let tally = &mut self.tallies[case];
        let is_later = !tally.is_empty();
        if !is_later || self.results[case].verdict.is_fine() && !result.verdict.is_fine() {
            self.results[case] = result.clone();
        }
        *tally.entry(result.verdict.word()).or_default() += 1;
    }
}

/// The exit status of a run by its verdicts ([`enough`] has more to say): 0 all as expected, 1 a case was not, 3 the harness could not do its work, 130 interrupted.
pub fn exit_status(runs: &[TargetRun]) -> u8 {
    if interrupt::requested() {
        return interrupt::STATUS;
    }
    let verdicts = || runs.iter().flat_map(|run| &run.results).map(|result| &result.verdict);
    if verdicts().any(|v| matches!(v, Verdict::Lost(_)))
        || runs.iter().any(|run| run.unusable.is_some())
        || !crate::folder::left().is_empty()
    {
        3
    } else if verdicts().all(Verdict::is_fine) {
        0
    } else {
        1
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rstest::rstest;

    use super::*;
    use crate::load::{SuiteFile, load};
    use crate::place::File;

    fn passed() -> CaseResult {
        CaseResult { verdict: Verdict::Passed, seen: None, remark: None }
    }

    fn lost() -> CaseResult {
        CaseResult { verdict: Verdict::Lost("gone".into()), ..passed() }
    }

    #[test]
    fn cases_of_a_suite_are_spread_over_the_run() {
        let of = |suite: &str, names: &[&str]| {
            let cases = names.iter().map(|name| format!("  - {{name: {name}, steps: [{{getpid: []}}]}}\n"));
            let text = format!("cases:\n{}", cases.collect::<String>());
            let file = Arc::new(File { path: format!("{suite}.yaml").into(), text });
            load(&[SuiteFile { suite: suite.into(), file }]).cases
        };
        let cases = [of("a", &["0", "1", "2", "3"]), of("b", &["4", "5"]), of("c", &["6"])].concat();
        assert_eq!(spread(&cases), [0, 4, 1, 6, 2, 5, 3]);
        assert_eq!(spread(&cases[1..3]), [0, 1]);
        assert!(spread(&[]).is_empty());
    }

    /// A case that passed in the first round, and what is said of it in the second.
    #[rstest]
    #[case::lost_by_itself(Note::Result(0, lost()), "lost", 2)]
    #[case::lost_with_the_target(Note::NotRun(0, lost()), "passed", 1)]
    fn what_is_lost_in_a_later_round(#[case] note: Note, #[case] word: &str, #[case] runs: u64) {
        let mut run = TargetRun::new("native", 1);
        run.take_in(&Event::Note(Note::Result(0, passed())));
        run.take_in(&Event::Note(note));
        assert_eq!(run.results[0].verdict.word(), word);
        assert_eq!(run.tallies[0].values().sum::<u64>(), runs);
    }

    #[rstest]
    #[case::interrupted(true, "interrupted")]
    #[case::panicked(false, "its thread ended before its time: a bug of kconform's")]
    fn a_target_without_an_end_is_lost(#[case] interrupted: bool, #[case] what: &str) {
        let mut runs = vec![TargetRun::new("native", 1), TargetRun::new("x86_64", 1)];
        for run in &mut runs {
            run.take_in(&Event::Note(Note::Result(0, passed())));
        }
        unfinished(&mut runs, &[true, false], interrupted);
        assert!(!runs[0].is_partial() && runs[1].is_partial());
        assert_eq!(runs[1].unusable.as_ref().map(|unusable| unusable.what.as_str()), Some(what));
    }
}
