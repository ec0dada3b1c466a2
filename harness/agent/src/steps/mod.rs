//! The steps of a case, in its own processes: calls and blocks.

mod block;
mod call;
pub(crate) mod exec;
mod privileges;
mod raw;
pub(crate) mod runner;
pub(crate) mod sysctl;
