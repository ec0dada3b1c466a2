//! Arguments and the buffers that they point to.

use crate::btf;
use crate::case::{Address, Arg, Expr, Piece, PieceKind, Term, Text, TextPart};
use crate::insn::{Imm, Insns};
use crate::place::{Place, Placed, Span};
use crate::yaml::names::name_length;
use crate::yaml::reader::mended;
use crate::yaml::tree::{Entry, Kind, Node, NodeRef};

use super::case_reader::CaseReader;
use super::expr::{ADDRESSES, Fit};
use super::outputs::{Outputs, is_sized, name_inside};
use super::sizes::{Measure, Size};

/// The keys that say what a piece is.
pub(crate) const PIECES: &[&str] = &[
    "u8", "u16", "u32", "u64", "i32", "str", "hex", "zero", "fill", "out", "percpu", "list", "addr_of",
    "insns", "times", "struct", "btf", "bytes",
];

impl CaseReader<'_> {
    /// An argument: a number, a pointer to a buffer, or a pointer to nothing usable.
    pub(crate) fn arg(&mut self, node: &Node, what: &str, outputs: &mut Outputs) -> Option<Placed<Arg>> {
        let arg = match &node.kind {
            Kind::Map(_) => Arg::Buffer(self.buffer(node, outputs)?),
            Kind::Scalar(_) => match self.address(node) {
                Some(address) => Arg::Address(address),
                None => Arg::Expr(self.expr(node, Fit { what, ..Fit::ANY })?),
            },
            Kind::List(_) => {
                let help = "write {list: [ … ]}, or {u32: [ … ]} for numbers";
                self.wrong_help(node.span, "a list where an argument belongs", help);
                return None;
            }
        };
        Some(self.placed(node.span, arg))
    }

    /// `null` and its like.
    pub(crate) fn address(&self, node: &Node) -> Option<Address> {
        let scalar = node.scalar()?;
        match scalar.text.as_str() {
            "null" | "NULL" => Some(Address::Null),
            "~" if scalar.plain => Some(Address::Null),
            "unmapped" => Some(Address::Unmapped),
            "readonly" => Some(Address::ReadOnly),
            "kernel" => Some(Address::Kernel),
            _ => None,
        }
    }

    /// A whole buffer, or all that is expected of one.
    pub(crate) fn buffer(&mut self, node: &Node, outputs: &mut Outputs) -> Option<Piece> {
        let piece = self.piece(node, outputs)?;
        self.not_too_large(|measure| measure.piece(&piece))?;
        Some(piece)
    }

    /// Notes what is larger than a buffer may be.
    pub(crate) fn not_too_large(&mut self, measured: impl FnOnce(&mut Measure<'_>) -> Size) -> Option<()> {
        let mut measure = Measure::default();
        measured(&mut measure);
        let fits = measure.wrong.is_empty();
        for wrong in measure.wrong {
            self.wrong_in_case(span_of(&wrong.place), wrong.text, Some(wrong.help));
        }
        fits.then_some(())
    }

    /// A buffer, or a part of one.
    pub(crate) fn piece(&mut self, node: &Node, outputs: &mut Outputs) -> Option<Piece> {
        let Some(entries) = node.entries() else {
            let help = match node.text() {
                Some(word) if ADDRESSES.contains(&word) => format!("{word} stands only for a whole argument"),
                Some(_) => "a number needs its width, {u32: 1}, and text is {str: x}".to_owned(),
                None => "several are {list: [ … ]}".to_owned(),
            };
            self.wrong_help(node.span, format!("{} where a buffer belongs", node.what()), help);
            return None;
        };
        let known: Vec<&str> = PIECES.iter().copied().chain(["as"]).collect();
        let read = mended(entries, &known);
        let mut kinds = read.iter().filter(|e| PIECES.contains(&&*e.key));
        let kind = kinds.next();
        for entry in entries.iter().filter(|e| &*e.key != "as" && !PIECES.contains(&&*e.key)) {
            let known = PIECES.iter().copied().chain(["as"]);
            let all = format!("there are {}", PIECES.join(", "));
            self.unknown(entry.key_span, "kind of buffer:", &entry.key, known, Some(&all));
        }
        let Some(kind) = kind else {
            if entries.iter().all(|e| &*e.key == "as") {
                self.wrong(node.span, "a buffer without contents");
            }
            return None;
        };
        if let Some(second) = kinds.next() {
            let text = format!("{} beside {}: a buffer is one of them", second.key, kind.key);
            self.wrong_help(second.key_span, text, "{list: [ … ]} lays pieces end to end");
            return None;
        }
        let contents = self.contents(kind, outputs);
        let name = read.iter().find(|e| &*e.key == "as").map(|e| self.buffer_name(&e.value));
        let piece = Piece {
            kind: contents?,
            name: match name {
                Some(name) => Some(name?),
                None => None,
            },
            place: self.place(node.span),
        };
        if let Some(name) = &piece.name {
            if outputs.expected {
                self.wrong_help(
                    span_of(&name.place),
                    "a name for expected bytes",
                    "`as` names buffers of the call",
                );
            }
            self.add_output(outputs, &name.value, &piece, &name.place);
        }
        Some(piece)
    }

    pub(crate) fn buffer_name(&mut self, node: &Node) -> Option<Placed<String>> {
        let word = self.word(node, "the name of a buffer")?;
        let name = self.new_name(word, node.span)?;
        Some(self.placed(node.span, name))
    }

    fn contents(&mut self, entry: &Entry, outputs: &mut Outputs) -> Option<PieceKind> {
        let node = &entry.value;
        if outputs.expected && matches!(&*entry.key, "out" | "addr_of") {
            let help =
                if &*entry.key == "out" { "zeros are {zero: 8}" } else { "addresses cannot be foretold" };
            self.wrong_help(entry.key_span, format!("{} where bytes are expected", entry.key), help);
            return None;
        }
        Some(match &*entry.key {
            "u8" => self.numbers(node, 1, false, "u8")?,
            "u16" => self.numbers(node, 2, false, "u16")?,
            "u32" => self.numbers(node, 4, false, "u32")?,
            "u64" => self.numbers(node, 8, false, "u64")?,
            "i32" => self.numbers(node, 4, true, "i32")?,
            "str" => PieceKind::Str(self.interpolated(node)?),
            "hex" => PieceKind::Hex(self.hex(node)?),
            "zero" => PieceKind::Zero(self.count(node)?),
            "out" => PieceKind::Out(self.count(node)?),
            "fill" => {
                let [byte, count] = self.pair(node, "fill", "[byte, count]")?;
                let byte = self.expr(byte, Fit { bytes: 1, signed: false, what: "a byte" });
                let byte = byte.and_then(|byte| self.foreknown(byte));
                PieceKind::Fill { count: self.count(count)?, byte: byte? }
            }
            "percpu" => {
                let pieces = self.pieces(self.one_or_many(node), outputs)?;
                for piece in &pieces {
                    self.is_sized(piece);
                    self.no_name_inside(piece, "percpu");
                }
                match (&node.kind, <[Piece; 1]>::try_from(pieces)) {
                    (Kind::List(_), Ok([piece])) => PieceKind::PercpuEach(vec![piece]),
                    (_, Ok([piece])) => PieceKind::PercpuAll(Box::new(piece)),
                    (_, Err(pieces)) => PieceKind::PercpuEach(pieces),
                }
            }
            "list" => {
                let items = self.list(node, "pieces")?;
                PieceKind::List(self.pieces(items, outputs)?)
            }
            "addr_of" => PieceKind::AddrOf(self.pieces(self.one_or_many(node), outputs)?),
            "insns" => {
                let mut insns = Vec::new();
                let items = self.list(node, "instructions")?;
                self.insns(items, &mut insns)?;
                PieceKind::Insns(insns)
            }
            "times" => {
                let [count, piece] = self.pair(node, "times", "[count, piece]")?;
                let piece = self.piece(piece, outputs);
                let count = self.count(count);
                let piece = piece?;
                self.no_name_inside(&piece, "times");
                PieceKind::Times { count: count?, piece: Box::new(piece) }
            }
            "struct" => self.structure(node, outputs)?,
            "btf" => self.btf_types(node, outputs)?,
            _ => PieceKind::Saved(self.saved_bytes(node)?),
        })
    }

    /// Several pieces; all are read, so that all mistakes are found.
    pub(crate) fn pieces(&mut self, items: &[NodeRef], outputs: &mut Outputs) -> Option<Vec<Piece>> {
        let pieces: Vec<_> = items.iter().map(|item| self.piece(item, outputs)).collect();
        pieces.into_iter().collect()
    }

    /// `[name, {member: piece, …}]`.
    fn structure(&mut self, node: &Node, outputs: &mut Outputs) -> Option<PieceKind> {
        let [name, members] = self.pair(node, "struct", "[name, {member: piece, …}]")?;
        let word = self.word(name, "the name of a structure")?;
        let Some(size) = btf::structure(word) else {
            let help = "it is written {struct: [tcp_congestion_ops, {flags: {u32: 1}}]}";
            self.wrong_help(name.span, format!("`{word}` is not the name of a structure"), help);
            return None;
        };
        let Some(entries) = members.entries() else {
            let text = format!("{} where the members of a structure belong", members.what());
            self.wrong_help(members.span, text, "write {member: {u32: 1}}");
            return None;
        };
        if crate::uapi::is_known(word) {
            return self.uapi(word, entries, outputs);
        }
        if entries.iter().any(|entry| entry.value.scalar().is_some()) {
            self.not_in_tables(name.span, word);
        }
        self.asks(&size);
        let mut all = Vec::new();
        for entry in entries {
            let query = btf::member(&size, &entry.key);
            match &query {
                Some(query) => self.asks(query),
                None => {
                    let text = format!("`{}` is not the name of a member", entry.key);
                    self.wrong_help(entry.key_span, text, "a member of a member is written a.b");
                }
            }
            let piece = self.piece(&entry.value, outputs);
            if let Some(piece) = &piece {
                self.is_sized(piece);
            }
            all.push(query.zip(piece));
        }
        Some(PieceKind::Struct { size, members: all.into_iter().collect::<Option<_>>()? })
    }

    fn pair<'n>(&mut self, node: &'n Node, what: &str, form: &str) -> Option<[&'n NodeRef; 2]> {
        match &node.kind {
            Kind::List(items) if items.len() == 2 => Some([&items[0], &items[1]]),
            _ => {
                self.wrong_help(
                    node.span,
                    format!("{what} wants two things"),
                    format!("write {what}: {form}"),
                );
                None
            }
        }
    }

    fn numbers(&mut self, node: &NodeRef, width: u8, signed: bool, what: &str) -> Option<PieceKind> {
        let fit = Fit { bytes: width, signed, what };
        let values: Vec<_> = self.one_or_many(node).iter().map(|n| self.expr(n, fit)).collect();
        Some(PieceKind::Numbers { width, signed, values: values.into_iter().collect::<Option<_>>()? })
    }

    /// What is written in place, or into slots, must say how long it is.
    pub(crate) fn is_sized(&mut self, piece: &Piece) {
        if !is_sized(&piece.kind) {
            let help = "pass a pointer to it, or write as many bytes as it has";
            self.wrong_help(span_of(&piece.place), "a size that is known only when the step runs", help);
        }
    }

    fn no_name_inside(&mut self, piece: &Piece, what: &str) {
        if let Some(name) = name_inside(piece) {
            let help = "name all of them together";
            self.wrong_help(
                span_of(&name.place),
                format!("a name inside {what} stands for many pieces"),
                help,
            );
        }
    }

    pub(crate) fn foreknown(&mut self, expr: Expr) -> Option<Expr> {
        if expr.terms.iter().any(|term| matches!(term, Term::Saved(_))) {
            let help = "buffers are laid out before the case starts: use a number, a constant or a parameter";
            self.wrong_help(
                span_of(&expr.place),
                format!("{} is known only when the step runs", expr.text),
                help,
            );
            return None;
        }
        Some(expr)
    }

    /// A number of bytes or of repetitions.
    pub(crate) fn count(&mut self, node: &Node) -> Option<Expr> {
        let expr = self.expr(node, Fit::ANY)?;
        if expr.text.starts_with('-') {
            self.wrong(node.span, format!("{} is less than nothing", expr.text));
            return None;
        }
        self.foreknown(expr)
    }

    /// Text in which `$name` stands for a saved number.
    pub(crate) fn interpolated(&mut self, node: &Node) -> Option<Text> {
        let Some(scalar) = node.scalar().filter(|_| !node.is_empty()) else {
            let help = "text is written {str: GPL}; no text at all is {str: \"\"}";
            self.wrong_help(node.span, format!("{} where text belongs", node.what()), help);
            return None;
        };
        let text = scalar.text.as_str();
        let (mut parts, mut literal) = (Vec::new(), String::new());
        let mut fine = Some(());
        let mut at = 0;
        while let Some(found) = text[at..].find('$') {
            let dollar = at + found;
            let length = name_length(&text[dollar + 1..]);
            let end = dollar + 1 + length;
            if length == 0 {
                literal.push_str(&text[at..end]);
            } else {
                literal.push_str(&text[at..dollar]);
                if !literal.is_empty() {
                    parts.push(TextPart::Literal(std::mem::take(&mut literal)));
                }
                let name = &text[dollar + 1..end];
                fine = fine.and(self.saved_number(name, node.part(dollar..end)));
                parts.push(TextPart::Saved(name.to_owned()));
            }
            at = end;
        }
        literal.push_str(&text[at..]);
        if !literal.is_empty() {
            parts.push(TextPart::Literal(literal));
        }
        fine.map(|()| Text { parts })
    }

    fn hex(&mut self, node: &Node) -> Option<Vec<u8>> {
        let text = self.word(node, "hexadecimal digits")?;
        let mut digits = Vec::new();
        for (at, c) in text.char_indices().filter(|(_, c)| !c.is_whitespace()) {
            let Some(digit) = c.to_digit(16) else {
                let span = node.part(at..at + c.len_utf8());
                self.wrong_help(
                    span,
                    format!("`{c}` is not a hexadecimal digit"),
                    "write {hex: \"de ad be ef\"}",
                );
                return None;
            };
            digits.push(digit as u8);
        }
        if !digits.len().is_multiple_of(2) {
            self.wrong_help(node.span, "half a byte is missing", "every byte has two digits");
            return None;
        }
        Some(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
    }

    fn saved_bytes(&mut self, node: &Node) -> Option<String> {
        let text = self.filled(node, "a saved buffer")?;
        match text.strip_prefix('$') {
            Some(name) if name_length(name) == name.len() && !name.is_empty() => {
                self.saved(name, node.span)?;
                Some(name.to_owned())
            }
            _ => {
                self.wrong_help(node.span, format!("{text} is not a saved buffer"), "write {bytes: $name}");
                None
            }
        }
    }

    /// Instructions; a list among them (an alias, a parameter) counts as its elements.
    fn insns(&mut self, items: &[NodeRef], found: &mut Vec<Placed<Insns>>) -> Option<()> {
        let mut fine = Some(());
        let mut rest = items;
        while let [item, after @ ..] = rest {
            rest = after;
            let read = match &item.kind {
                Kind::List(inner) => self.insns(inner, found),
                _ => match torn(item, after) {
                    Some((parts, whole)) => {
                        rest = &after[parts..];
                        self.wrong_help(
                            Span { end: after[parts - 1].span.end, ..item.span },
                            "the commas of this instruction end elements of the list",
                            format!("put it in quotes: \"{whole}\""),
                        );
                        None
                    }
                    None => self.insn(item).map(|insn| found.push(insn)),
                },
            };
            fine = fine.and(read);
        }
        fine
    }

    fn insn(&mut self, node: &Node) -> Option<Placed<Insns>> {
        let text = self.word(node, "an instruction")?;
        let constant =
            |name: &str| kconform_abi::Arch::ALL.iter().find_map(|&arch| kconform_abi::constant(arch, name));
        let insns = match crate::insn::parse(text, &constant) {
            Ok(insns) => insns,
            Err(errors) => {
                let told = |at: usize| errors.iter().any(|error| error.range.contains(&at));
                for (at, name) in saved_names(text).filter(|&(at, _)| !told(at)) {
                    let _ = self.saved_number(name, node.part(at - 1..at + name.len()));
                }
                for error in errors {
                    let span = node.part(error.range);
                    match error.help {
                        Some(help) => self.wrong_help(span, error.text, help),
                        None => self.wrong(span, error.text),
                    }
                }
                return None;
            }
        };
        let mut fine = Some(());
        for insn in &insns.list {
            match &insn.imm {
                Imm::Saved { name, .. } => {
                    fine = fine.and(self.saved_number(name, saved_part(node, text, name)));
                }
                Imm::Btf(query) => self.asks(query),
                Imm::Number(_) | Imm::Pages { .. } => {}
            }
            insn.member.iter().for_each(|query| self.asks(query));
        }
        fine.map(|()| self.placed(node.span, insns))
    }
}

/// An instruction without quotes in a `[…]`, which the commas between its arguments took apart: of how many elements after
/// the first its rest consists, and the whole.
fn torn(first: &Node, after: &[NodeRef]) -> Option<(usize, String)> {
    let open = |text: &str| {
        text.bytes().fold(0_i32, |depth, byte| depth + i32::from(byte == b'(') - i32::from(byte == b')'))
    };
    let mut whole = first.text()?.to_owned();
    let mut depth = open(&whole);
    if depth < 1 {
        return None;
    }
    for (nth, part) in after.iter().enumerate() {
        let part = part.text()?;
        depth += open(part);
        whole = format!("{whole}, {part}");
        if depth == 0 {
            return Some((nth + 1, whole));
        }
    }
    None
}

fn span_of(place: &Place) -> Span {
    Span { start: place.start, end: place.end }
}

/// The saved values in a text, and where their names begin.
fn saved_names(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let name = |at: usize| &text[at..at + name_length(&text[at..])];
    text.match_indices('$').map(move |(at, _)| (at + 1, name(at + 1))).filter(|(_, name)| !name.is_empty())
}

/// Where `$name` stands in a text.
fn saved_part(node: &Node, text: &str, name: &str) -> Span {
    let word = format!("${name}");
    text.find(&word).map_or(node.span, |at| node.part(at..at + word.len()))
}
