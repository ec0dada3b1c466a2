//! Of two mistakes on one line both are told at once.

use std::ops::Range;

use rstest::rstest;

use super::{load, suite};

/// The words of a line, by their place in the text.
fn words(text: &str) -> Vec<(usize, usize)> {
    let inside = |c: char| c.is_ascii_alphanumeric() || "_$".contains(c);
    let mut words = Vec::new();
    let mut start = None;
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        match (start, inside(c)) {
            (None, true) => start = Some(at),
            (Some(from), false) => {
                words.push((from, at));
                start = None;
            }
            _ => {}
        }
    }
    words
}

/// The places, from the start of the file, at which a text has mistakes.
fn wrong(text: &str) -> Vec<Range<usize>> {
    let loaded = load(&[suite("s", text)]);
    loaded.mistakes.iter().map(|mistake| mistake.place.start..mistake.place.end).collect()
}

fn misspelt(text: &str, at: &[(usize, usize)]) -> String {
    let mut text = text.to_owned();
    for &(_, end) in at.iter().rev() {
        text.insert_str(end, "qx");
    }
    text
}

/// Each word of a line is misspelt, alone and with each later one: whatever is told alone is told then, too.
#[rstest]
#[case::arguments(include_str!("../../../tests/data/format/arguments.yaml"), 23)]
#[case::bpf(include_str!("../../../tests/data/format/bpf.yaml"), 13)]
#[case::blocks(include_str!("../../../tests/data/format/blocks.yaml"), 29)]
#[case::fine_print(include_str!("../../../tests/data/format/fine_print.yaml"), 7)]
fn both_mistakes_of_a_line_are_told(#[case] text: &str, #[case] each: usize) {
    assert!(wrong(text).is_empty());
    let (mut start, mut pairs, mut missed) = (0, 0, Vec::new());
    let mut merged = false;
    for line in text.split_inclusive('\n') {
        let all: Vec<_> = words(line).into_iter().map(|(from, to)| (start + from, start + to)).collect();
        start += line.len();
        for (nth, &first) in all.iter().enumerate() {
            // Without the name of a parameter nothing is known of what it stands for.
            let named =
                text[first.1..].starts_with(':') && (line.contains("matrix: ") || line.contains("{case: "));
            // Beside a misspelt key the merged one stays. A number that is none may be a command, which fields belong to; what
            // is misspelt in an attr is one of its fields.
            let other = merged
                || text[first.0..].starts_with(|c: char| c.is_ascii_digit())
                || text[..first.0].ends_with("BPF_MAP_CREATE, {");
            for &second in all[nth + 1..].iter().filter(|_| !named && !other) {
                pairs += 1;
                if pairs % each == 0 && !told_as_alone(text, first, second) {
                    let (first, second) = (&text[first.0..first.1], &text[second.0..second.1]);
                    missed.push(format!("{first} and {second} of {}", line.trim()));
                }
            }
        }
        merged = line.contains("<<:");
    }
    assert!(pairs > 20 * each, "{pairs}");
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

fn told_as_alone(text: &str, first: (usize, usize), second: (usize, usize)) -> bool {
    let told = |all: &[Range<usize>], (from, to): (usize, usize)| {
        all.iter().any(|place| place.start <= from && to <= place.end && place.len() < 3 + to - from)
    };
    let later = (second.0 + 2, second.1 + 2);
    if !told(&wrong(&misspelt(text, &[first])), first) || !told(&wrong(&misspelt(text, &[second])), second) {
        return true;
    }
    let both = wrong(&misspelt(text, &[first, second]));
    told(&both, first) && told(&both, later)
}
