//! Memory that no case can spoil: the agent's own heap, and what calls are given.

pub(crate) mod areas;
pub(crate) mod buffers;
pub(crate) mod heap;
pub(crate) mod populate;
pub(crate) mod program;
pub(crate) mod stretch;
