//! `--report html`: one file that needs no network, with the matrix of cases and targets.
//!
//! The page is `page.html`, its looks `style.css`, what it does `page.js`. The data goes into it in a compact form, each
//! text once: most cases do the same on every target.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Value, json};

use crate::document::lines::{lines, one_line};
use crate::document::plain::{headline, transcript, with_sysctls};
use crate::document::{Case, CaseResult, Document, Status, Target};

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("page.js");

/// Writes the document.
///
/// # Errors
/// What the writer says.
pub(super) fn write(document: &Document, out: &mut dyn Write) -> io::Result<()> {
    let data = serde_json::to_string(&Data::new(document))?;
    for part in PAGE.split("{{").flat_map(|part| part.split("}}")) {
        match part {
            "style" => out.write_all(STYLE.as_bytes())?,
            "script" => out.write_all(SCRIPT.as_bytes())?,
            // Nothing in it may end the element that it stands in, or begin a comment.
            "data" => out.write_all(escaped(&data).as_bytes())?,
            text => out.write_all(text.as_bytes())?,
        }
    }
    Ok(())
}

/// JSON without what ends a script, and what a page may not hold: control characters, and what is no character.
fn escaped(json: &str) -> String {
    let is_none = |c: char| u32::from(c) & 0xfffe == 0xfffe || ('\u{fdd0}'..='\u{fdef}').contains(&c);
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c == '<' || c.is_control() && c != '\n' || is_none(c) {
            let units = &mut [0; 2];
            out.extend(c.encode_utf16(units).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            out.push(c);
        }
    }
    out
}

/// What the page reads. Texts are numbers of `texts`; 0 is the empty text.
#[derive(Serialize)]
struct Data<'a> {
    kconform: &'a str,
    started: &'a str,
    partial: bool,
    nothing_ran: bool,
    /// What else was wrong with the run, a sentence each.
    trouble: Vec<&'a str>,
    sha256: &'a str,
    /// The address of the case files' checkout at a forge.
    forge: Option<&'a str>,
    all: u64,
    statuses: Vec<Value>,
    targets: Vec<Value>,
    suites: Vec<&'a str>,
    cases: Vec<CaseRow>,
    texts: Vec<String>,
}

/// A case.
#[derive(Serialize)]
struct CaseRow {
    /// Its suite, by number.
    suite: usize,
    /// Its id after the suite's.
    id: usize,
    about: usize,
    source: usize,
    tags: usize,
    file: usize,
    line: u32,
    divergent: bool,
    results: Vec<ResultCell>,
}

/// What came of a case on a target; what is empty is left out.
#[derive(Default, Serialize)]
struct ResultCell {
    /// The status, by its place in `statuses`.
    s: usize,
    /// Microseconds.
    us: u64,
    /// What came of it, in a line.
    #[serde(skip_serializing_if = "none")]
    says: usize,
    /// The steps, a line each.
    #[serde(skip_serializing_if = "none")]
    steps: usize,
    /// Names of the errnos that calls returned, between spaces.
    #[serde(skip_serializing_if = "none")]
    errnos: usize,
    /// Expected, got, the words of the case file, where they stand; then what else was wrong, a line each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    wrong: Vec<usize>,
    #[serde(skip_serializing_if = "none")]
    log: usize,
    /// What was set for it.
    #[serde(skip_serializing_if = "none")]
    set: usize,
    #[serde(skip_serializing_if = "none")]
    remark: usize,
    /// How often it came to what, if not always to the same.
    #[serde(skip_serializing_if = "none")]
    flaky: usize,
}

fn none(text: &usize) -> bool {
    *text == 0
}

impl<'a> Data<'a> {
    fn new(document: &'a Document) -> Data<'a> {
        let mut texts = Texts::default();
        texts.add(String::new());
        let suites: Vec<&str> = document.suites().iter().map(|(suite, _)| *suite).collect();
        let numbers: HashMap<&str, usize> =
            suites.iter().enumerate().map(|(nth, suite)| (*suite, nth)).collect();
        let cases = document
            .cases
            .iter()
            .map(|case| row(case, numbers.get(case.suite.as_str()).copied().unwrap_or_default(), &mut texts))
            .collect();
        Data {
            kconform: &document.kconform,
            started: &document.started,
            partial: document.partial,
            nothing_ran: document.nothing_ran,
            trouble: document.trouble.iter().map(|trouble| trouble.text.as_str()).collect(),
            sha256: &document.suite.sha256,
            forge: document.suite.forge.as_deref(),
            all: document.suite.cases,
            statuses: Status::ALL
                .iter()
                .map(|s| json!({"word": s.word(), "fine": s.is_fine(), "means": s.means()}))
                .collect(),
            targets: document.targets.iter().map(target).collect(),
            suites,
            cases,
            texts: texts.texts,
        }
    }
}

fn target(target: &Target) -> Value {
    json!({
        "name": target.name,
        "kernel": crate::document::plain::kernel(target),
        "settings": crate::document::plain::settings(target),
        "lost": target.lost.as_ref().map(|lost| {
            let mend = lost.mend.iter().map(|mend| format!(" (to mend it: {mend})"));
            one_line(&format!("{}{}", lost.why, mend.collect::<String>()))
        }),
        "seconds": target.elapsed_ns as f64 / 1e9,
        "counts": Status::ALL.map(|status| target.counts.get(&status).copied().unwrap_or_default()),
    })
}

fn row(case: &Case, suite: usize, texts: &mut Texts) -> CaseRow {
    let short = case.id.split_once("::").map_or(case.id.as_str(), |(_, short)| short);
    CaseRow {
        suite,
        id: texts.add(short.to_owned()),
        about: texts.add(case.about.clone().unwrap_or_default()),
        source: texts.add(case.source.join("; ")),
        tags: texts.add(case.tags.join(" ")),
        file: texts.add(case.place.file.clone()),
        line: case.place.line,
        divergent: case.is_divergent(),
        results: case.results.iter().map(|result| cell(result, texts)).collect(),
    }
}

fn cell(result: &CaseResult, texts: &mut Texts) -> ResultCell {
    let errnos: BTreeSet<&str> = result.steps.iter().filter_map(|step| step.errno.as_deref()).collect();
    let errnos = errnos.into_iter().map(|errno| format!(" {errno} ")).collect::<String>();
    let shown = |text: &str| lines(text).join("\n");
    let wrong = result.failure.iter().flat_map(|failure| {
        let first = [
            shown(&failure.expected),
            // A log has its line breaks written as `\n`.
            shown(&failure.got.replace("\\n", "\n")),
            shown(&failure.words),
            failure.place.to_string(),
        ];
        first.into_iter().chain(failure.also.iter().map(|a| format!("{}: {}", a.place, one_line(&a.text))))
    });
    ResultCell {
        s: Status::ALL.iter().position(|status| *status == result.status).unwrap_or_default(),
        us: result.duration_ns / 1000,
        says: texts.add(headline(result)),
        steps: texts.add(transcript(result).join("\n")),
        errnos: texts.add(errnos),
        wrong: wrong.map(|text| texts.add(text)).collect(),
        log: texts.add(result.kernel_log.iter().map(|line| shown(line)).collect::<Vec<_>>().join("\n")),
        set: texts.add(with_sysctls(result).unwrap_or_default()),
        remark: texts.add(result.remark.as_deref().map(one_line).unwrap_or_default()),
        flaky: texts.add(result.flakiness().unwrap_or_default()),
    }
}

/// Texts, each once.
#[derive(Default)]
struct Texts {
    texts: Vec<String>,
    numbers: HashMap<String, usize>,
}

impl Texts {
    fn add(&mut self, text: String) -> usize {
        let next = self.texts.len();
        *self.numbers.entry(text).or_insert_with_key(|text| {
            self.texts.push(text.clone());
            next
        })
    }
}
