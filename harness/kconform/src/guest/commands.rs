//! `kconform image list` and `kconform image fetch`.

use std::io::{self, Write};
use std::path::Path;

use super::cache::cached;
use super::fetch::{FetchError, Progress, fetch};
use super::image::{Image, ImageError, Images, KernelSource};
use super::snapshot::{self, Listed};

/// Writes a table of all images: names, what they are, and whether their kernel is here.
///
/// # Errors
/// Those of writing to `out`.
pub fn list(images: &Images, cache: &Path, out: &mut dyn Write) -> io::Result<()> {
    let rows: Vec<[String; 3]> = images
        .iter()
        .map(|image| {
            let names: Vec<_> = image.names().collect();
            [names.join(", "), state(image, cache), image.about.clone()]
        })
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (names, states) = (width(0), width(1));
    for [name, state, about] in &rows {
        writeln!(out, "{name:names$}  {state:states$}  {about}")?;
    }
    for Listed { name, size } in snapshot::list(cache)? {
        writeln!(out, "snapshot {name}  {}", megabytes(size))?;
    }
    Ok(())
}

pub(super) fn megabytes(bytes: u64) -> String {
    format!("{:.0} MB", bytes as f64 / 1e6)
}

fn state(image: &Image, cache: &Path) -> String {
    match cached(image, cache) {
        Ok(Some(kernel)) if kernel.release.is_empty() => kernel.origin,
        Ok(Some(kernel)) => kernel.release,
        Ok(None) => "not fetched".to_owned(),
        Err(error) => match &image.kernel {
            KernelSource::File(file) => format!("no {}", file.path.display()),
            KernelSource::Debian(_) => format!("damaged: {error}"),
        },
    }
}

/// Which images' kernels to bring.
#[derive(Clone, Copy, Debug)]
pub enum Wanted<'a> {
    /// Those of [`DEFAULT_IMAGES`](super::image::DEFAULT_IMAGES).
    Default,
    /// All that are fetched at all.
    All,
    /// Those named.
    Named(&'a [String]),
}

/// Why `image fetch` failed.
#[derive(Debug, thiserror::Error)]
pub enum FetchCommandError {
    /// A name that is none.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Fetches that failed; the others are here.
    #[error("{}", failures(.failed, *.asked))]
    Fetch {
        /// The images' names, and why.
        failed: Vec<(String, FetchError)>,
        /// How many images were asked for.
        asked: usize,
    },
    /// The progress could not be told.
    #[error(transparent)]
    Io(#[from] io::Error),
}

fn failures(failed: &[(String, FetchError)], asked: usize) -> String {
    let lines: Vec<_> = failed.iter().map(|(image, why)| format!("{image}: {why}")).collect();
    match asked {
        1 => lines.join("\n"),
        _ => format!("{} of {asked} kernels are not here:\n{}", lines.len(), lines.join("\n")),
    }
}

/// Fetches kernels and tells about it, a line for each thing that takes time. `refresh` asks for the suites' current
/// kernels where older ones are here.
///
/// # Errors
/// [`FetchCommandError`], once all images were tried.
pub fn fetch_images(
    images: &Images,
    wanted: Wanted<'_>,
    cache: &Path,
    refresh: bool,
    out: &mut dyn Write,
) -> Result<(), FetchCommandError> {
    let chosen = chosen(images, wanted)?;
    if chosen.is_empty() {
        writeln!(out, "no image has a kernel to fetch")?;
    }
    let mut failed = Vec::new();
    for image in &chosen {
        let mut said = Ok(());
        let mut tell = |progress: Progress<'_>| {
            if let Some(text) = describe(progress)
                && said.is_ok()
            {
                said = writeln!(out, "{}: {text}", image.name).and_then(|()| out.flush());
            }
        };
        let fetched = fetch(image, cache, refresh, &mut tell);
        said?;
        match fetched {
            Ok(kernel) => writeln!(out, "{}: {} is here", image.name, kernel.origin)?,
            Err(error) => failed.push((image.name.clone(), error)),
        }
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(FetchCommandError::Fetch { failed, asked: chosen.len() }),
    }
}

fn chosen<'a>(images: &'a Images, wanted: Wanted<'_>) -> Result<Vec<&'a Image>, ImageError> {
    let fetched = |image: &&Image| matches!(image.kernel, KernelSource::Debian(_));
    match wanted {
        Wanted::Default => Ok(images.iter().filter(|image| image.is_default()).filter(fetched).collect()),
        Wanted::All => Ok(images.iter().filter(fetched).collect()),
        Wanted::Named(names) => names.iter().map(|name| images.find(name)).collect(),
    }
}

fn describe(progress: Progress<'_>) -> Option<String> {
    Some(match progress {
        Progress::Waiting => "waiting for another fetch of it".to_owned(),
        Progress::ReadingPackageList { suite } => format!("reading the package list of {suite}"),
        Progress::Syncing { suite, pause } => {
            let seconds = pause.as_secs();
            format!("the mirror is being brought up to date with {suite}: trying again in {seconds} seconds")
        }
        Progress::Downloading { package, bytes } => {
            format!("downloading {package} ({:.1} MB)", bytes as f64 / 1e6)
        }
        Progress::NotThere { package, instead } => {
            format!("the mirror's list has {package}, the mirror has not: taking {instead}")
        }
        Progress::Unpacking { .. } => return None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;
    use crate::guest::cache::{MANIFEST, Manifest, ManifestFile, VMLINUZ, kernels_dir, sha256};

    /// A kernel in the cache as it is fetched.
    pub(in crate::guest) fn keep(image: &Image, cache: &Path) {
        let KernelSource::Debian(wanted) = &image.kernel else { panic!("its kernel is a file") };
        let place = kernels_dir(cache).join(&image.name);
        fs::create_dir_all(place.join("modules")).unwrap();
        let mut files = vec![VMLINUZ.to_owned()];
        files.extend(wanted.modules.iter().map(|module| format!("modules/{module}.ko")));
        let files = files.into_iter().map(|name| {
            fs::write(place.join(&name), "contents").unwrap();
            ManifestFile { sha256: sha256(&place.join(&name)).unwrap(), name }
        });
        let manifest = Manifest {
            suite: wanted.suite.clone(),
            asked: wanted.package.clone(),
            package: "linux-image-6.12".into(),
            version: "6.12-1".into(),
            package_sha256: "ab".into(),
            release: "6.12-riscv64".into(),
            files: files.collect(),
            image_file: image.file.clone(),
            check: None,
        };
        fs::write(place.join(MANIFEST), serde_json::to_vec(&manifest.sealed()).unwrap()).unwrap();
    }

    fn images() -> Images {
        Images::built_in().unwrap()
    }

    #[test]
    fn whether_a_kernel_is_here_is_told() {
        let cache = tempfile::tempdir().unwrap();
        let all = images();
        let image = all.find("riscv64").unwrap();
        let mut told = vec![state(image, cache.path())];
        keep(image, cache.path());
        told.push(state(image, cache.path()));
        let mut out = Vec::new();
        let names = ["riscv64".to_owned()];
        fetch_images(&all, Wanted::Named(&names), cache.path(), false, &mut out).unwrap();
        told.push(String::from_utf8(out).unwrap());
        fs::write(kernels_dir(cache.path()).join(&image.name).join(VMLINUZ), "others").unwrap();
        told.push(state(image, cache.path()).replace(&*cache.path().to_string_lossy(), "[cache]"));
        insta::assert_snapshot!(told.join("\n"));
    }

    /// A kernel that is no package cannot be fetched, and keeps no other from being fetched.
    #[test]
    fn a_failure_does_not_end_the_others() {
        let (cache, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for name in ["a", "c"] {
            let text = "about: a\narch: riscv64\nkernel: {path: Image}\nmachine: virt\nconsole: ttyS0\n";
            fs::write(folder.path().join(format!("{name}.yaml")), text).unwrap();
        }
        let all = images().with(Images::load_all(folder.path()).unwrap()).unwrap();
        keep(all.find("riscv64").unwrap(), cache.path());
        let fetched = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            let mut out = Vec::new();
            let error = fetch_images(&all, Wanted::Named(&names), cache.path(), false, &mut out).unwrap_err();
            let told = format!("{}error: {error}", String::from_utf8(out).unwrap());
            told.replace(&*folder.path().to_string_lossy(), "[folder]")
        };
        insta::assert_snapshot!([fetched(&["a", "riscv64", "c"]), fetched(&["a"])].join("\n\n"));
    }

    #[test]
    fn what_a_fetch_does_is_told() {
        let package = "linux-image-6.12";
        let told = [
            Progress::Waiting,
            Progress::ReadingPackageList { suite: "trixie" },
            Progress::Syncing { suite: "trixie", pause: Duration::from_secs(10) },
            Progress::Downloading { package, bytes: 103_450_000 },
            Progress::NotThere { package, instead: "linux-image-6.11" },
            Progress::Unpacking { package },
        ];
        let told: Vec<_> = told.into_iter().filter_map(describe).collect();
        insta::assert_snapshot!(told.join("\n"));
    }
}
