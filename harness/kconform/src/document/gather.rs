//! From what came of a run to the report as data.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};
use kconform_plan::{End, Observation, Op, RecordKind, Step as PlanStep, Value, is_error};
use sha2::{Digest, Sha256};

use crate::case::{self, StepKind};
use crate::hex::hex;
use crate::judge::{self, Verdict};
use crate::lower::Lowered;
use crate::place::{self, File};
use crate::run::{Event, Options, TargetRun, run};
use crate::strace::{Line, LineKind, Rounds, lines};
use crate::targets::{CaseResult as Ran, Target as RunsOn};

use super::settings::Settings;
use super::{
    Also, Argument, Case, CaseResult, Document, FORMAT, Failure, LostTarget, Output, Place, Status, Step,
    SuiteFile, SuiteIdentity, Target, VERSION, nothing_ran,
};

/// How many lines of the words that were not kept go into the report.
const MOST_LINES: usize = 3;

/// How many of a case's steps go into the report: of more, the first and the last, half each. A case that goes round for ever has
/// any number.
const MOST_STEPS: usize = 4096;

/// Gathers the report of a run that began then. `files` are all case files that were read, which hold `count` cases.
pub fn gather(
    cases: &[case::Case],
    runs: &[TargetRun],
    suite: SuiteIdentity,
    started: SystemTime,
) -> Document {
    let mut places = Places::default();
    let cases: Vec<Case> =
        cases.iter().enumerate().map(|(nth, case)| gather_case(case, nth, runs, &mut places)).collect();
    let targets: Vec<Target> = runs.iter().map(target).collect();
    Document {
        format: FORMAT.into(),
        version: VERSION,
        kconform: env!("CARGO_PKG_VERSION").into(),
        started: DateTime::<Utc>::from(started).to_rfc3339_opts(SecondsFormat::Secs, true),
        partial: runs.iter().any(TargetRun::is_partial),
        nothing_ran: nothing_ran(&targets),
        trouble: Vec::new(),
        shard: None,
        suite,
        targets,
        cases,
    }
}

/// Runs cases on targets and gathers what came of them, for what is said of the kernels and not of the case files: whose
/// identity is left out. `tell` is as for [`run`].
pub fn run_and_gather(
    cases: &Arc<[case::Case]>,
    targets: &[RunsOn],
    options: Options,
    tell: &mut dyn FnMut(usize, &Event, &TargetRun),
) -> Document {
    let started = SystemTime::now();
    let runs = run(cases, targets, options, tell);
    gather(cases, &runs, SuiteIdentity::default(), started)
}

/// The identity of case files, each the name of its suite and its text, that hold `cases` cases.
pub fn identity<'f>(files: impl Iterator<Item = (&'f str, &'f str)>, cases: usize) -> SuiteIdentity {
    let name = |(suite, text): (&str, &str)| SuiteFile {
        name: format!("{suite}.yaml"),
        sha256: hex(&Sha256::digest(text.as_bytes())),
    };
    let mut files: Vec<SuiteFile> = files.map(name).collect();
    files.sort();
    SuiteIdentity { sha256: digest(&files), files, cases: cases as u64, forge: None }
}

/// SHA-256 over what `sha256sum` prints of the files.
pub(super) fn digest(files: &[SuiteFile]) -> String {
    let mut all = Sha256::new();
    for file in files {
        all.update(format!("{}  {}\n", file.sha256, file.name));
    }
    hex(&all.finalize())
}

/// A digest of which cases are selected, in their order: SHA-256 (hex) over their ids, a line each.
pub fn selection<'a>(ids: impl Iterator<Item = &'a str>) -> String {
    let mut all = Sha256::new();
    ids.for_each(|id| all.update(format!("{id}\n")));
    hex(&all.finalize())
}

pub(crate) fn target(run: &TargetRun) -> Target {
    let mut counts = BTreeMap::new();
    for result in &run.results {
        *counts.entry(Status::from(&result.verdict)).or_default() += 1;
    }
    let kernel = run.kernel.as_ref();
    let version = |numbers: &[u32]| numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(".");
    Target {
        name: run.name.clone(),
        release: run.release.clone(),
        kernel: kernel.map(|k| version(&k.version)),
        arch: kernel.map(|k| k.arch.name().to_owned()),
        cpus: kernel.map(|k| k.possible_cpus),
        page_size: kernel.map(|k| k.page_size),
        uid: kernel.map(|k| k.uid),
        host: kernel.is_some_and(|k| k.host),
        seed: run.seed,
        settings: kernel.map(Settings::of),
        remark: run.remark.clone(),
        noted: run.results.iter().filter(|result| result.remark.is_some()).count() as u64,
        elapsed_ns: run.elapsed.as_nanos().try_into().unwrap_or(u64::MAX),
        lost: run
            .unusable
            .as_ref()
            .map(|unusable| LostTarget { why: unusable.what.clone(), mend: unusable.mend.clone() }),
        counts,
    }
}

fn gather_case(case: &case::Case, nth: usize, runs: &[TargetRun], places: &mut Places) -> Case {
    let results = runs.iter().map(|run| gather_result(case, nth, run, places)).collect();
    Case {
        id: case.id.clone(),
        suite: case.suite.to_string(),
        name: case.name.clone(),
        about: case.about.clone(),
        source: case.source.clone(),
        tags: case.tags.clone(),
        results,
        place: places.find(&case.place),
    }
}

/// What is known of a case on a target by now; `nth` is its index in the run.
pub(crate) fn gather_result(
    case: &case::Case,
    nth: usize,
    run: &TargetRun,
    places: &mut Places,
) -> CaseResult {
    let runs = run.tallies.get(nth).map(statuses).unwrap_or_default();
    CaseResult { runs, ..result(&run.name, case, &run.results[nth], places) }
}

/// How often which verdict; nothing where the case ran once.
fn statuses(tally: &BTreeMap<&'static str, u64>) -> BTreeMap<Status, u64> {
    if tally.values().sum::<u64>() < 2 {
        return BTreeMap::new();
    }
    let status = |word: &str| Status::ALL.into_iter().find(|status| status.word() == word);
    tally.iter().filter_map(|(word, count)| Some((status(word)?, *count))).collect()
}

fn result(target: &str, case: &case::Case, ran: &Ran, places: &mut Places) -> CaseResult {
    let mut result = CaseResult::bare(target, Status::from(&ran.verdict));
    result.remark = ran.remark.clone();
    if let Some(seen) = &ran.seen {
        let (lowered, observation) = &**seen;
        let failed = match &ran.verdict {
            Verdict::Failed(failure)
            | Verdict::TimedOut(failure)
            | Verdict::ExpectedFailure { failure, .. } => {
                failure.step.map(|step| (step, failure.iteration.as_slice()))
            }
            _ => None,
        };
        observed(&mut result, case, lowered, observation, failed, places);
    }
    match &ran.verdict {
        Verdict::Passed => {}
        Verdict::Failed(failure) => result.failure = Some(gather_failure(failure, places)),
        Verdict::TimedOut(failure) => {
            if ran.seen.is_none() {
                // The guest fell silent: what came of it is the end of its console.
                result.kernel_log = failure.got.lines().map(str::to_owned).collect();
            }
            result.failure = Some(gather_failure(failure, places));
        }
        Verdict::ExpectedFailure { because, failure } => {
            result.reason = Some(because.clone());
            result.failure = Some(gather_failure(failure, places));
        }
        Verdict::UnexpectedPass { because: reason } | Verdict::Skipped(reason) | Verdict::Lost(reason) => {
            result.reason = Some(reason.clone());
        }
        Verdict::Crashed { what, console } | Verdict::Flaky { what, console } => {
            result.reason = Some(what.clone());
            result.kernel_log.clone_from(console);
        }
    }
    result
}

fn observed(
    result: &mut CaseResult,
    case: &case::Case,
    lowered: &Lowered,
    seen: &Observation,
    failed: Option<(u32, &[u32])>,
    places: &mut Places,
) {
    result.duration_ns = seen.duration_ns;
    let set = lowered.plan.sysctls.iter().filter(|_| !matches!(seen.end, End::NotSet { .. }));
    result.sysctls = set.map(|set| (set.name.clone(), set.value.clone())).collect();
    result.left_behind = seen.left_behind.into();
    result.taint = seen.taint.map_or(0, |(before, after)| after & !before);
    result.kernel_log.clone_from(&seen.kernel_log);
    let signal = |n| kconform_abi::signal::name(n).map_or_else(|| format!("signal {n}"), str::to_owned);
    result.end = match seen.end {
        // Why it was not started is why it is skipped.
        End::Finished | End::NotSet { .. } => None,
        End::Exited(status) => Some(format!("exited with {status}")),
        End::Signaled(n) => Some(format!("killed by {}", signal(n))),
        End::TimedOut => Some("killed because its time was over".into()),
        End::NotStarted(errno) => Some(format!("not started: {}", judge::describe_errno(errno))),
    };
    let mut records = Records::new(lowered, seen);
    let lines = lines(&case.steps, lowered, seen, Rounds::All);
    let middle = match lines.len().checked_sub(MOST_STEPS) {
        Some(more) if more > 0 => MOST_STEPS / 2..MOST_STEPS / 2 + more,
        _ => 0..0,
    };
    for (nth, line) in lines.into_iter().enumerate() {
        let is_failed = failed.is_some_and(|(step, at)| line.step.index == step && line.iteration == at);
        if middle.contains(&nth) && !is_failed {
            result.left_out += 1;
        } else {
            result.steps.push(records.step(line, places));
        }
    }
}

/// Nanoseconds since the case began, and what happened.
type Timed<'a> = (u64, &'a RecordKind);

/// What was recorded, by step and round.
struct Records<'a> {
    lowered: &'a Lowered,
    planned: HashMap<u32, &'a PlanStep>,
    seen: HashMap<(u32, &'a [u32]), Vec<Timed<'a>>>,
}

impl<'a> Records<'a> {
    fn new(lowered: &'a Lowered, observation: &'a Observation) -> Records<'a> {
        let mut planned = HashMap::new();
        index(&lowered.plan.steps, &mut planned);
        let mut seen: HashMap<_, Vec<_>> = HashMap::new();
        for record in &observation.records {
            let key = (record.step, record.iteration.as_slice());
            seen.entry(key).or_default().push((record.time_ns, &record.kind));
        }
        Records { lowered, planned, seen }
    }

    fn step(&mut self, line: Line<'_>, places: &mut Places) -> Step {
        let index = line.step.index;
        let mut step = Step {
            step: index,
            depth: line.depth as u32,
            line: places.line(&line.step.place),
            ..Step::default()
        };
        let texts = match line.shown {
            LineKind::Block { name, note } => {
                step.iteration = line.iteration;
                return Step { name: name.into(), block: true, back: note, ..step };
            }
            LineKind::Call { name, args, back } => {
                (step.name, step.back) = (name, back);
                args
            }
        };
        if let StepKind::Call(call) = &line.step.kind {
            let of = |save: &case::Save| save.output.as_ref().map_or("ret".into(), |o| o.value.clone());
            step.saves = call.saves.iter().map(|save| (save.name.clone(), of(save))).collect();
        }
        let mut passed: &[u64] = &[];
        for (time, kind) in self.seen.get(&(index, line.iteration.as_slice())).into_iter().flatten() {
            match kind {
                RecordKind::Begin { args, .. } => (passed, step.begun_ns) = (args, Some(*time)),
                RecordKind::Done { ret, outputs, attempts, call_ns } => {
                    step.ret = Some(*ret);
                    step.call_ns = Some(*call_ns);
                    step.attempts = Some(*attempts).filter(|attempts| *attempts > 1);
                    step.errno = is_error(*ret).then(|| kconform_abi::errno::written(-*ret as i32));
                    let names = self.lowered.calls.get(&index).map(|call| call.output_names.as_slice());
                    let output = |(name, bytes): (&String, &kconform_plan::Bytes)| Output {
                        name: name.clone(),
                        length: bytes.length,
                        hex: hex(&bytes.bytes),
                    };
                    step.outputs = names.unwrap_or_default().iter().zip(outputs).map(output).collect();
                }
                RecordKind::Child(_) | RecordKind::Trouble(_) | RecordKind::Skipped { .. } => {}
            }
        }
        step.args = self.args(index, texts, passed);
        step.iteration = line.iteration;
        step
    }

    fn args(&self, step: u32, texts: Vec<String>, passed: &[u64]) -> Vec<Argument> {
        let planned = match self.planned.get(&step).map(|step| &step.op) {
            Some(Op::Call(call)) => call.args.as_slice(),
            _ => &[],
        };
        let value = |nth: usize| match planned.get(nth)? {
            Value::Number(_) | Value::Slot(..) | Value::Length(..) => passed.get(nth).copied(),
            Value::Address(_) | Value::Unmapped | Value::ReadOnly => None,
        };
        texts.into_iter().enumerate().map(|(nth, text)| Argument { text, value: value(nth) }).collect()
    }
}

fn index<'a>(steps: &'a [PlanStep], found: &mut HashMap<u32, &'a PlanStep>) {
    for step in steps {
        found.insert(step.index, step);
        step.op.blocks().iter().for_each(|block| index(block, found));
    }
}

fn gather_failure(failure: &judge::Failure, places: &mut Places) -> Failure {
    let words: Vec<&str> = failure.place.text().lines().take(MOST_LINES).collect();
    Failure {
        kind: failure.kind,
        place: places.find(&failure.place),
        words: words.join("\n"),
        step: failure.step,
        iteration: failure.iteration.clone(),
        text: failure.text.clone(),
        expected: failure.expected.clone(),
        got: failure.got.clone(),
        ret: failure.ret,
        also: failure
            .also
            .iter()
            .map(|(place, text)| Also { place: places.find(place), text: text.clone() })
            .collect(),
    }
}

impl From<&Verdict> for Status {
    fn from(verdict: &Verdict) -> Status {
        match verdict {
            Verdict::Passed => Status::Passed,
            Verdict::Failed(_) => Status::Failed,
            Verdict::Skipped(_) => Status::Skipped,
            Verdict::ExpectedFailure { .. } => Status::ExpectedFailure,
            Verdict::UnexpectedPass { .. } => Status::UnexpectedPass,
            Verdict::TimedOut(_) => Status::TimedOut,
            Verdict::Crashed { .. } => Status::Crashed,
            Verdict::Flaky { .. } => Status::Flaky,
            Verdict::Lost(_) => Status::Lost,
        }
    }
}

/// Finds lines in files of thousands of rows without counting them from the top each time.
#[derive(Default)]
pub(crate) struct Places {
    /// Where the lines of a file begin; the file is held so that its address stays its own.
    files: HashMap<*const File, (Arc<File>, String, Vec<usize>)>,
}

impl Places {
    fn find(&mut self, place: &place::Place) -> Place {
        let (line, column) = self.line_column(place, place.start);
        let (end_line, end_column) = self.line_column(place, place.end);
        let file = self.file(place).1.clone();
        Place { file, line, column, end_line, end_column }
    }

    fn line(&mut self, place: &place::Place) -> u32 {
        self.line_column(place, place.start).0
    }

    fn line_column(&mut self, place: &place::Place, offset: usize) -> (u32, u32) {
        let starts = &self.file(place).2;
        let line = starts.partition_point(|start| *start <= offset).max(1);
        let before = place.file.text.get(starts[line - 1]..offset).unwrap_or_default();
        (line as u32, before.chars().count() as u32 + 1)
    }

    fn file(&mut self, place: &place::Place) -> &(Arc<File>, String, Vec<usize>) {
        self.files.entry(Arc::as_ptr(&place.file)).or_insert_with(|| {
            let breaks = place.file.text.bytes().enumerate().filter(|(_, b)| *b == b'\n');
            let starts = std::iter::once(0).chain(breaks.map(|(at, _)| at + 1)).collect();
            (place.file.clone(), shown(place.path()), starts)
        })
    }
}

/// A path as other programs find the file: relative to where we are, if it is below.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().ok().and_then(|here| here.canonicalize().ok());
    let below = here.and_then(|here| Some(path.canonicalize().ok()?.strip_prefix(here).ok()?.to_owned()));
    below.unwrap_or_else(|| path.to_owned()).to_string_lossy().into_owned()
}
