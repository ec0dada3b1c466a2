//! kconform
#![forbid(unsafe_code)]
