//! Finding and reading case files: all the I/O of this stage.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::place::{File, Mistake, Place};

use super::{SHARED_PROBES, SuiteFile};

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
    /// A directory without case files.
    #[error("no case files (*.yaml) below {}", .0.display())]
    Nothing(PathBuf),
    /// The text is not UTF-8.
    #[error("{}", .0.place)]
    NotText(Box<Mistake>),
}

/// Reads the case files that `paths` name: single files, and directories with all `*.yaml` below them, each file once,
/// in the order of their names. `root` is the directory of all cases; suites are named by their path below it. Its
/// `probes.yaml` is read in any case, because any file may need a probe of it.
pub fn read(root: &Path, paths: &[PathBuf]) -> Result<Vec<SuiteFile>, Error> {
    let mut found = BTreeSet::new();
    for path in paths {
        let before = found.len();
        find(path, &mut found)?;
        if found.len() == before && path.is_dir() {
            return Err(Error::Nothing(path.clone()));
        }
    }
    let shared = root.join(SHARED_PROBES).with_extension("yaml");
    if shared.is_file() {
        found.insert(shared);
    }
    found.iter().map(|path| read_file(root, path)).collect()
}

/// The directory of all cases that a path belongs to: the nearest one above it, or itself, that is called `cases` or has
/// a `probes.yaml`; without one, the path itself if it is a directory, else the directory that it is in.
pub fn root_of(path: &Path) -> PathBuf {
    let here = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) };
    let is_root = |dir: &&Path| {
        dir.file_name().is_some_and(|n| n == "cases")
            || dir.join(SHARED_PROBES).with_extension("yaml").is_file() && dir.components().next().is_some()
    };
    here.ancestors().find(is_root).unwrap_or(here).to_owned()
}

fn find(path: &Path, found: &mut BTreeSet<PathBuf>) -> Result<(), Error> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    if !path.is_dir() {
        // A file that is named is read, whatever it is called; that it is there is seen when it is read.
        found.insert(path.to_owned());
        return Ok(());
    }
    for entry in std::fs::read_dir(path).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let hidden = path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"."));
        let yaml = path.extension().is_some_and(|e| e == "yaml");
        if !hidden && (yaml || path.is_dir()) {
            find(&path, found)?;
        }
    }
    Ok(())
}

fn read_file(root: &Path, path: &Path) -> Result<SuiteFile, Error> {
    let bytes = std::fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    let below = path.strip_prefix(root).unwrap_or(path).with_extension("");
    let suite = below.to_string_lossy().into();
    match String::from_utf8(bytes) {
        Ok(text) => Ok(SuiteFile { suite, file: Arc::new(File { path: path.to_owned(), text }) }),
        Err(error) => {
            let start = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            let end = text[start..].chars().next().map_or(start, |c| start + c.len_utf8());
            let file = Arc::new(File { path: path.to_owned(), text });
            Err(Error::NotText(Box::new(Mistake {
                place: Place { file, start, end },
                text: "not UTF-8".to_owned(),
                help: None,
                see: None,
            })))
        }
    }
}
