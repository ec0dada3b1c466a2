//! Structures of the uapi headers, as each architecture lays them out.

use kconform_abi::Arch;
use rstest::rstest;

use super::show::show;
use super::{case, kernel, refused};
use crate::case::{Arg, Call, PieceKind, StepKind};
use crate::lower::lower;

const STRUCTURES: &[&str] = &[
    // Numbers of their own widths, wherever they are; negative ones wrap.
    "- {openat2: [-1, {str: x}, {struct: [open_how, {resolve: RESOLVE_BENEATH, flags: -1}]}, sizeof(struct open_how)], \
     errno: EINVAL}",
    "- epoll_ctl: [3, EPOLL_CTL_ADD, 4, {struct: [epoll_event, {data: 0x1122334455667788, events: EPOLLIN}]}]",
    // A member that is elsewhere and of another width on each.
    "- {newfstatat: [3, {str: x}, {struct: [stat, {st_nlink: {as: links}, st_size: {as: size}}]}], \
     expect: {links: 1, size: 2}}",
    "- write: [3, {u32: sizeof(struct stat)}, sizeof(struct epoll_event)]",
    // Bits: on a big-endian machine the first ones are the highest.
    "- perf_event_open: [{struct: [perf_event_attr, {type: 1, disabled: 1, precise_ip: 2, exclude_kernel: 1, config: 7}]}]",
    "- write: [3, {struct: [bpf_insn, {code: 0xb7, dst_reg: 1, src_reg: 2, imm: -1}]}]",
    "- write: [3, {struct: [iphdr, {version: 4, ihl: 5, protocol: IPPROTO_TCP}]}]",
    // Pointers, arrays and members of members, with what is left of them.
    "- writev: [3, {struct: [iovec, {iov_len: 2, iov_base: {addr_of: {str: x}}}]}, 1]",
    "- writev: [3, {struct: [iovec, {iov_len: 2, iov_base: unmapped}]}, 1]",
    "- bind: [3, {struct: [sockaddr_un, {sun_family: AF_UNIX, sun_path: {str: x}}]}, 110]",
    "- timerfd_settime: [3, 0, {struct: [itimerspec, {it_value: {struct: [timespec, {tv_nsec: 5}]}, it_interval.tv_sec: 6}]}]",
    "- {read: [3, {struct: [sockaddr_in, {sin_port: {hex: 1f90}, sin_addr: {out: 4, as: a}, __pad: {as: pad}}]}, 16], \
     expect: {a: 1, pad: {zero: 8}}}",
    // Several, and the sizes of what is expected.
    "- {read: [3, {times: [2, {struct: [timespec, {tv_sec: 1}]}]}, 32], \
     expect: {arg1: {list: [{struct: [timespec, {}]}, {struct: [timespec, {tv_nsec: 9}]}]}}}",
];

#[rstest]
#[case(Arch::X86_64)]
#[case(Arch::Riscv64)]
#[case(Arch::Aarch64)]
#[case(Arch::S390x)]
fn structures(#[case] arch: Arch) {
    let shown = STRUCTURES.iter().map(|steps| {
        let text = show(&lower(&case(steps), &kernel(arch), 1.0).expect("it can be lowered"));
        text.split_once('\n').map_or(String::new(), |(_, rest)| rest.to_owned())
    });
    insta::assert_snapshot!(format!("uapi_{}", arch.name()), shown.collect::<Vec<_>>().join("\n"));
}

#[test]
fn what_an_architecture_lacks() {
    let restorer = "- {rt_sigaction: [SIGUSR1, {struct: [sigaction, {sa_restorer: null}]}, null, 8]}";
    let told = refused(restorer, &kernel(Arch::Riscv64));
    assert_eq!(told, "struct sigaction has no member sa_restorer on riscv64");
    let offset = "- {write: [1, {zero: \"offsetof(struct sigaction, sa_restorer)\"}]}";
    let told = refused(offset, &kernel(Arch::Riscv64));
    assert!(
        told.starts_with("`offsetof(struct sigaction, sa_restorer)` is not there on riscv64 ("),
        "{told}"
    );
}

/// What only one architecture has room for.
#[test]
fn what_has_no_room_there() {
    let wide = "- {newfstatat: [3, {str: x}, {struct: [stat, {st_nlink: {times: [8, {u8: 1}]}}]}]}";
    assert!(lower(&case(wide), &kernel(Arch::X86_64), 1.0).is_ok());
    let told = refused(wide, &kernel(Arch::Riscv64));
    assert_eq!(told, "struct stat has no room for this on riscv64 (test.yaml:4:63)");
    let number = "- {newfstatat: [3, {str: x}, {struct: [stat, {st_nlink: 0x100000000}]}]}";
    let told = refused(number, &kernel(Arch::Riscv64));
    assert!(told.starts_with("`0x100000000` does not fit in 4 bytes ("), "{told}");
}

/// Reading files comes before: the tables have a structure on all architectures or on none.
#[test]
fn what_no_table_has() {
    let mut case = case("- write: [3, {struct: [timespec, {}]}]");
    let StepKind::Call(call) = &mut case.steps[0].kind else { panic!("a block") };
    let Call::Syscall { args, .. } = &mut call.call else { panic!("no system call") };
    let Arg::Buffer(piece) = &mut args[1].value else { panic!("no buffer") };
    piece.kind = PieceKind::Uapi { structure: "nothing".into(), members: Vec::new() };
    let told = lower(&case, &kernel(Arch::X86_64), 1.0).expect_err("it cannot be lowered");
    assert_eq!(told.reason, "there is no struct nothing on x86_64");
}
