//! docs/environment.md names every environment variable that anything of the project reads, and no other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Sources that read variables whose names they are given, and how the names stand there.
const BY_NAME: &[(&str, &[&str])] = &[
    ("harness/kconform/src/bisect/state.rs", &["set(\""]),
    ("harness/kconform/src/cache_folder.rs", &["set(\""]),
    ("harness/kconform/src/cli/color.rs", &["variable(\"", "set(\""]),
    ("harness/kconform/src/cli/run.rs", &["of(\""]),
    ("harness/kconform/src/cli/shard.rs", &[]),
    ("harness/kconform/src/shard.rs", &["index: \"", "first: (\"", "count: Some(\"", "number(\""]),
    ("harness/kconform/tests/readers/mod.rs", &["\"KCONFORM_REQUIRE_"]),
];

/// What a script sets for a shell that it starts itself.
const OWN: &[(&str, &str)] = &[("ci/fresh", "RUST")];

/// Which variables are read, and by which of the files.
type Read = BTreeMap<String, BTreeSet<String>>;

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The names that follow these words.
fn after<'a>(text: &'a str, words: &'a str) -> impl Iterator<Item = &'a str> {
    text.match_indices(words).map(move |(at, _)| {
        let rest = &text[at + words.len()..];
        &rest[..rest.find(|c| !is_name(c)).unwrap_or(rest.len())]
    })
}

fn of_rust(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for words in ["env::var(\"", "env::var_os(\"", "env = \""] {
        found.extend(after(text, words).map(str::to_owned));
    }
    // Cargo sets all others for the compiler.
    let built_in = after(text, "env!(\"").filter(|name| name.starts_with("KCONFORM_"));
    found.extend(built_in.map(str::to_owned));
    for (at, _) in text.match_indices("temp_dir()") {
        found.extend(text[..at].ends_with("env::").then(|| "TMPDIR".to_owned()));
    }
    let by_name = BY_NAME.iter().find(|(file, _)| *file == path).map(|(_, words)| *words);
    for argument in
        after(text, "env::var(").chain(after(text, "env::var_os(")).filter(|name| !name.is_empty())
    {
        let constant = format!("const {argument}: &str = \"");
        match after(text, &constant).next() {
            Some(name) => found.push(name.to_owned()),
            None => assert!(by_name.is_some(), "{path}: which variables are read by `{argument}`?"),
        }
    }
    for words in by_name.unwrap_or_default() {
        let begins = words.rfind('"').map_or("", |at| &words[at + 1..]);
        found.extend(after(text, words).map(|name| format!("{begins}{name}")));
    }
    found.retain(|name| !name.is_empty());
    found
}

fn of_shell(text: &str) -> Vec<String> {
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .fold(String::new(), |all, line| all + line + "\n");
    let assigned = |name: &str| {
        let own = [format!("{name}="), format!("for {name} in"), format!("read -r {name}")];
        own.iter().any(|own| {
            code.match_indices(own.as_str())
                .any(|(at, _)| !code[..at].ends_with(|c: char| is_name(c) || c == '$' || c == '{'))
        })
    };
    let mut found = Vec::new();
    for (words, ends) in [("${", true), ("$", false)] {
        for (at, _) in code.match_indices(words) {
            let rest = &code[at + words.len()..];
            let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
            let (name, next) = rest.split_at(end);
            let has_default = ends && next.starts_with([':', '-', '+']);
            let is_variable = name.len() > 1
                && name.chars().all(|c| c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit());
            if is_variable
                && name.starts_with(|c: char| c.is_ascii_uppercase())
                && (has_default || !assigned(name))
            {
                found.push(name.to_owned());
            }
        }
    }
    // `${!name}`: those that a loop names.
    if code.contains("${!name") {
        let loops = code.match_indices("for name in ").map(|(at, words)| &code[at + words.len()..]);
        let lists = loops.filter_map(|rest| rest.split(';').next());
        found.extend(lists.flat_map(str::split_whitespace).map(str::to_owned));
    }
    // What bash says of itself.
    found.retain(|name| !name.starts_with("BASH"));
    found
}

fn of_python(text: &str) -> Vec<String> {
    ["environ.get(\"", "environ[\"", "getenv(\""]
        .iter()
        .flat_map(|words| after(text, words))
        .map(str::to_owned)
        .collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    // What cargo builds is none of ours.
    let ours = entries.filter(|path| !path.join("CACHEDIR.TAG").exists());
    ours.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn read() -> Read {
    let mut all = Read::new();
    for folder in ["harness", "ci", ".ci", "tools"] {
        for path in files(&root().join(folder)) {
            let name = path.strip_prefix(root()).expect("below it").display().to_string();
            // This file names what is searched for.
            if name.ends_with("it/environment.rs") {
                continue;
            }
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            let first = text.lines().next().unwrap_or_default();
            let found = match path.extension().and_then(|end| end.to_str()) {
                Some("rs") => of_rust(&name, &text),
                Some("py") => of_python(&text),
                None if first.starts_with("#!") && first.contains("python") => of_python(&text),
                None if first.starts_with("#!") => of_shell(&text),
                _ => continue,
            };
            for variable in found.into_iter().filter(|it| !OWN.contains(&(name.as_str(), it.as_str()))) {
                all.entry(variable).or_default().insert(name.clone());
            }
        }
    }
    all
}

/// The names in the first column of its tables.
fn documented() -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join("docs/environment.md")).expect("the table");
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.filter_map(|row| row.split('|').nth(1));
    let names = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned);
    names.collect()
}

#[test]
fn every_variable_that_is_read_is_documented() {
    let (read, documented) = (read(), documented());
    let missing: Vec<_> = read.iter().filter(|(name, _)| !documented.contains(*name)).collect();
    assert!(missing.is_empty(), "not in docs/environment.md: {missing:#?}");
    let unread: Vec<_> = documented.iter().filter(|name| !read.contains_key(*name)).collect();
    assert!(unread.is_empty(), "docs/environment.md names what nothing reads: {unread:#?}");
}

#[test]
fn variables_are_found_wherever_they_are_read() {
    let rust = "const CHOICE: &str = \"A_B\"; env::var(CHOICE); std::env::var_os(\"C\"); #[arg(env = \"D\")] env!(\"CARGO_X\") \
                option_env!(\"KCONFORM_E\") std::env::temp_dir()";
    assert_eq!(of_rust("x.rs", rust), ["C", "D", "KCONFORM_E", "TMPDIR", "A_B"]);
    let shell = "#!/bin/bash\n# $NOT_THIS\nOWN=1\necho $OWN ${OWN} ${ASKED:-} \"$READ\" $1 ${BASH_SOURCE[0]}\n\
                 for name in low high; do echo ${!name}; done\n";
    assert_eq!(of_shell(shell), ["ASKED", "READ", "low", "high"]);
    assert_eq!(of_python("os.environ.get(\"A\") or os.environ[\"B\"]"), ["A", "B"]);
}
