//! Guests: a kernel in QEMU with nothing but the agent in it, and a byte stream to that agent.
//!
//! [`image`] says what guests there are (`vm/*.yaml`), [`mod@fetch`] brings their kernels into the [`cache`], [`initramfs`]
//! wraps up the agent, [`qemu`] runs the two together, and [`snapshot`] spares the boot
//! ([`Guest::start`]). Nothing here knows of cases: above the stream, a guest is
//! no different from a child process or a board.

pub mod cache;
pub mod commands;
pub mod fetch;
pub mod image;
pub mod initramfs;
mod known;
pub mod own_kernel;
mod packed;
pub mod prune;
mod pruned;
pub mod qemu;
pub mod snapshot;
mod stamp;
mod start;
#[cfg(test)]
mod tests;
mod twice;
mod value_place;
pub(crate) mod whole;

pub use cache::{CachedKernel, cache_dir};
pub use image::{Image, Images};
#[cfg(test)]
pub(crate) use qemu::Progress as Work;
pub use qemu::{BootSpec, Doing, Guest, GuestError, Hears, Watch};
pub use start::Start;
