//! No case holds what makes a kernel crash (docs/kernel-bugs.md), as far as words can tell.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What is said of a kernel that comes to harm, in small letters. Spaces also stand for hyphens.
const WORDS: &[&str] = &[
    "panic",
    "oops",
    "crash",
    "kernel bug",
    "bug at",
    "dies of",
    "kasan",
    "kcsan",
    "kfence",
    "kmsan",
    "ubsan",
    "lockdep",
    "lockup",
    "deadlock",
    "double free",
    "null pointer dereference",
    "null ptr deref",
    "out of bounds",
    "stack overflow",
    "buffer overflow",
    "use after free",
];

/// The words of a line that stand at the beginning of one of the line's words: `loops` holds no `oops`.
fn of_harm(line: &str) -> Option<&'static str> {
    let line = line.to_lowercase().replace('-', " ");
    WORDS.iter().copied().find(|word| {
        line.match_indices(word).any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric()))
    })
}

fn case_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            case_files(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "yaml") {
            found.push(path);
        }
    }
}

#[test]
fn no_case_speaks_of_a_crash() {
    let mut files = Vec::new();
    case_files(&root().join("cases"), &mut files);
    assert!(files.len() > 100, "only {} case files were found", files.len());
    let mut found = Vec::new();
    for file in &files {
        let text = fs::read_to_string(file).expect("a case file");
        for (number, line) in text.lines().enumerate() {
            if let Some(word) = of_harm(line) {
                found.push(format!("{}:{}: {word}: {}", file.display(), number + 1, line.trim()));
            }
        }
    }
    assert!(
        found.is_empty(),
        "a case that harms a kernel is taken out, and told in docs/kernel-bugs.md without the input:\n{}",
        found.join("\n")
    );
}

#[rstest::rstest]
#[case::a_comment("# Linux 7.2 panics there", Some("panic"))]
#[case::capitals("about: and UBSAN reports it", Some("ubsan"))]
#[case::hyphens("source: \"Fix use-after-free in x\"", Some("use after free"))]
#[case::the_kernels_own_words("# \"kernel BUG at fs/x.c:1!\"", Some("kernel bug"))]
#[case::inside_another_word("about: There are no loops.", None)]
#[case::harmless("- {case: a leaked pointer, errno: EACCES}", None)]
fn words_of_harm(#[case] line: &str, #[case] expected: Option<&str>) {
    assert_eq!(of_harm(line), expected);
}

/// An errno that cases leave out has a bug that explains it.
#[test]
fn what_is_left_out_is_told() {
    let told = fs::read_to_string(root().join("docs/kernel-bugs.md")).expect("docs/kernel-bugs.md");
    let mut left_out = 0;
    for (command, errno) in
        kconform_abi::bpf::returns().flat_map(|row| row.errnos.iter().map(|e| (row.command, e)))
    {
        if errno.beyond.is_some_and(|why| why.contains("docs/kernel-bugs.md")) {
            left_out += 1;
            let function = errno.from.split(", ").find(|function| told.contains(&format!("`{function}()`")));
            assert!(
                function.is_some(),
                "{command} {}: docs/kernel-bugs.md names none of {}",
                errno.errno,
                errno.from
            );
        }
    }
    assert!(left_out > 0, "nothing is left out: does the reason still name docs/kernel-bugs.md?");
}
