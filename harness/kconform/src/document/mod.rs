//! The report as data: what every format is made of, and what `--report json` writes.
//!
//! The form is versioned: within a version fields are only added, and what is read may leave out any field that has a
//! default. `harness/kconform/report.schema.json` says the same to other programs; `docs/reports.md` to people.
//!
//! ```no_run
//! use kconform::document::{Status, diff::diff, read};
//!
//! let before = read(&std::fs::read_to_string("before.json")?)?;
//! let report = read(&std::fs::read_to_string("report.json")?)?;
//! for case in &report.cases {
//!     for result in case.results.iter().filter(|result| result.status == Status::Failed) {
//!         println!("{} on {}: {}", case.id, result.target, result.says().unwrap_or_default());
//!     }
//! }
//! println!("{} changes", diff(&before, &report, &[])?.changes.len());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod contents;
pub mod diff;
pub(crate) mod gather;
pub(crate) mod json;
pub(crate) mod jsonl;
pub(crate) mod lines;
pub mod merge;
pub(crate) mod plain;
mod read;
mod renamed;
mod settings;
#[cfg(test)]
pub(crate) mod tests;
mod trouble;

pub(crate) use gather::{identity, run_and_gather, selection};
pub use json::ReadError;
pub use read::read;
pub use settings::{SettingChange, Settings};

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::judge::FailureKind;

/// The version of the form.
pub const VERSION: u32 = 1;

/// What `format` says.
pub const FORMAT: &str = "kconform-report";

/// A run: which cases, on which kernels, and what came of each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "kconform report")]
pub struct Document {
    /// Always `kconform-report`.
    #[schemars(extend("const" = FORMAT))]
    pub format: String,
    /// The version of this form: 1.
    #[schemars(extend("const" = VERSION))]
    pub version: u32,
    /// The version of kconform that ran the cases.
    pub kconform: String,
    /// When the run began, in UTC as RFC 3339 writes it: `2026-11-21T04:05:06Z`.
    pub started: String,
    /// The run did not come to its end: it was interrupted, or a target was lost. Cases without a result are `lost`.
    #[serde(default)]
    pub partial: bool,
    /// Nothing was tested: no case ran on any target, for all were skipped or lost.
    #[serde(default, skip_serializing_if = "is_false")]
    pub nothing_ran: bool,
    /// What else was wrong with the run, whatever its cases came to. With `partial`, `nothing_ran` and `targets[].lost` it is all
    /// that makes the exit status another than 0 beside the results.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trouble: Vec<Trouble>,
    /// Which part of the selected cases these are, where several machines share them; missing: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
    /// Where the cases come from.
    pub suite: SuiteIdentity,
    /// The kernels, in the order in which they were asked for.
    pub targets: Vec<Target>,
    /// The cases that were selected, in the order of their files.
    pub cases: Vec<Case>,
}

/// Something that was wrong with a run, or with one of its targets, whatever the cases came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Trouble {
    /// What kind of trouble.
    pub kind: TroubleKind,
    /// The target that it is of; missing: the run as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// What is to be said of it.
    pub text: String,
}

/// What kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TroubleKind {
    /// A target could not be used, or no more: `targets[].lost` says it.
    LostTarget,
    /// The run did not come to its end: `partial` says it.
    Partial,
    /// No case ran on any target, for all were skipped: `nothing_ran` says it.
    NothingRan,
    /// Something of the run could not be removed from the machine.
    NotRemoved,
    /// Cases were skipped, and none may be (`--fail-on-skip`).
    Skipped,
    /// Fewer cases ran than must (`--min-run`).
    TooFew,
}

/// Which part of the selected cases a report holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Shard {
    /// Which one, counted from 1.
    pub index: u32,
    /// Of how many.
    pub count: u32,
    /// How many cases are in all shards together.
    pub selected: u64,
    /// SHA-256 (hex) over the ids of all of them, a line each.
    pub selection: String,
    /// Where the cases of this report stand among them, counted from 0.
    pub positions: Vec<u32>,
}

/// Which case files were read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SuiteIdentity {
    /// SHA-256 (hex) over a line `<sha256 of the file>  <name>\n` for each file, in the order of `files`: what
    /// `sha256sum` prints of the files, hashed once more.
    pub sha256: String,
    /// The files by name.
    pub files: Vec<SuiteFile>,
    /// How many cases the files hold, selected or not.
    pub cases: u64,
    /// Where a forge shows the files as they were, if the run was a job of one: the file's name and `#L` with a line
    /// follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forge: Option<String>,
}

/// A case file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct SuiteFile {
    /// The suite with `.yaml`: `bpf/map/array.yaml`.
    pub name: String,
    /// SHA-256 of its bytes, in hex.
    pub sha256: String,
}

/// A kernel that cases ran on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Target {
    /// As the user called it: `native`, `x86_64-6.1`.
    pub name: String,
    /// `uname -r`; missing when the target was never reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// The version's numbers, also where `uname -r` hides them: `6.1.192`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// `uname -m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arch: Option<String>,
    /// Possible CPUs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<u32>,
    /// Bytes of a page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_size: Option<u32>,
    /// Effective uid of the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// It is the kernel that kconform itself ran on.
    #[serde(default)]
    pub host: bool,
    /// What its guests' random numbers came of: `--seed` repeats it. Missing where it has no guests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u32>,
    /// How it is set up; missing when it was never reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Settings>,
    /// What else is to be said of it: the accelerator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
    /// From starting the target to its last result, in nanoseconds.
    pub elapsed_ns: u64,
    /// Why it could not be used, or no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<LostTarget>,
    /// How many cases have a `remark`: they ran again, since what holds the kernel (QEMU, ssh) died by itself, say.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub noted: u64,
    /// How many cases have which verdict.
    #[schemars(extend("propertyNames" = {"$ref": "#/$defs/Status"}))]
    pub counts: BTreeMap<Status, u64>,
}

impl Target {
    /// How many cases ran: they were neither skipped nor lost.
    pub fn ran(&self) -> u64 {
        let ran = |status: &Status| !matches!(status, Status::Skipped | Status::Lost);
        self.counts.iter().filter(|(status, _)| ran(status)).map(|(_, count)| count).sum()
    }
}

/// Whether no case ran on any of these targets.
fn nothing_ran(targets: &[Target]) -> bool {
    targets.iter().all(|target| target.ran() == 0)
}

/// Why a target could not be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LostTarget {
    /// What is missing or went wrong.
    pub why: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

/// A case, and what came of it on each target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Case {
    /// `bpf/map/array::create_is_refused[zero_key_size]`.
    pub id: String,
    /// `bpf/map/array`.
    pub suite: String,
    /// The name for people.
    pub name: String,
    /// What is checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// Who says so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source: Vec<String>,
    /// Words to select by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Where its name is written.
    pub place: Place,
    /// One for each target, in the order of the targets.
    pub results: Vec<CaseResult>,
}

/// A stretch of a case file. Lines and columns count from 1, columns count characters; the end is after the last one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Place {
    /// The file, relative to where kconform ran if it is below.
    pub file: String,
    /// The first line.
    pub line: u32,
    /// The first column.
    pub column: u32,
    /// The last line.
    pub end_line: u32,
    /// The column after the last character.
    pub end_column: u32,
}

/// What came of a case on a target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CaseResult {
    /// The target's name.
    pub target: String,
    /// The verdict.
    pub status: Status,
    /// Why it was skipped or lost, what the kernel suffered when it crashed, what became of it the first time when the case
    /// is flaky, or what the known issue is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What was not as expected (`failed`, `timed_out`, `expected_failure`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Sysctls that were set for the case and put back after it, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, String>,
    /// The steps that were begun, in the order of the case, each round of a `repeat` too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// How the case's own process ended, unless it came to its end: `killed by SIGBUS`, `exited with 1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    /// Lines that the kernel logged meanwhile, or the last ones of its console when it crashed or fell silent; of a flaky
    /// case, those of the first time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kernel_log: Vec<String>,
    /// Bits of `/proc/sys/kernel/tainted` that the case set.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub taint: u64,
    /// Processes that the case left behind and that were killed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_behind: u64,
    /// From before the case's fork to after its clean-up, in nanoseconds of the target; 0 when it did not run.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub duration_ns: u64,
    /// How many steps in the middle of `steps` are left out, where there were thousands.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: u64,
    /// What happened on the way: the case ran again, since QEMU died by itself, say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
    /// How often the case ran and how often it came to which verdict, where it ran more than once. `status` and the
    /// rest are then those of the first run that was not as it should be, or else of the first run.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = {"$ref": "#/$defs/Status"}))]
    pub runs: BTreeMap<Status, u64>,
}

/// A verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Everything was as the case says.
    Passed,
    /// Something was not.
    Failed,
    /// Its time was over.
    TimedOut,
    /// The kernel oopsed, panicked or became tainted.
    Crashed,
    /// It passed, but only when it ran again: its kernel went down, or fell silent, the first time.
    Flaky,
    /// The harness could not do its work: nothing is known of the case.
    Lost,
    /// It passed where a known issue says that it fails.
    UnexpectedPass,
    /// It failed where a known issue says so.
    ExpectedFailure,
    /// The kernel or the user lacks what the case requires.
    Skipped,
}

impl Status {
    /// All, in the order in which they are counted.
    pub const ALL: [Status; 9] = [
        Status::Passed,
        Status::Failed,
        Status::TimedOut,
        Status::Crashed,
        Status::Flaky,
        Status::Lost,
        Status::UnexpectedPass,
        Status::ExpectedFailure,
        Status::Skipped,
    ];

    /// Whether this is as it should be.
    pub fn is_fine(self) -> bool {
        matches!(self, Status::Passed | Status::Skipped | Status::ExpectedFailure)
    }

    /// What the word says of a case.
    pub fn means(self) -> &'static str {
        match self {
            Status::Passed => "Every call did what the case says.",
            Status::Failed => "A call did something else than the case says.",
            Status::TimedOut => "It did not come to its end in the time that it has.",
            Status::Crashed => "The kernel oopsed, panicked or complained of itself meanwhile.",
            Status::Flaky => "It passed when it ran again: the kernel went down the first time.",
            Status::Lost => "Nothing is known of it: the harness or the guest could not do its work.",
            Status::UnexpectedPass => {
                "It passed where a known issue says that it fails: the issue may be gone."
            }
            Status::ExpectedFailure => "It failed where a known issue says so.",
            Status::Skipped => "It did not run: the kernel or the user lacks what it needs.",
        }
    }

    /// In words: `timed out`.
    pub fn word(self) -> &'static str {
        match self {
            Status::Passed => "passed",
            Status::Failed => "failed",
            Status::Skipped => "skipped",
            Status::ExpectedFailure => "expected failure",
            Status::UnexpectedPass => "unexpected pass",
            Status::TimedOut => "timed out",
            Status::Crashed => "crashed",
            Status::Flaky => "flaky",
            Status::Lost => "lost",
        }
    }
}

/// What was not as the case says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// What kind of failure.
    pub kind: FailureKind,
    /// The words of the case file that were not kept.
    pub place: Place,
    /// Those words, at most three lines of them: `errno: EINVAL`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub words: String,
    /// The step's number, if it is a step's fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<u32>,
    /// Where in the enclosing `repeat` blocks: the counts, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub iteration: Vec<u32>,
    /// One sentence: `expected EINVAL (22, Invalid argument), got success: 0`.
    pub text: String,
    /// What was expected.
    pub expected: String,
    /// What came instead.
    pub got: String,
    /// The raw return value of the call, if it returned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ret: Option<i64>,
    /// What else was wrong with the same call.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Also>,
}

/// What else was wrong with a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Also {
    /// The words of the case file.
    pub place: Place,
    /// What was expected and what came.
    pub text: String,
}

/// A step that was begun: a call, or a block of steps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// Its number in the case, counted in written order from 0, blocks before what is in them.
    pub step: u32,
    /// Where in the enclosing `repeat` blocks: the counts, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub iteration: Vec<u32>,
    /// How many blocks it is in.
    #[serde(default, skip_serializing_if = "is_zero_small")]
    pub depth: u32,
    /// Its line in the case file.
    pub line: u32,
    /// The call (`bpf`, `fcntl`, `peek`) or the block (`fork`, `repeat`).
    pub name: String,
    /// It is a block: there are no arguments, and nothing that comes back.
    #[serde(default, skip_serializing_if = "is_false")]
    pub block: bool,
    /// The arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<Argument>,
    /// What came back, as strace prints it: `3`, `-1 EINVAL (Invalid argument)`, `? +++ killed by SIGBUS +++`; of a
    /// block, what is to be said of its end.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub back: String,
    /// The raw return value, if the call returned; -4095 to -1 is a negative errno.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ret: Option<i64>,
    /// The name of the errno that the call failed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno: Option<String>,
    /// What the call left in memory, as far as the case checks or keeps it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<Output>,
    /// Names under which the case keeps something of the call, and what: `ret`, or an output. Such values (fds, ids)
    /// differ from run to run.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub saves: BTreeMap<String, String>,
    /// How often it was called until it did what was expected (`eventually`); missing: once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// Nanoseconds from the beginning of the case to that of the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun_ns: Option<u64>,
    /// Nanoseconds that the (last) call took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_ns: Option<u64>,
}

/// An argument of a call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Argument {
    /// As strace prints it; outputs show what they held afterwards.
    pub text: String,
    /// The number that was passed, in 64 bits; missing for addresses, which mean nothing outside the process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<u64>,
}

/// Memory as it was after a call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// An attr field, `arg0` … `arg5`, `data`, or what `as` says.
    pub name: String,
    /// Its length in bytes.
    pub length: u32,
    /// Its bytes in hex, up to the last that is not zero.
    pub hex: String,
}

impl Step {
    /// The step as strace would print it, on one line.
    pub fn text(&self) -> String {
        match (self.block, self.back.as_str()) {
            (true, "") => format!("{}:", self.name),
            (true, back) => format!("{}: {back}", self.name),
            (false, back) => {
                let args: Vec<&str> = self.args.iter().map(|arg| arg.text.as_str()).collect();
                format!("{}({}) = {back}", self.name, args.join(", "))
            }
        }
    }
}

impl CaseResult {
    /// A result of which only the verdict is known.
    pub fn bare(target: &str, status: Status) -> CaseResult {
        CaseResult {
            target: target.to_owned(),
            status,
            reason: None,
            failure: None,
            sysctls: BTreeMap::new(),
            steps: Vec::new(),
            end: None,
            kernel_log: Vec::new(),
            taint: 0,
            left_behind: 0,
            duration_ns: 0,
            left_out: 0,
            remark: None,
            runs: BTreeMap::new(),
        }
    }

    /// It ran more than once, and not always to the same end.
    pub fn is_flaky(&self) -> bool {
        self.runs.len() > 1
    }

    /// `flaky: 8 passed, 2 failed of 10 runs`, where it is.
    pub fn flakiness(&self) -> Option<String> {
        if !self.is_flaky() {
            return None;
        }
        let counted: Vec<String> =
            self.runs.iter().map(|(status, count)| counted(*count, status.word())).collect();
        Some(format!("flaky: {} of {} runs", counted.join(", "), self.runs.values().sum::<u64>()))
    }

    /// The step at which the case failed, as an index of `steps`.
    pub fn failed_step(&self) -> Option<usize> {
        let failure = self.failure.as_ref()?;
        let step = failure.step?;
        self.steps.iter().position(|s| s.step == step && s.iteration == failure.iteration)
    }

    /// One line that says what came of it: the failure, the reason, or nothing.
    pub fn says(&self) -> Option<&str> {
        match (&self.failure, &self.reason) {
            (Some(failure), _) if self.status != Status::ExpectedFailure => Some(&failure.text),
            (_, reason) => reason.as_deref(),
        }
    }
}

impl Case {
    /// The targets do not agree on it. Where it was skipped or lost, nothing is known of it, which is no difference.
    pub fn is_divergent(&self) -> bool {
        let ran = |status: &Status| !matches!(status, Status::Skipped | Status::Lost);
        let mut ran = self.results.iter().map(|r| r.status).filter(ran);
        let first = ran.next();
        ran.any(|status| Some(status) != first)
    }
}

impl Document {
    /// The suites in the order in which they come first, and the cases of each.
    pub fn suites(&self) -> Vec<(&str, Vec<&Case>)> {
        let mut suites: Vec<(&str, Vec<&Case>)> = Vec::new();
        let mut index = BTreeMap::new();
        for case in &self.cases {
            let nth = *index.entry(case.suite.as_str()).or_insert_with(|| {
                suites.push((&case.suite, Vec::new()));
                suites.len() - 1
            });
            suites[nth].1.push(case);
        }
        suites
    }
}

/// The JSON Schema of [`Document`], as it is kept in the repository.
pub(crate) fn schema() -> String {
    let schema = schemars::schema_for!(Document);
    // A schema is plain JSON.
    serde_json::to_string_pretty(&schema).map(|text| text + "\n").unwrap_or_default()
}

/// So many cases that came to a verdict: `2 failed`, `1 expected failure`, `3 expected failures`.
pub(crate) fn counted(count: u64, word: &str) -> String {
    let plural = match word {
        _ if count == 1 => "",
        word if word.ends_with("failure") => "s",
        word if word.ends_with("pass") => "es",
        _ => "",
    };
    format!("{count} {word}{plural}")
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

fn is_zero_small(n: &u32) -> bool {
    *n == 0
}

fn is_false(b: &bool) -> bool {
    !*b
}
