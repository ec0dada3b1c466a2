//! What every part of reading a file shares: its text, the mistakes found so far, and mappings with known keys.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use crate::place::{File, Mistake, Place, Placed, Span};

use super::names::is_name;
use super::tree::{Entry, Kind, Node, NodeRef};

/// Reads one file. Whatever cannot be read is a mistake and `None`; reading goes on behind it.
pub(crate) struct Reader {
    file: Arc<File>,
    mistakes: Vec<Mistake>,
    seen: HashSet<(Span, String)>,
    /// Mistakes so far, those counted too that another row of a table had already.
    pub(crate) hits: usize,
    /// The parameters of what is being read, which were filled in before.
    pub(crate) params: Vec<Arc<str>>,
}

impl Reader {
    /// For a file of which nothing is read yet.
    pub(crate) fn new(file: Arc<File>) -> Reader {
        Reader { file, mistakes: Vec::new(), seen: HashSet::new(), hits: 0, params: Vec::new() }
    }

    /// The file.
    pub(crate) fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// The mistakes, in the order of the file.
    pub(crate) fn into_mistakes(mut self) -> Vec<Mistake> {
        self.mistakes.sort_by(|a, b| {
            (a.place.start, a.place.end, &a.text).cmp(&(b.place.start, b.place.end, &b.text))
        });
        self.mistakes
    }

    /// A stretch of this file for the outside.
    pub(crate) fn place(&self, span: Span) -> Place {
        Place { file: self.file.clone(), start: span.start, end: span.end }
    }

    /// A value with its place.
    pub(crate) fn placed<T>(&self, span: Span, value: T) -> Placed<T> {
        Placed { value, place: self.place(span) }
    }

    /// Notes a mistake.
    pub(crate) fn wrong(&mut self, span: Span, text: impl Into<String>) {
        self.note(span, text.into(), || (None, None));
    }

    /// Notes a mistake and what would be right.
    pub(crate) fn wrong_help(&mut self, span: Span, text: impl Into<String>, help: impl Into<String>) {
        self.note(span, text.into(), || (Some(help.into()), None));
    }

    /// Notes a mistake and another place that matters.
    pub(crate) fn wrong_see(&mut self, span: Span, text: impl Into<String>, see: Span, why: &str) {
        let see = (self.place(see), why.to_owned());
        self.note(span, text.into(), || (None, Some(see)));
    }

    /// Notes a mistake, what would be right, and another place that matters.
    pub(crate) fn wrong_all(
        &mut self,
        span: Span,
        text: impl Into<String>,
        help: Option<String>,
        see: Option<(Span, String)>,
    ) {
        let see = see.map(|(span, why)| (self.place(span), why));
        self.note(span, text.into(), || (help, see));
    }

    /// Notes an unknown word. The nearest known one is looked for only when the mistake is new.
    pub(crate) fn unknown<'w>(
        &mut self,
        span: Span,
        what: &str,
        word: &str,
        known: impl IntoIterator<Item = &'w str>,
        otherwise: Option<&str>,
    ) {
        self.note(span, format!("unknown {what} {word}"), || {
            let near = kconform_abi::nearest(word, known.into_iter());
            (near.map(|w| format!("did you mean {w}?")).or(otherwise.map(str::to_owned)), None)
        });
    }

    /// Notes a mistake; what goes with it is only made when the mistake is new.
    pub(crate) fn note(
        &mut self,
        span: Span,
        text: String,
        more: impl FnOnce() -> (Option<String>, Option<(Place, String)>),
    ) {
        self.hits += 1;
        if self.seen.insert((span, text.clone())) {
            let (help, see) = more();
            self.mistakes.push(Mistake { place: self.place(span), text, help, see });
        }
    }

    /// The entries of a mapping all of whose keys must be known.
    /// Behind a misspelt one is what belongs to the nearest.
    pub(crate) fn mapping<'n>(
        &mut self,
        node: &'n Node,
        what: &str,
        keys: &[&str],
    ) -> Option<Cow<'n, [Entry]>> {
        let Some(entries) = node.entries() else {
            self.wrong_help(node.span, format!("{} where {what} belongs", node.what()), has(keys));
            return None;
        };
        self.known_keys(entries, what, keys);
        Some(mended(entries, keys))
    }

    /// Notes the keys that do not belong here.
    pub(crate) fn known_keys(&mut self, entries: &[Entry], what: &str, keys: &[&str]) {
        for entry in entries.iter().filter(|e| !keys.contains(&&*e.key)) {
            let known = keys.iter().copied();
            self.unknown(entry.key_span, &format!("key of {what}:"), &entry.key, known, Some(&has(keys)));
        }
    }

    /// The elements of a list; a single thing that is no list counts as a list of one.
    pub(crate) fn one_or_many<'n>(&self, node: &'n NodeRef) -> &'n [NodeRef] {
        match &node.kind {
            Kind::List(items) => items,
            _ => std::slice::from_ref(node),
        }
    }

    /// The elements of what must be a list.
    pub(crate) fn list<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [NodeRef]> {
        match &node.kind {
            Kind::List(items) => Some(items),
            _ => {
                self.wrong(node.span, format!("{} where a list of {what} belongs", node.what()));
                None
            }
        }
    }

    /// A word that is known before the case runs, with nothing missing.
    pub(crate) fn word<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        let text = self.filled(node, what)?;
        if let Some(name) = text.strip_prefix('$').filter(|name| is_name(name)) {
            self.not_a_parameter(name, node.span);
            return None;
        }
        Some(text)
    }

    /// `$name` where only a parameter may stand, and none of this name is there.
    fn not_a_parameter(&mut self, name: &str, span: Span) {
        let params = std::mem::take(&mut self.params);
        let known = params.iter().map(|p| &**p);
        let near = kconform_abi::nearest(name, known).map(|n| format!("did you mean ${n}?"));
        let otherwise = "what is saved by a step cannot stand here".to_owned();
        self.wrong_help(span, format!("${name} is not a parameter"), near.unwrap_or(otherwise));
        self.params = params;
    }

    /// Text of a scalar, with nothing missing.
    pub(crate) fn filled<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        match node.text() {
            Some(text) if !text.is_empty() => Some(text),
            _ => {
                let found = if node.text().is_some() { "nothing" } else { node.what() };
                self.wrong(node.span, format!("{found} where {what} belongs"));
                None
            }
        }
    }

    /// Text, or a list of texts, for people.
    pub(crate) fn texts(&mut self, node: &NodeRef, what: &str) -> Vec<String> {
        let mut texts = Vec::new();
        for item in self.one_or_many(node) {
            if let Some(text) = self.word(item, what) {
                self.no_control(text, item.span, what);
                texts.push(text.trim().to_owned());
            }
        }
        texts
    }

    /// What people read must not have control characters: a terminal obeys them.
    pub(crate) fn no_control(&mut self, text: &str, span: Span, what: &str) {
        if let Some(c) = text.chars().find(|&c| c.is_control() && !matches!(c, '\n' | '\t')) {
            let text = format!("the control character U+{:04X} in {what}", u32::from(c));
            self.wrong_help(span, text, "terminals obey such characters; write what it stands for");
        }
    }

    /// `true` or `false`.
    pub(crate) fn truth(&mut self, node: &Node) -> Option<bool> {
        match node.scalar().filter(|s| s.plain).map(|s| s.text.as_str()) {
            Some("true") => Some(true),
            Some("false") => Some(false),
            _ => {
                let quoted = node.scalar().is_some_and(|s| !s.plain);
                let found = if quoted { "text" } else { node.text().unwrap_or(node.what()) };
                self.wrong(node.span, format!("{found} where true or false belongs"));
                None
            }
        }
    }
}

fn has(keys: &[&str]) -> String {
    format!("the keys are {}", keys.join(", "))
}

/// Entries whose misspelt keys are replaced by the nearest ones that are not there yet, to go on with: they were told.
pub(crate) fn mended<'n>(entries: &'n [Entry], keys: &[&str]) -> Cow<'n, [Entry]> {
    if entries.iter().all(|entry| keys.contains(&&*entry.key)) {
        return Cow::Borrowed(entries);
    }
    let free = |key: &&&str| !entries.iter().any(|entry| &*entry.key == **key);
    let mend = |entry: &Entry| {
        let near = kconform_abi::nearest(&entry.key, keys.iter().filter(free).copied());
        match near.filter(|_| !keys.contains(&&*entry.key)) {
            Some(near) => Entry { key: near.into(), ..entry.clone() },
            None => entry.clone(),
        }
    };
    Cow::Owned(entries.iter().map(mend).collect())
}

/// The entry of a key.
pub(crate) fn find<'n>(entries: &'n [Entry], key: &str) -> Option<&'n Entry> {
    entries.iter().find(|e| &*e.key == key)
}
