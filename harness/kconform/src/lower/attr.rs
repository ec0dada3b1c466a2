//! bpf(2)'s attr: fields at their offsets, buffers behind pointers, and the counts that go with them.

use kconform_abi::bpf::{Command, CountOf, Field, FieldKind, Unit};
use kconform_plan::{Buffer, Overlay, Piece, Region, Value};

use super::buffer::{Memory, Pieces, piece_size, size};
use super::outputs::Place;
use super::value::{Abi, fits};
use crate::case::{self, Arg, Attr, AttrField, AttrSlot, Expr};
use crate::kernel::Unmet;
use crate::place::Placed;

/// An explicit size may be absurd on purpose; the kernel refuses what is longer than a page before it reads it
/// (`bpf_check_uarg_tail_zero`, kernel/bpf/syscall.c), so memory need not follow it further than this.
const LONGEST: u64 = 1 << 20;

/// Lowers attr and size, the second and third argument of bpf(2), and says where its fields are.
pub(super) fn lower(
    abi: &mut Abi<'_>,
    memory: &mut Memory,
    known: Option<&'static Command>,
    attr: &Attr,
    size: Option<&Expr>,
) -> Result<([Value; 2], Vec<Place>), Unmet> {
    let size = size.map(|size| abi.value(size)).transpose()?;
    let usual = Value::Number(known.map_or(0, |command| command.size.into()));
    let nowhere = |address| Ok(([address, size.unwrap_or(usual)], Vec::new()));
    match attr {
        Attr::Address(address) => nowhere(abi.address(*address)),
        Attr::Pointer(pointer) => nowhere(abi.value(pointer)?),
        Attr::Buffer(piece) => {
            let buffer = memory.buffer(abi, piece)?;
            let size = size.unwrap_or(Value::Length(buffer, 1));
            let mut places = fields_of(known, buffer);
            places.push(Place { name: "arg1".into(), also: Vec::new(), buffer, region: Region::Whole });
            Ok(([Value::Address(buffer), size], places))
        }
        Attr::Fields(fields) => {
            let mut writer = Writer { abi, memory, written: Vec::new(), overlays: Vec::new() };
            writer.fields(fields, known)?;
            let Writer { written, overlays, .. } = writer;
            let (attr_buffer, end) = lay_out(memory, overlays, known, size)?;
            let mut places: Vec<Place> = written.iter().filter_map(Written::place).collect();
            places.extend(qualified(known, &places));
            places.extend(fields_of(known, attr_buffer));
            places.push(Place {
                name: "arg1".into(),
                also: Vec::new(),
                buffer: attr_buffer,
                region: Region::Whole,
            });
            name_parts(memory, attr_buffer, written);
            Ok(([Value::Address(attr_buffer), size.unwrap_or(Value::Number(end))], places))
        }
    }
}

/// Makes the attr's buffer: as long as the command takes, as what is written past that, and as the size passed. Gives
/// the buffer and the length without regard to the size passed.
fn lay_out(
    memory: &mut Memory,
    overlays: Vec<Overlay>,
    known: Option<&Command>,
    size: Option<Value>,
) -> Result<(u32, u64), Unmet> {
    let end = |overlay: &Overlay| u64::from(overlay.offset) + piece_size(&overlay.piece).unwrap_or(0);
    let usual = known.map_or(0, |command| u64::from(command.size));
    let needed = overlays.iter().map(end).fold(usual, u64::max);
    let passed = match size {
        Some(Value::Number(size)) => size.min(LONGEST),
        _ => 0,
    };
    let length = needed.max(passed);
    memory.reserve(length)?;
    let pieces = vec![Piece::Zero(length as u32)];
    memory.buffers.push(Buffer { pieces, overlays });
    Ok((memory.buffers.len() as u32 - 1, needed))
}

/// All fields of the command as parts of an attr's buffer, under their plain and their qualified names.
fn fields_of(known: Option<&'static Command>, buffer: u32) -> Vec<Place> {
    let place = |field: &Field| Place {
        also: Vec::new(),
        name: field.name.into(),
        buffer,
        region: Region::Range { offset: field.offset, length: field.size },
    };
    let mut places: Vec<Place> = known.into_iter().flat_map(|c| c.fields).map(place).collect();
    places.extend(qualified(known, &places));
    places
}

/// The same places under their qualified names: `info.bpf_fd` for `bpf_fd`.
fn qualified(known: Option<&'static Command>, places: &[Place]) -> Vec<Place> {
    let Some(part) = known.and_then(|command| command.part) else { return Vec::new() };
    places.iter().map(|place| Place { name: format!("{part}.{}", place.name), ..place.clone() }).collect()
}

/// Gives the named pieces that are written in place to the attr's buffer.
fn name_parts(memory: &mut Memory, buffer: u32, written: Vec<Written>) {
    for (name, region) in written.into_iter().flat_map(|written| written.names) {
        memory.named.push(super::buffer::Named { name, buffer, region });
    }
}

/// A field or a stretch of bytes that the case writes.
struct Written {
    field: Option<&'static Field>,
    start: u64,
    end: u64,
    /// The buffer that a pointer was made for.
    buffer: Option<u32>,
    /// The number, where it is known beforehand.
    number: Option<u64>,
    /// Named pieces in place.
    names: Vec<(String, Region)>,
}

impl Written {
    fn place(&self) -> Option<Place> {
        let name = self.field?.name.to_owned();
        Some(Place { name, also: Vec::new(), buffer: self.buffer?, region: Region::Whole })
    }
}

struct Writer<'a, 'k> {
    abi: &'a mut Abi<'k>,
    memory: &'a mut Memory,
    written: Vec<Written>,
    overlays: Vec<Overlay>,
}

impl Writer<'_, '_> {
    fn fields(&mut self, fields: &[AttrField], known: Option<&'static Command>) -> Result<(), Unmet> {
        for field in fields {
            let written = match field.slot {
                AttrSlot::Field(of) => self.field(of, &field.value)?,
                AttrSlot::Offset(offset) => self.at_offset(offset, &field.value)?,
            };
            self.written.push(written);
        }
        for field in known.into_iter().flat_map(|command| command.fields) {
            if let Some(count_of) = &field.count_of {
                self.count(field, count_of)?;
            }
        }
        Ok(())
    }

    fn field(&mut self, field: &'static Field, value: &Placed<Arg>) -> Result<Written, Unmet> {
        let mut written = Written {
            field: Some(field),
            start: field.offset.into(),
            end: u64::from(field.offset) + u64::from(field.size),
            buffer: None,
            number: None,
            names: Vec::new(),
        };
        let number = match (&value.value, field.kind) {
            (Arg::Expr(expr), _) => self.abi.value(expr)?,
            (Arg::Address(address), _) => self.abi.address(*address),
            (Arg::Buffer(piece), FieldKind::Pointer) => {
                let buffer = self.memory.buffer(self.abi, piece)?;
                written.buffer = Some(buffer);
                Value::Address(buffer)
            }
            (Arg::Buffer(piece), _) => {
                written.names = self.in_place(field.offset, Some(field), piece)?.1;
                return Ok(written);
            }
        };
        if let Value::Number(number) = number {
            written.number = Some(number);
            if !fits(number, field.size) {
                let (name, size) = (field.name, field.size);
                return Err(Unmet {
                    reason: format!(
                        "{number:#x} does not fit in the {size} bytes of {name} ({})",
                        value.place
                    ),
                });
            }
        }
        self.put(field, number);
        Ok(written)
    }

    fn at_offset(&mut self, offset: u32, value: &Placed<Arg>) -> Result<Written, Unmet> {
        let Arg::Buffer(piece) = &value.value else {
            let reason =
                format!("what is written at an offset needs a width, such as {{u32: …}} ({})", value.place);
            return Err(Unmet { reason });
        };
        let (end, names) = self.in_place(offset, None, piece)?;
        Ok(Written { field: None, start: offset.into(), end, buffer: None, number: None, names })
    }

    /// Writes a piece into the attr itself; gives its end and its named parts.
    fn in_place(
        &mut self,
        offset: u32,
        field: Option<&Field>,
        piece: &case::Piece,
    ) -> Result<(u64, Vec<(String, Region)>), Unmet> {
        let mut made = Pieces::default();
        self.memory.write(self.abi, &mut made, piece)?;
        if let Some(field) = field {
            fit(&made, field, piece)?;
        }
        let mut at = vec![u64::from(offset)];
        for part in &made.list {
            let Some(size) = piece_size(part) else {
                let place = &piece.place;
                let reason =
                    format!("the size of what is written in place must be known beforehand ({place})");
                return Err(Unmet { reason });
            };
            let end = at[at.len() - 1] + size;
            self.overlays.push(Overlay { offset: at[at.len() - 1] as u32, piece: part.clone() });
            at.push(end);
        }
        let region = |first: usize, count: usize| Region::Range {
            offset: at[first] as u32,
            length: (at[(first + count).min(at.len() - 1)] - at[first]) as u32,
        };
        let names = made.names.into_iter().map(|(name, first, count)| (name, region(first, count)));
        Ok((at[at.len() - 1], names.collect()))
    }

    fn put(&mut self, field: &Field, value: Value) {
        let width = field.size.min(8) as u8;
        let piece = match value {
            Value::Number(number) => Piece::Bytes(self.abi.bytes(number, width)),
            value => Piece::Value { value, width, shift: 0 },
        };
        self.overlays.push(Overlay { offset: field.offset, piece });
    }

    /// Computes a count that the case leaves out, if the buffer that it counts is written in place.
    fn count(&mut self, field: &'static Field, of: &CountOf) -> Result<(), Unmet> {
        let (start, end) = (u64::from(field.offset), u64::from(field.offset) + u64::from(field.size));
        if self.written.iter().any(|w| w.start < end && start < w.end) {
            return Ok(());
        }
        let named = |name: &str| self.written.iter().find(|w| w.field.is_some_and(|f| f.name == name));
        let Some(buffer) = of.buffers.iter().find_map(|name| named(name)?.buffer) else { return Ok(()) };
        let unit = match of.unit {
            Unit::Bytes(bytes) => bytes,
            Unit::Field(size) => match named(size) {
                None => 0,
                Some(size) => size.number.and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
            },
        };
        if unit == 0 {
            return Ok(()); // Records of no size: the case is about that, or gives the count itself.
        }
        let contents = self.memory.buffers.get(buffer as usize).and_then(|b| size(&b.pieces));
        self.put(
            field,
            match contents {
                Some(bytes) => Value::Number(bytes / u64::from(unit)),
                None => Value::Length(buffer, unit),
            },
        );
        Ok(())
    }
}

/// A field that is written in place takes no more than it has room for.
fn fit(made: &Pieces, field: &Field, piece: &case::Piece) -> Result<(), Unmet> {
    match made.size() {
        Some(size) if size > field.size.into() => Err(Unmet {
            reason: format!("{} has room for {} bytes, not {size} ({})", field.name, field.size, piece.place),
        }),
        _ => Ok(()),
    }
}
