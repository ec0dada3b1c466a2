//! `kconform check`.

use std::io::Write;

use crate::load;
use crate::load::suites::{Suites, load_suites};
use crate::style::Style;

use super::args::{CheckArgs, Format};
use super::bounds::bounds;
use super::error::{CliError, USAGE};

pub(super) fn check(args: &CheckArgs, style: Style) -> Result<u8, CliError> {
    let paths: Vec<_> = args.paths.iter().chain(&args.suite.paths).cloned().collect();
    let Suites { loaded, files } = load_suites(&paths)?;
    let mut out = std::io::stdout().lock();
    match args.format {
        Format::Json => {
            writeln!(out, "{}", load::message::json(&loaded.mistakes).map_err(std::io::Error::from)?)?
        }
        Format::Text if loaded.mistakes.is_empty() => {
            if args.bounds {
                write!(out, "{}", bounds(&loaded.cases))?;
            }
            let cases = many(loaded.cases.len(), "case");
            writeln!(out, "{cases} in {}: no mistakes", many(files.len(), "file"))?;
        }
        Format::Text => {
            write!(out, "{}", load::message::render(&loaded.mistakes, style.color))?;
            writeln!(out, "{} in {}", many(loaded.mistakes.len(), "mistake"), many(files.len(), "file"))?;
        }
    }
    Ok(if loaded.mistakes.is_empty() { 0 } else { USAGE })
}

/// `1 case`, `2 cases`.
fn many(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
