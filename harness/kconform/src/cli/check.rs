//! `kconform check`.

use std::io::Write;

use crate::load;
use crate::load::suites::{Suites, contents, load_suites};
use crate::style::Style;

use super::args::{CheckArgs, Format};
use super::bounds::bounds;
use super::error::{CliError, USAGE};

pub(super) fn check(args: &CheckArgs, style: Style) -> Result<u8, CliError> {
    let paths: Vec<_> = args.paths.iter().chain(&args.suite.paths).cloned().collect();
    let (cases, files, mistakes, places) = if args.bounds {
        let Suites { loaded, files } = load_suites(&paths)?;
        (loaded.cases.len(), files, loaded.mistakes, bounds(&loaded.cases))
    } else {
        let contents = contents(&paths)?;
        (contents.cases, contents.count, contents.mistakes, String::new())
    };
    let mut out = std::io::stdout().lock();
    match args.format {
        Format::Json => writeln!(out, "{}", load::message::json(&mistakes).map_err(std::io::Error::from)?)?,
        Format::Text if mistakes.is_empty() => {
            writeln!(out, "{places}{} in {}: no mistakes", many(cases, "case"), many(files, "file"))?;
        }
        Format::Text => {
            write!(out, "{}", load::message::render(&mistakes, style.color))?;
            writeln!(out, "{} in {}", many(mistakes.len(), "mistake"), many(files, "file"))?;
        }
    }
    Ok(if mistakes.is_empty() { 0 } else { USAGE })
}

/// `1 case`, `2 cases`.
fn many(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
