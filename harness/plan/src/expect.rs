//! What a call must do, and whether it did.

use serde::{Deserialize, Serialize};

use crate::{Bytes, Piece, Saved, Value, is_error};

/// What a call must return and leave in memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Expect {
    /// The return value.
    pub ret: Ret,
    /// Outputs of the call (by index) and what they must hold.
    pub outputs: Vec<(u32, Want)>,
    /// The call must kill its process with this signal; the rest does not matter then.
    pub signal: Option<i32>,
    /// The kernel's byte order is big-endian.
    pub big_endian: bool,
}

/// What a call must return. A call that fails returns -1 to -4095 ([`is_error`]): whatever the numbers, only
/// [`Ret::Errno`] and [`Ret::Either`] are satisfied by one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ret {
    /// Anything that is not an errno.
    Success,
    /// One of these errnos.
    Errno(Vec<i32>),
    /// Exactly this.
    Exactly(Value),
    /// From `min` to `max`, both included, as signed numbers.
    Range {
        /// The least.
        min: Option<Value>,
        /// The greatest.
        max: Option<Value>,
    },
    /// It may succeed or fail. What outputs must hold counts only where it succeeds.
    Either {
        /// What it returns when it succeeds.
        success: Box<Ret>,
        /// What it may fail with.
        errnos: Vec<i32>,
    },
}

/// What an output must hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Want {
    /// Exactly these bytes.
    Bytes(Vec<Piece>),
    /// This number, in the output's own width (1, 2, 4 or 8 bytes).
    Number(Value),
    /// These bytes somewhere.
    Contains(Vec<Piece>),
    /// These bytes at the start.
    Prefix(Vec<Piece>),
    /// Anything else.
    Not(Box<Want>),
    /// A number of the output's own width from `min` to `max`, both included.
    Range {
        /// The least.
        min: Option<Value>,
        /// The greatest.
        max: Option<Value>,
        /// The output is a signed number.
        signed: bool,
    },
    /// One of these.
    Any(Vec<Want>),
    /// Slots of `stride` bytes; of each, only as many bytes as are given count (per-CPU values and their padding).
    Strided {
        /// Bytes from one slot's start to the next one's.
        stride: u32,
        /// What each slot must hold.
        slots: Vec<Vec<Piece>>,
    },
}

/// A part of a call that was not as expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mismatch {
    /// The return value.
    Ret,
    /// An output: the index in [`Expect::outputs`].
    Output(u32),
}

/// What a call did.
#[derive(Clone, Copy, Debug)]
pub struct Got<'a> {
    /// The raw return value.
    pub ret: i64,
    /// The call's outputs, in the plan's order.
    pub outputs: &'a [Bytes],
}

impl Expect {
    /// All that is not as expected; `saved` gives the values of slots, and a slot without one matches nothing.
    pub fn check(&self, got: Got<'_>, saved: &dyn Fn(u32) -> Option<Saved>) -> Vec<Mismatch> {
        let mut wrong = Vec::new();
        if self.signal.is_some() || !self.ret.holds(got.ret, saved) {
            wrong.push(Mismatch::Ret);
        }
        if matches!(self.ret, Ret::Either { .. }) && is_error(got.ret) {
            return wrong;
        }
        for (nth, (output, want)) in self.outputs.iter().enumerate() {
            let memory = got.outputs.get(*output as usize).map(Bytes::full);
            if !memory.is_some_and(|m| want.holds(&m, self.big_endian, saved)) {
                wrong.push(Mismatch::Output(nth as u32));
            }
        }
        wrong
    }
}

impl Ret {
    /// Whether a raw return value is what is wanted.
    fn holds(&self, ret: i64, saved: &dyn Fn(u32) -> Option<Saved>) -> bool {
        let number = |value: &Value| number(value, saved).map(|n| n as i64);
        match self {
            Ret::Errno(errnos) => is_error(ret) && errnos.iter().any(|&e| -i64::from(e) == ret),
            Ret::Either { errnos, .. } if is_error(ret) => errnos.iter().any(|&e| -i64::from(e) == ret),
            Ret::Either { success, .. } => success.holds(ret, saved),
            _ if is_error(ret) => false,
            Ret::Success => true,
            Ret::Exactly(value) => number(value) == Some(ret),
            Ret::Range { min, max } => {
                min.as_ref().is_none_or(|v| number(v).is_some_and(|n| n <= ret))
                    && max.as_ref().is_none_or(|v| number(v).is_some_and(|n| ret <= n))
            }
        }
    }
}

impl Want {
    /// Whether memory holds what is wanted.
    pub fn holds(&self, memory: &[u8], big_endian: bool, saved: &dyn Fn(u32) -> Option<Saved>) -> bool {
        let bytes = |pieces: &[Piece]| resolve(pieces, big_endian, saved);
        match self {
            Want::Bytes(pieces) => bytes(pieces).is_some_and(|b| b == memory),
            Want::Prefix(pieces) => bytes(pieces).is_some_and(|b| memory.starts_with(&b)),
            Want::Contains(pieces) => bytes(pieces).is_some_and(|b| contains(memory, &b)),
            Want::Not(want) => !want.holds(memory, big_endian, saved),
            Want::Any(wants) => wants.iter().any(|w| w.holds(memory, big_endian, saved)),
            Want::Number(value) => match (number(value, saved), number_in(memory, big_endian)) {
                (Some(want), Some(got)) => got == want & mask(memory.len()),
                _ => false,
            },
            Want::Range { min, max, signed } => {
                let Some(got) = number_in(memory, big_endian) else { return false };
                let wide = |n: u64, width| if *signed { sign_extend(n, width) } else { i128::from(n) };
                let got = wide(got, memory.len());
                let bound = |value: &Value| number(value, saved).map(|n| wide(n, 8));
                min.as_ref().is_none_or(|v| bound(v).is_some_and(|n| n <= got))
                    && max.as_ref().is_none_or(|v| bound(v).is_some_and(|n| got <= n))
            }
            Want::Strided { stride, slots } => {
                let stride = *stride as usize;
                memory.len() == stride * slots.len()
                    && slots
                        .iter()
                        .zip(memory.chunks(stride.max(1)))
                        .all(|(pieces, slot)| bytes(pieces).is_some_and(|b| slot.starts_with(&b)))
            }
        }
    }
}

/// The bytes of pieces whose values are all known by now; `None` when a slot has no value or an address is asked for.
pub(crate) fn resolve(pieces: &[Piece], big: bool, saved: &dyn Fn(u32) -> Option<Saved>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Bytes(b) => bytes.extend_from_slice(b),
            Piece::Zero(n) => bytes.resize(bytes.len() + *n as usize, 0),
            Piece::Value { value, width, shift } => {
                let shifted = number(value, saved)? >> (shift & 63);
                let width = usize::from(*width).min(8);
                let all = if big { shifted.to_be_bytes() } else { shifted.to_le_bytes() };
                bytes.extend_from_slice(if big { &all[8 - width..] } else { &all[..width] });
            }
            Piece::Decimal(slot) => match saved(*slot)? {
                Saved::Number(n) => bytes.extend_from_slice((n as i64).to_string().as_bytes()),
                Saved::Bytes(b) => bytes.extend_from_slice(&b),
            },
            Piece::Saved(slot) => match saved(*slot)? {
                Saved::Number(n) => {
                    bytes.extend_from_slice(&if big { n.to_be_bytes() } else { n.to_le_bytes() });
                }
                Saved::Bytes(b) => bytes.extend_from_slice(&b),
            },
        }
    }
    Some(bytes)
}

fn number(value: &Value, saved: &dyn Fn(u32) -> Option<Saved>) -> Option<u64> {
    match value {
        Value::Number(n) => Some(*n),
        Value::Slot(slot, bits) => match saved(*slot)? {
            Saved::Number(n) => Some(n | bits),
            Saved::Bytes(_) => None,
        },
        Value::Address(_) | Value::Unmapped | Value::ReadOnly | Value::Length(..) => None,
    }
}

/// Memory of 1, 2, 4 or 8 bytes as a number, in the kernel's byte order; `None` for any other length.
pub fn number_in(memory: &[u8], big: bool) -> Option<u64> {
    let mut all = [0; 8];
    let width = memory.len();
    if !matches!(width, 1 | 2 | 4 | 8) {
        return None;
    }
    if big {
        all[8 - width..].copy_from_slice(memory);
        Some(u64::from_be_bytes(all))
    } else {
        all[..width].copy_from_slice(memory);
        Some(u64::from_le_bytes(all))
    }
}

fn mask(width: usize) -> u64 {
    if width >= 8 { u64::MAX } else { (1 << (width * 8)) - 1 }
}

fn sign_extend(n: u64, width: usize) -> i128 {
    let unused = 64 - 8 * width.min(8);
    i128::from(((n << unused) as i64) >> unused)
}

fn contains(memory: &[u8], part: &[u8]) -> bool {
    part.is_empty() || memory.windows(part.len()).any(|window| window == part)
}
