//! kconform checks that kernels keep their promises: it reads cases, runs them on targets, and says what each kernel
//! promised and what it did. See ARCHITECTURE.md for the way of a case.
//!
//! Other packages use [`trials`] to run cases of their own from `cargo test`, and [`document`] to read reports: see
//! docs/library.md. `docs/public-api.txt` lists all that they can name.
#![forbid(unsafe_code)]
#![allow(unreachable_pub)]

mod arguments;
mod bisect;
mod bless;
mod btf;
mod cache_folder;
mod case;
mod checkout;
pub mod cli;
mod coverage;
pub mod document;
mod expand;
mod export;
mod folder;
mod guest;
mod health;
mod hex;
mod insn;
mod interrupt;
mod json_lines;
mod judge;
mod kernel;
mod limits;
mod load;
mod lower;
#[cfg(test)]
#[path = "../tests/readers/not_tested.rs"]
mod not_tested;
mod place;
mod record;
mod regular;
mod renamed;
mod report;
mod run;
mod schema;
mod select;
mod settings;
mod shard;
mod strace;
mod style;
mod targets;
#[cfg(test)]
mod tests;
pub mod trials;
mod uapi;
mod wants;
mod yaml;

/// What the tests and benchmarks of this package use, and no other package can rely on.
#[doc(hidden)]
pub mod inner {
    pub use crate::case::Case;
    pub use crate::guest::cache::cached;
    pub use crate::guest::{BootSpec, CachedKernel, Guest, Hears, Image, Images, cache_dir};
    pub use crate::judge::Verdict;
    pub use crate::load::{SuiteFile, load};
    pub use crate::place::File;
    pub use crate::targets::{AGENT, Note, Target, Worker};
}
