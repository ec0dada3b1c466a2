//! Tables written by `ci/abi-tables` and `ci/syscall-tables`.

#[rustfmt::skip]
pub(crate) mod constants;
#[rustfmt::skip]
pub(crate) mod errnos;
#[rustfmt::skip]
pub(crate) mod prototypes;
