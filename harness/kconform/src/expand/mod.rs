//! One case of a file becomes many: a row of `each` and a point of `matrix` at a time, its parameters are filled in and
//! its merges resolved. What comes out is the same kind of tree as what went in, and nothing in it is open any more.

mod fill;
mod table;

pub(crate) use fill::{fill, resolved};
pub(crate) use table::{Variant, variants};

use std::sync::Arc;

use crate::place::Span;
use crate::yaml::tree::NodeRef;

/// A parameter of one variant of a case.
#[derive(Clone, Debug)]
pub(crate) struct Param {
    /// Its name.
    pub(crate) name: Arc<str>,
    /// Where the name is written.
    pub(crate) span: Span,
    /// What stands for `$name`; it may have other parameters in it.
    pub(crate) value: NodeRef,
}
