//! What a call must do: the outcome that holds on this kernel, and what its outputs must hold.

use kconform_plan::{Last, Piece, Ret, Value, Want};

use super::buffer::{Memory, Pieces, stride};
use super::value::{Abi, fits};
use super::{Chosen, Unmet};
use crate::case::{self, CallStep, Errno, Expr, Outcome, Pattern, PieceKind, RetWant, Term, WantKind};

/// The first `except` whose condition is met, else the step's own outcome.
pub(super) fn choose(abi: &Abi<'_>, step: &CallStep) -> Chosen {
    let first = step.except.iter().position(|except| abi.kernel.meets(&except.when).is_ok());
    first.map_or(Chosen::Own, Chosen::Except)
}

/// The ends that `here` allows and the step's `own` outcome does not: after one of them what follows makes no sense.
pub(crate) fn last(own: &Outcome, here: &Outcome) -> Last {
    let signal = |outcome: &Outcome| outcome.signal.as_ref().map(|signal| signal.value);
    match (signal(own), signal(here)) {
        (None, None) => Last {
            success: here.ret.may_succeed() && !own.ret.may_succeed(),
            errnos: numbers(here.ret.errnos().iter().filter(|e| !own.ret.errnos().contains(e))),
        },
        (these, those) if these == those => Last::default(),
        _ => Last { success: here.ret.may_succeed(), errnos: numbers(here.ret.errnos()) },
    }
}

/// Whether an outcome has an end after which the case goes on.
pub(crate) fn goes_on(here: &Outcome, last: &Last) -> bool {
    here.ret.may_succeed() && !last.success || here.ret.errnos().len() > last.errnos.len()
}

/// Whether an outcome may be a success, so that there is a return value to keep.
pub(crate) fn may_succeed(outcome: &Outcome) -> bool {
    outcome.signal.is_none() && outcome.ret.may_succeed()
}

/// What the call must return.
pub(super) fn ret(abi: &mut Abi<'_>, want: &RetWant) -> Result<Ret, Unmet> {
    Ok(match want {
        RetWant::Success => Ret::Success,
        RetWant::Errno(errnos) => Ret::Errno(numbers(errnos)),
        RetWant::Exactly(expr) => Ret::Exactly(abi.value(expr)?),
        RetWant::Range { min, max } => {
            Ret::Range { min: bound(abi, min.as_ref())?, max: bound(abi, max.as_ref())? }
        }
        RetWant::Either { success, errnos } => {
            Ret::Either { success: Box::new(ret(abi, success)?), errnos: numbers(errnos) }
        }
    })
}

fn numbers<'a>(errnos: impl IntoIterator<Item = &'a Errno>) -> Vec<i32> {
    errnos.into_iter().map(|errno| errno.number).collect()
}

fn bound(abi: &mut Abi<'_>, expr: Option<&Expr>) -> Result<Option<Value>, Unmet> {
    expr.map(|expr| abi.value(expr)).transpose()
}

/// What an output must hold; `size` is the output's own, in bytes, where it is known beforehand.
pub(super) fn want(abi: &mut Abi<'_>, want: &case::Want, size: Option<u64>) -> Result<Want, Unmet> {
    Ok(match &want.kind {
        WantKind::Number(expr) => number(abi.value(expr)?, size),
        WantKind::Exactly(piece) => exactly(abi, piece)?,
        WantKind::Contains(pattern) => Want::Contains(bytes(abi, pattern)?),
        WantKind::Prefix(pattern) => Want::Prefix(bytes(abi, pattern)?),
        WantKind::Not(inner) => Want::Not(Box::new(self::want(abi, inner, size)?)),
        WantKind::Any(wants) => {
            Want::Any(wants.iter().map(|w| self::want(abi, w, size)).collect::<Result<_, _>>()?)
        }
        WantKind::Range { min, max } => Want::Range {
            signed: [min, max].into_iter().flatten().any(negative),
            min: bound(abi, min.as_ref())?,
            max: bound(abi, max.as_ref())?,
        },
    })
}

/// A number that the output has no room for is never found there: nothing is cut off to make it fit.
fn number(value: Value, size: Option<u64>) -> Want {
    match (value, size) {
        (Value::Number(number), Some(size @ 1..=8)) if !fits(number, size as u32) => Want::Any(Vec::new()),
        (value, _) => Want::Number(value),
    }
}

/// A bound is negative when it is written with a minus sign, or is a constant such as AT_FDCWD.
fn negative(expr: &Expr) -> bool {
    let small = |bits: u64| i32::try_from(bits as i64).is_ok_and(|number| number < 0);
    expr.text.trim_start().starts_with('-')
        || expr.terms.iter().any(|term| match term {
            Term::Constant(name) => {
                let everywhere = kconform_abi::Arch::ALL;
                everywhere.iter().filter_map(|&arch| kconform_abi::constant(arch, name)).any(small)
            }
            _ => false,
        })
}

fn exactly(abi: &mut Abi<'_>, piece: &case::Piece) -> Result<Want, Unmet> {
    let cpus = abi.kernel.possible_cpus as usize;
    match &piece.kind {
        PieceKind::PercpuAll(each) => {
            let each = pieces(abi, each)?;
            let (stride, _) = stride(&[&each], piece)?;
            Ok(Want::Strided { stride: stride as u32, slots: vec![each.list; cpus] })
        }
        PieceKind::PercpuEach(values) => {
            let values = values.iter().map(|value| pieces(abi, value)).collect::<Result<Vec<_>, _>>()?;
            let (stride, largest) = stride(&values.iter().collect::<Vec<_>>(), piece)?;
            let mut slots: Vec<_> = values.into_iter().map(|value| value.list).collect();
            slots.resize(cpus, vec![Piece::Zero(largest as u32)]);
            Ok(Want::Strided { stride: stride as u32, slots })
        }
        _ => Ok(Want::Bytes(pieces(abi, piece)?.list)),
    }
}

fn bytes(abi: &mut Abi<'_>, pattern: &Pattern) -> Result<Vec<Piece>, Unmet> {
    match pattern {
        Pattern::Piece(piece) => Ok(pieces(abi, piece)?.list),
        Pattern::Text(text) => {
            let mut made = Pieces::default();
            Memory::default().text(abi, &mut made, text)?;
            Ok(made.list)
        }
    }
}

fn pieces(abi: &mut Abi<'_>, piece: &case::Piece) -> Result<Pieces, Unmet> {
    let (mut memory, mut made) = (Memory::default(), Pieces::default());
    memory.write(abi, &mut made, piece)?;
    match memory.buffers.is_empty() {
        true => Ok(made),
        false => Err(Unmet { reason: format!("an address cannot be expected ({})", piece.place) }),
    }
}
