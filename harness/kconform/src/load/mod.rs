//! Case files become cases: the text is read into a tree (`crate::yaml`), tables are expanded ([`crate::expand`]), and what
//! comes of it is checked word by word. Reading gives cases *and* all mistakes. No I/O but in [`files`], and in `index`, which
//! remembers which cases a file holds.

pub(crate) mod btf_types;
mod call;
pub mod carried;
mod case_reader;
mod expr;
pub mod files;
mod index;
pub mod message;
mod named;
pub(crate) mod names;
mod outcome;
mod outputs;
mod piece;
mod probes;
mod prototype;
mod renamed;
mod requires;
mod scope;
pub mod selected;
pub(crate) mod settings;
mod sizes;
mod steps;
mod suite;
pub mod suites;
#[cfg(test)]
mod tests;
mod totals;
mod uapi;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::iter::{
    IndexedParallelIterator, IntoParallelRefIterator, IntoParallelRefMutIterator, ParallelIterator,
};

use probes::Probes;
use suite::Tags;

use crate::case::{Case, Probe};
use crate::place::{File, Mistake, Span};
use crate::yaml::parse::parse;
use crate::yaml::reader::{Reader, find};
use crate::yaml::tree::Entry;

/// The suite whose file holds probes for all other files, and nothing else.
pub const SHARED_PROBES: &str = "probes";

/// A case file and the name of its suite.
#[derive(Clone, Debug)]
pub struct SuiteFile {
    /// The path below the directory of all cases, without `.yaml`: `bpf/map/array`.
    pub suite: Arc<str>,
    /// The text.
    pub file: Arc<File>,
}

impl SuiteFile {
    /// What tells it from other files: the name of its suite, and its text.
    pub fn name_and_text(&self) -> (&str, &str) {
        (&self.suite, &self.file.text)
    }

    fn is_shared(&self) -> bool {
        &*self.suite == SHARED_PROBES
    }
}

/// Whether a key of a step has a meaning of its own, whatever system call has that name.
pub(crate) fn is_word_of_steps(key: &str) -> bool {
    [steps::KEYS, steps::BLOCKS, call::CALLS].iter().any(|words| words.contains(&key))
}

/// What files hold.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The cases without mistakes, in the order of the files.
    pub cases: Vec<Case>,
    /// The probes without mistakes, whether a case needs them or not.
    pub probes: Vec<Arc<Probe>>,
    /// All mistakes of all files, by file and place.
    pub mistakes: Vec<Mistake>,
}

/// Reads case files. Pure: the same texts give the same cases on any machine.
pub fn load(files: &[SuiteFile]) -> Loaded {
    let mut opened: Vec<_> = files.par_iter().with_max_len(1).map(Opened::new).collect();
    let shared: Vec<Probes> =
        opened.iter_mut().filter(|f| f.is_shared()).map(|f| std::mem::take(&mut f.probes)).collect();
    let tags: Vec<(PathBuf, Tags)> = opened.iter_mut().filter_map(Opened::take_tags).collect();
    let mut suites = HashMap::new();
    opened.iter_mut().for_each(|file| file.note_suite(&mut suites));
    let cases: Vec<Vec<Case>> =
        opened.par_iter_mut().with_max_len(1).map(|file| file.cases(&shared, &tags)).collect();
    let mut loaded = Loaded { cases: cases.into_iter().flatten().collect(), ..Loaded::default() };
    loaded.probes.extend(shared.iter().flat_map(Probes::readable).cloned());
    for file in opened {
        loaded.probes.extend(file.probes.readable().cloned());
        loaded.mistakes.extend(file.reader.into_mistakes());
    }
    loaded.mistakes.sort_by(|a, b| a.place.path().cmp(b.place.path()));
    loaded
}

/// The tags of the cases that kconform carries, and what each stands for.
pub(crate) fn carried_tags() -> Vec<(String, String)> {
    let files = carried::files();
    let tags = files.iter().filter(|file| file.is_shared()).filter_map(|file| Opened::new(file).tags);
    tags.flat_map(|Tags(tags)| tags).collect()
}

/// A file whose YAML and probes are read.
struct Opened {
    suite: Arc<str>,
    reader: Reader,
    entries: Option<Vec<Entry>>,
    probes: Probes,
    /// What the cases of all files may have as tags, if this is the file that all share.
    tags: Option<Tags>,
}

impl Opened {
    fn new(from: &SuiteFile) -> Opened {
        let mut reader = Reader::new(from.file.clone());
        let root = parse(&mut reader);
        if root.is_none() && reader.hits == 0 {
            reader.wrong(Span { start: 0, end: 0 }, "an empty file");
        }
        let entries = root.and_then(|root| suite::file_entries(&mut reader, &root));
        let mut opened =
            Opened { suite: from.suite.clone(), reader, entries, probes: Probes::default(), tags: None };
        opened.read_probes();
        opened
    }

    /// Its cases, which may need probes of its own and shared ones.
    fn cases(&mut self, shared: &[Probes], tags: &[(PathBuf, Tags)]) -> Vec<Case> {
        let probes: Vec<&Probes> = std::iter::once(&self.probes).chain(shared).collect();
        match &self.entries {
            Some(entries) => {
                let tags = tags.iter().find(|(folder, _)| self.is_below(folder)).map(|(_, tags)| tags);
                suite::cases(&mut self.reader, &self.suite, entries, &probes, tags)
            }
            None => Vec::new(),
        }
    }

    /// The tags that cases may have in the folder of this file.
    fn take_tags(&mut self) -> Option<(PathBuf, Tags)> {
        let tags = self.tags.take()?;
        Some((self.reader.file().path.parent()?.to_owned(), tags))
    }

    /// Whether a folder is the one in which all suites are. One of the two may be written as seen from the other's.
    fn is_below(&self, folder: &Path) -> bool {
        let depth = Path::new(&*self.suite).components().count();
        let top = self.reader.file().path.ancestors().nth(depth);
        top.is_some_and(|top| top.ends_with(folder) || folder.ends_with(top))
    }

    /// Two files of one suite would have cases of the same ids.
    fn note_suite(&mut self, suites: &mut HashMap<Arc<str>, PathBuf>) {
        let path = self.reader.file().path.clone();
        match suites.get(&self.suite) {
            Some(first) if !self.is_shared() => {
                let text =
                    format!("a second file of the suite {}; the first is {}", self.suite, first.display());
                self.reader.wrong(Span { start: 0, end: 0 }, text);
            }
            _ => {
                suites.insert(self.suite.clone(), path);
            }
        }
    }

    fn is_shared(&self) -> bool {
        &*self.suite == SHARED_PROBES
    }

    fn read_probes(&mut self) {
        let Some(entries) = &self.entries else { return };
        let shared = self.is_shared();
        let id = if shared { "" } else { &*self.suite };
        self.probes = probes::probes(&mut self.reader, id, entries);
        let (cases, probes) = (find(entries, "cases"), find(entries, "probes").or(find(entries, "tags")));
        if shared {
            self.tags = suite::known_tags(&mut self.reader, entries);
        } else if let Some(tags) = find(entries, "tags") {
            let help =
                "those of a case stand beside its name; what all cases may have belongs into probes.yaml";
            self.reader.wrong_help(tags.key_span, "tags of a whole file", help);
        }
        if shared && let Some(cases) = cases {
            let help = "this file holds probes that all others share; cases go into another";
            self.reader.wrong_help(cases.key_span, "cases beside the shared probes", help);
        }
        if cases.is_none() && !(shared && probes.is_some()) {
            let what = if shared { "probes" } else { "cases" };
            self.reader.wrong(Span { start: 0, end: 0 }, format!("a file without {what}"));
        }
    }
}
