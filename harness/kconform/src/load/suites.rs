//! Case files: which, and what to do about mistakes in them.

use std::path::PathBuf;

use crate::case::Case;
use crate::checkout::checkout;

use super::{Loaded, SuiteFile, carried, files, load, message};

/// Why there are no cases to run.
#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    /// A file or folder cannot be read, or holds nothing.
    #[error(transparent)]
    Files(#[from] files::Error),
    /// There are mistakes; this is all that is to be said of them.
    #[error("{count} mistake{} in case files\n\n{text}", if *count == 1 { "" } else { "s" })]
    Mistakes {
        /// How many.
        count: usize,
        /// The messages.
        text: String,
    },
}

/// The folder to read when none is named: `cases` here, or that of the checkout that kconform is in. Neither is
/// there: the cases that kconform carries are meant. A debug build carries none, and names the checkout's in any case.
pub fn default_folder() -> Option<PathBuf> {
    let here = PathBuf::from("cases");
    let own = checkout().join("cases");
    if here.is_dir() {
        Some(here)
    } else if own.is_dir() || cfg!(debug_assertions) {
        Some(own.canonicalize().unwrap_or(own))
    } else {
        None
    }
}

/// Reads case files, mistakes and all: those below `paths`, or else those of [`default_folder`].
///
/// # Errors
/// What cannot be read.
pub fn load_suites(paths: &[PathBuf]) -> Result<Suites, SuiteError> {
    let found = match (paths, default_folder()) {
        ([], Some(folder)) => files::read_each(&[folder])?,
        ([], None) => carried::files(),
        (paths, _) => files::read_each(paths)?,
    };
    Ok(Suites { loaded: load(&found), files: found })
}

/// What was read.
pub struct Suites {
    /// The cases and the mistakes.
    pub loaded: Loaded,
    /// The files that were read.
    pub files: Vec<SuiteFile>,
}

impl Suites {
    /// The cases, if there are no mistakes.
    ///
    /// # Errors
    /// All mistakes, in one text.
    pub fn into_cases(self, color: bool) -> Result<Vec<Case>, SuiteError> {
        let mistakes = &self.loaded.mistakes;
        if mistakes.is_empty() {
            return Ok(self.loaded.cases);
        }
        Err(SuiteError::Mistakes { count: mistakes.len(), text: message::render(mistakes, color) })
    }
}
