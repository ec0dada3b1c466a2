//! What is said of text that is no YAML.

use rstest::rstest;

use super::{load, message, snapshot, suite};
use crate::place::Mistake;

/// Cases with one of these mistakes each.
const BROKEN: &[(&str, &str)] = &[
    ("a list is open, and a case follows", "      - close: [1\n  - name: y\n    steps: []\n"),
    ("a list is open, and a key of the step follows", "      - dup: [1\n        save: fd\n"),
    ("a list is open, and a step follows", "      - bpf: [1, {a: 1}\n      - close: [1]\n"),
    ("two are open, and a step follows", "      - bpf: [1, {a: 1\n      - close: [1]\n"),
    ("a list is open, and the file ends", "      - close: [1\n"),
    ("a mapping is open, and its list is closed", "      - bpf: [1, {a: 1]\n      - close: [1]\n"),
    ("a list is open, and its mapping is closed", "      - {close: [1}\n      - close: [1]\n"),
    ("over lines", "      - bpf: [1,\n              {a: 1, b: [2, 3},\n              4]\n"),
    ("a comma is missing", "      - bpf: [1, {a: 1}\n              {a: 2}]\n"),
    ("a comma is missing on the line", "      - bpf: [1, {a: 1} {a: 2}]\n"),
    ("one bracket too many", "      - close: [1]]\n"),
    ("one bracket of another kind too many", "      - close: [1]}\n"),
    (
        "brackets in words are none",
        "      - close: [1]\n        about: what [is open\n      - dup: [1\n      - dup: [2]\n",
    ),
    (
        "brackets in quotes and comments are none",
        "      - write: [1, {str: \"[{\"}] # [\n      - dup: [1\n      - dup: [2]\n",
    ),
    ("a quote is open, and the file ends", "      - write: [1, {str: \"x}, 1]\n"),
    (
        "a quote is open, and a quote follows",
        "      - write: [1, {str: \"x}, 1]\n      - write: [1, {str: \"y\"}, 1]\n",
    ),
    ("a single quote is open", "      - write: [1, {str: 'it''s}, 1]\n"),
    ("a key has less", "      - dup: [1]\n       save: fd\n"),
    ("a key has more", "      - dup: [1]\n         save: fd\n"),
    ("a step has less", "      - dup: [1]\n     - dup: [2]\n"),
    ("a step has more", "      - dup: [1]\n       - dup: [2]\n"),
    ("a key like the steps", "      - dup: [1]\n      save: fd\n"),
    ("a step like the keys", "      - dup: [1]\n    - dup: [2]\n"),
    ("a key of the case has more", "      - dup: [1]\n     tags: [a]\n"),
    ("a key below a word", "      - dup: [1]\n    about: text\n      tags: [a]\n"),
    ("a case has more", "      - dup: [1]\n   - name: y\n"),
    (
        "text of many lines before it",
        "      - dup: [1]\n        about: |\n          some [ text:\n           - and more\n       save: fd\n",
    ),
    ("a comment before it", "      - dup: [1]\n  # [ about: x\n       save: fd\n"),
];

#[test]
fn broken_text_is_explained() {
    let mut told = String::new();
    for (what, steps) in BROKEN {
        let loaded = load(&[suite("s", &format!("cases:\n  - name: x\n    steps:\n{steps}"))]);
        assert!(!loaded.mistakes.is_empty(), "{what}");
        told.push_str(&format!("== {what}\n{}", message::render(&loaded.mistakes, false)));
    }
    snapshot("bad", "broken", &told);
}

/// Whichever bracket is lost, the line where it was is told.
#[rstest]
#[case::arguments(include_str!("../../../tests/data/good/arguments.yaml"))]
#[case::blocks(include_str!("../../../tests/data/good/blocks.yaml"))]
#[case::format(include_str!("../../../tests/data/good/format.yaml"))]
fn a_lost_bracket_is_found(#[case] text: &str) {
    let mut lost = 0;
    for (at, bracket) in text.match_indices(['[', ']', '{', '}']) {
        let (before, after) = text.split_at(at);
        let loaded = load(&[suite("s", &format!("{before}{}", &after[1..]))]);
        let line = before.matches('\n').count() + 1;
        let broken = |mistake: &&Mistake| mistake.text.starts_with("not YAML");
        let Some(mistake) = loaded.mistakes.iter().find(broken) else { continue };
        let places = std::iter::once(&mistake.place).chain(mistake.see.iter().map(|(place, _)| place));
        let lines: Vec<_> = places.map(|place| place.line_column().0).collect();
        let told = message::render(&loaded.mistakes, false);
        let around = lines.iter().min() <= Some(&line) && Some(&line) <= lines.iter().max();
        assert!(around, "{bracket} of line {line} is lost:\n{told}");
        lost += 1;
    }
    assert!(lost > 20, "{lost}");
}
