//! `kconform bisect` and `kconform bisect-step`.

pub(super) mod images;
pub(super) mod step;
pub(super) mod text;
pub(super) mod tree;

use images::between_kernels;
use tree::in_tree;

use crate::bisect::BisectError;
use crate::bisect::git::Repository;
use crate::interrupt;
use crate::select::Selection;

use super::args::BisectArgs;
use super::cases::selected;
use super::color::Styles;
use super::error::CliError;

pub(in crate::cli) fn bisect(args: &BisectArgs, styles: Styles) -> Result<u8, CliError> {
    let cases = selected(&args.suite, Selection::from(&args.select), styles.out)?;
    interrupt::watch()?;
    match (&args.tree, &args.good, &args.bad) {
        (Some(tree), Some(good), Some(bad)) => {
            let repository = Repository::open(tree).map_err(BisectError::from)?;
            in_tree(args, &repository, [good, bad], cases, styles)
        }
        _ => between_kernels(args, cases, styles),
    }
}
