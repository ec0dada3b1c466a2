//! Finding and reading case files: all the I/O of this stage.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::place::{File, Mistake, Place};
use crate::regular::{self, NotRegular};

use super::{SHARED_PROBES, SuiteFile};

/// The table of old names, beside the folders of the suites.
pub(super) const RENAMED: &str = "renamed.txt";

/// Why files could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system said so.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Something that need not have an end.
    #[error("{}: {amiss}", path.display())]
    NotRegular {
        /// What was given for a case file.
        path: PathBuf,
        /// What it is.
        amiss: NotRegular,
    },
    /// A directory without case files.
    #[error("no case files (*.yaml) below {}", .0.display())]
    Nothing(PathBuf),
    /// A file that looks like a case file and would be passed over.
    #[error("{}: case files are called *.yaml", .0.display())]
    Yml(PathBuf),
    /// A file whose name terminals would obey, of which its suite has its own.
    #[error("{}: the control character U+{:04X} in its name", plain(path).display(), u32::from(*found))]
    Control {
        /// The file.
        path: PathBuf,
        /// The first such character.
        found: char,
    },
}

/// A path as it can be printed.
fn plain(path: &Path) -> PathBuf {
    let plain = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    path.to_string_lossy().chars().map(plain).collect::<String>().into()
}

impl Error {
    /// As a mistake of the file, beside those of others.
    pub(super) fn mistake(self) -> Mistake {
        let told = self.to_string();
        let (path, text, help) = match self {
            Error::Io { path, source } => (path, format!("cannot be read: {source}"), None),
            Error::NotRegular { path, amiss } => (path, amiss.to_string(), None),
            Error::Nothing(path) => (path, told, None),
            Error::Yml(path) => {
                let name = path.with_extension("yaml");
                let name = name.file_name().unwrap_or_default().to_string_lossy().into_owned();
                (path, "case files are called *.yaml".to_owned(), Some(format!("call it {name}")))
            }
            Error::Control { path, found } => {
                let text = format!("the control character U+{:04X} in the name of a file", u32::from(found));
                let help = "terminals obey such characters; give it another name".to_owned();
                (plain(&path), text, Some(help))
            }
        };
        let file = Arc::new(File { path, text: String::new() });
        Mistake { place: Place { file, start: 0, end: 0 }, text, help, see: None }
    }
}

/// Reads the case files that `paths` name: single files, and directories with all `*.yaml` below them, each file once,
/// in the order of their names. `root` is the directory of all cases; suites are named by their path below it. Its
/// `probes.yaml` is read in any case, because any file may need a probe of it.
///
/// # Errors
/// What cannot be read, or holds nothing.
#[cfg(test)]
pub(crate) fn read(root: &Path, paths: &[PathBuf]) -> Result<Vec<SuiteFile>, Error> {
    let mut found = Found::default();
    for path in paths {
        found.add(root, path)?;
    }
    found.whole()?.iter().map(Entry::read).collect()
}

/// Like [`read`], each path with the root that it has by [`root_of`].
///
/// # Errors
/// What cannot be read, or holds nothing.
#[cfg(test)]
pub(crate) fn read_each(paths: &[PathBuf]) -> Result<Vec<SuiteFile>, Error> {
    let mut found = Found::default();
    for path in paths {
        found.add(&root_of(path), path)?;
    }
    found.whole()?.iter().map(Entry::read).collect()
}

/// Finds the case files that `paths` name, each path with the root that it has by [`root_of`], without reading them. What is
/// wrong with single files below a folder is no error, but a mistake of theirs.
pub(super) fn find_each(paths: &[PathBuf]) -> Result<(Vec<Entry>, Vec<Mistake>), Error> {
    let mut found = Found::default();
    for path in paths {
        found.add(&root_of(path), path)?;
    }
    let Found { files, amiss, .. } = found;
    Ok((files.into_values().collect(), amiss.into_iter().map(Error::mistake).collect()))
}

/// The directory of all cases that a path belongs to: the nearest one above it, or itself, that has a `probes.yaml` or
/// a `renamed.txt` or is called `cases`; without one, the path itself if it is a directory, else the directory that it is in.
pub fn root_of(path: &Path) -> PathBuf {
    let path = path.canonicalize().unwrap_or(path.to_owned());
    let here = if path.is_dir() { &*path } else { path.parent().unwrap_or(&path) };
    let marks = |dir: &Path| shared_probes(dir).is_file() || dir.join(RENAMED).is_file();
    let is_root = |dir: &&Path| marks(dir) || dir.file_name().is_some_and(|n| n == "cases");
    here.ancestors().find(is_root).unwrap_or(here).to_owned()
}

fn shared_probes(root: &Path) -> PathBuf {
    root.join(SHARED_PROBES).with_extension("yaml")
}

/// The table of old names of a folder of cases, if it has one.
///
/// # Errors
/// It cannot be read.
fn renamed(root: &Path) -> Result<Option<Arc<File>>, Error> {
    let path = root.join(RENAMED);
    if !path.is_file() {
        return Ok(None);
    }
    let here = std::env::current_dir().ok().and_then(|here| here.canonicalize().ok());
    let shown = here.and_then(|here| path.strip_prefix(here).ok().map(Path::to_owned));
    let bytes = std::fs::read(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(Some(Arc::new(File { path: shown.unwrap_or(path), text })))
}

/// The tables of old names of the folders that these paths belong to.
///
/// # Errors
/// One cannot be read.
pub(super) fn renamed_each(paths: &[PathBuf]) -> Result<Vec<Arc<File>>, Error> {
    let mut roots: Vec<PathBuf> = Vec::new();
    for path in paths {
        path.metadata().map_err(|source| Error::Io { path: path.clone(), source })?;
        let root = root_of(path);
        if !roots.contains(&root) {
            roots.push(root);
        }
    }
    roots.iter().filter_map(|root| renamed(root).transpose()).collect()
}

/// A file as it is shown to people, and the name of its suite.
pub(super) struct Entry {
    path: PathBuf,
    pub suite: Arc<str>,
}

impl Entry {
    pub(super) fn read(&self) -> Result<SuiteFile, Error> {
        let path = &self.path;
        let bytes = std::fs::read(path).map_err(|source| Error::Io { path: path.clone(), source })?;
        // What is not UTF-8 is replaced here, and refused when the text is read, with its place.
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Ok(SuiteFile { suite: self.suite.clone(), file: Arc::new(File { path: path.clone(), text }) })
    }
}

/// Files by their real paths, so that one that is named in two ways is read once.
#[derive(Default)]
struct Found {
    files: BTreeMap<PathBuf, Entry>,
    /// Directories that were walked: a symbolic link may lead back up.
    walked: BTreeSet<PathBuf>,
    /// What is wrong with single files of directories.
    amiss: Vec<Error>,
}

impl Found {
    fn add(&mut self, root: &Path, path: &Path) -> Result<(), Error> {
        // Of a path that is not there the error is to speak, not of the root that was guessed from it.
        path.metadata().map_err(|source| Error::Io { path: path.to_owned(), source })?;
        let root = root.canonicalize().map_err(|source| Error::Io { path: root.to_owned(), source })?;
        if !self.walk(&root, path, true)? {
            return Err(Error::Nothing(path.to_owned()));
        }
        let shared = shared_probes(&root);
        if shared.is_file() {
            let here = std::env::current_dir().ok().and_then(|here| here.canonicalize().ok());
            let shown = here.and_then(|here| shared.strip_prefix(here).ok().map(Path::to_owned));
            self.file(&root, &shown.unwrap_or(shared))?;
        }
        Ok(())
    }

    /// Whether there are any; what was walked before counts as if there were.
    fn walk(&mut self, root: &Path, path: &Path, named: bool) -> Result<bool, Error> {
        let io = |source| Error::Io { path: path.to_owned(), source };
        if !path.is_dir() {
            self.file(root, path)?;
            return Ok(true);
        }
        if !self.walked.insert(path.canonicalize().map_err(io)?) {
            return Ok(true);
        }
        let mut any = false;
        let entries = match std::fs::read_dir(path) {
            Err(source) if named => return Err(io(source)),
            Err(source) => {
                self.amiss.push(io(source));
                return Ok(true);
            }
            Ok(entries) => entries,
        };
        for entry in entries {
            let path = entry.map_err(io)?.path();
            if path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b".")) {
                continue;
            }
            match path.extension().and_then(|e| e.to_str()) {
                _ if path.is_dir() => any |= self.walk(root, &path, false)?,
                Some("yaml") => {
                    self.file(root, &path).unwrap_or_else(|error| self.amiss.push(error));
                    any = true;
                }
                Some("yml") => {
                    self.amiss.push(Error::Yml(path));
                    any = true;
                }
                _ => {}
            }
        }
        Ok(any)
    }

    fn file(&mut self, root: &Path, path: &Path) -> Result<(), Error> {
        let metadata = path.metadata().map_err(|source| Error::Io { path: path.to_owned(), source })?;
        if let Some(amiss) = regular::amiss(&metadata) {
            return Err(Error::NotRegular { path: path.to_owned(), amiss });
        }
        let real = path.canonicalize().map_err(|source| Error::Io { path: path.to_owned(), source })?;
        let below = real.strip_prefix(root).unwrap_or(path).with_extension("");
        let suite: Arc<str> = below.to_string_lossy().into();
        if let Some(found) = suite.chars().find(|c| c.is_control()) {
            return Err(Error::Control { path: path.to_owned(), found });
        }
        self.files.entry(real).or_insert(Entry { path: path.to_owned(), suite });
        Ok(())
    }

    /// All files, where nothing is wrong with any.
    #[cfg(test)]
    fn whole(self) -> Result<Vec<Entry>, Error> {
        match self.amiss.into_iter().next() {
            Some(error) => Err(error),
            None => Ok(self.files.into_values().collect()),
        }
    }
}
