//! Numbers as people write them: `4`, `0x10`, `-1`, `BPF_F_RDONLY | BPF_F_NO_PREALLOC`, `$map`.

use std::ops::Range;

use kconform_abi::Arch;
use kconform_plan::BtfQuery;

use crate::case::{self, Expr, LARGEST_PAGE, SMALLEST_PAGE, Term};
use crate::place::Span;
use crate::yaml::names::name_length;
use crate::yaml::tree::Node;
use crate::{btf, insn, uapi};

use super::case_reader::CaseReader;

/// Words that stand for addresses, wherever an argument may stand.
pub(crate) const ADDRESSES: &[&str] = &["null", "unmapped", "readonly", "kernel"];

/// What a number has to fit into.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fit<'a> {
    /// 1, 2, 4 or 8.
    pub(crate) bytes: u8,
    /// Whether its sign bit is one.
    pub(crate) signed: bool,
    /// What that is, for messages: `key_size`.
    pub(crate) what: &'a str,
}

impl Fit<'_> {
    /// Whatever fits into 64 bits, signed or not.
    pub(crate) const ANY: Fit<'static> = Fit { bytes: 8, signed: false, what: "64 bits" };

    /// Negative numbers wrap, so an unsigned place takes them too.
    fn takes(self, number: i128) -> bool {
        let bits = u32::from(self.bytes) * 8;
        let most = if self.signed { 1_i128 << (bits - 1) } else { 1_i128 << bits };
        -(1_i128 << (bits - 1)) <= number && number < most
    }
}

/// Reads a number; `None` when the text does not even look like one, the reason when it is a bad one.
pub(crate) fn number(text: &str) -> Option<Result<i128, &'static str>> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let (radix, body) = match digits.get(..2) {
        Some("0x" | "0X") => (16, &digits[2..]),
        Some("0o") => (8, &digits[2..]),
        Some("0b") => (2, &digits[2..]),
        Some(two) if two.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit()) => {
            return Some(Err("write 0o… for an octal number, or leave the zero out"));
        }
        _ => (10, digits),
    };
    if body.is_empty() || !body.chars().all(|c| c.is_digit(radix)) {
        return Some(Err("numbers are written 16, -1, 0x10 or 0o20"));
    }
    let value =
        i128::from_str_radix(body, radix).ok().map(|n| if digits.len() < text.len() { -n } else { n });
    match value.filter(|n| (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(n)) {
        Some(value) => Some(Ok(value)),
        None => Some(Err("numbers have 64 bits")),
    }
}

/// The number of an expression that is nothing but a number.
pub(crate) fn literal(expr: &Expr) -> Option<u64> {
    match expr.terms.as_slice() {
        [Term::Number(number)] => Some(*number),
        [Term::Layout(layout)] => layout.everywhere(),
        _ => None,
    }
}

impl CaseReader<'_> {
    /// A number, constant or saved value, or several or-ed.
    pub(crate) fn expr(&mut self, node: &Node, fit: Fit<'_>) -> Option<Expr> {
        let Some(scalar) = node.scalar() else {
            self.wrong(node.span, format!("{} where a number belongs", node.what()));
            return None;
        };
        let text = scalar.text.trim();
        if text.is_empty() || scalar.plain && text == "~" {
            self.wrong(node.span, "nothing where a number belongs");
            return None;
        }
        let mut terms = Vec::new();
        let mut at = 0;
        for part in scalar.text.split('|') {
            let start = at + part.len() - part.trim_start().len();
            let span = node.part(start..start + part.trim().len());
            terms.push(self.term(part.trim(), span, fit));
            at += part.len() + 1;
        }
        let terms: Vec<Term> = terms.into_iter().collect::<Option<_>>()?;
        if terms.iter().filter(|t| matches!(t, Term::Saved(_))).count() > 1 {
            self.wrong(node.span, "more than one saved value in a number");
            return None;
        }
        Some(Expr { text: text.to_owned(), terms, place: self.place(node.span) })
    }

    fn term(&mut self, text: &str, span: Span, fit: Fit<'_>) -> Option<Term> {
        if let Some(term) = self.arithmetic(text, span, fit) {
            return term;
        }
        if let Some(number) = number(text) {
            return match number {
                Ok(value) if fit.takes(value) => Some(Term::Number(value as u64)),
                Ok(_) => {
                    let has = format!("it has {} bits", u32::from(fit.bytes) * 8);
                    self.wrong_help(span, format!("{text} does not fit into {}", fit.what), has);
                    None
                }
                Err(help) => {
                    self.wrong_help(span, format!("{text} is not a number"), help);
                    None
                }
            };
        }
        if let Some(name) = text.strip_prefix('$').filter(|n| name_length(n) == n.len() && !n.is_empty()) {
            self.saved_number(name, span)?;
            return Some(Term::Saved(name.to_owned()));
        }
        if uapi::is_question(text) {
            return self.layout(text, span).map(Term::Layout);
        }
        if btf::is_question(text) {
            return self.btf(text, span).map(Term::Btf);
        }
        if text.is_empty() || name_length(text) != text.len() {
            let help = "a number is written 16, 0x10, BPF_ANY, A | B or $name; text is passed as {str: …}";
            self.wrong_help(span, format!("`{text}` is not a number"), help);
            return None;
        }
        self.constant(text, span, fit)
    }

    /// `2 * PAGE_SIZE + 8`; `None` where it is no such thing: it has no operator or no constant, or a saved value.
    fn arithmetic(&mut self, text: &str, span: Span, fit: Fit<'_>) -> Option<Option<Term>> {
        let operator = text.contains(['+', '-', '*', '/', '%', '<', '>', '&', '^', '(']);
        let mut words =
            text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|word| !word.is_empty());
        // A constant, or what could be one that is misspelt.
        let name = |word: &str| {
            let upper = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
            kconform_abi::constant_known(word)
                || word.starts_with(|c: char| c.is_ascii_uppercase()) && word.chars().all(upper)
        };
        let question = uapi::is_question(text) || btf::is_question(text);
        if !operator || question || text.contains('$') || !words.any(name) {
            return None;
        }
        let on = |arch, page| insn::arithmetic(text, &|name| case::constant(name, arch, Some(page)));
        let places = Arch::ALL.iter().flat_map(|&arch| [(arch, SMALLEST_PAGE), (arch, LARGEST_PAGE)]);
        let mut values = places.map(|(arch, page)| on(arch, page));
        if values.any(|value| value.is_ok_and(|value| fit.takes(value))) {
            return Some(Some(Term::Arithmetic(text.to_owned())));
        }
        match on(Arch::X86_64, SMALLEST_PAGE) {
            Ok(value) => {
                let what = format!("{text} is {value}, which does not fit into {}", fit.what);
                self.wrong(span, what);
            }
            Err(error) => self.wrong_part(text, span, error.range, error.text, error.help),
        }
        Some(None)
    }

    /// Something is wrong with these bytes of a text. What a parameter has filled in is not there in the file.
    fn wrong_part(
        &mut self,
        text: &str,
        span: Span,
        range: Range<usize>,
        what: String,
        help: Option<String>,
    ) {
        let part = Span { start: span.start + range.start, end: span.start + range.end };
        let part = if span.end - span.start == text.len() { part } else { span };
        match help {
            Some(help) => self.wrong_help(part, what, help),
            None => self.wrong(part, what),
        }
    }

    /// `btf_id(struct tcp_congestion_ops)`.
    fn btf(&mut self, text: &str, span: Span) -> Option<BtfQuery> {
        match btf::parse(text) {
            Ok(query) => {
                self.asks(&query);
                Some(query)
            }
            Err(error) => {
                self.wrong_part(text, span, error.range, error.text, error.help);
                None
            }
        }
    }

    /// Notes what the case asks of the kernel's types.
    pub(crate) fn asks(&mut self, query: &BtfQuery) {
        if !self.btf.contains(query) {
            self.btf.push(query.clone());
        }
    }

    fn constant(&mut self, name: &str, span: Span, fit: Fit<'_>) -> Option<Term> {
        if !kconform_abi::constant_known(name) {
            if ADDRESSES.contains(&name) {
                self.wrong(span, format!("{name} is an address, and a number belongs here"));
            } else {
                self.unknown(span, "constant", name, kconform_abi::constant_names(), None);
            }
            return None;
        }
        let values = Arch::ALL.iter().filter_map(|&arch| kconform_abi::constant(arch, name));
        // A negative constant is in two's complement, which says nothing of its width.
        let fits = |value: u64| fit.takes(i128::from(value)) || fit.takes(i128::from(value.cast_signed()));
        if fit.bytes < 8 && values.clone().next().is_some() && !values.into_iter().any(fits) {
            let has = format!("it has {} bits", u32::from(fit.bytes) * 8);
            self.wrong_help(span, format!("{name} does not fit into {}", fit.what), has);
            return None;
        }
        Some(Term::Constant(name.to_owned()))
    }
}
