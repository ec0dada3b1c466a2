//! BPF instructions written with the macros of the kernel's `include/linux/filter.h`.

mod context;
mod expr;
mod macros;
#[cfg(test)]
mod tests;

use std::ops::{Range, RangeInclusive};

use kconform_plan::BtfQuery;

use expr::{ALONE, Argument, Evaluated, evaluate};
use macros::{MACROS, NOT_OURS};
pub(crate) use macros::{Macro, Param};

/// One macro call: one instruction, or two for a 64-bit immediate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Insns {
    /// As written, parameters filled in.
    pub text: String,
    /// What it stands for.
    pub list: Vec<Insn>,
}

/// One instruction, `struct bpf_insn`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Insn {
    /// The opcode.
    pub code: u8,
    /// The destination register, 4 bits.
    pub dst: u8,
    /// The source register, 4 bits.
    pub src: u8,
    /// The signed offset.
    pub off: i16,
    /// The member of a structure whose offset is the offset, which is 0 here then.
    pub member: Option<BtfQuery>,
    /// The immediate.
    pub imm: Imm,
}

/// An immediate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Imm {
    /// Known beforehand.
    Number(i32),
    /// 32 bits of a saved value, shifted right by 0 or 32 bits.
    Saved {
        /// Its name.
        name: String,
        /// Bits that are shifted out.
        shift: u8,
    },
    /// What the kernel's own BTF says.
    Btf(BtfQuery),
    /// 32 bits of arithmetic in which the size of a page stands, shifted right by 0 or 32 bits.
    Pages {
        /// As written.
        text: String,
        /// Bits that are shifted out.
        shift: u8,
    },
}

/// The constant that is the kernel's, not the architecture's: bytes of a page.
pub(crate) const PAGE_SIZE: &str = "PAGE_SIZE";

/// Bytes of the largest page of the architectures, for what must hold with every size.
pub(crate) const LARGEST_PAGE: u64 = 64 << 10;

/// What is wrong with an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InsnError {
    /// Bytes of the text that are wrong.
    pub range: Range<usize>,
    /// What is wrong.
    pub text: String,
    /// What would be right.
    pub help: Option<String>,
}

/// Gives the value of a constant's name, in two's complement.
type Constant<'a> = &'a dyn Fn(&str) -> Option<u64>;

impl InsnError {
    fn new(range: Range<usize>, text: impl Into<String>) -> InsnError {
        InsnError { range, text: text.into(), help: None }
    }

    fn help(self, help: impl Into<String>) -> InsnError {
        InsnError { help: Some(help.into()), ..self }
    }

    fn meant(self, word: Option<&str>) -> InsnError {
        InsnError { help: word.map(|word| format!("did you mean {word}?")), ..self }
    }
}

impl Insn {
    /// The first four bytes, up to the immediate, of `struct bpf_insn` as that byte order has it: the registers are bit
    /// fields, so that the destination is in the low half of its byte on little-endian and in the high one on big-endian.
    /// `member` is the offset of [`Insn::member`].
    pub fn head(&self, big_endian: bool, member: i16) -> [u8; 4] {
        let (low, high) = if big_endian { (self.src, self.dst) } else { (self.dst, self.src) };
        let off = self.off.wrapping_add(member);
        let off = if big_endian { off.to_be_bytes() } else { off.to_le_bytes() };
        [self.code, low & 0xf | high << 4, off[0], off[1]]
    }
}

/// A macro call taken apart: the macro's name and its arguments as they are written.
pub(crate) fn split(text: &str) -> Option<(&'static str, Vec<&str>)> {
    let call = MacroCall::split(text, &mut Vec::new()).ok()?;
    Some((call.row.name, call.args.iter().map(|range| text[range.clone()].trim()).collect()))
}

/// What a macro makes, for those who write it in another language: its parameters by their names in `filter.h`, and what it
/// puts where.
pub(crate) fn definition(name: &str) -> Option<&'static Macro> {
    MACROS.iter().find(|row| row.name == name)
}

/// A name that filter.h adds to the registers of bpf.h.
pub(crate) fn alias(name: &str) -> Option<u64> {
    expr::alias(name)
}

/// Calculates with numbers and constants as C does.
///
/// # Errors
/// What is wrong, and where.
pub(crate) fn arithmetic(text: &str, constant: Constant<'_>) -> Result<i128, InsnError> {
    match evaluate(text, 0..text.len(), constant)?.value {
        Evaluated::Number(number) => Ok(number),
        Evaluated::Saved(_) | Evaluated::Btf(_) => Err(InsnError::new(0..text.len(), ALONE)),
    }
}

/// Reads one macro call. `constant` gives the value of a constant's name, in two's complement.
///
/// # Errors
/// What is wrong with it, and where. Behind a misspelt macro its arguments are read as the nearest macro's.
pub fn parse(text: &str, constant: &dyn Fn(&str) -> Option<u64>) -> Result<Insns, Vec<InsnError>> {
    let mut wrong = Vec::new();
    let call = MacroCall::split(text, &mut wrong).map_err(|error| {
        wrong.push(error);
        std::mem::take(&mut wrong)
    })?;
    let expected = call.row.params.len();
    if call.args.len() != expected {
        // Of a macro that is only near it says nothing how many arguments another takes.
        if wrong.is_empty() {
            let names: Vec<_> = call.row.params.iter().map(|p| p.name()).collect();
            let got = call.args.len();
            let plural = if expected == 1 { "" } else { "s" };
            let text = format!("{} takes {expected} argument{plural}, not {got}", call.row.name);
            let help = format!("{}({})", call.row.name, names.join(", "));
            wrong.push(InsnError::new(call.arguments(), text).help(help));
        }
        return Err(wrong);
    }
    let mut fields = Fields::new(call.row);
    for (&param, range) in call.row.params.iter().zip(&call.args) {
        let read = evaluate(text, range.clone(), constant).and_then(|argument| {
            check_names(text, param, &argument)?;
            let pages = argument.names.iter().any(|name| &text[name.clone()] == PAGE_SIZE);
            fields.set(param, argument.value, trim(text, range))?;
            if pages { fields.set_pages(param, text, trim(text, range), constant) } else { Ok(()) }
        });
        wrong.extend(read.err());
    }
    if wrong.is_empty() {
        Ok(Insns { text: text.to_owned(), list: fields.list(call.row) })
    } else {
        Err(wrong)
    }
}

/// A macro call taken apart.
struct MacroCall {
    row: &'static Macro,
    args: Vec<Range<usize>>,
    close: usize,
    open: usize,
}

impl MacroCall {
    /// The arguments with their parentheses.
    fn arguments(&self) -> Range<usize> {
        self.open..self.close + 1
    }

    /// A misspelt name stands for the nearest, and is noted as `wrong`.
    fn split(text: &str, wrong: &mut Vec<InsnError>) -> Result<MacroCall, InsnError> {
        let start = text.len() - text.trim_start().len();
        let word =
            text[start..].find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len() - start);
        let name = &text[start..start + word];
        let row = find_macro(name, start..start + word, wrong)?;
        let after = text[start + word..].trim_start();
        let open = text.len() - after.len();
        if !after.starts_with('(') {
            let help = format!("{name}({})", if row.params.is_empty() { "" } else { "…" });
            let error = InsnError::new(start..start + word, format!("{name} needs its parentheses"));
            return Err(error.help(help));
        }
        let (args, close) = arguments(text, open)?;
        if let Some(rest) = text.get(close + 1..).filter(|rest| !rest.trim().is_empty()) {
            let at = text.len() - rest.trim_start().len();
            return Err(InsnError::new(at..text.trim_end().len(), "nothing may follow the instruction"));
        }
        Ok(MacroCall { row, args, close, open })
    }
}

fn find_macro(
    name: &str,
    range: Range<usize>,
    wrong: &mut Vec<InsnError>,
) -> Result<&'static Macro, InsnError> {
    if let Some(row) = MACROS.iter().find(|row| row.name == name) {
        return Ok(row);
    }
    if let Some((_, why)) = NOT_OURS.iter().find(|(word, _)| *word == name) {
        return Err(InsnError::new(range, format!("{name} cannot be used here")).help(*why));
    }
    let names = || MACROS.iter().map(|row| row.name);
    let longer = || names().find(|macro_name| name.len() > "BPF_".len() && macro_name.starts_with(name));
    let near = kconform_abi::nearest(name, names()).or_else(longer);
    let text =
        if name.is_empty() { "not an instruction".to_owned() } else { format!("unknown macro {name}") };
    let error = InsnError::new(range, text).meant(near);
    let Some(row) = near.and_then(|near| MACROS.iter().find(|row| row.name == near)) else {
        return Err(error);
    };
    wrong.push(error);
    Ok(row)
}

/// The ranges between the commas of the parentheses at `open`, and where these close.
fn arguments(text: &str, open: usize) -> Result<(Vec<Range<usize>>, usize), InsnError> {
    let mut depth = 0;
    let mut start = open + 1;
    let mut args = Vec::new();
    for (at, byte) in text.bytes().enumerate().skip(open) {
        match byte {
            b'(' | b'[' => depth += 1,
            b',' if depth == 1 => {
                args.push(start..at);
                start = at + 1;
            }
            b')' | b']' => {
                depth -= 1;
                if depth == 0 {
                    if !args.is_empty() || !text[start..at].trim().is_empty() {
                        args.push(start..at);
                    }
                    return Ok((args, at));
                }
            }
            _ => {}
        }
    }
    Err(InsnError::new(open..text.len(), "the parenthesis is not closed"))
}

/// Registers are mistaken for other arguments easily, and would pass as numbers.
fn check_names(text: &str, param: Param, argument: &Argument) -> Result<(), InsnError> {
    let takes_registers = matches!(param, Param::Dst | Param::Src | Param::Both);
    for range in &argument.names {
        let name = &text[range.clone()];
        let register = name.starts_with("BPF_REG_") || name == "MAX_BPF_REG";
        let pseudo = param == Param::Src && (name.starts_with("BPF_PSEUDO_") || name == "BPF_MAY_GOTO");
        if takes_registers && !register && !pseudo {
            let error = InsnError::new(range.clone(), format!("{name} is not a register"));
            return Err(error.help("a register belongs here: BPF_REG_0 to BPF_REG_10"));
        }
        if register && !takes_registers {
            let error = InsnError::new(range.clone(), format!("{name} is a register"));
            return Err(error.help(format!("the argument {} belongs here", param.name())));
        }
    }
    Ok(())
}

/// The parts of an instruction as they come together.
struct Fields {
    code: u8,
    dst: u8,
    src: u8,
    off: [i16; 2],
    member: Option<BtfQuery>,
    imm: [Imm; 2],
}

impl Fields {
    fn new(row: &Macro) -> Fields {
        let imm = [Imm::Number(row.imm), Imm::Number(0)];
        Fields { code: row.code, dst: 0, src: row.src, off: [0; 2], member: None, imm }
    }

    fn set(&mut self, param: Param, value: Evaluated, range: Range<usize>) -> Result<(), InsnError> {
        let value = match value {
            Evaluated::Number(value) => value,
            Evaluated::Saved(name) => return self.set_saved(param, name, range),
            Evaluated::Btf(query) => return self.set_btf(param, query, range),
        };
        let within = |valid: RangeInclusive<i128>| within(value, valid, &range);
        let bits = |mask: i128, what: &str| match value & !mask {
            0 => Ok(value as u8),
            _ => Err(InsnError::new(range.clone(), format!("{value:#x} is not {what}"))),
        };
        match param {
            Param::Op => self.code |= bits(0xf0, "an operation such as BPF_ADD or BPF_JEQ")?,
            Param::Size => self.code |= bits(0x18, "a size: BPF_B, BPF_H, BPF_W or BPF_DW")?,
            Param::Type => self.code |= bits(0x08, "one of BPF_X and BPF_K, or BPF_TO_BE and BPF_TO_LE")?,
            Param::Code => self.code = within(0..=0xff)? as u8,
            Param::Dst => self.dst = within(0..=15)? as u8,
            Param::Src => self.src = within(0..=15)? as u8,
            Param::Both => {
                self.dst = within(0..=15)? as u8;
                self.src = self.dst;
            }
            Param::Off => self.off[0] = within(-0x8000..=0x7fff)? as i16,
            Param::Off2 => self.off[1] = within(-0x8000..=0x7fff)? as i16,
            Param::Imm => self.imm[0] = Imm::Number(within(-0x8000_0000..=0xffff_ffff)? as i32),
            Param::Imm2 => self.imm[1] = Imm::Number(within(-0x8000_0000..=0xffff_ffff)? as i32),
            Param::Imm64 => {
                let value = within(-(1 << 63)..=(1 << 64) - 1)?;
                self.imm = [Imm::Number(value as i32), Imm::Number((value >> 32) as i32)];
            }
        }
        Ok(())
    }

    fn set_saved(&mut self, param: Param, name: String, range: Range<usize>) -> Result<(), InsnError> {
        let half = |shift| Imm::Saved { name: name.clone(), shift };
        match param {
            Param::Imm => self.imm[0] = half(0),
            Param::Imm2 => self.imm[1] = half(0),
            Param::Imm64 => self.imm = [half(0), half(32)],
            _ => {
                let error = InsnError::new(range, format!("${name} cannot stand here"));
                return Err(error.help("saved values may stand for immediates only"));
            }
        }
        Ok(())
    }

    fn set_btf(&mut self, param: Param, query: BtfQuery, range: Range<usize>) -> Result<(), InsnError> {
        match param {
            Param::Imm => self.imm[0] = Imm::Btf(query),
            Param::Imm2 => self.imm[1] = Imm::Btf(query),
            Param::Imm64 => self.imm = [Imm::Btf(query), Imm::Number(0)],
            Param::Off => self.member = Some(query),
            _ => {
                let error = InsnError::new(range, "the kernel's types cannot be asked of here");
                return Err(error.help("what they say may stand for immediates and offsets only"));
            }
        }
        Ok(())
    }

    /// An immediate that is known only with the size of pages. It must fit with the largest ones too.
    fn set_pages(
        &mut self,
        param: Param,
        text: &str,
        range: Range<usize>,
        constant: Constant<'_>,
    ) -> Result<(), InsnError> {
        let halves: &[(usize, u8)] = match param {
            Param::Imm => &[(0, 0)],
            Param::Imm2 => &[(1, 0)],
            Param::Imm64 => &[(0, 0), (1, 32)],
            _ => {
                let error = InsnError::new(range, format!("{PAGE_SIZE} cannot stand here"));
                return Err(error.help("it is known only with the kernel, and may stand for immediates only"));
            }
        };
        let large = |name: &str| if name == PAGE_SIZE { Some(LARGEST_PAGE) } else { constant(name) };
        let set = evaluate(text, range.clone(), &large);
        set.and_then(|it| self.set(param, it.value, range.clone())).map_err(|error| InsnError {
            text: format!("with pages of {LARGEST_PAGE} bytes, {}", error.text),
            ..error
        })?;
        for &(half, shift) in halves {
            self.imm[half] = Imm::Pages { text: text[range.clone()].to_owned(), shift };
        }
        Ok(())
    }

    fn list(self, row: &Macro) -> Vec<Insn> {
        let [imm, second] = self.imm;
        let Fields { code, dst, src, off: [off, off2], member, .. } = self;
        let mut list = vec![Insn { code, dst, src, off, member, imm }];
        if row.double {
            // The second half's opcode is 0 (BPF_LD | BPF_W | BPF_IMM), which nothing else has.
            list.push(Insn { code: 0, dst: 0, src: 0, off: off2, member: None, imm: second });
        }
        list
    }
}

fn within(value: i128, valid: RangeInclusive<i128>, range: &Range<usize>) -> Result<i128, InsnError> {
    if valid.contains(&value) {
        return Ok(value);
    }
    let error = InsnError::new(range.clone(), format!("{value} is out of range"));
    Err(error.help(format!("it must be from {} to {}", valid.start(), valid.end())))
}

/// A range without the blanks at its ends.
fn trim(text: &str, range: &Range<usize>) -> Range<usize> {
    let part = &text[range.clone()];
    let start = range.start + part.len() - part.trim_start().len();
    start..(start + part.trim().len())
}
