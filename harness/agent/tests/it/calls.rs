//! Calls: what they are given, what they return, what is recorded of them.

use kconform_plan::{
    End, Function, Output, Overlay, Piece, RecordKind, Region, Ret, Save, Saved, Source, Value, Want,
};
use rstest::rstest;

use crate::agent::{Agent, run};
use crate::plans::*;

#[test]
fn two_calls_are_recorded_as_they_happened() {
    let seen =
        run(vec![syscall(libc::SYS_dup, &[n(0)]).save(3), syscall(libc::SYS_close, &[slot(3)])]).clean();
    assert_eq!(seen.rets(), [(0, 3), (1, 0)]);
    assert_eq!(
        seen.0.records[2].kind,
        RecordKind::Begin { args: vec![3], slots: vec![(3, Saved::Number(3))] }
    );
}

#[test]
fn a_case_begins_with_null_at_fds_0_to_2_and_no_other() {
    let fd = |nth: i64| syscall(libc::SYS_fcntl, &[n(nth), n(libc::F_GETFD.into())]);
    let others = repeat(
        200,
        Some(0),
        vec![syscall(libc::SYS_fcntl, &[Value::Slot(0, 256), n(libc::F_GETFD.into())]).errno(libc::EBADF)],
    );
    let rest = (3..20).map(|nth| fd(nth).errno(libc::EBADF));
    run((0..3).map(|nth| fd(nth).ret(0)).chain(rest).chain([others]).collect()).clean();
}

#[test]
fn a_failing_call_keeps_its_exact_errno() {
    let seen = run(vec![syscall(libc::SYS_close, &[n(-1)]).errno(libc::EBADF)]).clean();
    assert_eq!(seen.rets(), [(0, -i64::from(libc::EBADF))]);
    let seen = run(vec![syscall(100_000, &[]).errno(libc::ENOSYS)]).clean();
    assert_eq!(seen.rets(), [(0, -i64::from(libc::ENOSYS))]);
}

#[test]
fn a_surprise_ends_the_case() {
    let seen = run(vec![getpid().errno(libc::EPERM), getpid()]);
    assert_eq!(seen.0.end, End::Finished);
    assert_eq!(seen.rets().len(), 1);
}

#[test]
fn an_outcome_that_others_do_not_follow_ends_the_case() {
    let seen = run(vec![getpid().with(|c| c.last.success = true), getpid()]).clean();
    assert_eq!(seen.rets().len(), 1);
}

#[test]
fn a_call_that_may_fail_ends_the_case_where_others_follow_its_success() {
    let either = |fd| {
        syscall(libc::SYS_dup, &[n(fd)]).with(|c| {
            c.expect.ret = Ret::Either { success: Box::new(Ret::Success), errnos: vec![libc::EBADF] };
            c.last.errnos = vec![libc::EBADF];
        })
    };
    assert_eq!(run(vec![either(0), getpid()]).clean().rets().len(), 2);
    assert_eq!(run(vec![either(99), getpid()]).clean().rets().len(), 1);
}

#[test]
fn outputs_are_what_memory_holds_after_the_call() {
    let (flags, pieces) = (n(libc::O_CLOEXEC.into()), vec![Piece::Zero(4), Piece::Zero(4)]);
    let pipe = syscall(libc::SYS_pipe2, &[Value::Address(0), flags]).buffer(pieces).with(|c| {
        c.outputs.push(Output { buffer: 0, region: Region::Pieces { first: 1, count: 1 } });
        c.outputs.push(Output { buffer: 0, region: Region::Range { offset: 0, length: 4 } });
        c.saves.push(Save { slot: 1, from: Source::Output(0) });
        c.saves.push(Save { slot: 0, from: Source::Output(1) });
    });
    let hello = vec![Piece::Bytes(b"hello".to_vec())];
    let write =
        syscall(libc::SYS_write, &[slot(1), Value::Address(0), Value::Length(0, 1)]).buffer(hello.clone());
    let read = syscall(libc::SYS_read, &[slot(0), Value::Address(0), n(16)])
        .buffer(vec![Piece::Zero(16)])
        .output(0)
        .expect(0, Want::Prefix(hello))
        .ret(5);
    let seen = run(vec![pipe, write, read]).clean();
    assert_eq!(seen.outputs(0), [4_i32.to_ne_bytes(), 3_i32.to_ne_bytes()]);
    assert_eq!(seen.outputs(2)[0], b"hello\0\0\0\0\0\0\0\0\0\0\0");
}

#[test]
fn buffers_point_to_each_other_and_take_overlays_and_saved_values() {
    let address = |buffer| Piece::Value { value: Value::Address(buffer), width: 8, shift: 0 };
    let length = |buffer| Piece::Value { value: Value::Length(buffer, 1), width: 8, shift: 0 };
    let file = syscall(libc::SYS_memfd_create, &[Value::Address(0), n(0)]).buffer(vec![text("x")]).save(0);
    let writev = syscall(libc::SYS_writev, &[slot(0), Value::Address(0), Value::Length(0, 16)])
        .buffer(vec![address(1), length(1), address(2), length(2)])
        .buffer(vec![Piece::Bytes(b"abcdef".to_vec())])
        .buffer(vec![Piece::Decimal(0), Piece::Bytes(b"-".to_vec()), Piece::Saved(0)])
        .with(|c| {
            let piece = Piece::Bytes(b"XY".to_vec());
            c.buffers[1].overlays.push(Overlay { offset: 5, piece });
        })
        .ret(7 + 2 + 8);
    let read = syscall(libc::SYS_pread64, &[slot(0), Value::Address(0), n(32), n(0)])
        .buffer(vec![Piece::Zero(32)])
        .output(0)
        .ret(17);
    let seen = run(vec![file, writev, read]).clean();
    let expected = [b"abcdeXY3-".as_slice(), &3_u64.to_ne_bytes(), &[0; 15]].concat();
    assert_eq!(seen.outputs(2), [expected]);
}

#[rstest]
#[case(Value::Unmapped)]
#[case(Value::Number(0))]
fn bad_addresses_are_bad(#[case] address: Value) {
    run(vec![syscall(libc::SYS_uname, &[address]).errno(libc::EFAULT)]).clean();
}

#[test]
fn read_only_memory_can_be_read_but_not_written() {
    let null = open("/dev/null", libc::O_RDWR, 0);
    let write = syscall(libc::SYS_write, &[slot(0), Value::ReadOnly, n(9000)]).ret(9000);
    let uname = syscall(libc::SYS_uname, &[Value::ReadOnly]).errno(libc::EFAULT);
    run(vec![null, write, uname]).clean();
}

#[test]
fn peek_and_poke_reach_the_memory_that_the_case_mapped() {
    let poke = call(Function::Poke, &[slot(0)]).buffer(vec![Piece::Bytes(vec![1, 2, 3, 4])]).ret(4);
    let peek = call(Function::Peek, &[slot(0), n(8)]).buffer(vec![Piece::Zero(8)]).output(0).ret(8);
    let seen = run(vec![mmap(4096, 0), poke, peek]).clean();
    assert_eq!(seen.outputs(2), [[1, 2, 3, 4, 0, 0, 0, 0]]);
}

#[test]
fn a_step_that_runs_again_finds_its_buffers_at_the_same_place_and_made_anew() {
    let uname = syscall(libc::SYS_uname, &[Value::Address(0)])
        .buffer(vec![Piece::Zero(600)])
        .buffer(vec![Piece::Zero(8)])
        .output(0)
        .with(|c| c.expect.ret = Ret::Exactly(n(0)));
    let seen = run(vec![repeat(3, None, vec![uname])]).clean();
    let args: Vec<_> = seen
        .0
        .records
        .iter()
        .filter_map(|r| match &r.kind {
            RecordKind::Begin { args, .. } => Some((args[0], r.iteration.clone())),
            _ => None,
        })
        .collect();
    assert_eq!(args.iter().map(|a| a.1[0]).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(args.iter().all(|a| a.0 == args[0].0 && a.0 % 8 == 0));
}

#[test]
fn eventually_tries_until_it_holds_or_the_time_is_over() {
    // A pipe's end that fills up: the write succeeds 16 times, then fails with EAGAIN.
    let flags = n(libc::O_NONBLOCK.into());
    let pipe = syscall(libc::SYS_pipe2, &[Value::Address(0), flags]).buffer(vec![Piece::Zero(8)]).with(|c| {
        c.outputs.push(Output { buffer: 0, region: Region::Range { offset: 4, length: 4 } });
        c.saves.push(Save { slot: 0, from: Source::Output(0) });
    });
    let fill = syscall(libc::SYS_write, &[slot(0), Value::Address(0), n(4096)])
        .buffer(vec![Piece::Zero(4096)])
        .errno(libc::EAGAIN)
        .with(|c| c.eventually_ms = Some(20_000));
    let never = getpid().errno(libc::EPERM).with(|c| c.eventually_ms = Some(30));
    let seen = run(vec![pipe, fill, never]);
    let attempts: Vec<_> = seen
        .0
        .records
        .iter()
        .filter_map(|r| match r.kind {
            RecordKind::Done { attempts, .. } => Some(attempts),
            _ => None,
        })
        .collect();
    assert_eq!(attempts[..2], [1, 17]);
    assert!(attempts[2] > 3);
}

#[test]
fn a_value_that_was_never_saved_is_trouble() {
    let seen = run(vec![syscall(libc::SYS_close, &[slot(5)]), getpid()]);
    assert_eq!(seen.troubles()[0].1.errno, libc::ENODATA);
    assert_eq!(seen.rets(), []);
}

#[test]
fn forks_by_name_leave_the_case_alone() {
    let vm = libc::CLONE_VM | libc::CLONE_VFORK;
    let mut agent = Agent::start();
    let x86 = agent.facts.machine == "x86_64";
    let mut steps = vec![clone(vm), clone(0), clone(libc::CLONE_VM), getpid()];
    #[cfg(target_arch = "x86_64")]
    if x86 {
        steps.extend([syscall(libc::SYS_fork, &[]), syscall(libc::SYS_vfork, &[]), getpid()]);
    }
    let word = |value| Piece::Value { value, width: 8, shift: 0 };
    steps.push(syscall(libc::SYS_clone3, &[Value::Address(0), n(64)]).buffer(vec![
        word(n(libc::CLONE_VFORK.into())),
        Piece::Zero(24),
        word(n(17)),
        Piece::Zero(24),
    ]));
    let count = steps.len();
    let seen = agent.run(steps);
    assert_eq!((seen.0.end, seen.rets().len()), (End::Finished, count), "{seen:#?}");
    assert_eq!(seen.0.left_behind, if x86 { 3 } else { 2 });
}
