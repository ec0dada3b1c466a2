//! `kconform diff`: two reports compared.

use std::io::Write;

use crate::document::diff::{Change, Difference, Kind, diff as compare};
use crate::document::{SettingChange, Status};
use crate::load::suites::renamed_in;
use crate::style::Style;

use super::args::{DiffArgs, Format};
use super::error::{CliError, FAILED};
use super::reports::read;

pub(super) fn diff(args: &DiffArgs, style: Style) -> Result<u8, CliError> {
    let renamed = renamed_in(&args.suite.paths)?;
    let read = |path| Ok::<_, CliError>(read(path)?.renamed(&renamed));
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
    out.push_str(&settings(difference, style));
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

/// How the targets are not set up alike, a line each setting.
fn settings(difference: &Difference, style: Style) -> String {
    if difference.settings.is_empty() {
        return String::new();
    }
    let mut out = format!("{} the targets are not set up alike\n", style.warn("note:"));
    let one_pair = difference.targets.len() == 1;
    for SettingChange { target, name, before, after } in &difference.settings {
        let on = if one_pair { String::new() } else { format!(" on {target}") };
        let change = match (before.as_deref(), after.as_deref()) {
            (Some(_), None) if name.starts_with("boot option") => "no longer there".to_owned(),
            (None, Some(_)) if name.starts_with("boot option") => "there now".to_owned(),
            (before, after) => format!("{} → {}", before.unwrap_or("none"), after.unwrap_or("none")),
        };
        out.push_str(&format!("  {name}{on}: {change}\n"));
    }
    out.push('\n');
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
