//! Reads of all case files those that a selection needs: by their paths, and by what is remembered of their contents.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::files::{self, Entry, Error};
use super::index::{Index, Key, Listed, keys};
use super::renamed::{self, Written};
use super::{Loaded, SHARED_PROBES, SuiteFile, load};
use crate::case::Case;
use crate::place::{File, Mistake};
use crate::renamed::Renamed;
use crate::select::Selection;

/// So few files are read sooner than what is remembered of all.
const FEW: usize = 4;

/// Case files, found but not read.
pub struct Sources {
    files: Vec<Source>,
    /// What is wrong with files of the folders that are no case files, or cannot be looked at.
    amiss: Vec<Mistake>,
    renamed: Vec<Arc<File>>,
    paths: Vec<PathBuf>,
    cache: Option<PathBuf>,
}

enum Source {
    Found(Entry),
    Carried(SuiteFile),
}

impl Source {
    fn suite(&self) -> &Arc<str> {
        match self {
            Source::Found(entry) => &entry.suite,
            Source::Carried(file) => &file.suite,
        }
    }

    fn read(&self) -> Result<SuiteFile, Error> {
        match self {
            Source::Found(entry) => entry.read(),
            Source::Carried(file) => Ok(file.clone()),
        }
    }
}

/// What was read for a selection.
pub struct Selected {
    /// What the files hold that were parsed, selected or not.
    pub loaded: Loaded,
    /// How many files were not parsed.
    pub unread: usize,
}

/// What all files hold together.
pub struct Contents {
    /// The files, read.
    pub files: Vec<SuiteFile>,
    /// How many files there are, with those that cannot be read.
    pub count: usize,
    /// How many cases without mistakes are in them.
    pub cases: usize,
    /// The mistakes.
    pub mistakes: Vec<Mistake>,
}

/// All files, the cases of each, and the mistakes of all.
struct All {
    files: Vec<SuiteFile>,
    cases: Vec<Vec<Listed>>,
    mistakes: Vec<Mistake>,
}

impl Sources {
    /// The files below `paths`, each with the root that [`files::root_of`] says. `cache` is the folder of the cache.
    ///
    /// # Errors
    /// What cannot be read, or holds nothing.
    pub fn find(paths: &[PathBuf], cache: Option<PathBuf>) -> Result<Sources, Error> {
        let (files, amiss) = files::find_each(paths)?;
        let files = files.into_iter().map(Source::Found).collect();
        Ok(Sources { files, amiss, renamed: files::renamed_each(paths)?, paths: paths.to_owned(), cache })
    }

    /// The files that the program carries.
    pub fn carried(cache: Option<PathBuf>) -> Sources {
        let files = super::carried::files().into_iter().map(Source::Carried).collect();
        let renamed = super::carried::renamed().into_iter().collect();
        Sources { files, amiss: Vec::new(), renamed, paths: Vec::new(), cache }
    }

    /// How many files there are.
    pub fn count(&self) -> usize {
        self.files.len() + self.amiss.len()
    }

    /// Reads all files that can be read.
    fn read(&self) -> (Vec<SuiteFile>, Vec<Mistake>) {
        self.read_some(|_| true)
    }

    /// Reads those files that can be read, with what is wrong with others.
    fn read_some(&self, wanted: impl Fn(&Source) -> bool) -> (Vec<SuiteFile>, Vec<Mistake>) {
        let mut files = Vec::new();
        let mut amiss = self.amiss.clone();
        for source in self.files.iter().filter(|source| wanted(source)) {
            match source.read() {
                Ok(file) => files.push(file),
                Err(error) => amiss.push(error.mistake()),
            }
        }
        (files, amiss)
    }

    /// Reads and parses all files, with the number of those that there are.
    pub fn load(&self) -> (Loaded, usize) {
        let (files, amiss) = self.read();
        let mut loaded = load(&files);
        add(&mut loaded.mistakes, amiss);
        if loaded.mistakes.is_empty() {
            let ids: Vec<String> = loaded.cases.iter().map(|case| case.id.clone()).collect();
            loaded.mistakes = self.old_names_mistaken(&ids);
        }
        (loaded, self.count())
    }

    /// Reads what a selection needs. Mistakes in other files are not seen.
    pub fn select(&self, selection: &Selection) -> Selected {
        let may = |source: &Source| is_shared(source.suite()) || selection.may_mean(source.suite());
        let (files, amiss) = self.read_some(may);
        let (mut loaded, parsed) = match files.len() {
            ..=FEW => (load(&files), files.len()),
            _ => {
                let means = |file: &SuiteFile, known: Option<&[Listed]>| means(selection, &file.suite, known);
                self.parse(&files, &keys(&files), &mut self.index(), means)
            }
        };
        add(&mut loaded.mistakes, amiss);
        Selected { loaded, unread: self.files.len() - parsed }
    }

    /// Parses the shared probes and the files that are wanted, by what is remembered of them; remembers what is new. With the
    /// number of files that were parsed.
    fn parse(
        &self,
        files: &[SuiteFile],
        keys: &[Key],
        index: &mut Index,
        wants: impl Fn(&SuiteFile, Option<&[Listed]>) -> bool,
    ) -> (Loaded, usize) {
        let wanted = |(file, key): &(&SuiteFile, &Key)| file.is_shared() || wants(file, index.cases(key));
        let (files, of): (Vec<SuiteFile>, Vec<Key>) =
            files.iter().zip(keys).filter(wanted).map(|(file, key)| (file.clone(), *key)).unzip();
        let loaded = load(&files);
        learn(index, &files, &of, &loaded);
        // What the path ruled out was not looked at: it is still there.
        index.save((keys.len() == self.files.len()).then_some(keys));
        (loaded, files.len())
    }

    /// Reads all files, and parses those of which nothing is remembered.
    pub fn contents(&self) -> Contents {
        let All { files, cases, mut mistakes } = self.listed();
        let ids = |(file, cases): (&SuiteFile, &Vec<Listed>)| -> Vec<String> {
            cases.iter().map(|case| format!("{}::{}", file.suite, case.name)).collect()
        };
        let ids: Vec<String> = files.iter().zip(&cases).flat_map(ids).collect();
        if mistakes.is_empty() {
            mistakes = self.old_names_mistaken(&ids);
        }
        Contents { files, count: self.count(), cases: ids.len(), mistakes }
    }

    /// What is wrong with the tables of old names, where all cases without mistakes are known by their ids.
    fn old_names_mistaken(&self, ids: &[String]) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        for file in &self.renamed {
            let mut written = Written::new(file.clone());
            if self.is_whole(&file.path) {
                let suites: Vec<&str> = self.files.iter().map(|source| &**source.suite()).collect();
                written.check(&suites, ids);
            }
            mistakes.extend(written.into_mistakes());
        }
        mistakes
    }

    /// Whether all cases of a folder are here, of whose table of old names this is the path.
    fn is_whole(&self, table: &Path) -> bool {
        let folder = table.parent().and_then(|folder| folder.canonicalize().ok());
        let is_it = |path: &PathBuf| path.canonicalize().ok() == folder;
        self.paths.is_empty() || self.paths.iter().any(is_it)
    }

    /// What suites and cases were called before.
    ///
    /// # Errors
    /// The mistakes of the tables.
    pub fn renamed(&self) -> Result<Renamed, Vec<Mistake>> {
        renamed::all(&self.renamed)
    }

    fn listed(&self) -> All {
        let (files, amiss) = self.read();
        let keys = keys(&files);
        let mut index = self.index();
        let (mut loaded, _) = self.parse(&files, &keys, &mut index, |_, known| known.is_none());
        add(&mut loaded.mistakes, amiss);
        let of = |(file, key): (&SuiteFile, &Key)| match index.cases(key) {
            Some(cases) => cases.to_owned(),
            None => of_suite(&loaded, &file.suite),
        };
        let cases = files.iter().zip(&keys).map(of).collect();
        All { files, cases, mistakes: loaded.mistakes }
    }

    /// All cases by their names, read when they are asked for.
    ///
    /// # Errors
    /// The mistakes of all files.
    pub fn listing(&self) -> Result<Listing, Vec<Mistake>> {
        let All { files, cases, mistakes } = self.listed();
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let shared: Vec<SuiteFile> = files.iter().filter(|file| file.is_shared()).cloned().collect();
        let file = |(file, cases): (SuiteFile, Vec<Listed>)| {
            let ids = cases.iter().map(|case| format!("{}::{}", file.suite, case.name)).collect();
            let files = shared.iter().cloned().chain((!file.is_shared()).then_some(file)).collect();
            ListedFile { ids, files, cases: OnceLock::new() }
        };
        Ok(Listing { files: files.into_iter().zip(cases).map(file).collect() })
    }

    /// What is remembered; nothing where it would not help.
    fn index(&self) -> Index {
        let helps = self.files.len() > FEW && self.each_suite_once();
        Index::open(self.cache.as_deref().filter(|_| helps), &self.paths)
    }

    /// That two files are one suite is a mistake of them together, which no index knows.
    fn each_suite_once(&self) -> bool {
        let mut seen = HashSet::new();
        self.files.iter().all(|source| is_shared(source.suite()) || seen.insert(source.suite()))
    }
}

/// A case that the index lists is not in its file.
#[derive(Debug, thiserror::Error)]
#[error("lost: the index lists {0}, and its file does not have it; remove the folder `cases` of the cache")]
pub struct WrongIndex(String);

/// All cases by their names.
pub struct Listing {
    files: Vec<ListedFile>,
}

struct ListedFile {
    ids: Vec<String>,
    files: Vec<SuiteFile>,
    cases: OnceLock<Vec<Case>>,
}

impl Listing {
    /// The ids, each with the number of its file.
    pub fn ids(&self) -> impl Iterator<Item = (usize, &str)> {
        self.files
            .iter()
            .enumerate()
            .flat_map(|(nth, file)| file.ids.iter().map(move |id| (nth, id.as_str())))
    }

    /// A case of a file; the file is parsed when the first of its cases is asked for.
    ///
    /// # Errors
    /// [`WrongIndex`], which only a wrong index in the cache can cause.
    pub fn case(&self, file: usize, id: &str) -> Result<&Case, WrongIndex> {
        let cases = self.files.get(file).map(|file| file.cases.get_or_init(|| load(&file.files).cases));
        cases.into_iter().flatten().find(|case| case.id == id).ok_or_else(|| WrongIndex(id.to_owned()))
    }
}

/// More mistakes, each where its file stands.
fn add(mistakes: &mut Vec<Mistake>, more: Vec<Mistake>) {
    if !more.is_empty() {
        mistakes.extend(more);
        mistakes.sort_by(|a, b| a.place.path().cmp(b.place.path()));
    }
}

fn is_shared(suite: &str) -> bool {
    suite == SHARED_PROBES
}

/// Of a file of which nothing is known anything may be meant.
fn means(selection: &Selection, suite: &str, known: Option<&[Listed]>) -> bool {
    let means = |case: &Listed| selection.means(&format!("{suite}::{}", case.name), &case.tags);
    known.is_none_or(|cases| cases.iter().any(means))
}

/// Remembers the files that have no mistakes.
fn learn(index: &mut Index, files: &[SuiteFile], keys: &[Key], loaded: &Loaded) {
    let wrong: HashSet<&Path> = loaded.mistakes.iter().map(|mistake| mistake.place.path()).collect();
    for (file, key) in files.iter().zip(keys) {
        if index.cases(key).is_none() && !wrong.contains(&*file.file.path) {
            index.learn(*key, of_suite(loaded, &file.suite));
        }
    }
}

fn of_suite(loaded: &Loaded, suite: &Arc<str>) -> Vec<Listed> {
    let of = loaded.cases.iter().filter(|case| case.suite == *suite);
    let listed = |case: &Case| {
        let name = case.id.strip_prefix(&**suite).and_then(|rest| rest.strip_prefix("::"));
        Listed { name: name.unwrap_or(&case.id).to_owned(), tags: case.tags.clone() }
    };
    of.map(listed).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn cases(loaded: Loaded, selection: &Selection) -> Vec<String> {
        assert!(loaded.mistakes.is_empty());
        let cases = selection.apply(loaded.cases);
        cases.map(|cases| cases.into_iter().map(|case| case.id).collect()).unwrap_or_default()
    }

    fn words(words: &str) -> Vec<String> {
        words.split_whitespace().map(str::to_owned).collect()
    }

    /// The same cases as of all files, and of no more files than that takes.
    #[test]
    fn a_selection_is_the_same_of_fewer_files() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cases");
        let cache = tempfile::tempdir().unwrap();
        let sources = Sources::find(&[folder], Some(cache.path().to_owned())).unwrap();
        let all = load(&sources.read().0).cases;
        assert_eq!(sources.contents().cases, all.len());
        let names = sources.listing().unwrap();
        let ids: Vec<(usize, &str)> = names.ids().collect();
        assert!(ids.iter().map(|(_, id)| *id).eq(all.iter().map(|case| &*case.id)));
        let (file, id) = ids[ids.len() / 2];
        assert_eq!(names.case(file, id).unwrap().id, id);
        insta::assert_snapshot!(
            names.case(file, "s::gone").unwrap_err(),
            @"lost: the index lists s::gone, and its file does not have it; remove the folder `cases` of the cache"
        );
        for (patterns, exact, tags, exclude, most) in [
            ("bpf/map/array::create_is_refused[zero_key_size]", true, "", "", 2),
            ("bpf/map/array::*", false, "", "", 2),
            ("bpf/map/queue*::push* *lpm_trie::*", false, "", "", 5),
            ("lpm_trie", false, "", "", 9),
            ("zero_key_size", false, "", "", 9),
            ("bpf/map/h*", false, "", "hash", 9),
            ("", false, "sysctl", "", 12),
            ("no_such_case", false, "", "", 1),
        ] {
            let selection =
                Selection { patterns: words(patterns), exact, tags: words(tags), exclude: words(exclude) };
            let wanted: Vec<&str> =
                all.iter().filter(|case| selection.contains(case)).map(|case| &*case.id).collect();
            let selected = sources.select(&selection);
            let parsed = sources.count() - selected.unread;
            assert!(parsed <= most, "{selection:?}: {parsed} files");
            assert_eq!(cases(selected.loaded, &selection), wanted, "{selection:?}");
        }
    }

    /// A folder with files, and its cache.
    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join("cases").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        folder
    }

    fn sources(folder: &tempfile::TempDir) -> Sources {
        Sources::find(&[folder.path().join("cases")], Some(folder.path().join("cache"))).unwrap()
    }

    const RIGHT: &str = "cases: [{name: right, tags: fine, steps: [{getpid: []}]}]";

    #[test]
    fn what_is_remembered_is_of_the_content() {
        let files = ["a.yaml", "b.yaml", "c.yaml", "d.yaml", "e.yaml"].map(|name| (name, RIGHT));
        let folder = folder(&files);
        let selection = Selection { patterns: vec!["wrong".into()], ..Selection::default() };
        let found = |unread| {
            let selected = sources(&folder).select(&selection);
            assert_eq!(selected.unread, unread);
            cases(selected.loaded, &selection)
        };
        assert!(found(0).is_empty());
        assert!(found(5).is_empty());
        std::fs::write(folder.path().join("cases/b.yaml"), RIGHT.replace("right", "wrong")).unwrap();
        assert_eq!(found(4), ["b::wrong"]);
        // All depend on the shared probes.
        std::fs::write(
            folder.path().join("cases/probes.yaml"),
            "probes: {p: {absent: EPERM, steps: [{getpid: []}]}}",
        )
        .unwrap();
        assert_eq!(found(0), ["b::wrong"]);
        assert_eq!(found(4), ["b::wrong"]);
    }

    #[test]
    fn what_is_damaged_is_not_believed() {
        let files = ["a.yaml", "b.yaml", "c.yaml", "d.yaml", "e.yaml"].map(|name| (name, RIGHT));
        let folder = folder(&files);
        let selection = Selection { tags: vec!["fine".into()], ..Selection::default() };
        let index = || {
            let mut found = std::fs::read_dir(folder.path().join("cache/cases")).unwrap();
            let path = found.next().unwrap().unwrap().path();
            assert!(found.next().is_none());
            path
        };
        sources(&folder).contents();
        let whole = std::fs::read(index()).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            std::fs::write(index(), damaged).unwrap();
            let selected = sources(&folder).select(&selection);
            assert_eq!((selected.unread, cases(selected.loaded, &selection).len()), (0, 5), "byte {at}");
            assert_eq!(std::fs::read(index()).unwrap().len(), whole.len());
            std::fs::write(index(), &whole[..at]).unwrap();
            let selected = sources(&folder).select(&selection);
            assert_eq!(cases(selected.loaded, &selection).len(), 5, "cut at {at}");
        }
    }

    #[test]
    fn a_file_with_mistakes_is_read_each_time() {
        let mut files = ["a.yaml", "b.yaml", "c.yaml", "d.yaml", "e.yaml"].map(|name| (name, RIGHT));
        files[2].1 = "cases: [{name: right, steps: [{getpidd: []}]}]";
        let folder = folder(&files);
        for _ in 0..2 {
            let contents = sources(&folder).contents();
            assert_eq!((contents.cases, contents.mistakes.len()), (4, 1));
            assert!(sources(&folder).listing().is_err());
        }
        let exact = Selection { patterns: vec!["a::right".into()], exact: true, ..Selection::default() };
        let selected = sources(&folder).select(&exact);
        assert_eq!((selected.unread, cases(selected.loaded, &exact).len()), (4, 1));
    }

    #[test]
    fn without_a_cache_all_is_as_with_one() {
        let folder = folder(&["a.yaml", "b.yaml", "c.yaml", "d.yaml", "e.yaml"].map(|name| (name, RIGHT)));
        let closed = folder.path().join("cases/a.yaml");
        for cache in [None, Some(closed)] {
            let sources = Sources::find(&[folder.path().join("cases")], cache).unwrap();
            assert_eq!(sources.contents().cases, 5);
            assert_eq!(sources.select(&Selection::default()).loaded.cases.len(), 5);
        }
    }
}
