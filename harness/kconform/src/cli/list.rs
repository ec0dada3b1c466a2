//! `kconform list`.

use std::io::Write;

use crate::case::Case;
use crate::load::suites::choose_cases;
use crate::select::Selection;
use crate::style::Style;

use super::args::{Format, ListArgs};
use super::error::CliError;

pub(super) fn list(args: &ListArgs, style: Style) -> Result<u8, CliError> {
    let cases = choose_cases(&args.suite.paths, &Selection::from(&args.select), style.color)?.cases;
    let mut out = std::io::stdout().lock();
    match args.format {
        Format::Text => {
            for case in &cases {
                writeln!(out, "{}", case.id)?;
            }
        }
        Format::Json => {
            let cases: Vec<_> = cases.iter().map(described).collect();
            let text = serde_json::to_string_pretty(&cases).map_err(std::io::Error::from)?;
            writeln!(out, "{text}")?;
        }
    }
    Ok(0)
}

fn described(case: &Case) -> serde_json::Value {
    let (line, column) = case.place.line_column();
    serde_json::json!({
        "id": case.id,
        "suite": &*case.suite,
        "about": case.about,
        "source": case.source,
        "tags": case.tags,
        "file": case.place.path(),
        "line": line,
        "column": column,
    })
}
