//! Case files: which, and what to do about mistakes in them.

use std::path::{Path, PathBuf};

use crate::case::Case;
use crate::load::{self, Loaded, files};
use crate::report::document::SuiteIdentity;

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
    /// Nothing was named and nothing found.
    #[error("there is no folder `cases` here; name one with --cases")]
    NoFolder,
}

/// The paths to read when none is named: the `cases` folder here, or that of the checkout that kconform was built in.
///
/// # Errors
/// Neither is there.
pub fn default_paths() -> Result<Vec<PathBuf>, SuiteError> {
    let here = PathBuf::from("cases");
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cases");
    if here.is_dir() {
        Ok(vec![here])
    } else if own.is_dir() {
        Ok(vec![own.canonicalize().unwrap_or(own)])
    } else {
        Err(SuiteError::NoFolder)
    }
}

/// Reads case files, mistakes and all.
///
/// # Errors
/// What cannot be read.
pub fn load_suites(paths: &[PathBuf]) -> Result<Suites, SuiteError> {
    let paths = if paths.is_empty() { default_paths()? } else { paths.to_vec() };
    let found = files::read_each(&paths)?;
    let loaded = load::load(&found);
    let identity = crate::report::identity(&found, loaded.cases.len());
    Ok(Suites { loaded, files: found.len(), identity })
}

/// What was read.
pub struct Suites {
    /// The cases and the mistakes.
    pub loaded: Loaded,
    /// How many files were read.
    pub files: usize,
    /// Which files, by their contents.
    pub identity: SuiteIdentity,
}

impl Suites {
    /// The cases, if there are no mistakes.
    ///
    /// # Errors
    /// All mistakes, in one text.
    pub fn right(self, color: bool) -> Result<Vec<Case>, SuiteError> {
        let mistakes = &self.loaded.mistakes;
        if mistakes.is_empty() {
            return Ok(self.loaded.cases);
        }
        Err(SuiteError::Mistakes { count: mistakes.len(), text: load::message::render(mistakes, color) })
    }
}
