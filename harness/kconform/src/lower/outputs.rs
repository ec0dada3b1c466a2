//! The parts of a call's memory that are reported afterwards, and their names.

use kconform_plan::{Output, Region};

use super::buffer::{Memory, piece_size, size};
use crate::kernel::Unmet;

/// What a name that is not from `as` stands for.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// An attr field, `arg0` … `arg5`, `data`.
    pub(super) name: String,
    /// Other names of the same: what the prototype calls `arg1`.
    pub(super) also: Vec<&'static str>,
    /// The buffer.
    pub(super) buffer: u32,
    /// The part of it.
    pub(super) region: Region,
}

/// The outputs of one call.
#[derive(Default)]
pub(super) struct Outputs {
    pub(super) list: Vec<Output>,
    pub(super) names: Vec<String>,
}

impl Outputs {
    /// What is reported although nobody asks: all that has `out` or `as`.
    pub(super) fn of_memory(memory: &Memory, places: &[Place]) -> Outputs {
        let mut outputs = Outputs::default();
        let whole = |place: &&Place| place.region == Region::Whole && memory.unnamed.contains(&place.buffer);
        for place in places.iter().filter(whole) {
            outputs.add(&place.name, place.buffer, place.region);
        }
        for named in &memory.named {
            outputs.add(&named.name, named.buffer, named.region);
        }
        outputs
    }

    /// The output of that name, added if nobody asked for it yet. `as` goes before everything else.
    pub(super) fn find(&mut self, name: &str, memory: &Memory, places: &[Place]) -> Result<u32, Unmet> {
        if let Some(nth) = self.names.iter().position(|known| known == name) {
            return Ok(nth as u32);
        }
        if let Some(named) = memory.named.iter().find(|named| named.name == name) {
            return Ok(self.add(name, named.buffer, named.region));
        }
        match places.iter().find(|place| place.name == name || place.also.contains(&name)) {
            Some(place) => Ok(self.add_place(place)),
            None => Err(Unmet { reason: format!("the call has no output named {name}") }),
        }
    }

    /// What has several names is reported once.
    fn add_place(&mut self, place: &Place) -> u32 {
        let there = self.names.iter().zip(&self.list).position(|(name, output)| {
            *name == place.name && (output.buffer, output.region) == (place.buffer, place.region)
        });
        there.map_or_else(|| self.add(&place.name, place.buffer, place.region), |nth| nth as u32)
    }

    fn add(&mut self, name: &str, buffer: u32, region: Region) -> u32 {
        self.list.push(Output { buffer, region });
        self.names.push(name.to_owned());
        self.list.len() as u32 - 1
    }

    /// The bytes of an output, when that is known beforehand.
    pub(super) fn size(&self, output: u32, memory: &Memory) -> Option<u64> {
        let output = self.list.get(output as usize)?;
        let buffer = memory.buffers.get(output.buffer as usize)?;
        match output.region {
            Region::Range { length, .. } => Some(u64::from(length)),
            Region::Pieces { first, count } => {
                size(buffer.pieces.get(first as usize..(first + count) as usize)?)
            }
            Region::Whole => {
                let end = |o: &kconform_plan::Overlay| Some(u64::from(o.offset) + piece_size(&o.piece)?);
                let ends = buffer.overlays.iter().map(end).collect::<Option<Vec<u64>>>()?;
                Some(ends.into_iter().max().unwrap_or(0).max(size(&buffer.pieces)?))
            }
        }
    }
}
