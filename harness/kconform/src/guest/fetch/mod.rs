//! Fetching: from an image's package to a kernel in the cache.

mod apt;
mod error;
mod packages;
#[cfg(test)]
mod tests;
mod unpack;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use tempfile::TempDir;

use crate::guest::cache::{CachedKernel, cached, kernels_dir};
use crate::guest::image::{DebianKernel, Image, KernelSource};
use apt::{Apt, MIRROR, Package};
pub use error::FetchError;
use packages::{KERNELS, first_that_is_there, kernel_package, older_kernels, take_out};
use unpack::{find, is_config, lay_out};

/// What a fetch is doing, for whoever watches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress<'a> {
    /// Another fetch of the same image is under way; this one waits for it.
    Waiting,
    /// The suite's package list is being downloaded.
    ReadingPackageList {
        /// The suite.
        suite: &'a str,
    },
    /// The mirror is in the middle of an update. The package list is asked for again after a pause.
    Syncing {
        /// The suite.
        suite: &'a str,
        /// How long until then.
        pause: Duration,
    },
    /// A package is being downloaded.
    Downloading {
        /// The package.
        package: &'a str,
        /// Its size in bytes.
        bytes: u64,
    },
    /// The mirror does not have a package that its list names: it is being brought up to date, or never was.
    NotThere {
        /// The package.
        package: &'a str,
        /// The one that is tried instead, an older kernel of the same series.
        instead: &'a str,
    },
    /// The kernel is being taken out of its package.
    Unpacking {
        /// The package.
        package: &'a str,
    },
}

/// Brings an image's kernel into the cache, unless it is there. With `refresh`, brings the suite's current one even then.
///
/// # Errors
/// [`FetchError`]; the cache is then as it was.
pub fn fetch(
    image: &Image,
    cache: &Path,
    refresh: bool,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<CachedKernel, FetchError> {
    let wanted = match &image.kernel {
        KernelSource::Debian(wanted) => wanted,
        KernelSource::File(file) => {
            return Err(FetchError::NotFetched { image: image.name.clone(), path: file.path.clone() });
        }
    };
    // A damaged kernel is as good as none: it is fetched again.
    if !refresh && let Ok(Some(kernel)) = cached(image, cache) {
        return Ok(kernel);
    }
    let kernels = kernels_dir(cache);
    fs::create_dir_all(&kernels)?;
    let _lock = lock(&kernels.join(format!(".{}.lock", image.name)), progress)?;
    // Somebody else may have fetched it while we waited.
    if !refresh && let Ok(Some(kernel)) = cached(image, cache) {
        return Ok(kernel);
    }
    let scratch = scratch(&kernels, &image.name)?;
    let ready = assemble(image, wanted, scratch.path(), progress)?;
    put_in_place(&ready, &kernels.join(&image.name))?;
    cached(image, cache)?
        .ok_or_else(|| FetchError::Missing { package: wanted.package.clone(), what: "kernel".to_owned() })
}

/// One fetch of an image at a time. The lock goes with the file handle, whatever becomes of us.
fn lock(path: &Path, progress: &mut dyn FnMut(Progress<'_>)) -> Result<File, FetchError> {
    let file = File::create(path)?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(fs::TryLockError::WouldBlock) => progress(Progress::Waiting),
        Err(fs::TryLockError::Error(error)) => return Err(error.into()),
    }
    file.lock()?;
    Ok(file)
}

/// A scratch directory beside the kernels, so that a rename can bring a finished one in place. What an earlier fetch of
/// the image left behind when it was killed goes first: we hold its lock, so nobody uses that.
fn scratch(kernels: &Path, name: &str) -> Result<TempDir, FetchError> {
    let prefix = format!(".{name}.fetch-");
    for entry in fs::read_dir(kernels)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(tempfile::Builder::new().prefix(&prefix).tempdir_in(kernels)?)
}

/// Downloads what is needed and lays out a kernel's directory in the scratch directory.
fn assemble(
    image: &Image,
    wanted: &DebianKernel,
    scratch: &Path,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<PathBuf, FetchError> {
    let apt = Apt::new(&scratch.join("apt"), &wanted.suite, image.arch)?;
    progress(Progress::ReadingPackageList { suite: &wanted.suite });
    once_in_sync(&wanted.suite, PAUSES, || apt.update(), progress)?;
    let newest = kernel_package(&apt, &wanted.package)?;
    let unpacked = scratch.join("unpacked");
    fs::create_dir(&unpacked)?;
    let older = |package: &Package| {
        let names = older_kernels(&package.name, &apt.names(KERNELS)?);
        names.iter().map(|name| apt.show(name)).collect()
    };
    let package = first_that_is_there(
        newest,
        older,
        |package, progress| take_out(&apt, package, &wanted.modules, scratch, &unpacked, progress),
        progress,
    )?;
    // Since 7.x the configuration is in a package of its own, which the one with the kernel depends on.
    if find(&unpacked, &is_config)?.is_none()
        && let Some(base) = package.depends.iter().find(|name| name.starts_with("linux-base-"))
    {
        take_out(&apt, &apt.show(base)?, &[], scratch, &unpacked, progress)?;
    }
    lay_out(image, &package, wanted, &unpacked, scratch.join("ready"))
}

/// How long a mirror that is in the middle of an update gets before it is asked again. Often the one file that is amiss
/// follows within seconds.
const PAUSES: &[Duration] = &[Duration::from_secs(5), Duration::from_secs(15), Duration::from_secs(40)];

/// Reads a suite's package list, several times while the mirror does not agree with itself.
fn once_in_sync(
    suite: &str,
    pauses: &[Duration],
    mut update: impl FnMut() -> Result<(), FetchError>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(), FetchError> {
    for pause in pauses {
        match update() {
            Err(error) if error.is_out_of_sync() => {
                progress(Progress::Syncing { suite, pause: *pause });
                std::thread::sleep(*pause);
            }
            other => return other,
        }
    }
    update().map_err(|error| match error {
        FetchError::Command { text, .. } if error::out_of_sync(&text) => {
            FetchError::OutOfSync { suite: suite.to_owned(), text, variable: MIRROR }
        }
        other => other,
    })
}

/// Brings a finished directory in place at once, in the stead of the one that may be there: who looks sees the old one
/// or the new one, never a half (renameat2(2), RENAME_EXCHANGE). The old one ends in the scratch directory.
fn put_in_place(ready: &Path, place: &Path) -> Result<(), FetchError> {
    if !place.exists() {
        return Ok(fs::rename(ready, place)?);
    }
    match renameat_with(CWD, ready, CWD, place, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(()),
        // File systems that cannot exchange, NFS say: for a moment there is no kernel, never a wrong one.
        Err(Errno::INVAL) => {
            fs::rename(place, ready.with_extension("old"))?;
            Ok(fs::rename(ready, place)?)
        }
        Err(errno) => Err(io::Error::from(errno).into()),
    }
}
