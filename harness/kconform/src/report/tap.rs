//! `--report tap`: TAP version 14, a line for each case on each target and no subtests, which many readers of TAP know nothing of.

use std::io::{self, Write};

use crate::document::lines::{lines, one_line};
use crate::document::plain::{counts, details, headline, kernel};
use crate::document::{Case, CaseResult, Document, Status, Trouble};

/// Writes the document.
///
/// # Errors
/// What the writer says.
pub(super) fn write(document: &Document, out: &mut dyn Write) -> io::Result<()> {
    let troubles = document.troubles();
    let results: usize = document.cases.iter().map(|case| case.results.len()).sum();
    writeln!(out, "TAP version 14\n1..{}", results + troubles.len())?;
    writeln!(out, "# kconform {}, {}", document.kconform, document.started)?;
    writeln!(out, "# case files: sha256 {}", document.suite.sha256)?;
    let mut number = 0;
    for (nth, target) in document.targets.iter().enumerate() {
        writeln!(out, "# {}: {}: {}", one_line(&target.name), kernel(target), counts(target))?;
        for case in &document.cases {
            let Some(result) = case.results.get(nth) else { continue };
            number += 1;
            write_case(number, case, result, out)?;
        }
    }
    for trouble in &troubles {
        number += 1;
        write_trouble(number, trouble, out)?;
    }
    Ok(())
}

fn write_case(number: usize, case: &Case, result: &CaseResult, out: &mut dyn Write) -> io::Result<()> {
    // What is expected to fail is `not ok` with TODO, which readers count as well.
    let ok = matches!(result.status, Status::Passed | Status::Skipped);
    let directive = match result.status {
        Status::Skipped => " # SKIP ",
        Status::ExpectedFailure => " # TODO ",
        _ => "",
    };
    let said = if directive.is_empty() { String::new() } else { headline(result) };
    let name = format!("{} {}", result.target, case.id);
    writeln!(out, "{} {number} - {}{directive}{said}", word(ok), description(&name))?;
    if !result.status.is_fine() {
        let place = result.failure.as_ref().map_or(&case.place, |failure| &failure.place);
        let place = Some((place.file.as_str(), place.line, place.column));
        diagnostics(result.status.word(), &headline(result), place, &details(case, result), out)?;
    } else if let Some(remark) = &result.remark {
        lines(remark).iter().try_for_each(|line| writeln!(out, "# note: {line}"))?;
    }
    Ok(())
}

fn write_trouble(number: usize, trouble: &Trouble, out: &mut dyn Write) -> io::Result<()> {
    let name = [trouble.target.as_deref().unwrap_or("kconform"), trouble.kind.test()].join(" ");
    writeln!(out, "not ok {number} - {}", description(&name))?;
    diagnostics(trouble.kind.word(), &one_line(&trouble.text), None, &lines(&trouble.text), out)
}

/// The block of YAML that follows a line. Strings are written as JSON's, which are YAML's too.
fn diagnostics(
    status: &str,
    message: &str,
    place: Option<(&str, u32, u32)>,
    details: &[String],
    out: &mut dyn Write,
) -> io::Result<()> {
    let quoted = |text: &str| serde_json::to_string(text);
    writeln!(out, "  ---\n  message: {}\n  severity: {}", quoted(message)?, quoted(status)?)?;
    if let Some((file, line, column)) = place {
        writeln!(out, "  at:\n    file: {}\n    line: {line}\n    column: {column}", quoted(file)?)?;
    }
    writeln!(out, "  details:")?;
    for line in details {
        writeln!(out, "    - {}", quoted(line)?)?;
    }
    writeln!(out, "  ...")
}

fn word(ok: bool) -> &'static str {
    if ok { "ok" } else { "not ok" }
}

/// A `#` ends a description; readers differ in whether it can be escaped.
fn description(text: &str) -> String {
    one_line(text).replace('\\', "\\\\").replace('#', "_")
}
