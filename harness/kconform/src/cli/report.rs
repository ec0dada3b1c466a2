//! `kconform report`: other formats of a report that was written before.

use std::path::Path;

use crate::document::Status;
use crate::report::kcidb::Submission;
use crate::report::{Destination, Outputs, WantedError};
use crate::style::Style;

use super::args::ReportArgs;
use super::error::CliError;
use super::reports::{read, write_reports};
use super::tell::tell;

pub(super) fn report(args: &ReportArgs, style: Style) -> Result<u8, CliError> {
    let mut outputs = Outputs::open(&args.reports)?;
    let kcidb = args.kcidb.as_deref().map(|path| beside(&outputs, path)).transpose()?;
    let document = read(&args.file)?;
    if document.partial {
        let results = || document.cases.iter().flat_map(|case| &case.results);
        let there = results().filter(|result| result.status != Status::Lost).count();
        let (note, file) = (style.warn("note:"), args.file.display());
        tell(format_args!("{note} {file} is partial: {there} of {} results are known", results().count()));
    }
    write_reports(&mut outputs, &document, style)?;
    if let Some(destination) = kcidb {
        let builds = args.builds.iter().cloned().collect();
        let text = Submission { origin: args.origin.clone(), builds }.of(&document)?;
        let written = destination.write(&mut |out| out.write_all(text.as_bytes()));
        let path = || destination.called().to_owned();
        written.map_err(|error| CliError::Report { path: path(), error })?;
    }
    Ok(0)
}

/// Where the submission to KCIDB is written, beside all reports; `-` is standard output.
fn beside(outputs: &Outputs, path: &Path) -> Result<Destination, CliError> {
    let path = Some(path).filter(|path| *path != Path::new("-"));
    let destination = Destination::open(path).map_err(WantedError::from)?;
    match outputs.hold(&destination) {
        true if destination.is_stdout() => {
            Err(CliError::Usage("only one report can go to standard output; write --kcidb=FILE".into()))
        }
        true => Err(WantedError::Twice(destination.called().to_owned()).into()),
        false => Ok(destination),
    }
}
