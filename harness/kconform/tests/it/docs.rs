//! The documents lead where they say: links, headings, folders, the example of README.md, the kernels of docs/kernels.md.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use kconform::inner::Images;
use rstest::rstest;

use crate::program::Place;

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn text(path: &str) -> String {
    std::fs::read_to_string(checkout().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The documents of the checkout: those at its top, and all of docs, vm, cases and .github.
fn documents() -> Vec<String> {
    let mut found = Vec::new();
    for folder in ["", "docs/", "vm/", "cases/", ".github/"] {
        let entries = std::fs::read_dir(checkout().join(folder)).expect("a folder");
        let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
        found.extend(names.filter(|name| name.ends_with(".md")).map(|name| format!("{folder}{name}")));
    }
    found.sort();
    found
}

/// The lines outside blocks of code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut code = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !code && !fence
    })
}

/// What `[text](target)` and `![text](target)` lead to.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in prose(text) {
        for (at, _) in line.match_indices("](") {
            let rest = &line[at + 2..];
            let end = rest.find(')').unwrap_or_else(|| panic!("a link without an end: {line}"));
            found.push(rest[..end].to_owned());
        }
    }
    found
}

/// The names that forges give to the headings of a document: small letters, `-` for blanks, no other signs.
fn headings(text: &str) -> BTreeSet<String> {
    let titles =
        prose(text).filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let name = |c: char| match c {
        ' ' => Some('-'),
        c if c.is_alphanumeric() || "-_".contains(c) => Some(c.to_ascii_lowercase()),
        _ => None,
    };
    titles.map(|title| title.chars().filter_map(name).collect()).collect()
}

/// What is wrong with the links of a document.
fn broken(document: &str) -> Vec<String> {
    let here = Path::new(document).parent().expect("a folder");
    let mut found = Vec::new();
    for link in links(&text(document)) {
        if link.contains("://") {
            continue;
        }
        let (path, heading) = link.split_once('#').unwrap_or((&link, ""));
        let target = if path.is_empty() { PathBuf::from(document) } else { here.join(path) };
        let leads = if heading.is_empty() {
            checkout().join(&target).exists()
        } else {
            headings(&text(&target.to_string_lossy())).contains(heading)
        };
        if !leads {
            found.push(format!("{document}: {link}"));
        }
    }
    found
}

#[test]
fn links_lead_somewhere() {
    let documents = documents();
    for wanted in ["README.md", "docs/case-format.md", "vm/README.md", ".github/pull_request_template.md"] {
        assert!(documents.iter().any(|name| name == wanted), "{wanted} is not among {documents:?}");
    }
    let broken: Vec<String> = documents.iter().flat_map(|document| broken(document)).collect();
    assert!(broken.is_empty(), "links that lead nowhere: {broken:#?}");
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    assert_eq!(links("a [b](c.md) and ![d](e.png)\n```\n[no](link)\n```\n[f](#g)"), ["c.md", "e.png", "#g"]);
    assert_eq!(headings("# A `b`: C-d\n```sh\n# no heading\n```\n"), BTreeSet::from(["a-b-c-d".to_owned()]));
}

/// Every section of README.md is in its table of contents, in order.
#[test]
fn the_table_of_contents_is_whole() {
    let readme = text("README.md");
    let sections: Vec<&str> = prose(&readme).filter_map(|line| line.strip_prefix("## ")).collect();
    let listed: Vec<&str> = prose(&readme)
        .filter_map(|line| line.strip_prefix("- ["))
        .filter_map(|line| line.split_once("](#"))
        .map(|(title, _)| title)
        .collect();
    assert_eq!(sections.first(), Some(&"Contents"));
    assert_eq!(listed, sections[1..]);
}

/// Scripts and folders that documents name in code are there.
#[test]
fn scripts_that_documents_name_are_there() {
    let mut missing = BTreeSet::new();
    for document in documents().iter().filter(|name| *name != "CHANGELOG.md") {
        let text = text(document);
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || "/._-".contains(c)));
        for word in words.filter(|word| ["ci/", ".ci/", "tools/"].iter().any(|start| word.starts_with(start)))
        {
            let word = word.trim_end_matches(['.', '/']);
            // The kernel has a folder of that name, too.
            if !word.starts_with("tools/testing") && !checkout().join(word).exists() {
                missing.insert(format!("{document}: {word}"));
            }
        }
    }
    assert!(missing.is_empty(), "named, and not there: {missing:#?}");
}

/// README.md shows the example as it is, and it has no mistakes.
#[rstest]
#[case("README.md", "docs/examples/noexist.yaml", "2 cases in 1 file: no mistakes\n")]
fn the_example_is_as_shown(#[case] document: &str, #[case] example: &str, #[case] says: &str) {
    let shown = format!("```yaml\n{}```\n", text(example));
    assert!(text(document).contains(&shown), "{document} does not show {example} as it is");
    let checked = Place::new().say(&["check", &checkout().join(example).to_string_lossy()]);
    assert_eq!((checked.out.as_str(), checked.status), (says, Some(0)), "{}", checked.err);
}

#[test]
fn each_image_is_a_row_of_the_kernels() {
    let kernels = text("docs/kernels.md");
    for image in Images::built_in().expect("images").iter() {
        assert!(
            kernels.contains(&format!("\n| `{}` |", image.name)),
            "docs/kernels.md has no row of {}",
            image.name
        );
    }
}

/// cases/README.md leads to each folder of suites, and the suites that it names are there.
#[test]
fn the_folders_of_cases_are_told() {
    let bpf = checkout().join("cases/bpf");
    let entries = std::fs::read_dir(&bpf).expect("a folder").map(|entry| entry.expect("an entry").path());
    let name = |path: PathBuf| path.file_name().expect("a name").to_string_lossy().into_owned();
    let (folders, files): (Vec<PathBuf>, Vec<PathBuf>) = entries.partition(|path| path.is_dir());
    assert_eq!(files, Vec::<PathBuf>::new(), "suites beside the folders");
    let folders: BTreeSet<String> = folders.into_iter().map(name).collect();
    let readme = text("cases/README.md");
    let rows = readme.lines().filter_map(|line| line.strip_prefix("| [bpf/")?.split_once(']'));
    assert_eq!(rows.map(|(folder, _)| folder.to_owned()).collect::<BTreeSet<String>>(), folders);
    let mut named = 0;
    for words in readme.split('`').skip(1).step_by(2) {
        let Some((folder, suite)) = words.split_once('/').filter(|(folder, _)| folders.contains(*folder))
        else {
            continue;
        };
        let wanted = wildmatch::WildMatch::new(&format!("{suite}.yaml"));
        let files = std::fs::read_dir(bpf.join(folder)).expect("a folder");
        let found = files.map(|file| name(file.expect("a file").path())).any(|file| wanted.matches(&file));
        assert!(found || suite.is_empty(), "{words}");
        named += 1;
    }
    assert!(named > 25, "{named} suites are named");
}
