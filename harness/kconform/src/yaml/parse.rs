//! From text to a tree: what the YAML parser sees, event by event.

use std::collections::HashMap;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Tag};

use crate::limits::WORDS;
use crate::place::Span;

use super::reader::Reader;
use super::syntax::{self, Told};
use super::tree::{Entry, Kind, Node, NodeRef, Scalar};

/// Nesting that is still read; deeper files would exhaust the stack of what walks the tree.
const MAX_DEPTH: usize = 64;

/// Reads the file's only document; `None` when there is none, or when it cannot be read.
pub(crate) fn parse(reader: &mut Reader) -> Option<NodeRef> {
    let file = reader.file().clone();
    let text = file.text.as_str();
    if let Some(at) = text.find(char::REPLACEMENT_CHARACTER) {
        let end = at + char::REPLACEMENT_CHARACTER.len_utf8();
        reader.wrong(Span { start: at, end }, "not UTF-8");
        return None;
    }
    let offsets = Offsets::new(text);
    let mut builder = Builder { reader, text, stack: Vec::new(), anchors: HashMap::new(), root: None };
    let mut documents = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) = match event {
            Ok((event, span)) => {
                (event, Span { start: offsets.byte(span.start.index()), end: offsets.byte(span.end.index()) })
            }
            Err(error) => {
                builder.syntax(&error, offsets.byte(error.marker().index()));
                return None;
            }
        };
        if matches!(event, Event::DocumentStart(_)) {
            documents += 1;
            if documents > 1 {
                let help = "put it into a file of its own";
                builder.reader.wrong_help(span, "a second document in this file", help);
                return builder.root;
            }
        }
        builder.event(event, span)?;
    }
    builder.root
}

/// From the parser's character counts to bytes.
enum Offsets {
    Ascii,
    Table(Vec<usize>),
}

impl Offsets {
    fn new(text: &str) -> Offsets {
        if text.is_ascii() {
            return Offsets::Ascii;
        }
        Offsets::Table(text.char_indices().map(|(at, _)| at).chain([text.len()]).collect())
    }

    fn byte(&self, index: usize) -> usize {
        match self {
            Offsets::Ascii => index,
            Offsets::Table(table) => table.get(index).or(table.last()).copied().unwrap_or(0),
        }
    }
}

/// A collection whose end is not seen yet.
struct Frame {
    start: usize,
    end: usize,
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<NodeRef>),
    /// A key that is none has no text: its value is dropped.
    Map {
        entries: Vec<Entry>,
        key: Option<(Option<Arc<str>>, Span)>,
    },
}

struct Builder<'r, 't> {
    reader: &'r mut Reader,
    text: &'t str,
    stack: Vec<Frame>,
    /// `None`: an anchor whose node is not complete.
    anchors: HashMap<usize, Option<NodeRef>>,
    root: Option<NodeRef>,
}

impl Builder<'_, '_> {
    /// Takes in an event; `None`: the rest is not worth reading.
    fn event(&mut self, event: Event<'_>, span: Span) -> Option<()> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let node = self.scalar(&text, style, tag.as_deref(), span);
                self.add(Arc::new(node), anchor);
            }
            Event::SequenceStart(anchor, tag) => {
                self.open(span, anchor, tag.is_some(), Content::List(Vec::new()))?;
            }
            Event::MappingStart(anchor, tag) => {
                let content = Content::Map { entries: Vec::new(), key: None };
                self.open(span, anchor, tag.is_some(), content)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span)?,
            Event::Alias(anchor) => match self.anchors.get(&anchor).cloned().flatten() {
                Some(node) => {
                    self.add(node, 0);
                    self.check_size(span)?;
                }
                None => {
                    self.reader.wrong(span, "an alias inside the node that it stands for");
                    return None;
                }
            },
            _ => {}
        }
        Some(())
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Node {
        let plain = style == ScalarStyle::Plain;
        if let Some(tag) = tag {
            // `!CONFIG_X` is a word to whoever writes it, and the tag of nothing to YAML.
            if plain && text.is_empty() && tag.handle == "!" {
                let word = format!("!{}", tag.suffix);
                let at = self.text.get(span.start..span.end).and_then(|t| t.find(&word));
                let scalar = Scalar { text: word, plain, verbatim: at.map(|at| span.start + at) };
                return Node::new(span, Kind::Scalar(scalar));
            }
            self.no_tag(span);
        }
        let span = self.without_anchor(span);
        let at = match style {
            ScalarStyle::Plain => Some(span.start),
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Some(span.start + 1),
            _ => None,
        };
        let verbatim = at.filter(|&at| self.text.get(at..).is_some_and(|t| t.starts_with(text)));
        Node::new(span, Kind::Scalar(Scalar { text: text.to_owned(), plain, verbatim }))
    }

    /// Skips an anchor, which belongs to the span that the parser gives.
    fn without_anchor(&self, span: Span) -> Span {
        let Some(text) = self.text.get(span.start..span.end) else { return span };
        if !text.starts_with('&') {
            return span;
        }
        let name = text.find(|c: char| c.is_whitespace()).unwrap_or(text.len());
        let rest = text.get(name..).unwrap_or("");
        let skipped = rest.len() - rest.trim_start().len();
        Span { start: (span.start + name + skipped).min(span.end), end: span.end }
    }

    fn no_tag(&mut self, span: Span) {
        self.reader.wrong_help(
            span,
            "a YAML tag",
            "tags mean nothing here; quote the word if it starts with `!`",
        );
    }

    fn open(&mut self, span: Span, anchor: usize, tagged: bool, content: Content) -> Option<()> {
        if tagged {
            self.no_tag(span);
        }
        if self.stack.len() >= MAX_DEPTH {
            self.reader.wrong(span, format!("nested more than {MAX_DEPTH} deep"));
            return None;
        }
        if anchor != 0 {
            self.anchors.insert(anchor, None);
        }
        let start = self.without_anchor(span).start;
        self.stack.push(Frame { start, end: span.end.max(start), anchor, content });
        Some(())
    }

    fn close(&mut self, span: Span) -> Option<()> {
        let frame = self.stack.pop()?;
        // The end of a block collection is only seen at the next token: it ends where its last child does.
        let end = if span.start < span.end { span.end } else { frame.end };
        let kind = match frame.content {
            Content::List(items) => Kind::List(items),
            Content::Map { entries, .. } => Kind::Map(entries),
        };
        let span = Span { start: frame.start.min(end), end };
        self.add(Arc::new(Node::new(span, kind)), frame.anchor);
        self.check_size(span)
    }

    fn check_size(&mut self, span: Span) -> Option<()> {
        let total = |frame: &Frame| match &frame.content {
            Content::List(items) => items.last().map_or(0, |n| n.size),
            Content::Map { entries, .. } => entries.last().map_or(0, |e| e.value.size),
        };
        let size = self.stack.last().map_or(0, total);
        if size > WORDS {
            let text = format!("too much comes of the aliases in here; the most is {WORDS} words");
            self.reader.wrong(span, text);
            return None;
        }
        Some(())
    }

    fn add(&mut self, node: NodeRef, anchor: usize) {
        if anchor != 0 {
            self.anchors.insert(anchor, Some(node.clone()));
        }
        let Some(frame) = self.stack.last_mut() else {
            self.root = Some(node);
            return;
        };
        if node.span.start >= frame.start {
            frame.end = frame.end.max(node.span.end);
        }
        match &mut frame.content {
            Content::List(items) => items.push(node),
            Content::Map { entries, key } => match key.take() {
                Some((None, _)) => {}
                Some((Some(key), key_span)) => {
                    if let Some(first) = entries.iter().find(|e| e.key == key) {
                        let (text, first) = (format!("duplicate key {key}"), first.key_span);
                        self.reader.wrong_see(key_span, text, first, "first here");
                    } else {
                        entries.push(Entry { key, key_span, value: node });
                    }
                }
                None => {
                    let text = node.text().filter(|text| !text.is_empty());
                    if text.is_none() {
                        let what = if node.scalar().is_some() { "nothing" } else { node.what() };
                        self.reader.wrong(node.span, format!("{what} as a key"));
                    }
                    *key = Some((text.map(Arc::from), node.span));
                }
            },
        }
    }

    /// Notes what lies behind a syntax error, if that can be told.
    fn told(&mut self, at: usize, info: &str) -> bool {
        let told = syntax::behind(self.text, at, info);
        let any = !told.is_empty();
        for Told { span, text, help, see } in told {
            self.reader.wrong_all(span, format!("not YAML: {text}"), help, see);
        }
        any
    }

    /// A syntax error, with what usually lies behind it.
    fn syntax(&mut self, error: &ScanError, at: usize) {
        let rest = self.text.get(at..).unwrap_or("");
        let span = syntax::here(self.text, at);
        let info = error.info();
        let help = match rest.chars().next() {
            _ if info.contains("unknown anchor") => {
                let word = self.text.get(span.start..span.end).unwrap_or("");
                return self.reader.wrong(span, format!("unknown anchor {word}"));
            }
            Some('@' | '`' | '%' | '>' | '|') => {
                Some("quote it: a plain word cannot start with this character")
            }
            Some('\t') => Some("indent with spaces"),
            _ if info.contains("tab") => Some("indent with spaces"),
            _ if self.told(at, info) => return,
            _ if info.contains("mapping values are not allowed") => {
                Some("quote the text if the colon belongs to it; otherwise look at the indentation")
            }
            _ => None,
        };
        let text = format!("not YAML: {info}");
        match help {
            Some(help) => self.reader.wrong_help(span, text, help),
            None => self.reader.wrong(span, text),
        }
    }
}
