//! What changes when a file is written to or is another one, so that a large file need not be read again to know that it
//! is as it was.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A file's place, size and times (stat(2)). The time of its last change cannot be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Stamp {
    place: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Seconds after a write in which another one could go unnoticed: file systems take the time from a clock that ticks, FAT
/// in steps of two seconds.
const UNSETTLED: i64 = 3;

impl Stamp {
    pub(super) fn of(data: &Metadata) -> Stamp {
        Stamp {
            place: (data.dev(), data.ino()),
            size: data.len(),
            modified: (data.mtime(), data.mtime_nsec()),
            changed: (data.ctime(), data.ctime_nsec()),
        }
    }

    /// Whether a later write would show.
    fn is_settled(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs() as i64);
        (self.changed.0 + UNSETTLED..).contains(&now)
    }
}

/// The file of a directory in which is kept what its other files were when their contents were last looked at.
const SEEN: &str = "seen.json";

/// Files by name that were found to have a SHA-256, and their stamps then.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    files: BTreeMap<String, (String, Stamp)>,
    /// A checksum of the others.
    check: u32,
}

impl Seen {
    fn sum(&self) -> u32 {
        seal(&self.files)
    }
}

/// A checksum of what is kept as JSON: of its text, in the order of its fields.
pub(super) fn seal(value: &impl Serialize) -> u32 {
    // What is kept here can be written as JSON.
    crc32fast::hash(&serde_json::to_vec(value).unwrap_or_default())
}

/// What is known of the files of a directory.
#[derive(Debug)]
pub(super) struct Known<'a> {
    directory: &'a Path,
    seen: Seen,
    is_new: bool,
}

impl<'a> Known<'a> {
    /// What earlier looks have left there; nothing where that is damaged.
    pub(super) fn of(directory: &'a Path) -> Known<'a> {
        let read = || serde_json::from_slice::<Seen>(&fs::read(directory.join(SEEN)).ok()?).ok();
        let seen = read().filter(|seen| seen.check == seen.sum()).unwrap_or_default();
        Known { directory, seen, is_new: false }
    }

    /// Whether a file has that SHA-256. One that is as it was when that was found out is not read again.
    ///
    /// # Errors
    /// Those of stat(2), and of `sha256`.
    pub(super) fn has<E: From<io::Error>>(
        &mut self,
        name: &str,
        wanted: &str,
        sha256: impl FnOnce(&Path) -> Result<String, E>,
    ) -> Result<bool, E> {
        let path = self.directory.join(name);
        let stamp = Stamp::of(&fs::metadata(&path)?);
        if self.seen.files.get(name).is_some_and(|(sha256, then)| sha256 == wanted && *then == stamp) {
            return Ok(true);
        }
        if sha256(&path)? != wanted {
            return Ok(false);
        }
        if stamp.is_settled() {
            self.seen.files.insert(name.to_owned(), (wanted.to_owned(), stamp));
            self.is_new = true;
        }
        Ok(true)
    }

    /// Keeps what was found out for the next time. Where it cannot be kept, files are read once more then.
    pub(super) fn keep(mut self) {
        if !self.is_new {
            return;
        }
        self.seen.check = self.seen.sum();
        let write = || -> io::Result<()> {
            let file = tempfile::NamedTempFile::new_in(self.directory)?;
            serde_json::to_writer(&file, &self.seen)?;
            file.persist(self.directory.join(SEEN))?;
            Ok(())
        };
        let _ = write();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Whether it was read, and what came of it.
    fn look(directory: &Path, wanted: &str) -> (bool, bool) {
        let mut read = false;
        let mut known = Known::of(directory);
        let has = known
            .has("file", wanted, |path| {
                read = true;
                fs::read_to_string(path)
            })
            .unwrap();
        known.keep();
        (read, has)
    }

    fn settle(directory: &Path) {
        let path = directory.join("file");
        while !Stamp::of(&fs::metadata(&path).unwrap()).is_settled() {
            std::thread::park_timeout(std::time::Duration::from_millis(100));
        }
    }

    #[test]
    fn a_file_is_read_once_until_it_changes() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("file"), "a").unwrap();
        // A write in the same tick of the clock would not show.
        assert_eq!((look(place.path(), "a"), look(place.path(), "a")), ((true, true), (true, true)));
        settle(place.path());
        assert_eq!((look(place.path(), "a"), look(place.path(), "a")), ((true, true), (false, true)));
        assert_eq!(look(place.path(), "b"), (true, false));
        // With its size and the time of its modification as they were.
        let modified = fs::metadata(place.path().join("file")).unwrap().modified().unwrap();
        fs::write(place.path().join("file"), "c").unwrap();
        fs::File::open(place.path().join("file")).unwrap().set_modified(modified).unwrap();
        assert_eq!(look(place.path(), "a"), (true, false));
    }

    #[test]
    fn what_was_seen_is_not_believed_when_it_was_edited() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("file"), "a").unwrap();
        settle(place.path());
        look(place.path(), "a");
        assert_eq!(look(place.path(), "a"), (false, true));
        let seen = place.path().join(SEEN);
        let text = fs::read_to_string(&seen).unwrap();
        fs::write(&seen, text.replace("\"a\"", "\"b\"")).unwrap();
        assert_eq!(look(place.path(), "b"), (true, false));
        fs::write(&seen, "{").unwrap();
        assert_eq!(look(place.path(), "a"), (true, true));
    }
}
