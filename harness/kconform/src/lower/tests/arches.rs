//! The same case on several architectures.

use std::path::PathBuf;

use kconform_abi::Arch;
use kconform_plan::{Call, Function, Op, Piece, Step, Value};
use proptest::prelude::*;
use rstest::rstest;

use super::show::show;
use super::{case, cases, kernel, lowered};
use crate::case::{self, Case, StepKind};
use crate::kernel::Kernel;
use crate::lower::lower;

/// The example of the case format.
const EXAMPLE: &str = include_str!("example.yaml");

#[rstest]
#[case(Arch::X86_64)]
#[case(Arch::Riscv64)]
#[case(Arch::S390x)]
fn the_formats_example(#[case] arch: Arch) {
    let shown = cases("bpf/map/array", EXAMPLE).into_iter().map(|case| {
        let lowered = lower(&case, &kernel(arch), 1.0).expect("it can be lowered");
        format!("{}\n{}", case.id, show(&lowered))
    });
    insta::assert_snapshot!(format!("example_{}", arch.name()), shown.collect::<Vec<_>>().join("\n"));
}

/// Names are put where the architecture has the argument; what is left out between is 0.
#[rstest]
#[case(Arch::X86_64, "clone: 17, 8, a0, 0, 9")]
#[case(Arch::Riscv64, "clone: 17, 8, a0, 9")]
#[case(Arch::Aarch64, "clone: 17, 8, a0, 9")]
#[case(Arch::S390x, "clone: 8, 17, a0, 0, 9")]
fn arguments_by_name(#[case] arch: Arch, #[case] expected: &str) {
    let case = case(
        "- {clone: {tls: 9, parent_tid: {out: 4}, flags: SIGCHLD, stack: 8}, expect: {parent_tidptr: 1}}",
    );
    let lowered = lower(&case, &kernel(arch), 1.0).expect("it can be lowered");
    let Op::Call(call) = &lowered.plan.steps[0].op else { panic!("no call") };
    let shown: Vec<String> = call
        .args
        .iter()
        .map(|arg| match arg {
            Value::Number(number) => number.to_string(),
            Value::Address(buffer) => format!("a{buffer}"),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(format!("clone: {}", shown.join(", ")), expected);
    assert_eq!(lowered.calls[&0].output_names, ["parent_tid"]);
}

/// Calls `change` with each call.
fn calls(steps: &mut [Step], change: &dyn Fn(&mut Call)) {
    for step in steps {
        match &mut step.op {
            Op::Call(call) => change(call),
            Op::Parallel(lists) => lists.iter_mut().for_each(|steps| calls(steps, change)),
            Op::Fork(steps)
            | Op::Exec(steps)
            | Op::Unprivileged { steps, .. }
            | Op::Repeat { steps, .. }
            | Op::SendFd { steps, .. }
            | Op::Sysctl { steps, .. } => calls(steps, change),
        }
    }
}

/// All cases of the project that can be read; that all can is a test of [`crate::load`].
fn the_suite() -> Vec<Case> {
    let cases = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../cases"));
    let files = crate::load::files::read(&cases, std::slice::from_ref(&cases)).expect("readable");
    crate::load::load(&files).cases
}

/// Whether a case says that something is otherwise on some architecture.
fn depends_on_the_arch(steps: &[case::Step]) -> bool {
    steps.iter().any(|step| match &step.kind {
        StepKind::Call(call) => call.except.iter().any(|except| !except.when.arch.is_empty()),
        block => block.blocks().iter().any(|steps| depends_on_the_arch(steps)),
    })
}

/// x86-64 and riscv64 share their byte order and (for what the cases use) all constants; what differs is the numbers of
/// the syscalls and where the kernel is.
#[test]
fn two_little_endian_plans_differ_in_what_the_abi_says_differs() {
    let names: Vec<&'static str> = kconform_abi::syscall_names().collect();
    let renumber = |call: &mut Call| {
        let Function::Syscall(x86) = call.function else { return };
        let name = names.iter().find(|name| Arch::X86_64.syscall(name) == Some(x86));
        let riscv = name.and_then(|name| Arch::Riscv64.syscall(name));
        call.function = Function::Syscall(riscv.unwrap_or(u64::MAX));
        let pieces = call.buffers.iter_mut().flat_map(|buffer| &mut buffer.overlays).map(|o| &mut o.piece);
        let [there, here] = [Arch::X86_64, Arch::Riscv64].map(Arch::kernel_address);
        for piece in pieces.filter(|piece| **piece == Piece::Bytes(there.to_le_bytes().to_vec())) {
            *piece = Piece::Bytes(here.to_le_bytes().to_vec());
        }
        for arg in call.args.iter_mut().filter(|arg| **arg == Value::Number(there)) {
            *arg = Value::Number(here);
        }
    };
    let mut compared = 0;
    for case in the_suite().iter().filter(|case| !depends_on_the_arch(&case.steps)) {
        let on = |arch: Arch| lower(case, &kernel(arch), 1.0).map(|lowered| lowered.plan);
        if let (Ok(mut x86), Ok(riscv)) = (on(Arch::X86_64), on(Arch::Riscv64)) {
            calls(&mut x86.steps, &renumber);
            // The only structure of the suite that x86-64 packs: __attribute__((packed)) in linux/eventpoll.h.
            if x86 != riscv && format!("{:?}", case.steps).contains("\"epoll_event\"") {
                continue;
            }
            assert_eq!(x86, riscv, "{}", case.id);
            compared += 1;
        }
    }
    assert!(compared > 100, "only {compared} cases were compared");
}

#[test]
fn lowering_twice_gives_the_same() {
    for case in the_suite() {
        for &arch in Arch::ALL {
            let [once, again] = [(), ()].map(|()| lower(&case, &kernel(arch), 2.0));
            assert_eq!(once, again, "{}", case.id);
        }
    }
}

#[test]
fn a_constant_has_the_value_of_its_architecture() {
    let open = "- openat: [AT_FDCWD, {str: /tmp}, O_DIRECTORY]";
    let flags = |arch| {
        let lowered = lower(&case(open), &kernel(arch), 1.0).expect("it can be lowered");
        let Op::Call(call) = &lowered.plan.steps[0].op else { unreachable!() };
        call.args[2]
    };
    assert_eq!(flags(Arch::X86_64), Value::Number(0o200000));
    assert_eq!(flags(Arch::Aarch64), Value::Number(0o40000));
}

/// What a case writes with PAGE_SIZE follows the kernel, in arguments, in sizes and in instructions.
#[rstest]
#[case(4096)]
#[case(16384)]
#[case(65536)]
fn the_size_of_a_page_is_the_kernels(#[case] page_size: u32) {
    let steps = "- mmap: [0x10000 + PAGE_SIZE, 2 * PAGE_SIZE, PROT_READ, MAP_PRIVATE, -1, 0]
- write: [1, {list: [{zero: PAGE_SIZE / 512}, {insns: [\"BPF_MOV64_IMM(BPF_REG_0, PAGE_SIZE - 16)\"]}]}, PAGE_SIZE]";
    let kernel = Kernel { page_size, ..kernel(Arch::X86_64) };
    let lowered = lower(&case(steps), &kernel, 1.0).expect("it can be lowered");
    let calls: Vec<_> = lowered
        .plan
        .steps
        .iter()
        .map(|step| {
            let Op::Call(call) = &step.op else { unreachable!() };
            call
        })
        .collect();
    let page = u64::from(page_size);
    assert_eq!(calls[0].args[..2], [Value::Number(0x10000 + page), Value::Number(2 * page)]);
    assert_eq!(calls[1].args[2], Value::Number(page));
    let bytes: Vec<u8> = calls[1].buffers[0]
        .pieces
        .iter()
        .flat_map(|piece| match piece {
            Piece::Bytes(bytes) => bytes.clone(),
            Piece::Zero(count) => vec![0; *count as usize],
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(bytes.len() as u64, page / 512 + 8);
    assert_eq!(bytes[bytes.len() - 4..], (page_size - 16).to_le_bytes());
}

/// Both halves of a 64-bit immediate follow it, also where it comes out negative.
#[test]
fn a_page_in_a_long_immediate_has_two_halves() {
    let bytes = |page_size| {
        let kernel = Kernel { page_size, ..kernel(Arch::X86_64) };
        let write = "- write: [1, {insns: [\"BPF_LD_IMM64(BPF_REG_1, PAGE_SIZE - 8192)\"]}, 16]";
        let lowered = lower(&case(write), &kernel, 1.0).expect("it can be lowered");
        let Op::Call(call) = &lowered.plan.steps[0].op else { unreachable!() };
        let [Piece::Bytes(bytes)] = &call.buffers[0].pieces[..] else { panic!("{:?}", call.buffers) };
        (bytes[4..8].to_vec(), bytes[12..16].to_vec())
    };
    assert_eq!(bytes(4096), ((-4096_i32).to_le_bytes().to_vec(), vec![0xff; 4]));
    assert_eq!(bytes(16384), (8192_i32.to_le_bytes().to_vec(), vec![0; 4]));
}

#[test]
fn arithmetic_with_what_an_architecture_lacks_is_refused() {
    let write = "- write: [1, {insns: [\"BPF_MOV64_IMM(BPF_REG_0, PAGE_SIZE + MAP_32BIT)\"]}, 8]";
    assert!(lower(&case(write), &kernel(Arch::X86_64), 1.0).is_ok());
    let reason = lower(&case(write), &kernel(Arch::Riscv64), 1.0).expect_err("it is not there").reason;
    assert_eq!(reason, "`PAGE_SIZE + MAP_32BIT` has no value on this kernel");
}

#[test]
fn a_case_can_ask_for_the_size_of_a_page() {
    let requires = crate::case::Requires { page_size: vec![4096, 65536], ..Default::default() };
    let of = |page_size| Kernel { page_size, ..kernel(Arch::Aarch64) }.meets(&requires);
    assert_eq!((of(4096), of(65536)), (Ok(()), Ok(())));
    let reason = of(16384).expect_err("another size").reason;
    assert_eq!(reason, "needs pages of 4096 or 65536 bytes, which are of 16384 here");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn big_endian_numbers_are_the_little_ones_backwards(
        numbers in proptest::collection::vec(any::<u32>(), 1..6),
        wide: u64,
    ) {
        let list = numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
        let step = format!("- getrandom: [{{list: [{{u32: [{list}]}}, {{u64: {wide}}}]}}, 4]");
        let bytes = |arch| {
            let lowered = lower(&case(&step), &kernel(arch), 1.0).expect("it can be lowered");
            let Op::Call(call) = &lowered.plan.steps[0].op else { unreachable!() };
            match call.buffers[0].pieces.as_slice() {
                [Piece::Bytes(bytes)] => bytes.clone(),
                other => panic!("{other:?}"),
            }
        };
        let (little, big) = (bytes(Arch::X86_64), bytes(Arch::S390x));
        let (words, last) = little.split_at(4 * numbers.len());
        let mut turned: Vec<u8> = words.chunks(4).flat_map(|word| word.iter().rev().copied()).collect();
        turned.extend(last.iter().rev());
        prop_assert_eq!(turned, big);
    }

    /// What only this kernel's CPUs make too large is refused before it is made.
    #[test]
    fn absurd_sizes_are_refused(size in 8192_u64..(256 << 10)) {
        let kernel = crate::kernel::Kernel { possible_cpus: 8192, ..kernel(Arch::X86_64) };
        let reason = super::refused(&format!("- getrandom: [{{percpu: {{out: {size}}}}}, 4]"), &kernel);
        prop_assert_eq!(&reason, "its buffers are too large on this kernel; the most is 32 MiB");
        let parts = "- write: [1, {times: [64, {percpu: {list: [{u8: 1}, {addr_of: {u8: 1}}]}}]}, 4]";
        prop_assert_eq!(super::refused(parts, &kernel), reason);
        let huge = size << 13;
        // An absurd size passed to bpf(2) is what a case may be about; memory does not follow it.
        let lowered = lowered(&format!("- {{bpf: [BPF_MAP_CREATE, {{map_type: 1}}, {huge}], errno: E2BIG}}"));
        let Op::Call(call) = &lowered.plan.steps[0].op else { unreachable!() };
        prop_assert_eq!(&call.buffers[0].pieces, &vec![Piece::Zero(1 << 20)]);
    }
}
