//! bpf(2)'s attr: a structure of the fields that the case uses, or bytes where a case writes what no structure has.

use kconform_abi::bpf::{Command, Field, FieldKind, Unit};

use crate::case::{Arg, Attr, AttrField, AttrSlot, Expr, Piece, PieceKind};
use crate::place::Placed;

use super::fields::{Fields, field_of, member, structure_name};
use super::memory::{Buffer, plain};
use super::names::literal;
use super::outputs::{Outputs, Part};
use super::state::Export;
use super::{ExportError, uncovered};

/// The kernel refuses what is longer than a page before it reads it, so memory need not follow an absurd size further.
const LONGEST: u64 = 1 << 20;

/// An attr that was written: its address and its size as C, and whether both are those of a plain structure.
pub(super) struct Written {
    pub(super) data: String,
    pub(super) size: String,
    pub(super) plain: bool,
}

/// What is written to a field.
enum Value {
    Number(String),
    Text(String),
    Bytes,
}

impl Export<'_> {
    /// Writes an attr, and says what its fields are called. `prefix` is that of a second attr's variables.
    pub(super) fn attr(
        &mut self,
        outputs: &mut Outputs,
        known: Option<&'static Command>,
        attr: &Attr,
        size: Option<&Expr>,
        name: &str,
    ) -> Result<Written, ExportError> {
        let explicit = size.map(|size| self.size(size)).transpose()?;
        let usual = known.map_or(0, |known| u64::from(known.size));
        let size_of = |size: String| explicit.as_ref().map_or(size, |(text, _)| text.clone());
        Ok(match attr {
            Attr::Address(address) => {
                Written { data: self.address(*address), size: size_of(usual.to_string()), plain: false }
            }
            Attr::Pointer(pointer) => {
                Written { data: self.expr(pointer)?, size: size_of(usual.to_string()), plain: false }
            }
            Attr::Buffer(piece) => {
                let Buffer { data, size, known: bytes, parts } = self.buffer(name, piece)?;
                outputs.named.extend(parts);
                outputs.named.append(&mut self.inner);
                fields_of(outputs, known, &data);
                outputs.places.push(whole(&data, &size, bytes));
                Written { data, size: size_of(size), plain: false }
            }
            Attr::Fields(fields) => self.fields(outputs, known, fields, explicit, name)?,
        })
    }

    fn fields(
        &mut self,
        outputs: &mut Outputs,
        known: Option<&'static Command>,
        fields: &[AttrField],
        explicit: Option<(String, Option<u64>)>,
        name: &str,
    ) -> Result<Written, ExportError> {
        let mut buffers: Vec<(&'static str, Buffer)> = Vec::new();
        let mut values = Vec::with_capacity(fields.len());
        for field in fields {
            values.push(match (&field.value.value, field_of(field)) {
                (Arg::Expr(expr), Some(_)) => Value::Number(self.expr(expr)?),
                (Arg::Address(address), Some(_)) => Value::Number(self.address(*address)),
                (Arg::Buffer(piece), Some(of)) if of.kind == FieldKind::Pointer => {
                    let buffer = self.buffer(&of.name.replace('.', "_"), piece)?;
                    let number = format!("ptr({})", buffer.data);
                    buffers.push((of.name, buffer));
                    Value::Number(number)
                }
                (Arg::Buffer(piece), Some(of)) if of.kind == FieldKind::Chars && piece.name.is_none() => {
                    match &piece.kind {
                        PieceKind::Str(text) => match plain(text) {
                            Some(bytes) if bytes.len() < of.size as usize => Value::Text(literal(bytes)),
                            _ => Value::Bytes,
                        },
                        _ => Value::Bytes,
                    }
                }
                _ => Value::Bytes,
            });
        }
        outputs.named.append(&mut self.inner);
        let counts = self.counts(known, fields, &buffers)?;
        for (field, buffer) in buffers {
            outputs.named.extend(buffer.parts);
            let part = known.and_then(|known| known.part).map(|part| format!("{part}.{field}"));
            let names = std::iter::once(field.to_owned()).chain(part).collect();
            let Buffer { data, size, known, .. } = buffer;
            outputs.places.push(Part { names, data, size, known, number: None });
        }
        let usual = known.map_or(0, |known| u64::from(known.size));
        let long = explicit.as_ref().is_some_and(|(_, size)| size.is_none_or(|size| size > usual));
        let odd = values.iter().any(|value| matches!(value, Value::Bytes)) || overlap(fields);
        let attr = self.local(name);
        let known_plain = known.filter(|known| self.attrs.get(known.name).is_some_and(Fields::is_plain));
        match known_plain.filter(|_| !long && !odd) {
            Some(known) => {
                self.structure(outputs, known, fields, values, counts, &attr);
                let size = explicit.map_or_else(|| format!("sizeof({attr})"), |(size, _)| size);
                Ok(Written { data: format!("&{attr}"), size, plain: true })
            }
            None => self.raw(outputs, known, fields, values, counts, explicit, &attr),
        }
    }

    fn structure(
        &mut self,
        outputs: &mut Outputs,
        known: &'static Command,
        fields: &[AttrField],
        values: Vec<Value>,
        counts: Vec<(&'static Field, String)>,
        attr: &str,
    ) {
        if let Some(row) = self.attrs.get_mut(known.name) {
            row.used = true;
        }
        if fields.is_empty() {
            self.out.line(&format!("struct {} {attr} = {{ 0 }};", structure_name(known.name)));
        } else {
            self.out.line(&format!("struct {} {attr} = {{", structure_name(known.name)));
            let written = fields.iter().filter_map(field_of).zip(values).map(|(field, value)| match value {
                Value::Number(text) | Value::Text(text) => (field, text),
                Value::Bytes => (field, String::new()),
            });
            for (field, value) in written.chain(counts) {
                self.out.line(&format!("\t.{} = {value},", member(field.name)));
            }
            self.out.line("};");
        }
        let data = format!("(__u8 *)&{attr}");
        fields_of(outputs, Some(known), &data);
        // Those that the structure has are numbers by their names.
        let row = self.attrs.get(known.name);
        for part in &mut outputs.places {
            let name = part.names.first().map_or("", |name| name);
            let of = known.field(name).filter(|field| matches!(field.size, 1 | 2 | 4 | 8));
            let has = |field: &&Field| {
                row.is_some_and(|row| row.fields.contains(&(field.offset, field.size, field.name)))
            };
            if part.data.starts_with(&data)
                && let Some(field) = of.filter(has)
            {
                part.number = Some(format!("{attr}.{}", member(field.name)));
            }
        }
        outputs.places.push(whole(&data, &format!("sizeof({attr})"), Some(known.size.into())));
    }

    /// An attr as bytes.
    #[allow(clippy::too_many_arguments)]
    fn raw(
        &mut self,
        outputs: &mut Outputs,
        known: Option<&'static Command>,
        fields: &[AttrField],
        values: Vec<Value>,
        counts: Vec<(&'static Field, String)>,
        explicit: Option<(String, Option<u64>)>,
        attr: &str,
    ) -> Result<Written, ExportError> {
        let usual = known.map_or(0, |known| u64::from(known.size));
        let mut end = usual;
        // What has a size that only the kernel says, by its field.
        let mut odd: Vec<Option<(String, String)>> = vec![None; fields.len()];
        for (field, odd) in fields.iter().zip(&mut odd) {
            let (offset, width) = match field.slot {
                AttrSlot::Field(of) => (u64::from(of.offset), u64::from(of.size)),
                AttrSlot::Offset(offset) => {
                    let Arg::Buffer(piece) = &field.value.value else {
                        return uncovered(&field.value.place, "this");
                    };
                    let size = self.size_of(piece)?;
                    if size.is_none() {
                        let (data, size, _) = self.compared(piece)?;
                        *odd = Some((data, size));
                    }
                    (offset.into(), size.unwrap_or(0))
                }
            };
            end = end.max(offset + width);
        }
        let passed = explicit.as_ref().and_then(|(_, size)| *size).unwrap_or(0).min(LONGEST);
        let (end, length, known_length) = match odd.iter().any(Option::is_some) {
            false => (end.to_string(), end.max(passed).to_string(), Some(end.max(passed))),
            true => {
                let (size, room) = (self.local("attr_size"), self.local("attr_room"));
                self.out.line(&format!("size_t {size} = {end}, {room};"));
                self.out.blank();
                for (field, (_, bytes)) in fields.iter().zip(&odd).filter_map(|(f, o)| Some((f, o.as_ref()?)))
                {
                    let AttrSlot::Offset(offset) = field.slot else { continue };
                    self.out.line(&format!("if ({size} < {offset} + {bytes})"));
                    self.out.line(&format!("\t{size} = {offset} + {bytes};"));
                }
                let wanted = explicit.as_ref().map_or("0", |(text, _)| text.as_str());
                self.out
                    .line(&format!("{room} = {size} > (size_t)({wanted}) ? {size} : (size_t)({wanted});"));
                (size, room, None)
            }
        };
        self.out.line(&format!("__u8 *{attr} = MEMORY({length});"));
        self.out.blank();
        for ((field, value), odd) in fields.iter().zip(values).zip(odd) {
            let (offset, width, name) = match field.slot {
                AttrSlot::Field(of) => (of.offset, of.size.min(8), of.name),
                AttrSlot::Offset(offset) => (offset, 8, ""),
            };
            let at = format!("{attr} + {offset}");
            if let Some((data, size)) = odd {
                self.out.line(&format!("memcpy({at}, {data}, {size});"));
                if let Arg::Buffer(Piece { name: Some(given), .. }) = &field.value.value {
                    let names = vec![given.value.clone()];
                    outputs.named.push(Part { names, data: at, size, known: None, number: None });
                }
                continue;
            }
            match value {
                Value::Number(number) => {
                    self.out.line(&format!("set({at}, {width}, {number}); /* {name} */"))
                }
                Value::Text(text) => self.out.line(&format!("strcpy((char *){at}, {text}); /* {name} */")),
                Value::Bytes => {
                    let size = self.write_at(&at, &field.value.value, width.into())?;
                    if let Arg::Buffer(piece) = &field.value.value
                        && let Some(given) = &piece.name
                    {
                        let size = size.unwrap_or(0);
                        let names = vec![given.value.clone()];
                        outputs.named.push(Part {
                            names,
                            data: at,
                            size: size.to_string(),
                            known: Some(size),
                            number: None,
                        });
                    }
                }
            }
        }
        for (field, count) in counts {
            self.out.line(&format!(
                "set({attr} + {}, {}, {count}); /* {} */",
                field.offset, field.size, field.name
            ));
        }
        fields_of(outputs, known, attr);
        outputs.places.push(whole(attr, &length, known_length));
        let size = explicit.map_or(end, |(size, _)| size);
        Ok(Written { data: attr.to_owned(), size, plain: false })
    }

    /// Counts that the case leaves out, of buffers that it writes in place.
    fn counts(
        &mut self,
        known: Option<&'static Command>,
        fields: &[AttrField],
        buffers: &[(&'static str, Buffer)],
    ) -> Result<Vec<(&'static Field, String)>, ExportError> {
        let mut counts: Vec<(&'static Field, String)> = Vec::new();
        for field in known.into_iter().flat_map(|known| known.fields) {
            let Some(of) = &field.count_of else { continue };
            let (start, end) = (u64::from(field.offset), u64::from(field.offset + field.size));
            let mut taken = false;
            for written in fields {
                let (from, size) = match written.slot {
                    AttrSlot::Field(known) => (u64::from(known.offset), u64::from(known.size)),
                    AttrSlot::Offset(offset) => {
                        let size = match &written.value.value {
                            Arg::Buffer(piece) => self.size_of(piece)?.unwrap_or(0),
                            _ => 0,
                        };
                        (offset.into(), size)
                    }
                };
                taken |= from < end && start < from + size;
            }
            taken |= counts.iter().any(|(other, _)| other.offset == field.offset);
            let find =
                |name: &str| buffers.iter().find(|(field, _)| *field == name).map(|(_, buffer)| buffer);
            let Some(buffer) = of.buffers.iter().find_map(|name| find(name)).filter(|_| !taken) else {
                continue;
            };
            let unit = match of.unit {
                Unit::Bytes(bytes) => u64::from(bytes),
                Unit::Field(name) => {
                    let value = fields.iter().find(|f| field_of(f).is_some_and(|known| known.name == name));
                    match value.map(|field| &field.value) {
                        Some(Placed { value: Arg::Expr(expr), .. }) => self.size(expr)?.1.unwrap_or(0),
                        _ => 0,
                    }
                }
            };
            if unit == 0 {
                continue;
            }
            counts.push((
                field,
                match (buffer.known, unit) {
                    (Some(bytes), unit) => (bytes / unit).to_string(),
                    (None, 1) => buffer.size.clone(),
                    (None, unit) => format!("({}) / {unit}", buffer.size),
                },
            ));
        }
        Ok(counts)
    }
}

/// Whether two of the fields that are written share bytes.
fn overlap(fields: &[AttrField]) -> bool {
    let ranges: Vec<_> =
        fields.iter().filter_map(field_of).map(|field| (field.offset, field.offset + field.size)).collect();
    ranges
        .iter()
        .enumerate()
        .any(|(nth, one)| ranges[..nth].iter().any(|other| one.0 < other.1 && other.0 < one.1))
}

/// All fields of a command as parts of an attr.
fn fields_of(outputs: &mut Outputs, known: Option<&'static Command>, data: &str) {
    for field in known.into_iter().flat_map(|known| known.fields) {
        let part = known.and_then(|known| known.part).map(|part| format!("{part}.{}", field.name));
        outputs.places.push(Part {
            names: std::iter::once(field.name.to_owned()).chain(part).collect(),
            data: format!("{data} + {}", field.offset),
            size: field.size.to_string(),
            known: Some(field.size.into()),
            number: None,
        });
    }
}

fn whole(data: &str, size: &str, known: Option<u64>) -> Part {
    Part { names: vec!["arg1".into()], data: data.to_owned(), size: size.to_owned(), known, number: None }
}
