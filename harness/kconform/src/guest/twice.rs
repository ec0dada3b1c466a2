//! A key that an image file has twice, by its place, which serde does not tell.

use saphyr_parser::{Event, Parser};

/// A key that is there again in the same mapping.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Twice {
    pub(super) key: String,
    /// The line of the second, from 1.
    pub(super) line: usize,
    /// Its column, from 1, in characters.
    pub(super) column: usize,
    /// The line of the first.
    pub(super) first: usize,
}

/// What is being read: a list, or a mapping with its keys so far and their lines, and whether a key is next.
enum Within {
    List,
    Mapping { keys: Vec<(String, usize)>, key_is_next: bool },
}

/// The first key that is there twice; none in what is no YAML.
pub(super) fn twice(text: &str) -> Option<Twice> {
    let mut stack: Vec<Within> = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.ok()?;
        match event {
            Event::SequenceStart(..) => stack.push(Within::List),
            Event::MappingStart(..) => stack.push(Within::Mapping { keys: Vec::new(), key_is_next: true }),
            Event::Scalar(ref word, ..) => {
                if let Some(Within::Mapping { keys, key_is_next: true }) = stack.last_mut() {
                    let (line, column) = (span.start.line(), span.start.col() + 1);
                    if let Some((key, first)) = keys.iter().find(|(key, _)| key.as_str() == &**word) {
                        return Some(Twice { key: key.clone(), line, column, first: *first });
                    }
                    keys.push((word.to_string(), line));
                }
            }
            Event::SequenceEnd | Event::MappingEnd => drop(stack.pop()),
            _ => {}
        }
        // What has just ended was a key or a value.
        let ended =
            matches!(event, Event::Scalar(..) | Event::Alias(_) | Event::SequenceEnd | Event::MappingEnd);
        if let (true, Some(Within::Mapping { key_is_next, .. })) = (ended, stack.last_mut()) {
            *key_is_next = !*key_is_next;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::none("a: 1\nb: {a: 1}\nc: [a, a]\nd: a\n", None)]
    #[case::at_the_end("a: 1\nb: 2\na: 3\n", Some(("a", 3, 1, 1)))]
    #[case::within("a:\n  x: 1\n  y: [1, {z: 2}]\n  x: 3\n", Some(("x", 4, 3, 2)))]
    #[case::in_braces("a: {ä: 1, x: 2, x: 3}\n", Some(("x", 1, 17, 1)))]
    #[case::no_yaml("a: [\na: 1", None)]
    fn keys(#[case] text: &str, #[case] found: Option<(&str, usize, usize, usize)>) {
        let found = found.map(|(key, line, column, first)| Twice { key: key.into(), line, column, first });
        assert_eq!(twice(text), found);
    }
}
