//! What cases ask of the structures of the kernel's uapi headers: `sizeof(struct open_how)` and its like. Their layouts
//! are known beforehand (`kconform_abi::structure`), and no kernel is asked.

use std::ops::Range;

use kconform_abi::{Arch, Member, structure};

/// A number that a layout says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The structure's name, without `struct`.
    pub structure: String,
    /// What of it.
    pub want: LayoutWant,
}

/// What of a structure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LayoutWant {
    /// `sizeof(struct open_how)`, in bytes.
    Size,
    /// `offsetof(struct open_how, resolve)`, in bytes.
    Offset(String),
    /// The bytes of a member.
    SizeOf(String),
}

impl Layout {
    /// The number on an architecture; `None` where there is no such structure or member.
    pub fn value(&self, arch: Arch) -> Option<u64> {
        let known = structure(arch, &self.structure)?;
        Some(u64::from(match &self.want {
            LayoutWant::Size => known.size,
            LayoutWant::Offset(member) => known.member(member)?.offset,
            LayoutWant::SizeOf(member) => known.member(member)?.size,
        }))
    }

    /// The number, where it is the same on all architectures that have one.
    pub(crate) fn everywhere(&self) -> Option<u64> {
        let mut values = Arch::ALL.iter().filter_map(|&arch| self.value(arch));
        let first = values.next()?;
        values.all(|value| value == first).then_some(first)
    }
}

/// Whether the tables have a structure of that name.
pub(crate) fn is_known(name: &str) -> bool {
    Arch::ALL.iter().any(|&arch| structure(arch, name).is_some())
}

/// A member on each architecture that has it.
pub(crate) fn members(name: &str, member: &str) -> Vec<(Arch, &'static Member)> {
    let on = |&arch: &Arch| Some((arch, structure(arch, name)?.member(member)?));
    Arch::ALL.iter().filter_map(on).collect()
}

/// The names of all members on any architecture.
pub(crate) fn member_names(name: &str) -> Vec<&'static str> {
    let all = Arch::ALL.iter().filter_map(|&arch| structure(arch, name)).flat_map(|known| known.members);
    let mut names: Vec<&'static str> = Vec::new();
    for member in all {
        if !names.contains(&member.name) {
            names.push(member.name);
        }
    }
    names
}

/// Whether a text is meant to be a number that a layout says.
pub(crate) fn is_question(text: &str) -> bool {
    ["sizeof", "offsetof"]
        .iter()
        .any(|word| text.strip_prefix(word).is_some_and(|rest| rest.trim_start().starts_with('(')))
}

/// What is wrong with a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LayoutError {
    /// It is not written so.
    Form(&'static str),
    /// No structure of that name, which stands there in the text.
    Structure(Range<usize>),
    /// The structure has no member of that name, which stands there in the text.
    Member(String, Range<usize>),
}

/// Reads `sizeof(struct open_how)` or `offsetof(struct open_how, resolve)`.
pub(crate) fn parse(text: &str) -> Result<Layout, LayoutError> {
    let (word, form) = match text.starts_with("sizeof") {
        true => ("sizeof", "sizeof(struct open_how)"),
        false => ("offsetof", "offsetof(struct open_how, resolve)"),
    };
    let wrong = LayoutError::Form(form);
    let inside = text[word.len()..].trim_start().strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
    let inside = inside.ok_or(wrong.clone())?;
    let place = |part: &str| {
        let start = part.as_ptr() as usize - text.as_ptr() as usize;
        start..start + part.len()
    };
    let (structure, member) = match inside.split_once(',') {
        Some((structure, member)) => (structure, Some(member.trim())),
        None => (inside, None),
    };
    let name = structure.trim().strip_prefix("struct").filter(|rest| rest.starts_with(char::is_whitespace));
    let name = name.map(str::trim).filter(|name| !name.is_empty()).ok_or(wrong.clone())?;
    let want = match (word, member) {
        ("sizeof", None) => LayoutWant::Size,
        ("offsetof", Some(member)) if !member.is_empty() => LayoutWant::Offset(member.to_owned()),
        _ => return Err(wrong),
    };
    if !is_known(name) {
        return Err(LayoutError::Structure(place(name)));
    }
    if let Some(member) = member.filter(|member| members(name, member).is_empty()) {
        return Err(LayoutError::Member(name.to_owned(), place(member)));
    }
    Ok(Layout { structure: name.to_owned(), want })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("sizeof(struct open_how)", Some(24))]
    #[case("sizeof( struct  open_how )", Some(24))]
    #[case("sizeof (struct epoll_event)", None)]
    #[case("offsetof(struct open_how, resolve)", Some(16))]
    #[case("offsetof(struct itimerspec,it_value.tv_nsec)", Some(24))]
    fn questions_are_read(#[case] text: &str, #[case] everywhere: Option<u64>) {
        assert!(is_question(text));
        assert_eq!(parse(text).map(|layout| layout.everywhere()), Ok(everywhere));
    }

    #[rstest]
    #[case("sizeof(open_how)", LayoutError::Form("sizeof(struct open_how)"))]
    #[case("sizeof(struct open_how", LayoutError::Form("sizeof(struct open_how)"))]
    #[case("sizeof(struct)", LayoutError::Form("sizeof(struct open_how)"))]
    #[case("sizeof(struct open_how, mode)", LayoutError::Form("sizeof(struct open_how)"))]
    #[case("offsetof(struct open_how)", LayoutError::Form("offsetof(struct open_how, resolve)"))]
    #[case("sizeof(struct openhow)", LayoutError::Structure(14..21))]
    #[case("offsetof(struct open_how, mod)", LayoutError::Member("open_how".into(), 26..29))]
    fn what_is_wrong_is_said(#[case] text: &str, #[case] error: LayoutError) {
        assert_eq!(parse(text), Err(error));
    }

    #[test]
    fn numbers_are_those_of_the_architecture() {
        let size = parse("sizeof(struct epoll_event)").expect("known");
        assert_eq!((size.value(Arch::X86_64), size.value(Arch::Riscv64)), (Some(12), Some(16)));
    }
}
