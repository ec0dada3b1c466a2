//! How large a piece is, before anything of it is made: a bound that holds on every kernel, but for its types and for more
//! CPUs than [`CPUS`].

use std::collections::HashMap;

use kconform_abi::Arch;

use crate::case::{Arg, Expr, LARGEST_PAGE, Piece, PieceKind, Term, Text, TextPart};
use crate::insn::Imm;
use crate::limits::{BUFFER, CPUS, amount};
use crate::place::Place;

/// The slot of a per-CPU value is a multiple of this.
const SLOT: u64 = 8;
/// Characters of a 64-bit number in decimal.
const DECIMAL: u64 = 20;

/// What a piece comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size {
    /// Bytes.
    pub(crate) bytes: u64,
    /// Of which so many travel to the kernel.
    pub(crate) contents: u64,
    /// Of which so many are what was saved.
    pub(crate) saved: u64,
    /// Parts that are made one by one. What is bytes or zeros only is one part, however often it is repeated.
    pub(crate) parts: u64,
    /// Some of it is neither bytes nor zeros, or it is both.
    mixed: bool,
}

impl Size {
    fn bytes(bytes: u64) -> Size {
        Size { bytes, contents: bytes, parts: 1, ..Size::default() }
    }

    fn zeros(bytes: u64) -> Size {
        Size { bytes, parts: 1, ..Size::default() }
    }

    fn part(bytes: u64) -> Size {
        Size { bytes, parts: 1, mixed: true, ..Size::default() }
    }

    /// Both, end to end.
    pub(crate) fn and(self, other: Size) -> Size {
        if self.bytes == 0 && self.parts <= 1 {
            return other;
        }
        let alike = !self.mixed && !other.mixed && (self.contents == 0) == (other.contents == 0);
        Size {
            bytes: self.bytes.saturating_add(other.bytes),
            contents: self.contents.saturating_add(other.contents),
            saved: self.saved.saturating_add(other.saved),
            parts: if alike { 1 } else { self.parts.saturating_add(other.parts) },
            mixed: !alike,
        }
    }

    fn times(self, count: u64) -> Size {
        Size {
            bytes: self.bytes.saturating_mul(count),
            contents: self.contents.saturating_mul(count),
            saved: self.saved.saturating_mul(count),
            parts: if self.mixed { self.parts.saturating_mul(count) } else { self.parts },
            mixed: self.mixed,
        }
    }
}

/// Something that is larger than a buffer may be.
pub(crate) struct TooLarge {
    /// What makes it so large.
    pub(crate) place: Place,
    /// What is wrong.
    pub(crate) text: String,
    /// What would fit.
    pub(crate) help: String,
}

/// Measures the buffers of a call, or the memory that is expected of one.
#[derive(Default)]
pub(crate) struct Measure<'s> {
    /// The most bytes of what was saved under a name.
    saved: Option<&'s HashMap<String, u64>>,
    /// The buffers that pieces point to.
    pub(crate) pointed: Vec<Size>,
    /// The pieces with names.
    pub(crate) named: Vec<(String, u64)>,
    /// What is too large.
    pub(crate) wrong: Vec<TooLarge>,
}

impl<'s> Measure<'s> {
    /// With what is known of saved values.
    pub(crate) fn with(saved: &'s HashMap<String, u64>) -> Measure<'s> {
        Measure { saved: Some(saved), ..Measure::default() }
    }

    /// A whole buffer, or a part of one. What is larger than a buffer may be is noted where it becomes so.
    pub(crate) fn piece(&mut self, piece: &Piece) -> Size {
        let before = self.wrong.len();
        let size = self.kind(piece);
        if size.bytes > BUFFER && self.wrong.len() == before {
            let (place, help) = nearest(piece, size.bytes);
            self.wrong(place.clone(), size.bytes, help);
        }
        if let Some(name) = &piece.name {
            self.named.push((name.value.clone(), size.bytes));
        }
        size
    }

    /// Zeros of that size.
    pub(crate) fn zeros(&mut self, count: &Expr) -> Size {
        let size = Size::zeros(most(count));
        if size.bytes > BUFFER {
            self.wrong(count.place.clone(), size.bytes, at_most(BUFFER));
        }
        size
    }

    fn wrong(&mut self, place: Place, bytes: u64, help: String) {
        let text = format!("a buffer of {}; the most is {}", amount(bytes), amount(BUFFER));
        self.wrong.push(TooLarge { place, text, help });
    }

    /// Pieces laid end to end.
    pub(crate) fn all(&mut self, pieces: &[Piece]) -> Size {
        let before = self.wrong.len();
        let mut sum = Size::default();
        let mut crossing = None;
        for piece in pieces {
            sum = sum.and(self.piece(piece));
            if sum.bytes > BUFFER && crossing.is_none() {
                crossing = Some(&piece.place);
            }
        }
        if let Some(place) = crossing
            && self.wrong.len() == before
        {
            self.wrong(place.clone(), sum.bytes, "this is where it becomes too large".to_owned());
        }
        sum
    }

    fn kind(&mut self, piece: &Piece) -> Size {
        match &piece.kind {
            PieceKind::Numbers { width, values, .. } => {
                let one = |value: &Expr| match known(value) {
                    true => Size::bytes((*width).into()),
                    false => Size::part((*width).into()),
                };
                values.iter().map(one).fold(Size::default(), Size::and)
            }
            PieceKind::Str(text) => self.text(text).and(Size::bytes(1)),
            PieceKind::Hex(bytes) => Size::bytes(bytes.len() as u64),
            PieceKind::Zero(count) | PieceKind::Out(count) => Size::zeros(most(count)),
            PieceKind::Fill { count, .. } => Size::bytes(most(count)),
            PieceKind::PercpuAll(value) => slot(self.piece(value)).times(CPUS),
            PieceKind::PercpuEach(values) => {
                let values: Vec<Size> = values.iter().map(|value| self.piece(value)).collect();
                let largest = values.iter().map(|value| slot(*value).bytes).max().unwrap_or(SLOT);
                let sum = values.into_iter().fold(Size::default(), Size::and);
                let parts = sum.parts.saturating_add(CPUS);
                Size { bytes: largest.saturating_mul(CPUS), parts, mixed: true, ..sum }
            }
            PieceKind::List(pieces) => self.all(pieces),
            PieceKind::AddrOf(pieces) => {
                let pointed = self.all(pieces);
                self.pointed.push(pointed);
                Size::part(8)
            }
            PieceKind::Insns(calls) => {
                let one = |imm: &Imm| match imm {
                    Imm::Saved { .. } => Size::bytes(4).and(Size::part(4)),
                    Imm::Number(_) | Imm::Btf(_) | Imm::Pages { .. } => Size::bytes(8),
                };
                let all = calls.iter().flat_map(|call| &call.value.list);
                all.map(|insn| one(&insn.imm)).fold(Size::default(), Size::and)
            }
            PieceKind::Times { count, piece } => self.piece(piece).times(most(count)),
            // Its own size is the kernel's to say; it has its members at least.
            PieceKind::Struct { members, .. } => {
                let all = members.iter().map(|(_, member)| self.piece(member));
                let sum = all.fold(Size::default(), Size::and);
                Size { mixed: true, parts: sum.parts.saturating_add(1 + members.len() as u64), ..sum }
            }
            PieceKind::Uapi { structure, members } => {
                let on = |&arch: &Arch| Some(u64::from(kconform_abi::structure(arch, structure)?.size));
                let bytes = Arch::ALL.iter().filter_map(on).max().unwrap_or(0);
                let inside = members.iter().filter_map(|(_, arg)| match &arg.value {
                    Arg::Buffer(piece) => Some(self.piece(piece)),
                    Arg::Expr(_) | Arg::Address(_) => None,
                });
                let sum = inside.fold(Size::default(), Size::and);
                let parts = sum.parts.saturating_add(1 + members.len() as u64);
                Size {
                    bytes: bytes.max(sum.bytes),
                    contents: bytes.max(sum.contents),
                    mixed: true,
                    parts,
                    ..sum
                }
            }
            PieceKind::Saved(name) => {
                let bytes = self.saved.and_then(|saved| saved.get(name)).copied().unwrap_or(0);
                Size { saved: bytes, ..Size::part(bytes) }
            }
            PieceKind::Number(_) => Size::bytes(SLOT),
        }
    }

    /// Text without its NUL.
    pub(crate) fn text(&mut self, text: &Text) -> Size {
        let one = |part: &TextPart| match part {
            TextPart::Literal(text) => Size::bytes(text.len() as u64),
            TextPart::Saved(_) => Size::part(DECIMAL),
        };
        text.parts.iter().map(one).fold(Size::default(), Size::and)
    }
}

/// A per-CPU value with its padding.
fn slot(value: Size) -> Size {
    let bytes = value.bytes.div_ceil(SLOT).max(1).saturating_mul(SLOT);
    if bytes == value.bytes {
        return value;
    }
    Size { bytes, parts: value.parts.saturating_add(1), mixed: true, ..value }
}

/// The place of the value that makes a piece so large, and what it could be instead.
fn nearest(piece: &Piece, bytes: u64) -> (&Place, String) {
    match &piece.kind {
        PieceKind::Zero(count) | PieceKind::Out(count) | PieceKind::Fill { count, .. } => {
            (&count.place, at_most(BUFFER))
        }
        PieceKind::Times { count, .. } => {
            let one = (bytes / most(count).max(1)).max(1);
            match (bytes, BUFFER / one) {
                (u64::MAX, _) => (&count.place, "this is where it becomes too large".to_owned()),
                (_, fits) => (&count.place, format!("at most {fits} of {} each", amount(one))),
            }
        }
        PieceKind::PercpuAll(value) => {
            let help = format!("it is counted for {CPUS} CPUs: at most {} a CPU", amount(BUFFER / CPUS));
            (&value.place, help)
        }
        _ => (&piece.place, "this is where it becomes too large".to_owned()),
    }
}

fn at_most(bytes: u64) -> String {
    format!("at most {bytes:#x} ({})", amount(bytes))
}

/// The largest value of a number on any architecture. What is saved, or the kernel's types say, counts as 0.
pub(crate) fn most(expr: &Expr) -> u64 {
    let on = |arch: Arch| {
        expr.terms.iter().try_fold(0, |bits, term| match term {
            Term::Saved(_) | Term::Btf(_) => Some(bits),
            _ => Some(bits | term.value(arch, Some(LARGEST_PAGE))?),
        })
    };
    match expr.terms.as_slice() {
        [Term::Number(number)] => *number,
        _ => Arch::ALL.iter().filter_map(|&arch| on(arch)).max().unwrap_or(0),
    }
}

fn known(expr: &Expr) -> bool {
    !expr.terms.iter().any(|term| matches!(term, Term::Saved(_)))
}
