//! Where snapshots are kept: `snapshots/IMAGE-KEY` of the cache, directories that appear whole or not at all.
//!
//! Whoever makes a snapshot of an image holds `.IMAGE.lock`, so that a second run waits and then takes what the first
//! has made. Whoever has a guest of a snapshot holds a shared lock on its directory, which keeps it from being pruned.
//! Locks (flock(2)) go with their holder, whatever becomes of it.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::checksum;
use super::key::Key;
use crate::guest::image::Images;
use crate::guest::pruned::{Fate, Kept, Pruned, elsewhere, is_idle, size_on_disk};

/// The guest's memory, sparse.
pub(super) const MEMORY: &str = "memory";
/// What QEMU saves beside it: CPUs and devices.
const STATE: &str = "state";
/// The agent's first frame.
const GREETING: &str = "greeting";
const MANIFEST: &str = "manifest.json";

/// Snapshots of an image that are kept when another is made, besides that: two builds of the agent in turn, say.
const KEPT: usize = 2;
/// What must be left on the disk when a guest's memory has been written in full, in bytes.
const RESERVE: u64 = 64 << 20;

/// What a snapshot is of, and how its files were when it was made.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Manifest {
    image: String,
    /// The file of its image; none for kconform's own images, and where an earlier build made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    image_file: Option<PathBuf>,
    key: std::collections::BTreeMap<String, String>,
    memory: u32,
    state: u32,
    greeting: u32,
}

/// All snapshots of a cache.
#[derive(Clone, Debug)]
pub(super) struct Store {
    place: PathBuf,
}

/// A snapshot that is in order. It stays where it is as long as this lives.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub directory: PathBuf,
    pub state: Vec<u8>,
    pub greeting: Vec<u8>,
    pub lock: File,
    /// The memory's checksum.
    memory: u32,
}

/// A snapshot as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The directory's name: the image's, and a hash of what the snapshot is of.
    pub name: String,
    /// Bytes on the disk.
    pub size: u64,
}

impl Store {
    pub(super) fn new(cache: &Path) -> io::Result<Store> {
        Ok(Store { place: std::path::absolute(cache)?.join("snapshots") })
    }

    pub(super) fn directory(&self, image: &str, key: &Key) -> PathBuf {
        self.place.join(format!("{image}-{}", key.digest()))
    }

    /// A snapshot, checked as far as it can be while QEMU starts; `None` where there is none.
    ///
    /// # Errors
    /// What is wrong with it, in words: it is not to be used.
    pub(super) fn open(&self, image: &str, key: &Key) -> Result<Option<Snapshot>, String> {
        let directory = self.directory(image, key);
        let lock = match File::open(&directory) {
            // The latter where somebody has put a file in the way of all snapshots, which is told when one is made.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            opened => opened.map_err(|error| error.to_string())?,
        };
        lock.lock_shared().map_err(|error| error.to_string())?;
        let manifest = match fs::read(directory.join(MANIFEST)) {
            // It was pruned between the two.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !directory.exists() => return Ok(None),
            read => read.map_err(|error| format!("{MANIFEST}: {error}"))?,
        };
        let manifest: Manifest =
            serde_json::from_slice(&manifest).map_err(|error| format!("{MANIFEST}: {error}"))?;
        if manifest.image != image || manifest.key != key.ingredients {
            return Err("it is one of another guest".to_owned());
        }
        let read = |name: &str, checksum: u32| {
            let bytes = fs::read(directory.join(name)).map_err(|error| format!("{name}: {error}"))?;
            if checksum::of_bytes(&bytes) == checksum { Ok(bytes) } else { Err(damaged(name)) }
        };
        let (state, greeting) = (read(STATE, manifest.state)?, read(GREETING, manifest.greeting)?);
        Ok(Some(Snapshot { state, greeting, lock, directory, memory: manifest.memory }))
    }

    /// Waits for whoever makes a snapshot of that image, and keeps others from making one.
    pub(super) fn lock(&self, image: &str) -> io::Result<File> {
        fs::create_dir_all(&self.place)?;
        let lock = File::create(self.lock_path(image))?;
        lock.lock()?;
        Ok(lock)
    }

    fn lock_path(&self, image: &str) -> PathBuf {
        self.place.join(format!(".{image}.lock"))
    }

    /// A place to make a snapshot in, gone when dropped, if there is room for one. The lock is held, so that what an
    /// earlier maker left behind when it was killed can go.
    pub(super) fn making(&self, image: &str, memory: u64) -> io::Result<TempDir> {
        let prefix = making_prefix(image);
        self.sweep(&prefix);
        let disk = rustix::fs::statvfs(&self.place)?;
        if disk.f_bavail.saturating_mul(disk.f_frsize) < memory + RESERVE {
            return Err(io::ErrorKind::StorageFull.into());
        }
        tempfile::Builder::new().prefix(&prefix).tempdir_in(&self.place)
    }

    fn sweep(&self, prefix: &str) {
        for name in self.names().into_iter().filter(|name| name.starts_with(prefix)) {
            let _ = fs::remove_dir_all(self.place.join(name));
        }
    }

    /// Completes a snapshot whose memory is there already, and puts it into its place.
    pub(super) fn put(
        &self,
        made: TempDir,
        (image, file, key): (&str, Option<&Path>, &Key),
        state: &[u8],
        greeting: &[u8],
    ) -> io::Result<()> {
        let manifest = Manifest {
            image: image.to_owned(),
            image_file: file.map(Path::to_owned),
            key: key.ingredients.clone(),
            memory: checksum::of_file(&File::open(made.path().join(MEMORY))?)?,
            state: checksum::of_bytes(state),
            greeting: checksum::of_bytes(greeting),
        };
        fs::write(made.path().join(STATE), state)?;
        fs::write(made.path().join(GREETING), greeting)?;
        fs::write(made.path().join(MANIFEST), serde_json::to_vec_pretty(&manifest)?)?;
        let directory = self.directory(image, key);
        self.discard(&directory)?;
        fs::rename(made.path(), &directory)?;
        // It is in its place now, and not to be removed with where it was made.
        let _ = made.keep();
        self.evict(image, &directory);
        Ok(())
    }

    /// Removes a snapshot that is not to be trusted. Guests that came of it keep what they have mapped.
    pub(super) fn discard(&self, directory: &Path) -> io::Result<()> {
        if !directory.exists() {
            return Ok(());
        }
        // Out of the way at once, then at leisure: nobody is to see half of it.
        let away = tempfile::Builder::new().prefix(".discarded-").tempdir_in(&self.place)?;
        fs::rename(directory, away.path().join("snapshot"))
    }

    /// Removes all but the snapshots of an image that were used last, and those in use.
    fn evict(&self, image: &str, but: &Path) {
        let used = |directory: &Path| fs::metadata(directory.join(MANIFEST)).and_then(|data| data.modified());
        let mut others: Vec<(SystemTime, PathBuf)> = self
            .names()
            .into_iter()
            .filter(|name| image_of(name) == Some(image))
            .map(|name| self.place.join(name))
            .filter(|directory| directory != but)
            .map(|directory| (used(&directory).unwrap_or(SystemTime::UNIX_EPOCH), directory))
            .collect();
        others.sort();
        for (_, old) in others.iter().rev().skip(KEPT) {
            let _ = self.remove_unused(old);
        }
    }

    /// Removes a snapshot unless a guest of it runs; whether it did.
    fn remove_unused(&self, directory: &Path) -> io::Result<bool> {
        let lock = File::open(directory)?;
        match lock.try_lock() {
            Ok(()) => self.discard(directory).map(|()| true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// All snapshots, by name.
    pub(super) fn list(&self) -> Vec<Listed> {
        let names = self.names().into_iter().filter(|name| image_of(name).is_some());
        names.map(|name| Listed { size: size_on_disk(&self.place.join(&name)), name }).collect()
    }

    /// Removes the snapshots that are not to be kept and not in use, and what makers have left behind; with `dry`, only
    /// tells of them.
    pub(super) fn prune(&self, images: &Images, keep: &[String], dry: bool) -> io::Result<Vec<Pruned>> {
        let mut all = Vec::new();
        for name in self.names().into_iter().filter(|name| self.is_left_behind(name)) {
            let path = self.place.join(&name);
            let size = size_on_disk(&path);
            if !dry {
                let _ = fs::remove_dir_all(path);
            }
            all.push(Pruned { what: Kept::Unfinished, name, size, fate: Fate::Removed });
        }
        for Listed { name, size } in self.list() {
            if keep.contains(&name) {
                continue;
            }
            let directory = self.place.join(&name);
            let fate = match elsewhere(self.image_file(&name), image_of(&name), images) {
                Some(image) => Fate::Elsewhere(image.file.unwrap_or_default()),
                None if dry && is_used(&directory)? => Fate::Used,
                None if dry || self.remove_unused(&directory)? => Fate::Removed,
                None => Fate::Used,
            };
            all.push(Pruned { what: Kept::Snapshot, name, size, fate });
        }
        Ok(all)
    }

    /// Whether it is of a maker that is no more, or half removed.
    fn is_left_behind(&self, name: &str) -> bool {
        let maker = name.strip_prefix('.').and_then(|name| name.split(MAKING).next());
        let made = name.contains(MAKING) && maker.is_some_and(|image| is_idle(&self.lock_path(image)));
        made || name.starts_with(".discarded-")
    }

    /// The file of a snapshot's image.
    fn image_file(&self, name: &str) -> Option<PathBuf> {
        let manifest = fs::read(self.place.join(name).join(MANIFEST)).ok()?;
        serde_json::from_slice::<Manifest>(&manifest).ok()?.image_file
    }

    /// Everything that is there, sorted; nothing where there is no such directory.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.place).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }
}

impl Snapshot {
    /// Whether the memory is as it was saved. Marks the snapshot as used.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub(super) fn check_memory(&self) -> Result<(), String> {
        let open = |name| File::open(self.directory.join(name)).map_err(|error| format!("{name}: {error}"));
        let found = checksum::of_file_once(&open(MEMORY)?).map_err(|error| format!("{MEMORY}: {error}"))?;
        if found != self.memory {
            return Err(damaged(MEMORY));
        }
        // Only the order of eviction hangs on it.
        let _ = open(MANIFEST)?.set_modified(SystemTime::now());
        Ok(())
    }
}

fn damaged(name: &str) -> String {
    format!("{name} is not what was saved")
}

const MAKING: &str = ".making-";

fn making_prefix(image: &str) -> String {
    format!(".{image}{MAKING}")
}

/// The image of a snapshot's name.
pub(super) fn image_of(name: &str) -> Option<&str> {
    let (image, digest) = name.rsplit_once('-')?;
    let plain = !image.is_empty() && !name.starts_with('.');
    (plain && digest.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(image)
}

/// Whether a guest of a snapshot runs.
fn is_used(directory: &Path) -> io::Result<bool> {
    match File::open(directory)?.try_lock() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
