//! What a case does to itself costs that case alone, and nothing that is known of it.

use kconform_plan::{End, Function, Op, Piece, Value};
use rstest::rstest;

use crate::agent::{Agent, elsewhere, run};
use crate::plans::*;

#[rstest]
#[case(libc::SIGKILL)]
#[case(libc::SIGSEGV)]
#[case(libc::SIGPIPE)]
#[case(libc::SIGHUP)]
#[case(libc::SIGRTMIN())]
fn a_case_that_kills_itself_is_seen_to_its_last_call(#[case] signal: i32) {
    let mut agent = Agent::start();
    let seen = agent.run(kill_itself(signal).into());
    assert_eq!((seen.0.end, seen.begun(), seen.rets().len()), (End::Signaled(signal), vec![0, 1], 1));
    agent.run(vec![getpid()]).clean();
}

#[test]
fn an_exit_before_the_last_step_is_no_good_end() {
    let seen = run(vec![getpid(), exit_group(0), getpid()]);
    assert_eq!((seen.0.end, seen.begun()), (End::Exited(0), vec![0, 1]));
    assert_eq!(run(vec![exit_group(3)]).0.end, End::Exited(3));
}

#[test]
fn the_time_of_a_case_is_limited_wherever_it_spends_it() {
    let mut agent = Agent::start();
    for steps in [
        vec![sleep(1000)],
        vec![fork(vec![sleep(1000)])],
        vec![exec(vec![getpid(), sleep(1000)])],
        vec![op(Op::Parallel(vec![vec![sleep(1000)], vec![getpid()]]))],
        vec![getpid().errno(libc::EPERM).with(|c| c.eventually_ms = Some(1_000_000))],
        kill_itself(libc::SIGSTOP).into(),
    ] {
        let calls = steps.len();
        let seen = agent.run_within(150, steps);
        assert_eq!(seen.0.end, End::TimedOut, "{seen:#?}");
        assert!(!seen.begun().is_empty() && calls > 0, "{seen:#?}");
        assert!((150_000_000..5_000_000_000).contains(&seen.0.duration_ns));
    }
    agent.run(vec![getpid()]).clean();
}

#[test]
fn a_case_cannot_end_an_agent_that_is_pid_1() {
    if !crate::agent::privileged() {
        return;
    }
    let mut agent = Agent::start();
    let kill = |signal: i32| syscall(libc::SYS_kill, &[slot(0), n(signal.into())]);
    let signals = [libc::SIGKILL, libc::SIGTERM, libc::SIGHUP, libc::SIGSTOP].map(kill);
    let seen =
        agent.run([syscall(libc::SYS_getppid, &[]).ret(1).save(0)].into_iter().chain(signals).collect());
    assert_eq!(seen.clean().rets().len(), 5);
    agent.run(vec![getpid()]).clean();
}

#[test]
fn closing_every_fd_loses_nothing() {
    let seen = run(vec![syscall(libc::SYS_close_range, &[n(0), n(u32::MAX.into()), n(0)]), getpid()]).clean();
    assert_eq!(seen.rets().len(), 2);
}

#[test]
fn memory_runs_out_with_an_errno_and_the_case_goes_on() {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE;
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    let populate = [0, 16 << 20, prot.into(), flags.into(), -1, 0].map(n);
    // Until the limit is hit, and beyond, down to single pages.
    let eat = |length: i64| {
        syscall(libc::SYS_mmap, &[populate[0], n(length), populate[2], populate[3], populate[4], populate[5]])
            .errno(libc::ENOMEM)
            .with(|c| c.eventually_ms = Some(60_000))
    };
    let mut agent = Agent::start();
    if elsewhere().is_some() {
        // A guest has no such limit: there the kernel kills the case, and nobody else.
        let seen =
            agent.run_within(60_000, vec![repeat(1000, None, vec![syscall(libc::SYS_mmap, &populate)])]);
        assert_eq!(seen.0.end, End::Signaled(libc::SIGKILL));
        assert!(seen.rets().len() > 4 && !seen.0.kernel_log.is_empty());
        agent.run(vec![getpid()]).clean();
        return;
    }
    let seen = agent
        .run_within(
            60_000,
            vec![
                repeat(62, None, vec![syscall(libc::SYS_mmap, &populate)]),
                eat(16 << 20),
                eat(1 << 20),
                eat(4096),
                getpid(),
                fork(vec![exec(vec![getpid()])]),
                repeat(2000, None, vec![getpid()]),
            ],
        )
        .clean();
    assert_eq!(seen.rets().len(), 62 + 3 + 2 + 2000);
}

#[test]
fn no_address_space_is_needed_to_write_things_down() {
    let limits = Piece::Value { value: n(1 << 20), width: 8, shift: 0 };
    let lower = syscall(libc::SYS_prlimit64, &[n(0), n(libc::RLIMIT_AS as i64), Value::Address(0), n(0)])
        .buffer(vec![limits.clone(), limits]);
    let large = getpid().buffer(vec![Piece::Zero(300_000)]).output(0);
    run(vec![lower, repeat(3, None, vec![large])]).clean();
}

#[test]
fn a_log_without_room_is_said_to_be_incomplete() {
    let bulky = getpid().buffer(vec![Piece::Bytes(vec![1; 200_000])]).output(0);
    let mut agent = Agent::start();
    // The rounds of a thread are not forgotten.
    let seen = agent.run(vec![op(Op::Parallel(vec![vec![repeat(500, None, vec![bulky])]]))]);
    assert!(seen.0.dropped > 0 && seen.rets().len() > 100, "{}", seen.0.dropped);
    agent.run(vec![getpid()]).clean();
}

#[test]
fn wild_accesses_kill_as_they_would_any_program() {
    let peek = |address| call(Function::Peek, &[address, n(8)]).buffer(vec![Piece::Zero(8)]).output(0);
    let poke = call(Function::Poke, &[Value::ReadOnly]).buffer(vec![Piece::Bytes(vec![1; 8])]);
    let mut agent = Agent::start();
    assert_eq!(agent.run(vec![peek(Value::Unmapped)]).0.end, End::Signaled(libc::SIGSEGV));
    assert_eq!(agent.run(vec![poke]).0.end, End::Signaled(libc::SIGSEGV));
    agent.run(vec![peek(Value::ReadOnly).ret(8)]).clean();
    // A mapping beyond the end of its file.
    let file = syscall(libc::SYS_memfd_create, &[Value::Address(0), n(0)]).buffer(vec![text("x")]).save(0);
    let args = [n(0), n(4096), n(libc::PROT_READ.into()), n(libc::MAP_SHARED.into()), slot(0), n(0)];
    let map = syscall(libc::SYS_mmap, &args).save(1);
    let seen = agent.run(vec![file, map, peek(slot(1)).signal(libc::SIGBUS)]);
    assert_eq!((seen.0.end, seen.begun()), (End::Signaled(libc::SIGBUS), vec![0, 1, 2]));
}

#[test]
fn ignored_children_still_say_how_they_ended() {
    // SIG_IGN for SIGCHLD: wait(2) then fails with ECHILD.
    let ignore = Piece::Value { value: n(1), width: 8, shift: 0 };
    let action = syscall(libc::SYS_rt_sigaction, &[n(libc::SIGCHLD.into()), Value::Address(0), n(0), n(8)])
        .buffer(vec![ignore, Piece::Zero(56)]);
    let seen = run(vec![action, fork(vec![getpid()]), exec(vec![getpid()]), getpid()]).clean();
    assert_eq!(seen.children().len(), 2);
}
