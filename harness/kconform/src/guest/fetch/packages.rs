//! Which package has an image's kernel, and taking it from the mirror.

use std::path::Path;

use super::apt::{Apt, Package};
use super::unpack::unpack;
use super::{FetchError, Progress};
use crate::guest::cache::sha256;

/// Follows dependencies from a meta package to the one that has the kernel in it: `linux-image-amd64` to
/// `linux-image-6.12.…-amd64` and, in newer suites, on to `linux-binary-7.2.…-amd64`.
pub(super) fn kernel_package(apt: &Apt, name: &str) -> Result<Package, FetchError> {
    let mut package = apt.show(name)?;
    // Three steps reach it in every suite; the bound is against a loop in the list.
    for _ in 0..8 {
        let next = |prefix: &str| package.depends.iter().find(|name| name.starts_with(prefix));
        match next("linux-binary-").or_else(|| next("linux-image-")) {
            None => break,
            Some(next) => package = apt.show(next)?,
        }
    }
    Ok(package)
}

/// What the names of packages with a kernel begin with.
pub(super) const KERNELS: &str = "linux-";

/// The other packages of a kernel's series that are older than it, the newest first: `linux-image-6.12.107+deb13-s390x`
/// for `linux-image-6.12.117+deb13-s390x`. Their names differ in numbers alone, and not in the first two.
pub(super) fn older_kernels(name: &str, names: &[String]) -> Vec<String> {
    let (words, numbers) = words_and_numbers(name);
    let mut older: Vec<_> = names
        .iter()
        .map(|name| (name, words_and_numbers(name)))
        .filter(|(_, (others, _))| *others == words)
        .filter(|(_, (_, other))| other.iter().take(2).eq(numbers.iter().take(2)) && *other < numbers)
        .map(|(name, (_, other))| (other, name.clone()))
        .collect();
    older.sort();
    older.into_iter().rev().map(|(_, name)| name).collect()
}

/// A name's words, and the numbers between them.
fn words_and_numbers(name: &str) -> (Vec<&str>, Vec<u64>) {
    let words = name.split(|letter: char| letter.is_ascii_digit()).filter(|word| !word.is_empty());
    let numbers = name.split(|letter: char| !letter.is_ascii_digit());
    (words.collect(), numbers.filter_map(|number| number.parse().ok()).collect())
}

/// The first of a package and the older ones that can be taken, as far as it is the mirror that does not have them.
pub(super) fn first_that_is_there(
    newest: Package,
    older: impl FnOnce(&Package) -> Result<Vec<Package>, FetchError>,
    mut take: impl FnMut(&Package, &mut dyn FnMut(Progress<'_>)) -> Result<(), FetchError>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Package, FetchError> {
    let missing = match take(&newest, progress) {
        Ok(()) => return Ok(newest),
        Err(error) if error.is_not_found() => error,
        Err(error) => return Err(error),
    };
    let mut before = newest.name.clone();
    for package in older(&newest)? {
        progress(Progress::NotThere { package: &before, instead: &package.name });
        match take(&package, progress) {
            Ok(()) => return Ok(package),
            Err(error) if error.is_not_found() => before = package.name,
            Err(error) => return Err(error),
        }
    }
    Err(missing)
}

/// Downloads a package, checks it, and unpacks the few files of interest.
pub(super) fn take_out(
    apt: &Apt,
    package: &Package,
    modules: &[String],
    scratch: &Path,
    into: &Path,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(), FetchError> {
    progress(Progress::Downloading { package: &package.name, bytes: package.size });
    let file = apt.download(package, &scratch.join("packages"))?;
    let found = sha256(&file)?;
    if found != package.sha256 {
        let expected = package.sha256.clone();
        return Err(FetchError::Hash { package: package.name.clone(), expected, found });
    }
    progress(Progress::Unpacking { package: &package.name });
    unpack(&file, modules, into)
}
