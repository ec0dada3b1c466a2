//! What a call leaves behind that can be expected or saved: fields of its attr, and its buffers.

use kconform_abi::bpf::{COMMON_ATTR, Command, FieldKind};

use crate::arguments;
use crate::case::{Arg, AttrField, AttrSlot, CommonAttr, Piece, PieceKind, TextPart};
use crate::place::{Place, Placed, Span};
use crate::uapi::{Layout, LayoutWant};
use crate::yaml::tree::{Kind, Node};

use super::case_reader::CaseReader;
use super::expr::{Fit, literal};
use super::names::Kept;

/// An output and how many bytes it has, where that can be said now.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    name: String,
    /// Bytes.
    pub(crate) size: Option<u64>,
}

/// The outputs of a call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outputs {
    list: Vec<Output>,
    /// Other names, and what they stand for.
    also: Vec<(&'static str, String)>,
    command: Option<&'static Command>,
    /// There is a `struct bpf_common_attr`, too.
    common: bool,
    /// Pointer fields of the attr into which no buffer was written.
    without_buffer: Vec<String>,
    /// There is no call: what is read is compared with memory.
    pub(crate) expected: bool,
    /// Whatever is wrong with the call, these are the names of all its outputs.
    pub(crate) all_known: bool,
}

impl Output {
    /// One that a mistake hides: nothing is known of it.
    pub(crate) fn unknown() -> Output {
        Output { name: String::new(), size: None }
    }

    /// What a number that it is compared with has to fit into.
    pub(crate) fn fit<'a>(&self, name: &'a str) -> Fit<'a> {
        match self.size {
            Some(bytes @ (1 | 2 | 4 | 8)) => Fit { bytes: bytes as u8, signed: false, what: name },
            _ => Fit { what: name, ..Fit::ANY },
        }
    }

    /// What it is when it is saved.
    pub(crate) fn kept(&self) -> Kept {
        match self.size {
            Some(1 | 2 | 4 | 8) => Kept::Number,
            Some(_) => Kept::Bytes,
            None => Kept::Either,
        }
    }
}

impl Outputs {
    /// For memory that is expected, not passed.
    pub(crate) fn expected() -> Outputs {
        Outputs { expected: true, ..Outputs::default() }
    }

    /// An attr that is written as a buffer: all fields of the command may be looked for in it.
    pub(crate) fn add_attr_buffer(&mut self, command: Option<&'static Command>, piece: &Piece) {
        self.command = command;
        self.add_arg("", &[], 1, piece);
    }

    /// The fields of a command's attr, buffers written in place among them.
    pub(crate) fn add_attr(&mut self, command: Option<&'static Command>, fields: &[AttrField]) {
        self.command = command;
        for field in fields {
            let AttrSlot::Field(slot) = field.slot else { continue };
            match &field.value.value {
                Arg::Buffer(piece) if slot.kind == FieldKind::Pointer => {
                    self.list.push(Output { name: slot.name.to_owned(), size: size(&piece.kind) });
                }
                _ if slot.kind == FieldKind::Pointer => self.without_buffer.push(slot.name.to_owned()),
                _ => {}
            }
        }
    }

    /// The buffer that argument number `index` of a call points to; `names` are as in [`crate::case::Call::Syscall`].
    pub(crate) fn add_arg(&mut self, call: &str, names: &[&'static str], index: usize, piece: &Piece) {
        let name = arguments::output_name(names, index);
        let also = arguments::also_called(call, names, index);
        self.also.extend(also.into_iter().map(|other| (other, name.clone())));
        self.list.push(Output { name, size: size(&piece.kind) });
    }

    /// What came since `own` is of `struct bpf_common_attr`, beside the attr of a command.
    pub(crate) fn are_common_since(&mut self, own: &Outputs, command: Option<&'static Command>) {
        self.command = own.command;
        self.all_known = own.all_known;
        self.common = true;
        for output in &mut self.list[own.list.len()..] {
            if output.name == "arg1" {
                output.name = "arg3".to_owned();
            } else if COMMON_ATTR.field(&output.name).is_some() {
                output.name = CommonAttr::output_name(command, &output.name);
            }
        }
    }

    /// A buffer that could not be read, and what is named in it.
    pub(crate) fn add_unread(&mut self, name: &str, node: &Node) {
        if matches!(node.kind, Kind::Map(_)) {
            self.list.push(Output { name: name.to_owned(), size: None });
        }
        self.add_names(node);
    }

    fn add_names(&mut self, node: &Node) {
        match &node.kind {
            Kind::Scalar(_) => {}
            Kind::List(items) => items.iter().for_each(|item| self.add_names(item)),
            Kind::Map(entries) => {
                for entry in entries {
                    match entry.value.text().filter(|_| &*entry.key == "as") {
                        Some(name) if self.list.iter().all(|output| output.name != name) => {
                            self.list.push(Output { name: name.to_owned(), size: None });
                        }
                        _ => self.add_names(&entry.value),
                    }
                }
            }
        }
    }

    /// What `peek` reads.
    pub(crate) fn add_data(&mut self, size: Option<u64>) {
        self.list.push(Output { name: "data".to_owned(), size });
    }

    fn find(&self, name: &str) -> Option<Output> {
        if let Some(output) = self.list.iter().find(|o| o.name == name) {
            return Some(output.clone());
        }
        if let Some((_, own)) = self.also.iter().find(|(other, _)| *other == name) {
            return self.list.iter().find(|o| o.name == *own).cloned();
        }
        let own = self.command.and_then(|command| command.field(name));
        let common = || COMMON_ATTR.field(name).filter(|_| self.common);
        let field = own.or_else(common)?;
        if own.is_none() && field.kind == FieldKind::Pointer {
            let names = [format!("common.{}", field.name), field.name.to_owned()];
            return names.iter().find_map(|name| self.list.iter().find(|o| o.name == *name).cloned());
        }
        if field.kind == FieldKind::Pointer {
            return self.list.iter().find(|o| o.name == field.name).cloned();
        }
        Some(Output { name: field.name.to_owned(), size: Some(field.size.into()) })
    }

    fn names(&self) -> Vec<&str> {
        let fields = self.command.iter().flat_map(|c| c.fields).filter(|f| f.kind != FieldKind::Pointer);
        let own = self.list.iter().map(|o| o.name.as_str());
        let common = COMMON_ATTR.fields.iter().filter(|f| self.common && f.kind != FieldKind::Pointer);
        own.chain(fields.map(|f| f.name))
            .chain(common.map(|f| f.name))
            .chain(self.also.iter().map(|(other, _)| *other))
            .collect()
    }
}

impl CaseReader<'_> {
    /// A buffer gets a name of its own.
    pub(crate) fn add_output(&mut self, outputs: &mut Outputs, name: &str, piece: &Piece, at: &Place) {
        if outputs.list.iter().any(|o| o.name == name) {
            let span = Span { start: at.start, end: at.end };
            self.wrong(span, format!("a second buffer named {name} in this call"));
        }
        outputs.list.push(Output { name: name.to_owned(), size: size(&piece.kind) });
    }

    /// The output of that name; a mistake if the call has none.
    pub(crate) fn output(&mut self, outputs: &Outputs, name: &str, span: Span) -> Option<Output> {
        if let Some(output) = outputs.find(name) {
            return Some(output);
        }
        let field = outputs.command.and_then(|c| c.field(name));
        if let Some(field) = field {
            let help = if outputs.without_buffer.iter().any(|w| w == field.name) {
                format!("write a buffer in place: {name}: {{out: 8}}")
            } else {
                format!("the call is not given {name}")
            };
            self.wrong_help(span, format!("{name} is no buffer of this call"), help);
            return None;
        }
        let names = outputs.names();
        let otherwise = match names.as_slice() {
            [] => "this call has no output: name a buffer with `as`, or write {out: 8}".to_owned(),
            names => format!("the outputs of this call are {}", names.join(", ")),
        };
        self.unknown(span, "output", name, names.iter().copied(), Some(&otherwise));
        None
    }
}

/// Whether a piece's bytes can be counted before the step runs, on whatever kernel.
pub(crate) fn is_sized(kind: &PieceKind) -> bool {
    match kind {
        PieceKind::Str(text) => !text.parts.iter().any(|part| matches!(part, TextPart::Saved(_))),
        PieceKind::Saved(_) => false,
        PieceKind::List(pieces) | PieceKind::PercpuEach(pieces) => pieces.iter().all(|p| is_sized(&p.kind)),
        PieceKind::PercpuAll(piece) | PieceKind::Times { piece, .. } => is_sized(&piece.kind),
        PieceKind::Struct { members, .. } => members.iter().all(|(_, p)| is_sized(&p.kind)),
        PieceKind::Uapi { members, .. } => in_place(members).all(|p| is_sized(&p.kind)),
        _ => true,
    }
}

/// The name of a piece, or of one inside it.
pub(crate) fn name_inside(piece: &Piece) -> Option<&Placed<String>> {
    piece.name.as_ref().or_else(|| match &piece.kind {
        PieceKind::List(pieces) | PieceKind::PercpuEach(pieces) => pieces.iter().find_map(name_inside),
        PieceKind::PercpuAll(piece) | PieceKind::Times { piece, .. } => name_inside(piece),
        PieceKind::Struct { members, .. } => members.iter().find_map(|(_, piece)| name_inside(piece)),
        PieceKind::Uapi { members, .. } => in_place(members).find_map(name_inside),
        _ => None,
    })
}

/// The pieces that stand in a structure.
pub(crate) fn in_place(members: &[(Placed<String>, Placed<Arg>)]) -> impl Iterator<Item = &Piece> {
    members.iter().filter_map(|(_, arg)| match &arg.value {
        Arg::Buffer(piece) => Some(piece),
        Arg::Expr(_) | Arg::Address(_) => None,
    })
}

/// The bytes of a piece, where they do not depend on the kernel or on a saved value.
pub(crate) fn size(kind: &PieceKind) -> Option<u64> {
    match kind {
        PieceKind::Numbers { width, values, .. } => Some(u64::from(*width) * values.len() as u64),
        PieceKind::Str(text) => text.parts.iter().try_fold(1, |sum, part| match part {
            TextPart::Literal(text) => Some(sum + text.len() as u64),
            TextPart::Saved(_) => None,
        }),
        PieceKind::Hex(bytes) => Some(bytes.len() as u64),
        PieceKind::Zero(count) | PieceKind::Out(count) | PieceKind::Fill { count, .. } => literal(count),
        PieceKind::List(pieces) => pieces.iter().try_fold(0_u64, |sum, p| sum.checked_add(size(&p.kind)?)),
        PieceKind::AddrOf(_) => Some(8),
        PieceKind::Insns(insns) => Some(insns.iter().map(|i| 8 * i.value.list.len() as u64).sum()),
        PieceKind::Times { count, piece } => literal(count)?.checked_mul(size(&piece.kind)?),
        PieceKind::Uapi { structure, .. } => {
            Layout { structure: structure.clone(), want: LayoutWant::Size }.everywhere()
        }
        PieceKind::PercpuAll(_)
        | PieceKind::PercpuEach(_)
        | PieceKind::Struct { .. }
        | PieceKind::Saved(_)
        | PieceKind::Number(_) => None,
    }
}
