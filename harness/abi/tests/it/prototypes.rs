//! What system calls take.

use kconform_abi::{Arch, ParamKind, prototype, syscall_names};
use rstest::rstest;

/// In a table of numbers, and nothing behind it: removed, or never there.
const NOTHING: &[&str] = &[
    "_sysctl",
    "afs_syscall",
    "bdflush",
    "create_module",
    "epoll_ctl_old",
    "epoll_wait_old",
    "get_kernel_syms",
    "get_thread_area",
    "getpmsg",
    "idle",
    "lookup_dcookie",
    "nfsservctl",
    "putpmsg",
    "query_module",
    "readdir",
    "security",
    "set_thread_area",
    "timerfd",
    "tuxcall",
    "uselib",
    "vserver",
];

#[rstest]
#[case(Arch::X86_64, "close", "close(fd)")]
#[case(Arch::Riscv64, "openat", "openat(dirfd, path, flags, mode)")]
#[case(Arch::X86_64, "getpid", "getpid()")]
#[case(Arch::X86_64, "clone", "clone(flags, stack, parent_tid, child_tid, tls)")]
#[case(Arch::Riscv64, "clone", "clone(flags, stack, parent_tid, tls, child_tid)")]
#[case(Arch::S390x, "clone", "clone(stack, flags, parent_tid, child_tid, tls)")]
#[case(Arch::Aarch64, "mmap", "mmap(addr, len, prot, flags, fd, offset)")]
#[case(Arch::S390x, "mmap", "mmap(arg)")]
#[case(Arch::X86_64, "signalfd", "signalfd(ufd, user_mask, sizemask)")]
fn a_call_has_its_arguments(#[case] arch: Arch, #[case] name: &str, #[case] form: &str) {
    assert_eq!(prototype(arch, name).map(|known| known.to_string()).as_deref(), Some(form));
}

#[test]
fn a_call_that_an_architecture_lacks_has_none_there() {
    assert!(prototype(Arch::Riscv64, "open").is_none());
    assert!(prototype(Arch::X86_64, "riscv_hwprobe").is_none());
}

/// A stale table would lack the calls that the table of numbers has.
#[test]
fn every_call_has_a_prototype() {
    let mut without: Vec<&str> = syscall_names()
        .filter(|name| Arch::ALL.iter().all(|&arch| prototype(arch, name).is_none()))
        .filter(|name| !NOTHING.contains(name))
        .collect();
    without.sort_unstable();
    assert_eq!(without, Vec::<&str>::new());
}

#[test]
fn arguments_have_names_of_their_own() {
    for &arch in Arch::ALL {
        for known in syscall_names().filter_map(|name| prototype(arch, name)) {
            assert!(known.params.len() <= 6, "{known}");
            for (nth, param) in known.params.iter().enumerate() {
                assert!(known.params[..nth].iter().all(|other| other.name != param.name), "{known}");
                assert_eq!(
                    param.kind.is_pointer(),
                    param.ctype.contains('*')
                        || param.ctype.starts_with("cap_")
                        || param.ctype.contains("cap_user"),
                    "{known}: {param}"
                );
            }
        }
    }
}

#[test]
fn kinds_are_those_of_the_types() {
    let kinds = |name| {
        prototype(Arch::X86_64, name).expect("known").params.iter().map(|p| p.kind).collect::<Vec<_>>()
    };
    use ParamKind::{Any, Fd, In, Number, Path, Pointer};
    assert_eq!(kinds("openat"), [Fd, Path, Number, Number]);
    assert_eq!(kinds("fcntl"), [Fd, Number, Any]);
    assert_eq!(kinds("write"), [Fd, In, Number]);
    assert_eq!(kinds("pipe2"), [Pointer, Number]);
    assert_eq!(kinds("mmap"), [Any, Number, Number, Number, Fd, Number]);
}
