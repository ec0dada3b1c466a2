//! Probes: features that are looked for once per kernel.

use std::sync::Arc;

use crate::case::{Errno, Probe, Step, StepKind};
use crate::place::{Placed, Span};
use crate::yaml::names::is_name;
use crate::yaml::reader::{Reader, find};
use crate::yaml::tree::{Entry, Node};

use super::case_reader::CaseReader;

pub(super) const KEYS: &[&str] = &["about", "source", "since", "absent", "steps"];

/// The probes of a file by name; `None` for one that has mistakes.
#[derive(Debug, Default)]
pub(crate) struct Probes(Vec<(String, Option<Arc<Probe>>)>);

impl Probes {
    /// The probe of that name, if there is one, and if it can be read.
    pub(crate) fn get(&self, name: &str) -> Option<&Option<Arc<Probe>>> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, probe)| probe)
    }

    /// All names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Those that can be read.
    pub(crate) fn readable(&self) -> impl Iterator<Item = &Arc<Probe>> {
        self.0.iter().filter_map(|(_, probe)| probe.as_ref())
    }
}

/// Reads the probes of a file. `suite` is empty for those that all files share.
pub(crate) fn probes(reader: &mut Reader, suite: &str, entries: &[Entry]) -> Probes {
    let Some(entry) = find(entries, "probes") else { return Probes::default() };
    let Some(entries) = entry.value.entries() else {
        let help = "write probes: {gotol: {since: \"6.6\", absent: EINVAL, steps: [ … ]}}";
        reader.wrong_help(entry.value.span, format!("{} where probes belong", entry.value.what()), help);
        return Probes::default();
    };
    Probes(entries.iter().map(|e| (e.key.to_string(), probe(reader, suite, e).map(Arc::new))).collect())
}

fn probe(reader: &mut Reader, suite: &str, entry: &Entry) -> Option<Probe> {
    let before = reader.hits;
    if !entry.key.split('-').all(is_name) {
        reader.wrong(entry.key_span, format!("{} is not a name", entry.key));
    }
    let node: &Node = &entry.value;
    reader.params.clear();
    let reader = &mut CaseReader::new(reader, None, node.get("steps").map(|steps| &*steps.value));
    let entries = &*reader.mapping(node, "a probe", KEYS)?;
    for key in ["about", "source"] {
        if let Some(entry) = find(entries, key) {
            reader.texts(&entry.value, "text");
        }
    }
    let since = match find(entries, "since") {
        Some(entry) => {
            let word = reader.word(&entry.value, "a kernel version");
            let version = word.and_then(|word| reader.version(word, entry.value.span));
            version.map(|version| reader.placed(entry.value.span, version))
        }
        None => None,
    };
    let absent = reader.required(entries, "absent", node).and_then(|entry| {
        let errno = reader.errno(&entry.value);
        errno.map(|errno| reader.placed(entry.value.span, errno))
    });
    let steps = reader.required(entries, "steps", node).and_then(|e| reader.steps(&e.value));
    if let (Some(absent), Some(steps)) = (&absent, &steps) {
        tells_absence(reader, absent, steps);
    }
    if let Some(steps) = &steps
        && reader.hits == before
    {
        reader.in_limits(steps);
    }
    let probe = Probe {
        id: format!("{suite}::{}", entry.key),
        name: entry.key.to_string(),
        place: reader.place(entry.key_span),
        since,
        absent: absent?,
        steps: steps?,
        btf: std::mem::take(&mut reader.btf),
        sysctls: std::mem::take(&mut reader.sysctls),
    };
    (reader.hits == before).then_some(probe)
}

/// A last step that may fail with the errno of absence could not tell it.
fn tells_absence(reader: &mut Reader, absent: &Placed<Errno>, steps: &[Step]) {
    let Some(StepKind::Call(last)) = steps.last().map(|step| &step.kind) else { return };
    let outcomes = std::iter::once(&last.outcome).chain(last.except.iter().map(|except| &except.outcome));
    for outcome in outcomes.filter(|outcome| outcome.ret.errnos().contains(&absent.value)) {
        let Some(place) = &outcome.place else { continue };
        let (see, why) = (
            Span { start: absent.place.start, end: absent.place.end },
            "it means that the feature is absent",
        );
        let text = "the last step may fail with the errno of absence";
        reader.wrong_see(Span { start: place.start, end: place.end }, text, see, why);
    }
}
