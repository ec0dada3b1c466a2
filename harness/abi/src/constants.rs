//! The integer constants of the kernel's uapi headers and of the C library's, by name.

use crate::Arch;
use crate::generated::constants as tables;

/// The kernel whose headers the tables were made from, such as `7.2.13`.
pub const HEADERS: &str = tables::HEADERS;

/// A constant's value on that architecture, as strace and the headers spell its name: `BPF_ANY`, `O_CLOEXEC`,
/// `PERF_EVENT_IOC_ENABLE`, `EINVAL`. Negative ones (`AT_FDCWD`) are in two's complement.
///
/// `None` where the architecture lacks it (`MAP_32BIT` is x86's alone), or nobody has it: [`constant_known`].
pub fn constant(arch: Arch, name: &str) -> Option<u64> {
    find(own(arch), name).or_else(|| find(tables::COMMON, name)).or_else(|| internal_errno(name))
}

/// Whether any architecture in [`Arch`] has a constant of that name.
pub fn constant_known(name: &str) -> bool {
    Arch::ALL.iter().any(|&arch| constant(arch, name).is_some())
}

/// The names of all constants, for suggestions. One that only some architectures have may come more than once.
pub fn constant_names() -> impl Iterator<Item = &'static str> {
    let own = Arch::ALL.iter().flat_map(|&arch| own(arch));
    tables::COMMON.iter().chain(own).map(|(name, _)| *name)
}

/// Errnos that the kernel keeps to itself (ENOTSUPP) are in no header of user space's.
fn internal_errno(name: &str) -> Option<u64> {
    crate::errno::number(name).and_then(|number| u64::try_from(number).ok())
}

fn own(arch: Arch) -> &'static [(&'static str, u64)] {
    match arch {
        Arch::X86_64 => tables::X86_64,
        Arch::Riscv64 => tables::RISCV64,
        Arch::Aarch64 => tables::AARCH64,
        Arch::S390x => tables::S390X,
    }
}

fn find(table: &[(&'static str, u64)], name: &str) -> Option<u64> {
    table.binary_search_by(|row| row.0.cmp(name)).ok().map(|index| table[index].1)
}
