//! A structure of the uapi headers, for people: `kconform explain open_how`.

use std::fmt::Write;

use kconform_abi::{Arch, Member, MemberKind, Structure, structure};

use crate::style::Style;

use super::prototype::join;

/// A structure's members with their places, and an example; `arch` is whose layout is shown first.
pub fn layouts(name: &str, arch: Arch, style: Style) -> String {
    let mut out = String::new();
    let forms = forms(name, arch);
    for (known, arches) in &forms {
        let only = if forms.len() > 1 { format!(" on {}", join(arches)) } else { String::new() };
        // Writing to a string cannot fail.
        let title = style.strong(&format!("struct {name}"));
        let _ = writeln!(out, "{title}{only}, {} bytes, {}", known.size, known.header);
        out.push_str(&table(known));
        out.push('\n');
    }
    if let Some((known, _)) = forms.first() {
        let _ = writeln!(out, "A buffer: {}", example(known));
        let _ = writeln!(out, "Its size: sizeof(struct {name})");
    }
    out
}

fn forms(name: &str, first: Arch) -> Vec<(Structure, Vec<Arch>)> {
    let mut forms: Vec<(Structure, Vec<Arch>)> = Vec::new();
    let others = Arch::ALL.iter().copied().filter(|&arch| arch != first);
    for arch in std::iter::once(first).chain(others) {
        let Some(known) = structure(arch, name) else { continue };
        let same = |other: &Structure| other.size == known.size && other.members == known.members;
        match forms.iter_mut().find(|(other, _)| same(other)) {
            Some((_, arches)) => arches.push(arch),
            None => forms.push((known, vec![arch])),
        }
    }
    forms
}

fn table(known: &Structure) -> String {
    let width = known.members.iter().map(|member| member.name.len()).max().unwrap_or(0);
    let line = |member: &Member| {
        let bytes = if member.size == 1 { "1 byte".to_owned() } else { format!("{} bytes", member.size) };
        let kind = match member.kind {
            MemberKind::Int => format!("number of {bytes}"),
            MemberKind::Pointer => "pointer".to_owned(),
            MemberKind::Bytes if member.size == 0 => "as long as it needs, behind the structure".to_owned(),
            MemberKind::Bytes => bytes,
            MemberKind::Bits { count: 1, .. } => format!("1 bit of {bytes}"),
            MemberKind::Bits { count, .. } => format!("{count} bits of {bytes}"),
        };
        format!("  {:4}  {:width$}  {kind}\n", member.offset, member.name)
    };
    known.members.iter().map(line).collect()
}

/// A buffer of it, with its first member.
pub(crate) fn example(known: &Structure) -> String {
    let written = known.members.iter().find(|member| member.size > 0);
    let value = |member: &Member| match member.kind {
        MemberKind::Int | MemberKind::Bits { .. } => "1".to_owned(),
        MemberKind::Pointer => "null".to_owned(),
        MemberKind::Bytes => format!("{{zero: {}}}", member.size),
    };
    let members = written.map_or(String::new(), |member| format!("{}: {}", member.name, value(member)));
    format!("{{struct: [{}, {{{members}}}]}}", known.name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use super::*;
    use crate::place::File;

    #[test]
    fn every_example_is_a_right_buffer() {
        let names: BTreeSet<&str> = kconform_abi::structure_names().collect();
        let step = |name: &&str| {
            let known = structure(Arch::Riscv64, name).expect("known");
            format!("      - write: [1, {}, sizeof(struct {name})]\n", example(&known))
        };
        let steps: String = names.iter().map(step).collect();
        let file = Arc::new(File {
            path: "all.yaml".into(),
            text: format!("cases:\n  - name: all\n    steps:\n{steps}"),
        });
        let loaded = crate::load::load(&[crate::load::SuiteFile { suite: "all".into(), file }]);
        assert_eq!(crate::load::message::render(&loaded.mistakes, false), "");
    }
}
