//! Syscall numbers, from the `syscalls` crate and, where that is behind, from rows of our own.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::LazyLock;

use crate::Arch;

/// Newer than the `syscalls` crate. Since Linux 5.1 a new syscall gets the same number everywhere
/// (scripts/syscall.tbl), so a row is enough.
const NEWER: &[(&str, u64)] = &[("listns", 470), ("rseq_slice_yield", 471)];

/// The numbers of a name, in the order of [`Arch::ALL`].
type Numbers = [Option<u64>; 4];

static TABLE: LazyLock<HashMap<&'static str, Numbers>> = LazyLock::new(|| {
    let mut table = HashMap::<&'static str, Numbers>::with_capacity(512);
    for &arch in Arch::ALL {
        for (name, number) in rows(arch) {
            table.entry(name).or_default()[arch as usize] = Some(number);
        }
    }
    table
});

fn rows(arch: Arch) -> Vec<(&'static str, u64)> {
    macro_rules! rows {
        ($arch:ident) => {
            syscalls::$arch::Sysno::iter().map(|call| (call.name(), call.id() as u64)).collect()
        };
    }
    let mut rows: Vec<_> = match arch {
        Arch::X86_64 => rows!(x86_64),
        Arch::Riscv64 => rows!(riscv64),
        Arch::Aarch64 => rows!(aarch64),
        Arch::S390x => rows!(s390x),
    };
    if arch == Arch::Aarch64 {
        // The crate has rows there that only 32-bit machines have, and the C library's name for newfstatat.
        rows.retain(|(name, number)| !(403..=423).contains(number) && *name != "fstatat");
        rows.push(("newfstatat", 79));
    }
    rows.extend(NEWER);
    rows
}

pub(crate) fn number(arch: Arch, name: &str) -> Option<u64> {
    TABLE.get(name)?[arch as usize]
}

/// Whether any Linux architecture has, or had, a syscall of that name: those that [`Arch`] does not cover too.
///
/// So a call that an architecture lacks can be told from one that nobody has.
pub fn syscall_known(name: &str) -> bool {
    macro_rules! elsewhere {
        ($($arch:ident)*) => { $(syscalls::$arch::Sysno::from_str(name).is_ok())||* };
    }
    TABLE.contains_key(name)
        || elsewhere!(x86 arm mips mips64 powerpc powerpc64 sparc sparc64 loongarch64 riscv32)
}

/// The names of all syscalls of the architectures in [`Arch`], in no order.
pub fn syscall_names() -> impl Iterator<Item = &'static str> {
    TABLE.keys().copied()
}
