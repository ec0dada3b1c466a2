//! `kconform report`: other formats of a report that was written before.

use std::io::Read;
use std::path::Path;

use super::CliError;
use super::args::ReportArgs;
use super::run::write_reports;
use crate::report::document::Document;
use crate::report::{Wanted, json};

pub(super) fn report(args: &ReportArgs) -> Result<u8, CliError> {
    Wanted::check(&args.reports)?;
    write_reports(&args.reports, &read(&args.file)?)?;
    Ok(0)
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
