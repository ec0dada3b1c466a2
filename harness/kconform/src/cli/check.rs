//! `kconform check`.

use std::io::Write;

use super::args::{CheckArgs, Format};
use super::suites::Suites;
use super::{CliError, USAGE, load_suites};
use crate::load;
use crate::report::Style;

pub(super) fn check(args: &CheckArgs, style: Style) -> Result<u8, CliError> {
    let paths: Vec<_> = args.paths.iter().chain(&args.suite.paths).cloned().collect();
    let Suites { loaded, files } = load_suites(&paths)?;
    let mut out = std::io::stdout().lock();
    match args.format {
        Format::Json => {
            writeln!(out, "{}", load::message::json(&loaded.mistakes).map_err(std::io::Error::from)?)?
        }
        Format::Text if loaded.mistakes.is_empty() => {
            writeln!(out, "{} cases in {} files: no mistakes", loaded.cases.len(), files)?;
        }
        Format::Text => {
            let count = loaded.mistakes.len();
            write!(out, "{}", load::message::render(&loaded.mistakes, style.color))?;
            writeln!(out, "{count} mistake{} in {} files", if count == 1 { "" } else { "s" }, files)?;
        }
    }
    Ok(if loaded.mistakes.is_empty() { 0 } else { USAGE })
}
