//! The plan's own tests: the wire format and the check that both ends share.
#![allow(clippy::unwrap_used)]

mod expect;
mod wire;
