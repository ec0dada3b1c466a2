//! Which cases a command is for.

use crate::case::Case;
use crate::load::suites::choose_cases;
use crate::select::Selection;
use crate::style::Style;

use super::args::{SelectArgs, SuiteArgs};
use super::error::CliError;

impl From<&SelectArgs> for Selection {
    fn from(args: &SelectArgs) -> Selection {
        Selection {
            patterns: args.patterns.clone(),
            exact: args.exact,
            tags: args.tags.clone(),
            exclude: args.exclude.clone(),
        }
    }
}

/// The cases that are meant.
pub(super) fn selected(suite: &SuiteArgs, selection: Selection, style: Style) -> Result<Vec<Case>, CliError> {
    Ok(choose_cases(&suite.paths, &selection, style.color)?.cases)
}
