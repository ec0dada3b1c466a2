//! Blocks: children, images, threads, repetitions.

use kconform_plan::{
    ChildEnd, End, Function, Op, Output, Piece, RecordKind, Region, Save, Saved, Source, Step, Value, Want,
};
use rstest::rstest;

use crate::agent::{Agent, elsewhere, privileged, run};
use crate::plans::*;

#[test]
fn a_forked_child_inherits_everything_and_keeps_its_own() {
    let dup = || syscall(libc::SYS_dup, &[n(0)]);
    let seen = run(vec![
        dup().save(0),
        fork(vec![syscall(libc::SYS_close, &[slot(0)]), getpid().save(1), getpid().save(0)]),
        syscall(libc::SYS_close, &[slot(0)]),
        syscall(libc::SYS_close, &[slot(1)]),
    ]);
    assert_eq!(seen.children(), [(1, ChildEnd::Finished)]);
    // What the child saved in slot 1 stayed there.
    assert_eq!(seen.troubles()[0].0, 6);
    assert_eq!(seen.rets().last(), Some(&(5, 0)));
}

#[test]
fn a_surprise_in_a_child_ends_its_parents_too() {
    let seen = run(vec![fork(vec![fork(vec![getpid().errno(libc::EPERM), getpid()]), getpid()]), getpid()]);
    assert_eq!(seen.children(), [(1, ChildEnd::Surprised), (0, ChildEnd::Surprised)]);
    assert_eq!((seen.rets().len(), seen.0.end), (1, End::Finished));
}

#[test]
fn a_last_step_in_a_child_ends_the_case_well() {
    let seen =
        run(vec![fork(vec![exec(vec![getpid().with(|c| c.last.success = true), getpid()])]), getpid()])
            .clean();
    assert_eq!(seen.children(), [(1, ChildEnd::Finished), (0, ChildEnd::Finished)]);
    assert_eq!(seen.begun(), [2]);
}

#[rstest]
#[case(fork)]
#[case(exec)]
fn a_child_that_ends_before_its_last_step_has_not_finished(#[case] block: fn(Vec<Step>) -> Step) {
    let seen = run(vec![block(vec![exit_group(0), getpid()]), getpid()]);
    assert_eq!(seen.children(), [(0, ChildEnd::Exited(0))]);
    assert_eq!((seen.begun(), seen.rets(), seen.0.end), (vec![1], vec![], End::Finished));
    let seen = run(vec![block(vec![exit_group(0)]), getpid()]);
    assert_eq!(seen.children(), [(0, ChildEnd::Exited(0))]);
}

#[rstest]
#[case(fork)]
#[case(exec)]
fn the_expected_signal_goes_on_and_any_other_does_not(#[case] block: fn(Vec<Step>) -> Step) {
    let kill = |signal, expected| {
        let [pid, kill] = kill_itself(signal);
        run(vec![block(vec![pid, kill.signal(expected)]), getpid()])
    };
    let seen = kill(libc::SIGBUS, libc::SIGBUS).clean();
    assert_eq!((seen.children(), seen.begun()), (vec![(0, ChildEnd::Signaled(libc::SIGBUS))], vec![1, 2, 3]));
    let seen = kill(libc::SIGTERM, libc::SIGBUS);
    assert_eq!((seen.children(), seen.begun()), (vec![(0, ChildEnd::Signaled(libc::SIGTERM))], vec![1, 2]));
    // A call that should have killed and came back is a surprise.
    let seen = run(vec![block(vec![getpid().signal(libc::SIGBUS)]), getpid()]);
    assert_eq!((seen.children(), seen.begun()), (vec![(0, ChildEnd::Surprised)], vec![1]));
}

#[test]
fn a_signal_before_the_step_that_expects_it_is_a_surprise() {
    let [pid, kill] = kill_itself(libc::SIGSEGV);
    let seen = run(vec![fork(vec![pid, kill, getpid().signal(libc::SIGSEGV)]), getpid()]);
    assert_eq!((seen.children(), seen.begun()), (vec![(0, ChildEnd::Signaled(libc::SIGSEGV))], vec![1, 2]));
}

#[test]
fn an_image_sees_exactly_the_fds_that_survive_exec() {
    let flags = |fd: Value| syscall(libc::SYS_fcntl, &[fd, n(libc::F_GETFD.into())]);
    let list = open("/proc/self/fd", libc::O_RDONLY | libc::O_DIRECTORY, 2);
    // Three of stdio, `.`, `..`, the kept one and this listing itself: 24 bytes each.
    let entries =
        syscall(libc::SYS_getdents64, &[slot(2), Value::Address(0), n(4096)]).buffer(vec![Piece::Zero(4096)]);
    let seen = run(vec![
        open("/dev/null", libc::O_RDONLY, 0),
        open("/dev/null", libc::O_RDONLY | libc::O_CLOEXEC, 1),
        exec(vec![
            flags(slot(0)).ret(0),
            flags(slot(1)).errno(libc::EBADF),
            list,
            entries.ret(7 * 24),
            exec(vec![flags(slot(0)).ret(0)]),
        ]),
        flags(slot(1)).ret(libc::FD_CLOEXEC.into()),
    ])
    .clean();
    assert_eq!(seen.children(), [(7, ChildEnd::Finished), (2, ChildEnd::Finished)]);
}

#[test]
fn an_image_runs_with_all_fds_closed() {
    let close = syscall(libc::SYS_close_range, &[n(0), n(u32::MAX.into()), n(0)]);
    let dup = || syscall(libc::SYS_dup, &[n(0)]).errno(libc::EBADF);
    let seen = run(vec![close, dup(), exec(vec![dup(), fork(vec![dup()])]), dup()]).clean();
    assert_eq!(seen.begun(), [0, 1, 3, 5, 6]);
}

#[test]
fn an_images_memory_is_fresh_and_its_counts_go_on() {
    let peek = call(Function::Peek, &[slot(0), n(1)]).buffer(vec![Piece::Zero(1)]);
    let step = exec(vec![peek.signal(libc::SIGSEGV)]);
    let seen = run(vec![mmap(4096, 0), repeat(2, Some(1), vec![step])]).clean();
    let iterations: Vec<_> = seen.0.records[2..].iter().map(|r| (r.step, r.iteration.clone())).collect();
    assert_eq!(iterations, [(3, vec![0]), (2, vec![0]), (3, vec![1]), (2, vec![1])]);
}

/// The effective capabilities in slot `to` of the calling process, both halves.
fn capget() -> Step {
    let header = [Piece::Value { value: n(0x2008_0522), width: 4, shift: 0 }, Piece::Zero(4)];
    syscall(libc::SYS_capget, &[Value::Address(0), Value::Address(1)])
        .buffer(header.to_vec())
        .buffer(vec![Piece::Zero(24)])
        .output(1)
}

#[test]
fn unprivileged_steps_have_the_capabilities_that_are_left_to_them() {
    if !privileged() {
        return;
    }
    const NET_RAW: u64 = 1 << 13;
    let drop = |capabilities, steps| op(Op::Unprivileged { capabilities, steps });
    let get = |number, want| syscall(number, &[]).ret(want);
    let seen = run(vec![
        drop(0, vec![get(libc::SYS_getuid, 65534), get(libc::SYS_getegid, 65534), capget()]),
        drop(
            NET_RAW,
            vec![
                capget(),
                exec(vec![capget(), get(libc::SYS_geteuid, 65534)]),
                syscall(libc::SYS_getgroups, &[n(0), n(0)]).ret(0),
            ],
        ),
        get(libc::SYS_getuid, 0),
    ])
    .clean();
    let half = |bits: u32| [bits.to_ne_bytes(); 3].concat();
    assert_eq!(seen.outputs(3), [vec![0; 24]]);
    let kept = [half(NET_RAW as u32), half(0)].concat();
    assert_eq!((seen.outputs(5), seen.outputs(7)), (vec![kept.clone()], vec![kept]));
}

#[test]
fn an_unprivileged_child_may_write_to_the_working_directory() {
    if privileged() {
        let create = open("file", libc::O_CREAT | libc::O_WRONLY, 0);
        run(vec![op(Op::Unprivileged { capabilities: 0, steps: vec![create] })]).clean();
    }
}

#[test]
fn threads_have_their_own_values_and_one_process() {
    let thread = |value: i64| {
        vec![
            syscall(libc::SYS_dup, &[n(0)]).save(0),
            syscall(libc::SYS_close, &[slot(0)]),
            syscall(libc::SYS_getpgid, &[n(value)]).save(1),
        ]
    };
    let seen = run(vec![
        op(Op::Parallel(vec![thread(0), thread(0), vec![fork(vec![getpid()])], vec![exec(vec![getpid()])]])),
        syscall(libc::SYS_close, &[slot(0)]),
    ]);
    assert_eq!((seen.rets().len(), seen.children().len(), seen.troubles().len()), (8, 2, 1), "{seen:#?}");
}

#[test]
fn a_surprise_in_one_thread_ends_the_case_when_the_others_have_finished_their_step() {
    let short = || {
        sleep(0).with(|c| c.buffers[0].pieces[1] = Piece::Value { value: n(50_000_000), width: 8, shift: 0 })
    };
    let seen = run(vec![
        op(Op::Parallel(vec![vec![getpid().errno(libc::EPERM), getpid()], vec![short(), getpid()]])),
        getpid(),
    ]);
    assert_eq!(seen.0.end, End::Finished);
    assert!(!seen.begun().contains(&2) && !seen.begun().contains(&5), "{seen:#?}");
    assert_eq!(seen.begun().len(), seen.rets().len());
}

#[test]
fn repetitions_count_and_share_what_they_save() {
    let dup2 = syscall(libc::SYS_dup3, &[n(0), Value::Slot(1, 32), n(0)]).save(2);
    let seen = run(vec![
        repeat(3, Some(1), vec![dup2, repeat(2, None, vec![getpid()])]),
        syscall(libc::SYS_close, &[slot(2)]),
        repeat(0, None, vec![getpid()]),
    ])
    .clean();
    let last = seen.0.records.iter().rev().find(|r| r.step == 3).map(|r| r.iteration.clone());
    assert_eq!(last, Some(vec![2, 1]));
    assert_eq!(seen.rets().last(), Some(&(4, 0)));
    let slots: Vec<_> = seen
        .0
        .records
        .iter()
        .filter_map(|r| match &r.kind {
            RecordKind::Begin { slots, .. } if r.step == 1 => Some(slots.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(slots, [0, 1, 2].map(|count| vec![(1, Saved::Number(count))]));
}

/// So often that all rounds would be too much to keep.
const OFTEN: i64 = 100_000;

/// The first rounds are there, the last one is whole, and what is between is counted; in a child as well, whose parent waits.
#[rstest]
#[case::itself(0, |steps| repeat(OFTEN, Some(1), steps))]
#[case::in_a_child(1, |steps| fork(vec![repeat(OFTEN, Some(1), steps)]))]
#[case::of_children(0, |steps| repeat(OFTEN / 50, Some(1), vec![fork(vec![repeat(50, None, steps)])]))]
fn of_many_rounds_the_first_and_the_last_are_kept(#[case] index: u32, #[case] block: fn(Vec<Step>) -> Step) {
    let seen = run(vec![block(vec![getpid(), getpid()]), getpid()]).clean();
    assert!(seen.0.records.len() < 80_000, "{} records", seen.0.records.len());
    let skipped: Vec<_> = seen
        .0
        .records
        .iter()
        .filter_map(|r| match r.kind {
            RecordKind::Skipped { first, count } if r.step == index => Some((first, count)),
            _ => None,
        })
        .collect();
    let [(first, count)] = skipped[..] else { panic!("{skipped:?}") };
    let inside = || seen.0.records.iter().filter(|r| r.step > index && !r.iteration.is_empty());
    let rounds: std::collections::BTreeSet<u32> = inside().map(|r| r.iteration[0]).collect();
    let last = *rounds.last().expect("some are kept");
    let expected: Vec<u32> = (0..first).chain(first + count..=last).collect();
    assert_eq!(rounds.into_iter().collect::<Vec<_>>(), expected);
    assert!(first > 50 && [OFTEN as u32, OFTEN as u32 / 50].contains(&(last + 1)), "{first} {last}");
    // The step behind it ran.
    assert!(matches!(seen.0.records.last().map(|r| &r.kind), Some(RecordKind::Done { .. })));
}

/// What comes after a round that surprises is told as ever.
#[test]
fn a_surprise_after_many_rounds_is_kept() {
    // Nothing is from 50001 to 50000.
    let close = syscall(libc::SYS_close_range, &[slot(1), n(50_000), n(0)]);
    let seen = run(vec![repeat(OFTEN, Some(1), vec![getpid(), close]), getpid()]);
    assert_eq!(seen.0.dropped, 0);
    assert_eq!(seen.rets().last(), Some(&(2, -i64::from(libc::EINVAL))));
    assert_eq!(seen.0.records.last().map(|r| r.iteration.clone()), Some(vec![50_001]));
}

/// Threads write at the same time: what finds no room is counted.
#[test]
fn threads_that_go_on_for_long_are_bounded() {
    let thread = || vec![repeat(OFTEN, None, vec![getpid()])];
    let seen = run(vec![op(Op::Parallel(vec![thread(), thread()]))]);
    assert!(seen.0.dropped > 0 && seen.0.records.len() < 140_000, "{}", seen.0.records.len());
}

#[test]
fn a_sent_fd_arrives_alone() {
    let pipe = syscall(libc::SYS_pipe2, &[Value::Address(0), n(0)]).buffer(vec![Piece::Zero(8)]).with(|c| {
        for (slot, offset) in [(0, 0), (1, 4)] {
            c.saves.push(Save { slot, from: Source::Output(slot) });
            c.outputs.push(Output { buffer: 0, region: Region::Range { offset, length: 4 } });
        }
    });
    let hi = || vec![Piece::Bytes(b"hi".to_vec())];
    let write = syscall(libc::SYS_write, &[slot(2), Value::Address(0), n(2)]).buffer(hi());
    let free = |fd: i64| syscall(libc::SYS_fcntl, &[n(fd), n(libc::F_GETFD.into())]).errno(libc::EBADF);
    let read = syscall(libc::SYS_read, &[slot(0), Value::Address(0), n(2)])
        .buffer(vec![Piece::Zero(2)])
        .output(0)
        .expect(0, Want::Bytes(hi()));
    let steps = vec![write, free(5), free(6), free(7)];
    let seen = run(vec![
        pipe,
        op(Op::SendFd { fd: slot(1), slot: 2, steps }),
        read,
        op(Op::SendFd { fd: n(77), slot: 2, steps: vec![getpid()] }),
    ]);
    assert_eq!(seen.children(), [(1, ChildEnd::Finished)], "{seen:#?}");
    let troubles = seen.troubles();
    assert!(troubles.iter().any(|(step, t)| *step == 7 && t.errno == libc::EBADF), "{troubles:?}");
}

/// A sysctl that hurts nobody.
const SYSCTL: &str = "kernel/panic_on_warn";

fn sysctl() -> String {
    std::fs::read_to_string(format!("/proc/sys/{SYSCTL}")).unwrap_or_default()
}

#[test]
fn sysctls_are_put_back_whatever_happens() {
    if !privileged()
        || elsewhere().is_some()
        || std::fs::write(format!("/proc/sys/{SYSCTL}"), sysctl()).is_err()
    {
        return;
    }
    let before = sysctl();
    let set = |value, steps| op(Op::Sysctl { settings: vec![(SYSCTL.into(), n(value))], steps });
    let mut agent = Agent::start();
    let path = format!("/proc/sys/{SYSCTL}");
    let read = |want: &str| {
        syscall(libc::SYS_read, &[slot(0), Value::Address(0), n(2)])
            .buffer(vec![Piece::Zero(2)])
            .output(0)
            .expect(0, Want::Bytes(vec![Piece::Bytes(format!("{want}\n").into_bytes())]))
    };
    let inside = vec![open(&path, libc::O_RDONLY, 0), read("1")];
    agent.run(vec![set(1, inside), open(&path, libc::O_RDONLY, 0), read(before.trim())]).clean();
    let [pid, kill] = kill_itself(libc::SIGKILL);
    assert_eq!(agent.run(vec![set(1, vec![pid, kill])]).0.end, End::Signaled(libc::SIGKILL));
    assert_eq!(sysctl(), before);
    assert_eq!(agent.run_within(100, vec![exec(vec![set(1, vec![sleep(100)])])]).0.end, End::TimedOut);
    assert_eq!(sysctl(), before);
    let missing = op(Op::Sysctl { settings: vec![("no/such".into(), n(1))], steps: vec![getpid()] });
    assert_eq!(agent.run(vec![missing]).troubles()[0].1.errno, libc::ENOENT);
}
