//! What was seen, in the words of a case file.

use crate::case::{Expr, Pattern, Piece, PieceKind, Want, WantKind};
use crate::hex::hex;

/// The most bytes that are written out: a case file is for people.
const MOST: usize = 512;

/// An expected value that holds `memory`, written as the one before was where that can be. `Err`: why it is not written.
pub(super) fn rewritten(want: &Want, memory: &[u8], big: bool) -> Result<String, String> {
    match &want.kind {
        WantKind::Number(old) => number_in(memory, big)
            .map(|seen| numeral(seen, memory.len(), old))
            .map_or_else(|| plain(memory, big), Ok),
        WantKind::Exactly(piece) => {
            let mut rest = memory;
            match like(piece, &mut rest, big) {
                Some(text) if rest.is_empty() => Ok(text),
                _ => plain(memory, big),
            }
        }
        WantKind::Prefix(Pattern::Piece(piece)) => {
            let mut rest = memory;
            let text = like(piece, &mut rest, big).ok_or("the prefix has another form than what was seen")?;
            Ok(format!("{{prefix: {text}}}"))
        }
        WantKind::Range { .. } => Err(loose("a range", memory, big)),
        WantKind::Contains(_) => Err(loose("{contains: …}", memory, big)),
        WantKind::Prefix(_) => Err(loose("{prefix: …}", memory, big)),
        WantKind::Not(_) => Err(loose("{not: …}", memory, big)),
        WantKind::Any(_) => Err(loose("{any: …}", memory, big)),
    }
}

/// Why what says less than a value stays as it is.
fn loose(what: &str, memory: &[u8], big: bool) -> String {
    let seen = plain(memory, big).unwrap_or_else(|_| format!("{} bytes", memory.len()));
    format!("{what} says what may vary, so it is for you to say; it holds {seen} here")
}

/// A value of which the file says nothing yet.
pub(super) fn plain(memory: &[u8], big: bool) -> Result<String, String> {
    if memory.len() > MOST {
        return Err(format!("{} bytes are more than a case file should hold ({MOST})", memory.len()));
    }
    if let Some(number) = number_in(memory, big) {
        return Ok(format!("{{u{}: {}}}", memory.len() * 8, natural(number)));
    }
    if memory.iter().all(|&byte| byte == 0) {
        return Ok(format!("{{zero: {}}}", memory.len()));
    }
    if let Some(text) = text_in(memory) {
        return Ok(format!("{{str: {}}}", quoted(text)));
    }
    for width in [8, 4] {
        if memory.len().is_multiple_of(width) && memory.len() / width <= 16 {
            let numbers = memory.chunks(width).filter_map(|part| number_in(part, big)).map(natural);
            return Ok(format!("{{u{}: [{}]}}", width * 8, numbers.collect::<Vec<_>>().join(", ")));
        }
    }
    Ok(format!("{{hex: {}}}", hex(memory)))
}

/// A value for each possible CPU, where the step has `{percpu: {out: 4}}` for it; what pads each to 8 bytes is left out.
pub(super) fn each_cpu(written: &str, memory: &[u8], big: bool) -> Option<String> {
    let size = written.strip_prefix("{percpu: {out: ")?;
    let size: usize = size.get(..size.find('}')?)?.trim().parse().ok()?;
    let slots: Vec<&[u8]> =
        memory.chunks(size.next_multiple_of(8)).filter_map(|slot| slot.get(..size)).collect();
    let texts: Vec<String> = slots.iter().map(|slot| plain(slot, big)).collect::<Result<_, _>>().ok()?;
    let first = texts.first()?;
    let alike = texts.iter().all(|text| text == first);
    Some(if alike { format!("{{percpu: {first}}}") } else { format!("{{percpu: [{}]}}", texts.join(", ")) })
}

/// A field's value.
pub(super) fn field(memory: &[u8], big: bool) -> Result<String, String> {
    number_in(memory, big).map_or_else(|| plain(memory, big), |number| Ok(natural(number)))
}

/// The piece again, with what is in the memory; takes as many bytes off `rest` as the piece has. `None`: its form does not fit.
fn like(piece: &Piece, rest: &mut &[u8], big: bool) -> Option<String> {
    match &piece.kind {
        PieceKind::Numbers { width, signed, values } => {
            let width = usize::from(*width);
            let mut texts = Vec::new();
            for value in values {
                let memory = take(rest, width)?;
                texts.push(numeral(number_in(memory, big)?, width, value));
            }
            let letter = if *signed { 'i' } else { 'u' };
            let list = piece.place.text().contains('[');
            let joined = texts.join(", ");
            let joined = if list { format!("[{joined}]") } else { joined };
            Some(format!("{{{letter}{}: {joined}}}", width * 8))
        }
        PieceKind::Str(_) => {
            let text = text_in(rest)?;
            *rest = &[];
            Some(format!("{{str: {}}}", quoted(text)))
        }
        PieceKind::Hex(bytes) => Some(format!("{{hex: {}}}", hex(take(rest, bytes.len())?))),
        PieceKind::List(pieces) => {
            let texts: Option<Vec<_>> = pieces.iter().map(|piece| like(piece, rest, big)).collect();
            Some(format!("{{list: [{}]}}", texts?.join(", ")))
        }
        _ => None,
    }
}

fn take<'m>(rest: &mut &'m [u8], count: usize) -> Option<&'m [u8]> {
    let (taken, behind) = rest.split_at_checked(count)?;
    *rest = behind;
    Some(taken)
}

/// A number of 1, 2, 4 or 8 bytes.
fn number_in(memory: &[u8], big: bool) -> Option<u64> {
    kconform_plan::number_in(memory, big)
}

/// A number of so many bytes, written as the one before: with a sign, or in hexadecimal, if that one was.
fn numeral(number: u64, width: usize, old: &Expr) -> String {
    let old = old.text.trim();
    if old.starts_with('-') {
        let unused = 64 - 8 * width as u32;
        return (((number << unused) as i64) >> unused).to_string();
    }
    if old.starts_with("0x") { format!("{number:#x}") } else { natural(number) }
}

/// A number as people write it: in hexadecimal where it is large.
pub(super) fn natural(number: u64) -> String {
    match number {
        0..=99_999 => number.to_string(),
        _ => format!("{number:#x}"),
    }
}

/// Text that ends in NUL, and has nothing but NULs behind it in a buffer of another size: only where there are none.
fn text_in(memory: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(memory.strip_suffix(&[0])?).ok()?;
    let plain = |c: char| !c.is_control();
    (!text.is_empty() && text.chars().all(plain) && !text.contains('$')).then_some(text)
}

/// Text as YAML has it.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '/' | '.');
    if text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
