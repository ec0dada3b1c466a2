//! `renamed.txt` at the top of a folder of cases: what suites and cases were called before.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::place::{File, Mistake, Span};
use crate::renamed::Renamed;
use crate::yaml::reader::Reader;

/// Between the old name and the new one.
const ARROW: &str = " -> ";
const FORM: &str = "a line is `old -> new`, two suites or two cases";

/// A table of old names, as it is written, and its mistakes.
pub(super) struct Written {
    reader: Reader,
    lines: Vec<Line>,
}

struct Line {
    old: Name,
    new: Name,
}

struct Name {
    text: String,
    span: Span,
}

impl Name {
    fn is_case(&self) -> bool {
        self.text.contains("::")
    }
}

/// What all tables say.
///
/// # Errors
/// Their mistakes.
pub(super) fn all(files: &[Arc<File>]) -> Result<Renamed, Vec<Mistake>> {
    let written: Vec<Written> = files.iter().cloned().map(Written::new).collect();
    let renamed = written.iter().flat_map(Written::pairs).collect();
    let mistakes: Vec<Mistake> = written.into_iter().flat_map(Written::into_mistakes).collect();
    if mistakes.is_empty() { Ok(renamed) } else { Err(mistakes) }
}

impl Written {
    /// Reads a table.
    pub(super) fn new(file: Arc<File>) -> Written {
        let mut reader = Reader::new(file.clone());
        let mut lines = Vec::new();
        let mut at = 0;
        for line in file.text.split_inclusive('\n') {
            let start = at + (line.len() - line.trim_start().len());
            at += line.len();
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                lines.extend(read_line(&mut reader, line, start));
            }
        }
        let mut written = Written { reader, lines };
        written.each_old_name_once();
        written.no_circles();
        written
    }

    /// Old names and new ones.
    fn pairs(&self) -> impl Iterator<Item = (String, String)> {
        self.lines.iter().map(|line| (line.old.text.clone(), line.new.text.clone()))
    }

    /// Holds it against all suites and cases that there are: every new name must lead to one, no old one may.
    pub(super) fn check(&mut self, suites: &[&str], cases: &[String]) {
        let renamed: Renamed = self.pairs().collect();
        let titles = cases.iter().filter_map(|id| Some(title(id)?.to_owned()));
        let known: HashSet<String> = suites
            .iter()
            .map(|suite| (*suite).to_owned())
            .chain(cases.iter().cloned())
            .chain(titles)
            .collect();
        for Line { old, new } in &self.lines {
            let what = if old.is_case() { "case" } else { "suite" };
            if known.contains(&old.text) {
                let help = "a name that is taken again cannot lead to another; call one of them otherwise";
                self.reader.wrong_help(old.span, format!("the {what} {} is still there", old.text), help);
            }
            let now = renamed.now_or_same(&new.text);
            if !known.contains(&now) {
                let then = if now == new.text { "" } else { ", to which later lines lead" };
                let alike = known.iter().filter(|name| name.contains("::") == old.is_case());
                self.reader.note(new.span, format!("there is no {what} {now}{then}"), || {
                    let near = kconform_abi::nearest(&now, alike.map(String::as_str));
                    (near.map(|near| format!("did you mean {near}?")), None)
                });
            }
        }
    }

    /// What is wrong with it.
    pub(super) fn into_mistakes(self) -> Vec<Mistake> {
        self.reader.into_mistakes()
    }

    fn each_old_name_once(&mut self) {
        let mut seen: HashMap<&str, Span> = HashMap::new();
        for Line { old, .. } in &self.lines {
            match seen.get(&*old.text) {
                Some(first) => {
                    let text = format!("a second line for {}", old.text);
                    self.reader.wrong_see(old.span, text, *first, "the first one");
                }
                None => {
                    seen.insert(&old.text, old.span);
                }
            }
        }
    }

    fn no_circles(&mut self) {
        let next: HashMap<&str, &Name> = self.lines.iter().map(|line| (&*line.old.text, &line.new)).collect();
        for Line { old, new } in &self.lines {
            let mut now = new;
            for _ in 0..self.lines.len() {
                if now.text == old.text {
                    let text = format!("{} leads back to itself", old.text);
                    self.reader.wrong_help(old.span, text, "the name of today is never an old one");
                    break;
                }
                match next.get(&*now.text) {
                    Some(name) => now = name,
                    None => break,
                }
            }
        }
    }
}

/// A case without its row, if it is one of a table.
fn title(id: &str) -> Option<&str> {
    let case = id.find("::")?;
    Some(&id[..case + id[case..].find('[')?])
}

/// Reads `old -> new`, which begins at that byte of the file.
fn read_line(reader: &mut Reader, line: &str, start: usize) -> Option<Line> {
    let whole = Span { start, end: start + line.len() };
    let Some(arrow) = line.find(ARROW) else {
        reader.wrong_help(whole, format!("a line without {:?}", ARROW.trim()), FORM);
        return None;
    };
    let name = |from: usize, text: &str| {
        let start = start + from + (text.len() - text.trim_start().len());
        let text = text.trim();
        Name { text: text.to_owned(), span: Span { start, end: start + text.len() } }
    };
    let behind = arrow + ARROW.len();
    let (old, new) = (name(0, &line[..arrow]), name(behind, &line[behind..]));
    for name in [&old, &new] {
        if name.text.is_empty() || name.text.contains(char::is_whitespace) {
            let text = format!("{:?} where a name belongs", name.text);
            reader.wrong_help(name.span, text, "names have no blanks; `kconform list` shows them");
            return None;
        }
    }
    if old.is_case() != new.is_case() {
        let what = |name: &Name| if name.is_case() { "a case" } else { "a suite" };
        reader.wrong_help(whole, format!("{} that became {}", what(&old), what(&new)), FORM);
        return None;
    }
    Some(Line { old, new })
}
