//! File systems of a kind, and what is in them.

use crate::sys;

/// A directory tree with more in it is not gone through to its end.
const MOST_FILES: usize = 20_000;
/// Mount points of a kind of file system.
pub(crate) fn mounts(kind: &str) -> Vec<String> {
    let all = sys::read_file("/proc/self/mountinfo").unwrap_or_default();
    let all = String::from_utf8_lossy(&all);
    // proc(5): the mount point is the fifth field, the kind follows the separator.
    let of = |line: &str| {
        let (front, back) = line.split_once(" - ")?;
        (back.split(' ').next() == Some(kind)).then(|| front.split(' ').nth(4).map(str::to_owned))?
    };
    let mut mounts: Vec<String> = all.lines().filter_map(of).collect();
    mounts.sort_unstable();
    mounts.dedup();
    mounts
}

/// All directories of file systems of a kind.
pub(crate) fn directories(kind: &str) -> Vec<String> {
    let below =
        |top: &String| walk(top).into_iter().filter_map(|(path, is_directory)| is_directory.then_some(path));
    mounts(kind).iter().flat_map(|top| std::iter::once(top.clone()).chain(below(top))).collect()
}

/// Everything below a directory, with whether it is one itself.
pub(crate) fn walk(top: &str) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    let mut next = vec![top.to_owned()];
    while let Some(directory) = next.pop() {
        for entry in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
            let path = entry.path().to_string_lossy().into_owned();
            let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_directory {
                next.push(path.clone());
            }
            found.push((path, is_directory));
            if found.len() > MOST_FILES {
                return found;
            }
        }
    }
    found
}
