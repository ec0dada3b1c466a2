//! `kconform export c`: a case as one C file that needs nothing but libc, in the manner of a kernel selftest.
//!
//! The file is written from the typed case, whose names it keeps: `steps` and `call` write its calls, `memory` what they
//! point to, `wants` what they must do, `requires` what the kernel must have. `runtime` holds the C functions that they
//! use, of which `file` takes those that the case needs.

mod attr;
mod call;
mod fields;
mod file;
mod insns;
mod memory;
mod names;
mod numbers;
mod outputs;
mod requires;
mod runtime;
mod shown;
mod state;
mod steps;
#[cfg(test)]
mod tests;
mod uapi;
mod wants;

use crate::case::Case;
use crate::place::Place;

/// Why a case cannot be written as C.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {form} cannot be exported to C yet")]
pub struct ExportError {
    /// Where it is written.
    pub place: Place,
    /// What is not covered: `a call of clone`.
    pub form: String,
}

/// Refuses a form that is not covered.
fn uncovered<T>(place: &Place, form: impl Into<String>) -> Result<T, ExportError> {
    Err(ExportError { place: place.clone(), form: form.into() })
}

/// What a C file is to be part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Nothing: it is a program that needs nothing but libc.
    Alone,
    /// The kernel's selftests: a test of tools/testing/selftests/kselftest_harness.h.
    Kselftest,
}

/// The C file of a case.
///
/// # Errors
/// The first form of the case that C files do not have yet.
pub fn c_file(case: &Case, manner: Manner) -> Result<String, ExportError> {
    file::write(case, manner)
}

/// The name of a case's test, as selftests have them: its words, joined.
pub fn test_name(case: &Case) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = case.id.chars().map(plain).collect();
    name.split('_').filter(|word| !word.is_empty()).collect::<Vec<_>>().join("_")
}
