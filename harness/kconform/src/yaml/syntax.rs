//! What usually lies behind text that is no YAML: a bracket or quote that is open, a line that is indented like none above.
//! The parser says where it could not go on; this looks for where it went wrong.

use crate::place::Span;

/// A bracket that is open.
#[derive(Clone, Copy, Debug)]
struct Open {
    at: usize,
    bracket: char,
    /// Bytes by which the innermost block around it is indented: what begins there or before is no part of it.
    indent: usize,
}

/// A block that lines may go on with.
#[derive(Clone, Copy, Debug)]
struct Level {
    indent: usize,
    /// `- `, not a key.
    item: bool,
    line: usize,
}

/// What is known where the parser stopped.
#[derive(Default)]
struct Scan {
    open: Vec<Open>,
    /// The blocks of the lines before.
    levels: Vec<Level>,
    /// A bracket that closes none of its kind, and those that are left open before it.
    mismatch: Option<(usize, Vec<Open>)>,
    /// A quote that is open.
    quote: Option<usize>,
    /// The last block line ends with a key or `-`: what belongs to it may be indented by more.
    waits: bool,
    /// The line where it stopped: its start, its indentation, and whether the text there is a line of a block.
    line: usize,
    indent: usize,
    block: bool,
}

/// A mistake in the text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) span: Span,
    pub(super) text: String,
    pub(super) help: Option<String>,
    pub(super) see: Option<(Span, String)>,
}

/// What lies behind the parser's `info` at a place, if that can be told.
pub(super) fn behind(text: &str, at: usize, info: &str) -> Vec<Told> {
    let mut scan = Scan::up_to(text, at);
    let here = here(text, at);
    if let Some(bracket @ (']' | '}')) = text.get(at..).and_then(|rest| rest.chars().next())
        && scan.open.last().is_some_and(|open| closing(open.bracket) != bracket)
    {
        scan.close(bracket, at);
    }
    let quoted = text.get(at..).is_some_and(|rest| rest.starts_with(['"', '\'']));
    if let Some(quote) = scan.quote.or((quoted && info.contains("quoted scalar")).then_some(at)) {
        let mark = text.get(quote..=quote).unwrap_or("\"");
        let help = Some(format!("end the text with {mark} on this line"));
        return vec![Told { span: one(quote), text: format!("{mark} is never closed"), help, see: None }];
    }
    if let Some((at, open)) = scan.mismatch.as_ref().filter(|(_, open)| !open.is_empty()) {
        let why = format!("{} stands in its way", text.get(*at..=*at).unwrap_or(""));
        return open.iter().map(|open| never(open, one(*at), &why)).collect();
    }
    match scan.open.last() {
        Some(&innermost) => in_brackets(text, at, &scan, innermost, here),
        None => match text.get(at..).and_then(|rest| rest.chars().next()) {
            Some(bracket @ (']' | '}')) => {
                let help = Some("leave it out, or open it before".to_owned());
                vec![Told { span: one(at), text: format!("{bracket} closes nothing"), help, see: None }]
            }
            _ => scan.indentation(text, here).into_iter().collect(),
        },
    }
}

fn in_brackets(text: &str, at: usize, scan: &Scan, innermost: Open, here: Span) -> Vec<Told> {
    // The line begins a block beside or around those that have the brackets.
    let outside =
        |open: &Open| scan.indent <= open.indent && line_start(text, open.at) < line_start(text, at);
    match text.get(at..).and_then(|rest| rest.chars().next()) {
        None => scan.open.iter().map(|open| never(open, here, "the file ends")).collect(),
        Some(_) if outside(&innermost) => {
            let first = self::here(text, line_start(text, at) + scan.indent);
            let open = scan.open.iter().filter(|open| outside(open));
            open.map(|open| never(open, first, "this line is no part of it")).collect()
        }
        Some(_) => {
            let close = closing(innermost.bracket);
            vec![Told {
                span: here,
                text: format!("neither , nor {close} before this"),
                help: Some(format!("a comma is missing, or the {close}")),
                see: Some((one(innermost.at), "of this".to_owned())),
            }]
        }
    }
}

fn never(open: &Open, see: Span, why: &str) -> Told {
    Told {
        span: one(open.at),
        text: format!("{} is never closed", open.bracket),
        help: Some(format!("close it with {}", closing(open.bracket))),
        see: Some((see, why.to_owned())),
    }
}

impl Scan {
    /// Reads the text as far as the parser came.
    fn up_to(text: &str, end: usize) -> Scan {
        let mut scan = Scan::default();
        let mut start = 0;
        // Lines indented by more than this belong to a text that began with `|` or `>`.
        let mut literal: Option<usize> = None;
        for (number, line) in text.split_inclusive('\n').enumerate() {
            if start > end {
                break;
            }
            let content = line.trim_start_matches(' ');
            let indent = line.len() - content.len();
            let empty = content.trim().is_empty() || content.starts_with('#');
            let inside = literal.is_some_and(|around| indent > around) || empty;
            if !inside || scan.quote.is_some() {
                literal = None;
                let last = start + line.len() > end;
                (scan.line, scan.indent) = (number + 1, indent);
                scan.block = scan.open.is_empty() && scan.quote.is_none();
                let from = start + indent;
                let upto = end.min(start + line.len());
                if scan.block && !last {
                    literal = scan.block_line(text, from, upto);
                } else if scan.block {
                    // The line that does not fit changes nothing; but its brackets may be what is open.
                    let (levels, waits) = (scan.levels.clone(), scan.waits);
                    scan.block_line(text, from, upto);
                    (scan.levels, scan.waits) = (levels, waits);
                } else {
                    scan.characters(text, from, upto);
                }
            }
            start += line.len();
        }
        scan
    }

    /// Reads a line of a block; gives its indentation if a text of many lines begins at its end.
    fn block_line(&mut self, text: &str, mut from: usize, end: usize) -> Option<usize> {
        let line_start = line_start(text, from);
        self.levels.retain(|level| level.indent <= from - line_start);
        loop {
            let rest = text.get(from..end)?;
            let indent = from - line_start;
            self.waits = rest.trim().is_empty() || rest.starts_with('#');
            if rest.starts_with("- ") || rest.trim_end() == "-" {
                self.level(indent, true);
                let skipped = rest[1..].len() - rest[1..].trim_start().len();
                from += 1 + skipped;
            } else if let Some(colon) = key(rest) {
                self.level(indent, false);
                let after = &rest[colon + 1..];
                from += colon + 1 + after.len() - after.trim_start().len();
            } else if rest.starts_with(['&', '!', '*']) {
                let word = rest.find(char::is_whitespace).unwrap_or(rest.len());
                from += word + rest[word..].len() - rest[word..].trim_start().len();
                if word == 0 || from >= end {
                    return None;
                }
            } else if rest.starts_with(['[', '{', '"', '\'']) {
                self.characters(text, from, end);
                return None;
            } else if rest.starts_with(['|', '>']) {
                return self.levels.last().map(|level| level.indent);
            } else {
                return None;
            }
        }
    }

    fn level(&mut self, indent: usize, item: bool) {
        let (line, known) = (self.line, |level: &Level| (level.indent, level.item) == (indent, item));
        match self.levels.iter().position(known) {
            // What a list had below the keys of the same indentation is over.
            Some(nth) => self.levels.truncate(nth + 1),
            None => self.levels.push(Level { indent, item, line }),
        }
    }

    /// Reads brackets and quotes.
    fn characters(&mut self, text: &str, from: usize, end: usize) {
        let indent = self.levels.last().map_or(0, |level| level.indent);
        let mut before = ' ';
        let mut skip = false;
        let mut significant = '[';
        for (nth, c) in text.get(from..end).unwrap_or("").char_indices() {
            let at = from + nth;
            if let Some(quote) = self.quote {
                let double = text[quote..].starts_with('"');
                match c {
                    _ if skip => skip = false,
                    '\\' if double => skip = true,
                    '"' if double => self.quote = None,
                    '\'' if !double && text[at + 1..].starts_with('\'') => skip = true,
                    '\'' if !double => self.quote = None,
                    _ => {}
                }
                significant = c;
            } else {
                match c {
                    '#' if before.is_whitespace() => return,
                    '[' | '{' => self.open.push(Open { at, bracket: c, indent }),
                    ']' | '}' if !self.open.is_empty() => self.close(c, at),
                    '"' | '\'' if "[{,:".contains(significant) => self.quote = Some(at),
                    _ => {}
                }
                if !c.is_whitespace() {
                    significant = c;
                }
            }
            before = c;
        }
    }

    /// Closes a bracket, or notes what is left open before it.
    fn close(&mut self, bracket: char, at: usize) {
        match self.open.iter().rposition(|open| closing(open.bracket) == bracket) {
            Some(nth) if nth + 1 == self.open.len() => {
                self.open.pop();
            }
            own => {
                let left = own.map_or(self.open.len().saturating_sub(1), |nth| nth + 1);
                let left = self.open.split_off(left);
                self.open.truncate(own.unwrap_or(self.open.len()));
                self.mismatch.get_or_insert((at, left));
            }
        }
    }

    /// The line where the parser stopped is indented like none that it could go on with.
    fn indentation(&self, text: &str, here: Span) -> Option<Told> {
        let start = line_start(text, here.start);
        let line = text.get(start..)?.lines().next()?;
        let content = line.trim_start_matches(' ');
        if !self.block || content.is_empty() || content.starts_with('\t') {
            return None;
        }
        let item = content.starts_with("- ") || content == "-";
        if !item && key(content).is_none() {
            return None;
        }
        let span = Span { start: start + self.indent, end: start + line.trim_end().len() };
        let fits = |level: &&Level| level.item == item;
        let same = self.levels.iter().find(|level| level.indent == self.indent);
        let (what, others) = if item { ("a list item", "keys") } else { ("a key", "list items") };
        match same {
            Some(level) if level.item == item => None,
            Some(level) => {
                let help = match item {
                    true => "indent it like the items of its list, or give the list a key",
                    false => "a list item begins with `- `; a key of the item above is indented further",
                };
                let see = line_at(text, level.line).map(|span| (span, "as this one".to_owned()));
                let text = format!("{what} is indented like {others}");
                Some(Told { span, text, help: Some(help.to_owned()), see })
            }
            None if self.waits && self.levels.iter().all(|level| level.indent < self.indent) => None,
            None => {
                let mut above = self.levels.iter().rev().filter(fits);
                let smaller = above.clone().find(|level| level.indent < self.indent);
                let larger = above.rfind(|level| level.indent > self.indent);
                let by = |level: &Level| format!("by {}, as line {}", spaces(level.indent), level.line);
                let fitting: Vec<String> = [smaller, larger].into_iter().flatten().map(by).collect();
                let help = match fitting.is_empty() {
                    true => None,
                    false => Some(format!("indent it {}", fitting.join(", or "))),
                };
                let text = format!("{what} is indented by {}, like none above", spaces(self.indent));
                Some(Told { span, text, help, see: None })
            }
        }
    }
}

/// Where the key ends that a line begins with: at its colon.
fn key(line: &str) -> Option<usize> {
    let quoted = line.chars().next().filter(|c| ['"', '\''].contains(c));
    let from = match quoted {
        Some(quote) => 1 + line.get(1..)?.find(quote)? + 1,
        None if line.starts_with(['[', '{', '#', '&', '*', '!', '|', '>']) => return None,
        None => 0,
    };
    let rest = line.get(from..)?;
    let colon = rest
        .match_indices(':')
        .map(|(at, _)| at)
        .find(|at| rest[at + 1..].chars().next().is_none_or(char::is_whitespace))?;
    let comment = rest.find(" #").unwrap_or(rest.len());
    (colon < comment && (quoted.is_none() || colon == 0)).then_some(from + colon)
}

fn closing(bracket: char) -> char {
    if bracket == '[' { ']' } else { '}' }
}

fn spaces(count: usize) -> String {
    if count == 1 { "1 space".to_owned() } else { format!("{count} spaces") }
}

fn one(at: usize) -> Span {
    Span { start: at, end: at + 1 }
}

/// Where the line begins that a place is on.
fn line_start(text: &str, at: usize) -> usize {
    text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1)
}

/// The words of a line.
fn line_at(text: &str, number: usize) -> Option<Span> {
    let mut start = 0;
    let line = text.split_inclusive('\n').enumerate().find_map(|(nth, line)| {
        let found = (nth + 1 == number).then_some(line);
        start += if found.is_none() { line.len() } else { 0 };
        found
    })?;
    let indent = line.len() - line.trim_start().len();
    Some(Span { start: start + indent, end: start + line.trim_end().len() })
}

/// The word at a place; at the end of a line, or of the file, the last character before it.
pub(super) fn here(text: &str, at: usize) -> Span {
    let rest = text.get(at..).unwrap_or("");
    let word = rest.find(|c: char| c.is_whitespace() || ",]}".contains(c)).unwrap_or(rest.len());
    if word > 0 {
        return Span { start: at, end: at + word };
    }
    if rest.starts_with([',', ']', '}']) {
        return one(at);
    }
    let before = text.get(..at).unwrap_or(text).trim_end();
    let last = before.chars().next_back().map_or(0, char::len_utf8);
    Span { start: before.len() - last, end: before.len() }
}
