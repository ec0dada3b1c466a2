//! Folders for the time of a run: locked by who uses them, so that those of a kconform that was killed are known and removed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tempfile::TempDir;

/// Held locked by the kconform that uses the folder.
const LOCK: &str = "lock";

/// How often a folder in which something is still being written is tried again, and after how long.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(20);

/// What could not be removed, and why.
static LEFT: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The folder for temporary files: `$TMPDIR`, else /tmp. A variable that is empty is as if not set.
pub(crate) fn temporary() -> PathBuf {
    let set = std::env::var_os("TMPDIR").filter(|value| !value.is_empty());
    let folder = set.map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
    std::path::absolute(&folder).unwrap_or(folder)
}

/// Whether no program can be started in a folder, whatever its mode (`noexec` of mount(8)).
pub(crate) fn refuses_programs(folder: &Path) -> bool {
    rustix::fs::statvfs(folder).is_ok_and(|of| of.f_flag.contains(rustix::fs::StatVfsMountFlags::NOEXEC))
}

/// Whether a program could not be started for want of /dev/null, as in a root that is not set up: "No such file or directory"
/// then names none.
pub(crate) fn lacks_null(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound && !Path::new("/dev/null").exists()
}

/// What the system said, without the name of a file that was to be made, which nobody has chosen.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split_once(" at path ").map_or(text.clone(), |(reason, _)| reason.to_owned())
}

/// A folder in [`temporary`], removed when dropped. What cannot be removed is told by [`left`].
#[derive(Debug)]
pub(crate) struct Folder {
    directory: Option<TempDir>,
    _lock: File,
}

impl Folder {
    /// Makes one, and removes those with the same prefix that nobody uses any more.
    pub(crate) fn new(prefix: &str) -> io::Result<Folder> {
        let place = temporary();
        sweep(&place, prefix);
        let directory = tempfile::Builder::new().prefix(prefix).tempdir_in(place)?;
        // Under its name it is locked from the beginning: one without a lock is just being made.
        let made = directory.path().join(format!("{LOCK}.new"));
        let lock = File::create(&made)?;
        lock.lock()?;
        fs::rename(made, directory.path().join(LOCK))?;
        Ok(Folder { directory: Some(directory), _lock: lock })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.directory.as_ref().map_or(Path::new(""), TempDir::path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let Some(directory) = self.directory.take() else { return };
        let path = directory.keep();
        if let Err(error) = remove(&path) {
            could_not_remove(format!("{}: {error}", path.display()));
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    for _ in 0..TRIES {
        match fs::remove_dir_all(path) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
    fs::remove_dir_all(path)
}

/// Takes note of something that could not be removed.
pub(crate) fn could_not_remove(what: String) {
    LEFT.lock().unwrap_or_else(PoisonError::into_inner).push(what);
}

/// What this process could not remove so far, a place with the reason each.
pub fn left() -> Vec<String> {
    LEFT.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Removes folders that nobody uses any more. Whatever goes wrong here is not worth a word: another user's folder, or one that
/// another kconform sweeps at the same time.
fn sweep(place: &Path, prefix: &str) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(prefix) && is_abandoned(&entry.path()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn is_abandoned(folder: &Path) -> bool {
    File::open(folder.join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_nobody_uses_are_removed() {
        let prefix = format!("kconform-test-{}-", std::process::id());
        let used = Folder::new(&prefix).unwrap();
        let abandoned = std::env::temp_dir().join(format!("{prefix}abandoned"));
        fs::create_dir_all(abandoned.join("scratch/deeper")).unwrap();
        fs::write(abandoned.join(LOCK), "").unwrap();
        let making = std::env::temp_dir().join(format!("{prefix}making"));
        fs::create_dir(&making).unwrap();
        let another = Folder::new(&prefix).unwrap();
        assert!(used.path().exists() && another.path().exists() && making.exists() && !abandoned.exists());
        fs::remove_dir(making).unwrap();
        let path = another.path().to_owned();
        drop(another);
        assert!(!path.exists());
    }
}
