//! What calls point to: pieces as C that puts them together.

use crate::case::{Arg, Expr, Piece, PieceKind, Text, TextPart};
use crate::place::Place;

use super::names::{format_of, identifier, literal};
use super::outputs::Part;
use super::state::{Export, Kind};
use super::{ExportError, uncovered};

/// A per-CPU value's slot is a multiple of this (`round_up(value_size, 8)`, kernel/bpf/syscall.c).
const SLOT: u64 = 8;

/// A buffer of a call.
pub(super) struct Buffer {
    /// C for its address.
    pub(super) data: String,
    /// C for its size in bytes.
    pub(super) size: String,
    /// The size, where it is the same on every kernel.
    pub(super) known: Option<u64>,
    /// Its parts that have names.
    pub(super) parts: Vec<Part>,
}

/// A buffer that is put together.
pub(super) struct Builder {
    /// The variable.
    pub(super) var: String,
    /// The bytes so far, where they are known.
    pub(super) at: Option<u64>,
    parts: Vec<Part>,
    /// Loops around: what is there more than once has no name.
    loops: usize,
}

/// C for text with saved values: a format, and its arguments with a comma before each.
pub(super) struct Format {
    pub(super) format: String,
    pub(super) args: String,
}

impl Export<'_> {
    /// A buffer with this contents, whose variable is called like that if it can be.
    pub(super) fn buffer(&mut self, name: &str, piece: &Piece) -> Result<Buffer, ExportError> {
        self.buffer_of(name, std::slice::from_ref(piece))
    }

    fn buffer_of(&mut self, name: &str, pieces: &[Piece]) -> Result<Buffer, ExportError> {
        let var = self.local(name);
        if let [piece] = pieces
            && let Some(buffer) = self.simple(&var, piece)?
        {
            return Ok(buffer);
        }
        let mut builder = self.builder(var);
        for piece in pieces {
            self.put(&mut builder, piece)?;
        }
        let Builder { var, at, parts, .. } = builder;
        self.out.line(&format!("PLACE(&{var});"));
        Ok(Buffer { data: format!("{var}.data"), size: format!("{var}.size"), known: at, parts })
    }

    fn builder(&mut self, var: String) -> Builder {
        self.out.line(&format!("struct bytes {var} = {{ 0 }};"));
        Builder { var, at: Some(0), parts: Vec::new(), loops: 0 }
    }

    /// A buffer that is written at once.
    fn simple(&mut self, var: &str, piece: &Piece) -> Result<Option<Buffer>, ExportError> {
        let (kind, made, known, size) = match &piece.kind {
            PieceKind::Zero(count) | PieceKind::Out(count) => {
                let (size, known) = self.size(count)?;
                ("__u8", format!("MEMORY({size})"), known, size)
            }
            PieceKind::Fill { byte, count } => {
                let (byte, (size, known)) = (self.expr(byte)?, self.size(count)?);
                ("__u8", format!("memset(MEMORY({size}), {byte}, {size})"), known, size)
            }
            PieceKind::Numbers { width, values, signed } if !values.is_empty() => {
                let all = self.array(*width, *signed, values)?;
                let size = u64::from(*width) * values.len() as u64;
                (word(*width, *signed), format!("COPY({all})"), Some(size), size.to_string())
            }
            PieceKind::Hex(bytes) if !bytes.is_empty() => {
                let size = bytes.len() as u64;
                ("__u8", format!("COPY({})", hex(bytes)), Some(size), size.to_string())
            }
            PieceKind::Str(text) => {
                let Some(bytes) = plain(text) else { return Ok(None) };
                let size = bytes.len() as u64 + 1;
                ("char", format!("COPY({})", literal(bytes)), Some(size), size.to_string())
            }
            PieceKind::Insns(calls) if !calls.is_empty() => {
                let count: usize = calls.iter().map(|call| call.value.list.len()).sum();
                let lines = self.insns(calls)?;
                let size = 8 * count as u64;
                self.out.line(&format!("struct bpf_insn *{var} = COPY(((struct bpf_insn[]){{"));
                for line in lines {
                    self.out.line(&format!("\t{line},"));
                }
                self.out.line("}));");
                let parts = self.whole(piece, var, &size.to_string(), Some(size));
                return Ok(Some(Buffer {
                    data: var.to_owned(),
                    size: size.to_string(),
                    known: Some(size),
                    parts,
                }));
            }
            _ => return Ok(None),
        };
        self.out.line(&format!("{kind} *{var} = {made};"));
        let parts = self.whole(piece, var, &size, known);
        Ok(Some(Buffer { data: var.to_owned(), size, known, parts }))
    }

    /// The name of a whole buffer.
    fn whole(&mut self, piece: &Piece, data: &str, size: &str, known: Option<u64>) -> Vec<Part> {
        let part = |name: &crate::place::Placed<String>| Part {
            names: vec![name.value.clone()],
            data: data.to_owned(),
            size: size.to_owned(),
            known,
            number: None,
        };
        piece.name.iter().map(part).collect()
    }

    /// Numbers as an array: `(__u32[]){ 1, 2 }`.
    fn array(&mut self, width: u8, signed: bool, values: &[Expr]) -> Result<String, ExportError> {
        let values = values.iter().map(|value| self.expr(value)).collect::<Result<Vec<_>, _>>()?;
        Ok(format!("({}[]){{ {} }}", word(width, signed), values.join(", ")))
    }

    /// Appends a piece, named or not.
    pub(super) fn put(&mut self, to: &mut Builder, piece: &Piece) -> Result<(), ExportError> {
        let Some(name) =
            piece.name.as_ref().filter(|name| to.loops == 0 && self.wanted.contains(&name.value))
        else {
            return self.put_kind(to, piece);
        };
        let var = to.var.clone();
        let begin = match to.at {
            Some(at) => at.to_string(),
            None => self.mark(&var, &format!("{}_at", identifier(&name.value))),
        };
        let before = to.at;
        self.put_kind(to, piece)?;
        let known = before.zip(to.at).map(|(before, after)| after - before);
        let size = match known {
            Some(size) => size.to_string(),
            None => {
                let end = self.mark(&var, &format!("{}_end", identifier(&name.value)));
                format!("({end} - {begin})")
            }
        };
        let data = format!("{var}.data + {begin}");
        to.parts.push(Part { names: vec![name.value.clone()], data, size, known, number: None });
        Ok(())
    }

    /// A variable for how large something is by now.
    fn mark(&mut self, var: &str, name: &str) -> String {
        let mark = self.local(name);
        self.out.line(&format!("size_t {mark} = {var}.size;"));
        mark
    }

    fn put_kind(&mut self, to: &mut Builder, piece: &Piece) -> Result<(), ExportError> {
        let var = to.var.clone();
        match &piece.kind {
            PieceKind::Numbers { width, values, signed } => match values.as_slice() {
                [] => {}
                [one] => {
                    let one = self.expr(one)?;
                    self.out.line(&format!("put(&{var}, {width}, {one});"));
                    grow(to, Some((*width).into()));
                }
                several => {
                    let array = self.array(*width, *signed, several)?;
                    let size = u64::from(*width) * several.len() as u64;
                    self.out.line(&format!("put_bytes(&{var}, {array}, {size});"));
                    grow(to, Some(size));
                }
            },
            PieceKind::Str(text) => {
                let size = self.put_text(&var, text, true);
                grow(to, size);
            }
            PieceKind::Hex(bytes) => {
                if !bytes.is_empty() {
                    self.out.line(&format!("put_bytes(&{var}, {}, {});", literal(bytes), bytes.len()));
                }
                grow(to, Some(bytes.len() as u64));
            }
            PieceKind::Zero(count) | PieceKind::Out(count) => {
                let (size, known) = self.size(count)?;
                self.out.line(&format!("put_fill(&{var}, 0, {size});"));
                grow(to, known);
            }
            PieceKind::Fill { byte, count } => {
                let (byte, (size, known)) = (self.expr(byte)?, self.size(count)?);
                self.out.line(&format!("put_fill(&{var}, {byte}, {size});"));
                grow(to, known);
            }
            PieceKind::List(pieces) => self.put_all(to, pieces)?,
            PieceKind::AddrOf(pieces) => {
                let inner = self.buffer_of("inner", pieces)?;
                for part in inner.parts {
                    if to.loops == 0 {
                        self.inner.push(part);
                    }
                }
                self.out.line(&format!("put(&{var}, 8, ptr({}));", inner.data));
                grow(to, Some(8));
            }
            PieceKind::Insns(calls) => {
                let count: usize = calls.iter().map(|call| call.value.list.len()).sum();
                let lines = self.insns(calls)?;
                self.out.line(&format!("put_bytes(&{var}, (struct bpf_insn[]){{"));
                for line in lines {
                    self.out.line(&format!("\t{line},"));
                }
                self.out.line(&format!("}}, {});", 8 * count));
                grow(to, Some(8 * count as u64));
            }
            PieceKind::Times { count, piece } => {
                let (times, known) = self.size(count)?;
                let counter = self.local("i");
                let one = self.in_loop(
                    to,
                    &format!("for (long {counter} = 0; {counter} < (long)({times}); {counter}++) {{"),
                    piece,
                )?;
                let all = one.zip(known).and_then(|(one, times)| one.checked_mul(times));
                grow(to, all);
            }
            PieceKind::PercpuAll(value) => {
                self.put_slots(to, &piece.place, value)?;
                to.at = None;
            }
            PieceKind::PercpuEach(values) => {
                self.put_each_slot(to, &piece.place, values)?;
                to.at = None;
            }
            PieceKind::Struct { size, members } => self.put_kernel_struct(to, size, members)?,
            PieceKind::Uapi { structure, members } => self.put_uapi(to, structure, members)?,
            PieceKind::Saved(name) => {
                let saved = self.saved(name);
                match self.kinds.get(name) {
                    Some(Kind::Bytes) => {
                        self.out.line(&format!("put_bytes(&{var}, {saved}.data, {saved}.size);"))
                    }
                    _ => self.out.line(&format!("put(&{var}, 8, {saved});")),
                }
                to.at = None;
            }
            PieceKind::Number(_) => return uncovered(&piece.place, "this"),
        }
        Ok(())
    }

    /// Pieces in their order; numbers of one width are written together.
    fn put_all(&mut self, to: &mut Builder, pieces: &[Piece]) -> Result<(), ExportError> {
        let mut rest = pieces;
        while let Some(first) = rest.first() {
            let PieceKind::Numbers { width, signed, .. } = &first.kind else {
                self.put(to, first)?;
                rest = &rest[1..];
                continue;
            };
            let mut values = Vec::new();
            let mut count = 0;
            for piece in rest {
                match &piece.kind {
                    PieceKind::Numbers { width: w, signed: s, values: more }
                        if w == width && s == signed && piece.name.is_none() =>
                    {
                        values.extend(more.iter().cloned());
                        count += 1;
                    }
                    _ => break,
                }
            }
            if count < 2 {
                self.put(to, first)?;
                rest = &rest[1..];
                continue;
            }
            let kind = PieceKind::Numbers { width: *width, signed: *signed, values };
            self.put_kind(to, &Piece { kind, name: None, place: first.place.clone() })?;
            rest = &rest[count..];
        }
        Ok(())
    }

    /// Puts a piece in a loop; gives the bytes of one round.
    fn in_loop(&mut self, to: &mut Builder, head: &str, piece: &Piece) -> Result<Option<u64>, ExportError> {
        let before = to.at;
        self.out.open(head);
        to.loops += 1;
        to.at = Some(0);
        self.put(to, piece)?;
        to.loops -= 1;
        self.out.close("}");
        let one = to.at;
        to.at = before;
        Ok(one)
    }

    /// A value for each CPU.
    fn put_slots(&mut self, to: &mut Builder, place: &Place, value: &Piece) -> Result<(), ExportError> {
        let (counter, slot) = (self.local("cpu"), self.local("slot"));
        let var = to.var.clone();
        self.out.open(&format!("for (int {counter} = 0; {counter} < possible_cpus(); {counter}++) {{"));
        self.out.line(&format!("size_t {slot} = {var}.size;"));
        self.out.blank();
        to.loops += 1;
        to.at = Some(0);
        self.put(to, value)?;
        to.loops -= 1;
        let Some(size) = to.at else {
            return uncovered(place, "a per-CPU value of a size that the kernel says");
        };
        self.out.line(&format!("pad_to(&{var}, {slot} + {});", stride(size)));
        self.out.close("}");
        Ok(())
    }

    /// One value a CPU; the rest is zeros.
    fn put_each_slot(
        &mut self,
        to: &mut Builder,
        place: &Place,
        values: &[Piece],
    ) -> Result<(), ExportError> {
        let var = to.var.clone();
        let sizes = values.iter().map(|value| self.size_of(value)).collect::<Result<Vec<_>, _>>()?;
        let sizes: Option<Vec<u64>> = sizes.into_iter().collect();
        let Some(sizes) = sizes else {
            return uncovered(place, "a per-CPU value of a size that the kernel says");
        };
        let stride = stride(sizes.iter().copied().max().unwrap_or(0));
        let base = self.mark(&var, "slots");
        to.loops += 1;
        for (cpu, value) in values.iter().enumerate() {
            self.out.open(&format!("if (possible_cpus() > {cpu}) {{"));
            self.put(to, value)?;
            self.out.line(&format!("pad_to(&{var}, {base} + {});", stride * (cpu as u64 + 1)));
            self.out.close("}");
        }
        to.loops -= 1;
        self.out.line(&format!("pad_to(&{var}, {base} + {stride} * possible_cpus());"));
        Ok(())
    }

    /// The bytes of a piece, where they are known; writes nothing.
    pub(super) fn size_of(&mut self, piece: &Piece) -> Result<Option<u64>, ExportError> {
        Ok(match &piece.kind {
            PieceKind::Numbers { width, values, .. } => Some(u64::from(*width) * values.len() as u64),
            PieceKind::Str(text) => plain(text).map(|bytes| bytes.len() as u64 + 1),
            PieceKind::Hex(bytes) => Some(bytes.len() as u64),
            PieceKind::Zero(count) | PieceKind::Out(count) | PieceKind::Fill { count, .. } => {
                self.size(count)?.1
            }
            PieceKind::AddrOf(_) => Some(8),
            PieceKind::Insns(calls) => {
                Some(8 * calls.iter().map(|call| call.value.list.len() as u64).sum::<u64>())
            }
            PieceKind::List(pieces) => {
                let mut sum = Some(0);
                for piece in pieces {
                    sum = sum.zip(self.size_of(piece)?).map(|(sum, size)| sum + size);
                }
                sum
            }
            PieceKind::Times { count, piece } => {
                let (one, times) = (self.size_of(piece)?, self.size(count)?.1);
                one.zip(times).map(|(one, times)| one * times)
            }
            _ => None,
        })
    }

    /// Appends text; its size, where it is known.
    fn put_text(&mut self, var: &str, text: &Text, nul: bool) -> Option<u64> {
        if let Some(bytes) = plain(text) {
            let size = bytes.len() + usize::from(nul);
            self.out.line(&format!("put_bytes(&{var}, {}, {size});", literal(bytes)));
            return Some(size as u64);
        }
        let Format { format, args } = self.format(text);
        self.out.line(&format!("put_text(&{var}, {format}{args});"));
        if nul {
            self.out.line(&format!("put_bytes(&{var}, \"\", 1);"));
        }
        None
    }

    /// Text with saved values as a format.
    pub(super) fn format(&mut self, text: &Text) -> Format {
        let (mut format, mut args) = (String::new(), String::new());
        for part in &text.parts {
            match part {
                TextPart::Literal(text) => format.push_str(&format_of(text)),
                TextPart::Saved(name) => {
                    let saved = self.saved(name);
                    format.push_str("%lld");
                    args.push_str(&format!(", {saved}"));
                }
            }
        }
        Format { format: literal(format.as_bytes()), args }
    }

    /// Bytes that are compared with, not passed: C for their address and their size, and the size where it is known.
    pub(super) fn compared(&mut self, piece: &Piece) -> Result<(String, String, Option<u64>), ExportError> {
        Ok(match &piece.kind {
            PieceKind::Numbers { width, values, signed } if !values.is_empty() => {
                let size = u64::from(*width) * values.len() as u64;
                (self.array(*width, *signed, values)?, size.to_string(), Some(size))
            }
            PieceKind::Hex(bytes) => (literal(bytes), bytes.len().to_string(), Some(bytes.len() as u64)),
            PieceKind::Str(text) if plain(text).is_some() => {
                let bytes = plain(text).unwrap_or_default();
                let size = bytes.len() as u64 + 1;
                (literal(bytes), size.to_string(), Some(size))
            }
            _ => {
                let var = self.local("wanted");
                let mut builder = self.builder(var);
                self.put(&mut builder, piece)?;
                (format!("{}.data", builder.var), format!("{}.size", builder.var), builder.at)
            }
        })
    }

    /// Text without a NUL that is looked for.
    pub(super) fn compared_text(&mut self, text: &Text) -> (String, String) {
        if let Some(bytes) = plain(text) {
            return (literal(bytes), bytes.len().to_string());
        }
        let var = self.local("wanted");
        let builder = self.builder(var);
        self.put_text(&builder.var, text, false);
        (format!("{}.data", builder.var), format!("{}.size", builder.var))
    }

    /// What is written into memory that is there already: C statements that write it at an address.
    pub(super) fn write_at(&mut self, at: &str, value: &Arg, width: u64) -> Result<Option<u64>, ExportError> {
        match value {
            Arg::Expr(expr) => {
                let value = self.expr(expr)?;
                self.out.line(&format!("set({at}, {width}, {value});"));
                Ok(Some(width))
            }
            Arg::Address(address) => {
                let value = self.address(*address);
                self.out.line(&format!("set({at}, {width}, {value});"));
                Ok(Some(width))
            }
            Arg::Buffer(piece) => match &piece.kind {
                PieceKind::Numbers { width, values, .. } if values.len() == 1 => {
                    let value = self.expr(&values[0])?;
                    self.out.line(&format!("set({at}, {width}, {value});"));
                    Ok(Some((*width).into()))
                }
                _ => {
                    let (data, size, known) = self.compared(piece)?;
                    if known != Some(0) {
                        self.out.line(&format!("memcpy({at}, {data}, {size});"));
                    }
                    Ok(known)
                }
            },
        }
    }
}

/// The type of a number.
pub(super) fn word(width: u8, signed: bool) -> &'static str {
    match (width, signed) {
        (1, false) => "__u8",
        (2, false) => "__u16",
        (4, false) => "__u32",
        (_, false) => "__u64",
        (1, true) => "__s8",
        (2, true) => "__s16",
        (4, true) => "__s32",
        (_, true) => "__s64",
    }
}

/// Text without saved values.
pub(super) fn plain(text: &Text) -> Option<&[u8]> {
    match text.parts.as_slice() {
        [] => Some(&[]),
        [TextPart::Literal(text)] => Some(text.as_bytes()),
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    let all: Vec<String> = bytes.iter().map(|byte| format!("{byte:#04x}")).collect();
    format!("(__u8[]){{ {} }}", all.join(", "))
}

/// Bytes from one CPU's value to the next one's.
pub(super) fn stride(size: u64) -> u64 {
    size.div_ceil(SLOT).max(1) * SLOT
}

fn grow(to: &mut Builder, more: Option<u64>) {
    to.at = to.at.zip(more).map(|(at, more)| at + more);
}
