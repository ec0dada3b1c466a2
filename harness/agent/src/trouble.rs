//! What the agent could not do: for a step of a case, or at all.

use kconform_plan::Trouble;

/// What a step was stopped by.
pub(crate) type Tried<T> = Result<T, Trouble>;

/// Trouble from an errno, for `map_err`.
pub(crate) fn trouble(what: impl Into<String>) -> impl FnOnce(i32) -> Trouble {
    let what = what.into();
    move |errno| Trouble { what, errno }
}

/// What went wrong, in words.
pub(crate) type Failed = String;

/// An errno in words.
pub(crate) fn failed(what: &str) -> impl FnOnce(i32) -> Failed + '_ {
    move |errno| format!("{what}: errno {errno}")
}
