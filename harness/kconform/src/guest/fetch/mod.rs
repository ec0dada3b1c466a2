//! Fetching: from an image's package to a kernel in the cache.

mod apt;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use tempfile::TempDir;

use crate::guest::cache::{
    CONFIG, CacheError, CachedKernel, MANIFEST, MODULES, Manifest, ManifestFile, VMLINUZ, cached,
    kernels_dir, sha256,
};
use crate::guest::image::{DebianKernel, Image, KernelSource};
use apt::{Apt, Package};

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

/// Why a kernel could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The image's kernel is a file of one's own.
    #[error("the image {image} has a kernel of its own at {}: there is nothing to fetch", path.display())]
    NotFetched {
        /// The image's name.
        image: String,
        /// Where its kernel is.
        path: PathBuf,
    },
    /// No apt on this machine.
    #[error(
        "there is no `{program}` here: kernels are fetched with Debian's apt. On another system use an image whose \
         kernel is a file (`kernel: {{path: …}}`), or run in a Debian container"
    )]
    NoApt {
        /// What was not found.
        program: String,
    },
    /// No keys to check Debian's signatures with.
    #[error("Debian's archive keys are not here: install the package debian-archive-keyring")]
    NoKeyring,
    /// This machine's apt is set up for something else than Debian.
    #[error("this machine's apt has no Debian mirror: set {variable} to one (http://HOST/debian)")]
    NoMirror {
        /// The environment variable that takes one.
        variable: &'static str,
    },
    /// The disk is full.
    #[error("no space left on the device while fetching; the cache is where KCONFORM_CACHE says: {text}")]
    DiskFull {
        /// What noticed it.
        text: String,
    },
    /// A program that failed.
    #[error("`{command}` failed: {text}")]
    Command {
        /// The program and its arguments.
        command: String,
        /// What it said.
        text: String,
    },
    /// The package list does not have what it must.
    #[error("the package list does not describe the package {package}, or it could not be downloaded")]
    PackageList {
        /// The package.
        package: String,
    },
    /// A package that is not what the signed package list says.
    #[error("the package {package} has the SHA-256 {found}, where the package list says {expected}")]
    Hash {
        /// The package.
        package: String,
        /// The list's.
        expected: String,
        /// The file's.
        found: String,
    },
    /// A package without what is needed of it.
    #[error("the package {package} has no {what}")]
    Missing {
        /// The package.
        package: String,
        /// What it lacks.
        what: String,
    },
    /// The cache is damaged.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A file of the cache could not be written.
    #[error("fetching a kernel: {0}")]
    Io(io::Error),
}

impl From<io::Error> for FetchError {
    fn from(error: io::Error) -> FetchError {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                FetchError::DiskFull { text: error.to_string() }
            }
            _ => FetchError::Io(error),
        }
    }
}

impl FetchError {
    /// What a program's failure means.
    pub(super) fn of_command(command: String, text: String) -> FetchError {
        let full = ["No space left on device", "You don't have enough free space"];
        if full.iter().any(|sign| text.contains(sign)) {
            return FetchError::DiskFull { text };
        }
        FetchError::Command { command, text }
    }

    /// Whether the mirror answered that it does not have what was asked of it.
    fn is_not_found(&self) -> bool {
        matches!(self, FetchError::Command { text, .. } if text.contains("404 "))
    }
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
    apt.update()?;
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

/// Follows dependencies from a meta package to the one that has the kernel in it: `linux-image-amd64` to
/// `linux-image-6.12.…-amd64` and, in newer suites, on to `linux-binary-7.2.…-amd64`.
fn kernel_package(apt: &Apt, name: &str) -> Result<Package, FetchError> {
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
const KERNELS: &str = "linux-";

/// The other packages of a kernel's series that are older than it, the newest first: `linux-image-6.12.107+deb13-s390x`
/// for `linux-image-6.12.117+deb13-s390x`. Their names differ in numbers alone, and not in the first two.
fn older_kernels(name: &str, names: &[String]) -> Vec<String> {
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
fn first_that_is_there(
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
fn take_out(
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

/// Unpacks the kernel, its configuration and some modules; the rest of a package is a hundred times as large.
fn unpack(package: &Path, modules: &[String], into: &Path) -> Result<(), FetchError> {
    let mut command = Command::new("dpkg-deb");
    command
        .env("LC_ALL", "C")
        .arg("--fsys-tarfile")
        .arg(package)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut archive = command.spawn()?;
    let wanted = ["./boot/vmlinu[xz]-*", "./boot/config-*", "*/modules/*/vmlinuz", "*/modules/*/config"];
    let mut tar = Command::new("tar");
    tar.arg("--extract").arg("--directory").arg(into).args(["--wildcards", "--no-same-owner"]).args(wanted);
    tar.args(modules.iter().map(|module| format!("*/{module}.ko*")));
    if let Some(stdout) = archive.stdout.take() {
        tar.stdin(stdout);
    }
    let tar = tar.env("LC_ALL", "C").output()?;
    // It says little, and that at its end: it does not wait for somebody to read it.
    let archive = archive.wait_with_output()?;
    let said = [archive.stderr, tar.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    // tar fails when a pattern matches nothing, and some always do; what matters is looked for afterwards.
    let is_unmatched =
        |line: &&str| line.contains("Not found in archive") || line.contains("previous errors");
    let amiss: Vec<_> =
        said.iter().flat_map(|said| said.lines()).filter(|line| !is_unmatched(line)).map(str::trim).collect();
    if archive.status.success() && amiss.is_empty() {
        return Ok(());
    }
    let command = format!("dpkg-deb --fsys-tarfile {} | tar --extract", package.display());
    Err(FetchError::of_command(command, amiss.join("; ")))
}

/// Gathers what was unpacked under the names of the cache, and writes the manifest.
fn lay_out(
    image: &Image,
    package: &Package,
    wanted: &DebianKernel,
    unpacked: &Path,
    ready: PathBuf,
) -> Result<PathBuf, FetchError> {
    let missing = |what: &str| FetchError::Missing { package: package.name.clone(), what: what.to_owned() };
    fs::create_dir(&ready)?;
    let mut files = Vec::new();
    let mut keep = |from: &Path, name: String| -> Result<(), FetchError> {
        let to = ready.join(&name);
        fs::rename(from, &to)?;
        files.push(ManifestFile { sha256: sha256(&to)?, name });
        Ok(())
    };
    let vmlinuz = find(unpacked, &is_vmlinuz)?.ok_or_else(|| missing("kernel image"))?;
    let release = release(&vmlinuz).ok_or_else(|| missing("release in its kernel's name"))?;
    keep(&vmlinuz, VMLINUZ.to_owned())?;
    if let Some(config) = find(unpacked, &is_config)? {
        keep(&config, CONFIG.to_owned())?;
    }
    fs::create_dir(ready.join(MODULES))?;
    for (position, module) in wanted.modules.iter().enumerate() {
        let is_module = |path: &Path| name_of(path).starts_with(&format!("{module}.ko"));
        let from = find(unpacked, &is_module)?.ok_or_else(|| missing(&format!("module {module}")))?;
        // The agent loads them in the order of their names.
        keep(&from, format!("{MODULES}/{position:02}-{}", name_of(&from)))?;
    }
    let manifest = Manifest {
        suite: wanted.suite.clone(),
        asked: wanted.package.clone(),
        package: package.name.clone(),
        version: package.version.clone(),
        package_sha256: package.sha256.clone(),
        release,
        files,
        image_file: image.file.clone(),
        check: None,
    };
    let text = serde_json::to_vec_pretty(&manifest.sealed()).map_err(io::Error::from)?;
    fs::write(ready.join(MANIFEST), text)?;
    Ok(ready)
}

/// `vmlinuz-6.12-amd64` in `boot`, or `vmlinuz` in `modules/7.2-amd64`.
fn is_vmlinuz(path: &Path) -> bool {
    let name = name_of(path);
    name == "vmlinuz" || name.starts_with("vmlinuz-") || name.starts_with("vmlinux-")
}

fn is_config(path: &Path) -> bool {
    let name = name_of(path);
    name == "config" || name.starts_with("config-")
}

/// `uname -r` of a kernel, from where its package has it.
fn release(vmlinuz: &Path) -> Option<String> {
    let release = match name_of(vmlinuz).split_once('-') {
        Some((_, release)) => release.to_owned(),
        None => name_of(vmlinuz.parent()?),
    };
    release.starts_with(|first: char| first.is_ascii_digit()).then_some(release)
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The first file somewhere below a directory that is what is looked for.
fn find(directory: &Path, is_it: &dyn Fn(&Path) -> bool) -> Result<Option<PathBuf>, FetchError> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_file() && is_it(&path) {
            return Ok(Some(path));
        }
        if kind.is_dir()
            && let Some(found) = find(&path, is_it)?
        {
            return Ok(Some(found));
        }
    }
    Ok(None)
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::guest::image::Images;

    #[test]
    fn a_package_that_is_none_is_told_in_dpkgs_words() {
        if Command::new("dpkg-deb").arg("--version").output().is_err() {
            println!("NOT TESTED: dpkg-deb, which is not here");
            return;
        }
        let place = tempfile::tempdir().unwrap();
        let package = place.path().join("x.deb");
        fs::write(&package, "no package").unwrap();
        let error = unpack(&package, &[], place.path()).unwrap_err().to_string();
        insta::assert_snapshot!(error.replace(&*place.path().to_string_lossy(), "[place]"));
    }

    #[test]
    fn a_full_disk_is_known_by_what_programs_say() {
        let told = [
            "tar: boot/vmlinuz: Cannot write: No space left on device",
            "E: You don't have enough free space in /var/cache/apt/archives/.",
            "E: Unable to locate package linux-image-x",
        ];
        let told =
            told.map(|text| FetchError::of_command("apt-get download x".into(), text.into()).to_string());
        insta::assert_snapshot!(told.join("\n"));
    }

    #[test]
    fn older_kernels_are_those_of_the_series() {
        let names = [
            "linux-image-6.12.107+deb13-s390x",
            "linux-image-6.12.95+deb13-s390x",
            "linux-image-6.12.117+deb13-s390x",
            "linux-image-6.12.118+deb13-s390x",
            "linux-image-6.12.107+deb13-s390x-dbg",
            "linux-image-6.12.107+deb13-amd64",
            "linux-image-6.11.3+deb13-s390x",
            "linux-headers-6.12.107+deb13-s390x",
            "linux-image-6.1.0-9-amd64",
            "linux-image-6.1.0-47-amd64",
        ];
        let names = names.map(str::to_owned);
        let older = |name: &str| older_kernels(name, &names);
        assert_eq!(older("linux-image-6.12.117+deb13-s390x"), [names[0].as_str(), &names[1]]);
        assert_eq!(older("linux-image-6.1.0-50-amd64"), [names[9].as_str(), &names[8]]);
        assert_eq!(older("linux-binary-7.2.13+deb14-amd64"), [""; 0]);
    }

    /// What is told of fetching x-3 with x-2 and x-1 behind it, from a mirror that has some of them.
    fn taken(answers: &[(&str, &str)]) -> String {
        let package = |name: &str| Package {
            name: name.into(),
            version: "1".into(),
            depends: Vec::new(),
            size: 1,
            sha256: "ab".into(),
        };
        let mut told = Vec::new();
        let taken = first_that_is_there(
            package("x-3"),
            |_| Ok(vec![package("x-2"), package("x-1")]),
            |package, _| match answers.iter().find(|(name, _)| *name == package.name) {
                Some((_, text)) => Err(FetchError::of_command("apt-get download".into(), (*text).into())),
                None => Ok(()),
            },
            &mut |progress| told.push(format!("{progress:?}")),
        );
        told.push(taken.map_or_else(|error| error.to_string(), |package| package.name));
        told.join("\n")
    }

    #[test]
    fn an_older_kernel_is_taken_when_the_mirror_has_not_the_newest() {
        const GONE: &str = "E: Failed to fetch http://mirror/x.deb  404  Not Found";
        let told = [
            taken(&[]),
            taken(&[("x-3", GONE)]),
            taken(&[("x-3", GONE), ("x-2", GONE)]),
            taken(&[("x-3", GONE), ("x-2", "E: Connection failed")]),
            taken(&[("x-3", GONE), ("x-2", GONE), ("x-1", GONE)]),
            taken(&[("x-3", "E: Connection failed")]),
        ];
        insta::assert_snapshot!(told.join("\n\n"));
    }

    #[test]
    fn what_a_package_lacks_is_named() {
        let images = Images::built_in().unwrap();
        let image = images.find("riscv64").unwrap();
        let KernelSource::Debian(wanted) = &image.kernel else { panic!("a file") };
        let wanted = DebianKernel { modules: vec!["virtio_console".into()], ..wanted.clone() };
        let package = Package {
            name: "linux-image-x".into(),
            version: "1".into(),
            depends: Vec::new(),
            size: 1,
            sha256: "ab".into(),
        };
        let lacks = |files: &[&str]| {
            let place = tempfile::tempdir().unwrap();
            let unpacked = place.path().join("unpacked");
            fs::create_dir(&unpacked).unwrap();
            for file in files {
                fs::write(unpacked.join(file), "").unwrap();
            }
            lay_out(image, &package, &wanted, &unpacked, place.path().join("ready")).unwrap_err().to_string()
        };
        let told = [lacks(&[]), lacks(&["vmlinuz-new"]), lacks(&["vmlinuz-6.12"])];
        insta::assert_snapshot!(told.join("\n"));
    }
}
