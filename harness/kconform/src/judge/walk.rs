//! Goes through a plan's steps in order, with what was recorded of each, up to the first thing that is not as expected.

use std::collections::HashMap;

use kconform_plan::{
    Bytes, Call, ChildEnd, End, Got, Mismatch, Observation, Op, RecordKind, Saved, Source, Step as PlanStep,
    Trouble, Value, is_error, number_in,
};

use super::failure::{Failure, FailureKind, describe_bytes, describe_errno, describe_ret, describe_wanted};
use crate::case::{CallStep, Errno, Outcome, RetWant, Step, StepKind};
use crate::lower::{Lowered, LoweredCall};
use crate::place::Place;

/// How far a list of steps came.
pub(super) enum Walked {
    /// All did what was expected.
    Held,
    /// A step that ends the case well was reached.
    Over,
    /// Something was not as expected.
    Failed(Box<Failure>),
    /// A sysctl may not be written to: what was refused, and the failure where it must not be.
    Refused(String, Box<Failure>),
    /// The agent could not do what a step needs.
    Trouble(String),
}

/// How a process ended, as far as its steps are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ProcessEnd {
    Finished,
    Exited(i32),
    Signaled(i32),
    TimedOut,
}

/// Where the steps of a process stop being explained by records.
enum Stop {
    Walked(Walked),
    /// The process ended within this call.
    Within(u32),
    /// The process ended before this step.
    Before(u32),
}

type Key = (u32, Vec<u32>);
type Env = HashMap<u32, Saved>;

#[derive(Default)]
struct Seen<'a> {
    begin: Option<&'a [(u32, Saved)]>,
    done: Option<(i64, &'a [Bytes])>,
    child: Option<ChildEnd>,
    trouble: Option<&'a Trouble>,
    /// The first of the rounds of which nothing is kept, and how many they are.
    skipped: Option<(u32, u32)>,
}

/// A case's steps, its plan and what was recorded.
pub(super) struct Walk<'a> {
    lowered: &'a Lowered,
    steps: HashMap<u32, &'a Step>,
    seen: HashMap<Key, Seen<'a>>,
    end: End,
}

impl<'a> Walk<'a> {
    pub(super) fn new(steps: &'a [Step], lowered: &'a Lowered, observation: &'a Observation) -> Walk<'a> {
        let mut by_index = HashMap::new();
        index_steps(steps, &mut by_index);
        let mut seen: HashMap<Key, Seen<'a>> = HashMap::new();
        for record in &observation.records {
            let entry = seen.entry((record.step, record.iteration.clone())).or_default();
            match &record.kind {
                RecordKind::Begin { slots, .. } => entry.begin = Some(slots),
                RecordKind::Done { ret, outputs, .. } => entry.done = Some((*ret, outputs)),
                RecordKind::Child(end) => entry.child = Some(*end),
                RecordKind::Trouble(trouble) => entry.trouble = Some(trouble),
                RecordKind::Skipped { first, count } => entry.skipped = Some((*first, *count)),
            }
        }
        Walk { lowered, steps: by_index, seen, end: observation.end }
    }

    /// The whole case.
    pub(super) fn case(&self) -> Walked {
        let end = match self.end {
            End::Finished => ProcessEnd::Finished,
            End::Exited(status) => ProcessEnd::Exited(status),
            End::Signaled(signal) => ProcessEnd::Signaled(signal),
            End::TimedOut => ProcessEnd::TimedOut,
            End::NotStarted(errno) | End::NotSet { errno, .. } => {
                return Walked::Trouble(describe_errno(errno));
            }
        };
        self.process(&self.lowered.plan.steps, &[], end, &mut Env::new())
    }

    /// The steps of one process, which ended in a known way.
    fn process(&self, steps: &[PlanStep], at: &[u32], end: ProcessEnd, env: &mut Env) -> Walked {
        match self.steps(steps, at, end, env) {
            Stop::Walked(Walked::Held) if end != ProcessEnd::Finished => {
                let last = steps.last().map_or(0, |step| step.index);
                self.ended(last, at, end, "after this step")
            }
            Stop::Walked(walked) => walked,
            Stop::Within(step) if self.dies_as_expected(step, end) => Walked::Held,
            Stop::Within(step) => self.ended(step, at, end, "in this call"),
            Stop::Before(step) if end == ProcessEnd::Finished => Walked::Trouble(format!(
                "step {} was not reached, and nothing in the observation says why",
                step + 1
            )),
            Stop::Before(step) => self.ended(step, at, end, "before this step"),
        }
    }

    fn steps(&self, steps: &[PlanStep], at: &[u32], end: ProcessEnd, env: &mut Env) -> Stop {
        for step in steps {
            match self.step(step, at, end, env) {
                Stop::Walked(Walked::Held) => {}
                stop => return stop,
            }
        }
        Stop::Walked(Walked::Held)
    }

    fn step(&self, step: &PlanStep, at: &[u32], end: ProcessEnd, env: &mut Env) -> Stop {
        let index = step.index;
        let seen = self.seen.get(&(index, at.to_vec()));
        if let Some(trouble) = seen.and_then(|s| s.trouble) {
            return Stop::Walked(self.trouble(index, at, trouble));
        }
        match &step.op {
            Op::Call(call) => self.call(index, at, call, seen, env),
            Op::Fork(steps) | Op::Exec(steps) => self.child(index, at, steps, seen, end, env),
            Op::Unprivileged { steps, .. } | Op::SendFd { steps, .. } => {
                self.child(index, at, steps, seen, end, env)
            }
            Op::Sysctl { steps, .. } => self.steps(steps, at, end, env),
            Op::Parallel(lists) => self.parallel(lists, at, end, env),
            Op::Repeat { times, steps, .. } => {
                let times = match times {
                    Value::Number(n) => *n,
                    Value::Slot(slot, bits) => match env.get(slot) {
                        Some(Saved::Number(n)) => n | bits,
                        _ => 0,
                    },
                    _ => 0,
                };
                // What the agent forgot went as expected: it stops a case that does not.
                let (first, count) = seen.and_then(|s| s.skipped).unwrap_or((0, 0));
                let skipped = u64::from(first)..u64::from(first) + u64::from(count);
                for nth in (0..times.min(skipped.start)).chain(skipped.end..times) {
                    let inner: Vec<u32> = at.iter().copied().chain([nth as u32]).collect();
                    match self.steps(steps, &inner, end, env) {
                        Stop::Walked(Walked::Held) => {}
                        stop => return stop,
                    }
                }
                Stop::Walked(Walked::Held)
            }
        }
    }

    fn child(
        &self,
        index: u32,
        at: &[u32],
        steps: &[PlanStep],
        seen: Option<&Seen<'a>>,
        outer: ProcessEnd,
        env: &Env,
    ) -> Stop {
        let end = match seen.and_then(|s| s.child) {
            Some(ChildEnd::Finished | ChildEnd::Surprised) => ProcessEnd::Finished,
            Some(ChildEnd::Exited(status)) => ProcessEnd::Exited(status),
            Some(ChildEnd::Signaled(signal)) => ProcessEnd::Signaled(signal),
            // The parent did not live to see it.
            None if self.reached(steps, at) => match outer {
                ProcessEnd::Finished => ProcessEnd::Signaled(9),
                other => other,
            },
            None => return Stop::Before(index),
        };
        Stop::Walked(self.process(steps, at, end, &mut env.clone()))
    }

    /// Whether anything was recorded of these steps.
    fn reached(&self, steps: &[PlanStep], at: &[u32]) -> bool {
        let first = steps.first().map(|s| s.index);
        let last = steps.iter().map(last_index).max();
        self.seen
            .keys()
            .any(|(step, iteration)| Some(*step) >= first && Some(*step) <= last && iteration.starts_with(at))
    }

    /// Threads of one process: a failure explains why the others stopped.
    fn parallel(&self, lists: &[Vec<PlanStep>], at: &[u32], end: ProcessEnd, env: &Env) -> Stop {
        let rank = |stop: &Stop| match stop {
            Stop::Walked(Walked::Failed(_)) => 0,
            Stop::Walked(Walked::Refused(..)) => 1,
            Stop::Walked(Walked::Trouble(_)) => 2,
            Stop::Within(_) => 3,
            Stop::Walked(Walked::Over) => 4,
            Stop::Before(_) => 5,
            Stop::Walked(Walked::Held) => 6,
        };
        let stops = lists.iter().map(|list| self.steps(list, at, end, &mut env.clone()));
        stops.min_by_key(rank).unwrap_or(Stop::Walked(Walked::Held))
    }

    fn call(&self, index: u32, at: &[u32], call: &Call, seen: Option<&Seen<'a>>, env: &mut Env) -> Stop {
        let Some(slots) = seen.and_then(|s| s.begin) else { return Stop::Before(index) };
        let Some((ret, outputs)) = seen.and_then(|s| s.done) else { return Stop::Within(index) };
        let saved = |slot: u32| slots.iter().find(|(s, _)| *s == slot).map(|(_, value)| value.clone());
        let wrong = call.expect.check(Got { ret, outputs }, &saved);
        if !wrong.is_empty() {
            return Stop::Walked(
                match (self.steps.get(&index).map(|s| &s.kind), self.lowered.calls.get(&index)) {
                    (Some(StepKind::Call(step)), Some(lowered)) => {
                        let outcome = lowered.outcome.of(step);
                        let context = Context { step, lowered, outcome, call, ret, outputs };
                        Walked::Failed(Box::new(context.failure(index, at, &wrong)))
                    }
                    _ => Walked::Trouble(format!("step {} of the plan is not a call of the case", index + 1)),
                },
            );
        }
        for save in call.saves.iter().filter(|save| save.from != Source::Ret || !is_error(ret)) {
            env.insert(save.slot, saved_value(save.from, ret, outputs, call.expect.big_endian));
        }
        Stop::Walked(if call.last.after(ret) { Walked::Over } else { Walked::Held })
    }

    fn dies_as_expected(&self, index: u32, end: ProcessEnd) -> bool {
        let Some(lowered) = self.lowered.calls.get(&index) else { return false };
        let Some(StepKind::Call(step)) = self.steps.get(&index).map(|s| &s.kind) else { return false };
        let signal = lowered.outcome.of(step).signal.as_ref().map(|s| s.value);
        matches!((end, signal), (ProcessEnd::Signaled(got), Some(want)) if got == want)
    }

    fn trouble(&self, index: u32, at: &[u32], trouble: &Trouble) -> Walked {
        let got = format!("{}: {}", trouble.what, describe_errno(trouble.errno));
        match self.steps.get(&index) {
            // What the case asks for, and the kernel refuses, is no trouble of the harness's.
            Some(Step { kind: StepKind::Sysctl { .. }, place, .. }) => {
                let refused = trouble.what.starts_with("write ") && REFUSED.contains(&trouble.errno);
                let what = "the sysctl could not be set";
                let failure = Box::new(not_set_up(index, at, place.clone(), what, got.clone()));
                if refused { Walked::Refused(got, failure) } else { Walked::Failed(failure) }
            }
            Some(Step { kind: StepKind::SendFd { fd, .. }, .. }) if trouble.errno == EBADF => Walked::Failed(
                Box::new(not_set_up(index, at, fd.place.clone(), "the fd could not be sent", got)),
            ),
            _ => Walked::Trouble(format!("step {} could not be set up: {got}", index + 1)),
        }
    }

    fn ended(&self, index: u32, at: &[u32], end: ProcessEnd, when: &str) -> Walked {
        let Some(step) = self.steps.get(&index) else {
            return Walked::Trouble(format!(
                "the process ended at step {}, which the case does not have",
                index + 1
            ));
        };
        let place = match &step.kind {
            StepKind::Call(call) => call.key.clone(),
            _ => step.place.clone(),
        };
        let (kind, what) = match end {
            ProcessEnd::TimedOut => {
                let limit = self.lowered.plan.timeout_ms as f64 / 1000.0;
                (FailureKind::TimedOut, format!("the case's time ({limit} s) was over {when}"))
            }
            ProcessEnd::Signaled(n) => {
                let name = kconform_abi::signal::name(n).map_or(format!("signal {n}"), str::to_owned);
                (FailureKind::Ended, format!("the process was killed by {name} {when}"))
            }
            ProcessEnd::Exited(status) => {
                (FailureKind::Ended, format!("the process exited with status {status} {when}"))
            }
            ProcessEnd::Finished => (FailureKind::Ended, format!("the process ended {when}")),
        };
        let expected = match &step.kind {
            StepKind::Call(call) => {
                let lowered = self.lowered.calls.get(&index);
                describe_want(lowered.map_or(&call.outcome, |l| l.outcome.of(call)))
            }
            _ => "the block to finish".into(),
        };
        Walked::Failed(Box::new(Failure {
            kind,
            place,
            step: Some(index),
            iteration: at.to_vec(),
            text: format!("expected {expected}, but {what}"),
            expected,
            got: what,
            ret: None,
            also: Vec::new(),
        }))
    }
}

const EBADF: i32 = 9;

/// EPERM, EACCES, EROFS: who writes may not, or nobody may there.
const REFUSED: &[i32] = &[1, 13, 30];

fn not_set_up(index: u32, at: &[u32], place: Place, what: &str, got: String) -> Failure {
    Failure {
        kind: FailureKind::SetUp,
        place,
        step: Some(index),
        iteration: at.to_vec(),
        text: format!("{what}: {got}"),
        expected: "the block to begin".into(),
        got,
        ret: None,
        also: Vec::new(),
    }
}

/// All that says what was wrong with a call.
struct Context<'a> {
    step: &'a CallStep,
    lowered: &'a LoweredCall,
    outcome: &'a Outcome,
    call: &'a Call,
    ret: i64,
    outputs: &'a [Bytes],
}

impl Context<'_> {
    fn failure(&self, index: u32, at: &[u32], wrong: &[Mismatch]) -> Failure {
        let mut described = wrong.iter().map(|&mismatch| self.describe(mismatch));
        let (kind, place, expected, got) = described.next().unwrap_or_else(|| self.describe(Mismatch::Ret));
        // After a failed call, that its buffers hold nothing is no news.
        let also = described
            .filter(|_| !is_error(self.ret))
            .map(|(_, place, expected, got)| (place, format!("expected {expected}, got {got}")));
        let mut text = format!("expected {expected}, got {got}");
        if let crate::lower::Chosen::Except(nth) = self.lowered.outcome
            && let Some(because) = self.step.except.get(nth).and_then(|e| e.because.as_ref())
        {
            text.push_str(&format!(" (this kernel is an exception: {because})"));
        }
        Failure {
            kind,
            place,
            step: Some(index),
            iteration: at.to_vec(),
            text,
            expected,
            got,
            ret: Some(self.ret),
            also: also.collect(),
        }
    }

    fn describe(&self, mismatch: Mismatch) -> (FailureKind, Place, String, String) {
        let nth = match mismatch {
            Mismatch::Ret => {
                let place = self.outcome.place.clone().unwrap_or_else(|| self.step.key.clone());
                return (FailureKind::Ret, place, describe_want(self.outcome), describe_ret(self.ret));
            }
            Mismatch::Output(nth) => nth as usize,
        };
        let want = self.lowered.expects.get(nth).and_then(|&i| self.outcome.expect.get(i));
        let output = self.call.expect.outputs.get(nth).map_or(0, |(output, _)| *output as usize);
        let got = self
            .outputs
            .get(output)
            .map_or_else(|| "nothing".into(), |memory| describe_bytes(memory, self.call.expect.big_endian));
        match want {
            Some((name, want)) => {
                let expected = format!("{} to hold {}", name.value, want.place.text().trim());
                (FailureKind::Output, want.place.clone(), expected, got)
            }
            None => (FailureKind::Output, self.step.key.clone(), "another output".into(), got),
        }
    }
}

/// What a call must do, in words.
fn describe_want(outcome: &Outcome) -> String {
    if let Some(signal) = &outcome.signal {
        // By the name that the case gives it, which may be a second one.
        let written = Some(signal.place.text()).filter(|text| kconform_abi::signal::number(text).is_some());
        let name = written.or_else(|| kconform_abi::signal::name(signal.value));
        return format!("the process to be killed by {}", name.unwrap_or("a signal"));
    }
    describe_ret_want(&outcome.ret)
}

fn describe_ret_want(want: &RetWant) -> String {
    let names = |errnos: &[Errno]| errnos.iter().map(describe_wanted).collect::<Vec<_>>().join(" or ");
    match want {
        RetWant::Success => "success".into(),
        RetWant::Errno(errnos) => names(errnos),
        RetWant::Either { success, errnos } => {
            format!("{} or {}", describe_ret_want(success), names(errnos))
        }
        RetWant::Exactly(expr) => expr.text.clone(),
        RetWant::Range { min: Some(min), max: Some(max) } => format!("{} to {}", min.text, max.text),
        RetWant::Range { min: Some(min), max: None } => format!("at least {}", min.text),
        RetWant::Range { min: None, max: Some(max) } => format!("at most {}", max.text),
        RetWant::Range { min: None, max: None } => "anything".into(),
    }
}

fn saved_value(from: Source, ret: i64, outputs: &[Bytes], big: bool) -> Saved {
    let Source::Output(output) = from else { return Saved::Number(ret as u64) };
    let full = outputs.get(output as usize).map(Bytes::full).unwrap_or_default();
    number_in(&full, big).map_or(Saved::Bytes(full), Saved::Number)
}

fn index_steps<'a>(steps: &'a [Step], by_index: &mut HashMap<u32, &'a Step>) {
    for step in steps {
        by_index.insert(step.index, step);
        step.kind.blocks().iter().for_each(|block| index_steps(block, by_index));
    }
}

fn last_index(step: &PlanStep) -> u32 {
    step.op.blocks().iter().flatten().map(last_index).max().unwrap_or(step.index)
}
