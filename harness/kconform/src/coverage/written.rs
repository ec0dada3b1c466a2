//! What a step writes: an attr's fields, and what their values stand for.

use std::collections::HashMap;

use kconform_abi::Arch;
use kconform_abi::bpf::{Command, Field};

use crate::case::{Arg, AttrField, AttrSlot, Expr, PieceKind, SMALLEST_PAGE, Term, TextPart};

/// What an fd is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thing {
    /// A map of that type, where it is known.
    Map(Option<&'static str>),
    /// A program of that type, where it is known.
    Program(Option<&'static str>),
    /// A link.
    Link,
    /// BTF.
    Btf,
    /// Nothing any more.
    Closed,
    /// Anything else.
    Other,
}

/// What an expression stands for, where `names` are those of saved values.
pub(super) fn thing(names: &HashMap<String, Thing>, expr: &Expr) -> Thing {
    match &expr.terms[..] {
        [Term::Saved(name)] => names.get(name).copied().unwrap_or(Thing::Other),
        // 0 to 2 are /dev/null; nothing else is open.
        _ => match number(expr) {
            Some(0..=2) | None => Thing::Other,
            Some(_) => Thing::Closed,
        },
    }
}

/// An attr as written.
pub(super) struct Written<'a> {
    pub(super) command: &'static Command,
    pub(super) fields: &'a [AttrField],
}

impl Written<'_> {
    /// The fields that are written by name.
    pub(super) fn each(&self) -> impl Iterator<Item = (&'static Field, &Arg)> {
        self.fields.iter().filter_map(|field| match field.slot {
            AttrSlot::Field(slot) => Some((slot, &field.value.value)),
            AttrSlot::Offset(_) => None,
        })
    }

    pub(super) fn expr(&self, name: &str) -> Option<&Expr> {
        self.each().find(|(field, _)| field.name == name).and_then(|(_, arg)| match arg {
            Arg::Expr(expr) => Some(expr),
            _ => None,
        })
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.expr(name).and_then(number)
    }

    /// `pathname`, where it is the same in every run.
    pub(super) fn path(&self) -> Option<String> {
        let (_, Arg::Buffer(piece)) = self.each().find(|(field, _)| field.name == "pathname")? else {
            return None;
        };
        let PieceKind::Str(text) = &piece.kind else { return None };
        let literal = |part: &TextPart| match part {
            TextPart::Literal(text) => Some(text.clone()),
            TextPart::Saved(_) => None,
        };
        text.parts.iter().map(literal).collect()
    }
}

/// The value of an expression without saved values.
pub(super) fn number(expr: &Expr) -> Option<u64> {
    let value = |term: &Term| match term {
        Term::Layout(layout) => layout.everywhere(),
        _ => Arch::ALL.iter().find_map(|&arch| term.value(arch, Some(SMALLEST_PAGE))),
    };
    expr.terms.iter().map(value).try_fold(0, |all, term| Some(all | term?))
}

/// The same text for the same value; `None` where it is not known before a run.
pub(super) fn value(arg: &Arg) -> Option<String> {
    match arg {
        Arg::Expr(expr) => number(expr).map(|number| format!("{number:#x}")),
        Arg::Buffer(piece) => match &piece.kind {
            PieceKind::Str(text) => Some(format!("{:?}", text.parts)),
            PieceKind::Hex(bytes) => Some(format!("{bytes:?}")),
            _ => None,
        },
        Arg::Address(_) => None,
    }
}
