//! A directory for a guest's files while it boots.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Once;
use std::time::Duration;

use tempfile::TempDir;

use crate::folder::temporary;

const PREFIX: &str = "kconform-guest-";
/// Held locked by the harness that uses the directory.
const LOCK: &str = "lock";
/// A directory this young may be one that is just being made.
const YOUNG: Duration = Duration::from_secs(60);

/// The directory, gone when dropped.
#[derive(Debug)]
pub(super) struct Scratch {
    directory: TempDir,
    _lock: File,
}

impl Scratch {
    /// Makes one in the folder for temporary files, and once a run removes those of harnesses that were killed.
    pub(super) fn new() -> io::Result<Scratch> {
        static SWEPT: Once = Once::new();
        let place = temporary();
        SWEPT.call_once(|| sweep(&place));
        let directory = tempfile::Builder::new().prefix(PREFIX).tempdir_in(place)?;
        let lock = File::create(directory.path().join(LOCK))?;
        lock.lock()?;
        Ok(Scratch { directory, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// Removes directories that nobody uses any more. Whatever goes wrong here is not worth a word: another user's
/// directory, or one that another harness sweeps at the same time.
fn sweep(place: &Path) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) && is_abandoned(&entry.path()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn is_abandoned(directory: &Path) -> bool {
    let age = fs::metadata(directory).and_then(|data| data.modified()).map(|time| time.elapsed());
    let old = matches!(age, Ok(Ok(age)) if age > YOUNG);
    old && File::open(directory.join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok())
}
