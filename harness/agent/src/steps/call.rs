//! Makes one call and looks at what it did.

use std::collections::BTreeSet;

use kconform_plan::{
    Bytes, Call, Expect, Function, Got, Piece, RecordKind, Ret, Saved, Source, Value, Want, is_error,
};

use crate::log::State;
use crate::memory::buffers::Buffers;
use crate::steps::raw;
use crate::steps::runner::{Flow, Runner};
use crate::sys;
use crate::trouble::Tried;

/// The first pause between the attempts of an `eventually` step, and the longest.
const PAUSES_NS: (u64, u64) = (50_000, 20_000_000);

/// One attempt.
struct Attempt {
    ret: i64,
    outputs: Vec<Bytes>,
    call_ns: u64,
}

impl Runner {
    /// Makes a call, as often as it takes, and saves what is to be saved when it did what is expected.
    pub(crate) fn call(&mut self, step: u32, call: &Call) -> Tried<Flow> {
        let deadline = call.eventually_ms.map(|ms| sys::now().saturating_add(ms.saturating_mul(1_000_000)));
        let mut area = self.areas.remove(&step).flatten();
        let mut pause = PAUSES_NS.0;
        let mut attempts = 0;
        let (attempt, good) = loop {
            let buffers = Buffers::make(call, &self.slots, &mut area)?;
            let args = buffers.args(call, &self.slots)?;
            if attempts == 0 {
                let given = call.args.len().min(6);
                self.record(step, RecordKind::Begin { args: args[..given].to_vec(), slots: self.used(call) });
            }
            attempts += 1;
            let attempt = self.attempt(call, &buffers, &args);
            let got = Got { ret: attempt.ret, outputs: &attempt.outputs };
            let good = call.expect.check(got, &|slot| self.slots.get(slot as usize)?.clone()).is_empty();
            let now = sys::now();
            match deadline {
                Some(deadline) if !good && now < deadline => {
                    if call.gives_fd && attempt.ret >= 0 {
                        sys::syscall(libc::SYS_close, [attempt.ret as u64, 0, 0, 0, 0, 0]);
                    }
                    sys::pause_ns(pause.min(deadline - now));
                    pause = (2 * pause).min(PAUSES_NS.1);
                }
                _ => break (attempt, good),
            }
        };
        self.areas.insert(step, area);
        let Attempt { ret, outputs, call_ns } = attempt;
        if good {
            self.save(call, ret, &outputs);
        }
        self.record(step, RecordKind::Done { ret, outputs, attempts, call_ns });
        Ok(match good {
            false => Flow::Surprised,
            true if call.last.after(ret) => Flow::Over,
            true => Flow::Next,
        })
    }

    fn attempt(&self, call: &Call, buffers: &Buffers, args: &[u64; 6]) -> Attempt {
        if let Some(signal) = call.expect.signal {
            self.cell.set(State::Dying(signal));
        }
        let begun = sys::now();
        let ret = match call.function {
            Function::Syscall(number) if raw::returns_twice(number) => {
                raw::call_twice(number, args, raw::parent_waits(number, args, clone3_flags(call, buffers)))
            }
            Function::Syscall(number) => sys::syscall(number as libc::c_long, *args),
            Function::Peek => peek(args[0], buffers.contents(0)),
            Function::Poke => poke(args[0], buffers.contents(0)),
        };
        let call_ns = sys::now().saturating_sub(begun);
        if call.expect.signal.is_some() {
            self.cell.set(State::Running);
        }
        Attempt { ret, outputs: buffers.outputs(&call.outputs), call_ns }
    }

    fn save(&mut self, call: &Call, ret: i64, outputs: &[Bytes]) {
        for save in &call.saves {
            let value = match save.from {
                Source::Ret if is_error(ret) => None,
                Source::Ret => Some(Saved::Number(ret as u64)),
                Source::Output(nth) => outputs.get(nth as usize).map(|bytes| from_memory(&bytes.full())),
            };
            if let Some(value) = value {
                self.keep(save.slot, value);
            }
        }
    }

    /// The saved values that a call uses, by slot.
    fn used(&self, call: &Call) -> Vec<(u32, Saved)> {
        let mut slots = BTreeSet::new();
        call.args.iter().for_each(|v| in_value(v, &mut slots));
        for buffer in &call.buffers {
            in_pieces(&buffer.pieces, &mut slots);
            buffer.overlays.iter().for_each(|o| in_piece(&o.piece, &mut slots));
        }
        in_expect(&call.expect, &mut slots);
        let with_value = |slot: u32| Some((slot, self.slots.get(slot as usize)?.clone()?));
        slots.into_iter().filter_map(with_value).collect()
    }
}

/// A number if the memory has the width of one, in the kernel's byte order.
fn from_memory(memory: &[u8]) -> Saved {
    match *memory {
        [a] => Saved::Number(u64::from(a)),
        [a, b] => Saved::Number(u64::from(u16::from_ne_bytes([a, b]))),
        [a, b, c, d] => Saved::Number(u64::from(u32::from_ne_bytes([a, b, c, d]))),
        [a, b, c, d, e, f, g, h] => Saved::Number(u64::from_ne_bytes([a, b, c, d, e, f, g, h])),
        _ => Saved::Bytes(memory.to_vec()),
    }
}

/// The flags of clone3's argument when that is one of the call's own buffers.
fn clone3_flags(call: &Call, buffers: &Buffers) -> Option<u64> {
    let Some(Value::Address(buffer)) = call.args.first() else { return None };
    let bytes = buffers.contents(*buffer as usize).first_chunk::<8>()?;
    Some(u64::from_ne_bytes(*bytes))
}

/// A load or store of one width at an address that the case chose.
macro_rules! access {
    ($address:expr, $memory:expr, $width:ty, load) => {
        // SAFETY: an address of the case's choosing, in its own process: a bad one kills that process with SIGSEGV or
        // SIGBUS, which is what is being observed. The width divides the address.
        $memory.copy_from_slice(&unsafe { std::ptr::read_volatile($address as *const $width) }.to_ne_bytes())
    };
    ($address:expr, $memory:expr, $width:ty, store) => {{
        let mut bytes = [0; size_of::<$width>()];
        bytes.copy_from_slice($memory);
        // SAFETY: as for loads; what the case overwrites is the case's own.
        unsafe { std::ptr::write_volatile($address as *mut $width, <$width>::from_ne_bytes(bytes)) }
    }};
}

macro_rules! by_width {
    ($address:expr, $memory:expr, $how:tt) => {{
        let mut address = $address;
        // One access when that is what a program would do, else 8 bytes at a time, else bytes.
        let width = match $memory.len() {
            n @ (1 | 2 | 4 | 8) if address % n as u64 == 0 => n,
            n if n > 8 && address % 8 == 0 => 8,
            _ => 1,
        };
        let mut chunks = $memory.chunks_exact_mut(width);
        for chunk in &mut chunks {
            match width {
                2 => access!(address, chunk, u16, $how),
                4 => access!(address, chunk, u32, $how),
                8 => access!(address, chunk, u64, $how),
                _ => access!(address, chunk, u8, $how),
            }
            address = address.wrapping_add(width as u64);
        }
        for byte in chunks.into_remainder().chunks_exact_mut(1) {
            access!(address, byte, u8, $how);
            address = address.wrapping_add(1);
        }
    }};
}

/// Fills memory from an address by plain loads; the number of bytes.
fn peek(address: u64, memory: &mut [u8]) -> i64 {
    by_width!(address, memory, load);
    memory.len() as i64
}

/// Copies memory to an address by plain stores; the number of bytes.
fn poke(address: u64, memory: &mut [u8]) -> i64 {
    by_width!(address, memory, store);
    memory.len() as i64
}

fn in_value(value: &Value, slots: &mut BTreeSet<u32>) {
    if let Value::Slot(slot, _) = value {
        slots.insert(*slot);
    }
}

fn in_piece(piece: &Piece, slots: &mut BTreeSet<u32>) {
    match piece {
        Piece::Bytes(_) | Piece::Zero(_) => {}
        Piece::Value { value, .. } => in_value(value, slots),
        Piece::Decimal(slot) | Piece::Saved(slot) => {
            slots.insert(*slot);
        }
    }
}

fn in_pieces(pieces: &[Piece], slots: &mut BTreeSet<u32>) {
    pieces.iter().for_each(|piece| in_piece(piece, slots));
}

fn in_bounds(min: &Option<Value>, max: &Option<Value>, slots: &mut BTreeSet<u32>) {
    min.iter().chain(max).for_each(|value| in_value(value, slots));
}

fn in_expect(expect: &Expect, slots: &mut BTreeSet<u32>) {
    in_ret(&expect.ret, slots);
    expect.outputs.iter().for_each(|(_, want)| in_want(want, slots));
}

fn in_ret(ret: &Ret, slots: &mut BTreeSet<u32>) {
    match ret {
        Ret::Success | Ret::Errno(_) => {}
        Ret::Exactly(value) => in_value(value, slots),
        Ret::Range { min, max } => in_bounds(min, max, slots),
        Ret::Either { success, .. } => in_ret(success, slots),
    }
}

fn in_want(want: &Want, slots: &mut BTreeSet<u32>) {
    match want {
        Want::Bytes(pieces) | Want::Contains(pieces) | Want::Prefix(pieces) => in_pieces(pieces, slots),
        Want::Number(value) => in_value(value, slots),
        Want::Not(want) => in_want(want, slots),
        Want::Range { min, max, .. } => in_bounds(min, max, slots),
        Want::Any(wants) => wants.iter().for_each(|want| in_want(want, slots)),
        Want::Strided { slots: each, .. } => each.iter().for_each(|pieces| in_pieces(pieces, slots)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peek_and_poke_copy_any_length_at_any_alignment() {
        let source: Vec<u8> = (1..=40).collect();
        for offset in 0..9 {
            for length in 0..30 {
                let mut into = vec![0; length];
                assert_eq!(peek(source[offset..].as_ptr() as u64, &mut into), length as i64);
                assert_eq!(into, source[offset..offset + length]);
                let mut target = [0; 40];
                poke(target[offset..].as_mut_ptr() as u64, &mut into);
                assert_eq!(target[offset..offset + length], into);
                assert_eq!(target.iter().filter(|&&b| b != 0).count(), length);
            }
        }
    }

    #[test]
    fn memory_of_a_numbers_width_is_a_number() {
        assert_eq!(from_memory(&0x0102_u16.to_ne_bytes()), Saved::Number(0x0102));
        assert_eq!(from_memory(&[1, 2, 3]), Saved::Bytes(vec![1, 2, 3]));
    }
}
