//! Kernels that are built already: which are meant, in what order they came, and between which two a case changed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wildmatch::WildMatch;

use crate::document::diff::{Change, compare};
use crate::document::{Case, CaseResult, Document, Status, Target as TargetReport};
use crate::guest::own_kernel::{OwnKernelError, own_kernel};
use crate::guest::{Image, Images, Start};
use crate::targets::Target;

/// Why kernels cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KernelsError {
    /// A word that means nothing.
    #[error("{word:?} is no image and no kernel file or folder of them{}", .nearest.as_ref().map(|n| format!("; did you mean {n:?}?")).unwrap_or_default())]
    Nothing {
        /// As given.
        word: String,
        /// What may have been meant.
        nearest: Option<String>,
    },
    /// A file or folder that cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A kernel that cannot be booted.
    #[error(transparent)]
    Kernel(#[from] OwnKernelError),
    /// There is nothing to compare.
    #[error("{} found, and two are needed to find a change between them", if *.0 == 0 { "no kernel was" } else { "only one kernel was" })]
    TooFew(usize),
}

/// The kernels that words mean: names of images and files, folders of files, and patterns of both.
#[derive(Debug, Default)]
pub struct Found {
    /// Each once.
    pub targets: Vec<Target>,
    /// What was left out.
    pub notes: Vec<String>,
}

impl Found {
    /// Finds the kernels.
    ///
    /// # Errors
    /// [`KernelsError`].
    pub fn new(words: &[String], images: &Images, cache: &Path) -> Result<Found, KernelsError> {
        let mut found = Found::default();
        for word in words {
            let before = found.targets.len() + found.notes.len();
            match word.contains(['*', '?']) {
                true => found.pattern(word, images, cache)?,
                false => found.word(word, images, cache)?,
            }
            if found.targets.len() + found.notes.len() == before && !found.has(word) {
                let names = images.iter().flat_map(Image::names);
                let nearest = kconform_abi::nearest(word, names).map(str::to_owned);
                return Err(KernelsError::Nothing { word: word.clone(), nearest });
            }
        }
        if found.targets.len() < 2 {
            return Err(KernelsError::TooFew(found.targets.len()));
        }
        Ok(found)
    }

    fn has(&self, name: &str) -> bool {
        self.targets.iter().any(|target| target.name == name)
    }

    fn word(&mut self, word: &str, images: &Images, cache: &Path) -> Result<(), KernelsError> {
        let path = Path::new(word);
        if let Ok(image) = images.find(word) {
            self.image(image);
        } else if path.is_dir() && !path.join(".config").is_file() {
            self.folder(path, &WildMatch::new("*"), images, cache)?;
        } else if path.exists() {
            self.file(path, images, cache)?;
        }
        Ok(())
    }

    fn pattern(&mut self, word: &str, images: &Images, cache: &Path) -> Result<(), KernelsError> {
        let pattern = WildMatch::new(word);
        for image in images.iter().filter(|image| pattern.matches(&image.name)) {
            match Target::of_image(&image.name, Arc::new(image.clone())).ready() {
                Ok(()) => self.image(image),
                Err(unusable) => self.notes.push(format!("{} is left out: {unusable}", image.name)),
            }
        }
        let path = Path::new(word);
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if let Some(name) = path.file_name().and_then(|name| name.to_str())
            && parent.is_dir()
        {
            self.folder(parent, &WildMatch::new(name), images, cache)?;
        }
        Ok(())
    }

    /// The kernels of a folder; what else is in it is nobody's business.
    fn folder(
        &mut self,
        path: &Path,
        names: &WildMatch,
        images: &Images,
        cache: &Path,
    ) -> Result<(), KernelsError> {
        let read = |source| KernelsError::Read { path: path.to_owned(), source };
        let mut files = Vec::new();
        for entry in fs::read_dir(path).map_err(read)? {
            let entry = entry.map_err(read)?;
            let file = entry.path();
            if file.is_file() && names.matches(&entry.file_name().to_string_lossy()) {
                files.push(file);
            }
        }
        files.sort();
        for file in files {
            match self.file(&file, images, cache) {
                Err(KernelsError::Kernel(OwnKernelError::Unknown(_))) | Ok(()) => {}
                Err(error) => self.notes.push(format!("left out: {error}")),
            }
        }
        Ok(())
    }

    fn image(&mut self, image: &Image) {
        if !self.has(&image.name) {
            self.targets.push(Target::of_image(&image.name, Arc::new(image.clone())));
        }
    }

    fn file(&mut self, path: &Path, images: &Images, cache: &Path) -> Result<(), KernelsError> {
        let name = path.display().to_string();
        let own = own_kernel(path, images, cache)?;
        if !self.has(&name) {
            // A snapshot of each of many kernels, for a single use, would fill the disk.
            self.targets.push(Target::of_image(&name, Arc::new(own.image)).starting(Start::Cold));
        }
        Ok(())
    }
}

/// A version as it is ordered: its numbers, then whether it is a release candidate (those come before the release), then
/// the rest of the name, in which numbers count as such.
pub type Version = (Vec<u64>, u64, Vec<(u64, String)>);

/// The version of a kernel: `6.12-rc3` is before `6.12`, and `6.9` before `6.10`.
pub fn version(release: &str, numbers: Option<&str>) -> Version {
    let own: Vec<u64> = numbers
        .unwrap_or(release)
        .split(|c: char| !c.is_ascii_digit() && c != '.')
        .next()
        .unwrap_or_default()
        .split('.')
        .filter_map(|number| number.parse().ok())
        .collect();
    let candidate = release
        .split_once("-rc")
        .and_then(|(_, rest)| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok());
    let mut padded = own;
    padded.resize(padded.len().max(3), 0);
    (padded, candidate.unwrap_or(u64::MAX), natural(release))
}

/// Words and the numbers before them.
fn natural(text: &str) -> Vec<(u64, String)> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = rest.split_at(digits);
        let word = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        parts.push((number.parse().unwrap_or(0), after[..word].to_owned()));
        rest = &after[word..];
    }
    parts
}

/// A case on the kernels of an architecture, oldest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The case's id.
    pub case: String,
    /// The architecture.
    pub arch: String,
    /// Kernels on which nothing could be told, and why.
    pub untested: Vec<(String, String)>,
    /// What changed, oldest first.
    pub changes: Vec<Between>,
    /// What came of it on the oldest kernel that could tell, if there is one.
    pub first: Option<Status>,
}

/// Two kernels, one after the other, on which a case is not the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Between {
    /// The last kernel before.
    pub before: String,
    /// The first kernel after.
    pub after: String,
    /// What is different.
    pub change: Change,
}

/// How a kernel is called: `6.1.192 (x86_64-6.1)`.
fn called(target: &TargetReport) -> String {
    let release = target.release.as_deref().unwrap_or("never reached");
    format!("{} ({release})", target.name)
}

/// What changed in each case from kernel to kernel, by architecture, in the order of the cases.
pub fn series(document: &Document) -> Vec<Series> {
    let mut arches: Vec<&str> = document.targets.iter().filter_map(|target| target.arch.as_deref()).collect();
    arches.sort_unstable();
    arches.dedup();
    let of_arch = |arch: &str| {
        let mut order: Vec<usize> = (0..document.targets.len())
            .filter(|&nth| document.targets[nth].arch.as_deref() == Some(arch))
            .collect();
        order.sort_by_key(|&nth| {
            let target = &document.targets[nth];
            version(target.release.as_deref().unwrap_or_default(), target.kernel.as_deref())
        });
        order
    };
    let orders: Vec<(&str, Vec<usize>)> = arches.iter().map(|arch| (*arch, of_arch(arch))).collect();
    let of_case = |case| orders.iter().map(move |(arch, order)| of_kernels(document, case, arch, order));
    document.cases.iter().flat_map(of_case).collect()
}

fn of_kernels(document: &Document, case: &Case, arch: &str, order: &[usize]) -> Series {
    let mut series = Series {
        case: case.id.clone(),
        arch: arch.to_owned(),
        untested: Vec::new(),
        changes: Vec::new(),
        first: None,
    };
    let mut last: Option<(&TargetReport, &CaseResult)> = None;
    for &nth in order {
        let (Some(target), Some(result)) = (document.targets.get(nth), case.results.get(nth)) else {
            continue;
        };
        if matches!(result.status, Status::Skipped | Status::Lost) {
            let why = result.says().unwrap_or_default().lines().next().unwrap_or_default().to_owned();
            series.untested.push((called(target), format!("{}: {why}", result.status.word())));
            continue;
        }
        series.first.get_or_insert(result.status);
        if let Some((before, was)) = last.replace((target, result))
            && let Some(change) = compare(&case.id, arch, Some(was), Some(result))
        {
            series.changes.push(Between { before: called(before), after: called(target), change });
        }
    }
    series
}
