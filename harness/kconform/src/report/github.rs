//! `--report github`: workflow commands that GitHub shows as annotations of the case files' lines.
//!
//! Targets on which a case failed in the same way share an annotation: GitHub shows only the first ten of a step.

use std::io::{self, Write};

use crate::document::lines::one_line;
use crate::document::plain::{counts, headline, kernel, transcript};
use crate::document::{Case, CaseResult, Document, Place, Status, TroubleKind};

/// Writes the document.
///
/// # Errors
/// What the writer says.
pub(super) fn write(document: &Document, out: &mut dyn Write) -> io::Result<()> {
    for target in &document.targets {
        if let Some(lost) = &target.lost {
            let mend = lost.mend.iter().map(|mend| format!("\nto mend it: {}", one_line(mend)));
            let text = format!("{}{}", one_line(&lost.why), mend.collect::<String>());
            command(out, "error", None, &format!("{} was lost", target.name), &text)?;
        }
    }
    for trouble in document.troubles() {
        // The others are told in words of their own.
        if !matches!(trouble.kind, TroubleKind::LostTarget | TroubleKind::NothingRan) {
            let on = trouble.target.map(|target| format!(" on {target}")).unwrap_or_default();
            let title = format!("kconform{on} was not as it should be");
            command(out, "error", None, &title, &one_line(&trouble.text))?;
        }
    }
    if document.nothing_ran {
        // Another shard may have run some.
        let kind = if document.shard.is_some() { "warning" } else { "error" };
        command(out, kind, None, "nothing was tested", "no case ran on any target")?;
    }
    for target in
        document.targets.iter().filter(|t| t.ran() == 0 && t.lost.is_none() && !document.nothing_ran)
    {
        let title = format!("no case ran on {}", target.name);
        command(out, "warning", None, &title, &counts(target))?;
    }
    for case in &document.cases {
        annotate(document, case, out)?;
    }
    for target in &document.targets {
        let text = format!("{}\n{}", kernel(target), counts(target));
        command(out, "notice", None, &format!("kconform on {}", target.name), &text)?;
    }
    Ok(())
}

fn annotate(document: &Document, case: &Case, out: &mut dyn Write) -> io::Result<()> {
    let mut told: Vec<(&CaseResult, String, Vec<&str>)> = Vec::new();
    for (result, target) in case.results.iter().zip(&document.targets) {
        // That a target was lost is said once.
        let lost_with_target = result.status == Status::Lost && target.lost.is_some();
        let quiet = result.status.is_fine() && !result.is_flaky() && result.remark.is_none();
        if quiet || lost_with_target {
            continue;
        }
        let remark = result.remark.as_deref().filter(|_| result.status.is_fine()).map(one_line);
        let text = [headline(result), remark.unwrap_or_default()];
        let text: Vec<String> = text.into_iter().filter(|text| !text.is_empty()).collect();
        let text = text.join("\n");
        match told.iter_mut().find(|(first, other, _)| first.status == result.status && *other == text) {
            Some((_, _, names)) => names.push(&target.name),
            None => told.push((result, text, vec![&target.name])),
        }
    }
    for (result, text, names) in told {
        let kind = if result.status.is_fine() { "warning" } else { "error" };
        let title = format!("{} {} on {}", case.id, result.status.word(), names.join(", "));
        let place = result.failure.as_ref().map_or(&case.place, |failure| &failure.place);
        let text: Vec<String> = std::iter::once(text).chain(transcript(result)).collect();
        command(out, kind, Some(place), &title, &text.join("\n"))?;
    }
    Ok(())
}

fn command(
    out: &mut dyn Write,
    kind: &str,
    place: Option<&Place>,
    title: &str,
    text: &str,
) -> io::Result<()> {
    let place = place.map_or_else(String::new, |place| {
        let file = property(&place.file);
        // Columns are those of one line only.
        let columns = match place.line == place.end_line {
            true => format!(",col={},endColumn={}", place.column, place.end_column),
            false => String::new(),
        };
        format!("file={file},line={},endLine={}{columns},", place.line, place.end_line)
    });
    writeln!(out, "::{kind} {place}title={}::{}", property(&one_line(title)), data(text))
}

/// The runner takes `%`, and what ends a line, as escapes.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// In a property also what ends it.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
