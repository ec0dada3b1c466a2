//! Reports joined: the shards of a run, and the targets of a matrix, each of which some machine ran.

use std::collections::BTreeMap;

use crate::shard::MOST_SHARDS;

use super::gather::selection;
use super::{Case, Document, Shard, Target, nothing_ran};

/// How many missing shards are named before only their number is told.
const MOST_NAMED: usize = 20;

/// Why reports cannot be joined.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MergeError {
    /// There is nothing to join.
    #[error("no reports are given")]
    Nothing,
    /// Two reports are not of the same thing.
    #[error("{first} and {second} are not of one run: {what}")]
    Differs {
        /// The name of a report.
        first: String,
        /// Of another.
        second: String,
        /// What differs.
        what: String,
    },
    /// Shards are not there.
    #[error("the reports are not complete: {}; run it (`kconform run --shard N/M --report json=FILE`), or see why it left no report", .0.iter().map(|gap| gap.to_string()).collect::<Vec<_>>().join("; "))]
    Missing(Vec<Gap>),
    /// Two reports hold the same shard.
    #[error("shard {shard} of {target} is in both {first} and {second}")]
    Twice {
        /// The target.
        target: String,
        /// `3/8`.
        shard: String,
        /// The name of a report.
        first: String,
        /// Of another.
        second: String,
    },
    /// A case is in no shard.
    #[error(
        "all shards are there, but some cases are in none of them: they were not split by the same --times"
    )]
    Holes,
    /// A report does not hold what it says.
    #[error("{0}: its shard says nothing true of its cases")]
    Broken(String),
}

/// What is not there of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The target.
    pub target: String,
    /// The shards, counted from 1.
    pub shards: Vec<u32>,
    /// Of how many.
    pub count: u32,
}

impl std::fmt::Display for Gap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let named = self.shards.iter().take(MOST_NAMED);
        let named: Vec<String> = named.map(|n| format!("{n}/{}", self.count)).collect();
        let more = match self.shards.len() - named.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let (s, are) = if self.shards.len() == 1 { ("", "is") } else { ("s", "are") };
        write!(f, "shard{s} {}{more} of {} {are} missing", named.join(", "), self.target)
    }
}

/// A report under the name of its file, and which part of the run it is.
struct Part<'a> {
    name: &'a str,
    document: &'a Document,
    shard: Shard,
}

/// Joins reports, each with the name that messages call it by. All must be of the same cases of the same files; every
/// shard of every target must be there, once. What comes out is the report of a run of all cases on all targets, in
/// the order in which the targets first come; a target took as long as the longest of its shards.
///
/// # Errors
/// The reports are not of one run, or not all of it.
pub fn merge(reports: &[(String, Document)]) -> Result<Document, MergeError> {
    let parts = reports.iter().map(Part::new).collect::<Result<Vec<_>, _>>()?;
    let first = parts.first().ok_or(MergeError::Nothing)?;
    parts.iter().try_for_each(|part| part.is_of_the_run_of(first))?;
    let targets = gather_targets(&parts)?;
    let cases = join_cases(&targets, first.shard.selected as usize)?;
    let targets = targets
        .iter()
        .map(|(name, parts)| join_target(name, parts))
        .collect::<Result<Vec<_>, MergeError>>()?;
    Ok(Document {
        started: parts.iter().map(|part| &part.document.started).min().cloned().unwrap_or_default(),
        partial: parts.iter().any(|part| part.document.partial),
        nothing_ran: nothing_ran(&targets),
        trouble: parts.iter().flat_map(|part| part.document.trouble.clone()).collect(),
        shard: None,
        targets,
        cases,
        ..first.document.clone()
    })
}

/// The targets, and of each its parts in the order of the shards: all of them.
fn gather_targets<'a>(parts: &'a [Part<'a>]) -> Result<Vec<(&'a str, Vec<&'a Part<'a>>)>, MergeError> {
    let mut targets: Vec<(&str, Vec<&Part<'_>>)> = Vec::new();
    for part in parts {
        for target in &part.document.targets {
            match targets.iter_mut().find(|(name, _)| *name == target.name) {
                Some((_, parts)) => parts.push(part),
                None => targets.push((&target.name, vec![part])),
            }
        }
    }
    let mut gaps = Vec::new();
    for (name, parts) in &mut targets {
        parts.sort_by_key(|part| part.shard.index);
        let count = parts[0].shard.count;
        for pair in parts.windows(2) {
            if pair[0].shard.count != pair[1].shard.count {
                return Err(
                    pair[0].differs(pair[1], "they are split into different numbers of shards".into())
                );
            }
            if pair[0].shard.index == pair[1].shard.index {
                return Err(MergeError::Twice {
                    target: (*name).to_owned(),
                    shard: format!("{}/{count}", pair[0].shard.index),
                    first: pair[0].name.to_owned(),
                    second: pair[1].name.to_owned(),
                });
            }
        }
        let there = |index: &u32| parts.iter().any(|part| part.shard.index == *index);
        let shards: Vec<u32> = (1..=count).filter(|index| !there(index)).collect();
        if !shards.is_empty() {
            gaps.push(Gap { target: (*name).to_owned(), shards, count });
        }
    }
    if gaps.is_empty() { Ok(targets) } else { Err(MergeError::Missing(gaps)) }
}

impl<'a> Part<'a> {
    fn new((name, document): &'a (String, Document)) -> Result<Part<'a>, MergeError> {
        let whole = || Shard {
            index: 1,
            count: 1,
            selected: document.cases.len() as u64,
            selection: selection(document.cases.iter().map(|case| case.id.as_str())),
            positions: (0..document.cases.len() as u32).collect(),
        };
        let shard = document.shard.clone().unwrap_or_else(whole);
        let right = shard.positions.len() == document.cases.len()
            && shard.positions.iter().all(|nth| u64::from(*nth) < shard.selected)
            && (1..=shard.count.min(MOST_SHARDS)).contains(&shard.index)
            && shard.selected <= document.suite.cases;
        match right {
            true => Ok(Part { name, document, shard }),
            false => Err(MergeError::Broken(name.clone())),
        }
    }

    fn differs(&self, other: &Part<'_>, what: String) -> MergeError {
        MergeError::Differs { first: self.name.to_owned(), second: other.name.to_owned(), what }
    }

    fn is_of_the_run_of(&self, first: &Part<'_>) -> Result<(), MergeError> {
        let (a, b) = (first.document, self.document);
        let what = if a.kconform != b.kconform {
            format!("kconform {} and {}", a.kconform, b.kconform)
        } else if a.suite.sha256 != b.suite.sha256 {
            differing_files(a, b)
        } else if first.shard.selection != self.shard.selection {
            format!("{} cases are selected and {}, not the same", first.shard.selected, self.shard.selected)
        } else {
            return Ok(());
        };
        Err(first.differs(self, what))
    }
}

/// All cases in their order, each with its result on every target, in the order of the targets.
fn join_cases(targets: &[(&str, Vec<&Part<'_>>)], selected: usize) -> Result<Vec<Case>, MergeError> {
    let mut all: Vec<Option<(Case, &Part<'_>)>> = vec![None; selected];
    for (nth, (target, parts)) in targets.iter().enumerate() {
        for part in parts {
            for (case, position) in part.document.cases.iter().zip(&part.shard.positions) {
                let broken = || MergeError::Broken(part.name.to_owned());
                let result =
                    case.results.iter().find(|result| result.target == *target).ok_or_else(broken)?;
                let bare = || (Case { results: Vec::new(), ..case.clone() }, *part);
                let (there, owner) = all[*position as usize].get_or_insert_with(bare);
                if there.id != case.id {
                    return Err(broken());
                }
                if there.results.len() > nth {
                    return Err(owner.differs(part, format!("both have run {} on {target}", case.id)));
                }
                there.results.push(result.clone());
                *owner = part;
            }
        }
    }
    // The shards are all there and hold no case twice: if one is missing, they were split by different times.
    let whole = |(case, _): (Case, _)| (case.results.len() == targets.len()).then_some(case);
    let cases: Option<Vec<Case>> = all.into_iter().map(|case| case.and_then(whole)).collect();
    cases.ok_or(MergeError::Holes)
}

fn differing_files(a: &Document, b: &Document) -> String {
    let only = |these: &Document, others: &Document| {
        let file = these.suite.files.iter().find(|file| !others.suite.files.contains(file));
        file.map(|file| file.name.clone())
    };
    match only(a, b).or_else(|| only(b, a)) {
        Some(name) => format!("the case file {name} is not the same"),
        None => "the case files are not the same".into(),
    }
}

/// A target, of its shards.
fn join_target(name: &str, parts: &[&Part<'_>]) -> Result<Target, MergeError> {
    let of = |part: &Part<'_>| part.document.targets.iter().find(|target| target.name == name).cloned();
    let mut joined: Option<(&Part<'_>, Target)> = None;
    for part in parts {
        let Some(target) = of(part) else { continue };
        let Some((first, whole)) = &mut joined else {
            joined = Some((part, target));
            continue;
        };
        match (&whole.release, &target.release) {
            (Some(a), Some(b)) if a != b => {
                return Err(first.differs(part, format!("the kernel of {name} is {a} and {b}")));
            }
            // The first one never reached its kernel, and knows nothing of it.
            (None, Some(_)) => {
                *whole = Target { lost: whole.lost.take(), ..add(target, whole) };
                *first = part;
            }
            _ => *whole = add(whole.clone(), &target),
        }
    }
    joined.map(|(_, target)| target).ok_or_else(|| MergeError::Broken(name.to_owned()))
}

/// What a part of a target adds to what is known of it.
fn add(mut whole: Target, part: &Target) -> Target {
    whole.elapsed_ns = whole.elapsed_ns.max(part.elapsed_ns);
    // Shards may have run with different ones, of which none repeats the whole.
    whole.seed = whole.seed.filter(|_| part.seed.is_none() || part.seed == whole.seed);
    whole.remark = whole.remark.or_else(|| part.remark.clone());
    whole.lost = whole.lost.or_else(|| part.lost.clone());
    let mut counts: BTreeMap<_, u64> = whole.counts;
    part.counts.iter().for_each(|(status, count)| *counts.entry(*status).or_default() += count);
    whole.counts = counts;
    whole
}
