//! `kconform compare`: what two kernels do not do alike.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::case::Case;
use crate::document::diff::{Difference, diff};
use crate::document::{Document, Status};
use crate::interrupt;
use crate::select::Selection;
use crate::style::Style;
use crate::targets::Target;
use crate::targets::choose::{choose, images};

use super::args::{CompareArgs, Format};
use super::cases::selected;
use super::color::Styles;
use super::diff::text;
use super::error::{CliError, FAILED, LOST};
use super::observe::observe;
use super::tell::tell;

pub(super) fn compare(args: &CompareArgs, styles: Styles) -> Result<u8, CliError> {
    let style = styles.out;
    let cases: Arc<[Case]> = selected(&args.suite, Selection::from(&args.select), style)?.into();
    interrupt::watch()?;
    let named = |word: &str| target(word, args.images.as_deref(), styles.err);
    let (before, after) = (named(&args.before)?, named(&args.after)?);
    let document = observe(&cases, &[before, after], args.quiet, styles.err);
    let difference = diff(&only(&document, 0), &only(&document, 1), &[])?;
    let mut out = std::io::stdout().lock();
    match args.format {
        Format::Json => {
            let text = serde_json::to_string_pretty(&difference).map_err(std::io::Error::from)?;
            writeln!(out, "{text}")?;
        }
        Format::Text => write!(out, "{}{}", lost(&document, style), text(&difference, style))?,
    }
    Ok(exit_status(&document, &difference))
}

/// An image's name, or else what is found at that path.
pub(super) fn target(word: &str, folder: Option<&Path>, style: Style) -> Result<Target, CliError> {
    let is_name = Target::named(word, &images(folder)?).is_some();
    let is_path = !is_name && Path::new(word).exists();
    let (names, kernels) =
        if is_path { (vec![], vec![PathBuf::from(word)]) } else { (vec![word.into()], vec![]) };
    let chosen = choose(&names, &kernels, folder)?;
    for note in &chosen.notes {
        tell(format_args!("{} {note}", style.warn("note:")));
    }
    let nothing = || CliError::Usage(format!("{word:?} is no kernel"));
    chosen.targets.into_iter().next().ok_or_else(nothing)
}

/// The report of one of the targets alone.
fn only(document: &Document, nth: usize) -> Document {
    let mut document = document.clone();
    document.targets = document.targets.into_iter().skip(nth).take(1).collect();
    for case in &mut document.cases {
        case.results = std::mem::take(&mut case.results).into_iter().skip(nth).take(1).collect();
    }
    document
}

pub(super) fn lost(document: &Document, style: Style) -> String {
    let lost = document.targets.iter().filter_map(|target| {
        let lost = target.lost.as_ref()?;
        let mend = lost.mend.as_ref().map_or_else(String::new, |mend| format!("; to mend it: {mend}"));
        Some(format!("{} {} could not be used: {}{mend}\n", style.bad("note:"), target.name, lost.why))
    });
    lost.collect()
}

fn exit_status(document: &Document, difference: &Difference) -> u8 {
    let mut results = document.cases.iter().flat_map(|case| &case.results);
    if interrupt::requested() {
        interrupt::STATUS
    } else if results.any(|result| result.status == Status::Lost) {
        LOST
    } else if difference.changes.is_empty() {
        0
    } else {
        FAILED
    }
}
