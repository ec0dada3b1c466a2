//! What a case asks of the kernel's own types.

use std::sync::Arc;

use kconform_abi::Arch;
use kconform_plan::{BtfAnswer, BtfQuery, BtfWant};
use rstest::rstest;

use super::show::show;
use super::{case, kernel, refused};
use crate::kernel::Kernel;
use crate::lower::lower;

const FUNC: u8 = 12;
const STRUCT: u8 = 4;

/// A kernel with a function f, and struct s { char a; …; long b; } of 24 bytes with a bit field c.
pub(super) fn knowing(arch: Arch) -> Kernel {
    let of = |kind, name: &str, want| BtfQuery { kind, name: name.into(), want };
    let offset = |member: &str| of(STRUCT, "s", BtfWant::Offset(member.into()));
    let answers = [
        (of(FUNC, "f", BtfWant::Id), BtfAnswer::Number(0x1234)),
        (of(FUNC, "g", BtfWant::Id), BtfAnswer::NoType),
        (of(STRUCT, "s", BtfWant::Id), BtfAnswer::Number(7)),
        (of(STRUCT, "s", BtfWant::Size), BtfAnswer::Number(24)),
        (of(STRUCT, "s", BtfWant::Index("b".into())), BtfAnswer::Number(1)),
        (offset("a"), BtfAnswer::Number(0)),
        (offset("b"), BtfAnswer::Number(8)),
        (offset("c"), BtfAnswer::BitField),
        (offset("far"), BtfAnswer::Number(0x8000)),
        (offset("gone"), BtfAnswer::NoMember),
        (of(STRUCT, "t", BtfWant::Id), BtfAnswer::NoBtf),
    ];
    Kernel { btf: Arc::new(answers.into()), ..kernel(arch) }
}

fn shown(steps: &str, arch: Arch) -> String {
    show(&lower(&case(steps), &knowing(arch), 1.0).expect("it can be lowered"))
}

#[test]
fn numbers_of_the_kernel_stand_where_numbers_do() {
    let steps = [
        "- bpf: [BPF_PROG_LOAD, {attach_btf_id: btf_id(func f), expected_attach_type: \"btf_index(struct s, b)\"}]",
        "- write: [1, {list: [{u32: btf_id(struct s)}, {zero: btf_size(struct s)}, {u16: 0x100 | btf_id(struct s)}]}, 1]",
        "- write: [1, {insns: [\"BPF_MOV64_IMM(BPF_REG_0, btf_id(func f))\", \"BPF_LDX_MEM(BPF_DW, BPF_REG_0, BPF_REG_1, btf_offset(struct s, b))\"]}, 1]",
        "- write: [1, {struct: [s, {b: {u32: [1, 2]}, a: {u8: 9}}]}, 1]",
        "- {read: [1, {struct: [s, {b: {out: 8, as: b}}]}, 1], expect: {b: {u64: 3}}}",
    ];
    let both = [Arch::X86_64, Arch::S390x].map(|arch| shown(&steps.join("\n"), arch));
    insta::assert_snapshot!(both.join("\n"));
}

#[rstest]
#[case("- close: [btf_id(func g)]", "needs func g in the kernel's BTF")]
#[case("- close: [btf_id(struct t)]", "needs the kernel's BTF (/sys/kernel/btf/vmlinux)")]
#[case("- close: [\"btf_offset(struct s, gone)\"]", "needs a gone in struct s of the kernel's BTF")]
#[case("- close: [\"btf_offset(struct s, c)\"]", "needs a c in struct s that begins at a byte")]
#[case(
    "- write: [1, {insns: [\"BPF_LDX_MEM(BPF_DW, BPF_REG_0, BPF_REG_1, btf_offset(struct s, far))\"]}, 1]",
    "no instruction can have an offset of 32768 bytes"
)]
#[case(
    "- write: [1, {struct: [s, {a: {zero: 9}, b: {u64: 1}}]}, 1]",
    "struct s has no room for this (test.yaml:4:51)"
)]
#[case("- write: [1, {struct: [s, {b: {zero: 17}}]}, 1]", "struct s has no room for this (test.yaml:4:20)")]
fn what_a_kernel_lacks_is_said(#[case] step: &str, #[case] reason: &str) {
    assert_eq!(refused(step, &knowing(Arch::X86_64)), reason);
}

#[test]
fn a_case_says_what_it_asks() {
    let case = case("- close: [btf_id(func f)]\n- write: [1, {struct: [s, {b: {u64: btf_id(func f)}}]}, 1]");
    let asked: Vec<_> = case.btf.iter().map(|query| (query.name.as_str(), &query.want)).collect();
    assert_eq!(asked, [("f", &BtfWant::Id), ("s", &BtfWant::Size), ("s", &BtfWant::Offset("b".into()))]);
}
