//! What holds for any text and any table.

use std::collections::HashSet;

use proptest::prelude::*;

use super::{load, message, suite};

/// Words that case files are made of, and those that YAML trips over.
const WORDS: &[&str] = &[
    "cases:",
    "name:",
    "steps:",
    "each:",
    "matrix:",
    "- ",
    "\n",
    "\n  ",
    "\n    ",
    "{",
    "}",
    "[",
    "]",
    ", ",
    ": ",
    "$a",
    "bpf",
    "BPF_MAP_CREATE",
    "close:",
    "fork:",
    "errno:",
    "save:",
    "expect:",
    "{u32: ",
    "{out: 8}",
    "<<: ",
    "*a",
    "&a ",
    "!CONFIG_X",
    "\"",
    "'",
    "|",
    ">",
    "#",
    "---\n",
    "\t",
    "é",
    "\u{feff}",
    "\r\n",
    "?",
    "@1",
    "-1",
    "0x",
    "null",
    "~",
    "x",
];

fn words() -> impl Strategy<Value = String> {
    proptest::collection::vec(proptest::sample::select(WORDS), 0..40).prop_map(|words| words.concat())
}

/// A good file with some of it replaced.
fn damaged() -> impl Strategy<Value = String> {
    const GOOD: &[&str] = &[
        include_str!("../../../tests/data/good/format.yaml"),
        include_str!("../../../tests/data/good/arguments.yaml"),
        include_str!("../../../tests/data/good/blocks.yaml"),
        include_str!("../../../tests/data/good/tables.yaml"),
        include_str!("../../../tests/data/good/cases.yaml"),
    ];
    let change = (any::<prop::sample::Index>(), 0..12_usize, proptest::sample::select(WORDS));
    (proptest::sample::select(GOOD), proptest::collection::vec(change, 1..4)).prop_map(|(text, changes)| {
        let mut letters: Vec<char> = text.chars().collect();
        for (at, length, word) in changes {
            let at = at.index(letters.len());
            let end = (at + length).min(letters.len());
            letters.splice(at..end, word.chars());
        }
        letters.into_iter().collect()
    })
}

/// Reads a text and renders what is wrong with it; every place must be in the file.
fn read(text: &str) {
    let loaded = load(&[suite("s", text)]);
    for mistake in &loaded.mistakes {
        assert!(mistake.place.start <= mistake.place.end, "{mistake:?}");
        assert!(text.get(mistake.place.start..mistake.place.end).is_some(), "{mistake:?}");
    }
    message::render(&loaded.mistakes, false);
    message::json(&loaded.mistakes).expect("JSON");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_words_are_too_much(text in words()) {
        read(&text);
    }

    #[test]
    fn no_damage_is_too_much(text in damaged()) {
        read(&text);
    }

    #[test]
    fn no_text_is_too_much(text in "\\PC{0,60}") {
        read(&text);
        read(&format!("cases:\n  - name: {text}\n"));
    }

    #[test]
    fn a_table_and_a_matrix_multiply(rows in 0..4_usize, axes in proptest::collection::vec(1..4_usize, 0..4)) {
        let mut text = String::from("cases:\n  - name: x\n");
        let mut args: Vec<String> = Vec::new();
        if rows > 0 {
            let rows: Vec<_> = (0..rows).map(|n| format!("{{case: row {n}, r: {n}}}")).collect();
            text += &format!("    each: [{}]\n", rows.join(", "));
            args.push("$r".into());
        }
        let points: Vec<_> = axes.iter().enumerate().map(|(axis, values)| {
            args.push(format!("$a{axis}"));
            format!("a{axis}: [{}]", (0..*values).map(|v| v.to_string()).collect::<Vec<_>>().join(", "))
        }).collect();
        if !points.is_empty() {
            text += &format!("    matrix: {{{}}}\n", points.join(", "));
        }
        text += &format!("    steps: [{{mmap: [{}]}}]\n", args.join(", "));
        let cases = super::cases(&text);
        prop_assert_eq!(cases.len(), rows.max(1) * axes.iter().product::<usize>());
        let ids: HashSet<_> = cases.iter().map(|case| &case.id).collect();
        prop_assert_eq!(ids.len(), cases.len());
    }
}
