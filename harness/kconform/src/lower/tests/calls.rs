//! Arguments, memory, outputs and expectations of single calls.

use kconform_abi::Arch;
use rstest::rstest;

use super::show::show;
use super::{kernel, lowered, refused};

/// What a call becomes, without the line on the whole plan.
fn shown(steps: &str) -> String {
    let text = show(&lowered(steps));
    text.split_once('\n').map_or(String::new(), |(_, rest)| rest.to_owned())
}

#[test]
fn arguments() {
    let all = [
        "- dup3: [-1, 7, O_CLOEXEC | 1]",
        "- getrandom: [null, 1]",
        "- getrandom: [unmapped, 1]",
        "- getrandom: [readonly, 1]",
        "- getrandom: [kernel, 1]",
        "- {getrandom: [{out: 8}, 8], expect: {arg0: {not: {zero: 8}}}}",
        "- {getrandom: [{out: 8, as: id}, 8], expect: {id: {min: 1}}}",
        "- write: [1, {list: [{u8: 1}, {u16: [2, 3]}, {i32: -1}, {u64: 4}]}]",
        "- write: [1, {str: GPL}]",
        "- write: [1, {hex: \"de ad\"}]",
        "- write: [1, {zero: 16}]",
        "- write: [1, {fill: [0xff, 3]}]",
        "- write: [1, {percpu: {u32: 7}}]",
        "- write: [1, {percpu: [{u32: 7}]}]",
        "- {read: [1, {percpu: {out: 12}, as: x}], expect: {x: {percpu: {hex: 010203040506070809101112}}}}",
        "- {read: [1, {percpu: {out: 4}, as: x}], expect: {x: {percpu: [{u32: 1}]}}}",
        "- write: [1, {times: [3, {u16: 1}]}]",
        "- write: [1, {times: [2, {list: [{u8: 1}, {addr_of: [{str: x}]}]}]}]",
        "- {readv: [1, {list: [{addr_of: [{out: 4, as: a}, {out: 2, as: b}]}, {u64: 6}]}, 1], \
           expect: {b: {u16: 1}, a: 5}}",
        "- {read: [0, {list: [{u8: 1}, {out: 4, as: n}, {out: 4, as: m}]}, 9], expect: {m: -1, arg1: {prefix: {u8: 1}}}}",
    ];
    insta::assert_snapshot!(all.map(shown).join("\n"));
}

#[test]
fn attrs() {
    let all = [
        // The size that the command takes, zeros where nothing is written; negative numbers wrap.
        "- bpf: [BPF_MAP_DELETE_ELEM, {map_fd: -1, key: {u32: 0}}]",
        // Names in place.
        "- bpf: [BPF_MAP_CREATE, {map_type: 1, map_name: {str: x}}]",
        "- bpf: [BPF_MAP_CREATE, {map_name: {fill: [0x61, 16]}}]",
        // Bytes at offsets, which the attr grows for.
        "- bpf: [BPF_MAP_DELETE_ELEM, {map_fd: 3, \"@200\": {u8: 1}}]",
        "- {bpf: [BPF_MAP_DELETE_ELEM, {\"@30\": {list: [{u8: 1}, {u16: 2, as: x}]}}], expect: {x: 3}}",
        // A size that is written, smaller or larger than what the command takes.
        "- bpf: [BPF_MAP_DELETE_ELEM, {map_fd: 3}, 4]",
        "- bpf: [BPF_MAP_DELETE_ELEM, {map_fd: 3}, 300]",
        "- bpf: [BPF_MAP_DELETE_ELEM, {map_fd: 3, \"@200\": {u8: 1}}, 8]",
        // No attr at all, a command that nobody knows.
        "- bpf: [BPF_MAP_DELETE_ELEM, null]",
        "- bpf: [BPF_MAP_DELETE_ELEM, unmapped, 8]",
        "- bpf: [999, {\"@4\": {u32: 1}}]",
        "- bpf: [999, {}, 16]",
        "- bpf: [BPF_MAP_DELETE_ELEM, {list: [{u32: 3}, {u32: 0}]}]",
        // Pointers to nothing usable.
        "- bpf: [BPF_MAP_LOOKUP_ELEM, {map_fd: 3, key: unmapped, value: null}]",
        // Fields that the kernel writes back.
        "- {bpf: [BPF_MAP_GET_NEXT_ID, {start_id: 0}], expect: {next_id: {min: 1}}, save: {id: next_id}}",
    ];
    insta::assert_snapshot!(all.map(shown).join("\n"));
}

#[rstest]
#[case::insns("BPF_PROG_LOAD", "insns: {insns: [\"BPF_EXIT_INSN()\", \"BPF_LD_IMM64(BPF_REG_0, 1)\"]}", 4, 3)]
#[case::written_zero("BPF_PROG_LOAD", "insns: {insns: [\"BPF_EXIT_INSN()\"]}, insn_cnt: 0", 4, 0)]
#[case::over_written("BPF_PROG_LOAD", "insns: {insns: [\"BPF_EXIT_INSN()\"]}, \"@4\": {u32: 9}", 4, 9)]
#[case::log("BPF_PROG_LOAD", "log_buf: {out: 100}", 28, 100)]
#[case::records("BPF_PROG_LOAD", "func_info_rec_size: 8, func_info: {zero: 24}", 88, 3)]
#[case::records_of_no_size("BPF_PROG_LOAD", "func_info: {zero: 24}", 88, 0)]
#[case::data_in("BPF_PROG_TEST_RUN", "data_in: {zero: 14}", 8, 14)]
#[case::data_out("BPF_PROG_TEST_RUN", "data_out: {out: 15}", 12, 15)]
#[case::info("BPF_OBJ_GET_INFO_BY_FD", "info: {out: 80}", 4, 80)]
#[case::btf("BPF_BTF_LOAD", "btf: {zero: 24}", 16, 24)]
#[case::nothing_behind_it("BPF_PROG_LOAD", "log_buf: unmapped", 28, 0)]
fn sizes_are_computed_unless_written(
    #[case] command: &str,
    #[case] fields: &str,
    #[case] offset: usize,
    #[case] expected: u32,
) {
    let lowered = lowered(&format!("- bpf: [{command}, {{{fields}}}]"));
    let kconform_plan::Op::Call(call) = &lowered.plan.steps[0].op else { unreachable!() };
    let attr = call.buffers.iter().find(|buffer| !buffer.overlays.is_empty()).expect("an attr");
    let mut bytes = [0; 200];
    for overlay in &attr.overlays {
        if let kconform_plan::Piece::Bytes(over) = &overlay.piece {
            bytes[overlay.offset as usize..][..over.len()].copy_from_slice(over);
        }
    }
    assert_eq!(bytes[offset..offset + 4], expected.to_le_bytes());
}

#[test]
fn saved_values() {
    let text = shown(
        "
- {bpf: [BPF_MAP_CREATE, {map_type: 2, key_size: 4, value_size: 8, max_entries: 1}], save: map}
- {getrandom: [{out: 3, as: three}, 3], save: {three: three}}
- fcntl: [$map, F_GETFD]
- bpf: [BPF_MAP_UPDATE_ELEM, {map_fd: $map, key: {u32: 0}, value: {bytes: $three}, flags: $map | BPF_ANY | 4}]
- openat: [AT_FDCWD, {str: /proc/self/fdinfo/$map}, O_RDONLY]
- bpf: [BPF_PROG_LOAD, {insns: {insns: [\"BPF_LD_MAP_FD(BPF_REG_1, $map)\", \"BPF_LD_IMM64(BPF_REG_2, $map)\"]}}]
- {bpf: [BPF_OBJ_GET_INFO_BY_FD, {bpf_fd: $map, info: {bytes: $three}}], expect: {info: {bytes: $three}, info_len: $map}}
",
    );
    insta::assert_snapshot!(text);
}

#[test]
fn outcomes() {
    let all = [
        "- {close: [9], errno: [EBADF, EINTR]}",
        "- {close: [9], errno: none}",
        "- {getpid: [], ret: 7}",
        "- {close: [9], errno: [EBADF, none]}",
        "- {close: [9], errno: [none, EBADF], ret: 0}",
        "- {close: [9], errno: none, ret: 0}",
        "- {close: [9], errno: EBADF, except: {when: {kernel: \">=1\"}, errno: [none, EINTR, EBADF]}}",
        "- {getpid: [], ret: {min: -1, max: 7}}",
        "- {getrandom: [{out: 4}, 4], expect: {arg0: {min: -5, max: 7}}}",
        "- {getrandom: [{out: 4}, 4], expect: {arg0: {min: 0xffffffff}}}",
        "- {getrandom: [{out: 4}, 4], expect: {arg0: {max: AT_FDCWD}}}",
        "- {getrandom: [{out: 64}, 4], expect: {arg0: {contains: R0 !read_ok}}}",
        "- {getrandom: [{out: 64}, 4], expect: {arg0: {contains: {str: x}}}}",
        "- {getrandom: [{out: 64}, 4], expect: {arg0: {prefix: \"x\"}}}",
        "- {getrandom: [{out: 4}, 4], expect: {arg0: {any: [1, {u32: 2}, {not: 3}]}}}",
        "- {getrandom: [{out: 8}, 4], eventually: 2, expect: {arg0: {str: exactly}}}",
        "- {peek: [0x1000, 8], expect: {data: 5}}",
        "- {poke: [0x1000, {u64: 5}], signal: SIGSEGV}",
        "- poke: [0x1000, {list: [{addr_of: [{str: x}]}, {u8: 1}]}]",
    ];
    insta::assert_snapshot!(all.map(shown).join("\n"));
}

#[rstest]
#[case("- fork: [{getpid: []}]", None)]
#[case("- arch_prctl: [0]", Some("the system call arch_prctl does not exist on riscv64"))]
#[case("- mmap: [0, 1, 1, MAP_32BIT]", Some("the constant MAP_32BIT does not exist on riscv64"))]
#[case("- open: [{str: x}]", Some("the system call open does not exist on riscv64"))]
fn what_an_architecture_lacks_is_unmet(#[case] steps: &str, #[case] reason: Option<&str>) {
    match reason {
        Some(reason) => assert_eq!(refused(steps, &kernel(Arch::Riscv64)), reason),
        None => drop(lowered(steps)),
    }
}
