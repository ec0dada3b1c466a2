//! Mistakes for people, and for editors.

use std::fmt::Write as _;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet, renderer::DecorStyle};
use serde::Serialize;

use crate::place::{Mistake, Place};

/// Mistakes as a person reads them: file, line and column, the line with the place marked, and what would be right.
pub fn render(mistakes: &[Mistake], colours: bool) -> String {
    let renderer = if colours { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.decor_style(DecorStyle::Ascii);
    let mut text = String::new();
    for mistake in mistakes {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}\n", renderer.render(&[report(mistake)]));
    }
    text
}

fn report(mistake: &Mistake) -> Group<'_> {
    let (place, help) = (&mistake.place, mistake.help.as_deref());
    let mut group = Level::ERROR.primary_title(mistake.text.as_str()).element(
        snippet(place).annotation(AnnotationKind::Primary.span(marked(place)).label(help)).annotations(
            mistake
                .see
                .iter()
                .filter(|(see, _)| see.file == place.file)
                .map(|(see, why)| AnnotationKind::Context.span(marked(see)).label(why.as_str())),
        ),
    );
    if let Some((see, why)) = mistake.see.as_ref().filter(|(see, _)| see.file != place.file) {
        let annotation = AnnotationKind::Context.span(marked(see)).label(why.as_str());
        group = group.element(snippet(see).annotation(annotation));
    }
    group
}

fn snippet(place: &Place) -> Snippet<'_, annotate_snippets::Annotation<'_>> {
    Snippet::source(place.file.text.as_str()).path(place.path().to_string_lossy()).fold(true)
}

/// The first line of a place: marks over many lines hide more than they show.
fn marked(place: &Place) -> std::ops::Range<usize> {
    let line = place.text().find('\n').map_or(place.end, |at| place.start + at);
    let text = place.file.text.get(place.start..line).unwrap_or("");
    place.start..place.start + text.trim_end().len()
}

/// A mistake for an editor; lines and columns count from 1, the end is after the last character.
#[derive(Debug, Serialize)]
struct Located<'a> {
    file: std::borrow::Cow<'a, str>,
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    see: Option<See<'a>>,
}

#[derive(Debug, Serialize)]
struct See<'a> {
    file: std::borrow::Cow<'a, str>,
    line: usize,
    column: usize,
    message: &'a str,
}

/// Mistakes as a JSON array, one object a line.
pub fn json(mistakes: &[Mistake]) -> Result<String, serde_json::Error> {
    let lines: Result<Vec<_>, _> = mistakes.iter().map(|m| serde_json::to_string(&located(m))).collect();
    let lines = lines?;
    Ok(if lines.is_empty() { "[]\n".to_owned() } else { format!("[\n{}\n]\n", lines.join(",\n")) })
}

fn located(mistake: &Mistake) -> Located<'_> {
    let place = &mistake.place;
    let (line, column) = place.line_column();
    let (end_line, end_column) = Place { start: place.end, ..place.clone() }.line_column();
    Located {
        file: place.path().to_string_lossy(),
        line,
        column,
        end_line,
        end_column,
        message: &mistake.text,
        help: mistake.help.as_deref(),
        see: mistake.see.as_ref().map(|(see, why)| {
            let (line, column) = see.line_column();
            See { file: see.path().to_string_lossy(), line, column, message: why }
        }),
    }
}
