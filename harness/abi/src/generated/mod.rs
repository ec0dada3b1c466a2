//! Tables written by `ci/abi-tables`.

#[rustfmt::skip]
pub(crate) mod constants;
#[rustfmt::skip]
pub(crate) mod errnos;
