//! What the calls of a case name: whether something that is left bears a name of its own.

use kconform_plan::{Piece, Place, Step, calls};

use crate::traces::kinds::{describe, program};

/// The words of a plan that may be names of files.
pub(crate) fn words(steps: &[Step], most: usize, found: &mut Vec<Vec<u8>>) {
    for buffer in calls(steps).flat_map(|call| &call.buffers) {
        let overlaid = buffer.overlays.iter().map(|overlay| &overlay.piece);
        let words = buffer.pieces.iter().chain(overlaid).filter_map(word);
        found.extend(words.take(most.saturating_sub(found.len())).map(<[u8]>::to_vec));
    }
}

/// Whether a plan names a pin's file.
pub(crate) fn is_named(place: &Place, words: &[Vec<u8>]) -> bool {
    let Place::Pin(path) = place else { return false };
    is_named_file(path, words)
}

/// Whether a program may be one that a plan loads: it has no name, or a name of the plan's.
pub(crate) fn is_named_program(id: u32, words: &[Vec<u8>]) -> bool {
    let name = describe(program(id)).unwrap_or_default().1;
    name.is_empty() || words.iter().any(|word| word.as_slice() == name.as_bytes())
}

/// Whether the last part of a path is that of a word.
pub(crate) fn is_named_file(path: &str, words: &[Vec<u8>]) -> bool {
    let last = |path: &[u8]| path.rsplit(|&b| b == b'/').next().unwrap_or_default().to_vec();
    words.iter().any(|word| last(word) == last(path.as_bytes()))
}

/// A piece of a buffer that may be a name.
fn word(piece: &Piece) -> Option<&[u8]> {
    match piece {
        Piece::Bytes(bytes) => {
            let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
            Some(&bytes[..end]).filter(|word| !word.is_empty() && word.iter().all(u8::is_ascii_graphic))
        }
        _ => None,
    }
}
