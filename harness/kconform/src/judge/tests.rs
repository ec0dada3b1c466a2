//! What is said of observations, whatever the agent has met: those that no healthy agent and kernel give, too.

use std::sync::Arc;

use kconform_abi::Arch;
use rstest::rstest;

use kconform_plan::{ChildEnd, End, Facts, Observation, Record, RecordKind, SetSysctl, Trouble};

use crate::case::Case;
use crate::kernel::Kernel;
use crate::load::{SuiteFile, load};
use crate::lower::{Lowered, lower};
use crate::place::File;

use super::{Verdict, judge};

fn case(steps: &str) -> Case {
    let text = format!(
        "cases:\n  - name: test\n    guest_only: true\n    exclusive: true\n    timeout: 2\n    steps: {steps}\n"
    );
    let file = Arc::new(File { path: "s.yaml".into(), text });
    let mut loaded = load(&[SuiteFile { suite: "s".into(), file }]);
    assert_eq!(loaded.mistakes, []);
    loaded.cases.remove(0)
}

fn kernel(host: bool) -> Kernel {
    let facts = Facts { capabilities: u64::MAX, initial_user_namespace: true, ..Facts::default() };
    Kernel::new(Arch::X86_64, &facts, None, host)
}

fn lowered(case: &Case) -> Lowered {
    lower(case, &kernel(false), 1.0).expect("it can be lowered")
}

fn begun(step: u32) -> (u32, RecordKind) {
    (step, RecordKind::Begin { args: Vec::new(), slots: Vec::new() })
}

fn done(step: u32, ret: i64) -> (u32, RecordKind) {
    (step, RecordKind::Done { ret, outputs: Vec::new(), attempts: 1, call_ns: 0 })
}

fn trouble(step: u32, what: &str, errno: i32) -> (u32, RecordKind) {
    (step, RecordKind::Trouble(Trouble { what: what.into(), errno }))
}

fn child(step: u32, end: ChildEnd) -> (u32, RecordKind) {
    (step, RecordKind::Child(end))
}

fn seen(records: &[(u32, RecordKind)], end: End) -> Observation {
    let record = |(step, kind): &(u32, RecordKind)| Record {
        step: *step,
        iteration: Vec::new(),
        time_ns: 0,
        kind: kind.clone(),
    };
    Observation {
        records: records.iter().map(record).collect(),
        end,
        duration_ns: 0,
        kernel_log: Vec::new(),
        taint: None,
        left_behind: 0,
        lingers: false,
        unusual: false,
        dropped: 0,
    }
}

/// All that a verdict says.
fn told(verdict: &Verdict) -> String {
    let more = match verdict {
        Verdict::Failed(failure) | Verdict::TimedOut(failure) => {
            format!(
                "{}\n    where: {}\n    expected: {}\n    got: {}",
                failure.text,
                failure.place.text(),
                failure.expected,
                failure.got
            )
        }
        Verdict::Crashed { what, .. } => what.clone(),
        Verdict::Lost(why) => why.clone(),
        other => format!("{other:?}"),
    };
    format!("  {}: {more}\n", verdict.word())
}

/// What a case comes to with these records.
fn of(steps: &str, records: &[(u32, RecordKind)], end: End) -> String {
    let case = case(steps);
    format!("{steps}\n{}", told(&judge(&case, &lowered(&case), &seen(records, end), &kernel(false))))
}

/// What a case comes to whose sysctls cannot be set.
fn setting(end: End) -> String {
    let case = case(TWO);
    let set = |name: &str| SetSysctl { name: name.into(), value: "7".into() };
    let mut lowered = lowered(&case);
    lowered.plan.sysctls = vec![set("net.core.bpf_jit_harden"), set("kernel.pid_max")];
    told(&judge(&case, &lowered, &seen(&[], end), &kernel(false)))
}

/// The outcome of an `except` is that of the kernel as it is set for the case.
#[test]
fn conditions_are_of_the_kernel_as_it_is_set() {
    let text = "cases: [{name: x, known_issue: {when: {sysctl: {kernel.pid_max: 7}}, because: so}, steps: [{close: [7], errno: EBADF}]}]";
    let file = Arc::new(File { path: "s.yaml".into(), text: text.into() });
    let loaded = load(&[SuiteFile { suite: "s".into(), file }]);
    let case = &loaded.cases[0];
    let mut lowered = lowered(case);
    let seen = seen(&[begun(0), done(0, -9)], End::Finished);
    assert_eq!(judge(case, &lowered, &seen, &kernel(false)), Verdict::Passed);
    lowered.plan.sysctls = vec![SetSysctl { name: "kernel.pid_max".into(), value: "7".into() }];
    let because = "so".to_owned();
    assert_eq!(judge(case, &lowered, &seen, &kernel(false)), Verdict::UnexpectedPass { because });
}

const TWO: &str = "[{close: [7], errno: EBADF}, {getpid: []}]";
const FORK: &str = "[{fork: [{close: [7], errno: EBADF}]}]";

#[test]
fn ends() {
    let bad = -9;
    let all = [
        of(TWO, &[], End::NotStarted(12)),
        setting(End::NotSet { nth: 0, errno: 22 }),
        setting(End::NotSet { nth: 1, errno: 0 }),
        of(TWO, &[begun(0)], End::Exited(3)),
        of(TWO, &[begun(0)], End::Signaled(11)),
        of(TWO, &[begun(0)], End::Signaled(64)),
        of(TWO, &[begun(0)], End::TimedOut),
        of(TWO, &[begun(0), done(0, bad)], End::Exited(0)),
        of(TWO, &[begun(0), done(0, bad), begun(1), done(1, 5)], End::Signaled(9)),
        // Nothing in these says what happened.
        of(TWO, &[], End::Finished),
        of(FORK, &[], End::Exited(1)),
        of(FORK, &[begun(1), child(0, ChildEnd::Finished)], End::Finished),
        of(FORK, &[begun(1), child(0, ChildEnd::Signaled(9))], End::Finished),
        of("[{poke: [0, {u8: 1}], signal: SIGSEGV}]", &[begun(0)], End::Signaled(7)),
    ];
    insta::assert_snapshot!(all.concat());
}

#[test]
fn blocks_that_cannot_be_set_up() {
    let send = "[{dup: [0], save: made}, {send_fd: {fd: $made, steps: [{close: [$fd]}]}}]";
    let first = [begun(0), done(0, 5)];
    let all = [
        of(FORK, &[trouble(0, "fork", 11)], End::Finished),
        of(
            "[{sysctl: {kernel.pid_max: 9, steps: [{getpid: []}]}}]",
            &[trouble(0, "write /proc/sys/kernel/pid_max", 22)],
            End::Finished,
        ),
        of(send, &[&first[..], &[trouble(1, "sendmsg", 9)]].concat(), End::Finished),
        of(send, &[&first[..], &[trouble(1, "sendmsg", 12)]].concat(), End::Finished),
    ];
    insta::assert_snapshot!(all.concat());
}

/// A guest is set up as a case needs it; a board is somebody's, and who logs in need not be root.
#[rstest]
#[case::guest(true, 0, 1, "failed: the sysctl could not be set: write 9 to /proc/sys/kernel/pid_max: EPERM")]
#[case::another_user(
    false,
    1000,
    13,
    "skipped: Skipped(\"a sysctl cannot be set there (log in as root): write 9 to"
)]
#[case::read_only(
    false,
    0,
    30,
    "skipped: Skipped(\"a sysctl cannot be set there: write 9 to /proc/sys/kernel/pid_max: EROFS"
)]
#[case::none_such(false, 0, 2, "failed: the sysctl could not be set: write 9 to")]
#[case::no_value(false, 0, 22, "failed: the sysctl could not be set: write 9 to")]
fn a_sysctl_that_may_not_be_set(
    #[case] guest: bool,
    #[case] uid: u32,
    #[case] errno: i32,
    #[case] says: &str,
) {
    let case = case("[{sysctl: {kernel.pid_max: 9, steps: [{getpid: []}]}}]");
    let kernel = Kernel { guest, uid, ..kernel(false) };
    let seen = seen(&[trouble(0, "write 9 to /proc/sys/kernel/pid_max", errno)], End::Finished);
    let verdict = judge(&case, &lowered(&case), &seen, &kernel);
    assert!(told(&verdict).trim_start().starts_with(says), "{}", told(&verdict));
}

#[test]
fn returns() {
    let steps = "[{getpid: []}]";
    let all = [-1, -512, -4000].map(|ret| of(steps, &[begun(0), done(0, ret)], End::Finished));
    let ranges = ["{min: 5, max: 6}", "{min: 5}", "{max: 3}", "4"];
    let ranges = ranges.map(|ret| {
        of(&format!("[{{getpid: [], ret: {ret}}}]"), &[begun(0), done(0, 1 << 20)], End::Finished)
    });
    insta::assert_snapshot!(all.concat() + &ranges.concat());
}

/// What is expected has the name that the case gives it, what came the one that strace prints.
#[rstest]
#[case::badmsg("errno: EBADMSG", -117, "expected EBADMSG (74, Bad message), got EUCLEAN (117, Structure needs cleaning)")]
#[case::crc("errno: EFSBADCRC", -117, "expected EFSBADCRC (74, Bad message), got EUCLEAN (117, Structure needs cleaning)")]
#[case::corrupted("errno: [EFSCORRUPTED, none]", -74, "expected success or EFSCORRUPTED (117, Structure needs cleaning), got EBADMSG (74, Bad message)")]
#[case::again("errno: EWOULDBLOCK", -35, "expected EWOULDBLOCK (11, Resource temporarily unavailable), got EDEADLK (35, Resource deadlock avoided)")]
#[case::deadlock("errno: [EAGAIN, EDEADLOCK]", -95, "expected EAGAIN (11, Resource temporarily unavailable) or EDEADLOCK (35, Resource deadlock avoided), got EOPNOTSUPP (95, Operation not supported)")]
#[case::number("errno: 95", -11, "expected EOPNOTSUPP (95, Operation not supported), got EAGAIN (11, Resource temporarily unavailable)")]
#[case::notsup("errno: ENOTSUP", -524, "expected ENOTSUP (95, Operation not supported), got ENOTSUPP (524, leaked: user space must never see it)")]
#[case::signal("signal: SIGIOT", 1, "expected the process to be killed by SIGIOT, got success: 1")]
fn names(#[case] outcome: &str, #[case] ret: i64, #[case] told: &str) {
    let all = of(&format!("[{{getpid: [], {outcome}}}]"), &[begun(0), done(0, ret)], End::Finished);
    assert!(all.contains(&format!("failed: {told}\n")), "{all}");
}

/// The second name of what came is no other errno.
#[rstest]
#[case("EFSBADCRC", -74)]
#[case("EWOULDBLOCK", -11)]
fn a_second_name_is_the_same_errno(#[case] name: &str, #[case] ret: i64) {
    let all = of(&format!("[{{getpid: [], errno: {name}}}]"), &[begun(0), done(0, ret)], End::Finished);
    assert!(all.contains("  passed: "), "{all}");
}

/// Rounds of which nothing is kept went as expected; what is kept is judged as ever, and none may be missing beside them.
#[rstest]
#[case::all(&[0, 1, 8, 9], Some((2, 6)), 5, "  passed: ")]
#[case::the_first_are_gone(&[9], Some((0, 9)), 5, "  passed: ")]
#[case::a_hole(&[0, 1, 9], Some((2, 6)), 5, "  lost: step 2 was not reached")]
#[case::none_said(&[0, 1, 8, 9], None, 5, "  lost: step 2 was not reached")]
#[case::the_last_one_fails(&[0, 1, 8, 9], Some((2, 6)), -9, "  failed: expected success, got EBADF")]
fn rounds_that_are_not_kept(
    #[case] kept: &[u32],
    #[case] skipped: Option<(u32, u32)>,
    #[case] last: i64,
    #[case] told: &str,
) {
    let steps = "[{repeat: {times: 10, steps: [{getpid: []}]}}]";
    let case = case(steps);
    let mut seen = seen(&[], End::Finished);
    let mut add = |step, iteration: &[u32], kind| {
        seen.records.push(Record { step, iteration: iteration.to_vec(), time_ns: 0, kind });
    };
    if let Some((first, count)) = skipped {
        add(0, &[], RecordKind::Skipped { first, count });
    }
    for &round in kept {
        let ret = if round == 9 { last } else { 5 };
        add(1, &[round], begun(1).1);
        add(1, &[round], done(1, ret).1);
    }
    let lowered = lowered(&case);
    let all = self::told(&judge(&case, &lowered, &seen, &kernel(false)));
    assert!(all.starts_with(told), "{all}");
    // The last round is what is shown of many, here with those before it that are not kept.
    if kept == [9] {
        let lines = crate::strace::transcript(&case.steps, &lowered, &seen, None);
        assert_eq!(lines[0], "  repeat: rounds 0 to 8 went as expected");
    }
}

#[test]
fn harm_to_the_kernel() {
    let case = case("[{getpid: []}]");
    let with = |taint: u64, host: bool| {
        let fine = seen(&[begun(0), done(0, 5)], End::Finished);
        let seen = Observation { taint: Some((1, 1 | taint)), ..fine };
        let verdict = judge(&case, &lowered(&case), &seen, &kernel(host));
        format!("taint {taint:#x}{}\n{}", if host { " on the host" } else { "" }, told(&verdict))
    };
    let faults = [4, 5, 7, 9, 14, 12].map(|bit| with(1 << bit, false));
    insta::assert_snapshot!(faults.concat() + &with(1 << 9, true) + &with(1 << 12, true) + &with(0, false));
}

/// A plan that is not the case's, and records that are not all there, are the harness's own trouble.
#[test]
fn observations_that_make_no_sense() {
    let case = case("[{read: [0, {out: 4, as: x}, 4], expect: {x: {u32: 1}}}]");
    let judged = |lowered: &Lowered, seen: &Observation| told(&judge(&case, lowered, seen, &kernel(false)));
    let right = lowered(&case);
    let mut other = right.clone();
    other.plan.steps[0].index = 7;
    let mut nameless = right.clone();
    nameless.calls.get_mut(&0).expect("a call").expects.clear();
    let all = [
        judged(&other, &seen(&[begun(7), done(7, -1)], End::Finished)),
        judged(&other, &seen(&[begun(7)], End::Exited(1))),
        judged(&nameless, &seen(&[begun(0), done(0, 4)], End::Finished)),
        judged(&right, &Observation { dropped: 12, ..seen(&[begun(0)], End::Finished) }),
    ];
    insta::assert_snapshot!(all.concat());
}
