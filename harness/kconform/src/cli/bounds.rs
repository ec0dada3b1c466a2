//! `kconform check --bounds`: where cases end to run as kernels get newer, and probes whose absence is never a fault. Each such
//! place may hide a regression, and wants a reason in its file.

use std::collections::BTreeMap;
use std::sync::Arc;

use kconform_abi::HEADERS;

use crate::case::{Case, Comparison, KernelRange, Probe, Requires};
use crate::place::Place;

/// A version that every range without an end holds.
const LATER: &[u32] = &[u32::MAX];

/// Where a bound is written, and what it is.
type Written = (String, usize, usize);

/// The list, a line each place, and a line that counts.
pub(super) fn bounds(cases: &[Case]) -> String {
    let ends = ends(cases);
    let probes = probes(cases);
    let mut out = String::new();
    let [mut hidden, mut skipped] = [0, 0];
    for (range, count, others) in ends.values() {
        let also = if *others { "; other rows of theirs do" } else { "" };
        hidden += if *others { 0 } else { *count };
        out.push_str(&format!("{}: {}: {}{also}\n", range.place, range.text, ended(*count, range)));
    }
    for (probe, count, why) in &probes {
        skipped += count;
        let cases = cases_of(*count);
        out.push_str(&format!(
            "{}: the probe {}: {why}; {cases} would be skipped\n",
            probe.place, probe.name
        ));
    }
    out.push_str(&format!(
        "{} end with a version, {} hang on a probe that is never due; the newest known release is {}\n",
        cases_of(hidden),
        cases_of(skipped),
        version(&newest()),
    ));
    out
}

/// A range of versions, as it is written.
struct Range {
    place: Place,
    text: String,
    never: bool,
}

fn ended(count: usize, range: &Range) -> String {
    let (cases, do_not) = (cases_of(count), if count == 1 { "does not" } else { "do not" });
    match range.never {
        true => format!("{cases} {do_not} run on any release that is known"),
        false => format!("{cases} {do_not} run on later ones"),
    }
}

/// Places of ranges that end: how many cases they end, and whether others of the same case go on.
fn ends(cases: &[Case]) -> BTreeMap<Written, (Range, usize, bool)> {
    let title = |case: &Case| case.id.split('[').next().unwrap_or_default().to_owned();
    let holds = |requires: &Requires, version: &[u32]| {
        requires.kernel.as_ref().is_none_or(|range| range.value.contains(version))
    };
    let go_on = |case: &&Case| case.requires.iter().all(|requires| holds(requires, LATER));
    let go_on: std::collections::BTreeSet<String> = cases.iter().filter(go_on).map(title).collect();
    let mut ends = BTreeMap::new();
    for case in cases {
        let ranges = case.requires.iter().filter_map(|requires| requires.kernel.as_ref());
        for range in ranges.filter(|range| has_end(&range.value) || is_beyond(&range.value)) {
            let (line, column) = range.place.line_column();
            let written = (range.place.path().display().to_string(), line, column);
            let text = range.value.text.clone();
            let range = Range { place: range.place.clone(), text, never: is_beyond(&range.value) };
            let entry = ends.entry(written).or_insert((range, 0, true));
            entry.1 += 1;
            entry.2 &= go_on.contains(&title(case)) && !entry.0.never;
        }
    }
    ends
}

fn has_end(range: &KernelRange) -> bool {
    let ends = [Comparison::Less, Comparison::LessOrEqual, Comparison::Equal];
    range.bounds.iter().any(|(comparison, _)| ends.contains(comparison))
}

/// It begins after the newest release.
fn is_beyond(range: &KernelRange) -> bool {
    let begins = [Comparison::Greater, Comparison::GreaterOrEqual, Comparison::Equal];
    range.bounds.iter().any(|(comparison, bound)| begins.contains(comparison) && is_after(bound))
}

fn is_after(version: &[u32]) -> bool {
    version > newest().as_slice()
}

/// The probes whose absence is no fault on any kernel, with how many cases need each, and why.
fn probes(cases: &[Case]) -> Vec<(Arc<Probe>, usize, String)> {
    let mut all: BTreeMap<&str, (Arc<Probe>, usize, String)> = BTreeMap::new();
    for probe in cases.iter().flat_map(|case| &case.needs) {
        let why = match &probe.since {
            None => "no version promises it".to_owned(),
            Some(since) if is_after(&since.value) => format!("due since {}", version(&since.value)),
            Some(_) => continue,
        };
        all.entry(&probe.id).or_insert_with(|| (probe.clone(), 0, why)).1 += 1;
    }
    all.into_values().collect()
}

/// The release whose constants are known: nothing newer has been seen.
fn newest() -> Vec<u32> {
    HEADERS.split('.').filter_map(|part| part.parse().ok()).take(2).collect()
}

fn version(numbers: &[u32]) -> String {
    numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(".")
}

fn cases_of(count: usize) -> String {
    format!("{count} case{}", if count == 1 { "" } else { "s" })
}
