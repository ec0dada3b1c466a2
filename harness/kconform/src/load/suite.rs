//! The keys of a file and of a case.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::case::{Case, KnownIssue, Probe, Requires};
use crate::expand::{Param, Variant, fill, resolved, variants};
use crate::limits::WORDS;
use crate::place::Span;
use crate::yaml::reader::{Reader, find, mended};
use crate::yaml::tree::{Entry, Kind, Node, NodeRef};

use super::case_reader::CaseReader;
use super::probes::Probes;

pub(super) const FILE_KEYS: &[&str] = &["about", "source", "requires", "let", "tags", "probes", "cases"];
pub(super) const CASE_KEYS: &[&str] = &[
    "name",
    "about",
    "source",
    "requires",
    "each",
    "matrix",
    "steps",
    "timeout",
    "exclusive",
    "guest_only",
    "fresh",
    "needs",
    "known_issue",
    "tags",
];
/// What a case may take unless it says otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What holds for every case of a file.
pub(crate) struct Suite<'p> {
    name: Arc<str>,
    about: Option<String>,
    source: Vec<String>,
    requires: Option<Requires>,
    probes: &'p [&'p Probes],
    tags: Option<&'p Tags>,
}

impl Suite<'_> {
    /// The sysctls that all its cases require.
    fn sysctls(&self) -> impl Iterator<Item = String> {
        let wants = self.requires.iter().flat_map(|requires| &requires.settings.sysctl);
        wants.map(|want| want.name.clone())
    }
}

/// The entries of a file, merges resolved, but for those of its cases.
pub(crate) fn file_entries(reader: &mut Reader, root: &Node) -> Option<Vec<Entry>> {
    let Some(entries) = root.entries() else {
        let help = "a file is a mapping: about, source, requires, let, tags, probes, cases";
        reader.wrong_help(root.span, format!("{} where the keys of a file belong", root.what()), help);
        return None;
    };
    let header = entries.iter().filter(|e| !matches!(&*e.key, "cases" | "let"));
    let header = Node::new(root.span, Kind::Map(header.cloned().collect()));
    let header = resolved(reader, &NodeRef::new(header));
    let cases = entries.iter().find(|e| &*e.key == "cases").cloned();
    let rest = header.entries().unwrap_or_default().iter().cloned();
    let entries: Vec<_> = rest.chain(cases).collect();
    reader.known_keys(&entries, "a file", FILE_KEYS);
    Some(mended(&entries, FILE_KEYS).into_owned())
}

/// Reads all cases of a file. Those with mistakes are left out.
pub(crate) fn cases(
    reader: &mut Reader,
    name: &Arc<str>,
    entries: &[Entry],
    probes: &[&Probes],
    tags: Option<&Tags>,
) -> Vec<Case> {
    let about = find(entries, "about").map(|e| reader.texts(&e.value, "text").join(" "));
    let source = find(entries, "source").map(|e| reader.texts(&e.value, "a source")).unwrap_or_default();
    let requires = find(entries, "requires");
    let requires = requires.and_then(|e| CaseReader::new(reader, None, None).requires(&e.value));
    let suite = Suite { name: name.clone(), about, source, requires, probes, tags };
    let Some(list) = find(entries, "cases") else { return Vec::new() };
    let Some(items) = reader.list(&list.value, "cases") else { return Vec::new() };
    if items.is_empty() {
        reader.wrong(list.value.span, "no cases");
    }
    let mut ids = HashMap::new();
    let mut names = HashMap::new();
    let mut all = Vec::new();
    for item in items {
        expand_case(reader, &suite, item, &mut names, &mut ids, &mut all);
    }
    all
}

/// A case with merges at its own level resolved, as far as they go without parameters.
fn header(node: &NodeRef) -> NodeRef {
    let (Some(entries), Some(merge)) = (node.entries(), node.get("<<")) else { return node.clone() };
    let mut all: Vec<Entry> = entries.iter().filter(|e| &*e.key != "<<").cloned().collect();
    let merged: &[NodeRef] = match &merge.value.kind {
        Kind::List(items) => items,
        _ => std::slice::from_ref(&merge.value),
    };
    for entry in merged.iter().filter_map(|m| m.entries()).flatten() {
        if !all.iter().any(|own| own.key == entry.key) {
            all.push(entry.clone());
        }
    }
    NodeRef::new(Node::new(node.span, Kind::Map(all)))
}

fn expand_case(
    reader: &mut Reader,
    suite: &Suite<'_>,
    node: &NodeRef,
    names: &mut HashMap<String, Span>,
    ids: &mut HashMap<String, Span>,
    all: &mut Vec<Case>,
) {
    let mut head = header(node);
    if let Some(Cow::Owned(entries)) = head.entries().map(|entries| mended(entries, CASE_KEYS)) {
        head = NodeRef::new(Node::new(head.span, Kind::Map(entries)));
    }
    let Some(entries) = head.entries() else {
        reader.wrong_help(node.span, format!("{} where a case belongs", node.what()), "write - name: …");
        return;
    };
    let Some(name) = find(entries, "name") else {
        reader.wrong(node.span, "a case without a name");
        return;
    };
    let before = reader.hits;
    let word = name.value.text().unwrap_or_default();
    // Of a second case of the same name only its own mistakes are told, not that its ids are there already.
    let mut others = HashMap::new();
    let ids = match unique(reader, names, slug(word), name.value.span, "a second case of this name") {
        true => ids,
        false => &mut others,
    };
    // Tables are no part of what is filled in: a thousand rows would be walked a thousand times.
    let body = node.entries().unwrap_or_default().iter().filter(|e| !matches!(&*e.key, "each" | "matrix"));
    let body = NodeRef::new(Node::new(node.span, Kind::Map(body.cloned().collect())));
    let Some(variants) = variants(reader, &head) else {
        // The table is wrong; what is wrong besides it would be told by rows that are not there.
        return;
    };
    let table_is_fine = reader.hits == before;
    let mut used = Used::default();
    let mut words = 0;
    for variant in &variants {
        let case = case(reader, suite, &body, variant, &mut used, ids, &mut words);
        if words > WORDS {
            let table = find(entries, "matrix").or(find(entries, "each"));
            let text = format!("the cases of this table are too large together; the most is {WORDS} words");
            let help = "fewer rows, or parameters that are mappings and lists without `$` in them";
            reader.wrong_help(table.map_or(name.value.span, |table| table.key_span), text, help);
            return;
        }
        if let Some(case) = case
            && table_is_fine
        {
            all.push(case);
        }
    }
    used.report(reader);
}

/// Which parameters any of the variants needed.
#[derive(Default)]
struct Used(Vec<(Param, bool)>);

impl Used {
    fn note(&mut self, params: &[Param], used: &[Cell<bool>]) {
        for (param, used) in params.iter().zip(used) {
            match self.0.iter_mut().find(|(p, _)| p.name == param.name) {
                Some((_, ever)) => *ever |= used.get(),
                None => self.0.push((param.clone(), used.get())),
            }
        }
    }

    fn report(self, reader: &mut Reader) {
        for (param, _) in self.0.iter().filter(|(_, used)| !used) {
            let help = format!("write ${} where it belongs, or leave it out", param.name);
            reader.wrong_help(param.span, format!("unused parameter {}", param.name), help);
        }
    }
}

fn case(
    reader: &mut Reader,
    suite: &Suite<'_>,
    body: &NodeRef,
    variant: &Variant,
    ever_used: &mut Used,
    ids: &mut HashMap<String, Span>,
    words: &mut u64,
) -> Option<Case> {
    let before = reader.hits;
    let used: Vec<_> = variant.params.iter().map(|_| Cell::new(false)).collect();
    let filled = fill(reader, body, &variant.params, &used);
    ever_used.note(&variant.params, &used);
    let (node, more) = filled?;
    *words = words.saturating_add(more);
    let entries = &*reader.mapping(&node, "a case", CASE_KEYS)?;
    let steps = find(entries, "steps").map(|steps| &*steps.value);
    reader.params = variant.params.iter().map(|p| p.name.clone()).collect();
    let at = find(body.entries()?, "name").map(|name| (body.span, name.value.span));
    let reader = &mut CaseReader::new(reader, at, steps);
    let flag = |reader: &mut Reader, key: &str| {
        find(entries, key).and_then(|e| reader.truth(&e.value)).unwrap_or(false)
    };
    let (exclusive, guest_only) = (flag(reader, "exclusive"), flag(reader, "guest_only"));
    let fresh = flag(reader, "fresh");
    let (exclusive, guest_only) = (exclusive || fresh, guest_only || fresh);
    reader.may_set_sysctls = exclusive && guest_only;

    let name_node = find(entries, "name")?.value.clone();
    let name = reader.word(&name_node, "a name")?.trim().to_owned();
    no_dollar(reader, &name_node, variant);
    let label = variant.label.as_deref();
    let id = match label {
        Some(label) => format!("{}::{}[{}]", suite.name, slug(&name), slug(label)),
        None => format!("{}::{}", suite.name, slug(&name)),
    };
    let span = variant.span.unwrap_or(name_node.span);
    for text in [Some(&*name), label].into_iter().flatten() {
        reader.no_control(text, span, "a name");
    }
    let text = format!("a second case with the id {id}");
    unique(reader, ids, id.clone(), span, &text);

    let about = find(entries, "about").map(|e| reader.texts(&e.value, "text").join(" "));
    let source = find(entries, "source").map(|e| reader.texts(&e.value, "a source"));
    let requires = find(entries, "requires").and_then(|e| reader.requires(&e.value));
    let timeout = find(entries, "timeout").and_then(|e| reader.seconds(&e.value));
    let needs = find(entries, "needs").map(|e| needs(reader, &e.value, suite)).unwrap_or_default();
    let known_issues =
        find(entries, "known_issue").map(|e| known_issues(reader, &e.value)).unwrap_or_default();
    let tags = find(entries, "tags").map(|e| tags(reader, &e.value, suite)).unwrap_or_default();
    let steps = reader.required(entries, "steps", &node).and_then(|e| reader.steps(&e.value));
    let place = reader.place(find(body.entries()?, "name").map_or(name_node.span, |e| e.value.span));
    if let Some(steps) = &steps
        && reader.hits == before
    {
        reader.in_limits(steps);
    }
    let case = Case {
        id,
        suite: suite.name.clone(),
        name: label.map_or(name.clone(), |label| format!("{name} [{label}]")),
        place,
        about: about.or_else(|| suite.about.clone()),
        source: source.unwrap_or_else(|| suite.source.clone()),
        requires: suite.requires.iter().cloned().chain(requires).collect(),
        timeout: timeout.unwrap_or(TIMEOUT),
        exclusive,
        guest_only,
        fresh,
        btf: std::mem::take(&mut reader.btf),
        sysctls: suite.sysctls().chain(std::mem::take(&mut reader.sysctls)).collect(),
        needs,
        known_issues,
        tags,
        steps: steps?,
    };
    (reader.hits == before).then_some(case)
}

fn unique(
    reader: &mut Reader,
    seen: &mut HashMap<String, Span>,
    key: String,
    span: Span,
    text: &str,
) -> bool {
    match seen.get(&key) {
        Some(&first) => reader.wrong_see(span, text, first, "the first one"),
        None => {
            seen.insert(key, span);
            return true;
        }
    }
    false
}

/// What is not a parameter stays a `$` in the name.
fn no_dollar(reader: &mut Reader, node: &Node, variant: &Variant) {
    let name = node.text().unwrap_or_default();
    let Some(at) = name.find('$') else { return };
    let length = crate::yaml::names::name_length(&name[at + 1..]);
    if length > 0 {
        let word = &name[at..at + 1 + length];
        let params = variant.params.iter().map(|p| &*p.name);
        reader.unknown(
            node.part(at..at + 1 + length),
            "parameter",
            word,
            params,
            Some("names take parameters only"),
        );
    }
}

fn needs(reader: &mut Reader, node: &NodeRef, suite: &Suite<'_>) -> Vec<Arc<Probe>> {
    let mut found = Vec::new();
    for item in reader.one_or_many(node) {
        let Some(name) = reader.word(item, "the name of a probe") else { continue };
        match suite.probes.iter().find_map(|probes| probes.get(name)) {
            Some(Some(probe)) => found.push(probe.clone()),
            // The probe is there, and wrong; that is told where it stands. The case cannot do without it.
            Some(None) => reader.hits += 1,
            None => {
                let known = suite.probes.iter().flat_map(|p| p.names());
                let help = "probes are those of this file and of probes.yaml";
                reader.unknown(item.span, "probe", name, known, Some(help));
            }
        }
    }
    found
}

fn known_issues(reader: &mut CaseReader<'_>, node: &NodeRef) -> Vec<KnownIssue> {
    let mut issues = Vec::new();
    for item in reader.one_or_many(node) {
        let Some(entries) = reader.mapping(item, "a known issue", &["when", "because"]) else { continue };
        let when = reader.required(&entries, "when", item).and_then(|e| reader.requires(&e.value));
        let because = reader.required(&entries, "because", item).map(|e| reader.texts(&e.value, "a reason"));
        if let (Some(when), Some(because)) = (when, because) {
            issues.push(KnownIssue { when, because: because.join(" ") });
        }
    }
    issues
}

/// The tags that cases of a folder may have, by `probes.yaml` at its top, and what each stands for.
#[derive(Debug, Default)]
pub(crate) struct Tags(pub(crate) Vec<(String, String)>);

/// Reads the tags that cases may have.
pub(crate) fn known_tags(reader: &mut Reader, entries: &[Entry]) -> Option<Tags> {
    let node = &find(entries, "tags")?.value;
    let Some(entries) = node.entries() else {
        let help = "write tags: {map: maps and their elements}";
        reader.wrong_help(node.span, format!("{} where tags and their meanings belong", node.what()), help);
        return None;
    };
    let mut known = Vec::new();
    for entry in entries {
        one_word(reader, &entry.key, entry.key_span);
        let meaning = reader.texts(&entry.value, "what the tag stands for").join(" ");
        known.push((entry.key.to_string(), meaning));
    }
    Some(Tags(known))
}

fn one_word(reader: &mut Reader, word: &str, span: Span) {
    reader.no_control(word, span, "a tag");
    if word.contains(|c: char| c.is_whitespace() || c == ',') {
        reader.wrong_help(span, format!("`{word}` is not one word"), "write tags: [one, two]");
    }
}

fn tags(reader: &mut Reader, node: &NodeRef, suite: &Suite<'_>) -> Vec<String> {
    let mut tags = Vec::new();
    for item in reader.one_or_many(node) {
        let Some(word) = reader.word(item, "a tag") else { continue };
        one_word(reader, word, item.span);
        if let Some(Tags(known)) = suite.tags
            && !known.iter().any(|(tag, _)| tag == word)
        {
            let known = known.iter().map(|(tag, _)| tag.as_str());
            reader.unknown(
                item.span,
                "tag",
                word,
                known,
                Some("tags are those of probes.yaml; add it there"),
            );
        }
        tags.push(word.to_owned());
    }
    tags
}

/// Ids have no spaces.
fn slug(text: &str) -> String {
    text.trim().chars().map(|c| if c.is_whitespace() { '_' } else { c }).collect()
}
