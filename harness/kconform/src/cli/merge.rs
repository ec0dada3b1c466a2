//! `kconform merge`: the reports of shards and targets joined.

use std::io::Write;
use std::path::PathBuf;

use crate::document::merge::merge as join;
use crate::document::{Document, Status, TroubleKind};
use crate::load::suites::renamed_in;
use crate::report::{Outputs, outline};

use super::args::MergeArgs;
use super::color::Styles;
use super::error::{CliError, FAILED, LOST};
use super::reports::{read, write_reports};

pub(super) fn merge(args: &MergeArgs, styles: Styles) -> Result<u8, CliError> {
    let mut outputs = Outputs::open(&args.reports)?;
    let named = |path: &std::path::PathBuf| Ok((path.display().to_string(), read(path)?));
    let reports = args.files.iter().map(named).collect::<Result<Vec<_>, CliError>>()?;
    let document = join(&of_today(reports, &args.suite.paths)?)?;
    let aside = outputs.to_stdout();
    write_reports(&mut outputs, &document, styles.err)?;
    let text = outline(&document, if aside { styles.err } else { styles.out });
    match aside {
        true => write!(std::io::stderr(), "{text}")?,
        false => write!(std::io::stdout().lock(), "{text}")?,
    }
    Ok(exit_status(&document))
}

/// The reports, under the names of today if some are of case files that have been renamed since.
fn of_today(
    reports: Vec<(String, Document)>,
    paths: &[PathBuf],
) -> Result<Vec<(String, Document)>, CliError> {
    let alike = |pair: &[(String, Document)]| pair[0].1.suite.sha256 == pair[1].1.suite.sha256;
    if reports.windows(2).all(alike) {
        return Ok(reports);
    }
    let renamed = renamed_in(paths)?;
    Ok(reports.into_iter().map(|(name, document)| (name, document.renamed(&renamed))).collect())
}

/// As that of the run that the report is of.
fn exit_status(document: &Document) -> u8 {
    let troubles = document.troubles();
    let any = |is: fn(TroubleKind) -> bool| troubles.iter().any(|trouble| is(trouble.kind));
    let mut statuses = document.targets.iter().flat_map(|target| target.counts.keys());
    if statuses.clone().any(|status| *status == Status::Lost)
        || any(|kind| kind.is_loss() && kind != TroubleKind::NothingRan)
    {
        LOST
    } else if !statuses.all(|status| status.is_fine()) || any(|kind| !kind.is_loss()) {
        FAILED
    } else if any(|kind| kind == TroubleKind::NothingRan) {
        LOST
    } else {
        0
    }
}
