//! From pieces as written to the bytes and relocations of a plan's buffers.

use kconform_plan::{BtfQuery, Buffer, Overlay, Piece, Region, Value};

use super::value::{Abi, fits, too_large, unmet};
use crate::case::{self, PieceKind, Text, TextPart};
use crate::insn::{Imm, Insn};
use crate::kernel::Unmet;
use crate::limits::{CASE, PARTS};

/// A per-CPU value's slot is a multiple of this (`round_up(value_size, 8)`, kernel/bpf/syscall.c).
const SLOT: u64 = 8;

/// The memory of one call.
#[derive(Default)]
pub(super) struct Memory {
    /// The buffers.
    pub(super) buffers: Vec<Buffer>,
    /// The parts with a name of their own (`as`).
    pub(super) named: Vec<Named>,
    /// Buffers (by number) with an `out` that no name covers.
    pub(super) unnamed: Vec<u32>,
    bytes: u64,
    /// Parts that are there more than once.
    parts: u64,
}

/// A part of memory with a name of its own.
pub(super) struct Named {
    pub(super) name: String,
    pub(super) buffer: u32,
    pub(super) region: Region,
}

/// Pieces that become a buffer, or a part of one.
#[derive(Default)]
pub(super) struct Pieces {
    pub(super) list: Vec<Piece>,
    /// Names, and the pieces that they stand for: the first, and how many.
    pub(super) names: Vec<(String, usize, usize)>,
    /// An `out` that no name covers is among them.
    pub(super) unnamed: bool,
    /// Pieces before this one may not grow: a name's part begins or ends there.
    closed: usize,
}

impl Pieces {
    /// The bytes that all pieces take, when that is known beforehand.
    pub(super) fn size(&self) -> Option<u64> {
        size(&self.list)
    }

    /// Pieces that are there already may not grow.
    pub(super) fn close(&mut self) {
        self.closed = self.list.len();
    }

    pub(super) fn push(&mut self, piece: Piece) {
        let open = self.list.len() > self.closed;
        match (self.list.last_mut().filter(|_| open), piece) {
            (Some(Piece::Bytes(last)), Piece::Bytes(more)) => last.extend(more),
            (Some(Piece::Zero(last)), Piece::Zero(more)) => *last += more,
            (_, piece) => self.list.push(piece),
        }
    }
}

/// The bytes that pieces take, when that is known beforehand.
pub(super) fn size(pieces: &[Piece]) -> Option<u64> {
    pieces.iter().map(piece_size).sum()
}

/// The bytes that a piece takes, when that is known beforehand.
pub(super) fn piece_size(piece: &Piece) -> Option<u64> {
    match piece {
        Piece::Bytes(bytes) => Some(bytes.len() as u64),
        Piece::Zero(count) => Some(u64::from(*count)),
        Piece::Value { width, .. } => Some(u64::from(*width)),
        Piece::Decimal(_) | Piece::Saved(_) => None,
    }
}

impl Memory {
    /// Makes a buffer of a piece and gives its number.
    pub(super) fn buffer(&mut self, abi: &mut Abi<'_>, piece: &case::Piece) -> Result<u32, Unmet> {
        self.buffer_of(abi, std::slice::from_ref(piece))
    }

    /// Makes a buffer of pieces laid end to end. It takes its number before those that its pieces point to: `poke` writes
    /// buffer 0.
    fn buffer_of(&mut self, abi: &mut Abi<'_>, pieces: &[case::Piece]) -> Result<u32, Unmet> {
        let number = self.buffers.len();
        self.buffers.push(Buffer::default());
        let mut made = Pieces::default();
        for piece in pieces {
            self.write(abi, &mut made, piece)?;
        }
        let (number, parts) = (number as u32, made.list.len());
        self.buffers[number as usize].pieces = made.list;
        for (name, first, count) in made.names {
            let part = Region::Pieces { first: first as u32, count: count as u32 };
            let region = if count == parts { Region::Whole } else { part };
            self.named.push(Named { name, buffer: number, region });
        }
        if made.unnamed {
            self.unnamed.push(number);
        }
        Ok(number)
    }

    /// Makes a buffer of zeros that is reported.
    pub(super) fn zeroed(&mut self, bytes: u64) -> Result<u32, Unmet> {
        self.reserve(bytes)?;
        let number = self.buffers.len() as u32;
        self.buffers.push(Buffer { pieces: vec![Piece::Zero(bytes as u32)], overlays: Vec::new() });
        self.unnamed.push(number);
        Ok(number)
    }

    /// Appends a piece, named or not.
    pub(super) fn write(
        &mut self,
        abi: &mut Abi<'_>,
        to: &mut Pieces,
        piece: &case::Piece,
    ) -> Result<(), Unmet> {
        let Some(name) = &piece.name else { return self.write_kind(abi, to, piece) };
        let (first, unnamed) = (to.list.len(), to.unnamed);
        to.closed = first;
        self.write_kind(abi, to, piece)?;
        to.closed = to.list.len();
        to.unnamed = unnamed;
        to.names.push((name.value.clone(), first, to.closed - first));
        Ok(())
    }

    fn write_kind(&mut self, abi: &mut Abi<'_>, to: &mut Pieces, piece: &case::Piece) -> Result<(), Unmet> {
        match &piece.kind {
            PieceKind::Numbers { width, values, .. } => {
                for value in values {
                    let number = self.number(abi, value, *width)?;
                    to.push(number);
                }
            }
            PieceKind::Str(text) => {
                self.text(abi, to, text)?;
                self.bytes(to, vec![0])?;
            }
            PieceKind::Hex(bytes) => self.bytes(to, bytes.clone())?,
            PieceKind::Zero(count) => self.zeros(to, abi.known(count)?)?,
            PieceKind::Fill { byte, count } => {
                let (byte, count) = (abi.known(byte)? as u8, abi.known(count)?);
                self.reserve(count)?;
                to.push(Piece::Bytes(vec![byte; count as usize]));
            }
            PieceKind::Out(count) => {
                self.zeros(to, abi.known(count)?)?;
                to.unnamed = true;
            }
            PieceKind::PercpuAll(piece) => {
                let one = self.part(abi, piece)?;
                let (stride, _) = stride(&[&one], piece)?;
                for _ in 0..abi.kernel.possible_cpus {
                    self.slot(to, &one, stride)?;
                }
            }
            PieceKind::PercpuEach(pieces) => {
                let parts = pieces.iter().map(|p| self.part(abi, p)).collect::<Result<Vec<_>, _>>()?;
                let (stride, _) = stride(&parts.iter().collect::<Vec<_>>(), piece)?;
                let nothing = Pieces::default();
                for cpu in 0..abi.kernel.possible_cpus as usize {
                    self.slot(to, parts.get(cpu).unwrap_or(&nothing), stride)?;
                }
            }
            PieceKind::List(pieces) => {
                for piece in pieces {
                    self.write(abi, to, piece)?;
                }
            }
            PieceKind::AddrOf(pieces) => {
                let buffer = self.buffer_of(abi, pieces)?;
                self.reserve(8)?;
                to.push(Piece::Value { value: Value::Address(buffer), width: 8, shift: 0 });
            }
            PieceKind::Insns(calls) => {
                for insn in calls.iter().flat_map(|call| &call.value.list) {
                    self.insn(abi, to, insn)?;
                }
            }
            PieceKind::Times { count, piece } => {
                let times = abi.known(count)?;
                let one = self.part(abi, piece)?;
                self.times(to, times, &one)?;
            }
            PieceKind::Struct { size, members } => self.structure(abi, to, piece, size, members)?,
            PieceKind::Uapi { structure, members } => self.uapi(abi, to, structure, members)?,
            PieceKind::Saved(name) => to.push(Piece::Saved(abi.slot(name))),
            PieceKind::Number(expr) => return unmet(expr, "needs a width here, such as {u32: …}"),
        }
        Ok(())
    }

    /// A structure's members at their offsets, with zeros between and behind them.
    fn structure(
        &mut self,
        abi: &mut Abi<'_>,
        to: &mut Pieces,
        piece: &case::Piece,
        size_of: &BtfQuery,
        members: &[(BtfQuery, case::Piece)],
    ) -> Result<(), Unmet> {
        let end = abi.kernel.btf(size_of)?;
        let offsets: Result<Vec<u64>, Unmet> =
            members.iter().map(|(member, _)| abi.kernel.btf(member)).collect();
        let mut members: Vec<_> = offsets?.into_iter().zip(members).collect();
        members.sort_by_key(|(offset, _)| *offset);
        let no_room = |what: &case::Piece| {
            let reason = format!("struct {} has no room for this ({})", size_of.name, what.place);
            Unmet { reason }
        };
        let mut at = 0;
        for (offset, (_, member)) in members {
            self.gap(to, offset.checked_sub(at).ok_or_else(|| no_room(member))?)?;
            let first = to.list.len();
            to.closed = first;
            self.write(abi, to, member)?;
            at = offset + size(&to.list[first..]).ok_or_else(|| no_room(member))?;
        }
        self.gap(to, end.checked_sub(at).ok_or_else(|| no_room(piece))?)
    }

    pub(super) fn gap(&mut self, to: &mut Pieces, bytes: u64) -> Result<(), Unmet> {
        if bytes == 0 { Ok(()) } else { self.zeros(to, bytes) }
    }

    /// A piece by itself. What is named inside stays without its name, for it will be there more than once.
    fn part(&mut self, abi: &mut Abi<'_>, piece: &case::Piece) -> Result<Pieces, Unmet> {
        let mut part = Pieces::default();
        self.write(abi, &mut part, piece)?;
        part.unnamed |= !part.names.is_empty();
        // Where it will be is counted again.
        self.bytes -= part.size().unwrap_or(0).min(self.bytes);
        Ok(part)
    }

    pub(super) fn number(&mut self, abi: &mut Abi<'_>, expr: &case::Expr, width: u8) -> Result<Piece, Unmet> {
        self.reserve(width.into())?;
        match abi.value(expr)? {
            Value::Number(number) if fits(number, width.into()) => Ok(Piece::Bytes(abi.bytes(number, width))),
            Value::Number(_) => {
                let plural = if width == 1 { "" } else { "s" };
                unmet(expr, &format!("does not fit in {width} byte{plural}"))
            }
            value => Ok(Piece::Value { value, width, shift: 0 }),
        }
    }

    /// Text without a NUL.
    pub(super) fn text(&mut self, abi: &mut Abi<'_>, to: &mut Pieces, text: &Text) -> Result<(), Unmet> {
        for part in &text.parts {
            match part {
                TextPart::Literal(text) => self.bytes(to, text.clone().into_bytes())?,
                TextPart::Saved(name) => to.push(Piece::Decimal(abi.slot(name))),
            }
        }
        Ok(())
    }

    fn insn(&mut self, abi: &mut Abi<'_>, to: &mut Pieces, insn: &Insn) -> Result<(), Unmet> {
        let member = insn.member.as_ref().map(|query| abi.kernel.btf(query)).transpose()?.unwrap_or(0);
        let Ok(member) = i16::try_from(member) else {
            let reason = format!("no instruction can have an offset of {member} bytes");
            return Err(Unmet { reason });
        };
        self.bytes(to, insn.head(abi.big_endian(), member).to_vec())?;
        self.reserve(4)?;
        to.push(match &insn.imm {
            Imm::Number(number) => Piece::Bytes(abi.bytes(*number as u32 as u64, 4)),
            Imm::Btf(query) => Piece::Bytes(abi.bytes(abi.kernel.btf(query)?, 4)),
            Imm::Pages { text, shift } => Piece::Bytes(abi.bytes(abi.pages(text)? >> shift, 4)),
            Imm::Saved { name, shift } => {
                Piece::Value { value: Value::Slot(abi.slot(name), 0), width: 4, shift: *shift }
            }
        });
        Ok(())
    }

    /// A per-CPU value and its padding.
    fn slot(&mut self, to: &mut Pieces, value: &Pieces, stride: u64) -> Result<(), Unmet> {
        self.reserve(stride)?;
        self.parts(value.list.len() as u64 + 1)?;
        to.unnamed |= value.unnamed;
        for piece in &value.list {
            to.push(piece.clone());
        }
        let padding = stride - value.size().unwrap_or(0).min(stride);
        if padding > 0 {
            to.push(Piece::Zero(padding as u32));
        }
        Ok(())
    }

    fn times(&mut self, to: &mut Pieces, times: u64, one: &Pieces) -> Result<(), Unmet> {
        self.reserve(one.size().unwrap_or(0).saturating_mul(times))?;
        to.unnamed |= one.unnamed;
        let list: Vec<&Piece> = one.list.iter().filter(|piece| piece_size(piece) != Some(0)).collect();
        match list.as_slice() {
            [] => {}
            [Piece::Bytes(bytes)] => to.push(Piece::Bytes(bytes.repeat(times as usize))),
            [Piece::Zero(count)] => to.push(Piece::Zero(*count * times as u32)),
            list => {
                self.parts(times.saturating_mul(list.len() as u64))?;
                (0..times).flat_map(|_| list).for_each(|&piece| to.push(piece.clone()));
            }
        }
        Ok(())
    }

    fn bytes(&mut self, to: &mut Pieces, bytes: Vec<u8>) -> Result<(), Unmet> {
        self.reserve(bytes.len() as u64)?;
        to.push(Piece::Bytes(bytes));
        Ok(())
    }

    fn zeros(&mut self, to: &mut Pieces, count: u64) -> Result<(), Unmet> {
        self.reserve(count)?;
        to.push(Piece::Zero(count as u32));
        Ok(())
    }

    /// Counts memory before it is made; what is written into an attr is counted twice.
    pub(super) fn reserve(&mut self, bytes: u64) -> Result<(), Unmet> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > 2 * CASE { too_large() } else { Ok(()) }
    }

    /// Counts parts before they are made.
    fn parts(&mut self, more: u64) -> Result<(), Unmet> {
        self.parts = self.parts.saturating_add(more);
        if self.parts > 2 * PARTS { too_large() } else { Ok(()) }
    }

    /// The bytes of the buffers, as far as they are known.
    pub(super) fn size(&self) -> u64 {
        let overlay = |o: &Overlay| u64::from(o.offset) + piece_size(&o.piece).unwrap_or(0);
        let one = |buffer: &Buffer| {
            let pieces: u64 = buffer.pieces.iter().filter_map(piece_size).sum();
            buffer.overlays.iter().map(overlay).fold(pieces, u64::max)
        };
        self.buffers.iter().map(one).sum()
    }
}

/// Bytes from one CPU's value to the next one's, and of the largest value itself.
pub(super) fn stride(values: &[&Pieces], piece: &case::Piece) -> Result<(u64, u64), Unmet> {
    let sizes: Option<Vec<u64>> = values.iter().map(|value| value.size()).collect();
    let Some(sizes) = sizes else {
        let reason =
            format!("the size of a per-CPU value must be known before the case runs ({})", piece.place);
        return Err(Unmet { reason });
    };
    let largest = sizes.into_iter().max().unwrap_or(0);
    Ok((largest.div_ceil(SLOT).max(1) * SLOT, largest))
}
