//! A search on disk: what is known, the logs, the kernels that were built, and one process at a time.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::commit::short;
use super::process::end_marked;
use super::search::SearchError;
use super::table::{Table, VERSION};

/// Why a search cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// There is no place for it.
    #[error("no place to keep a search: name one with --state, or set XDG_STATE_HOME or HOME")]
    NoPlace,
    /// A file or folder.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process is at it.
    #[error("{} is in use by another kconform", .0.display())]
    Busy(PathBuf),
    /// What is there cannot be understood.
    #[error("{}: {source}; begin anew with --restart", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// What is there is of another search.
    #[error("{} holds another search ({found}); name another folder with --state, or begin anew with --restart", path.display())]
    Another {
        /// The folder.
        path: PathBuf,
        /// What that one looks for.
        found: String,
    },
}

impl<H, L> From<StateError> for SearchError<H, L, StateError> {
    fn from(error: StateError) -> Self {
        SearchError::Kept(error)
    }
}

/// Where searches are kept: `$XDG_STATE_HOME/kconform/bisect`, else `~/.local/state/kconform/bisect`.
///
/// # Errors
/// [`StateError::NoPlace`].
pub fn default_folder() -> Result<PathBuf, StateError> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("XDG_STATE_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".local/state")))
        .map(|folder| folder.join("kconform/bisect"))
        .ok_or(StateError::NoPlace)
}

/// What makes two searches one: all that decides what a commit's kernel is, and between which commits it is looked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The repository.
    pub repository: PathBuf,
    /// The older end.
    pub old: String,
    /// The newer end.
    pub new: String,
    /// The architecture.
    pub arch: String,
    /// SHA-256 of the kernel's config fragment and of the build command.
    pub build: String,
    /// The newer end is good.
    pub expect_fail: bool,
    /// How often each case is run.
    pub confirm: u32,
    /// Paths that the search is limited to, and whether to first parents.
    pub limits: Vec<String>,
}

impl Identity {
    /// A name for its folder.
    pub fn name(&self) -> String {
        let text = serde_json::to_vec(self).unwrap_or_default();
        let tree = self.repository.iter().rfind(|part| *part != ".git").unwrap_or_default();
        format!("{}-{}", tree.to_string_lossy(), &hex(&text)[..12])
    }
}

/// SHA-256 of these bytes, in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The file of a search's folder.
#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    identity: Identity,
    table: Table,
}

/// A search's folder, which is ours until this is dropped.
#[derive(Debug)]
pub struct State {
    folder: PathBuf,
    identity: Identity,
    /// Held as long as this lives.
    lock: File,
}

impl Drop for State {
    fn drop(&mut self) {
        // Closing is not enough: a process that another thread has just forked holds the same lock until it is another program.
        let _ = self.lock.unlock();
    }
}

impl State {
    /// Takes a folder for a search: what is known of it is read, or, with `restart`, forgotten. What a killed process has
    /// left running there is ended.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn open(folder: &Path, identity: Identity, restart: bool) -> Result<(State, Table), StateError> {
        let io = |source| StateError::Io { path: folder.to_owned(), source };
        fs::create_dir_all(folder).map_err(io)?;
        let folder = folder.canonicalize().map_err(io)?;
        let lock = File::create(folder.join("lock")).map_err(io)?;
        if lock.try_lock().is_err() {
            return Err(StateError::Busy(folder));
        }
        end_marked(&folder);
        let state = State { folder, identity, lock };
        let path = state.folder.join("state.json");
        let table = match fs::read(&path) {
            _ if restart => None,
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(StateError::Io { path, source }),
            Ok(text) => {
                let saved: Saved = serde_json::from_slice(&text)
                    .map_err(|source| StateError::Damaged { path: path.clone(), source })?;
                if saved.identity != state.identity {
                    let Identity { old, new, arch, .. } = saved.identity;
                    let found = format!("{} to {} on {arch}", short(&old), short(&new));
                    return Err(StateError::Another { path: state.folder.clone(), found });
                }
                Some(saved.table.without_lost())
            }
        };
        let table = match table {
            Some(table) => table,
            None => {
                let table = Table { version: VERSION, ..Table::default() };
                for gone in ["commits", "build"] {
                    state.remove(gone)?;
                }
                state.keep(&table)?;
                table
            }
        };
        Ok((state, table))
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where git checks out what is built.
    pub fn worktree(&self) -> PathBuf {
        self.folder.join("worktree")
    }

    /// Where it is built.
    pub fn build(&self) -> PathBuf {
        self.folder.join("build")
    }

    /// What is kept of a commit: logs, the kernel. The folder is made.
    ///
    /// # Errors
    /// Those of mkdir(2).
    pub fn commit(&self, commit: &str) -> io::Result<PathBuf> {
        let folder = self.folder.join("commits").join(commit);
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// Writes what is known, whole or not at all.
    ///
    /// # Errors
    /// Those of writing.
    pub fn keep(&self, table: &Table) -> Result<(), StateError> {
        let path = self.folder.join("state.json");
        let io = |source| StateError::Io { path: path.clone(), source };
        let saved = Saved { identity: self.identity.clone(), table: table.clone() };
        let text = serde_json::to_vec_pretty(&saved).map_err(|error| io(error.into()))?;
        let mut file = tempfile::NamedTempFile::new_in(&self.folder).map_err(io)?;
        file.write_all(&text).and_then(|()| file.as_file().sync_all()).map_err(io)?;
        file.persist(&path).map_err(|error| io(error.error))?;
        Ok(())
    }

    /// Removes a folder of the search.
    ///
    /// # Errors
    /// Those of unlink(2).
    pub fn remove(&self, name: &str) -> Result<(), StateError> {
        let path = self.folder.join(name);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done.map_err(|source| StateError::Io { path, source }),
        }
    }
}
