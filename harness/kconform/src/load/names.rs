//! What `$name` stands for at a step: values saved by the steps before it.

use crate::place::Span;
use crate::yaml::tree::{Kind, Node};

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
pub(super) struct Saved {
    pub(super) name: String,
    pub(super) kept: Kept,
    pub(super) span: Span,
}

/// The names in scope, in the order in which they were saved.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(super) saved: Vec<Saved>,
    /// Names that were saved where they cannot be seen any more, or not at all, and why.
    pub(super) gone: Vec<(String, Span, &'static str)>,
    /// All names that steps of the case save, wherever.
    pub(super) anywhere: Vec<(String, Span)>,
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
    pub(super) fn instead(&self, name: &str) -> String {
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
