//! What lowering refuses: what only a kernel's own types or constants bring about, and what reading case files comes before,
//! which is refused here once more since a plan that is wrong would be the agent's trouble.

use std::sync::Arc;

use kconform_abi::Arch;
use kconform_plan::{Refusal, Refuser};
use rstest::rstest;

use super::btf::knowing;
use super::{case, cases, kernel, refused};
use crate::case::{Arg, Attr, AttrField, Call, CallStep, Case, Expr, PieceKind, StepKind, Term, WantKind};
use crate::kernel::{Kernel, Unmet};
use crate::lower::lower;

fn refusal(case: &Case, kernel: &Kernel) -> String {
    let Unmet { reason } = lower(case, kernel, 1.0).expect_err("it cannot be lowered");
    format!("{reason}\n")
}

#[test]
fn of_right_cases() {
    let all = [
        // The kernel's structure is larger than what it is written into.
        "- bpf: [BPF_MAP_CREATE, {map_name: {struct: [s, {a: {u8: 1}}]}}]",
        "- write: [1, {u8: btf_id(func f)}, 1]",
    ];
    let told = all.map(|steps| format!("{steps}\n  {}", refusal(&case(steps), &knowing(Arch::X86_64))));
    insta::assert_snapshot!(told.concat());
}

fn call(case: &mut Case) -> &mut CallStep {
    match &mut case.steps[0].kind {
        StepKind::Call(call) => call,
        other => panic!("a block: {other:?}"),
    }
}

/// What kind of buffer the call's second argument points to.
fn buffer(case: &mut Case) -> &mut PieceKind {
    match &mut call(case).call {
        Call::Syscall { args, .. } => match &mut args[1].value {
            Arg::Buffer(piece) => &mut piece.kind,
            other => panic!("no buffer: {other:?}"),
        },
        other => panic!("no system call: {other:?}"),
    }
}

/// The first field of the attr.
fn field(case: &mut Case) -> &mut AttrField {
    match &mut call(case).call {
        Call::Bpf { attr: Attr::Fields(fields), .. } => &mut fields[0],
        other => panic!("no fields: {other:?}"),
    }
}

/// The field's buffer, which is written in place.
fn in_place(case: &mut Case) -> &mut PieceKind {
    match &mut field(case).value.value {
        Arg::Buffer(piece) => &mut piece.kind,
        other => panic!("no buffer: {other:?}"),
    }
}

/// A number that is written at the place of that buffer's own number.
fn number(kind: &PieceKind) -> Expr {
    match kind {
        PieceKind::Numbers { values, .. } => values[0].clone(),
        other => panic!("no number: {other:?}"),
    }
}

fn saved(expr: &mut Expr) {
    expr.terms = vec![Term::Saved("x".into())];
}

/// What is meant, the right steps that it is made of, and how.
type Row = (&'static str, &'static str, fn(&mut Case));

#[test]
fn of_cases_that_cannot_be_written() {
    let all: &[Row] = &[
        ("- close: [$x | $y]", "- close: [4]", |case| {
            let Call::Syscall { args, .. } = &mut call(case).call else { panic!() };
            let Arg::Expr(expr) = &mut args[0].value else { panic!() };
            expr.text = "$x | $y".into();
            expr.terms = ["x", "y"].map(|name| Term::Saved(name.into())).into();
        }),
        ("- write: [1, {zero: $x}, 1]", "- write: [1, {zero: 4}, 1]", |case| {
            let PieceKind::Zero(count) = buffer(case) else { panic!() };
            count.text = "$x".into();
            saved(count);
        }),
        ("- write: [1, 5, 1]", "- write: [1, {u8: 5}, 1]", |case| {
            *buffer(case) = PieceKind::Number(number(buffer(case)))
        }),
        ("- write: [1, {percpu: {bytes: $x}}, 1]", "- write: [1, {percpu: {u32: 5}}, 1]", |case| {
            let PieceKind::PercpuAll(piece) = buffer(case) else { panic!() };
            piece.kind = PieceKind::Saved("x".into());
        }),
        ("- bpf: [BPF_MAP_CREATE, {\"@72\": 5}]", "- bpf: [BPF_MAP_CREATE, {\"@72\": {u8: 5}}]", |case| {
            let expr = number(in_place(case));
            field(case).value.value = Arg::Expr(expr);
        }),
        (
            "- bpf: [BPF_MAP_CREATE, {\"@72\": {bytes: $x}}]",
            "- bpf: [BPF_MAP_CREATE, {\"@72\": {u8: 5}}]",
            |case| {
                *in_place(case) = PieceKind::Saved("x".into());
            },
        ),
        (
            "- bpf: [BPF_MAP_CREATE, {map_type: 0x100000000}]",
            "- bpf: [BPF_MAP_CREATE, {map_type: 1}]",
            |case| {
                let Arg::Expr(expr) = &mut field(case).value.value else { panic!() };
                expr.terms = vec![Term::Number(1 << 32)];
            },
        ),
        (
            "- {read: [0, {out: 8}, 8], expect: {gone: {u64: 1}}}",
            "- {read: [0, {out: 8}, 8], expect: {arg1: {u64: 1}}}",
            |case| {
                call(case).outcome.expect[0].0.value = "gone".into();
            },
        ),
        (
            "- {read: [0, {out: 8}, 8], expect: {arg1: {addr_of: [{u64: 1}]}}}",
            "- {read: [0, {out: 8}, 8], expect: {arg1: {u64: 1}}}",
            |case| {
                let WantKind::Exactly(piece) = &mut call(case).outcome.expect[0].1.kind else { panic!() };
                piece.kind = PieceKind::AddrOf(vec![piece.clone()]);
            },
        ),
    ];
    let mut told = String::new();
    for (meant, right, change) in all {
        let mut case = case(right);
        change(&mut case);
        told.push_str(&format!("{meant}\n  {}", refusal(&case, &knowing(Arch::X86_64))));
    }
    insta::assert_snapshot!(told);
}

/// Whatever lets a case through to the host's own kernel, its sysctls are left alone.
#[test]
fn of_sysctls_on_the_host() {
    let text = "cases:\n  - name: test\n    guest_only: true\n    exclusive: true\n    steps:\n      - sysctl: {kernel.pid_max: 9, steps: [{getpid: []}]}\n";
    let mut case = cases("test", text).remove(0);
    case.guest_only = false;
    let host = Kernel { host: true, ..knowing(Arch::X86_64) };
    assert_eq!(refusal(&case, &host), "sysctls are not changed on this machine's own kernel\n");
}

#[test]
fn an_argument_that_the_architecture_lacks() {
    let steps = "- mmap: {addr: 0, len: 4096, prot: PROT_READ, flags: MAP_PRIVATE | MAP_ANONYMOUS, fd: -1}";
    assert_eq!(refused(steps, &kernel(Arch::S390x)), "mmap has no argument addr on s390x");
    let arg = "- {mmap: {arg: {zero: 48}}, errno: EINVAL}";
    assert_eq!(refused(arg, &kernel(Arch::X86_64)), "mmap has no argument arg on x86_64");
}

/// Also when the call stands in a block; other calls are let through.
#[rstest]
#[case::a_kernel_without_it(Refuser::Kernel, Some(38), "this kernel has no bpf(2): ENOSYS")]
#[case::selinux(
    Refuser::SecurityModule,
    Some(13),
    "bpf(2) is refused by a security module here: EACCES (change its policy, or run a guest)"
)]
fn of_what_is_refused_before_the_kernel_looks(
    #[case] by: Refuser,
    #[case] errno: Option<i32>,
    #[case] reason: &str,
) {
    let call = Arch::X86_64.syscall("bpf").expect("a system call");
    let kernel = Kernel { refusals: Arc::new([Refusal { call, errno, by }]), ..kernel(Arch::X86_64) };
    for steps in ["- {bpf: [99, {}, 8], errno: EINVAL}", "- fork: [{bpf: [99, {}, 8], errno: EINVAL}]"] {
        assert_eq!(refused(steps, &kernel), reason);
    }
    assert!(lower(&case("- close: [0]"), &kernel, 1.0).is_ok());
}
