//! `--shard`: the part of the cases that this run is for.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use crate::case::Case;
use crate::document::{Document, Shard, selection};
use crate::renamed::Renamed;
use crate::shard::Wish;

use super::error::CliError;
use super::reports::read;

/// Keeps the shard's cases, and says which they are. `times` is a report, in which cases may have older names.
pub(super) fn keep(
    wish: Wish,
    times: Option<&Path>,
    renamed: &Renamed,
    cases: &mut Vec<Case>,
) -> Result<Shard, CliError> {
    let shard = wish.resolve(&|name| std::env::var(name).ok())?;
    let times = times
        .map(|path| Ok::<_, CliError>(case_times(&read(path)?.renamed(renamed))))
        .transpose()?
        .unwrap_or_default();
    let ids: Vec<&str> = cases.iter().map(|case| case.id.as_str()).collect();
    let positions = shard.positions(&ids, &times);
    let kept = Shard {
        index: shard.index,
        count: shard.count,
        selected: ids.len() as u64,
        selection: selection(ids.iter().copied()),
        positions: positions.iter().map(|nth| *nth as u32).collect(),
    };
    let mut nth = 0;
    cases.retain(|_| {
        nth += 1;
        positions.binary_search(&(nth - 1)).is_ok()
    });
    Ok(kept)
}

/// How long each case took on all targets together. One that did not run took no time.
fn case_times(report: &Document) -> HashMap<String, Duration> {
    let time = |case: &crate::document::Case| {
        Duration::from_nanos(case.results.iter().map(|result| result.duration_ns).sum())
    };
    report.cases.iter().map(|case| (case.id.clone(), time(case))).collect()
}
