//! What calls left in memory, compared: whether it is the same as far as it can be, and if not, what is to be seen of that.

use super::Output;
use super::lines::one_line;

/// How much of a line of text is shown, in characters.
const LINE: usize = 160;
/// What stands before the first difference where a line is too long, in characters.
const BEFORE: usize = 20;
/// How many bytes are shown from where two outputs differ.
const SHOWN: usize = 16;
/// How many bytes of an output a call shows with its arguments.
const IN_THE_CALL: usize = 32;

/// Two outputs of one name that are not the same.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Difference {
    /// What is to be seen of it: `log_buf: "R1=ctx()"`, `value at byte 96: 01 00`. The two are not equal.
    pub shown: [String; 2],
    /// The calls show it with their arguments, too.
    pub in_the_call: bool,
}

/// What can be compared from run to run: what a case passes without checking exactly is an id, a time or an address as
/// often as not, in which it counts only whether it is zero.
#[derive(PartialEq)]
enum Contents {
    /// Bytes as they are.
    Bytes(Vec<u8>),
    /// A verifier's log: the lines that have words without numbers in them.
    Text(Vec<Line>),
    /// Numbers of four bytes: those that are not zero.
    Numbers(Vec<bool>),
}

/// A line of text.
struct Line {
    nth: usize,
    /// Its words that have no number in them.
    words: String,
}

impl PartialEq for Line {
    fn eq(&self, other: &Line) -> bool {
        self.words == other.words
    }
}

/// Whether two outputs of a name differ, and how.
pub(super) fn difference(name: &str, outputs: [Option<&Output>; 2]) -> Option<Difference> {
    let of = |output: Option<&Output>| output.map(|output| (bytes(output), output.length));
    let [a, b] = outputs.map(of);
    let (Some((a, a_length)), Some((b, b_length))) = (a, b) else {
        let there = |output: Option<&Output>| match output {
            Some(output) => format!("{name}: {} bytes", output.length),
            None => format!("{name}: not there"),
        };
        let differs = outputs[0].is_some() != outputs[1].is_some();
        return differs.then(|| Difference { shown: outputs.map(there), in_the_call: false });
    };
    let at = match (contents(&a, a_length), contents(&b, b_length)) {
        (x, y) if x == y => return None,
        (Contents::Text(x), Contents::Text(y)) => return Some(of_text(name, [&a, &b], [&x, &y])),
        (Contents::Numbers(x), Contents::Numbers(y)) => first(&x, &y).map(|nth| nth * 4),
        _ => first(&a, &b),
    };
    let shown = |bytes: &[u8], length| match at {
        Some(at) => format!("{name} at byte {at}: {}", hex(bytes, at, length)),
        None => format!("{name}: {length} bytes"),
    };
    let in_the_call = at.is_some_and(|at| at < IN_THE_CALL);
    Some(Difference { shown: [shown(&a, a_length), shown(&b, b_length)], in_the_call })
}

fn contents(bytes: &[u8], length: u32) -> Contents {
    let is_text =
        length > 8 && bytes.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
    match (length, is_text) {
        (0..=2, _) => Contents::Bytes(bytes.to_vec()),
        (_, true) => Contents::Text(text(bytes)),
        _ => Contents::Numbers(bytes.chunks(4).map(|number| number.iter().any(|&byte| byte != 0)).collect()),
    }
}

fn text(bytes: &[u8]) -> Vec<Line> {
    let line = |(nth, line): (usize, &[u8])| {
        let words = line.split(|byte| !byte.is_ascii_alphanumeric());
        let words = words.filter(|word| !word.is_empty() && !word.iter().any(u8::is_ascii_digit));
        let words: Vec<_> = words.map(|word| String::from_utf8_lossy(word)).collect();
        Line { nth, words: words.join(" ") }
    };
    let lines = bytes.split(|&byte| byte == b'\n').enumerate().map(line);
    lines.filter(|line| !line.words.is_empty()).collect()
}

/// The first lines that differ; where one of the texts has none there, that it ends.
fn of_text(name: &str, texts: [&[u8]; 2], lines: [&[Line]; 2]) -> Difference {
    let at = lines[0].iter().zip(lines[1]).take_while(|(a, b)| a == b).count();
    let line = |side: usize| -> Option<Vec<char>> {
        let nth = lines[side].get(at)?.nth;
        let line = texts[side].split(|&byte| byte == b'\n').nth(nth)?;
        Some(one_line(&String::from_utf8_lossy(line)).chars().collect())
    };
    let both = [line(0), line(1)];
    let column = match &both {
        [Some(a), Some(b)] => a.iter().zip(b).take_while(|(a, b)| a == b).count(),
        _ => 0,
    };
    let shown = both.map(|line| match line {
        None => format!("{name}: no such line"),
        Some(line) if line.len() <= LINE => format!("{name}: {:?}", line.iter().collect::<String>()),
        Some(line) => {
            let cut = column.saturating_sub(BEFORE).min(line.len());
            let end = line.len().min(cut + LINE);
            let ellipsis = |is_cut| if is_cut { "…" } else { "" };
            let part = line[cut..end].iter().collect::<String>();
            format!("{name}: {}{part:?}{}", ellipsis(cut > 0), ellipsis(end < line.len()))
        }
    });
    let nth = lines[0].get(at).map_or(usize::MAX, |line| line.nth);
    let before: usize =
        texts[0].split(|&byte| byte == b'\n').take(nth).map(|line| line.len().saturating_add(1)).sum();
    Difference { shown, in_the_call: before.saturating_add(column) < IN_THE_CALL }
}

/// Where two lists begin to differ; zeros at the end are not written, and count nothing.
fn first<T: PartialEq + Default + Copy>(a: &[T], b: &[T]) -> Option<usize> {
    let of = |list: &[T], nth: usize| list.get(nth).copied().unwrap_or_default();
    (0..a.len().max(b.len())).find(|&nth| of(a, nth) != of(b, nth))
}

fn bytes(output: &Output) -> Vec<u8> {
    (0..output.hex.len())
        .step_by(2)
        .filter_map(|at| u8::from_str_radix(output.hex.get(at..at + 2)?, 16).ok())
        .collect()
}

/// Bytes of an output from a place on. Zeros at its end are not written.
fn hex(bytes: &[u8], from: usize, length: u32) -> String {
    let there = bytes.iter().chain(std::iter::repeat(&0)).take(length as usize).skip(from).take(SHOWN);
    let there = there.map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
    if there.is_empty() { "it ends there".to_owned() } else { there }
}
