use kconform_abi::{Arch, HEADERS, constant, constant_known, constant_names};
use rstest::rstest;

#[rstest]
#[case("BPF_ANY", 0)]
#[case("BPF_MAP_TYPE_ARENA", 33)]
#[case("BPF_FUNC_map_lookup_elem", 1)]
#[case("BPF_REG_10", 10)]
#[case("BPF_ATOMIC", 0xc0)]
#[case("BPF_F_CURRENT_CPU", 0xffff_ffff)]
#[case("BTF_MAGIC", 0xeb9f)]
#[case("AT_FDCWD", -100_i64 as u64)]
#[case("AF_UNIX", 1)]
#[case("SOCK_CLOEXEC", 0o2000000)]
#[case("SO_ATTACH_BPF", 50)]
#[case("SOL_TCP", 6)]
#[case("F_GETFD", 1)]
#[case("FD_CLOEXEC", 1)]
#[case("S_IFREG", 0o100000)]
#[case("MAP_FAILED", u64::MAX)]
#[case("PERF_FLAG_FD_CLOEXEC", 8)]
#[case("PERF_EVENT_IOC_ENABLE", 0x2400)]
#[case("PERF_EVENT_IOC_SET_BPF", 0x40042408)]
#[case("TUNSETIFF", 0x400454ca)]
#[case("SECCOMP_RET_ALLOW", 0x7fff0000)]
#[case("RLIM_INFINITY", u64::MAX)]
#[case("UINT_MAX", u32::MAX.into())]
#[case("INT_MIN", i64::from(i32::MIN) as u64)]
#[case("SIGKILL", 9)]
#[case("CAP_BPF", 39)]
#[case("EINVAL", 22)]
#[case("EWOULDBLOCK", 11)]
#[case("SCM_RIGHTS", 1)]
#[case("P_PIDFD", 3)]
#[case("CLOCK_BOOTTIME", 7)]
#[case("XDP_REDIRECT", 4)]
#[case("TCA_BPF_FD", 6)]
#[case("EM_BPF", 247)]
#[case("TIOCGWINSZ", 0x5413)]
fn a_constant_is_the_same_everywhere(#[case] name: &str, #[case] value: u64) {
    for &arch in Arch::ALL {
        assert_eq!(constant(arch, name), Some(value), "{arch}");
    }
}

#[rstest]
#[case("O_DIRECTORY", [Some(0o200000), Some(0o200000), Some(0o40000), Some(0o200000)])]
#[case("O_DIRECT", [Some(0o40000), Some(0o40000), Some(0o200000), Some(0o40000)])]
#[case("O_LARGEFILE", [Some(0o100000), Some(0o100000), Some(0o400000), Some(0o100000)])]
#[case("MAP_32BIT", [Some(0x40), None, None, None])]
#[case("ARCH_SET_FS", [Some(0x1002), None, None, None])]
#[case("PROT_BTI", [None, None, Some(0x10), None])]
#[case("TCP_FLAG_SYN", [Some(0x200), Some(0x200), Some(0x200), Some(0x20000)])]
fn a_constant_differs_between_architectures(#[case] name: &str, #[case] values: [Option<u64>; 4]) {
    let found: Vec<_> = Arch::ALL.iter().map(|&arch| constant(arch, name)).collect();
    assert_eq!(found, values);
    assert!(constant_known(name));
}

#[test]
fn every_listed_constant_is_found() {
    // Fails when a table is not sorted, as binary search needs it.
    let mut names = 0;
    for name in constant_names() {
        assert!(constant_known(name), "{name}");
        names += 1;
    }
    assert!(names > 5000);
}

#[test]
fn what_is_no_constant_is_not_known() {
    for name in ["", "BPF_MAP_TYPE_ARAY", "bpf_any", "BPF_", "zzz", "__NR_bpf"] {
        assert!(!constant_known(name), "{name}");
    }
}

#[test]
fn the_headers_are_named() {
    assert!(HEADERS.split('.').all(|part| part.parse::<u32>().is_ok()), "{HEADERS}");
}
