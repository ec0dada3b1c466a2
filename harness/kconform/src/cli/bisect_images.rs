//! `kconform bisect --images`: between which of several kernels cases changed.

use std::io::Write;
use std::sync::Arc;
use std::time::SystemTime;

use crate::bisect::between::{Between, Found, Series, series};
use crate::case::Case;
use crate::document::{Document, SuiteIdentity, gather};
use crate::guest::{Images, cache_dir};
use crate::interrupt;
use crate::report::Progress;
use crate::run::{Options, run as run_cases};
use crate::style::Style;
use crate::targets::{Leaks, Target};

use super::bisect_args::BisectArgs;
use super::diff::{says, steps};
use super::{CliError, FAILED, LOST, Styles};

pub(super) fn between_kernels(args: &BisectArgs, cases: Vec<Case>, styles: Styles) -> Result<u8, CliError> {
    if let Some(option) = args.building.given() {
        return Err(CliError::Usage(format!("{option} is for a tree, and means nothing with --images")));
    }
    let cache = cache_dir().map_err(|error| CliError::Fetch(error.to_string()))?;
    let found = Found::new(&args.images, &Images::built_in()?, &cache)?;
    for note in &found.notes {
        eprintln!("{} {note}", styles.err.warn("note:"));
    }
    let document = observe(&cases.into(), &found.targets, args.quiet, styles.err);
    let mut out = std::io::stdout().lock();
    let all = series(&document);
    write!(out, "{}", text(&document, &all, styles.out))?;
    Ok(exit_status(&document, &all))
}

/// What cases come to on kernels.
pub(super) fn observe(cases: &Arc<[Case]>, targets: &[Target], quiet: bool, errors: Style) -> Document {
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let options = Options {
        jobs,
        rounds: Some(1),
        until_fail: false,
        guests: 1,
        isolate: false,
        leaks: Leaks::Ignored,
    };
    let mut progress = Progress::new(targets, cases, quiet, errors);
    let started = SystemTime::now();
    let runs = run_cases(cases, targets, options, &mut |target, event, _| progress.tell(target, event));
    progress.end();
    gather(cases, &runs, SuiteIdentity::default(), started)
}

/// Every case that changed, and from which kernel to which; the others are counted.
pub(super) fn text(document: &Document, all: &[Series], style: Style) -> String {
    let mut out = String::new();
    for target in &document.targets {
        if let Some(lost) = &target.lost {
            out.push_str(&format!(
                "{} {} could not be used: {}\n",
                style.bad("note:"),
                target.name,
                lost.why
            ));
        }
    }
    let (changed, same): (Vec<&Series>, Vec<&Series>) =
        all.iter().partition(|series| !series.changes.is_empty());
    for series in changed {
        out.push_str(&format!("{} on {}\n", style.strong(&series.case), series.arch));
        series.changes.iter().for_each(|between| out.push_str(&change(between)));
        for (kernel, why) in &series.untested {
            out.push_str(&format!("  {}\n", style.dim(&format!("not tested on {kernel}: {why}"))));
        }
        out.push('\n');
    }
    match same.as_slice() {
        [] => {}
        [series] => {
            let first = series.first.map_or("tested", |status| status.word());
            out.push_str(&format!("{} on {}: the same on all ({first})\n", series.case, series.arch));
            for (kernel, why) in &series.untested {
                out.push_str(&format!("  {}\n", style.dim(&format!("not tested on {kernel}: {why}"))));
            }
        }
        several => out.push_str(&format!("the same on all kernels: {} cases\n", several.len())),
    }
    out
}

fn change(between: &Between) -> String {
    let Between { before, after, change } = between;
    let word = |status: Option<crate::document::Status>| status.map_or("not there", |s| s.word());
    let verdict = match (word(change.before), word(change.after)) {
        (was, is) if was == is => format!("{is} both times, by another observation"),
        (was, is) => format!("{was}, then {is}"),
    };
    format!("  between {before} and {after}: {verdict}\n{}{}", says(change), steps(change))
}

fn exit_status(document: &Document, all: &[Series]) -> u8 {
    if interrupt::requested() {
        interrupt::STATUS
    } else if document.targets.iter().any(|target| target.lost.is_some()) {
        LOST
    } else if all.iter().any(|series| !series.changes.is_empty()) {
        0
    } else {
        FAILED
    }
}
