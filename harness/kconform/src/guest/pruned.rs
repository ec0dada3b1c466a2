//! What the cache holds and nobody needs any more, and what becomes of it.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::image::{Image, Images};

/// Something of the cache that the images at hand have no use for, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pruned {
    pub what: Kept,
    /// Its directory's name.
    pub name: String,
    /// Bytes on the disk.
    pub size: u64,
    pub fate: Fate,
}

/// What the cache keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    Snapshot,
    /// A snapshot whose maker was killed, or one that is half removed.
    Unfinished,
    Kernel,
}

/// What becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It goes.
    Removed,
    /// A guest of the snapshot runs, or the kernel is being fetched: it stays.
    Used,
    /// It was made for this image file of another folder, and stays.
    Elsewhere(PathBuf),
}

/// The image of another folder than that of `images` for which something was made, if its file is still there.
pub(super) fn elsewhere(file: Option<PathBuf>, name: Option<&str>, images: &Images) -> Option<Image> {
    let file = file?;
    if images.iter().any(|image| image.file.as_ref() == Some(&file)) {
        return None;
    }
    super::image::load(&file).ok().filter(|image| Some(image.name.as_str()) == name)
}

/// Whether nobody holds a lock. No file is made where there is none.
pub(super) fn is_idle(lock: &Path) -> bool {
    match File::open(lock) {
        Ok(lock) => !matches!(lock.try_lock(), Err(TryLockError::WouldBlock)),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// Bytes that a directory's files take on the disk, with those of all below it; holes take none.
pub(super) fn size_on_disk(directory: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let files = fs::read_dir(directory).into_iter().flatten().flatten();
    let size = |file: fs::DirEntry| match file.metadata() {
        Ok(data) if data.is_dir() => size_on_disk(&file.path()),
        data => data.map_or(0, |data| data.blocks() * 512),
    };
    files.map(size).sum()
}
