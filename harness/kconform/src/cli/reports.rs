//! Reports that a command is given, and those that it writes.

use std::io::Read;
use std::path::Path;

use crate::document::{Document, read as read_document};
use crate::report::Outputs;
use crate::style::Style;

use super::error::CliError;
use super::tell::tell;

/// Reads a report; `-` is standard input.
pub(super) fn read(path: &Path) -> Result<Document, CliError> {
    let io = |error| CliError::Unreadable { path: path.to_owned(), error };
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).map_err(io)?;
    } else {
        text = std::fs::read_to_string(path).map_err(io)?;
    }
    read_document(&text).map_err(|error| CliError::NoReport { path: path.to_owned(), error })
}

/// Writes all reports that can be written, and tells what went wrong.
pub(super) fn write_reports(
    outputs: &mut Outputs,
    document: &Document,
    style: Style,
) -> Result<(), CliError> {
    let mut wrong = outputs.write(document).into_iter().map(|(path, error)| CliError::Report { path, error });
    let Some(first) = wrong.next() else { return Ok(()) };
    wrong.for_each(|error| tell(format_args!("{} {error}", style.bad("error:"))));
    Err(first)
}
