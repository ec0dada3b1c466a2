//! `--report jsonl`: the document piece by piece, a line each, written as the results come. What is there after a run was
//! killed is a report of what came until then.
//!
//! Every line is an object with one key: first `report`, the document without any result; then `target` and `result` with
//! what is known by now, of which later lines replace earlier ones; last `end`. Lines with other keys are left out.

use std::collections::HashMap;
use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use crate::case;
use crate::run::{NO_RESULT, TargetRun};

use super::gather::{self, Places, gather_result};
use super::json::{self, ReadError};
use super::{CaseResult, Document, Status, Target, Trouble, nothing_ran};

/// A line, as it is written.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Line<'a> {
    Report(&'a Document),
    Target(&'a Target),
    Result(OfCase<&'a str, &'a CaseResult>),
    End(End),
}

/// A line, as it is read.
#[derive(Deserialize)]
struct AnyLine {
    target: Option<Target>,
    result: Option<OfCase<String, CaseResult>>,
    end: Option<End>,
}

/// What came of a case on a target.
#[derive(Serialize, Deserialize)]
struct OfCase<Id, Result> {
    case: Id,
    #[serde(flatten)]
    result: Result,
}

/// Nothing comes any more.
#[derive(Serialize, Deserialize)]
struct End {
    partial: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    trouble: Vec<Trouble>,
    targets: Vec<Target>,
}

fn line(line: &Line<'_>) -> io::Result<String> {
    Ok(serde_json::to_string(line)? + "\n")
}

/// What is known before anything ran: the document without results.
pub(crate) fn head(mut document: Document) -> Document {
    document.cases.iter_mut().for_each(|case| case.results.clear());
    document.targets.iter_mut().for_each(|target| target.counts.clear());
    Document { partial: true, nothing_ran: true, trouble: Vec::new(), ..document }
}

/// Begins a report.
pub(crate) fn begin(head: &Document, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(line(&Line::Report(head))?.as_bytes())
}

/// What is known of a target by now.
pub(crate) fn target(run: &TargetRun) -> io::Result<String> {
    let mut target = gather::target(run);
    // Those that have no result yet would be among them.
    target.counts.clear();
    line(&Line::Target(&target))
}

/// What is known of a case on a target by now.
pub(crate) fn result(
    case: &case::Case,
    nth: usize,
    run: &TargetRun,
    places: &mut Places,
) -> io::Result<String> {
    let result = gather_result(case, nth, run, places);
    line(&Line::Result(OfCase { case: &case.id, result: &result }))
}

/// Ends a report.
pub(crate) fn end(document: &Document) -> io::Result<String> {
    line(&Line::End(End {
        partial: document.partial,
        trouble: document.trouble.clone(),
        targets: document.targets.clone(),
    }))
}

/// Writes a whole document.
///
/// # Errors
/// What the writer says.
pub(crate) fn write(document: &Document, out: &mut dyn Write) -> io::Result<()> {
    begin(&head(document.clone()), out)?;
    for case in &document.cases {
        for result in &case.results {
            out.write_all(line(&Line::Result(OfCase { case: &case.id, result }))?.as_bytes())?;
        }
    }
    out.write_all(end(document)?.as_bytes())
}

/// Reads a document back; `None` if the text does not begin as one. Without an end it is partial, and what has no result
/// is lost; a last line that was cut is left out.
///
/// # Errors
/// A line is none of a report.
pub(crate) fn read(text: &str) -> Option<Result<Document, ReadError>> {
    #[derive(Deserialize)]
    struct First {
        report: serde_json::Value,
    }
    let (first, rest) = text.split_once('\n')?;
    let First { report } = serde_json::from_str(first).ok()?;
    Some(json::read(&report.to_string()).and_then(|document| read_on(document, rest)))
}

fn read_on(mut document: Document, rest: &str) -> Result<Document, ReadError> {
    let known = document.cases.iter().enumerate().map(|(nth, case)| (case.id.clone(), nth));
    let known: HashMap<String, usize> = known.collect();
    let width = document.targets.len();
    let mut results: Vec<Option<CaseResult>> = Vec::new();
    results.resize_with(known.len() * width, || None);
    let mut ended = None;
    let count = rest.lines().count();
    for (nth, text) in rest.lines().enumerate() {
        let (number, is_last) = (nth + 2, nth + 1 == count);
        let line: AnyLine = match serde_json::from_str(text) {
            Ok(line) => line,
            Err(_) if is_last => break,
            Err(error) => return Err(ReadError::Line { number, error }),
        };
        let stranger =
            |what: &'static str, name: &str| ReadError::Stranger { number, what, name: name.to_owned() };
        if let Some(target) = line.target {
            let known = document.targets.iter_mut().find(|known| known.name == target.name);
            let known = known.ok_or_else(|| stranger("target", &target.name))?;
            *known = target;
        }
        if let Some(OfCase { case, result }) = line.result {
            let row = known.get(&case).ok_or_else(|| stranger("case", &case))?;
            let column = document.targets.iter().position(|known| known.name == result.target);
            let column = column.ok_or_else(|| stranger("target", &result.target))?;
            results[row * width + column] = Some(result);
        }
        ended = line.end.or(ended);
    }
    let lost = |target: &Target| CaseResult {
        reason: Some(NO_RESULT.into()),
        ..CaseResult::bare(&target.name, Status::Lost)
    };
    let mut results = results.into_iter();
    for case in &mut document.cases {
        let of =
            document.targets.iter().map(|target| results.next().flatten().unwrap_or_else(|| lost(target)));
        case.results = of.collect();
    }
    match ended {
        Some(end) => {
            document.partial = end.partial;
            document.trouble = end.trouble;
            document.targets = end.targets;
        }
        None => count_up(&mut document),
    }
    document.nothing_ran = nothing_ran(&document.targets);
    Ok(document)
}

/// What is known of a run that did not end.
fn count_up(document: &mut Document) {
    for (nth, target) in document.targets.iter_mut().enumerate() {
        let results = || document.cases.iter().filter_map(|case| case.results.get(nth));
        for result in results() {
            *target.counts.entry(result.status).or_default() += 1;
        }
        target.noted = results().filter(|result| result.remark.is_some()).count() as u64;
    }
    document.partial = true;
}
