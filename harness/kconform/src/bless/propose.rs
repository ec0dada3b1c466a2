//! What a case that ran asks to be changed.

use kconform_abi::errno;
use kconform_plan::{Bytes, Call, Observation, Op, RecordKind, Step as PlanStep, is_error};

use crate::case::{Attr, CallStep, Case, Outcome, RetWant, Step, StepKind, Want, WantKind};
use crate::judge::{Failure, FailureKind, Verdict};
use crate::lower::Lowered;
use crate::place::{Place, Placed};
use crate::targets::CaseResult;

use super::except::{Answer, KernelName, another, condition};
use super::insert::{added, added_to, removed};
use super::value::{each_cpu, field, natural, plain, rewritten};
use super::{Change, Part, Proposal};

/// What is to change for the case to hold where it stopped; nothing if it holds.
pub(super) fn proposals(case: &Case, result: &CaseResult) -> Vec<Proposal> {
    let (Verdict::Failed(failure) | Verdict::TimedOut(failure)) = &result.verdict else { return Vec::new() };
    let other = |why: String| {
        let step = failure.step.unwrap_or(0);
        vec![Proposal { step, part: Part::Other, place: failure.place.clone(), what: Err(why) }]
    };
    let seen = result.seen.as_deref();
    let found =
        seen.zip(failure.step).and_then(|(seen, index)| Failed::find(case, seen, index, &failure.iteration));
    match (failure.kind, found) {
        (FailureKind::Ret | FailureKind::Output, Some(failed)) => failed.proposals(failure),
        _ => other(format!("only what calls of a case answer is changed: {}", failure.text)),
    }
}

/// What another kernel answers to the step where a case stopped on the kernel that needs an `except`; `None` where it came
/// not so far, or an `except` holds there.
pub(super) fn answer(case: &Case, stopped: &CaseResult, there: &CaseResult) -> Option<Answer> {
    let (failure, one) = stop(case, stopped)?;
    let other = Failed::find(case, there.seen.as_deref()?, one.step.index, &failure.iteration)?;
    if other.except.is_some() {
        return None;
    }
    let Some((its, _)) = stop(case, there).filter(|(its, _)| its.step == failure.step) else {
        return Some(Answer::Own);
    };
    let is_same =
        its.iteration == failure.iteration && other.outcome_words(its) == one.outcome_words(failure);
    Some(if is_same { Answer::Except } else { Answer::Third })
}

/// Where a case stopped.
fn stop<'a>(case: &'a Case, result: &'a CaseResult) -> Option<(&'a Failure, Failed<'a>)> {
    let (Verdict::Failed(failure) | Verdict::TimedOut(failure)) = &result.verdict else { return None };
    Some((failure, Failed::find(case, result.seen.as_deref()?, failure.step?, &failure.iteration)?))
}

/// The `except` that a case needs where it stopped on this kernel, or why it cannot be had; `None` if it holds.
pub(super) fn excepting(
    case: &Case,
    result: &CaseResult,
    kernel: &KernelName,
    others: &[(KernelName, Answer)],
) -> Option<Proposal> {
    let (Verdict::Failed(failure) | Verdict::TimedOut(failure)) = &result.verdict else { return None };
    let step = failure.step.unwrap_or(0);
    let what = match (failure.kind, stop(case, result)) {
        (FailureKind::Ret | FailureKind::Output, Some((_, failed))) => {
            failed.except_of(failure, kernel, others)
        }
        _ => Err(format!("only what calls of a case answer is changed: {}", failure.text)),
    };
    Some(Proposal { step, part: Part::Except, place: failure.place.clone(), what })
}

/// What a command writes into its attr and a reader wants to know, though the file does not ask for it.
const ANSWERS: &[(&str, &str)] = &[
    ("BPF_PROG_TEST_RUN", "retval"),
    ("BPF_MAP_LOOKUP_BATCH", "count"),
    ("BPF_MAP_LOOKUP_AND_DELETE_BATCH", "count"),
    ("BPF_MAP_UPDATE_BATCH", "count"),
    ("BPF_MAP_DELETE_BATCH", "count"),
];

/// The case with an expectation that always holds where [`ANSWERS`] has one to offer and the step expects nothing, so that
/// the answer is seen.
pub(super) fn asking(case: &Case) -> Case {
    let mut case = case.clone();
    ask(&mut case.steps);
    case
}

fn ask(steps: &mut [Step]) {
    for step in steps {
        if let StepKind::Call(call) = &mut step.kind
            && call.outcome.expect.is_empty()
            && let Some(answer) = answer_of(&call.call)
        {
            let nowhere = Place { end: call.key.start, ..call.key.clone() };
            let want = Want { kind: WantKind::Range { min: None, max: None }, place: nowhere.clone() };
            call.outcome.expect.push((Placed { value: answer.to_owned(), place: nowhere }, want));
        }
        step.kind.blocks_mut().iter_mut().for_each(|steps| ask(steps));
    }
}

fn answer_of(call: &crate::case::Call) -> Option<&'static str> {
    let crate::case::Call::Bpf { known: Some(known), attr: Attr::Fields(_), .. } = call else { return None };
    ANSWERS.iter().find(|(command, _)| *command == known.name).map(|(_, field)| *field)
}

/// What could be expected of outputs of which the steps of a case ([`asking`]) that held say nothing. A step that runs more
/// than once is expected to do what it did in the first round.
pub(super) fn unexpected_outputs(case: &Case, result: &CaseResult) -> Vec<Proposal> {
    let (Verdict::Passed, Some(seen)) = (&result.verdict, result.seen.as_deref()) else { return Vec::new() };
    let mut steps = Vec::new();
    all_calls(&case.steps, &mut steps);
    let first =
        |step: &&Step| Some(&seen.1.records.iter().find(|record| record.step == step.index)?.iteration);
    steps.iter().filter_map(|step| Failed::find(case, seen, step.index, first(step)?)?.outputs()).collect()
}

fn all_calls<'c>(steps: &'c [Step], found: &mut Vec<&'c Step>) {
    for step in steps {
        if matches!(step.kind, StepKind::Call(_)) {
            found.push(step);
        }
        step.kind.blocks().iter().for_each(|steps| all_calls(steps, found));
    }
}

/// A call of a case, with what came of it.
struct Failed<'a> {
    step: &'a Step,
    call: &'a CallStep,
    plan: &'a Call,
    /// What holds on this kernel.
    outcome: &'a Outcome,
    /// The `except` that it stands in.
    except: Option<&'a Place>,
    names: &'a [String],
    expects: &'a [usize],
    ret: i64,
    outputs: &'a [Bytes],
}

impl<'a> Failed<'a> {
    fn find(
        case: &'a Case,
        (lowered, seen): &'a (Lowered, Observation),
        index: u32,
        iteration: &[u32],
    ) -> Option<Failed<'a>> {
        let mut steps = Vec::new();
        all_calls(&case.steps, &mut steps);
        let step = steps.into_iter().find(|step| step.index == index)?;
        let StepKind::Call(call) = &step.kind else { return None };
        let known = lowered.calls.get(&index)?;
        let plan = planned(&lowered.plan.steps, index)?;
        let (ret, outputs) = seen.records.iter().find_map(|record| match &record.kind {
            RecordKind::Done { ret, outputs, .. }
                if record.step == index && record.iteration == iteration =>
            {
                Some((*ret, outputs))
            }
            _ => None,
        })?;
        let except = match known.outcome {
            crate::lower::Chosen::Own => None,
            crate::lower::Chosen::Except(nth) => Some(&call.except.get(nth)?.place),
        };
        let outcome = known.outcome.of(call);
        Some(Failed {
            step,
            call,
            plan,
            outcome,
            except,
            names: &known.output_names,
            expects: &known.expects,
            ret,
            outputs,
        })
    }

    fn proposals(&self, failure: &Failure) -> Vec<Proposal> {
        let propose =
            |part, place: &Place, what| Proposal { step: self.step.index, part, place: place.clone(), what };
        if failure.kind == FailureKind::Ret {
            return vec![propose(Part::Ret, &failure.place, self.returned())];
        }
        let wrong =
            |place: &Place| failure.place == *place || failure.also.iter().any(|(also, _)| also == place);
        let wants = self.expects.iter().zip(&self.plan.expect.outputs);
        let wants =
            wants.filter_map(|(&nth, (output, _))| Some((self.outcome.expect.get(nth)?, *output as usize)));
        wants
            .filter(|((_, want), _)| wrong(&want.place))
            .filter_map(|((name, want), output)| {
                let memory = self.outputs.get(output)?.full();
                let what = rewritten(want, &memory, self.plan.expect.big_endian);
                let (start, end) = (want.place.start, want.place.end);
                let what = what.map(|text| Change { start, end, text });
                Some(propose(Part::Output(name.value.clone()), &want.place, what))
            })
            .collect()
    }

    /// `errno` or `ret` as it is here.
    fn returned(&self) -> Result<Change, String> {
        let entry = match self.ret {
            ret if is_error(ret) => format!("errno: {}", errno::written(-ret as i32)),
            ret => format!("ret: {}", signed(ret)),
        };
        let Some(place) = &self.outcome.place else {
            return Ok(match self.except {
                Some(except) => added_to(&except.file.text, except.start, except.end, except.start, &entry),
                None => added(self.step, self.call, &entry),
            });
        };
        let (text, start, end) = (&place.file.text, place.start, place.end);
        let written = place.text();
        if beside(place) {
            // Of a call that succeeds nothing need be said.
            let was_errno = written.starts_with("errno:") || written.starts_with("signal:");
            return Ok(match self.ret {
                ret if !is_error(ret) && was_errno => removed(text, start, end).unwrap_or_else(|| Change {
                    start,
                    end,
                    text: "errno: none".to_owned(),
                }),
                _ => Change { start, end, text: entry },
            });
        }
        // The value of a parameter, or what an alias names: its key stands elsewhere.
        let text = match (&self.outcome.ret, self.ret) {
            (RetWant::Errno(_) | RetWant::Either { .. }, ret) if !is_error(ret) => "none".to_owned(),
            (RetWant::Errno(_) | RetWant::Either { .. }, ret) => errno::written(-ret as i32),
            (RetWant::Exactly(_), ret) if !is_error(ret) => signed(ret),
            // `errno: none` in a column.
            (RetWant::Success, ret) if is_error(ret) && written.trim() == "none" => {
                errno::written(-ret as i32)
            }
            _ => return Err(format!("{written} comes from elsewhere, and its key cannot say `{entry}`")),
        };
        Ok(Change { start, end, text })
    }

    /// One more `except`, with what this kernel answers.
    fn except_of(
        &self,
        failure: &Failure,
        kernel: &KernelName,
        others: &[(KernelName, Answer)],
    ) -> Result<Change, String> {
        if self.except.is_some() {
            return Err("an `except` that holds on this kernel says something else".into());
        }
        let words = self.outcome_words(failure)?;
        let (when, because) = condition(kernel, others)?;
        let words = if words.is_empty() { words } else { format!("{words}, ") };
        let entry = format!("when: {when}, {words}because: \"{because}\"");
        let own = self.outcome.place.as_ref().filter(|place| beside(place)).map(|place| place.start);
        Ok(another(self.step, self.call, own, &entry))
    }

    /// The outcome here as an `except` says it; nothing for a call that only succeeds.
    fn outcome_words(&self, failure: &Failure) -> Result<String, String> {
        let says_number = matches!(self.outcome.ret, RetWant::Exactly(_) | RetWant::Range { .. });
        if failure.kind == FailureKind::Ret {
            return Ok(match self.ret {
                ret if is_error(ret) => format!("errno: {}", errno::written(-ret as i32)),
                ret if says_number => format!("ret: {}", signed(ret)),
                _ => String::new(),
            });
        }
        let changed = self.proposals(failure);
        let mut wants = Vec::new();
        for (name, want) in &self.outcome.expect {
            let new = changed.iter().find(|proposal| proposal.place == want.place);
            let text = match new {
                Some(Proposal { what: Ok(change), .. }) => change.text.clone(),
                Some(Proposal { what: Err(why), .. }) => return Err(why.clone()),
                None => want.place.text().split_whitespace().collect::<Vec<_>>().join(" "),
            };
            wants.push(format!("{}: {text}", name.value));
        }
        let expect = format!("expect: {{{}}}", wants.join(", "));
        if expect.contains(" #") {
            return Err("a comment stands in what is expected; write the `except` yourself".into());
        }
        let ret = says_number.then_some(self.outcome.place.as_ref()).flatten().filter(|place| beside(place));
        Ok(ret.map_or_else(|| expect.clone(), |place| format!("{}, {expect}", place.text())))
    }

    /// An `expect` of what the call wrote.
    fn outputs(&self) -> Option<Proposal> {
        let says = self.outcome.expect.iter().any(|(_, want)| want.place.start < want.place.end);
        // A column of errnos: rows differ in whether the call writes anything.
        let column = self.outcome.place.as_ref().is_some_and(|place| !beside(place));
        if is_error(self.ret) || says || column || self.except.is_some() {
            return None;
        }
        let saved = |name: &str| {
            self.call.saves.iter().any(|save| save.output.as_ref().is_some_and(|output| output.value == name))
        };
        let big = self.plan.expect.big_endian;
        let mut wants = Vec::new();
        for (name, memory) in self.names.iter().zip(self.outputs) {
            let memory = memory.full();
            // `batch.count` is another name of `count`.
            if saved(name) || memory.is_empty() || name.contains('.') {
                continue;
            }
            let value = match self.buffer(name) {
                None => field(&memory, big),
                Some(buffer) => each_cpu(buffer, &memory, big).map_or_else(|| plain(&memory, big), Ok),
            };
            wants.push(format!("{name}: {}", value.ok()?));
        }
        if wants.is_empty() {
            return None;
        }
        let entry = format!("expect: {{{}}}", wants.join(", "));
        let what = Ok(added(self.step, self.call, &entry));
        Some(Proposal { step: self.step.index, part: Part::Outputs, place: self.call.key.clone(), what })
    }

    /// What the step says of the memory of an output, as it is written; `None` for a number of the attr itself.
    fn buffer(&self, name: &str) -> Option<&'a str> {
        let text = self.step.place.text();
        let at = text.find(&format!("{name}: {{"))? + name.len() + 2;
        Some(&text[at..])
    }
}

/// Whether a place of an outcome begins with its key.
fn beside(place: &Place) -> bool {
    ["errno:", "ret:", "signal:"].iter().any(|key| place.text().starts_with(key))
}

/// The call with that index in a plan.
fn planned(steps: &[PlanStep], index: u32) -> Option<&Call> {
    steps.iter().find_map(|step| match &step.op {
        Op::Call(call) if step.index == index => Some(&**call),
        op => op.blocks().iter().find_map(|steps| planned(steps, index)),
    })
}

fn signed(ret: i64) -> String {
    u64::try_from(ret).map_or_else(|_| ret.to_string(), natural)
}
