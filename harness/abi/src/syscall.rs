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

/// The name of the syscall that has that number on an architecture.
pub fn syscall_name(arch: Arch, number: u64) -> Option<&'static str> {
    TABLE.iter().filter(|(_, numbers)| numbers[arch as usize] == Some(number)).map(|(name, _)| *name).min()
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

/// Syscalls whose return value is a new fd, by their man pages; `bpf` depends on its command
/// ([`crate::bpf::Command::gives_fd`]).
const GIVES_FD: &[&str] = &[
    "accept",
    "accept4",
    "creat",
    "dup",
    "epoll_create",
    "epoll_create1",
    "eventfd",
    "eventfd2",
    "fanotify_init",
    "fsmount",
    "fsopen",
    "fspick",
    "inotify_init",
    "inotify_init1",
    "io_uring_setup",
    "landlock_create_ruleset",
    "memfd_create",
    "memfd_secret",
    "mq_open",
    "open",
    "open_by_handle_at",
    "open_tree",
    "openat",
    "openat2",
    "perf_event_open",
    "pidfd_getfd",
    "pidfd_open",
    "signalfd",
    "signalfd4",
    "socket",
    "timerfd_create",
    "userfaultfd",
];

/// Whether a syscall that succeeds returns a new fd.
pub fn gives_fd(name: &str) -> bool {
    GIVES_FD.binary_search(&name).is_ok()
}

/// The names of all syscalls of the architectures in [`Arch`], in no order.
pub fn syscall_names() -> impl Iterator<Item = &'static str> {
    TABLE.keys().copied()
}

#[cfg(test)]
mod tests {
    #[test]
    fn calls_that_give_an_fd_are_sorted_and_exist() {
        assert!(super::GIVES_FD.is_sorted());
        assert_eq!(super::GIVES_FD.iter().find(|name| !super::syscall_known(name)), None);
        assert!(super::gives_fd("memfd_create") && !super::gives_fd("getpid"));
    }
}
