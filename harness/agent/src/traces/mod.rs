//! What cases leave behind on the kernel: found, told and, as far as it is surely theirs, undone.

mod attached;
mod keys;
mod kinds;
pub(crate) mod look;
mod named;
pub(crate) mod objects;
mod places;
mod trees;
mod wide;
mod words;
