//! `kconform coverage`.

use std::io::Write;

use crate::coverage::{coverage, json, markdown, text};
use crate::load::suites::load_suites;
use crate::style::Style;

use super::args::CoverageArgs;
use super::error::CliError;

pub(super) fn print(args: &CoverageArgs, style: Style) -> Result<u8, CliError> {
    let cases = load_suites(&args.suite.paths)?.into_cases(style.color)?;
    let covered = coverage(&cases);
    let text = match () {
        () if args.json => json(&covered).map_err(std::io::Error::from)?,
        () if args.markdown => markdown(&covered),
        () => text(&covered, style),
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(0)
}
