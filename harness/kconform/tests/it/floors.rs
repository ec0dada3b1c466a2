//! The floors of the sources: which module may import which (ARCHITECTURE.md, "The floors"), and no circles of files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// From the bottom up. A module may import what stands before it, and nothing that stands behind it.
const FLOORS: &[(&str, &[&str])] = &[
    (
        "leaves",
        &[
            "place",
            "limits",
            "hex",
            "json_lines",
            "style",
            "checkout",
            "folder",
            "cache_folder",
            "interrupt",
            "health",
            "renamed",
            "regular",
        ],
    ),
    ("words", &["arguments", "btf", "uapi", "insn", "wants"]),
    ("text", &["yaml", "expand"]),
    (
        "cases",
        &["case", "select", "shard", "load", "schema", "kernel", "lower", "judge", "settings", "strace"],
    ),
    ("machines", &["guest", "targets", "run"]),
    ("readers", &["record", "bless", "export", "document", "report", "bisect", "coverage"]),
    ("top", &["trials", "cli"]),
];

/// What does not import each other all the same, whatever floors they are on.
const APART: &[(&[&str], &[&str])] = &[
    // Guests are machines: what runs in them is none of their concern.
    (&["guest"], &["yaml", "expand", "case", "load", "kernel", "lower", "judge", "settings"]),
    // A loaded case says all; nobody asks its file again.
    (
        &["kernel", "lower", "judge", "settings", "targets", "run", "document", "bisect", "coverage"],
        &["yaml", "load"],
    ),
    // What is read of a run is made of the document, not of each other.
    (&["report", "coverage"], &["bisect", "coverage"]),
    (&["bisect"], &["report"]),
    (&["cli"], &["trials"]),
];

/// Concerns in which files import each other in a circle, beside a file and its own folder's `mod.rs`.
const CIRCLES: &[&str] = &[];

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

type Module = Vec<String>;

/// Every source but tests and the two roots, by module.
fn files(folder: &Path, found: &mut BTreeMap<Module, PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        if path.is_dir() && name != "tests" {
            files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") && !["tests", "lib", "main"].contains(&&*name) {
            let below = path.strip_prefix(sources()).expect("below the sources").with_extension("");
            let mut module: Module = below.iter().map(|part| part.to_string_lossy().into_owned()).collect();
            module.truncate(module.len() - usize::from(name == "mod"));
            found.insert(module, path);
        }
    }
}

/// The text without comments and without the tests at its end, line for line.
fn code(text: &str) -> String {
    let tests = text.match_indices("#[cfg(test)]").find(|(at, _)| {
        let rest = text[*at..].lines().skip(1).find(|line| !line.starts_with('#')).unwrap_or_default();
        rest.contains("mod ") && rest.ends_with('{')
    });
    let text = tests.map_or(text, |(at, _)| &text[..at]);
    text.lines().map(|line| line.split("//").next().unwrap_or_default().to_owned() + "\n").collect()
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// All paths that begin with what stands here, groups in braces written out; gives what stands behind them.
fn paths<'t>(mut text: &'t str, mut path: Module, found: &mut Vec<Module>) -> &'t str {
    loop {
        text = text.trim_start();
        if let Some(mut rest) = text.strip_prefix('{') {
            while !rest.is_empty() && !rest.starts_with('}') {
                let behind = paths(rest, path.clone(), found);
                let next = behind.find([',', '}']).unwrap_or(behind.len());
                rest = behind[next..].trim_start_matches(',').trim_start();
            }
            return rest.strip_prefix('}').unwrap_or(rest);
        }
        let (word, rest) = text.split_at(text.find(|c| !is_word(c)).unwrap_or(text.len()));
        path.push(word.to_owned());
        match rest.strip_prefix("::") {
            Some(below) if below.starts_with(|c: char| is_word(c) || c == '{') => text = below,
            _ => {
                found.push(path);
                return rest;
            }
        }
    }
}

/// What a source imports or names, with the line (from 1).
fn imports(text: &str) -> Vec<(usize, Module)> {
    let code = code(text);
    let mut begins = BTreeSet::new();
    for root in ["crate::", "super::", "self::"] {
        let whole = |at: &usize| !code[..*at].ends_with(|c: char| is_word(c) || c == ':');
        begins.extend(code.match_indices(root).map(|(at, _)| at).filter(whole));
    }
    // `use child::Word;` of a folder's mod.rs.
    begins.extend(code.match_indices("use ").map(|(at, word)| at + word.len()));
    let mut all = Vec::new();
    for at in begins {
        let mut found = Vec::new();
        paths(&code[at..], Vec::new(), &mut found);
        let line = code[..at].matches('\n').count() + 1;
        all.extend(found.into_iter().map(|path| (line, path)));
    }
    all
}

/// The file that a path means, of those that there are.
fn meant(files: &BTreeMap<Module, PathBuf>, from: &Module, path: &Module) -> Option<Module> {
    let supers = path.iter().take_while(|word| *word == "super").count();
    let mut base: Module = match path.first().map(String::as_str) {
        Some("crate") => path[1..].to_vec(),
        Some("super") => [&from[..from.len().saturating_sub(supers)], &path[supers..]].concat(),
        Some("self") => [from, &path[1..]].concat(),
        _ => {
            let below = [&from[..], &path[..1]].concat();
            return files.contains_key(&below).then_some(below);
        }
    };
    while !base.is_empty() && !files.contains_key(&base) {
        base.pop();
    }
    (!base.is_empty()).then_some(base)
}

/// One file imports another.
struct Edge {
    from: Module,
    to: Module,
    /// `src/load/mod.rs:41`.
    place: String,
}

fn edges() -> Vec<Edge> {
    let mut all = BTreeMap::new();
    files(&sources(), &mut all);
    let mut edges = Vec::new();
    for (from, path) in &all {
        let text = std::fs::read_to_string(path).expect("readable");
        let file = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).expect("below").display();
        for (line, import) in imports(&text) {
            if let Some(to) = meant(&all, from, &import).filter(|to| to != from) {
                edges.push(Edge { from: from.clone(), to, place: format!("{file}:{line}") });
            }
        }
    }
    edges
}

#[test]
fn no_module_imports_what_stands_above_it() {
    let order: Vec<&str> = FLOORS.iter().flat_map(|(_, modules)| *modules).copied().collect();
    let height = |module: &str| order.iter().position(|known| *known == module);
    let mut wrong = Vec::new();
    for Edge { from, to, place } in edges().iter().filter(|edge| edge.from[0] != edge.to[0]) {
        let (from, to) = (from[0].as_str(), to[0].as_str());
        match (height(from), height(to)) {
            (Some(above), Some(below)) if above < below => {
                wrong.push(format!("{place}: {from} imports {to}, which stands above it"));
            }
            (None, _) => wrong.push(format!("{place}: {from} stands on no floor")),
            _ => {}
        }
        if APART.iter().any(|(one, other)| from != to && one.contains(&from) && other.contains(&to)) {
            wrong.push(format!("{place}: {from} imports {to}, and is to know nothing of it"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_stands_on_a_floor_and_every_name_is_a_module() {
    let mut all = BTreeMap::new();
    files(&sources(), &mut all);
    let modules: BTreeSet<&str> = all.keys().map(|module| module[0].as_str()).collect();
    let named: Vec<&str> = FLOORS.iter().flat_map(|(_, modules)| *modules).copied().collect();
    assert_eq!(named.len(), named.iter().collect::<BTreeSet<_>>().len(), "a module stands there twice");
    assert_eq!(named.into_iter().collect::<BTreeSet<_>>(), modules);
}

#[test]
fn files_import_each_other_in_no_circle() {
    // A file and the mod.rs of a folder around it are one: what is shared stands there, and is offered from there.
    let edges: Vec<Edge> = edges().into_iter().filter(|edge| !edge.from.starts_with(&edge.to)).collect();
    let mut next: BTreeMap<&Module, BTreeSet<&Module>> = BTreeMap::new();
    for edge in &edges {
        next.entry(&edge.from).or_default().insert(&edge.to);
    }
    let leads_to = |from: &Module, to: &Module| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(here) = open.pop() {
            if seen.insert(here) {
                open.extend(next.get(here).into_iter().flatten());
            }
        }
        seen.contains(to)
    };
    let wrong: Vec<String> = edges
        .iter()
        .filter(|edge| !CIRCLES.contains(&edge.from[0].as_str()) && leads_to(&edge.to, &edge.from))
        .map(|edge| {
            format!(
                "{}: {} imports {}, which leads back",
                edge.place,
                edge.from.join("::"),
                edge.to.join("::")
            )
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn imports_are_found_however_they_are_written() {
    let text = "use crate::{case::{Case, Step as S}, place::File};\npub(crate) use child::Word;\n// crate::no\n\
        fn f(x: crate::load::X) -> super::super::y::Z {}\n#[cfg(test)]\nmod tests {\n    use crate::cli;\n}\n";
    let found: Vec<String> =
        imports(text).into_iter().map(|(line, path)| format!("{line} {}", path.join("::"))).collect();
    let said = ["1 crate::case::Case", "1 crate::case::Step", "1 crate::place::File", "2 child::Word"];
    // The beginning of a path is found twice where `use` stands before it.
    let once: BTreeSet<&str> = found.iter().map(String::as_str).collect();
    let mut wanted: BTreeSet<&str> = said.into_iter().collect();
    wanted.extend(["4 crate::load::X", "4 super::super::y::Z"]);
    assert_eq!(once, wanted);
}
