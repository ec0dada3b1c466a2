//! What cases ask of the types of the kernel under test: `btf_id(struct tcp_congestion_ops)` and its like.

use std::ops::Range;

use kconform_plan::{BtfQuery, BtfWant};

/// Kinds of types as they are written, with the numbers of `BTF_KIND_…` in `linux/btf.h`.
const KINDS: &[(&str, u8)] = &[
    ("int", 1),
    ("struct", STRUCT),
    ("union", UNION),
    ("enum", 6),
    ("typedef", 8),
    ("func", 12),
    ("var", 14),
    ("enum64", 19),
];
const STRUCT: u8 = 4;
const UNION: u8 = 5;

/// What may be asked, and how it is written.
const QUESTIONS: &[(&str, &str)] = &[
    ("btf_id", "btf_id(struct tcp_congestion_ops)"),
    ("btf_size", "btf_size(struct tcp_congestion_ops)"),
    ("btf_offset", "btf_offset(struct tcp_congestion_ops, ssthresh)"),
    ("btf_index", "btf_index(struct tcp_congestion_ops, ssthresh)"),
];

/// What is wrong with a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BtfError {
    /// Bytes of the text that are wrong.
    pub(crate) range: Range<usize>,
    /// What is wrong.
    pub(crate) text: String,
    /// What would be right.
    pub(crate) help: Option<String>,
}

/// Whether a text is meant to be a question about a type.
pub(crate) fn is_question(text: &str) -> bool {
    text.starts_with("btf_") && text.contains('(')
}

/// The names of all questions.
pub(crate) fn questions() -> impl Iterator<Item = &'static str> {
    QUESTIONS.iter().map(|(name, _)| *name)
}

/// The words for kinds of types.
pub(crate) fn kinds() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|(word, _)| *word)
}

/// The word for a kind of type, by its number.
pub(crate) fn kind_word(kind: u8) -> &'static str {
    KINDS.iter().find(|(_, number)| *number == kind).map_or("type", |(word, _)| word)
}

/// The question for the size of a structure; `None` for what is no name.
pub(crate) fn structure(name: &str) -> Option<BtfQuery> {
    is_identifier(name).then(|| BtfQuery { kind: STRUCT, name: name.to_owned(), want: BtfWant::Size })
}

/// The question for the offset of a structure's member; `None` for what is no name.
pub(crate) fn member(structure: &BtfQuery, path: &str) -> Option<BtfQuery> {
    let want = BtfWant::Offset(path.to_owned());
    path.split('.').all(is_identifier).then(|| BtfQuery { want, ..structure.clone() })
}

/// Reads a question: `btf_offset(struct tcp_congestion_ops, ssthresh)`.
pub(crate) fn parse(text: &str) -> Result<BtfQuery, BtfError> {
    let (word, rest) = split(text, 0, |c| c == '(' || c.is_whitespace());
    let Some(&(_, form)) = QUESTIONS.iter().find(|(name, _)| *name == &text[word.clone()]) else {
        let near = kconform_abi::nearest(&text[word.clone()], questions());
        let help = match near {
            Some(near) => format!("did you mean {near}?"),
            None => format!("there are {}", questions().collect::<Vec<_>>().join(", ")),
        };
        let unknown = format!("{} is nothing that can be asked of a type", &text[word.clone()]);
        return Err(BtfError { range: word, text: unknown, help: Some(help) });
    };
    let wrong = |range: Range<usize>, what: &str| {
        Err(BtfError { range, text: what.to_owned(), help: Some(format!("it is written {form}")) })
    };
    let whole = 0..text.len();
    let inside = text[rest..].trim_start().strip_prefix('(').and_then(|inside| inside.strip_suffix(')'));
    let Some(inside) = inside else { return wrong(whole, "a question about a type needs its parentheses") };
    let start = text.len() - 1 - inside.len();
    let end = text.len() - 1;
    let (kind, rest) = split(text, start, char::is_whitespace);
    let Some(&(_, number)) = KINDS.iter().find(|(word, _)| *word == &text[kind.clone()]) else {
        if kind.end >= end {
            return wrong(start..end, "the kind of the type and its name belong here");
        }
        let all = format!("there are {}", kinds().collect::<Vec<_>>().join(", "));
        let near = kconform_abi::nearest(&text[kind.clone()], kinds());
        let help = near.map_or(all, |near| format!("did you mean {near}?"));
        let unknown = format!("unknown kind of type {}", &text[kind.clone()]);
        return Err(BtfError { range: kind, text: unknown, help: Some(help) });
    };
    let parts: Vec<&str> = text[rest..end].split(',').collect();
    let name = parts.first().map_or("", |name| name.trim());
    if !is_identifier(name) {
        return wrong(rest..end, "not the name of a type");
    }
    let member = match (takes_member(&text[word.clone()]), parts.as_slice()) {
        (false, [_]) => None,
        (true, [_, member]) => Some(member.trim()),
        (false, _) => return wrong(rest..end, "this question is of the type alone"),
        (true, _) => return wrong(rest..end, "this question is of one member"),
    };
    let dotted = &text[word.clone()] == "btf_offset";
    if member.is_some_and(|member| !member.split('.').all(is_identifier) || !dotted && member.contains('.')) {
        return wrong(rest..end, "not the name of a member");
    }
    if member.is_some() && !matches!(number, STRUCT | UNION) {
        return wrong(kind, "only a struct or a union has members");
    }
    let want = match (&text[word], member) {
        ("btf_offset", Some(member)) => BtfWant::Offset(member.to_owned()),
        (_, Some(member)) => BtfWant::Index(member.to_owned()),
        ("btf_size", None) if matches!(&text[kind.clone()], "func" | "typedef" | "var") => {
            return wrong(kind, "only a struct, union, enum or int has its size here");
        }
        ("btf_size", None) => BtfWant::Size,
        _ => BtfWant::Id,
    };
    Ok(BtfQuery { kind: number, name: name.to_owned(), want })
}

fn takes_member(question: &str) -> bool {
    matches!(question, "btf_offset" | "btf_index")
}

fn is_identifier(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && text.starts_with(|c: char| !c.is_ascii_digit())
}

/// The first word from `start`, up to what ends it, and where the rest begins.
fn split(text: &str, start: usize, ends: impl Fn(char) -> bool) -> (Range<usize>, usize) {
    let blanks = text[start..].len() - text[start..].trim_start().len();
    let begin = start + blanks;
    let end = text[begin..].find(ends).map_or(text.len(), |at| begin + at);
    (begin..end, end)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("btf_id(struct a)", 4, "a", BtfWant::Id)]
    #[case("btf_id( func  vfs_read )", 12, "vfs_read", BtfWant::Id)]
    #[case("btf_size(union b)", 5, "b", BtfWant::Size)]
    #[case("btf_offset(struct a, b.c)", 4, "a", BtfWant::Offset("b.c".into()))]
    #[case("btf_index(struct a,b)", 4, "a", BtfWant::Index("b".into()))]
    fn questions_are_read(#[case] text: &str, #[case] kind: u8, #[case] name: &str, #[case] want: BtfWant) {
        assert_eq!(parse(text), Ok(BtfQuery { kind, name: name.into(), want }));
    }

    #[rstest]
    #[case("btf_ids(struct a)", "btf_ids", "did you mean btf_id?")]
    #[case("btf_id(strukt a)", "strukt", "did you mean struct?")]
    #[case("btf_id(a)", "a", "it is written btf_id(struct tcp_congestion_ops)")]
    #[case("btf_id()", "", "it is written btf_id(struct tcp_congestion_ops)")]
    #[case("btf_id(struct)", "struct", "it is written btf_id(struct tcp_congestion_ops)")]
    #[case("btf_id(struct a", "btf_id(struct a", "it is written btf_id(struct tcp_congestion_ops)")]
    #[case("btf_id(struct a, b)", " a, b", "it is written btf_id(struct tcp_congestion_ops)")]
    #[case(
        "btf_index(struct a, b.c)",
        " a, b.c",
        "it is written btf_index(struct tcp_congestion_ops, ssthresh)"
    )]
    #[case("btf_offset(struct a)", " a", "it is written btf_offset(struct tcp_congestion_ops, ssthresh)")]
    #[case("btf_offset(func a, b)", "func", "it is written btf_offset(struct tcp_congestion_ops, ssthresh)")]
    #[case("btf_size(func a)", "func", "it is written btf_size(struct tcp_congestion_ops)")]
    fn what_is_wrong_is_said(#[case] text: &str, #[case] part: &str, #[case] help: &str) {
        let error = parse(text).expect_err("it is wrong");
        assert_eq!((&text[error.range], error.help.as_deref()), (part, Some(help)));
    }
}
