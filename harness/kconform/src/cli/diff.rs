//! `kconform diff`: two reports compared.

use std::io::Write;

use super::args::{DiffArgs, Format};
use super::report::read;
use super::{CliError, FAILED};
use crate::report::Style;
use crate::report::diff::{Change, Difference, Kind, diff as compare};
use crate::report::document::Status;

pub(super) fn diff(args: &DiffArgs, style: Style) -> Result<u8, CliError> {
    let difference = compare(&read(&args.before)?, &read(&args.after)?, &args.targets)?;
    let mut out = std::io::stdout().lock();
    match args.format {
        Format::Json => {
            let text = serde_json::to_string_pretty(&difference).map_err(std::io::Error::from)?;
            writeln!(out, "{text}")?;
        }
        Format::Text => write!(out, "{}", text(&difference, style))?,
    }
    Ok(if difference.is_worse(args.strict) { FAILED } else { 0 })
}

/// The comparison as a person reads it.
pub(super) fn text(difference: &Difference, style: Style) -> String {
    let mut out = String::new();
    if difference.other_files {
        out.push_str(&format!("{} the case files are not the same\n", style.warn("note:")));
    }
    if difference.partial {
        out.push_str(&format!("{} one of the reports is partial\n", style.warn("note:")));
    }
    for (kind, heading) in Kind::ALL {
        let changes: Vec<&Change> = difference.changes.iter().filter(|change| change.kind == kind).collect();
        if changes.is_empty() {
            continue;
        }
        let heading = match kind {
            Kind::Worse => style.bad(heading),
            Kind::Fixed | Kind::RunsNow => style.good(heading),
            _ => style.strong(heading),
        };
        out.push_str(&format!("{heading}: {}\n", changes.len()));
        changes.iter().for_each(|change| out.push_str(&entry(change)));
        out.push('\n');
    }
    let pairs: Vec<String> = difference.targets.iter().map(|(a, b)| pair(a, b)).collect();
    let count = |kind: Kind| difference.changes.iter().filter(|change| change.kind == kind).count();
    let counted: Vec<String> = Kind::ALL
        .iter()
        .filter(|(kind, _)| count(*kind) > 0)
        .map(|(kind, heading)| format!("{} {heading}", count(*kind)))
        .collect();
    let counted = if counted.is_empty() { "nothing changed".into() } else { counted.join(", ") };
    out.push_str(&format!("{} results on {} compared: {counted}\n", difference.compared, pairs.join(", ")));
    out
}

fn pair(a: &str, b: &str) -> String {
    if a == b { a.to_owned() } else { format!("{a} → {b}") }
}

fn entry(change: &Change) -> String {
    let word = |status: Option<Status>| status.map_or("not there", Status::word);
    let (before, after) = (word(change.before), word(change.after));
    let verdict = if before == after { after.to_owned() } else { format!("{before} → {after}") };
    let mut out = format!("  {} on {}: {verdict}\n", change.case, change.target);
    out.push_str(&says(change));
    out.push_str(&steps(change));
    out
}

/// What is said of a case before and after, on lines of its own.
pub(super) fn says(change: &Change) -> String {
    let before = change.said.as_ref().map(|said| format!("    before: {said}\n"));
    let now = Some(&change.says).filter(|says| !says.is_empty()).map(|says| format!("    {says}\n"));
    before.into_iter().chain(now).collect()
}

/// What the steps did differently, line by line.
pub(super) fn steps(change: &Change) -> String {
    let mut out = String::new();
    for step in &change.steps {
        for (sign, line) in [('-', &step.before), ('+', &step.after)] {
            out.extend(line.iter().map(|line| format!("    {sign} {line}\n")));
        }
    }
    out
}
