//! A call as it is printed before it is made: as strace prints it, with saved values.

use crate::case::{Arg, Attr, Call, CallStep, Piece, PieceKind};
use crate::insn::Insns;
use crate::strace;

use super::names::{format_of, literal};
use super::state::{Export, Kind};

/// The most characters of a call that are printed.
const LONGEST: usize = 400;

impl Export<'_> {
    /// The format and its arguments, with a comma before each.
    pub(super) fn shown(&mut self, step: &CallStep) -> (String, String) {
        let mut short = step.clone();
        match &mut short.call {
            Call::Bpf { attr, common, .. } => {
                shorten_attr(attr);
                if let Some(common) = common {
                    shorten_attr(&mut common.attr);
                }
            }
            Call::Syscall { args, .. } => args.iter_mut().for_each(|arg| shorten_arg(&mut arg.value)),
            Call::Poke { data, .. } => shorten(data),
            Call::Peek { .. } => {}
        }
        let mut text = strace::written(&short);
        if text.chars().count() > LONGEST {
            text = text.chars().take(LONGEST).collect::<String>() + "...)";
        }
        let mut parts = text.split('$');
        let mut format = format_of(parts.next().unwrap_or_default());
        let mut args = String::new();
        for part in parts {
            let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(part.len());
            let (name, rest) = part.split_at(end);
            match self.kinds.get(name) {
                Some(Kind::Number) => {
                    format.push_str("%lld");
                    args.push_str(&format!(", {}", self.saved(name)));
                }
                _ => format.push_str(&format_of(&format!("${name}"))),
            }
            format.push_str(&format_of(rest));
        }
        (literal(format.as_bytes()), args)
    }
}

fn shorten_attr(attr: &mut Attr) {
    match attr {
        Attr::Fields(fields) => fields.iter_mut().for_each(|field| shorten_arg(&mut field.value.value)),
        Attr::Buffer(piece) => shorten(piece),
        Attr::Address(_) | Attr::Pointer(_) => {}
    }
}

fn shorten_arg(arg: &mut Arg) {
    if let Arg::Buffer(piece) = arg {
        shorten(piece);
    }
}

/// The source says what the instructions are.
fn shorten(piece: &mut Piece) {
    match &mut piece.kind {
        PieceKind::Insns(calls) if !calls.is_empty() => {
            let count: usize = calls.iter().map(|call| call.value.list.len()).sum();
            calls.truncate(1);
            calls[0].value = Insns { text: format!("{count} instructions"), list: Vec::new() };
        }
        PieceKind::List(pieces) | PieceKind::AddrOf(pieces) => pieces.iter_mut().for_each(shorten),
        _ => {}
    }
}
