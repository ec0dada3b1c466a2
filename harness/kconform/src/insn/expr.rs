//! Constant expressions as C has them: numbers, constants, `offsetof`, and the operators with C's precedence. A saved
//! value stands alone.

use std::ops::Range;

use kconform_plan::BtfQuery;

use crate::btf;

use super::context::CONTEXTS;
use super::{Constant, InsnError};

/// What an argument comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Evaluated {
    /// A number.
    Number(i128),
    /// `$name`.
    Saved(String),
    /// `btf_id(func vfs_read)`.
    Btf(BtfQuery),
}

/// An argument's value, and where names stand in it.
pub(super) struct Argument {
    /// The value.
    pub(super) value: Evaluated,
    /// The names of constants.
    pub(super) names: Vec<Range<usize>>,
}

/// Aliases that filter.h adds to the registers of bpf.h. (`BPF_REG_TMP` is not here: it is 8 in tools and 2 in the kernel.)
const ALIASES: &[(&str, i128)] = &[
    ("BPF_REG_ARG1", 1),
    ("BPF_REG_ARG2", 2),
    ("BPF_REG_ARG3", 3),
    ("BPF_REG_ARG4", 4),
    ("BPF_REG_ARG5", 5),
    ("BPF_REG_CTX", 6),
    ("BPF_REG_FP", 10),
    ("BPF_REG_A", 0),
    ("BPF_REG_X", 7),
    ("BPF_REG_D", 8),
    ("BPF_REG_H", 9),
    ("BPF_REG_AX", 11),
    // Ends like an include guard, which the generator of the constants leaves out.
    ("BPF_H", 0x08),
    ("MAX_BPF_REG", 11),
    ("MAX_BPF_STACK", 512),
    ("BPF_NOSPEC", 0xc0),
    ("BPF_TAIL_CALL", 0xf0),
    ("BPF_CALL_ARGS", 0xe0),
    ("BPF_PROBE_MEM", 0x20),
    ("BPF_PROBE_MEMSX", 0x40),
    ("BPF_PROBE_MEM32", 0xa0),
    ("BPF_PROBE_ATOMIC", 0xe0),
];

/// The value of an alias.
pub(super) fn alias(name: &str) -> Option<u64> {
    ALIASES.iter().find(|(alias, _)| *alias == name).and_then(|&(_, value)| u64::try_from(value).ok())
}

/// Binary operators by precedence, the loosest first.
const OPERATORS: &[&[&str]] = &[&["|"], &["^"], &["&"], &["<<", ">>"], &["+", "-"], &["*", "/", "%"]];

/// Of what has no number yet.
pub(super) const ALONE: &str =
    "a saved value must stand alone in an instruction, and so must what a type is asked";

/// Reads the argument in `range` of `text`.
pub(super) fn evaluate(
    text: &str,
    range: Range<usize>,
    constant: Constant<'_>,
) -> Result<Argument, InsnError> {
    let mut parser = Parser { text, end: range.end, at: range.start, constant, names: Vec::new() };
    parser.blanks();
    if parser.at == parser.end {
        return Err(InsnError::new(range, "an argument is missing here"));
    }
    let value = parser.binary(0)?;
    if parser.at < parser.end {
        let rest = parser.at..text[..range.end].trim_end().len();
        return Err(InsnError::new(rest, "an operator is missing before this"));
    }
    Ok(Argument { value, names: parser.names })
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    end: usize,
    constant: Constant<'a>,
    names: Vec<Range<usize>>,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..self.end]
    }

    fn blanks(&mut self) {
        self.at = self.end - self.rest().trim_start().len();
    }

    fn take(&mut self, token: &str) -> bool {
        let there = self.rest().starts_with(token);
        if there {
            self.at += token.len();
            self.blanks();
        }
        there
    }

    fn error<T>(&self, start: usize, text: impl Into<String>) -> Result<T, InsnError> {
        let end = self.text[..self.at].trim_end().len().max(start);
        Err(InsnError::new(start..end, text))
    }

    /// A parenthesis that ends here. There is one further on: they come in pairs, or this would be no argument.
    fn close(&mut self) -> Result<(), InsnError> {
        if self.take(")") {
            return Ok(());
        }
        let start = self.at;
        if self.word().is_empty() {
            let odd = self.rest().chars().next().map_or(0, char::len_utf8);
            return Err(InsnError::new(start..start + odd, "a `)` belongs here"));
        }
        Err(InsnError::new(start..self.at, "an operator or a `)` is missing before this"))
    }

    /// The longest run of letters, digits and `_` from here.
    fn word(&mut self) -> &'a str {
        let rest = self.rest();
        let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    fn binary(&mut self, level: usize) -> Result<Evaluated, InsnError> {
        let Some(operators) = OPERATORS.get(level) else { return self.unary() };
        let start = self.at;
        let mut left = self.binary(level + 1)?;
        while let Some(operator) = operators.iter().find(|o| self.rest().starts_with(**o)) {
            self.take(operator);
            let right = self.binary(level + 1)?;
            let (Evaluated::Number(a), Evaluated::Number(b)) = (left, right) else {
                return self.error(start, ALONE);
            };
            match apply(operator, a, b) {
                Some(value) => left = Evaluated::Number(value),
                None => return self.error(start, "this has no value"),
            }
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Evaluated, InsnError> {
        let start = self.at;
        for sign in ["-", "~", "+"] {
            if !self.take(sign) {
                continue;
            }
            let Evaluated::Number(value) = self.unary()? else {
                return self.error(start, ALONE);
            };
            return Ok(Evaluated::Number(match sign {
                "-" => -value,
                "~" => !value,
                _ => value,
            }));
        }
        self.primary()
    }

    fn primary(&mut self) -> Result<Evaluated, InsnError> {
        let start = self.at;
        if self.take("(") {
            let value = self.binary(0)?;
            self.close()?;
            return Ok(value);
        }
        if self.take("$") {
            let name = self.word();
            if name.is_empty() {
                return self.error(start, "a name is missing after `$`");
            }
            self.blanks();
            return Ok(Evaluated::Saved(name.to_owned()));
        }
        let word = self.word();
        let range = start..self.at;
        self.blanks();
        let value = match word.chars().next() {
            None => {
                let odd = self.rest().chars().next().map_or(0, char::len_utf8);
                return Err(InsnError::new(start..start + odd, "a number or a constant is missing here"));
            }
            Some(first) if first.is_ascii_digit() => number(word, range)?,
            Some(_) if word == "offsetof" => self.offset_of(start)?,
            Some(_) if btf::is_question(&self.text[start..self.end]) => return self.btf(start),
            Some(_) => self.constant(word, range)?,
        };
        Ok(Evaluated::Number(value))
    }

    fn constant(&mut self, name: &str, range: Range<usize>) -> Result<i128, InsnError> {
        self.names.push(range.clone());
        let alias = ALIASES.iter().find(|(alias, _)| *alias == name).map(|&(_, value)| value);
        // Constants come in two's complement; only negative ones have the top bit set.
        let value = alias.or_else(|| (self.constant)(name).map(|value| i128::from(value as i64)));
        value.ok_or_else(|| {
            let known = kconform_abi::constant_names().chain(ALIASES.iter().map(|(alias, _)| *alias));
            let error = InsnError::new(range, format!("unknown constant {name}"));
            match helper(name, self.constant) {
                Some(helper) => error.meant(Some(&helper)),
                None => error.meant(kconform_abi::nearest(name, known)),
            }
        })
    }

    /// `btf_id(func vfs_read)`, after its first word.
    fn btf(&mut self, start: usize) -> Result<Evaluated, InsnError> {
        self.at = self.rest().find(')').map_or(self.end, |at| self.at + at + 1);
        let query = btf::parse(&self.text[start..self.at]).map_err(|error| InsnError {
            range: start + error.range.start..start + error.range.end,
            text: error.text,
            help: error.help,
        })?;
        self.blanks();
        Ok(Evaluated::Btf(query))
    }

    /// `offsetof(struct __sk_buff, cb[1])`, after its first word.
    fn offset_of(&mut self, start: usize) -> Result<i128, InsnError> {
        let form = "it is written offsetof(struct __sk_buff, len)";
        if !self.take("(") || self.word() != "struct" {
            return self.error(start, "not an offsetof").map_err(|e: InsnError| e.help(form));
        }
        self.blanks();
        let (at, name) = (self.at, self.word());
        let Some((_, fields)) = CONTEXTS.iter().find(|(context, _)| *context == name) else {
            let near = kconform_abi::nearest(name, CONTEXTS.iter().map(|(context, _)| *context));
            let error =
                InsnError::new(at..self.at, format!("the fields of struct {name} are not known here"));
            return Err(error.meant(near));
        };
        self.blanks();
        if !self.take(",") {
            return self.error(start, "not an offsetof").map_err(|e: InsnError| e.help(form));
        }
        let (at, field) = (self.at, self.word());
        let Some((_, offset, element)) = fields.iter().find(|(known, ..)| *known == field) else {
            let near = kconform_abi::nearest(field, fields.iter().map(|(known, ..)| *known));
            return Err(InsnError::new(at..self.at, format!("struct {name} has no {field}")).meant(near));
        };
        self.blanks();
        let index = self.index(*element)?;
        self.close().map_err(|e| e.help(form))?;
        Ok(i128::from(*offset) + i128::from(*element) * index)
    }

    /// `[1]`, if it is there.
    fn index(&mut self, element: u8) -> Result<i128, InsnError> {
        let start = self.at;
        if !self.take("[") {
            return Ok(0);
        }
        let value = self.binary(0)?;
        let closed = self.take("]");
        match value {
            _ if element == 0 => self.error(start, "this field is not an array"),
            Evaluated::Number(index) if closed && (0..=0xffff).contains(&index) => Ok(index),
            _ => self.error(start, "not an index"),
        }
    }
}

/// `BPF_FUNC_map_lookup_elem` for a helper written as the programs call it, `bpf_map_lookup_elem`.
fn helper(name: &str, constant: Constant<'_>) -> Option<String> {
    let candidate = format!("BPF_FUNC_{}", name.strip_prefix("bpf_")?);
    constant(&candidate).map(|_| candidate)
}

fn apply(operator: &str, a: i128, b: i128) -> Option<i128> {
    let value = match operator {
        "|" => a | b,
        "^" => a ^ b,
        "&" => a & b,
        "<<" => a.checked_mul(1i128.checked_shl(u32::try_from(b).ok().filter(|&b| b < 64)?)?)?,
        ">>" => a >> u32::try_from(b).ok().filter(|&b| b < 64)?,
        "+" => a.checked_add(b)?,
        "-" => a.checked_sub(b)?,
        "*" => a.checked_mul(b)?,
        "/" => a.checked_div(b)?,
        _ => a.checked_rem(b)?,
    };
    // Nothing in an instruction is wider than 64 bits; staying below keeps the operators above from overflowing.
    (value.unsigned_abs() <= 1 << 64).then_some(value)
}

/// A number as C writes it, with its suffix; octal as `0o17`.
fn number(word: &str, range: Range<usize>) -> Result<i128, InsnError> {
    let lower = word.to_ascii_lowercase();
    let (digits, radix) = match lower.get(..2) {
        Some("0x") => (&lower[2..], 16),
        Some("0o") => (&lower[2..], 8),
        Some("0b") => (&lower[2..], 2),
        _ => (lower.as_str(), 10),
    };
    let bare = digits.trim_end_matches(['u', 'l']);
    let value = match digits.len() - bare.len() {
        0..=3 => i128::from_str_radix(bare, radix).ok().filter(|&v| v < 1 << 64),
        _ => None,
    };
    if radix == 10 && bare.len() > 1 && bare.starts_with('0') {
        let help = format!("write 0o{} for an octal number", bare.trim_start_matches('0'));
        return Err(InsnError::new(range, "a number does not begin with 0").help(help));
    }
    value.ok_or_else(|| InsnError::new(range, format!("{word} is not a number of at most 64 bits")))
}
