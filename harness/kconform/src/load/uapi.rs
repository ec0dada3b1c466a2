//! Structures of the kernel's uapi headers: `{struct: [open_how, {flags: O_RDONLY}]}`.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use kconform_abi::{Arch, Member, MemberKind};

use crate::case::{Arg, Expr, Piece, PieceKind, Term};
use crate::place::{Placed, Span};
use crate::uapi::{Layout, LayoutError, LayoutWant, member_names, members, parse};
use crate::yaml::reader::mended;
use crate::yaml::tree::{Entry, Kind, Node};

use super::case_reader::CaseReader;
use super::expr::Fit;
use super::outcome::value;
use super::outputs::{Outputs, size};

/// How wide a number may be.
const WIDTHS: &[u32] = &[1, 2, 4, 8];

/// A member that is written, on each architecture that has it.
struct Written<'e> {
    entry: &'e Entry,
    on: Vec<(Arch, &'static Member)>,
}

impl Written<'_> {
    /// Its bytes, from the architecture where it has the least to that where it has the most.
    fn sizes(&self) -> RangeInclusive<u32> {
        let sizes = || self.on.iter().map(|(_, member)| member.size);
        sizes().min().unwrap_or(0)..=sizes().max().unwrap_or(0)
    }

    /// Whether it is so on each architecture that has it.
    fn is(&self, kind: impl Fn(&Member) -> bool) -> bool {
        self.on.iter().all(|(_, member)| kind(member))
    }

    /// How many bits it has, where it is bits.
    fn bits(&self) -> Option<u8> {
        self.on.iter().find_map(|(_, member)| match member.kind {
            MemberKind::Bits { count, .. } => Some(count),
            _ => None,
        })
    }
}

fn is_scalar(member: &Member) -> bool {
    matches!(member.kind, MemberKind::Int | MemberKind::Pointer)
}

fn amount(bytes: u64) -> String {
    if bytes == 1 { "1 byte".to_owned() } else { format!("{bytes} bytes") }
}

impl CaseReader<'_> {
    /// The members of a structure that the tables have.
    pub(crate) fn uapi(&mut self, name: &str, entries: &[Entry], outputs: &mut Outputs) -> Option<PieceKind> {
        let known = member_names(name);
        let entries = &*self.known_members(name, entries, &known);
        let mut all = Vec::new();
        let mut written: Vec<Written<'_>> = Vec::new();
        for entry in entries {
            let on = members(name, &entry.key);
            if on.is_empty() {
                self.arg(&entry.value, &entry.key, outputs);
                all.push(None);
                continue;
            }
            let member = Written { entry, on };
            self.no_member_twice(&written, &member);
            let value = self.member(name, &member, outputs);
            let key = self.placed(entry.key_span, entry.key.to_string());
            all.push(value.map(|value| (key, self.placed(entry.value.span, value))));
            written.push(member);
        }
        Some(PieceKind::Uapi { structure: name.to_owned(), members: all.into_iter().collect::<Option<_>>()? })
    }

    /// A structure that the tables lack, though it is written as one that they have: its members are plain numbers.
    pub(crate) fn not_in_tables(&mut self, span: Span, word: &str) {
        let help = match kconform_abi::nearest(word, kconform_abi::structure_names()) {
            Some(near) => format!("did you mean {near}?"),
            None => "then members need their widths: {u32: 1}".to_owned(),
        };
        self.wrong_help(
            span,
            format!("struct {word} is not in the uapi headers; the kernel's BTF may have it"),
            help,
        );
    }

    fn known_members<'e>(&mut self, name: &str, entries: &'e [Entry], known: &[&str]) -> Cow<'e, [Entry]> {
        for entry in entries.iter().filter(|entry| !known.contains(&&*entry.key)) {
            let outer: Vec<&str> = known.iter().copied().filter(|name| !name.contains('.')).collect();
            let all = format!("its members are {}", outer.join(", "));
            self.unknown(
                entry.key_span,
                &format!("member of struct {name}:"),
                &entry.key,
                known.iter().copied(),
                Some(&all),
            );
        }
        mended(entries, known)
    }

    /// Members of a union share their bytes, and a member of a member those of both.
    fn no_member_twice(&mut self, written: &[Written<'_>], member: &Written<'_>) {
        let overlaps = |other: &&Written<'_>| {
            let mut both = member.on.iter().filter_map(|(arch, one)| {
                let (_, other) = other.on.iter().find(|(at, _)| at == arch)?;
                let (one, other) = (one.bits(), other.bits());
                Some(one.start < other.end && other.start < one.end)
            });
            both.next().is_some_and(|first| first && both.all(|overlap| overlap))
        };
        if let Some(other) = written.iter().find(overlaps) {
            let text =
                format!("{} has the same place in the structure as {}", member.entry.key, other.entry.key);
            self.wrong_see(member.entry.key_span, text, other.entry.key_span, "written here");
        }
    }

    fn member(&mut self, name: &str, member: &Written<'_>, outputs: &mut Outputs) -> Option<Arg> {
        let (key, node) = (&*member.entry.key, &*member.entry.value);
        let most = *member.sizes().end();
        if most == 0 {
            let help = format!("lay it behind the structure: {{list: [{{struct: [{name}, …]}}, …]}}");
            self.wrong_help(member.entry.key_span, format!("{key} has no length of its own"), help);
            return None;
        }
        match &node.kind {
            Kind::Scalar(_) => self.member_number(name, member),
            Kind::Map(entries) if member.bits().is_none() => {
                let piece = match entries.as_slice() {
                    [only] if &*only.key == "as" => self.room(name, member, only, outputs)?,
                    _ => self.piece(node, outputs)?,
                };
                self.is_sized(&piece);
                self.fits_member(member, &piece, node)?;
                Some(Arg::Buffer(piece))
            }
            Kind::Map(_) | Kind::List(_) => {
                let help = match member.bits() {
                    Some(count) => {
                        format!("it has {count} bit{}: write {key}: 1", if count == 1 { "" } else { "s" })
                    }
                    None => "several numbers are {u32: [ … ]}, several pieces {list: [ … ]}".to_owned(),
                };
                self.wrong_help(node.span, format!("{} where the member {key} belongs", node.what()), help);
                None
            }
        }
    }

    fn member_number(&mut self, name: &str, member: &Written<'_>) -> Option<Arg> {
        let (key, node) = (&*member.entry.key, &*member.entry.value);
        let most = *member.sizes().end();
        if !member.is(|member| WIDTHS.contains(&member.size)) {
            let inside = format!("{key}.");
            let help = match member_names(name).iter().find(|name| name.starts_with(&inside)) {
                Some(inner) => format!("write the members in it, {inner}, or its bytes: {{zero: {most}}}"),
                None => "write its bytes: {str: x}, {u8: [1, 2]}, {hex: 01 02}".to_owned(),
            };
            let what = format!("{} where the {} of {key} belong", node.what(), amount(most.into()));
            self.wrong_help(node.span, what, help);
            return None;
        }
        let holds_address =
            |member: &Member| member.size == 8 && !matches!(member.kind, MemberKind::Bits { .. });
        if let Some(address) = self.address(node).filter(|_| member.is(holds_address)) {
            return Some(Arg::Address(address));
        }
        let expr = self.expr(node, Fit { bytes: most as u8, signed: false, what: key })?;
        if let Some(count) = member.bits() {
            return self.member_bits(key, count, expr, node.span);
        }
        Some(Arg::Expr(expr))
    }

    fn member_bits(&mut self, key: &str, count: u8, expr: Expr, span: Span) -> Option<Arg> {
        let expr = self.foreknown(expr)?;
        let mut values = Arch::ALL.iter().filter_map(|&arch| value(&expr, arch)).peekable();
        if values.peek().is_some() && !values.any(|value| value.checked_shr(count.into()).unwrap_or(0) == 0) {
            let plural = if count == 1 { "" } else { "s" };
            let help = format!("it has {count} bit{plural}");
            self.wrong_help(span, format!("{} does not fit into {key}", expr.text), help);
            return None;
        }
        Some(Arg::Expr(expr))
    }

    /// `{as: name}`: the member as it is, with a name.
    fn room(
        &mut self,
        name: &str,
        member: &Written<'_>,
        entry: &Entry,
        outputs: &mut Outputs,
    ) -> Option<Piece> {
        let node = &*member.entry.value;
        let text = member.sizes().end().to_string();
        let want = LayoutWant::SizeOf(member.entry.key.to_string());
        let terms = vec![Term::Layout(Layout { structure: name.to_owned(), want })];
        let kind = PieceKind::Out(Expr { text, terms, place: self.place(node.span) });
        let called: Placed<String> = self.buffer_name(&entry.value)?;
        let piece = Piece { kind, name: Some(called.clone()), place: self.place(node.span) };
        if outputs.expected {
            let help = "`as` names buffers of the call";
            self.wrong_help(entry.value.span, "a name for expected bytes", help);
            return None;
        }
        self.add_output(outputs, &called.value, &piece, &called.place);
        Some(piece)
    }

    /// Bytes that are written into a member: all of a number's, and not more than there are.
    fn fits_member(&mut self, member: &Written<'_>, piece: &Piece, node: &Node) -> Option<()> {
        let key = &*member.entry.key;
        let (least, most) = (u64::from(*member.sizes().start()), u64::from(*member.sizes().end()));
        let Some(bytes) = size(&piece.kind) else { return Some(()) };
        let pointer = member.is(|member| member.kind == MemberKind::Pointer);
        let help = match pointer {
            true => format!("it is a pointer: {key}: {{addr_of: …}}, or null"),
            false if member.is(is_scalar) => format!("it is a number of {}: write {key}: 1", amount(most)),
            false => format!("it has {}", amount(most)),
        };
        if bytes > most {
            self.wrong_help(node.span, format!("{} do not fit into {key}", amount(bytes)), help);
            return None;
        }
        if bytes < least && member.is(is_scalar) {
            let text = format!("{} where the {} of {key} belong", amount(bytes), amount(most));
            self.wrong_help(node.span, text, help);
            return None;
        }
        Some(())
    }

    /// `sizeof(struct open_how)`.
    pub(crate) fn layout(&mut self, text: &str, span: Span) -> Option<Layout> {
        // What a parameter has filled in is not there in the file.
        let part = |range: std::ops::Range<usize>| match span.end - span.start == text.len() {
            true => Span { start: span.start + range.start, end: span.start + range.end },
            false => span,
        };
        match parse(text) {
            Ok(layout) => return Some(layout),
            Err(LayoutError::Form(form)) => {
                self.wrong_help(span, format!("`{text}` is not a number"), format!("it is written {form}"));
            }
            Err(LayoutError::Structure(range)) => {
                let word = &text[range.clone()];
                let help = format!("the kernel's BTF may know it: btf_size(struct {word})");
                let known = kconform_abi::structure_names();
                self.unknown(part(range), "structure of the uapi headers:", word, known, Some(&help));
            }
            Err(LayoutError::Member(name, range)) => {
                let known = member_names(&name);
                let word = &text[range.clone()];
                self.unknown(part(range), &format!("member of struct {name}:"), word, known, None);
            }
        }
        None
    }
}
