//! Runs plans on the kernel it finds itself on and reports what happened, without judging it.
//!
//! One program in three places: a child process of the host (`--scratch DIR`), PID 1 of a guest, and the image that an
//! `exec` block's child turns into. The way of a plan: [`serve`] reads it, `case` forks a process for it and waits, and in
//! that process `runner` makes the calls (`call`, `memory`) and the blocks (`block`, `exec`), writing down what happens in
//! a `log` that all processes of the case share and that outlives them.
//!
//! What holds throughout: the agent's own process has one thread and never makes a call of a plan; it blocks all signals
//! and hears of them through a signalfd; its fds 0 to 2 are /dev/null and the others are closed in each case's process
//! before its first step; whatever a case leaves behind is gone before the next one begins.

mod apart;
mod areas;
mod attached;
mod bench;
mod block;
mod btf;
mod call;
mod case;
mod exec;
mod facts;
mod ground;
mod guest;
mod heap;
mod kernel_log;
mod keys;
mod leftovers;
mod log;
mod look;
mod machine;
mod memory;
mod modules;
mod named;
mod objects;
mod panic;
mod places;
mod populate;
mod raw;
mod reach;
mod runner;
mod sandbox;
mod scratch;
mod serve;
mod settings;
mod setup;
mod signals;
mod spare;
mod stray;
mod stream;
mod sys;
mod sysctl;
mod wide;

pub use bench::bench;
pub use exec::{EXEC_WORD, resume};
pub use guest::init;
pub use heap::Heap;
pub use serve::serve;
