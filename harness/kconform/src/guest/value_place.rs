//! Where a value of an image file stands, which serde does not tell once all is read.

use saphyr_parser::{Event, Parser};

/// A mapping or a list that is being read. Of a mapping, the key whose value is next; none where a key is next.
struct Within {
    mapping: bool,
    key: Option<String>,
}

/// The line and the column, from 1, of the value below these keys; none in what has no such value.
pub(super) fn value_place(text: &str, keys: &[&str]) -> Option<(usize, usize)> {
    let mut stack: Vec<Within> = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.ok()?;
        let begins = match event {
            Event::Scalar(..) | Event::Alias(_) => None,
            Event::MappingStart(..) => Some(true),
            Event::SequenceStart(..) => Some(false),
            Event::MappingEnd | Event::SequenceEnd => {
                stack.pop();
                stack.last_mut()?.key = None;
                continue;
            }
            _ => continue,
        };
        if let (Event::Scalar(word, ..), Some(Within { mapping: true, key: key @ None })) =
            (&event, stack.last_mut())
        {
            *key = Some(word.to_string());
            continue;
        }
        if stack.iter().map(|within| within.key.as_deref()).eq(keys.iter().copied().map(Some)) {
            return Some((span.start.line(), span.start.col() + 1));
        }
        match begins {
            Some(mapping) => stack.push(Within { mapping, key: None }),
            None => stack.last_mut()?.key = None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::in_braces("a: path\npath: x\nkernel: {config: c, path: y}\n", Some((3, 27)))]
    #[case::in_lines("a: [path, {kernel: 1}]\nkernel:\n  x: {path: z}\n  path: y\n", Some((4, 9)))]
    #[case::not_there("a: {path: y}\nkernel: {x: {path: y}}\n", None)]
    #[case::in_a_list("- {kernel: {path: y}}\n", None)]
    #[case::no_yaml("kernel: [\na: 1", None)]
    fn values(#[case] text: &str, #[case] found: Option<(usize, usize)>) {
        assert_eq!(value_place(text, &["kernel", "path"]), found);
    }
}
