//! Two reports compared: what got worse, what is fixed, and what the kernels did differently under the same verdict.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::contents;
use super::lines::one_line;
use super::plain::headline;
use super::settings;
use super::settings::SettingChange;
use super::{Case, CaseResult, Document, Output, Status, Step};

/// What became of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It is not as it should be, and was, or was less wrong; or it is new, and wrong.
    Worse,
    /// It ran before and is skipped now.
    NewSkip,
    /// It is not in the second report.
    Gone,
    /// It is as it should be, and was not.
    Fixed,
    /// It was skipped before and runs now.
    RunsNow,
    /// The same verdict, or one as bad, and the kernel did something else.
    Changed,
}

impl Kind {
    /// All, in the order in which they are told, with their headings.
    pub const ALL: [(Kind, &'static str); 6] = [
        (Kind::Worse, "worse"),
        (Kind::NewSkip, "skipped now"),
        (Kind::Gone, "no longer there"),
        (Kind::Fixed, "fixed"),
        (Kind::RunsNow, "no longer skipped"),
        (Kind::Changed, "changed otherwise"),
    ];
}

/// A case on a target that is not as it was.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// What became of it.
    pub kind: Kind,
    /// The case's id.
    pub case: String,
    /// The target, or the two that are compared: `x86_64-6.1 → x86_64`.
    pub target: String,
    /// Its verdict in the first report, if it is there.
    pub before: Option<Status>,
    /// Its verdict in the second.
    pub after: Option<Status>,
    /// What is said of it in the second report, or else, after `before: `, in the first.
    pub says: String,
    /// What is said of it in the first, where both say something and not the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
    /// What the steps did differently.
    pub steps: Vec<StepChange>,
}

/// A step that did something else.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepChange {
    /// The step's number.
    pub step: u32,
    /// Where in the enclosing `repeat` blocks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub iteration: Vec<u32>,
    /// As strace prints it, in the first report; missing: it was not reached. Where an output differs that is not to be
    /// seen there, with the place at which it does.
    pub before: Option<String>,
    /// In the second. The two are never equal.
    pub after: Option<String>,
}

/// What differs between two reports.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The pairs of targets that are compared.
    pub targets: Vec<(String, String)>,
    /// The case files are not the same.
    pub other_files: bool,
    /// One of the reports is partial.
    pub partial: bool,
    /// What the targets are not set up alike in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<SettingChange>,
    /// How many pairs of results were compared.
    pub compared: u64,
    /// What is not as it was.
    pub changes: Vec<Change>,
}

/// Why reports cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum DiffError {
    /// No target is in both.
    #[error("the reports have no target in common ({0}; {1}); name which to compare: --target A=B")]
    NoTargets(String, String),
    /// No case is in both.
    #[error("the reports have no case in common")]
    NoCases,
    /// A report has no such target.
    #[error("the {side} report has no target {name:?}; it has {known}")]
    NoTarget {
        /// `first` or `second`.
        side: &'static str,
        /// As given.
        name: String,
        /// Those that there are.
        known: String,
    },
}

impl Difference {
    /// Whether anything got worse; `strict`: being skipped or gone counts, too.
    pub fn is_worse(&self, strict: bool) -> bool {
        self.changes.iter().any(|change| {
            change.kind == Kind::Worse || strict && matches!(change.kind, Kind::NewSkip | Kind::Gone)
        })
    }
}

/// Compares two reports; `wanted` names targets, or pairs of them (`A=B`).
///
/// # Errors
/// There is nothing to compare.
pub fn diff(before: &Document, after: &Document, wanted: &[String]) -> Result<Difference, DiffError> {
    let targets = pairs(before, after, wanted)?;
    let old: HashMap<&str, &Case> = before.cases.iter().map(|case| (case.id.as_str(), case)).collect();
    let new: HashMap<&str, &Case> = after.cases.iter().map(|case| (case.id.as_str(), case)).collect();
    let gone = before.cases.iter().filter(|case| !new.contains_key(case.id.as_str()));
    let mut changes = Vec::new();
    let mut settings = Vec::new();
    let mut compared = 0;
    for (a, b) in &targets {
        let label = if a == b { a.clone() } else { format!("{a} → {b}") };
        let set_up = |document: &Document, name: &str| {
            document.targets.iter().find(|target| target.name == *name)?.settings.clone()
        };
        settings.extend(settings::changes(&label, set_up(before, a).as_ref(), set_up(after, b).as_ref()));
        for case in after.cases.iter().chain(gone.clone()) {
            let find = |cases: &HashMap<&str, &Case>, target: &str| {
                cases.get(case.id.as_str())?.results.iter().find(|r| r.target == *target).cloned()
            };
            let (was, is) = (find(&old, a), find(&new, b));
            compared += u64::from(was.is_some() && is.is_some());
            changes.extend(compare(&case.id, &label, was.as_ref(), is.as_ref()));
        }
    }
    if compared == 0 {
        return Err(DiffError::NoCases);
    }
    changes.sort_by_key(|change| change.kind);
    Ok(Difference {
        targets,
        other_files: before.suite.sha256 != after.suite.sha256,
        partial: before.partial || after.partial,
        settings,
        compared,
        changes,
    })
}

fn pairs(before: &Document, after: &Document, wanted: &[String]) -> Result<Vec<(String, String)>, DiffError> {
    let names = |document: &Document| -> Vec<String> {
        document.targets.iter().map(|target| target.name.clone()).collect()
    };
    let (old, new) = (names(before), names(after));
    if wanted.is_empty() {
        let both: Vec<_> = old.iter().filter(|name| new.contains(name)).cloned().collect();
        return match (both.is_empty(), old.as_slice(), new.as_slice()) {
            (false, ..) => Ok(both.into_iter().map(|name| (name.clone(), name)).collect()),
            (true, [a], [b]) => Ok(vec![(a.clone(), b.clone())]),
            _ => Err(DiffError::NoTargets(old.join(", "), new.join(", "))),
        };
    }
    let known = |side, names: &[String], name: &str| match names.iter().any(|n| n == name) {
        true => Ok(name.to_owned()),
        false => Err(DiffError::NoTarget { side, name: name.to_owned(), known: names.join(", ") }),
    };
    let pair = |wanted: &String| {
        let (a, b) = wanted.split_once('=').unwrap_or((wanted, wanted));
        Ok((known("first", &old, a)?, known("second", &new, b)?))
    };
    wanted.iter().map(pair).collect()
}

/// How bad a verdict is. Being skipped is another matter.
fn severity(status: Status) -> u8 {
    match status {
        Status::Passed | Status::ExpectedFailure | Status::Skipped => 0,
        Status::UnexpectedPass => 1,
        Status::Flaky => 1,
        Status::Failed => 2,
        Status::TimedOut => 3,
        Status::Crashed | Status::Lost => 4,
    }
}

/// What became of a case on a target, if it is not as it was.
pub(crate) fn compare(
    case: &str,
    target: &str,
    was: Option<&CaseResult>,
    is: Option<&CaseResult>,
) -> Option<Change> {
    let (before, after) = (was.map(|r| r.status), is.map(|r| r.status));
    let steps = match (was, is) {
        (Some(was), Some(is)) => steps(was, is),
        _ => Vec::new(),
    };
    let kind = match (before, after) {
        (None, Some(after)) if severity(after) > 0 => Kind::Worse,
        (None, _) => return None,
        (Some(_), None) => Kind::Gone,
        (Some(before), Some(after)) if severity(after) > severity(before) => Kind::Worse,
        (Some(before), Some(Status::Skipped)) if before != Status::Skipped => Kind::NewSkip,
        (Some(Status::Skipped), Some(after)) if after != Status::Skipped => Kind::RunsNow,
        (Some(before), Some(after)) if severity(after) == 0 && severity(before) > 0 => Kind::Fixed,
        (Some(before), Some(after)) if before != after || !steps.is_empty() => Kind::Changed,
        // Both are told in what is said.
        _ if got(was) != got(is) => Kind::Changed,
        _ if was.map(CaseResult::is_flaky) != is.map(CaseResult::is_flaky) => Kind::Changed,
        _ => return None,
    };
    let (says, said) = said(was, is);
    Some(Change { kind, case: case.to_owned(), target: target.to_owned(), before, after, says, said, steps })
}

/// What is said of a case now, and what was said before where that is not the same. What was wrong before is no longer so, and
/// is told as such.
fn said(was: Option<&CaseResult>, is: Option<&CaseResult>) -> (String, Option<String>) {
    let of = |result: Option<&CaseResult>| result.map(headline).filter(|says| !says.is_empty());
    let with_got = |says: String, result| match got(result) {
        Some(got) if says.is_empty() => format!("got {}", one_line(got)),
        Some(got) => format!("{says} (got {})", one_line(got)),
        None => says,
    };
    match (of(was), of(is)) {
        (None, None) if got(was) == got(is) => (String::new(), None),
        (Some(before), None) if got(was) == got(is) || got(is).is_none() => {
            (format!("before: {before}"), None)
        }
        (None, Some(now)) if got(was) == got(is) || got(was).is_none() => (now, None),
        (before, now) => {
            let (before, now) = (before.unwrap_or_default(), now.unwrap_or_default());
            // What a reason says of a known failure is the same, whatever came.
            let (before, now) = match before == now && got(was) != got(is) {
                true => (with_got(before, was), with_got(now, is)),
                false => (before, now),
            };
            let said = (before != now).then_some(before);
            (now, said)
        }
    }
}

/// What came instead of what was expected.
fn got(result: Option<&CaseResult>) -> Option<&str> {
    Some(&result?.failure.as_ref()?.got)
}

/// What calls return that is another number each time they are made.
const VOLATILE: &[&str] =
    &["getpid", "gettid", "getppid", "clone", "clone3", "mmap", "brk", "time", "set_tid_address"];

type Key<'a> = (u32, &'a [u32]);

fn steps(was: &CaseResult, is: &CaseResult) -> Vec<StepChange> {
    // What has no steps was skipped, lost or crashed: that the steps are missing is no news.
    if was.steps.is_empty() || is.steps.is_empty() {
        return Vec::new();
    }
    let mut both: BTreeMap<Key<'_>, [Option<&Step>; 2]> = BTreeMap::new();
    for (nth, result) in [was, is].into_iter().enumerate() {
        // The line of a `repeat` comes once a round under the same key; what is in it has its own.
        for step in result.steps.iter().filter(|step| !(step.block && step.name == "repeat")) {
            both.entry((step.step, &step.iteration)).or_default()[nth] = Some(step);
        }
    }
    let changed = |((step, iteration), pair): (Key<'_>, [Option<&Step>; 2])| {
        let shown = |step: Option<&Step>| step.map(|step| one_line(&step.text()));
        let [before, after] = match pair {
            [Some(a), Some(b)] => difference(a, b)?.map(Some),
            pair => pair.map(shown),
        };
        Some(StepChange { step, iteration: iteration.to_vec(), before, after })
    };
    both.into_iter().filter_map(changed).collect()
}

/// What is to be seen of two steps that did not do the same: two lines that are not equal. What the case keeps (fds, ids) is
/// different each time and means nothing by itself.
fn difference(a: &Step, b: &Step) -> Option<[String; 2]> {
    let kept = |name: &str| a.saves.values().chain(b.saves.values()).any(|saved| saved == name);
    let same_return = match (&a.errno, &b.errno) {
        (None, None) if kept("ret") || VOLATILE.contains(&a.name.as_str()) => true,
        (None, None) if a.ret.is_some() && b.ret.is_some() => a.ret == b.ret,
        (None, None) => a.back == b.back,
        (a, b) => a == b,
    };
    let outputs = outputs(a, b);
    let outputs = outputs.into_iter().filter(|(name, _)| !kept(name));
    let outputs: Vec<_> = outputs.filter_map(|(name, pair)| contents::difference(name, pair)).collect();
    if same_return && a.name == b.name && outputs.is_empty() {
        return None;
    }
    let mut lines = [a, b].map(|step| one_line(&step.text()));
    let are_equal = lines[0] == lines[1];
    for output in outputs.iter().filter(|output| are_equal || !output.in_the_call) {
        lines.iter_mut().zip(&output.shown).for_each(|(line, shown)| line.push_str(&format!("; {shown}")));
    }
    if lines[0] == lines[1] {
        lines
            .iter_mut()
            .zip([a, b])
            .for_each(|(line, step)| line.push_str(&format!("; {}", came_back(step))));
    }
    Some(lines)
}

/// What a step came to, where its line does not say it.
fn came_back(step: &Step) -> String {
    match (&step.errno, step.ret) {
        (Some(errno), _) => format!("failed with {errno}"),
        (None, Some(ret)) => format!("returned {ret}"),
        (None, None) => "did not return".to_owned(),
    }
}

/// The outputs of both steps, by name.
fn outputs<'a>(a: &'a Step, b: &'a Step) -> BTreeMap<&'a str, [Option<&'a Output>; 2]> {
    let mut both: BTreeMap<&str, [Option<&Output>; 2]> = BTreeMap::new();
    for (nth, step) in [a, b].into_iter().enumerate() {
        for output in &step.outputs {
            both.entry(&output.name).or_default()[nth] = Some(output);
        }
    }
    both
}
