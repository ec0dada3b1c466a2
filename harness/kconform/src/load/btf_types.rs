//! BTF written as types, `{btf: [{int: int, size: 4, encoding: signed}, …]}`, becomes the bytes that BPF_BTF_LOAD takes
//! (Documentation/bpf/btf.rst). What is wrong on purpose can be written too: each word that follows from others can be set.

use std::collections::HashMap;

use kconform_abi::Arch;

use crate::case::{Expr, Piece, PieceKind, Term};
use crate::place::Place;
use crate::yaml::reader::find;
use crate::yaml::tree::{Entry, Kind as NodeKind, Node, NodeRef};

use super::case_reader::CaseReader;
use super::expr::{Fit, number};
use super::outputs::Outputs;
use super::piece::PIECES;
use super::sizes::Measure;

/// A kind of type, by the key that begins it.
struct Kind {
    key: &'static str,
    /// `BTF_KIND_*`.
    number: u32,
    /// What stands behind the key: a type, or else the name.
    of_type: bool,
    /// The keys beside those that every type has.
    keys: &'static [&'static str],
}

const fn kind(key: &'static str, number: u32, of_type: bool, keys: &'static [&'static str]) -> Kind {
    Kind { key, number, of_type, keys }
}

const KINDS: &[Kind] = &[
    kind("int", 1, false, &["encoding", "bits", "offset"]),
    kind("ptr", 2, true, &[]),
    kind("array", 3, true, &["index", "count"]),
    kind("struct", 4, false, &["members"]),
    kind("union", 5, false, &["members"]),
    kind("enum", 6, false, &["values"]),
    kind("fwd", 7, false, &["of"]),
    kind("typedef", 8, false, &[]),
    kind("volatile", 9, true, &[]),
    kind("const", 10, true, &[]),
    kind("restrict", 11, true, &[]),
    kind("func", 12, false, &["linkage"]),
    kind("func_proto", 13, true, &["params"]),
    kind("var", 14, false, &["linkage"]),
    kind("datasec", 15, false, &["vars"]),
    kind("float", 16, false, &[]),
    kind("decl_tag", 17, false, &["component"]),
    kind("type_tag", 18, false, &[]),
    kind("enum64", 19, false, &["values"]),
];

/// The keys of every type: those of `struct btf_type`. `size` and `type` are one word.
pub(crate) const TYPE_KEYS: &[&str] = &["name", "name_off", "size", "type", "vlen", "kind_flag", "info"];
/// The keys of the whole: those of `struct btf_header`, and its two sections.
pub(crate) const HEADER_KEYS: &[&str] = &[
    "types", "strings", "magic", "version", "flags", "hdr_len", "type_off", "type_len", "str_off", "str_len",
];
/// What the elements of a type have.
pub(crate) const MEMBER_KEYS: &[&str] = &["name", "name_off", "type", "offset", "bit_offset", "bits"];
/// A value of an enum.
pub(crate) const VALUE_KEYS: &[&str] = &["name", "name_off", "value"];
/// A parameter of a prototype.
pub(crate) const PARAM_KEYS: &[&str] = &["name", "name_off", "type"];
/// A variable of a section.
pub(crate) const VAR_KEYS: &[&str] = &["type", "offset", "size"];

const MAGIC: u64 = 0xeb9f;
const HEADER: u64 = 24;
/// The section's and the kind's bits of `btf_type.info`.
const KIND_SHIFT: u32 = 24;
const KIND_FLAG: u32 = 1 << 31;
const MOST_ELEMENTS: u32 = 0xffff;

const ENCODINGS: &[(&str, u32)] = &[("signed", 1), ("char", 2), ("bool", 4)];
const LINKAGES: &[(&str, u32)] = &[("static", 0), ("global", 1), ("extern", 2)];
const FORWARDS: &[(&str, u32)] = &[("struct", 0), ("union", 1)];

/// The names of the kinds of types, for messages and the schema, each with its own keys.
pub(crate) fn kinds() -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
    KINDS.iter().map(|kind| (kind.key, kind.keys))
}

/// The strings' section while it grows.
#[derive(Default)]
struct Strings {
    bytes: Vec<u8>,
    at: HashMap<String, u32>,
    /// They are written as bytes: no name leads into them.
    raw: Option<Piece>,
}

impl Strings {
    fn add(&mut self, text: &str) -> u32 {
        let at = self.bytes.len() as u32;
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(0);
        at
    }

    fn offset(&mut self, text: &str) -> u32 {
        match (text, self.at.get(text)) {
            ("", _) => 0,
            (_, Some(at)) => *at,
            (_, None) => {
                let at = self.add(text);
                self.at.insert(text.to_owned(), at);
                at
            }
        }
    }
}

/// An element of the list of types.
struct Item<'n> {
    node: &'n NodeRef,
    entries: &'n [Entry],
    /// Its kind and what stands behind it; nothing: bytes.
    kind: Option<(&'static Kind, &'n Entry)>,
}

/// What all types are called.
type Ids = HashMap<String, Vec<u32>>;

impl CaseReader<'_> {
    /// `[type, …]`, or `{types: [type, …], strings: […], magic: …}`.
    pub(crate) fn btf_types(&mut self, node: &NodeRef, outputs: &mut Outputs) -> Option<PieceKind> {
        let before = self.hits;
        let list = std::slice::from_ref(node);
        let header: &[Entry] = match &node.kind {
            NodeKind::Map(entries) => entries,
            NodeKind::List(_) => &[],
            NodeKind::Scalar(_) => {
                let help = "write [{int: int, size: 4, encoding: signed}, …], or {types: […], strings: […]}";
                self.wrong_help(node.span, format!("{} where types belong", node.what()), help);
                return None;
            }
        };
        self.known_keys(header, "BTF", HEADER_KEYS);
        let mut nodes = Vec::new();
        match find(header, "types") {
            Some(types) => flatten(std::slice::from_ref(&types.value), &mut nodes),
            None if header.is_empty() => flatten(list, &mut nodes),
            None => self.wrong_help(node.span, "BTF without `types`", "no types are `types: []`"),
        }
        let mut strings = self.btf_strings(header, outputs);
        let items: Vec<Item<'_>> = nodes.into_iter().filter_map(|node| self.btf_item(node)).collect();
        let mut ids = Ids::new();
        for (item, id) in items.iter().zip(1..) {
            if let Some(name) = item.name() {
                ids.entry(name.to_owned()).or_default().push(id);
            }
        }
        let mut pieces = Vec::new();
        for item in &items {
            pieces.extend(match item.kind {
                Some((kind, head)) => self.btf_type(item, kind, head, &ids, &mut strings),
                None => self.piece(item.node, outputs),
            });
        }
        let types = pieces.iter().map(|piece| self.btf_size(piece)).sum::<u64>();
        let place = self.place(node.span);
        let text = strings.raw.take().unwrap_or_else(|| bytes(&place, strings.bytes));
        let text_size = self.btf_size(&text);
        let mut word = |key: &str, otherwise: u64, bytes: u8| match find(header, key) {
            Some(entry) => {
                self.btf_number(&entry.value, Fit { bytes, signed: false, what: key }).unwrap_or(0)
            }
            None => otherwise,
        };
        let magic = word("magic", MAGIC, 2);
        let small = [word("version", 1, 1), word("flags", 0, 1)];
        let sections = [
            word("hdr_len", HEADER, 4),
            word("type_off", 0, 4),
            word("type_len", types, 4),
            word("str_off", types, 4),
            word("str_len", text_size, 4),
        ];
        let header =
            [numbers(&place, 2, &[magic]), numbers(&place, 1, &small), numbers(&place, 4, &sections)];
        let all = header.into_iter().chain(pieces).chain([text]).collect();
        (self.hits == before).then_some(PieceKind::List(all))
    }

    fn btf_size(&mut self, piece: &Piece) -> u64 {
        self.is_sized(piece);
        Measure::default().piece(piece).bytes
    }

    /// The strings that are written: a list, or bytes.
    fn btf_strings(&mut self, header: &[Entry], outputs: &mut Outputs) -> Strings {
        let mut strings = Strings::default();
        let Some(entry) = find(header, "strings") else {
            strings.add("");
            return strings;
        };
        if let NodeKind::Map(_) = entry.value.kind {
            strings.raw = self.piece(&entry.value, outputs);
            return strings;
        }
        strings.add("");
        for item in self.list(&entry.value, "strings").unwrap_or_default() {
            if let Some(text) = self.btf_text(item) {
                let at = strings.add(&text);
                strings.at.entry(text).or_insert(at);
            }
        }
        strings.at.remove("");
        strings
    }

    fn btf_text(&mut self, node: &Node) -> Option<String> {
        let text = match node.text() {
            // Nothing is no name.
            Some("") => "",
            _ => self.word(node, "a name")?,
        };
        if text.contains('\0') {
            self.wrong_help(node.span, "a NUL in a name", "write the strings as bytes: {hex: …}");
            return None;
        }
        Some(text.to_owned())
    }

    /// A number that is the same wherever the case runs.
    fn btf_number(&mut self, node: &Node, fit: Fit<'_>) -> Option<u64> {
        let expr = self.expr(node, fit)?;
        let expr = self.foreknown(expr)?;
        let on = |arch: Arch| {
            expr.terms.iter().try_fold(0, |bits, term| match term {
                Term::Layout(_) => None,
                _ => Some(bits | term.value(arch, None)?),
            })
        };
        let mut values = Arch::ALL.iter().map(|&arch| on(arch));
        let first = values.next().flatten();
        match first.filter(|_| values.all(|value| value == first)) {
            Some(value) => Some(value),
            None => {
                let help = "BTF is laid out before the kernel is known: write a number";
                self.wrong_help(node.span, format!("{} differs from kernel to kernel", expr.text), help);
                None
            }
        }
    }

    fn btf_word(&mut self, entry: &Entry) -> u32 {
        let fit = Fit { bytes: 4, signed: false, what: &entry.key };
        self.btf_number(&entry.value, fit).unwrap_or(0) as u32
    }

    /// The number of a key, or what it is without it.
    fn btf_word_or(&mut self, entries: &[Entry], key: &str, otherwise: u32) -> u32 {
        find(entries, key).map_or(otherwise, |entry| self.btf_word(entry))
    }

    /// One of some words, or a number.
    fn btf_choice(&mut self, node: &Node, key: &str, words: &[(&str, u32)]) -> u32 {
        let text = node.text().unwrap_or_default();
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return *value;
        }
        if number(text).is_some() {
            let fit = Fit { bytes: 4, signed: false, what: key };
            return self.btf_number(node, fit).unwrap_or(0) as u32;
        }
        let known = words.iter().map(|(word, _)| *word);
        let all = format!("it is {}, or a number", known.clone().collect::<Vec<_>>().join(", "));
        self.unknown(node.span, &format!("{key}:"), text, known, Some(&all));
        0
    }

    fn btf_item<'n>(&mut self, node: &'n NodeRef) -> Option<Item<'n>> {
        let Some(entries) = node.entries() else {
            let help = "write {int: int, size: 4, encoding: signed}";
            self.wrong_help(node.span, format!("{} where a type belongs", node.what()), help);
            return None;
        };
        let kind = |entry: &'n Entry| Some((KINDS.iter().find(|kind| kind.key == &*entry.key)?, entry));
        let mut kinds = entries.iter().filter_map(kind);
        if let Some(kind) = kinds.next() {
            if let Some((second, entry)) = kinds.next() {
                let text = format!("{} beside {}: a type is of one kind", second.key, kind.0.key);
                self.wrong(entry.key_span, text);
                return None;
            }
            return Some(Item { node, entries, kind: Some(kind) });
        }
        if entries.iter().any(|entry| PIECES.contains(&&*entry.key)) {
            return Some(Item { node, entries, kind: None });
        }
        let known = KINDS.iter().map(|kind| kind.key);
        let all = format!("there are {}", known.clone().collect::<Vec<_>>().join(", "));
        match entries.first() {
            Some(first) => self.unknown(first.key_span, "kind of type:", &first.key, known, Some(&all)),
            None => self.wrong_help(node.span, "a type without a kind", all),
        }
        None
    }

    /// `struct btf_type` and what follows it.
    fn btf_type(
        &mut self,
        item: &Item<'_>,
        kind: &'static Kind,
        head: &Entry,
        ids: &Ids,
        strings: &mut Strings,
    ) -> Option<Piece> {
        let entries = item.entries;
        let known: Vec<&str> = [kind.key].iter().chain(TYPE_KEYS).chain(kind.keys).copied().collect();
        self.known_keys(entries, &format!("a type of kind {}", kind.key), &known);
        let name = match kind.of_type {
            false => self.btf_name(Some(head), entries, strings),
            true => self.btf_name(find(entries, "name"), entries, strings),
        };
        if !kind.of_type
            && let Some(second) = find(entries, "name")
        {
            self.wrong_help(second.key_span, "a second name", format!("`{}: …` is the name", kind.key));
        }
        let of = kind.of_type.then(|| self.btf_reference(&head.value, ids));
        let mut flag = false;
        let mut elements = 0;
        let mut behind = Vec::new();
        match kind.key {
            "int" => {
                let encoding = self.btf_encoding(entries);
                let bits = find(entries, "size").map_or(0, |size| self.btf_word(size)).wrapping_mul(8);
                let bits = self.btf_word_or(entries, "bits", bits) & 0xff;
                behind.push(encoding << 24 | self.btf_word_or(entries, "offset", 0) << 16 | bits);
            }
            "array" => {
                let index = self.btf_key(entries, "index", item.node, ids);
                behind.extend([of.unwrap_or(0), index, self.btf_word_or(entries, "count", 0)]);
            }
            "struct" | "union" => {
                for member in self.btf_elements(entries, "members", MEMBER_KEYS) {
                    let bits = find(&member, "bits").map(|bits| self.btf_word(bits));
                    flag |= bits.is_some();
                    elements += 1;
                    let name = self.btf_name(find(&member, "name"), &member, strings);
                    let of = self.btf_key(&member, "type", item.node, ids);
                    let offset = self.btf_word_or(&member, "offset", 0).wrapping_mul(8);
                    let offset = self.btf_word_or(&member, "bit_offset", offset);
                    behind.extend([name, of, bits.unwrap_or(0) << 24 | offset]);
                }
            }
            "enum" | "enum64" => {
                for value in self.btf_elements(entries, "values", VALUE_KEYS) {
                    elements += 1;
                    behind.push(self.btf_name(find(&value, "name"), &value, strings));
                    let bytes = if kind.key == "enum" { 4 } else { 8 };
                    let fit = Fit { bytes, signed: false, what: "value" };
                    let number = find(&value, "value").and_then(|value| self.btf_number(&value.value, fit));
                    let number = number.unwrap_or(0);
                    behind.push(number as u32);
                    behind.extend((bytes == 8).then_some((number >> 32) as u32));
                }
            }
            "fwd" => flag = self.btf_chosen(entries, "of", FORWARDS) == 1,
            "func" => elements = self.btf_chosen(entries, "linkage", LINKAGES),
            "var" => behind.push(self.btf_chosen(entries, "linkage", LINKAGES)),
            "func_proto" => {
                for param in self.btf_elements(entries, "params", PARAM_KEYS) {
                    elements += 1;
                    let name = self.btf_name(find(&param, "name"), &param, strings);
                    behind.extend([name, self.btf_key(&param, "type", item.node, ids)]);
                }
            }
            "datasec" => {
                for var in self.btf_elements(entries, "vars", VAR_KEYS) {
                    elements += 1;
                    let of = self.btf_key(&var, "type", item.node, ids);
                    let [offset, size] = ["offset", "size"].map(|key| self.btf_word_or(&var, key, 0));
                    behind.extend([of, offset, size]);
                }
            }
            "decl_tag" => behind.push(self.btf_word_or(entries, "component", u32::MAX)),
            _ => {}
        }
        let third = match (find(entries, "size"), find(entries, "type")) {
            (Some(_), Some(both)) => {
                self.wrong_help(both.key_span, "`type` beside `size`", "they are one word of the type");
                0
            }
            (Some(size), None) => self.btf_word(size),
            (None, Some(_)) => self.btf_key(entries, "type", item.node, ids),
            (None, None) => of.filter(|_| kind.key != "array").unwrap_or(0),
        };
        let flag = find(entries, "kind_flag").map_or(flag, |flag| self.truth(&flag.value).unwrap_or(false));
        let elements = self.btf_word_or(entries, "vlen", elements) & MOST_ELEMENTS;
        let info = kind.number << KIND_SHIFT | elements | if flag { KIND_FLAG } else { 0 };
        let info = self.btf_word_or(entries, "info", info);
        let words: Vec<u64> = [name, info, third].into_iter().chain(behind).map(u64::from).collect();
        Some(numbers(&self.place(item.node.span), 4, &words))
    }

    fn btf_encoding(&mut self, entries: &[Entry]) -> u32 {
        let Some(entry) = find(entries, "encoding") else { return 0 };
        let all = self.one_or_many(&entry.value);
        all.iter().map(|one| self.btf_choice(one, "encoding", ENCODINGS)).fold(0, |all, one| all | one)
    }

    fn btf_chosen(&mut self, entries: &[Entry], key: &str, words: &[(&str, u32)]) -> u32 {
        find(entries, key).map_or(0, |entry| self.btf_choice(&entry.value, key, words))
    }

    /// The elements of a type, each a mapping of these keys.
    fn btf_elements(&mut self, entries: &[Entry], key: &str, keys: &[&str]) -> Vec<Vec<Entry>> {
        let Some(entry) = find(entries, key) else { return Vec::new() };
        let mut nodes = Vec::new();
        flatten(std::slice::from_ref(&entry.value), &mut nodes);
        let what = format!("one of the {key}");
        nodes.into_iter().filter_map(|node| Some(self.mapping(node, &what, keys)?.into_owned())).collect()
    }

    /// The offset of a name in the strings.
    fn btf_name(&mut self, name: Option<&Entry>, entries: &[Entry], strings: &mut Strings) -> u32 {
        let text = name.and_then(|name| Some((name, self.btf_text(&name.value)?)));
        if let Some(offset) = find(entries, "name_off") {
            return self.btf_word(offset);
        }
        match text {
            Some((name, text)) if strings.raw.is_some() && !text.is_empty() => {
                let help = "write where it stands: `name_off: 1`";
                self.wrong_help(name.value.span, "a name beside strings that are written as bytes", help);
                0
            }
            Some((_, text)) => strings.offset(&text),
            None => 0,
        }
    }

    /// The type of a key that must be there.
    fn btf_key(&mut self, entries: &[Entry], key: &str, node: &Node, ids: &Ids) -> u32 {
        match find(entries, key) {
            Some(entry) => self.btf_reference(&entry.value, ids),
            None => {
                let span = entries.first().map_or(node.span, |entry| entry.key_span);
                self.wrong_help(
                    span,
                    format!("`{key}` is missing"),
                    "the name of a type, its number, or void",
                );
                0
            }
        }
    }

    /// A type by its number or its name.
    fn btf_reference(&mut self, node: &Node, ids: &Ids) -> u32 {
        let Some(text) = self.word(node, "a type") else { return 0 };
        if number(text).is_some() {
            return self
                .btf_number(node, Fit { bytes: 4, signed: false, what: "the number of a type" })
                .unwrap_or(0) as u32;
        }
        match ids.get(text).map(Vec::as_slice) {
            Some([id]) => *id,
            None if text == "void" => 0,
            Some(several) => {
                let numbers: Vec<String> = several.iter().map(u32::to_string).collect();
                let text = format!("{} types are called {text}", several.len());
                self.wrong_help(node.span, text, format!("write the number: {}", numbers.join(" or ")));
                0
            }
            None => {
                let known = ids.keys().map(String::as_str).chain(["void"]);
                let help = "types have the names that they are given in this BTF, or numbers from 1";
                self.unknown(node.span, "type", text, known, Some(help));
                0
            }
        }
    }
}

impl Item<'_> {
    /// What other types call it.
    fn name(&self) -> Option<&str> {
        let (kind, head) = self.kind?;
        let named = if kind.of_type { find(self.entries, "name")? } else { head };
        named.value.text().filter(|name| !name.is_empty())
    }
}

/// The elements of lists in lists, such as aliases of several types.
fn flatten<'n>(nodes: &'n [NodeRef], found: &mut Vec<&'n NodeRef>) {
    for node in nodes {
        match &node.kind {
            NodeKind::List(inner) => flatten(inner, found),
            _ => found.push(node),
        }
    }
}

fn piece(place: &Place, kind: PieceKind) -> Piece {
    Piece { kind, name: None, place: place.clone() }
}

fn bytes(place: &Place, bytes: Vec<u8>) -> Piece {
    piece(place, PieceKind::Hex(bytes))
}

/// Numbers of a width in the target's byte order.
fn numbers(place: &Place, width: u8, values: &[u64]) -> Piece {
    let expr = |value: &u64| Expr {
        text: if *value < 10 { value.to_string() } else { format!("{value:#x}") },
        terms: vec![Term::Number(*value)],
        place: place.clone(),
    };
    piece(place, PieceKind::Numbers { width, signed: false, values: values.iter().map(expr).collect() })
}
