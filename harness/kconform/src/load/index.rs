//! Which cases a file holds, remembered by the file's content: a selection then decides without reading a file which ones it
//! needs. A cache: safe to delete, and believed only where it is whole and of the same content, read by the same program.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use crate::hex::hex;

use super::SuiteFile;

/// A file's content, with all that its cases depend on.
pub(super) type Key = [u8; 32];

/// What is remembered of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    /// The id without the suite and `::`. It has no white space.
    pub name: String,
    /// The case's tags, words without white space.
    pub tags: Vec<String>,
}

/// The folder of the cache that holds indexes, and the age at which one that nobody has written since is removed.
const FOLDER: &str = "cases";
const OLD: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Begins the line of a file; lines of its cases follow.
const FILE: &str = "= ";
/// Begins the last line.
const SUM: &str = "crc32 ";

/// What is known of files.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Where it is kept; nowhere without a cache.
    path: Option<PathBuf>,
    files: HashMap<Key, Vec<Listed>>,
    learned: bool,
}

impl Index {
    /// The index of the files below these paths, read by this program; empty if there is none, or none that is whole.
    pub(super) fn open(cache: Option<&Path>, paths: &[PathBuf]) -> Index {
        let Some(path) = cache.and_then(|cache| Some(cache.join(FOLDER).join(name(paths).ok()?))) else {
            return Index::default();
        };
        let files = fs::read_to_string(&path).ok().and_then(|text| parsed(&text)).unwrap_or_default();
        Index { path: Some(path), files, learned: false }
    }

    /// The cases of a file without mistakes, if they are known.
    pub(super) fn cases(&self, key: &Key) -> Option<&[Listed]> {
        self.files.get(key).map(Vec::as_slice)
    }

    /// Remembers the cases of a file that has no mistakes.
    pub(super) fn learn(&mut self, key: Key, cases: Vec<Listed>) {
        self.learned = true;
        self.files.insert(key, cases);
    }

    /// Writes what was learned; of the files that there are now, if they are all known. A cache that cannot be written to is
    /// done without.
    pub(super) fn save(&mut self, now: Option<&[Key]>) {
        let Some(path) = self.path.take_if(|_| self.learned) else { return };
        let all = || self.files.keys().copied().collect();
        let mut text = String::new();
        for (key, cases) in now
            .map(<[Key]>::to_vec)
            .unwrap_or_else(all)
            .iter()
            .filter_map(|key| self.files.get_key_value(key))
        {
            text.push_str(&format!("{FILE}{}\n", hex(key)));
            cases.iter().for_each(|case| text.push_str(&line(case)));
        }
        text.push_str(&format!("{SUM}{:08x}\n", crc32fast::hash(text.as_bytes())));
        // Two runs at once both write a whole one.
        let _ = replace(&path, text.as_bytes());
        let _ = sweep(&path);
    }
}

/// The keys of files. The cases of one depend on the shared probes too.
pub(super) fn keys(files: &[SuiteFile]) -> Vec<Key> {
    let mut shared = Sha256::new();
    files.iter().filter(|file| file.is_shared()).for_each(|file| shared.update(&file.file.text));
    let shared = shared.finalize();
    let key = |file: &SuiteFile| {
        let mut all = Sha256::new();
        all.update(shared);
        all.update(file.suite.as_bytes());
        all.update([0]);
        all.update(&file.file.text);
        all.finalize().into()
    };
    files.iter().map(key).collect()
}

/// Another program may find other mistakes; other folders have an index of their own.
fn name(paths: &[PathBuf]) -> io::Result<String> {
    let program = fs::metadata(std::env::current_exe()?)?;
    let mut all = Sha256::new();
    for part in [program.dev(), program.ino(), program.len()] {
        all.update(part.to_le_bytes());
    }
    all.update(program.mtime().to_le_bytes());
    all.update(program.mtime_nsec().to_le_bytes());
    for path in paths {
        all.update(path.canonicalize()?.as_os_str().as_encoded_bytes());
        all.update([0]);
    }
    Ok(hex(&all.finalize()[..12]))
}

fn line(case: &Listed) -> String {
    let words = std::iter::once(&case.name).chain(&case.tags);
    let mut line = words.map(String::as_str).collect::<Vec<_>>().join(" ");
    line.push('\n');
    line
}

/// Nothing if it is not whole.
fn parsed(text: &str) -> Option<HashMap<Key, Vec<Listed>>> {
    let (body, sum) = text.strip_suffix('\n')?.rsplit_once('\n')?;
    let sum = u32::from_str_radix(sum.strip_prefix(SUM)?, 16).ok()?;
    let body = text.get(..=body.len())?;
    if crc32fast::hash(body.as_bytes()) != sum {
        return None;
    }
    let mut files: HashMap<Key, Vec<Listed>> = HashMap::new();
    let mut cases = None;
    for line in body.lines() {
        if let Some(key) = line.strip_prefix(FILE) {
            cases = Some(files.entry(unhex(key)?).or_default());
            continue;
        }
        let mut words = line.split(' ').map(str::to_owned);
        cases.as_mut()?.push(Listed { name: words.next()?, tags: words.collect() });
    }
    Some(files)
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.persist(path)?;
    Ok(())
}

/// Removes what programs that were built anew have left beside an index.
fn sweep(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path.parent().unwrap_or(path))? {
        let entry = entry?;
        let age = SystemTime::now().duration_since(entry.metadata()?.modified()?);
        if age.is_ok_and(|age| age > OLD) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn unhex(text: &str) -> Option<Key> {
    let mut key = Key::default();
    if text.len() != 2 * key.len() || !text.is_ascii() {
        return None;
    }
    for (nth, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * nth..2 * nth + 2)?, 16).ok()?;
    }
    Some(key)
}
