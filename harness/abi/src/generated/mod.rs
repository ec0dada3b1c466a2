//! Tables written by `ci/abi-tables`, `ci/syscall-tables` and `ci/uapi-structs`.

#[rustfmt::skip]
pub(crate) mod constants;
#[rustfmt::skip]
pub(crate) mod errnos;
#[rustfmt::skip]
pub(crate) mod prototypes;
#[rustfmt::skip]
pub(crate) mod structures;
