//! What the agent does before the first case: beside other processes of a machine, or as PID 1 of a guest.

pub(crate) mod guest;
mod machine;
mod modules;
pub(crate) mod native;
pub(crate) mod setup;
