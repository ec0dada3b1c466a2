//! From a package's file to a kernel's directory as the cache has it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::apt::Package;
use super::error::FetchError;
use crate::guest::cache::{CONFIG, MANIFEST, MODULES, Manifest, ManifestFile, VMLINUZ, sha256};
use crate::guest::image::{DebianKernel, Image};

/// Unpacks the kernel, its configuration and some modules; the rest of a package is a hundred times as large.
pub(super) fn unpack(package: &Path, modules: &[String], into: &Path) -> Result<(), FetchError> {
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
pub(super) fn lay_out(
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

pub(super) fn is_config(path: &Path) -> bool {
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
pub(super) fn find(directory: &Path, is_it: &dyn Fn(&Path) -> bool) -> Result<Option<PathBuf>, FetchError> {
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
