//! abi
#![forbid(unsafe_code)]
