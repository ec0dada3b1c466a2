//! YAML text as a tree in which every word has its place. What a word means is decided later: a scalar is text here.

use std::sync::Arc;

use crate::place::Span;

/// A node; shared, because aliases and parameters put it at many places.
pub(crate) type NodeRef = Arc<Node>;

/// A scalar, list or mapping.
#[derive(Debug)]
pub(crate) struct Node {
    /// Where it is written.
    pub(crate) span: Span,
    /// What it is.
    pub(crate) kind: Kind,
    /// A `$` or a merge is in it: what neither has is shared between the cases of a table.
    pub(crate) open: bool,
    /// Nodes below and including this one, aliases written out.
    pub(crate) size: u64,
}

/// What a node is.
#[derive(Debug)]
pub(crate) enum Kind {
    /// A word or text.
    Scalar(Scalar),
    /// A sequence.
    List(Vec<NodeRef>),
    /// A mapping, in written order.
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The key's text.
    pub(crate) key: Arc<str>,
    /// Where the key is written.
    pub(crate) key_span: Span,
    /// The value.
    pub(crate) value: NodeRef,
}

/// A word or text.
#[derive(Debug)]
pub(crate) struct Scalar {
    /// Escapes and folding resolved.
    pub(crate) text: String,
    /// Written without quotes: may be `null`, or left out.
    pub(crate) plain: bool,
    /// Where the text starts in the file, when it stands there letter by letter.
    pub(crate) verbatim: Option<usize>,
}

impl Node {
    /// A node around what is known of it.
    pub(crate) fn new(span: Span, kind: Kind) -> Node {
        let (open, below) = match &kind {
            Kind::Scalar(scalar) => (scalar.text.contains('$'), 0),
            Kind::List(items) => {
                (items.iter().any(|n| n.open), items.iter().map(|n| n.size).fold(0, u64::saturating_add))
            }
            Kind::Map(entries) => (
                entries.iter().any(|e| e.value.open || &*e.key == "<<" || e.key.contains('$')),
                entries.iter().map(|e| e.value.size).fold(0, u64::saturating_add),
            ),
        };
        Node { span, kind, open, size: below.saturating_add(1) }
    }

    /// The entry of that key, if this is a mapping that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries()?.iter().find(|e| &*e.key == key)
    }

    /// The entries of a mapping.
    pub(crate) fn entries(&self) -> Option<&[Entry]> {
        match &self.kind {
            Kind::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The scalar, if it is one.
    pub(crate) fn scalar(&self) -> Option<&Scalar> {
        match &self.kind {
            Kind::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// The text of a scalar.
    pub(crate) fn text(&self) -> Option<&str> {
        self.scalar().map(|s| s.text.as_str())
    }

    /// Nothing is written here.
    pub(crate) fn is_empty(&self) -> bool {
        self.scalar().is_some_and(|s| s.plain && s.text.is_empty())
    }

    /// What it is, for messages.
    pub(crate) fn what(&self) -> &'static str {
        match &self.kind {
            Kind::Scalar(_) if self.is_empty() => "nothing",
            Kind::Scalar(_) => "a word",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a mapping",
        }
    }

    /// The part of a scalar's text, where it stands in the file; all of the node where that cannot be said.
    pub(crate) fn part(&self, range: std::ops::Range<usize>) -> Span {
        match self.scalar().and_then(|s| Some((s.verbatim?, s.text.get(range.clone())?))) {
            Some((at, part)) if !part.is_empty() => Span { start: at + range.start, end: at + range.end },
            _ => self.span,
        }
    }
}
