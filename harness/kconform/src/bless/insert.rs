//! Where a key of a step is written, and how one is removed.

use crate::case::{CallStep, Step};

use super::Change;

/// The words of a new entry of a step: behind the call, on a line of its own, or within the braces of a step that is written so.
pub(super) fn added(step: &Step, call: &CallStep, entry: &str) -> Change {
    let text = &step.place.file.text;
    let within = step.place.start <= call.key.start && call.key.end <= step.place.end;
    // A call that a merge brought from elsewhere is written there, for all steps that have it.
    let first = if within { call.key.start } else { step.place.start };
    added_to(text, step.place.start, step.place.end, first, entry)
}

/// The same for any mapping, from `start` to `end`, behind the entry whose key stands at `first`.
pub(super) fn added_to(text: &str, start: usize, end: usize, first: usize, entry: &str) -> Change {
    if text[start..].starts_with('{') {
        let at = text[..end].rfind('}').map_or(end, |brace| text[..brace].trim_end().len());
        return Change { start: at, end: at, text: format!(", {entry}") };
    }
    let line_start = text[..first].rfind('\n').map_or(0, |at| at + 1);
    let column = first - line_start;
    let mut at = line_end(text, first);
    // The value goes on as long as lines are deeper than its key.
    while let Some(next) = text.get(at + 1..).filter(|rest| !rest.is_empty()) {
        let line = next.lines().next().unwrap_or_default();
        let deep = line.len() - line.trim_start().len();
        let ends = line_end(text, at + 1);
        if line.trim().is_empty() {
            // Blank lines belong to the value if more of it follows.
            let rest = &text[ends..];
            let more = rest.lines().find(|line| !line.trim().is_empty());
            if more.is_none_or(|line| line.len() - line.trim_start().len() <= column) {
                break;
            }
        } else if deep <= column {
            break;
        }
        at = ends;
    }
    Change { start: at, end: at, text: format!("\n{}{entry}", " ".repeat(column)) }
}

/// The end of the line that `at` is on.
fn line_end(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |length| at + length)
}

/// Removes an entry, from its key to the end of its value: with its line if nothing else is on it, with a comma if it
/// stands in braces. `None`: it cannot go without a trace.
pub(super) fn removed(text: &str, start: usize, end: usize) -> Option<Change> {
    let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let before = &text[line_start..start];
    let behind = &text[end..line_end(text, end)];
    if before.trim().is_empty() && line_start > 0 && behind.trim().is_empty() {
        return Some(Change { start: line_start - 1, end: line_end(text, end), text: String::new() });
    }
    let comma = text[..start].trim_end();
    let comma = comma.strip_suffix(',')?;
    Some(Change { start: comma.len(), end, text: String::new() })
}
