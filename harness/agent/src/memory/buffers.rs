//! The buffers of one call: what is in them, where they are, and what they hold afterwards.

use kconform_plan::{Buffer, Bytes, Call, Output, Piece, Region, Saved, Trouble, Value};

use crate::memory::areas;
use crate::sys;

/// Saved values by slot.
pub(crate) type Slots = Vec<Option<Saved>>;

/// Memory that a step was given; it keeps its addresses when the step runs again.
#[derive(Clone, Copy)]
pub(crate) struct Area {
    start: *mut u8,
    length: usize,
}

// SAFETY: an area belongs to one step, and a step runs in one thread at a time.
unsafe impl Send for Area {}

/// The buffers of a call, laid out and filled.
pub(crate) struct Buffers {
    /// Address and length of each.
    places: Vec<(*mut u8, usize)>,
    /// The lengths of the pieces of each.
    pieces: Vec<Vec<usize>>,
}

/// What a call needs and nobody can give: a slot without a value.
pub(crate) fn missing(slot: u32) -> Trouble {
    Trouble { what: format!("slot {slot} holds no such value"), errno: libc::ENODATA }
}

/// The number that a value stands for.
pub(crate) fn number(value: &Value, slots: &Slots, places: &[(*mut u8, usize)]) -> Result<u64, Trouble> {
    let place = |buffer: u32| {
        let none = || Trouble { what: format!("buffer {buffer} is not there"), errno: libc::EINVAL };
        places.get(buffer as usize).ok_or_else(none)
    };
    match *value {
        Value::Number(n) => Ok(n),
        Value::Slot(slot, bits) => match slots.get(slot as usize) {
            Some(Some(Saved::Number(n))) => Ok(n | bits),
            _ => Err(missing(slot)),
        },
        Value::Address(buffer) => place(buffer).map(|&(start, _)| start as u64),
        Value::Unmapped => Ok(areas::UNMAPPED),
        Value::ReadOnly => Ok(areas::read_only()),
        Value::Length(buffer, unit) => {
            place(buffer).map(|&(_, length)| length as u64 / u64::from(unit.max(1)))
        }
    }
}

fn saved(slot: u32, slots: &Slots) -> Result<&Saved, Trouble> {
    slots.get(slot as usize).and_then(Option::as_ref).ok_or_else(|| missing(slot))
}

fn decimal(slot: u32, slots: &Slots) -> Result<Vec<u8>, Trouble> {
    Ok(match saved(slot, slots)? {
        Saved::Number(n) => (*n as i64).to_string().into_bytes(),
        Saved::Bytes(bytes) => bytes.clone(),
    })
}

fn length(piece: &Piece, slots: &Slots) -> Result<usize, Trouble> {
    Ok(match piece {
        Piece::Bytes(bytes) => bytes.len(),
        Piece::Zero(count) => *count as usize,
        Piece::Value { width, .. } => usize::from(*width).min(8),
        Piece::Decimal(slot) => decimal(*slot, slots)?.len(),
        Piece::Saved(slot) => match saved(*slot, slots)? {
            Saved::Number(_) => 8,
            Saved::Bytes(bytes) => bytes.len(),
        },
    })
}

impl Buffers {
    /// Lays out the buffers of a call and fills them. Behind each there is at least a page that belongs to nobody, because
    /// a kernel may write more than it was asked for.
    pub(crate) fn make(call: &Call, slots: &Slots, area: &mut Option<Area>) -> Result<Buffers, Trouble> {
        let page = sys::page_size();
        let mut pieces = Vec::with_capacity(call.buffers.len());
        let mut offsets = Vec::with_capacity(call.buffers.len());
        let mut end = 0_usize;
        for buffer in &call.buffers {
            let lengths = buffer.pieces.iter().map(|p| length(p, slots)).collect::<Result<Vec<_>, _>>()?;
            let mut size = lengths.iter().sum::<usize>();
            for overlay in &buffer.overlays {
                size = size.max(overlay.offset as usize + length(&overlay.piece, slots)?);
            }
            offsets.push((end, size));
            end = (end + size).next_multiple_of(8) + page;
            pieces.push(lengths);
        }
        let start = if end == 0 { std::ptr::null_mut() } else { room(end, area)? };
        let places = offsets.into_iter().map(|(at, size)| (start.wrapping_add(at), size)).collect();
        let buffers = Buffers { places, pieces };
        for (nth, buffer) in call.buffers.iter().enumerate() {
            buffers.fill(nth, buffer, slots)?;
        }
        Ok(buffers)
    }

    fn fill(&self, nth: usize, buffer: &Buffer, slots: &Slots) -> Result<(), Trouble> {
        let (start, size) = self.places[nth];
        let mut at = 0;
        for (piece, &length) in buffer.pieces.iter().zip(&self.pieces[nth]) {
            self.put(piece, &mut window(start, size)[at..at + length], slots)?;
            at += length;
        }
        window(start, size)[at..].fill(0);
        for overlay in &buffer.overlays {
            let (at, length) = (overlay.offset as usize, length(&overlay.piece, slots)?);
            self.put(&overlay.piece, &mut window(start, size)[at..at + length], slots)?;
        }
        Ok(())
    }

    fn put(&self, piece: &Piece, to: &mut [u8], slots: &Slots) -> Result<(), Trouble> {
        match piece {
            Piece::Bytes(bytes) => to.copy_from_slice(bytes),
            Piece::Zero(_) => to.fill(0),
            Piece::Value { value, shift, .. } => {
                let shifted = number(value, slots, &self.places)? >> (shift & 63);
                let low = if cfg!(target_endian = "big") { 8 - to.len() } else { 0 };
                to.copy_from_slice(&shifted.to_ne_bytes()[low..low + to.len()]);
            }
            Piece::Decimal(slot) => to.copy_from_slice(&decimal(*slot, slots)?),
            Piece::Saved(slot) => match saved(*slot, slots)? {
                Saved::Number(n) => to.copy_from_slice(&n.to_ne_bytes()),
                Saved::Bytes(bytes) => to.copy_from_slice(bytes),
            },
        }
        Ok(())
    }

    /// The call's arguments; those left out are 0.
    pub(crate) fn args(&self, call: &Call, slots: &Slots) -> Result<[u64; 6], Trouble> {
        let mut args = [0; 6];
        for (arg, value) in args.iter_mut().zip(&call.args) {
            *arg = number(value, slots, &self.places)?;
        }
        Ok(args)
    }

    /// What a buffer holds now; empty when there is no such buffer.
    pub(crate) fn contents(&self, nth: usize) -> &mut [u8] {
        self.places.get(nth).map_or(&mut [], |&(start, size)| window(start, size))
    }

    /// What the call's outputs hold now.
    pub(crate) fn outputs(&self, outputs: &[Output]) -> Vec<Bytes> {
        outputs.iter().map(|output| Bytes::new(self.region(output))).collect()
    }

    fn region(&self, output: &Output) -> &[u8] {
        let nth = output.buffer as usize;
        let all = self.contents(nth);
        let (at, length) = match output.region {
            Region::Whole => (0, all.len()),
            Region::Range { offset, length } => (offset as usize, length as usize),
            Region::Pieces { first, count } => {
                let lengths = self.pieces.get(nth).map_or(&[][..], Vec::as_slice);
                let sum = |skip: usize, take: u32| lengths.iter().skip(skip).take(take as usize).sum();
                (sum(0, first), sum(first as usize, count))
            }
        };
        let start = at.min(all.len());
        &all[start..(start + length).min(all.len())]
    }
}

fn room(length: usize, area: &mut Option<Area>) -> Result<*mut u8, Trouble> {
    match area {
        Some(area) if area.length >= length => Ok(area.start),
        _ => {
            let start = areas::take(length)
                .map_err(|errno| Trouble { what: format!("mmap {length} bytes for buffers"), errno })?;
            *area = Some(Area { start, length });
            Ok(start)
        }
    }
}

/// A buffer's memory.
fn window<'a>(start: *mut u8, size: usize) -> &'a mut [u8] {
    if size == 0 {
        return &mut [];
    }
    // SAFETY: places lie within an area that was taken for the call and stays mapped for the life of the process; they do
    // not overlap, and no two windows of one place are used at a time. (A case that unmaps its own buffers dies of it,
    // alone, as any program would.)
    unsafe { std::slice::from_raw_parts_mut(start, size) }
}
