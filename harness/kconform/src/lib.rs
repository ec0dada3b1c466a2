//! kconform checks that kernels keep their promises: it reads cases, runs them on targets, and says what each kernel
//! promised and what it did. See ARCHITECTURE.md for the way of a case.
#![forbid(unsafe_code)]

mod arguments;
pub mod bisect;
mod btf;
mod cache_folder;
pub mod case;
mod checkout;
pub mod cli;
pub mod coverage;
pub mod document;
pub mod expand;
pub mod folder;
pub mod guest;
pub mod health;
mod hex;
pub mod insn;
pub mod interrupt;
mod json_lines;
pub mod judge;
pub mod kernel;
pub mod limits;
pub mod load;
pub mod lower;
#[cfg(test)]
#[path = "../tests/readers/not_tested.rs"]
mod not_tested;
pub mod place;
pub mod renamed;
pub mod report;
pub mod run;
mod schema;
pub mod select;
pub mod settings;
pub mod shard;
mod strace;
pub mod style;
pub mod targets;
pub mod trials;
pub mod uapi;
pub mod wants;
mod yaml;
