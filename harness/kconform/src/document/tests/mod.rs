//! A report made by hand, and what differs between two.

mod diff;
pub(crate) mod sample;
