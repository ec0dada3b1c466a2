use kconform_abi::{Arch, Endian, capability, constant, errno, signal, syscall_known, syscall_names};
use rstest::rstest;

#[test]
fn an_architecture_is_known_by_its_names() {
    for &arch in Arch::ALL {
        assert_eq!(Arch::from_name(arch.name()), Some(arch));
        assert_eq!(arch.kernel_address() % 4096, 0);
        assert_eq!(arch.kernel_address() >> 63, 1);
        assert_eq!(arch.endian() == Endian::Big, arch == Arch::S390x);
    }
    assert_eq!(Arch::from_name("arm64"), Some(Arch::Aarch64));
    assert_eq!(Arch::from_name("amd64"), Some(Arch::X86_64));
    assert_eq!(Arch::from_name("vax"), None);
    assert_eq!(format!("{:>8}|", Arch::S390x), "   s390x|");
}

#[rstest]
#[case("bpf", [Some(321), Some(280), Some(280), Some(351)])]
#[case("openat", [Some(257), Some(56), Some(56), Some(288)])]
#[case("open", [Some(2), None, None, Some(5)])]
#[case("renameat", [Some(264), None, Some(38), Some(295)])]
#[case("newfstatat", [Some(262), Some(79), Some(79), Some(293)])]
#[case("fstatat", [None; 4])]
#[case("clock_gettime64", [None; 4])]
#[case("riscv_hwprobe", [None, Some(258), None, None])]
#[case("s390_pci_mmio_read", [None, None, None, Some(353)])]
#[case("mseal", [Some(462); 4])]
#[case("listns", [Some(470); 4])]
#[case("rseq_slice_yield", [Some(471); 4])]
#[case("no_such_call", [None; 4])]
fn a_syscall_has_its_number(#[case] name: &str, #[case] numbers: [Option<u64>; 4]) {
    let found: Vec<_> = Arch::ALL.iter().map(|arch| arch.syscall(name)).collect();
    assert_eq!(found, numbers);
}

#[test]
fn a_syscall_of_another_architecture_is_known() {
    for name in ["bpf", "riscv_flush_icache", "socketcall", "fstat64", "clock_gettime64"] {
        assert!(syscall_known(name), "{name}");
    }
    assert!(!syscall_known("opneat"));
    assert!(syscall_names().count() > 380);
}

#[rstest]
#[case("EPERM", 1)]
#[case("EINVAL", 22)]
#[case("EAGAIN", 11)]
#[case("EWOULDBLOCK", 11)]
#[case("EDEADLK", 35)]
#[case("EDEADLOCK", 35)]
#[case("EOPNOTSUPP", 95)]
#[case("ENOTSUP", 95)]
#[case("EBADMSG", 74)]
#[case("EFSBADCRC", 74)]
#[case("EUCLEAN", 117)]
#[case("EFSCORRUPTED", 117)]
#[case("EHWPOISON", 133)]
#[case("ERESTARTSYS", 512)]
#[case("ENOTSUPP", 524)]
fn an_errno_has_its_number(#[case] name: &str, #[case] number: i32) {
    assert_eq!(errno::number(name), Some(number));
    assert!(errno::names().any(|known| known == name));
    assert_eq!(errno::is_internal(number), number >= 512);
    assert!(errno::text(number).is_some());
}

#[test]
fn an_errnos_first_name_is_given_back() {
    assert_eq!(errno::name(11), Some("EAGAIN"));
    assert_eq!(errno::name(35), Some("EDEADLK"));
    assert_eq!(errno::name(74), Some("EBADMSG"));
    assert_eq!(errno::name(95), Some("EOPNOTSUPP"));
    assert_eq!(errno::name(117), Some("EUCLEAN"));
    assert_eq!(errno::name(524), Some("ENOTSUPP"));
    assert_eq!(errno::text(22), Some("Invalid argument"));
    for number in [-22, 0, 41, 200, 520] {
        assert_eq!(errno::name(number), None);
    }
    assert_eq!((1..=133).filter(|&number| errno::name(number).is_some()).count(), 131);
}

#[rstest]
#[case("SIGHUP", 1)]
#[case("SIGBUS", 7)]
#[case("SIGSYS", 31)]
#[case("SIGRTMIN", 32)]
#[case("SIGRT_1", 33)]
#[case("SIGRT_32", 64)]
fn a_signal_has_its_number(#[case] name: &str, #[case] number: i32) {
    assert_eq!(signal::number(name), Some(number));
    assert_eq!(signal::name(number), Some(name));
}

#[test]
fn signals_have_second_names() {
    assert_eq!(signal::number("SIGPOLL"), signal::number("SIGIO"));
    assert_eq!(signal::number("SIGIOT"), signal::number("SIGABRT"));
    assert_eq!(signal::number("SIGCLD"), signal::number("SIGCHLD"));
    assert_eq!(signal::number("SIGRTMAX"), Some(64));
    for name in ["SIGBUS", "SIGPOLL", "SIGRTMIN", "SIGRTMAX"] {
        assert!(signal::names().any(|known| known == name));
    }
    for name in ["BUS", "SIGRT_33", "SIGRT_", "SIGFOO"] {
        assert_eq!(signal::number(name), None);
    }
    for number in [i32::MIN, -1, 0, 65] {
        assert_eq!(signal::name(number), None);
    }
}

#[test]
fn signals_capabilities_and_errnos_agree_with_the_headers() {
    for arch in Arch::ALL.iter().copied() {
        for name in signal::names() {
            assert_eq!(constant(arch, name), signal::number(name).map(|n| n as u64), "{name}");
        }
        for (name, number) in capability::names().zip(0u32..) {
            assert_eq!(capability::number(name), Some(number));
            assert_eq!(capability::name(number), Some(name));
            assert_eq!(constant(arch, name), Some(number.into()), "{name}");
        }
        let last = constant(arch, "CAP_LAST_CAP").unwrap();
        assert_eq!(capability::names().count() as u64, last + 1);
        for name in errno::names().filter(|name| !errno::is_internal(errno::number(name).unwrap())) {
            assert_eq!(constant(arch, name), errno::number(name).map(|n| n as u64), "{name}");
        }
    }
}
