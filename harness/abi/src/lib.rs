//! What the Linux kernel's ABI says, as data: syscall numbers, bpf(2)'s commands and attr layouts, constants, errnos,
//! signals and capabilities, for every architecture that cases can run on. No I/O, and nothing here asks the machine
//! it runs on: the answers for riscv64 are the same on an x86-64 host as there.
#![forbid(unsafe_code)]

mod arch;
pub mod bpf;
pub mod capability;
mod constants;
pub mod errno;
mod generated;
mod nearest;
mod prototype;
pub mod signal;
mod structure;
mod syscall;

pub use arch::{Arch, Endian};
pub use constants::{HEADERS, constant, constant_known, constant_names};
pub use nearest::{nearest, slip};
pub use prototype::{Param, ParamKind, Prototype, prototype};
pub use structure::{Member, MemberKind, Structure, structure, structure_names};
pub use syscall::{gives_fd, syscall_known, syscall_name, syscall_names};
