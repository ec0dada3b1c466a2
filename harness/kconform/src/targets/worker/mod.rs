//! Runs cases on one target: skips what its kernel cannot run, keeps the agent busy, judges what comes back, and starts
//! a fresh agent when one is lost, so that a fault costs one case.

mod beside;
mod changes;
mod fault;
mod held_up;
mod neighbours;
mod parked;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use kconform_plan::{BtfAnswer, BtfQuery, End, Observation, Plan, SetSysctl, Sysctl, Trace};

use super::leaks::Leaks;
use super::seed::GuestSeed;
use super::session::HeldUp;
use super::{Opened, Target, Unusable};
use crate::case::{Case, Probe};
use crate::guest::{Doing, Hears};
use crate::interrupt;
use crate::judge::{Found, Verdict, judge, judge_probe};
use crate::kernel::{Kernel, Unmet};
use crate::lower::{Lowered, lower, lower_probe};
use beside::Beside;
use changes::Before;
use fault::Fault;
use held_up::HeldUpCases;
use neighbours::{Neighbours, Suspects};
use parked::Parked;

/// How many agents in a row may be lost without a single result before the target is given up.
const MOST_LOSSES: u32 = 20;

/// What came of a case.
#[derive(Clone, Debug)]
pub struct CaseResult {
    /// The verdict.
    pub verdict: Verdict,
    /// What was seen and the plan that was run, unless the case was skipped or lost.
    pub seen: Option<Arc<(Lowered, Observation)>>,
    /// What happened on the way: the case ran again, since QEMU died by itself, say.
    pub remark: Option<String>,
}

impl CaseResult {
    fn bare(verdict: Verdict) -> CaseResult {
        CaseResult { verdict, seen: None, remark: None }
    }

    /// The same, and this is said of it before all else.
    fn remarked(mut self, told: String) -> CaseResult {
        let also = self.remark.map(|remark| format!("; {remark}")).unwrap_or_default();
        self.remark = Some(told + &also);
        self
    }

    /// How long the case took on the target.
    pub fn duration(&self) -> Duration {
        Duration::from_nanos(self.seen.as_ref().map_or(0, |seen| seen.1.duration_ns))
    }
}

/// What a worker says while it works.
#[derive(Clone, Debug)]
pub enum Note {
    /// The target is being started; `true`: again.
    Opening(bool),
    /// What is being done for its guest.
    Doing(Doing),
    /// It runs.
    Opened {
        /// What is known of its kernel.
        kernel: Box<Kernel>,
        /// What else to know.
        remark: Option<String>,
    },
    /// More is to be said of the target.
    Remark(String),
    /// These cases are next: the index of the first one that has no result yet.
    Running(usize),
    /// A case has its result, by its index in what was given to run.
    Result(usize, CaseResult),
    /// A case is not run, since the target can do no more: it is lost with it.
    NotRun(usize, CaseResult),
}

impl Note {
    /// The same, with other indices of cases.
    pub(crate) fn renumbered(self, index: impl Fn(usize) -> usize) -> Note {
        match self {
            Note::Running(case) => Note::Running(index(case)),
            Note::Result(case, result) => Note::Result(index(case), result),
            Note::NotRun(case, result) => Note::NotRun(index(case), result),
            other => other,
        }
    }
}

/// A target at work.
pub struct Worker {
    target: Target,
    opened: Option<Opened>,
    /// The kernel of the last agent, which outlives it.
    kernel: Option<Kernel>,
    unusable: Option<Unusable>,
    /// What probes found, by their ids and the sysctls that were set then.
    probes: HashMap<(String, Vec<SetSysctl>), Found>,
    /// What the kernel said of its types: it is the same one whenever the target is started again.
    types: Arc<BTreeMap<BtfQuery, BtfAnswer>>,
    /// Sysctls that were asked for, beside those that every agent tells.
    sysctls: BTreeMap<String, Sysctl>,
    losses: u32,
    /// Every case has a kernel for itself.
    isolated: bool,
    /// A case was sent to the agent that is there now.
    touched: bool,
    /// The agent that is there now was sent a seed.
    seeded: bool,
    /// Those of the agent that is there now.
    neighbours: Neighbours,
    leaks: Leaks,
    /// Of what lingers only what is known to be held by something counts: nothing is waited for.
    hurried: bool,
    before: Before,
    /// By their numbers.
    parked: BTreeMap<u64, Parked>,
    /// It works beside another one, which looks at the machine for both.
    is_second: bool,
    held_up: HeldUpCases,
}

/// A case that has no result yet.
struct Waiting {
    case: usize,
    /// Other workers ran cases at the same time when something was suspected: that explains it, if it does not come again.
    was_beside: bool,
    /// The agent was lost, or the kernel came to harm, when the case ran first: it runs alone then, on a fresh agent,
    /// to tell a fault of the case from one that would have come anyway.
    before: Option<Fault>,
    /// What was there when the case had run first, which may be somebody else's: it runs alone to see whether that comes again.
    suspected: Option<Vec<Trace>>,
    /// It failed, and others may have been to blame: it runs alone, on a fresh agent.
    after: Option<Suspects>,
}

impl Waiting {
    /// One that was not sent yet.
    fn new(case: usize) -> Waiting {
        Waiting { case, was_beside: false, before: None, suspected: None, after: None }
    }

    /// Nothing else is in flight with it.
    fn is_alone(&self) -> bool {
        self.before.is_some() || self.suspected.is_some() || self.after.is_some()
    }
}

/// What is said of a case after which a fresh agent took over.
fn spent_remark(why: &str) -> String {
    format!("a fresh agent took over: {why}")
}

/// A case on its way through an agent.
struct Flight {
    waiting: Waiting,
    lowered: Lowered,
}

/// Cases on their way to their results.
struct Round<'a> {
    cases: &'a [&'a Case],
    /// They have no result, and are not sent.
    queue: VecDeque<Waiting>,
    /// They are sent, the first one first.
    flying: VecDeque<Flight>,
    /// Where more come from, if other workers run cases of this kernel at the same time.
    beside: Option<Beside<'a>>,
    /// Hears what is known.
    tell: &'a mut dyn FnMut(Note),
}

impl<'a> Round<'a> {
    fn new(cases: &'a [&'a Case], tell: &'a mut dyn FnMut(Note)) -> Round<'a> {
        Round { cases, queue: VecDeque::new(), flying: VecDeque::new(), beside: None, tell }
    }

    /// The next case to be sent.
    fn next(&mut self) -> Option<&Waiting> {
        if self.queue.is_empty() {
            self.queue.extend(self.beside.as_ref().and_then(|beside| (beside.next)()).map(Waiting::new));
        }
        self.queue.front()
    }

    fn is_over(&mut self) -> bool {
        self.flying.is_empty() && self.next().is_none()
    }

    /// What was sent comes first again, in its order.
    fn call_back(&mut self) {
        self.flying.drain(..).rev().for_each(|flight| self.queue.push_front(flight.waiting));
    }
}

impl Worker {
    /// A worker that has not started anything yet.
    pub fn new(target: Target) -> Worker {
        Worker {
            target,
            opened: None,
            kernel: None,
            unusable: None,
            probes: HashMap::new(),
            types: Arc::default(),
            sysctls: BTreeMap::new(),
            losses: 0,
            isolated: false,
            touched: false,
            seeded: false,
            neighbours: Neighbours::default(),
            leaks: Leaks::Ignored,
            hurried: false,
            before: Before::default(),
            parked: BTreeMap::new(),
            is_second: false,
            held_up: HeldUpCases::default(),
        }
    }

    /// Whether what outlives a case is looked for. `hurried`: a case's result is not to wait for what may go yet.
    pub fn checking_leaks(self, leaks: Leaks, hurried: bool) -> Worker {
        Worker { leaks, hurried, ..self }
    }

    /// Whether every case has a guest for itself; without meaning where the target is none.
    pub fn isolated(self, isolated: bool) -> Worker {
        Worker { isolated: isolated && self.target.is_guest(), ..self }
    }

    /// What it works on.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The kernel, once it was reached.
    pub fn kernel(&self) -> Option<&Kernel> {
        self.kernel.as_ref()
    }

    /// Why the target cannot be used, if it cannot.
    pub fn unusable(&self) -> Option<&Unusable> {
        self.unusable.as_ref()
    }

    /// Runs one case.
    pub fn run_one(&mut self, case: &Case, tell: &mut dyn FnMut(Note)) -> CaseResult {
        let mut result = None;
        self.run(&[case], &mut |note| match note {
            Note::Result(_, found) | Note::NotRun(_, found) => result = Some(found),
            other => tell(other),
        });
        result.unwrap_or_else(|| CaseResult::bare(Verdict::Lost("it was not run".into())))
    }

    /// Runs cases in order; each gets exactly one [`Note::Result`] or [`Note::NotRun`].
    pub fn run(&mut self, cases: &[&Case], tell: &mut dyn FnMut(Note)) {
        let mut round = Round::new(cases, tell);
        round.queue.extend((0..cases.len()).map(Waiting::new));
        self.work(&mut round);
    }

    /// Brings all cases of a round to their results.
    fn work(&mut self, round: &mut Round<'_>) {
        loop {
            if round.is_over() {
                self.settle(round);
            }
            if round.is_over() {
                return;
            }
            if self.opened.is_none() {
                self.unpark(&mut round.queue);
            }
            let Some(mut kernel) = self.open(round.tell) else { return self.give_up(round) };
            let asks = round.flying.is_empty() && round.beside.is_none();
            if asks && !(self.ask_types(round.cases) && self.ask_sysctls(round.cases)) {
                continue;
            }
            self.complete(&mut kernel);
            self.fill(&kernel, round);
            let Some(first) = round.flying.front() else { continue };
            let fresh = round.cases[first.waiting.case].fresh;
            let suspected = first.waiting.suspected.is_some();
            (round.tell)(Note::Running(first.waiting.case));
            self.take(&kernel, round);
            if self.isolated || fresh || suspected {
                self.settle(round);
            }
            if self.isolated || fresh {
                self.opened = None;
            }
        }
    }

    /// The target can do no more.
    fn give_up(&mut self, round: &mut Round<'_>) {
        self.unpark(&mut round.queue);
        round.call_back();
        if let Some(beside) = &mut round.beside {
            return beside.alone.extend(round.queue.drain(..));
        }
        let why = self.unusable.as_ref().map(|u| u.what.clone()).unwrap_or_default();
        for waiting in round.queue.drain(..) {
            (round.tell)(Note::NotRun(waiting.case, CaseResult::bare(Verdict::Lost(why.clone()))));
        }
    }

    /// Adds what was asked of the kernel since it was reached.
    fn complete(&self, kernel: &mut Kernel) {
        if let Some(opened) = &self.opened {
            kernel.sysctls = opened.kernel.sysctls.clone();
        }
        kernel.btf = self.types.clone();
    }

    /// The kernel of an agent that is ready; starts one if there is none.
    fn open(&mut self, tell: &mut dyn FnMut(Note)) -> Option<Kernel> {
        if self.unusable.is_none() && self.losses >= MOST_LOSSES {
            let what = format!("given up after {MOST_LOSSES} agents were lost in a row");
            self.unusable = Some(Unusable { what, mend: None, not_set_up: false });
        }
        if interrupt::requested() {
            self.opened = None;
            self.unusable = Some(Unusable { what: "interrupted".into(), mend: None, not_set_up: false });
        }
        if self.unusable.is_some() {
            return None;
        }
        if self.opened.is_none() {
            tell(Note::Opening(self.kernel.is_some()));
            let heard = RefCell::new(&mut *tell);
            let opened = self.target.open(Hears(&|doing| (heard.borrow_mut())(Note::Doing(doing))));
            match opened {
                Ok(mut opened) => {
                    if !self.sysctls.is_empty() {
                        Arc::make_mut(&mut opened.kernel.sysctls).extend(self.sysctls.clone());
                    }
                    let kernel = Box::new(opened.kernel.clone());
                    let hidden = kernel.may_look_for_leaks().err().filter(|_| self.leaks == Leaks::Looked);
                    let remarks = opened.remark.iter().cloned().chain(hidden.map(str::to_owned));
                    let remark = remarks.reduce(|all, next| format!("{all}; {next}"));
                    tell(Note::Opened { kernel, remark });
                    self.kernel = Some(opened.kernel.clone());
                    if self.leaks != Leaks::Ignored {
                        // A broken stream is noticed when a case gets no answer.
                        let _ = opened.session.watch();
                    }
                    self.opened = Some(opened);
                    self.look_before();
                    (self.touched, self.seeded) = (false, false);
                    self.neighbours = Neighbours::default();
                }
                Err(unusable) => self.unusable = Some(unusable),
            }
        }
        self.opened.as_ref().map(|opened| opened.kernel.clone())
    }

    /// Sends plans until enough are ahead; cases that this kernel cannot run get their results at once.
    fn fill(&mut self, kernel: &Kernel, round: &mut Round<'_>) {
        let cases = round.cases;
        let alone = |flying: &VecDeque<Flight>| {
            flying.front().is_some_and(|f| f.waiting.is_alone() || cases[f.waiting.case].fresh)
        };
        let most = self.opened.as_ref().map_or(1, |opened| opened.session.most_ahead());
        let ahead = match &round.beside {
            _ if self.isolated => 1,
            Some(_) => most.min(beside::AHEAD),
            None => most,
        };
        while round.flying.len() < ahead
            && !alone(&round.flying)
            && let Some(next) = round.next()
        {
            let (case, is_alone) = (cases[next.case], next.is_alone());
            let unknown = self.has_unknown_probes(case, kernel);
            if !round.flying.is_empty() && (is_alone || unknown || case.fresh) {
                return;
            }
            let prepared = self.prepare(case, kernel);
            if case.fresh && self.touched && prepared.is_ok() {
                self.settle(round);
                self.opened = None;
                return;
            }
            if self.isolated && unknown {
                // The probes ran on this kernel; now they are known, and the case gets another.
                self.opened = None;
            }
            if prepared.is_ok() {
                self.seed(&case.id);
            }
            let Some(opened) = &mut self.opened else { return };
            let Some(waiting) = round.queue.pop_front() else { return };
            match prepared {
                Ok(mut lowered) => {
                    self.touched = true;
                    self.held_up.give_time(waiting.case, &mut lowered.plan);
                    // A broken stream is noticed when the answer does not come.
                    let _ = opened.session.send(waiting.case as u64, lowered.plan.clone());
                    round.flying.push_back(Flight { waiting, lowered });
                }
                Err(verdict) => (round.tell)(Note::Result(waiting.case, CaseResult::bare(verdict))),
            }
        }
    }

    /// Waits for the first case in flight.
    fn take(&mut self, kernel: &Kernel, round: &mut Round<'_>) {
        let Some(opened) = &mut self.opened else { return };
        let received = opened.session.receive();
        let Some(Flight { mut waiting, lowered }) = round.flying.pop_front() else { return };
        let case = round.cases[waiting.case];
        let fault = match received {
            Ok((_, observation)) => {
                let verdict = match judge(case, &lowered, &observation, kernel) {
                    Verdict::Passed if self.leaks == Leaks::Demanded => {
                        match opened.kernel.may_look_for_leaks() {
                            Ok(()) => Verdict::Passed,
                            Err(hidden) => Verdict::Lost(hidden.into()),
                        }
                    }
                    verdict => verdict,
                };
                if let Some(beside) = &mut round.beside
                    && let Some(alone) = beside::again_alone(&waiting, &verdict, &observation)
                {
                    beside.alone.push(alone);
                    return self.end_if_spent(round);
                }
                match verdict {
                    // A kernel that came to harm says nothing reliable any more; the host's own is all there is.
                    Verdict::Crashed { what, console } if !kernel.host => Fault::Kernel { what, console },
                    verdict => {
                        self.losses = 0;
                        let held_up = opened.session.held_up();
                        let timed_out = matches!(verdict, Verdict::TimedOut(_));
                        if self.held_up.again(waiting.case, timed_out, held_up) {
                            self.end_if_spent(round);
                            round.queue.push_front(waiting);
                            return;
                        }
                        let first = waiting.after.is_none() && waiting.suspected.is_none();
                        if let Some(suspects) = self.neighbours.suspects(&verdict).filter(|_| first) {
                            self.opened = None;
                            round.call_back();
                            self.unpark(&mut round.queue);
                            round.queue.push_front(Waiting { after: Some(suspects), ..waiting });
                            return;
                        }
                        if observation.unusual {
                            self.neighbours.add(&case.id);
                        }
                        let spent = opened.session.spent().map(spent_remark);
                        let (verdict, remark) = match waiting.before.clone() {
                            Some(fault) => fault.then(verdict),
                            None => (verdict, None),
                        };
                        // That it has a kernel for itself is what `fresh` says.
                        let remark = remark.or(spent.clone().filter(|_| !case.fresh));
                        // An agent that runs nothing more is not asked either.
                        let lingers = observation.lingers && spent.is_none();
                        let seen = Some(Arc::new((lowered, observation)));
                        let result = CaseResult { verdict, seen, remark };
                        let result = match waiting.after.take() {
                            Some(suspects) => suspects.then(result),
                            None => result,
                        };
                        let result = self.held_up.told(waiting.case, result);
                        self.judged(waiting, result, lingers, round);
                        return self.end_if_spent(round);
                    }
                }
            }
            Err(broken) => {
                self.losses += 1;
                Fault::new(&broken, opened.session.last_words(&broken))
            }
        };
        self.opened = None;
        round.call_back();
        self.unpark(&mut round.queue);
        if let Some(beside) = &mut round.beside {
            return beside.alone.push(Waiting { before: Some(fault), ..waiting });
        }
        match waiting.before {
            None => round.queue.push_front(Waiting { before: Some(fault), ..waiting }),
            Some(_) => (round.tell)(Note::Result(waiting.case, CaseResult::bare(fault.verdict(case)))),
        }
    }

    /// An agent that runs nothing more is left. The cases that were sent ahead have not begun.
    fn end_if_spent(&mut self, round: &mut Round<'_>) {
        if self.opened.as_ref().is_some_and(|opened| opened.session.spent().is_some()) {
            self.opened = None;
            round.call_back();
            self.unpark(&mut round.queue);
        }
    }

    /// Whether a case needs a probe that has not run yet, with the sysctls that the case has.
    fn has_unknown_probes(&self, case: &Case, kernel: &Kernel) -> bool {
        if case.needs.is_empty() {
            return false;
        }
        let set = kernel.to_set(&case.requires, case.fresh);
        case.needs.iter().any(|probe| !self.probes.contains_key(&(probe.id.clone(), set.clone())))
    }

    /// Lowers a case for the kernel, if it is one for it and its probes find what they look for.
    fn prepare(&mut self, case: &Case, kernel: &Kernel) -> Result<Lowered, Verdict> {
        let skip = |unmet: Unmet| Verdict::Skipped(unmet.reason);
        let lowered = lower(case, kernel, self.target.time_factor()).map_err(skip)?;
        if case.fresh && !self.target.is_guest() {
            return Err(Verdict::Skipped("needs a guest that is thrown away afterwards (fresh)".into()));
        }
        for probe in &case.needs {
            let key = (probe.id.clone(), lowered.plan.sysctls.clone());
            if !self.probes.contains_key(&key) {
                let found = self.probe(probe, &key.1, kernel);
                self.probes.insert(key.clone(), found);
            }
            match self.probes.get(&key) {
                Some(Found::Absent(reason)) => return Err(Verdict::Skipped(reason.clone())),
                Some(Found::Wrong(failure)) => return Err(Verdict::Failed(failure.clone())),
                Some(Found::Unknown(verdict)) => return Err(verdict.clone()),
                Some(Found::Present) | None => {}
            }
        }
        Ok(lowered)
    }

    /// Asks the kernel for what the cases and their probes want to know of its types, once, and if they do. `false` when
    /// the agent was lost over it.
    fn ask_types(&mut self, cases: &[&Case]) -> bool {
        let own = cases.iter().flat_map(|case| &case.btf);
        let probes = cases.iter().flat_map(|case| &case.needs).flat_map(|probe| &probe.btf);
        let new: BTreeSet<_> = own.chain(probes).filter(|query| !self.types.contains_key(query)).collect();
        if new.is_empty() {
            return true;
        }
        let queries: Vec<_> = new.into_iter().cloned().collect();
        let Some(opened) = &mut self.opened else { return false };
        let answers = opened.session.btf(queries.clone());
        let Some(answers) = self.answered(answers) else { return false };
        Arc::make_mut(&mut self.types).extend(queries.into_iter().zip(answers));
        true
    }

    /// What the agent answered; one that does not answer is given up.
    fn answered<T, E>(&mut self, answer: Result<T, E>) -> Option<T> {
        if answer.is_err() {
            self.opened = None;
            self.losses += 1;
        }
        answer.ok()
    }

    /// Asks the kernel for the sysctls that the cases and their probes speak of, beside those that are known.
    fn ask_sysctls(&mut self, cases: &[&Case]) -> bool {
        let Some(opened) = &mut self.opened else { return false };
        let own = cases.iter().flat_map(|case| &case.sysctls);
        let probes = cases.iter().flat_map(|case| &case.needs).flat_map(|probe| &probe.sysctls);
        let new: BTreeSet<_> =
            own.chain(probes).filter(|name| !opened.kernel.sysctls.contains_key(*name)).collect();
        if new.is_empty() {
            return true;
        }
        let names: Vec<_> = new.into_iter().cloned().collect();
        let values = opened.session.sysctls(names.clone());
        let Some(values) = self.answered(values) else { return false };
        self.sysctls.extend(names.into_iter().zip(values));
        if let Some(opened) = &mut self.opened {
            Arc::make_mut(&mut opened.kernel.sysctls).extend(self.sysctls.clone());
        }
        true
    }

    /// Runs a probe, with the sysctls of the case that needs it; nothing else is in flight. A guest that dies under it is
    /// replaced once.
    fn probe(&mut self, probe: &Probe, sysctls: &[SetSysctl], kernel: &Kernel) -> Found {
        let lowered = match lower_probe(probe, sysctls, kernel, self.target.time_factor()) {
            Ok(lowered) => lowered,
            Err(unmet) => return Found::Absent(unmet.reason),
        };
        let mut before: Option<Fault> = None;
        for _ in 0..2 {
            if self.open(&mut |_| {}).is_none() {
                break;
            }
            self.seed(&probe.id);
            match self.ask(&lowered.plan) {
                Ok(observation) => {
                    let found = judge_probe(probe, &lowered, &observation, kernel);
                    return match before {
                        None | Some(Fault::Outside(_)) => found,
                        // What it finds now may have been otherwise the first time.
                        Some(fault) => Found::Unknown(fault.of_probe(&probe.name)),
                    };
                }
                Err(fault) => before = Some(fault),
            }
        }
        let what = before.map(|fault| fault.what().to_owned()).unwrap_or_default();
        Found::Unknown(Verdict::Lost(format!("the probe {} could not be run: {what}", probe.name)))
    }

    /// Sends a guest its seed, before the first that it runs.
    fn seed(&mut self, first: &str) {
        if let (false, Some(run), Some(opened)) = (self.seeded, self.target.seed(), &mut self.opened) {
            self.seeded = true;
            // A broken stream is noticed when the answer does not come.
            let _ = opened.session.seed(GuestSeed::new(run, first));
        }
    }

    /// Has a probe's plan run, and once more if it timed out while QEMU was held up.
    fn ask(&mut self, plan: &Plan) -> Result<Observation, Fault> {
        loop {
            let mut plan = plan.clone();
            self.held_up.give_time(held_up::PROBE, &mut plan);
            let (observation, held_up) = self.ask_once(plan)?;
            let timed_out = observation.end == End::TimedOut;
            if self.opened.is_none() || !self.held_up.again(held_up::PROBE, timed_out, held_up) {
                self.held_up.probed();
                return Ok(observation);
            }
        }
    }

    fn ask_once(&mut self, plan: Plan) -> Result<(Observation, Option<HeldUp>), Fault> {
        let Some(opened) = &mut self.opened else { return Err(Fault::Gone("there is no agent".into())) };
        self.touched = true;
        let session = &mut opened.session;
        match session.send(u64::MAX, plan).and_then(|()| session.receive()) {
            Ok((_, observation)) => {
                let held_up = session.held_up();
                if session.spent().is_some() {
                    self.opened = None;
                }
                Ok((observation, held_up))
            }
            Err(broken) => {
                let fault = Fault::new(&broken, session.last_words(&broken));
                self.opened = None;
                self.losses += 1;
                Err(fault)
            }
        }
    }
}
