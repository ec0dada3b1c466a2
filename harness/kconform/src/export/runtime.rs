//! The C functions that exported cases use, each with the names that it defines and the headers that it needs.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use super::names::identifiers;

/// All of them, in the order in which they stand in a file.
const SOURCES: [&str; 5] = [
    include_str!("runtime/core.c"),
    include_str!("runtime/memory.c"),
    include_str!("runtime/conditions.c"),
    include_str!("runtime/btf.c"),
    include_str!("runtime/blocks.c"),
];

/// A part of the sources, which is in a file whole or not at all.
struct Section {
    names: Vec<&'static str>,
    headers: Vec<&'static str>,
    text: &'static str,
    /// What it uses.
    words: BTreeSet<&'static str>,
}

static SECTIONS: LazyLock<Vec<Section>> = LazyLock::new(|| {
    let mut all = Vec::new();
    for part in SOURCES.iter().flat_map(|source| source.split("//@ ").skip(1)) {
        let (head, text) = part.split_once('\n').unwrap_or((part, ""));
        let (names, headers) = head.split_once(':').unwrap_or((head, ""));
        all.push(Section {
            names: names.split_whitespace().collect(),
            headers: headers.split_whitespace().collect(),
            text: text.trim_end(),
            words: identifiers(text).into_iter().collect(),
        });
    }
    all
});

/// What a file takes of the sources.
pub(super) struct Taken {
    /// Before the case's own types.
    pub(super) early: String,
    /// What needs the saved values.
    pub(super) late: String,
    /// The headers, sorted.
    pub(super) headers: BTreeSet<&'static str>,
}

/// What code uses, directly or not.
pub(super) fn taken(code: &str) -> Taken {
    let sections = &*SECTIONS;
    let mut wanted: BTreeSet<&str> = identifiers(code).into_iter().collect();
    let mut used = vec![false; sections.len()];
    loop {
        let before = wanted.len();
        for (nth, section) in sections.iter().enumerate() {
            if !used[nth] && section.names.iter().any(|name| wanted.contains(name)) {
                used[nth] = true;
                wanted.extend(&section.words);
            }
        }
        if wanted.len() == before {
            break;
        }
    }
    let mut taken = Taken { early: String::new(), late: String::new(), headers: BTreeSet::new() };
    for section in sections.iter().zip(used).filter(|(_, used)| *used).map(|(section, _)| section) {
        let into = if section.words.contains("saved") { &mut taken.late } else { &mut taken.early };
        into.push_str(section.text);
        into.push_str("\n\n");
        taken.headers.extend(&section.headers);
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_of_ours_is_a_constant_of_the_kernel() {
        for name in SECTIONS.iter().flat_map(|section| &section.names) {
            assert!(!kconform_abi::constant_known(name), "{name}");
        }
    }

    /// The functions of a section.
    fn defined(section: &Section) -> impl Iterator<Item = &'static str> {
        let heads = section.text.lines().filter(|line| line.starts_with("static ") && line.ends_with(')'));
        heads.filter_map(|line| {
            line.split(['*', ' ']).find_map(|word| {
                Some(word.split_once('(')?.0).filter(|name| !matches!(*name, "" | "__attribute__"))
            })
        })
    }

    /// A parameter of the same name would bring the function into files that do not call it, where gcc says that nobody uses it.
    #[test]
    fn the_names_of_functions_name_nothing_else() {
        let functions: BTreeSet<&str> = SECTIONS.iter().flat_map(defined).collect();
        assert!(functions.contains("zeroed") && functions.contains("sys_bpf"), "{functions:?}");
        let mut wrong = Vec::new();
        for section in &*SECTIONS {
            for name in identifiers(section.text).into_iter().filter(|name| functions.contains(name)) {
                let end = name.as_ptr() as usize - section.text.as_ptr() as usize + name.len();
                let is_defined_here = defined(section).any(|own| own == name);
                if !is_defined_here && !section.text[end..].starts_with('(') {
                    wrong.push(format!("{name} in {:?}", section.names));
                }
            }
        }
        assert_eq!(wrong, [""; 0]);
    }

    #[test]
    fn only_what_is_used_is_taken() {
        let taken = taken("ret = sys_bpf(0, &attr, 4); /* trouble() */");
        assert!(taken.early.contains("static long sys_bpf("), "{}", taken.early);
        assert!(!taken.early.contains("trouble"), "{}", taken.early);
        assert_eq!(taken.late, "");
    }
}
