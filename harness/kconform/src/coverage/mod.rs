//! What case files cover of bpf(2), counted from the cases alone: nothing is run.
//!
//! The tables are `kconform_abi::bpf`'s: commands and the errnos that they can return, map types and what they give for
//! each command on elements, program types, link types, attr fields. `walk` goes through the steps of all cases and
//! notes in `Seen` what they ask for and what must come of it; `report` holds that against the tables.
//!
//! What counts:
//! - Every outcome that a step states, its own and those of its `except`s.
//! - An errno when it is the only one of its list: of several that may come none is promised.
//! - A map type when the fd can be followed: by the names that `save` gives, over dup(2), SCM_RIGHTS and pins, within
//!   a case. So for program types of links.
//! - A field that is refused: a pointer written as `null`, `unmapped`, `readonly` or `kernel`; an fd that is closed (a
//!   number above 2, or a name after `close`), or of another kind than the field takes; a number that no step sets with
//!   success.
//! - Probes do not count: what they find may be absent.

mod fields;
mod json;
mod markdown;
mod report;
mod seen;
#[cfg(test)]
mod tests;
mod text;
mod walk;
mod written;

pub use json::json;
pub use markdown::markdown;
pub use report::Coverage;
pub use text::text;

use crate::case::Case;

/// What the cases cover.
pub fn coverage(cases: &[Case]) -> Coverage {
    report::report(&walk::walk(cases), cases.len())
}
