//! Filling in parameters, then resolving merges.

use std::cell::Cell;
use std::sync::Arc;

use crate::limits::WORDS;
use crate::place::Span;
use crate::yaml::names::name_length;
use crate::yaml::reader::Reader;
use crate::yaml::tree::{Entry, Kind, Node, NodeRef, Scalar};

use super::Param;

/// Parameters within parameters, before it must be a circle.
const MAX_NESTING: u32 = 8;
/// Text that parameters make counts as a word for so many bytes.
const LETTERS: usize = 64;

/// A tree with its parameters filled in and its merges resolved, and how many words it has; `None` where those are too
/// many, which is noted. `used` notes which parameters were needed.
pub(crate) fn fill(
    reader: &mut Reader,
    node: &NodeRef,
    params: &[Param],
    used: &[Cell<bool>],
) -> Option<(NodeRef, u64)> {
    let mut filler = Filler { reader, params, used, nesting: 0, words: 0 };
    let filled = filler.node(node);
    let words = filler.words;
    if words > WORDS {
        let text = format!("too much comes of the parameters in here; the most is {WORDS} words");
        reader.wrong(node.span, text);
        return None;
    }
    Some((filled, words))
}

/// A tree with its merges resolved, outside the cases, where there are no parameters.
pub(crate) fn resolved(reader: &mut Reader, node: &NodeRef) -> NodeRef {
    fill(reader, node, &[], &[]).map_or_else(|| node.clone(), |(node, _)| node)
}

struct Filler<'a> {
    reader: &'a mut Reader,
    params: &'a [Param],
    used: &'a [Cell<bool>],
    nesting: u32,
    /// Words, lists and mappings so far.
    words: u64,
}

impl Filler<'_> {
    fn node(&mut self, node: &NodeRef) -> NodeRef {
        if !node.open {
            self.words = self.words.saturating_add(node.size);
            return node.clone();
        }
        self.words = self.words.saturating_add(1);
        if self.words > WORDS {
            return node.clone();
        }
        let kind = match &node.kind {
            Kind::Scalar(scalar) => return self.scalar(node, scalar),
            Kind::List(items) => Kind::List(items.iter().map(|item| self.node(item)).collect()),
            Kind::Map(entries) => Kind::Map(self.entries(entries)),
        };
        Arc::new(Node::new(node.span, kind))
    }

    fn entries(&mut self, entries: &[Entry]) -> Vec<Entry> {
        let mut filled: Vec<Entry> = Vec::with_capacity(entries.len());
        let mut merge = None;
        for entry in entries {
            self.no_parameter_as_key(entry);
            let value = self.node(&entry.value);
            if &*entry.key == "<<" {
                merge = Some((filled.len(), value));
            } else {
                filled.push(Entry { value, ..entry.clone() });
            }
        }
        if let Some((at, merged)) = merge {
            let mut from: Vec<Entry> = Vec::new();
            self.collect(&merged, &mut from);
            // Keys written beside `<<` win, then earlier mappings.
            from.retain(|entry| !filled.iter().any(|own| own.key == entry.key));
            filled.splice(at..at, from);
        }
        filled
    }

    fn collect(&mut self, merged: &Node, from: &mut Vec<Entry>) {
        match &merged.kind {
            Kind::Map(entries) => {
                for entry in entries {
                    if !from.iter().any(|earlier| earlier.key == entry.key) {
                        from.push(entry.clone());
                    }
                }
            }
            Kind::List(items) if items.iter().all(|item| item.entries().is_some()) => {
                for item in items {
                    self.collect(item, from);
                }
            }
            Kind::List(items) => {
                for item in items.iter().filter(|item| item.entries().is_none()) {
                    self.no_mapping(item);
                }
            }
            Kind::Scalar(_) => self.no_mapping(merged),
        }
    }

    fn no_mapping(&mut self, node: &Node) {
        match node.text().filter(|t| t.starts_with('$')) {
            Some(name) => self.reader.wrong(node.span, format!("{name} is not a parameter")),
            None => {
                let help = "<< takes a mapping or a list of mappings";
                self.reader.wrong_help(node.span, format!("{} where << merges mappings", node.what()), help);
            }
        }
    }

    fn no_parameter_as_key(&mut self, entry: &Entry) {
        let mut rest = &*entry.key;
        while let Some(at) = rest.find('$') {
            rest = &rest[at + 1..];
            let name = &rest[..name_length(rest)];
            if self.params.iter().any(|p| &*p.name == name) {
                let help = "merge a mapping instead: <<: $name";
                self.reader.wrong_help(entry.key_span, format!("parameter ${name} in a key"), help);
            }
        }
    }

    fn scalar(&mut self, node: &NodeRef, scalar: &Scalar) -> NodeRef {
        let text = scalar.text.as_str();
        if let Some(name) = text.trim().strip_prefix('$').filter(|n| name_length(n) == n.len()) {
            return self.param(name, node.span).unwrap_or_else(|| node.clone());
        }
        let mut filled = String::new();
        let mut changed = false;
        let mut at = 0;
        while let Some(found) = text[at..].find('$') {
            let dollar = at + found;
            let end = dollar + 1 + name_length(&text[dollar + 1..]);
            filled.push_str(&text[at..dollar]);
            at = end;
            match self.param(&text[dollar + 1..end], node.span) {
                Some(value) => {
                    changed = true;
                    filled.push_str(value.text().unwrap_or("0"));
                    if value.scalar().is_none() {
                        let text = format!(
                            "parameter {} is {} and stands in a text",
                            &text[dollar..end],
                            value.what()
                        );
                        self.reader.wrong(node.part(dollar..end), text);
                    }
                }
                None => filled.push_str(&text[dollar..end]),
            }
        }
        if !changed {
            return node.clone();
        }
        filled.push_str(&text[at..]);
        self.words = self.words.saturating_add((filled.len() / LETTERS) as u64);
        let scalar = Scalar { text: filled, plain: scalar.plain, verbatim: None };
        Arc::new(Node::new(node.span, Kind::Scalar(scalar)))
    }

    fn param(&mut self, name: &str, span: Span) -> Option<NodeRef> {
        let index = self.params.iter().position(|p| &*p.name == name)?;
        if let Some(used) = self.used.get(index) {
            used.set(true);
        }
        let value = &self.params.get(index)?.value;
        if self.nesting == MAX_NESTING {
            self.reader.wrong(span, format!("parameter ${name} stands for itself"));
            // Any word will do, so that nothing else is said of it.
            let zero = Scalar { text: "0".to_owned(), plain: true, verbatim: None };
            return Some(Arc::new(Node::new(span, Kind::Scalar(zero))));
        }
        self.nesting += 1;
        let filled = self.node(value);
        self.nesting -= 1;
        Some(filled)
    }
}
