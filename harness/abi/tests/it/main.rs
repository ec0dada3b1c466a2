//! The tables against what is known of the kernel, and against its header files.
#![allow(missing_docs, clippy::unwrap_used)]

mod bpf;
mod constants;
mod names;
mod nearest;
#[path = "../../../kconform/tests/readers/not_tested.rs"]
mod not_tested;
mod prototypes;
mod returns;
mod strace;
mod structures;
mod uapi;
