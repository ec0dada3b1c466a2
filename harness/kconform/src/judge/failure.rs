//! What was not as expected, with all that a message needs.

use kconform_plan::{Bytes, is_error, number_in};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::case::Errno;
use crate::place::Place;

/// Something that was not as the case says.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// What kind of failure.
    pub kind: FailureKind,
    /// The words of the case file that were not kept: `errno: EINVAL`.
    pub place: Place,
    /// The step's number, if it is a step's fault.
    pub step: Option<u32>,
    /// Where in the enclosing `repeat` blocks.
    pub iteration: Vec<u32>,
    /// One sentence: `expected EINVAL (22, Invalid argument), got success: 0`.
    pub text: String,
    /// What was expected: `EINVAL (22, Invalid argument)`.
    pub expected: String,
    /// What came instead.
    pub got: String,
    /// The raw return value of the call, if it returned.
    pub ret: Option<i64>,
    /// What else was wrong with the same call.
    pub also: Vec<(Place, String)>,
}

/// What kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The return value or errno.
    Ret,
    /// What a buffer or field holds.
    Output,
    /// The process ended, or was killed, where it should not.
    Ended,
    /// The time was over.
    TimedOut,
    /// What the step needs to be set up could not be.
    SetUp,
    /// Something outlived the case.
    Leaked,
}

/// `EINVAL (22, Invalid argument)`; an errno that user space must never see is marked as a leak.
pub fn describe_errno(errno: i32) -> String {
    describe_named(errno, kconform_abi::errno::name(errno))
}

/// The same by the name that a case gives it.
pub fn describe_wanted(errno: &Errno) -> String {
    describe_named(errno.number, errno.name.or_else(|| kconform_abi::errno::name(errno.number)))
}

fn describe_named(errno: i32, name: Option<&str>) -> String {
    let text = kconform_abi::errno::text(errno).unwrap_or("unknown");
    match name {
        Some(name) if kconform_abi::errno::is_internal(errno) => {
            format!("{name} ({errno}, leaked: user space must never see it)")
        }
        Some(name) => format!("{name} ({errno}, {text})"),
        None => format!("errno {errno}"),
    }
}

/// A raw return value: `EINVAL (22, Invalid argument)`, or `success: 3`.
pub fn describe_ret(ret: i64) -> String {
    if is_error(ret) { describe_errno(-ret as i32) } else { format!("success: {}", number(ret as u64)) }
}

fn number(n: u64) -> String {
    match n as i64 {
        small @ -4096..=65535 => small.to_string(),
        other => format!("{other} ({other:#x})"),
    }
}

/// Memory for people: a number where it has a number's width, text where it is text, hex otherwise.
pub fn describe_bytes(memory: &Bytes, big_endian: bool) -> String {
    let full = memory.full();
    if let Some(text) = printable(&full) {
        return text;
    }
    let mut hex: Vec<String> = full.iter().take(64).map(|b| format!("{b:02x}")).collect();
    if full.len() > 64 {
        hex.push(format!("… ({} bytes)", full.len()));
    }
    let hex = hex.join(" ");
    match number_in(&full, big_endian) {
        Some(value) => format!("{hex} ({{u{}: {value}}})", full.len() * 8),
        None if full.is_empty() => "nothing".into(),
        None => hex,
    }
}

/// A log or a name: more than a number's bytes, all printable up to the first NUL, zeros from there on.
fn printable(full: &[u8]) -> Option<String> {
    let end = full.iter().position(|&b| b == 0)?;
    let (text, rest) = full.split_at(end);
    let text = std::str::from_utf8(text).ok()?;
    let is_text = end >= 4 && full.len() > 8 && rest.iter().all(|&b| b == 0);
    (is_text && text.chars().all(|c| !c.is_control() || "\n\t".contains(c))).then(|| format!("{text:?}"))
}
