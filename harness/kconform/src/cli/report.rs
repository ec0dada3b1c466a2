//! `kconform report`: other formats of a report that was written before.

use std::io::{Read, Write};
use std::path::Path;

use super::CliError;
use super::args::ReportArgs;
use super::run::write_reports;
use crate::report::document::Document;
use crate::report::kcidb::Submission;
use crate::report::{Wanted, json};

pub(super) fn report(args: &ReportArgs) -> Result<u8, CliError> {
    Wanted::check(&args.reports)?;
    let document = read(&args.file)?;
    write_reports(&args.reports, &document)?;
    if let Some(path) = &args.kcidb {
        let builds = args.builds.iter().cloned().collect();
        let text = Submission { origin: args.origin.clone(), builds }.of(&document)?;
        write_text(path, &text).map_err(|error| CliError::Report { path: path.clone(), error })?;
    }
    Ok(0)
}

/// Writes a file, or to standard output where it is `-`.
fn write_text(path: &Path, text: &str) -> std::io::Result<()> {
    if path == Path::new("-") {
        std::io::stdout().write_all(text.as_bytes())
    } else {
        std::fs::write(path, text)
    }
}

/// Reads a report; `-` is standard input.
pub(super) fn read(path: &Path) -> Result<Document, CliError> {
    let io = |error| CliError::Unreadable { path: path.to_owned(), error };
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).map_err(io)?;
    } else {
        text = std::fs::read_to_string(path).map_err(io)?;
    }
    json::read(&text).map_err(|error| CliError::NoReport { path: path.to_owned(), error })
}
