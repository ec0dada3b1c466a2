//! Calls: any syscall by name, `bpf` with its attr, `peek` and `poke`.

use kconform_abi::bpf::{self, Command, Field, FieldKind};

use crate::case::{Arg, Attr, AttrField, AttrSlot, Call, CommonAttr, Expr, Term};
use crate::place::{Placed, Span};
use crate::yaml::tree::{Entry, Kind, Node, NodeRef};

use super::case_reader::CaseReader;
use super::expr::{Fit, literal, number};
use super::outputs::{Outputs, size};
use super::piece::PIECES;

/// bpf(2) refuses an attr larger than a page; this is enough for any page.
const MOST_ATTR: u32 = 65536;

/// The calls that are not syscalls of that name and arguments.
pub(crate) const CALLS: &[&str] = &["bpf", "peek", "poke", "syscall"];

impl CaseReader<'_> {
    /// The call that an entry of a step stands for, and its outputs. The syscall is known.
    pub(crate) fn call(&mut self, entry: &Entry, outputs: &mut Outputs) -> Option<Call> {
        if let Kind::Map(args) = &entry.value.kind
            && !CALLS.contains(&&*entry.key)
        {
            return self.named(entry, args, outputs);
        }
        let Kind::List(args) = &entry.value.kind else {
            let help = format!("arguments are a list: {}: [ … ]", entry.key);
            let span = if entry.value.is_empty() { entry.key_span } else { entry.value.span };
            self.wrong_help(span, format!("{} where the arguments belong", entry.value.what()), help);
            return None;
        };
        Some(match &*entry.key {
            "bpf" => self.bpf(args, entry, outputs)?,
            "peek" => {
                let [address, bytes] = self.two(args, entry, "peek: [$addr, 8]")?;
                let address = self.expr(address, Fit::ANY);
                outputs.all_known = true;
                let size = match self.count(bytes) {
                    Some(size) => size,
                    None => {
                        outputs.add_data(None);
                        return None;
                    }
                };
                self.not_too_large(|measure| measure.zeros(&size))?;
                outputs.add_data(literal(&size));
                Call::Peek { address: address?, size }
            }
            "poke" => {
                let [address, data] = self.two(args, entry, "poke: [$addr, {u64: 5}]")?;
                let address = self.expr(address, Fit::ANY);
                outputs.all_known = true;
                let data = self.buffer(data, outputs)?;
                Call::Poke { address: address?, data }
            }
            "syscall" => self.raw(args, entry, outputs)?,
            _ => self.syscall(entry, args, outputs)?,
        })
    }

    fn two<'n>(&mut self, args: &'n [NodeRef], entry: &Entry, form: &str) -> Option<[&'n NodeRef; 2]> {
        match args {
            [first, second] => Some([first, second]),
            _ => {
                let text = format!("{} takes 2 arguments, not {}", entry.key, args.len());
                self.wrong_help(entry.value.span, text, format!("write {form}"));
                None
            }
        }
    }

    fn syscall(&mut self, entry: &Entry, args: &[NodeRef], outputs: &mut Outputs) -> Option<Call> {
        self.at_most(args, 6, &entry.key);
        let read = self.args(&entry.key, args, outputs);
        self.keeps_to_prototype(&entry.key, args, &read);
        let args = read.into_iter().collect::<Option<_>>()?;
        Some(Call::Syscall { name: entry.key.to_string(), args, names: Vec::new() })
    }

    fn args(&mut self, call: &str, args: &[NodeRef], outputs: &mut Outputs) -> Vec<Option<Placed<Arg>>> {
        let mut read = Vec::new();
        for (index, node) in args.iter().enumerate() {
            let arg = self.arg(node, &format!("arg{index}"), outputs);
            if let Some(Placed { value: Arg::Buffer(piece), .. }) = &arg {
                outputs.add_arg(call, &[], index, piece);
            }
            if arg.is_none() {
                outputs.add_unread(&format!("arg{index}"), node);
            }
            read.push(arg);
        }
        outputs.all_known = true;
        read
    }

    /// `syscall: [close, 3, 4]`: by name or by number, with whatever arguments.
    fn raw(&mut self, args: &[NodeRef], entry: &Entry, outputs: &mut Outputs) -> Option<Call> {
        let Some((first, args)) = args.split_first() else {
            let help = "write syscall: [close, 3], or its number";
            self.wrong_help(entry.value.span, "syscall without the name of one", help);
            return None;
        };
        self.at_most(args, 6, "a system call");
        let word = self.word(first, "the name of a system call, or its number")?;
        let name = match number(word) {
            Some(Ok(number)) if u32::try_from(number).is_ok() => number.to_string(),
            Some(_) => {
                self.wrong_help(
                    first.span,
                    format!("{word} is not the number of a system call"),
                    "it has 32 bits",
                );
                return None;
            }
            None => {
                let name = word.strip_prefix("SYS_").or_else(|| word.strip_prefix("__NR_")).unwrap_or(word);
                if !kconform_abi::syscall_known(name) {
                    self.unknown(first.span, "syscall", word, kconform_abi::syscall_names(), None);
                    return None;
                }
                name.to_owned()
            }
        };
        let read = self.args(&name, args, outputs);
        Some(Call::Syscall { name, args: read.into_iter().collect::<Option<_>>()?, names: Vec::new() })
    }

    fn at_most(&mut self, args: &[NodeRef], most: usize, name: &str) {
        if let (Some(first), Some(last)) = (args.get(most), args.last()) {
            let span = Span { start: first.span.start, end: last.span.end.max(first.span.end) };
            self.wrong(span, format!("{name} takes {most} arguments at most, not {}", args.len()));
        }
    }

    fn bpf(&mut self, args: &[NodeRef], entry: &Entry, outputs: &mut Outputs) -> Option<Call> {
        self.at_most(args, 5, "bpf");
        let Some(first) = args.first() else {
            self.wrong_help(entry.value.span, "bpf without a command", "write bpf: [BPF_MAP_CREATE, {…}]");
            return None;
        };
        let (command, known) = self.command(first)?;
        let attr = match args.get(1) {
            Some(node) => self.attr(node, known, &command, outputs),
            None => {
                outputs.add_attr(known, &[]);
                Some(Attr::Fields(Vec::new()))
            }
        };
        let bytes =
            args.get(2).map(|n| self.expr(n, Fit { bytes: 4, signed: false, what: "the size of an attr" }));
        let size = match bytes {
            Some(size) => Some(size?),
            None => None,
        };
        if let (None, None, Some(Attr::Fields(fields))) = (known, &size, &attr) {
            let written = fields.iter().any(|f| matches!(f.slot, AttrSlot::Offset(_)));
            if !written {
                let help = "say how large the attr is: bpf: [99, {}, 120]";
                self.wrong_help(
                    first.span,
                    format!("the attr of command {} has no size", command.text),
                    help,
                );
            }
        }
        let common = match args.get(3) {
            Some(node) => {
                Some(self.common(node, args.get(4).map(|node| &**node), known, &command, outputs)?)
            }
            None => None,
        };
        Some(Call::Bpf { command, known, attr: attr?, size, common: common.map(Box::new) })
    }

    /// `struct bpf_common_attr` and its size.
    fn common(
        &mut self,
        node: &Node,
        size: Option<&Node>,
        known: Option<&'static Command>,
        command: &Expr,
        outputs: &mut Outputs,
    ) -> Option<CommonAttr> {
        let own = outputs.clone();
        let attr = self.attr(node, Some(&bpf::COMMON_ATTR), command, outputs);
        outputs.are_common_since(&own, known);
        let fit = Fit { bytes: 4, signed: false, what: "the size of an attr" };
        let size = match size.map(|size| self.expr(size, fit)) {
            Some(size) => Some(size?),
            None => None,
        };
        Some(CommonAttr { attr: attr?, size })
    }

    fn command(&mut self, node: &Node) -> Option<(Expr, Option<&'static Command>)> {
        // A word that is no command is told from one that is no constant: it is likelier to be a slip.
        if let Some(text) = node.text()
            && crate::yaml::names::is_name(text)
            && bpf::command(text).is_none()
        {
            let known = bpf::commands().map(|c| c.name);
            let meant = kconform_abi::nearest(text, bpf::commands().map(|c| c.name));
            self.unknown(node.span, "command of bpf(2):", text, known, Some("commands may be numbers, too"));
            let number = meant.and_then(bpf::command);
            let command = Expr { text: meant?.to_owned(), terms: Vec::new(), place: self.place(node.span) };
            return Some((command, number));
        }
        let command = self.expr(node, Fit { bytes: 4, signed: false, what: "a command" })?;
        let known = command.terms.iter().find_map(|term| match term {
            Term::Constant(name) => bpf::command(name),
            _ => None,
        });
        let by_number = || bpf::command_by_number(u32::try_from(literal(&command)?).ok()?);
        let known = known.or_else(by_number);
        Some((command, known))
    }

    fn attr(
        &mut self,
        node: &Node,
        known: Option<&'static Command>,
        command: &Expr,
        outputs: &mut Outputs,
    ) -> Option<Attr> {
        let entries = match &node.kind {
            Kind::Map(entries) => entries,
            Kind::Scalar(_) => {
                return Some(match self.address(node) {
                    Some(address) => Attr::Address(address),
                    None => Attr::Pointer(self.expr(node, Fit::ANY)?),
                });
            }
            Kind::List(_) => {
                self.wrong_help(node.span, "a list where an attr belongs", "write {field: …}");
                return None;
            }
        };
        let field = |key: &str| key.starts_with('@') || known.is_some_and(|c| c.field(key).is_some());
        let pieces = |key: &str| key == "as" || PIECES.contains(&key);
        if !entries.is_empty()
            && !entries.iter().any(|e| field(&e.key))
            && entries.iter().all(|e| pieces(&e.key))
        {
            outputs.all_known = known.is_some();
            let piece = self.buffer(node, outputs)?;
            outputs.add_attr_buffer(known, &piece);
            return Some(Attr::Buffer(piece));
        }
        let names: Vec<&str> = known.iter().flat_map(|command| command.fields).map(|f| f.name).collect();
        let mut fields: Vec<Option<AttrField>> = Vec::new();
        for entry in entries {
            let read = self.attr_field(entry, known, command, outputs);
            if read.is_none() {
                let meant = kconform_abi::nearest(&entry.key, names.iter().copied());
                outputs.add_unread(meant.unwrap_or(&entry.key), &entry.value);
            }
            fields.push(read);
        }
        let read: Vec<AttrField> = fields.iter().flatten().cloned().collect();
        self.no_overlap(&read);
        outputs.add_attr(known, &read);
        outputs.all_known = known.is_some();
        (read.len() == fields.len()).then_some(Attr::Fields(read))
    }

    fn attr_field(
        &mut self,
        entry: &Entry,
        known: Option<&'static Command>,
        command: &Expr,
        outputs: &mut Outputs,
    ) -> Option<AttrField> {
        let (key, node) = (&*entry.key, &*entry.value);
        let (slot, value) = match key.strip_prefix('@') {
            Some(offset) => {
                let slot = self.offset(offset, entry.key_span);
                let value = self.in_place(node, key, None, outputs);
                (AttrSlot::Offset(slot?), value?)
            }
            None => {
                let Some(field) = self.field(entry, known, command) else {
                    // What stands there is read all the same.
                    if !matches!(node.kind, Kind::List(_)) {
                        self.arg(node, key, outputs);
                    }
                    return None;
                };
                let value = match field.kind {
                    FieldKind::Chars => self.in_place(node, key, Some(field.size), outputs)?,
                    FieldKind::Pointer => self.arg(node, key, outputs)?,
                    FieldKind::Int | FieldKind::Fd => self.int(node, key, field)?,
                };
                (AttrSlot::Field(field), value)
            }
        };
        Some(AttrField { slot, key: self.place(entry.key_span), value })
    }

    fn field(
        &mut self,
        entry: &Entry,
        known: Option<&'static Command>,
        command: &Expr,
    ) -> Option<&'static Field> {
        let key = &*entry.key;
        let Some(known) = known else {
            let help = "write at an offset instead: \"@0\": {u32: …}";
            self.wrong_help(
                entry.key_span,
                format!("the fields of command {} are not known", command.text),
                help,
            );
            return None;
        };
        let field = known.field(key);
        if field.is_none() {
            let names: Vec<_> = known.fields.iter().map(|f| f.name).collect();
            let all = format!("its fields are {}{}", names.join(", "), whose(key));
            let what = format!("field of {}:", known.name);
            self.unknown(entry.key_span, &what, key, names.iter().copied(), Some(&all));
        }
        field
    }

    fn offset(&mut self, text: &str, span: Span) -> Option<u32> {
        let offset = number(text).and_then(Result::ok).and_then(|n| u32::try_from(n).ok());
        let offset = offset.filter(|&n| n < MOST_ATTR);
        if offset.is_none() {
            self.wrong_help(span, format!("@{text} is not an offset"), "write \"@120\": a number of bytes");
        }
        offset
    }

    /// Bytes that stand in the attr itself.
    fn in_place(
        &mut self,
        node: &Node,
        key: &str,
        room: Option<u32>,
        outputs: &mut Outputs,
    ) -> Option<Placed<Arg>> {
        let piece = self.buffer(node, outputs)?;
        self.is_sized(&piece);
        if let (Some(room), Some(bytes)) = (room, size(&piece.kind))
            && bytes > u64::from(room)
        {
            let help = format!("it has {room} bytes; {{str: …}} ends in a NUL, {{hex: …}} does not");
            self.wrong_help(node.span, format!("{bytes} bytes do not fit into {key}"), help);
            return None;
        }
        Some(self.placed(node.span, Arg::Buffer(piece)))
    }

    fn int(&mut self, node: &Node, key: &str, field: &Field) -> Option<Placed<Arg>> {
        let bytes = u8::try_from(field.size).ok().filter(|n| matches!(n, 1 | 2 | 4 | 8)).unwrap_or(8);
        if node.scalar().is_none() {
            let help = format!("write {key}: 1; \"@{}\": {{hex: …}} writes bytes there", field.offset);
            self.wrong_help(node.span, format!("{} where the number {key} belongs", node.what()), help);
            return None;
        }
        let expr = self.expr(node, Fit { bytes, signed: false, what: key })?;
        Some(self.placed(node.span, Arg::Expr(expr)))
    }

    /// Fields that share a place cannot both be written; by offset (`@120`) they can.
    fn no_overlap(&mut self, fields: &[AttrField]) {
        let slots = fields.iter().filter_map(|f| match f.slot {
            AttrSlot::Field(slot) => Some((slot, &f.key)),
            AttrSlot::Offset(_) => None,
        });
        let slots: Vec<_> = slots.collect();
        for (index, (slot, key)) in slots.iter().enumerate() {
            let clash = slots[..index].iter().find(|(other, _)| {
                slot.offset < other.offset + other.size && other.offset < slot.offset + slot.size
            });
            if let Some((other, first)) = clash {
                let span = |p: &crate::place::Place| Span { start: p.start, end: p.end };
                let text = format!("{} has the same place in the attr as {}", slot.name, other.name);
                self.wrong_see(span(key), text, span(first), "written here");
            }
        }
    }
}

/// Whose field it is, where a few other commands have it: `; next_key is one of BPF_MAP_GET_NEXT_KEY`.
fn whose(key: &str) -> String {
    const MOST: usize = 4;
    let others: Vec<_> = bpf::commands().filter(|c| c.field(key).is_some()).map(|c| c.name).collect();
    match others.len() {
        1..=MOST => format!("; {key} is one of {}", others.join(", ")),
        _ => String::new(),
    }
}
