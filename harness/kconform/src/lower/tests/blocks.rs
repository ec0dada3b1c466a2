//! Blocks, exceptions, requirements and times.

use kconform_abi::Arch;
use kconform_plan::Op;
use rstest::rstest;

use super::show::show;
use super::{case, cases, kernel, lowered, refused};
use crate::kernel::Kernel;
use crate::lower::{Chosen, lower};

#[test]
fn blocks() {
    let text = show(&lowered(
        "
- {dup: [0], save: fd1}
- fork: [{close: [$fd1]}, {fork: [{getpid: []}]}]
- exec: [{close: [$fd1], errno: EBADF}]
- unprivileged: [{getpid: []}]
- unprivileged: {capabilities: [CAP_NET_ADMIN, CAP_BPF], steps: [{getpid: []}]}
- parallel: [[{getpid: []}], [{gettid: []}, {close: [$fd1]}]]
- repeat: {times: 4, as: i, steps: [{dup2: [$fd1, $i], save: last}]}
- close: [$last]
- send_fd: {fd: $fd1, steps: [{close: [$fd]}]}
",
    ));
    insta::assert_snapshot!(text);
}

const SYSCTL: &str = "
cases:
  - name: test
    guest_only: true
    exclusive: true
    steps:
      - sysctl: {kernel.unprivileged_bpf_disabled: 0, steps: [{getpid: []}]}
";

#[test]
fn sysctls_are_set_in_guests_only() {
    let case = cases("test", SYSCTL).remove(0);
    let lowered = lower(&case, &kernel(Arch::X86_64), 1.0).expect("it can be lowered");
    let Op::Sysctl { settings, .. } = &lowered.plan.steps[0].op else { panic!("no sysctl block") };
    assert_eq!(settings[0].0, "kernel/unprivileged_bpf_disabled");

    let host = Kernel { host: true, ..kernel(Arch::X86_64) };
    let unmet = lower(&case, &host, 1.0).expect_err("never on the host");
    assert_eq!(unmet.reason, "not run on this machine's own kernel (guest_only)");
}

#[rstest]
#[case("- unprivileged: [{getpid: []}]", 0, Some("CAP_SETGID"))]
#[case("- unprivileged: [{getpid: []}]", 1 << 6, Some("CAP_SETUID"))]
#[case("- unprivileged: [{getpid: []}]", 3 << 6, None)]
#[case("- unprivileged: {capabilities: [CAP_BPF], steps: [{getpid: []}]}", 3 << 6 | 1 << 21, Some("CAP_BPF"))]
#[case("- unprivileged: {capabilities: [CAP_BPF], steps: [{getpid: []}]}", 3 << 6 | 1 << 39, None)]
fn dropping_capabilities_takes_capabilities(
    #[case] steps: &str,
    #[case] capabilities: u64,
    #[case] missing: Option<&str>,
) {
    let kernel = Kernel { capabilities, ..kernel(Arch::X86_64) };
    match missing {
        Some(name) => assert!(refused(steps, &kernel).contains(name)),
        None => drop(lower(&case(steps), &kernel, 1.0).expect("it can be lowered")),
    }
}

/// The step, whether the case ends after it, whether it still saves.
#[rstest]
#[case::own("errno: EPERM, when: {kernel: \"<5.0\"}", Chosen::Own, false, true)]
#[case::other("errno: EPERM, when: {kernel: \">=6.0\"}", Chosen::Except(0), true, false)]
#[case::success("ret: {min: 3}, when: {kernel: \">=6.0\"}", Chosen::Except(0), false, true)]
#[case::nothing_said("because: x, when: {kernel: \">=6.0\"}", Chosen::Except(0), false, true)]
fn exceptions(#[case] except: &str, #[case] chosen: Chosen, #[case] last: bool, #[case] saves: bool) {
    let lowered = lowered(&format!("- {{dup: [0], save: x, except: [{{{except}}}]}}\n- close: [$x]"));
    let Op::Call(call) = &lowered.plan.steps[0].op else { unreachable!() };
    assert_eq!(lowered.calls[&0].outcome, chosen);
    assert_eq!((!call.last.never(), !call.saves.is_empty()), (last, saves));
}

#[rstest]
#[case::another_errno("EINVAL", "EPERM", true)]
#[case::the_same("EINVAL", "EINVAL", false)]
#[case::success("EINVAL", "none", true)]
#[case::one_of_its_own("[EINVAL, EPERM]", "EPERM", false)]
#[case::perhaps_success("EINVAL", "[none, EINVAL]", true)]
#[case::perhaps_a_failure("none", "[none, EINVAL]", true)]
#[case::what_it_may_do_anyway("[EINVAL, none]", "EINVAL", false)]
fn exceptions_of_failures(#[case] own: &str, #[case] there: &str, #[case] last: bool) {
    let except = format!("{{errno: {there}, when: {{kernel: \">=6.0\"}}}}");
    let lowered = lowered(&format!("- {{dup: [0], errno: {own}, except: [{except}]}}\n- close: [0]"));
    let Op::Call(call) = &lowered.plan.steps[0].op else { unreachable!() };
    assert_eq!(!call.last.never(), last);
}

/// ENOSPC's buffer says how much it would have taken: a failed call may have written something worth keeping.
#[test]
fn a_call_that_fails_as_it_should_keeps_its_outputs() {
    let text = show(&lowered(
        "- {bpf: [BPF_OBJ_GET_INFO_BY_FD, {bpf_fd: 3, info: {out: 8}}], errno: EBADF, save: {n: info_len}}",
    ));
    assert!(text.contains("$0 = info_len"), "{text}");
}

#[test]
fn times_grow_by_the_targets_factor() {
    let case = case("- {getpid: [], eventually: 2}");
    let lowered = lower(&case, &kernel(Arch::X86_64), 2.5).expect("it can be lowered");
    let Op::Call(call) = &lowered.plan.steps[0].op else { unreachable!() };
    assert_eq!((lowered.plan.timeout_ms, call.eventually_ms), (25_000, Some(5_000)));
}
