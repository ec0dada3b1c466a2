//! Runs plans on the kernel it finds itself on and reports what happened, without judging it.
//!
//! One program in three places: a child process of the host (`--scratch DIR`), PID 1 of a guest, and the image that an
//! `exec` block's child turns into. The way of a plan: `start` prepares the agent's own process, `session` reads the plan,
//! `case` forks a process for it and waits, and in that process `steps` makes the calls and the blocks, with `memory` for
//! their buffers, writing down what happens in a `log` that all processes of the case share and that outlives them.
//! `reach` says what a plan may change, and `traces` finds what it left; `facts` is what the agent says of the kernel.
//!
//! What holds throughout: the agent's own process has one thread and never makes a call of a plan; it blocks all signals
//! and hears of them through a signalfd; its fds 0 to 2 are /dev/null and the others are closed in each case's process
//! before its first step; whatever a case leaves behind is gone before the next one begins.

mod bench;
mod case;
mod facts;
mod kernel_log;
mod log;
mod memory;
mod panic;
mod reach;
mod session;
mod signals;
mod start;
mod steps;
mod stream;
mod sys;
mod traces;
mod trouble;

pub use bench::bench;
pub use memory::heap::Heap;
pub use start::guest::init;
pub use start::native::serve;
pub use steps::exec::{EXEC_WORD, resume};
