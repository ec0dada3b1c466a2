//! The C functions that exported cases use, each with the names that it defines and the headers that it needs.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use super::Manner;
use super::names::identifiers;

/// All of them, in the order in which they stand in a file.
const SOURCES: [&str; 5] = [
    include_str!("runtime/core.c"),
    include_str!("runtime/memory.c"),
    include_str!("runtime/conditions.c"),
    include_str!("runtime/btf.c"),
    include_str!("runtime/blocks.c"),
];

/// What a test of kselftest_harness.h has in place of those of the same names.
const KSELFTEST: &str = include_str!("runtime/kselftest.c");

/// A part of the sources, which is in a file whole or not at all.
#[derive(Clone)]
struct Section {
    names: Vec<&'static str>,
    headers: Vec<&'static str>,
    text: &'static str,
    /// What it uses.
    words: BTreeSet<&'static str>,
}

/// The sections of each manner.
static SECTIONS: LazyLock<[Vec<Section>; 2]> = LazyLock::new(|| {
    let alone: Vec<Section> = SOURCES.iter().flat_map(|source| sections(source)).collect();
    let mut harness = alone.clone();
    for section in sections(KSELFTEST) {
        let replaced = harness.iter_mut().find(|other| other.names.first() == section.names.first());
        if let Some(replaced) = replaced {
            *replaced = section;
        }
    }
    [alone, harness]
});

fn sections(source: &'static str) -> Vec<Section> {
    let mut all = Vec::new();
    for part in source.split("//@ ").skip(1) {
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
}

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
pub(super) fn taken(code: &str, manner: Manner) -> Taken {
    let sections = match manner {
        Manner::Alone => &SECTIONS[0],
        Manner::Kselftest => &SECTIONS[1],
    };
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
        for name in SECTIONS.iter().flatten().flat_map(|section| &section.names) {
            assert!(!kconform_abi::constant_known(name), "{name}");
        }
    }

    /// What a test of the harness has in place of something else takes its place.
    #[test]
    fn each_section_for_the_harness_replaces_one() {
        let [alone, harness] = &*SECTIONS;
        let names = |all: &[Section]| all.iter().map(|section| section.names[0]).collect::<Vec<_>>();
        assert_eq!(names(alone), names(harness));
        let replaced: Vec<_> =
            alone.iter().zip(harness).filter(|(one, other)| one.text != other.text).collect();
        assert_eq!(replaced.len(), sections(KSELFTEST).len());
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
        let functions: BTreeSet<&str> = SECTIONS.iter().flatten().flat_map(defined).collect();
        assert!(functions.contains("zeroed") && functions.contains("sys_bpf"), "{functions:?}");
        let mut wrong = Vec::new();
        for section in SECTIONS.iter().flatten() {
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
        let taken = taken("ret = sys_bpf(0, &attr, 4); /* trouble() */", Manner::Alone);
        assert!(taken.early.contains("static long sys_bpf("), "{}", taken.early);
        assert!(!taken.early.contains("trouble"), "{}", taken.early);
        assert_eq!(taken.late, "");
    }
}
