//! `kconform bisect --images`: between which of several kernels cases changed.

use std::io::Write;

use crate::bisect::between::{Between, Found, Series, series};
use crate::case::Case;
use crate::cli::args::BisectArgs;
use crate::cli::color::Styles;
use crate::cli::diff::{says, steps};
use crate::cli::error::{CliError, FAILED, LOST};
use crate::cli::observe::observe;
use crate::cli::tell::tell;
use crate::document::Document;
use crate::guest::{Images, cache_dir};
use crate::interrupt;
use crate::style::Style;

pub(in crate::cli) fn between_kernels(
    args: &BisectArgs,
    cases: Vec<Case>,
    styles: Styles,
) -> Result<u8, CliError> {
    if let Some(option) = args.building.given() {
        return Err(CliError::Usage(format!("{option} is for a tree, and means nothing with --images")));
    }
    let cache = cache_dir().map_err(|error| CliError::Fetch(error.to_string()))?;
    let found = Found::new(&args.images, &Images::known(None)?, &cache)?;
    for note in &found.notes {
        tell(format_args!("{} {note}", styles.err.warn("note:")));
    }
    let document = observe(&cases.into(), &found.targets, args.quiet, styles.err);
    let mut out = std::io::stdout().lock();
    let all = series(&document);
    write!(out, "{}", text(&document, &all, styles.out))?;
    Ok(exit_status(&document, &all))
}

/// Every case that changed, and from which kernel to which; the others are counted.
pub(in crate::cli) fn text(document: &Document, all: &[Series], style: Style) -> String {
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
