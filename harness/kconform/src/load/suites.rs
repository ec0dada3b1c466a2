//! Case files: which, and what to do about mistakes in them.

use std::path::PathBuf;

use crate::cache_folder::cache_folder;
use crate::case::Case;
use crate::checkout::checkout;
use crate::place::Mistake;
use crate::renamed::Renamed;
use crate::select::{NothingSelected, Selection};

use super::selected::{Contents, Listing, Sources};
use super::{Loaded, carried, files, message, renamed};

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
    /// There are cases, but none of them is meant.
    #[error(transparent)]
    Nothing(#[from] NothingSelected),
}

impl SuiteError {
    fn mistakes(mistakes: &[Mistake], color: bool) -> SuiteError {
        SuiteError::Mistakes { count: mistakes.len(), text: message::render(mistakes, color) }
    }
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

/// The case files below `paths`, or else those of [`default_folder`], or else those that kconform carries.
///
/// # Errors
/// What cannot be read.
fn sources(paths: &[PathBuf]) -> Result<Sources, SuiteError> {
    let cache = cache_folder();
    Ok(match (paths, default_folder()) {
        ([], Some(folder)) => Sources::find(&[folder], cache)?,
        ([], None) => Sources::carried(cache),
        (paths, _) => Sources::find(paths, cache)?,
    })
}

/// What suites and cases of these folders were called before; folders are as for [`load_suites`]. Reads nothing else of them.
///
/// # Errors
/// What cannot be read, and mistakes.
pub fn renamed_in(paths: &[PathBuf]) -> Result<Renamed, SuiteError> {
    let files = match (paths, default_folder()) {
        ([], Some(folder)) => files::renamed_each(&[folder])?,
        ([], None) => carried::renamed().into_iter().collect(),
        (paths, _) => files::renamed_each(paths)?,
    };
    renamed::all(&files).map_err(|mistakes| SuiteError::mistakes(&mistakes, false))
}

/// Reads all case files, mistakes and all: those below `paths`, or else those of [`default_folder`].
///
/// # Errors
/// What cannot be read.
pub fn load_suites(paths: &[PathBuf]) -> Result<Suites, SuiteError> {
    let (loaded, files) = sources(paths)?.load();
    Ok(Suites { loaded, files })
}

/// What was read.
pub struct Suites {
    /// The cases and the mistakes.
    pub loaded: Loaded,
    /// How many files were read.
    pub files: usize,
}

impl Suites {
    /// The cases, if there are no mistakes.
    ///
    /// # Errors
    /// All mistakes, in one text.
    pub fn into_cases(self, color: bool) -> Result<Vec<Case>, SuiteError> {
        into_cases(self.loaded, color)
    }
}

fn into_cases(loaded: Loaded, color: bool) -> Result<Vec<Case>, SuiteError> {
    match &*loaded.mistakes {
        [] => Ok(loaded.cases),
        mistakes => Err(SuiteError::mistakes(mistakes, color)),
    }
}

/// Counts the cases of all files, and finds their mistakes; parses only files of which nothing is remembered.
///
/// # Errors
/// What cannot be read.
pub fn contents(paths: &[PathBuf]) -> Result<Contents, SuiteError> {
    Ok(sources(paths)?.contents())
}

/// All cases by their names; parses only files of which nothing is remembered.
///
/// # Errors
/// What cannot be read, and mistakes.
pub fn list_suites(paths: &[PathBuf]) -> Result<Listing, SuiteError> {
    sources(paths)?.listing().map_err(|mistakes| SuiteError::mistakes(&mistakes, false))
}

/// The cases that are meant.
pub struct Chosen {
    /// In the order of the files.
    pub cases: Vec<Case>,
    unread: usize,
    sources: Sources,
}

/// Reads the cases that are meant, and as few files as that takes: mistakes in others are not seen.
///
/// # Errors
/// What cannot be read, mistakes, and what selects nothing.
pub fn choose_cases(paths: &[PathBuf], selection: &Selection, color: bool) -> Result<Chosen, SuiteError> {
    let sources = sources(paths)?;
    let selected = sources.select(selection);
    let (unread, cases) = (selected.unread, into_cases(selected.loaded, color)?);
    match selection.apply(cases) {
        Ok(cases) => Ok(Chosen { cases, unread, sources }),
        Err(nothing) if unread == 0 => Err(today(nothing, &sources).into()),
        // The nearest may be anywhere, and a pattern does select something if its cases only lack a tag.
        Err(_) => {
            let cases = into_cases(sources.load().0, color)?;
            let cases = selection.apply(cases).map_err(|nothing| today(nothing, &sources))?;
            Ok(Chosen { cases, unread: 0, sources })
        }
    }
}

/// What was asked for by an old name: it is not the nearest that was meant, but what it is called today.
fn today(nothing: NothingSelected, sources: &Sources) -> NothingSelected {
    let renamed = sources.renamed().unwrap_or_default();
    let now = nothing.pattern.as_ref().and_then(|pattern| renamed.now(pattern));
    NothingSelected { nearest: now.or(nothing.nearest), ..nothing }
}

impl Chosen {
    /// What all files hold, read or not.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn contents(&self) -> Result<Contents, SuiteError> {
        Ok(self.sources.contents())
    }

    /// What suites and cases were called before.
    ///
    /// # Errors
    /// The mistakes of the table.
    pub fn renamed(&self) -> Result<Renamed, SuiteError> {
        self.sources.renamed().map_err(|mistakes| SuiteError::mistakes(&mistakes, false))
    }

    /// What is to be said of files that were not read.
    pub fn note(&self) -> Option<String> {
        let all = self.sources.count();
        let unread = self.unread;
        (unread > 0).then(|| {
            format!("{unread} of {all} case files hold none of these cases and were not read; `kconform check` reads all")
        })
    }
}
