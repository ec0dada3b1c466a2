//! What `$name` stands for at a step: values saved by the steps before it.

use crate::place::Span;
use crate::yaml::names::is_name;
use crate::yaml::tree::{Kind, Node};

use super::case_reader::CaseReader;

/// Saved names that are told where another one is meant.
const MOST_TOLD: usize = 5;

/// What is known of a saved value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// A return value, a field, or 1, 2, 4 or 8 bytes of a buffer.
    Number,
    /// So many bytes that they are no number.
    Bytes,
    /// A buffer whose size is known only when the step runs.
    Either,
}

#[derive(Debug)]
struct Saved {
    name: String,
    kept: Kept,
    span: Span,
}

/// The names in scope, in the order in which they were saved.
#[derive(Debug, Default)]
pub(crate) struct Names {
    saved: Vec<Saved>,
    /// Names that were saved where they cannot be seen any more, or not at all, and why.
    gone: Vec<(String, Span, &'static str)>,
    /// All names that steps of the case save, wherever.
    anywhere: Vec<(String, Span)>,
}

impl Names {
    /// For a case or probe of whose steps none is read yet.
    pub(crate) fn of_steps(steps: Option<&Node>) -> Names {
        let mut anywhere = Vec::new();
        if let Some(steps) = steps {
            saved_in(steps, &mut anywhere);
        }
        Names { anywhere, ..Names::default() }
    }

    /// What to write instead of a name that nothing saves.
    fn instead(&self, name: &str) -> String {
        let mut saved: Vec<String> = Vec::new();
        for known in self.saved.iter().rev().map(|s| format!("${}", s.name)) {
            if !saved.contains(&known) {
                saved.push(known);
            }
        }
        let more = if saved.len() > MOST_TOLD { ", …" } else { "" };
        saved.truncate(MOST_TOLD);
        let how = format!("`save: {name}` beside a call keeps what it returns");
        match saved.is_empty() {
            true => format!("nothing is saved before this; {how}"),
            false => format!("saved before this: {}{more}; {how}", saved.join(", ")),
        }
    }

    /// Where a block begins.
    pub(crate) fn mark(&self) -> usize {
        self.saved.len()
    }

    /// The block that began at `mark` ends, and takes its names with it.
    pub(crate) fn forget(&mut self, mark: usize, why: &'static str) {
        let gone = self.saved.drain(mark.min(self.saved.len())..);
        self.gone.extend(gone.map(|s| (s.name, s.span, why)));
    }

    /// A name that is written like a saved one and never gets a value.
    pub(crate) fn lost(&mut self, name: &str, span: Span, why: &'static str) {
        self.gone.push((name.to_owned(), span, why));
    }
}

/// The names that a tree of steps saves.
fn saved_in(node: &Node, found: &mut Vec<(String, Span)>) {
    match &node.kind {
        Kind::Scalar(_) => {}
        Kind::List(items) => items.iter().for_each(|item| saved_in(item, found)),
        Kind::Map(entries) => {
            for entry in entries {
                match (&*entry.key, &entry.value.kind) {
                    ("save", Kind::Scalar(name)) => found.push((name.text.clone(), entry.value.span)),
                    ("save", Kind::Map(names)) => {
                        found.extend(names.iter().map(|name| (name.key.to_string(), name.key_span)));
                    }
                    _ => saved_in(&entry.value, found),
                }
            }
        }
    }
}

impl CaseReader<'_> {
    /// Puts a name into scope.
    pub(crate) fn declare(&mut self, name: &str, kept: Kept, span: Span) {
        if self.params.iter().any(|p| &**p == name) {
            self.wrong_help(span, format!("{name} is a parameter already"), "save it under another name");
        }
        self.names.saved.push(Saved { name: name.to_owned(), kept, span });
    }

    /// A name that a step gives, of a saved value or of a buffer.
    pub(crate) fn new_name(&mut self, text: &str, span: Span) -> Option<String> {
        if is_name(text) {
            return Some(text.to_owned());
        }
        match text.strip_prefix('$').filter(|name| is_name(name)) {
            Some(name) => {
                self.wrong_help(span, format!("{text} where a name belongs"), format!("write {name}"))
            }
            None => self.wrong_help(
                span,
                format!("{text} is not a name"),
                "a name has letters, digits and _, and does not start with a digit",
            ),
        }
        None
    }

    /// What is kept under a name; a mistake if nothing is.
    pub(crate) fn saved(&mut self, name: &str, span: Span) -> Option<Kept> {
        if let Some(saved) = self.names.saved.iter().rev().find(|s| s.name == name) {
            return Some(saved.kept);
        }
        let text = format!("${name} is never saved");
        if let Some(&(_, at, why)) = self.names.gone.iter().rev().find(|g| g.0 == name) {
            self.wrong_see(span, text, at, why);
            return None;
        }
        if let Some(&(_, later)) = self.names.anywhere.iter().find(|(known, _)| known == name) {
            self.wrong_see(
                span,
                format!("${name} is not saved before this"),
                later,
                "it is saved here, which is later",
            );
            return None;
        }
        let saved = self.names.saved.iter().map(|s| s.name.as_str());
        let near = kconform_abi::nearest(name, saved.chain(self.params.iter().map(|p| &**p)));
        let help = near.map(|n| format!("did you mean ${n}?")).unwrap_or_else(|| self.names.instead(name));
        self.wrong_in_case(span, text, Some(help));
        None
    }

    /// Like [`CaseReader::saved`], for a place where a number belongs.
    pub(crate) fn saved_number(&mut self, name: &str, span: Span) -> Option<()> {
        if self.saved(name, span)? == Kept::Bytes {
            let help = format!("{{bytes: ${name}}} stands for them where a buffer may stand");
            self.wrong_help(span, format!("${name} is bytes, not a number"), help);
            return None;
        }
        Some(())
    }
}
