//! Where fetched kernels are kept: `$KCONFORM_CACHE`, else `$XDG_CACHE_HOME/kconform`, else `~/.cache/kconform`.
//!
//! A kernel is a directory `kernels/NAME` that appears whole or not at all, with a manifest that says what was put
//! there and is checked at every use: a kernel that was cut short or swapped would make every verdict worthless.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::cache_folder::cache_folder;
use crate::regular;

use super::image::{DebianKernel, Image, Images, KernelSource};
use super::pruned::{Fate, Kept, Pruned, elsewhere, is_idle, size_on_disk};
use super::stamp::{Known, seal};
use super::whole::{self, CutOff};

/// A kernel that is on this machine and ready to boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachedKernel {
    /// The file for QEMU's `-kernel`.
    pub vmlinuz: PathBuf,
    /// Its `.config`, where it came with one.
    pub config: Option<PathBuf>,
    /// The modules that the agent must load, in order.
    pub modules: Vec<PathBuf>,
    /// Its release as packaged (`uname -r`); empty for a file of one's own, where only the running kernel tells.
    pub release: String,
    /// The package and its version, or the path: what it is, for people.
    pub origin: String,
    /// SHA-256 of `vmlinuz`, in hexadecimal.
    pub sha256: String,
    /// Files that were not looked into, and their SHA-256 as they were fetched.
    claimed: Vec<(PathBuf, String)>,
    /// The config's SHA-256 as it was fetched.
    config_sha256: Option<String>,
}

impl CachedKernel {
    /// Whether its files are what was fetched. All are read: it is about to be booted.
    ///
    /// # Errors
    /// [`CacheError::Changed`] or [`CacheError::Read`].
    pub(super) fn check(&self, image: &Image) -> Result<(), CacheError> {
        for (path, claimed) in &self.claimed {
            if sha256(path)? != *claimed {
                return Err(changed(path, image));
            }
        }
        Ok(())
    }

    /// Whether its files are what was fetched, when a snapshot is used and none of them is booted. Those that nobody has
    /// touched since they were last read are not read again.
    ///
    /// # Errors
    /// [`CacheError::Changed`] or [`CacheError::Read`].
    pub(crate) fn check_untouched(&self, image: &Image) -> Result<(), CacheError> {
        let Some(directory) = self.vmlinuz.parent().filter(|_| !self.claimed.is_empty()) else {
            return Ok(());
        };
        let mut known = Known::of(directory);
        for (path, claimed) in &self.claimed {
            let name = path.strip_prefix(directory).unwrap_or(path).to_string_lossy();
            let unreadable = |source| CacheError::Read { path: path.clone(), source };
            let hash = |path: &Path| sha256(path).map_err(io::Error::other);
            if !known.has(&name, claimed, hash).map_err(unreadable)? {
                return Err(changed(path, image));
            }
        }
        known.keep();
        Ok(())
    }

    /// Its `.config`, if there is one, which is what was fetched with it.
    ///
    /// # Errors
    /// [`CacheError::Changed`] or [`CacheError::Read`].
    pub(crate) fn config_text(&self, image: &Image) -> Result<Option<String>, CacheError> {
        let Some(path) = &self.config else { return Ok(None) };
        let unreadable = |source| CacheError::Read { path: path.clone(), source };
        let bytes = fs::read(path).map_err(unreadable)?;
        if self.config_sha256.as_ref().is_some_and(|claimed| hex(&Sha256::digest(&bytes)) != *claimed) {
            return Err(changed(path, image));
        }
        let text = String::from_utf8(bytes).map_err(io::Error::other);
        text.map(Some).map_err(unreadable)
    }
}

fn changed(path: &Path, image: &Image) -> CacheError {
    CacheError::Changed { path: path.to_owned(), image: image.name.clone() }
}

/// What is in a kernel's directory, and what it was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// The suite that was asked for.
    pub suite: String,
    /// The package that was asked for.
    pub asked: String,
    /// The package that the kernel was in.
    pub package: String,
    /// That package's version.
    pub version: String,
    /// The package's SHA-256, as the signed package list has it.
    pub package_sha256: String,
    /// `uname -r`.
    pub release: String,
    /// The files beside the manifest.
    pub files: Vec<ManifestFile>,
    /// The image file that asked for it; none for kconform's own images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_file: Option<PathBuf>,
    /// A checksum of all the other fields; earlier builds wrote none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<u32>,
}

impl Manifest {
    /// With its checksum.
    pub(super) fn sealed(self) -> Manifest {
        let open = Manifest { check: None, ..self };
        Manifest { check: Some(seal(&open)), ..open }
    }

    fn is_whole(&self) -> bool {
        self.check.is_none() || *self == self.clone().sealed()
    }
}

/// A file of a kernel's directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ManifestFile {
    /// Relative to the directory.
    pub name: String,
    /// In hexadecimal.
    pub sha256: String,
}

/// Why a kernel of the cache cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// No place for a cache.
    #[error("no place for fetched kernels: set KCONFORM_CACHE, XDG_CACHE_HOME or HOME")]
    NoPlace,
    /// A file that cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A kernel of one's own whose end is missing.
    #[error(transparent)]
    CutOff(#[from] CutOff),
    /// A file that is not what was fetched.
    #[error("{} is not what was fetched; fetch it again: kconform image fetch --refresh {image}", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// The image's name.
        image: String,
    },
    /// A manifest that is none.
    #[error("{}: {source}; fetch it again: kconform image fetch --refresh {image}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
        /// The image's name.
        image: String,
    },
}

/// The file in a kernel's directory that tells of the others.
pub(super) const MANIFEST: &str = "manifest.json";
/// The kernel's name in its directory.
pub(super) const VMLINUZ: &str = "vmlinuz";
/// The kernel's configuration in its directory.
pub(super) const CONFIG: &str = "config";
/// Where a kernel's directory has modules.
pub(super) const MODULES: &str = "modules";

/// The directory for everything that can be had again.
///
/// # Errors
/// [`CacheError::NoPlace`] when no environment variable says where.
pub fn cache_dir() -> Result<PathBuf, CacheError> {
    cache_folder().ok_or(CacheError::NoPlace)
}

/// Where all kernels are.
pub(super) fn kernels_dir(cache: &Path) -> PathBuf {
    cache.join("kernels")
}

/// The kernel of an image, if it is on this machine. A kernel that was fetched for an image file that has since been
/// changed to ask for another is not there.
///
/// # Errors
/// [`CacheError`] when it is there but damaged, or is a file that cannot be read.
pub fn cached(image: &Image, cache: &Path) -> Result<Option<CachedKernel>, CacheError> {
    let Some(kernel) = claimed(image, cache)? else { return Ok(None) };
    kernel.check(image)?;
    Ok(Some(CachedKernel { claimed: Vec::new(), ..kernel }))
}

/// The kernel of an image, as [`cached`], whose files are yet to be checked: where it is booted all of them, where a
/// snapshot is restored those that were touched since they were last read, and its config whenever it is read.
///
/// # Errors
/// [`CacheError`] when its manifest is damaged, or it is a file that cannot be read.
pub fn claimed(image: &Image, cache: &Path) -> Result<Option<CachedKernel>, CacheError> {
    match &image.kernel {
        KernelSource::File(file) => at(&file.path, file.config.as_deref()).map(Some),
        KernelSource::Debian(wanted) => fetched(image, wanted, &kernels_dir(cache).join(&image.name)),
    }
}

/// A kernel that somebody built, at that path, with its `.config` if there is one.
///
/// # Errors
/// [`CacheError::Read`] when it cannot be read, [`CacheError::CutOff`] when it is not all there.
pub fn at(path: &Path, config: Option<&Path>) -> Result<CachedKernel, CacheError> {
    let head = || -> io::Result<(Vec<u8>, u64)> {
        regular::check(path)?;
        let file = File::open(path)?;
        let (mut head, has) = (Vec::new(), file.metadata()?.len());
        file.take(whole::HEAD).read_to_end(&mut head)?;
        Ok((head, has))
    };
    let (head, has) = head().map_err(|source| CacheError::Read { path: path.to_owned(), source })?;
    if let Some(promised) = whole::cut_off(&head, has) {
        return Err(CutOff { path: path.to_owned(), has, promised }.into());
    }
    Ok(CachedKernel {
        vmlinuz: path.to_owned(),
        config: config.map(Path::to_owned),
        modules: Vec::new(),
        release: String::new(),
        origin: path.display().to_string(),
        sha256: sha256(path)?,
        claimed: Vec::new(),
        config_sha256: None,
    })
}

fn fetched(
    image: &Image,
    wanted: &DebianKernel,
    directory: &Path,
) -> Result<Option<CachedKernel>, CacheError> {
    let Some(manifest) = read_manifest(image, directory)? else { return Ok(None) };
    if manifest.suite != wanted.suite || manifest.asked != wanted.package {
        return Ok(None);
    }
    let claimed = manifest.files.iter().map(|file| (directory.join(&file.name), file.sha256.clone()));
    let modules: Vec<_> = manifest.files.iter().filter(|file| file.name.starts_with(MODULES)).collect();
    if modules.len() != wanted.modules.len() {
        return Ok(None);
    }
    let find = |name: &str| manifest.files.iter().find(|file| file.name == name);
    let Some(vmlinuz) = find(VMLINUZ) else { return Ok(None) };
    let config = find(CONFIG);
    Ok(Some(CachedKernel {
        vmlinuz: directory.join(VMLINUZ),
        config: config.map(|file| directory.join(&file.name)),
        modules: modules.iter().map(|file| directory.join(&file.name)).collect(),
        release: manifest.release.clone(),
        origin: format!("{} {} ({})", manifest.package, manifest.version, manifest.suite),
        sha256: vmlinuz.sha256.clone(),
        claimed: claimed.collect(),
        config_sha256: config.map(|file| file.sha256.clone()),
    }))
}

/// The image of another folder for which a kernel was fetched, if it is still there.
fn asked_elsewhere(directory: &Path, name: &str, images: &Images) -> Option<Image> {
    let manifest: Manifest = serde_json::from_slice(&fs::read(directory.join(MANIFEST)).ok()?).ok()?;
    elsewhere(manifest.image_file, Some(name), images)
}

/// Removes the kernels that were fetched for images that are gone or ask for another one now; with `dry`, only tells of
/// them. One that is being fetched stays, and one of another folder's image.
pub(super) fn prune(images: &Images, cache: &Path, dry: bool) -> io::Result<Vec<Pruned>> {
    let kernels = kernels_dir(cache);
    // A damaged one is for `image fetch` to mend, which says so.
    let is_of = |image: &Image, name: &str| image.name == name && !matches!(claimed(image, cache), Ok(None));
    let mut all = Vec::new();
    let Ok(entries) = fs::read_dir(&kernels) else { return Ok(all) };
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.starts_with('.') || images.iter().any(|image| is_of(image, &name)) {
            continue;
        }
        let size = size_on_disk(&entry.path());
        let lock = kernels.join(format!(".{name}.lock"));
        let fate = match asked_elsewhere(&entry.path(), &name, images).filter(|image| is_of(image, &name)) {
            Some(image) => Fate::Elsewhere(image.file.unwrap_or_default()),
            None if dry && is_idle(&lock) => Fate::Removed,
            None if dry => Fate::Used,
            None => {
                let lock = File::create(lock)?;
                match lock.try_lock() {
                    Ok(()) => fs::remove_dir_all(entry.path()).map(|()| Fate::Removed)?,
                    Err(_) => Fate::Used,
                }
            }
        };
        all.push(Pruned { what: Kept::Kernel, name, size, fate });
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

fn read_manifest(image: &Image, directory: &Path) -> Result<Option<Manifest>, CacheError> {
    let path = directory.join(MANIFEST);
    let text = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(CacheError::Read { path, source }),
        Ok(text) => text,
    };
    let broken = |source| CacheError::Manifest { path, source, image: image.name.clone() };
    let manifest: Manifest = serde_json::from_slice(&text).map_err(broken)?;
    if manifest.is_whole() { Ok(Some(manifest)) } else { Err(changed(&directory.join(MANIFEST), image)) }
}

/// A file's SHA-256, in hexadecimal.
pub(super) fn sha256(path: &Path) -> Result<String, CacheError> {
    let unreadable = |source| CacheError::Read { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(unreadable)?;
    let (mut hash, mut block) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut block).map_err(unreadable)? {
            0 => return Ok(hex(&hash.finalize())),
            length => hash.update(&block[..length]),
        }
    }
}

/// Bytes in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
