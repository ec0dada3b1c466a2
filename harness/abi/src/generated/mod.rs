//! Tables written by `tools/abi-tables`, `tools/syscall-tables` and `tools/uapi-structs`.

#[rustfmt::skip]
pub(crate) mod constants;
#[rustfmt::skip]
pub(crate) mod errnos;
#[rustfmt::skip]
pub(crate) mod prototypes;
#[rustfmt::skip]
pub(crate) mod structures;
