//! Nothing that a case leaves behind is there for the next one.

use std::path::PathBuf;

use kconform_plan::{End, Step, Value};
use rstest::rstest;

use crate::agent::{Agent, elsewhere, privileged};
use crate::plans::*;

fn setsid() -> Step {
    syscall(libc::SYS_setsid, &[])
}

/// A child that leaves a parked grandchild to the agent.
fn daemon() -> Step {
    fork(vec![setsid(), clone(0)])
}

#[rstest]
#[case(vec![clone(0)], 1)]
#[case(vec![daemon(), daemon()], 2)]
#[case(vec![fork(vec![setsid(), fork(vec![setsid(), clone(0), clone(libc::CLONE_VM)])])], 2)]
#[case(vec![syscall(libc::SYS_clone, &[n(0), n(0)])], 1)]
#[case(vec![repeat(50, None, vec![clone(0)])], 50)]
fn processes_left_behind_are_killed_and_counted(#[case] steps: Vec<Step>, #[case] count: u32) {
    let mut agent = Agent::start();
    let seen = agent.run(steps);
    assert_eq!((seen.0.end, seen.0.left_behind), (End::Finished, count), "{seen:#?}");
    assert_eq!(agent.descendants(), []);
    agent.run(vec![getpid()]).clean();
}

#[test]
fn a_child_that_the_case_killed_or_that_ended_was_not_left_behind() {
    let seen = Agent::start().run(vec![
        clone(0).save(0),
        syscall(libc::SYS_kill, &[slot(0), n(libc::SIGKILL.into())]),
        syscall(libc::SYS_wait4, &[slot(0), n(0), n(0), n(0)]),
    ]);
    seen.clean();
}

#[test]
fn stopped_processes_are_killed_too() {
    let mut agent = Agent::start();
    let stop = syscall(libc::SYS_kill, &[slot(0), n(libc::SIGSTOP.into())]);
    let seen = agent.run(vec![clone(0).save(0), stop]);
    assert_eq!((seen.0.end, seen.0.left_behind), (End::Finished, 1));
    assert_eq!(agent.descendants(), []);
}

#[test]
fn a_timed_out_tree_is_killed_to_its_last_leaf() {
    let mut agent = Agent::start();
    let deep = fork(vec![setsid(), daemon(), exec(vec![fork(vec![setsid(), clone(0), sleep(1000)])])]);
    let seen = agent.run_within(300, vec![deep]);
    assert_eq!(seen.0.end, End::TimedOut);
    assert_eq!(agent.descendants(), []);
}

#[test]
fn a_fork_bomb_is_put_out() {
    // 2^8 processes that all go on forking in threads of the tree until their time is over.
    let bomb = (0..8).fold(vec![repeat(3, None, vec![clone(0)]), sleep(1000)], |inner, _| {
        vec![op(kconform_plan::Op::Parallel(vec![vec![fork(inner.clone())], vec![fork(inner)]]))]
    });
    let mut agent = Agent::start();
    let seen = agent.run_within(400, bomb);
    assert_eq!(seen.0.end, End::TimedOut);
    assert_eq!(agent.descendants(), []);
    agent.run(vec![getpid()]).clean();
}

fn working_directory(agent: &Agent) -> PathBuf {
    let mut entries = std::fs::read_dir(agent.scratch.path()).expect("the directory");
    entries.next().expect("one entry").expect("its name").path()
}

#[test]
fn the_working_directory_is_empty_each_time() {
    if elsewhere().is_some() {
        return;
    }
    let mkdir = |path| {
        syscall(libc::SYS_mkdirat, &[n(libc::AT_FDCWD.into()), Value::Address(0), n(0o755)])
            .buffer(vec![text(path)])
    };
    let mut agent = Agent::start();
    let here = working_directory(&agent);
    let create = |path| open(path, libc::O_CREAT | libc::O_WRONLY, 0);
    agent.run(vec![mkdir("a"), mkdir("a/b"), create("a/b/file"), create("file"), mkdir("empty")]).clean();
    assert_eq!(std::fs::read_dir(&here).expect("it is there").count(), 0);
    let at = n(libc::AT_FDCWD.into());
    let remove = syscall(libc::SYS_unlinkat, &[at, Value::Address(0), n(libc::AT_REMOVEDIR.into())])
        .buffer(vec![text(here.to_str().expect("a path"))]);
    agent.run(vec![remove]).clean();
    agent.run(vec![create("file")]).clean();
    let away = syscall(libc::SYS_renameat2, &[at, Value::Address(0), at, Value::Address(1), n(0)])
        .buffer(vec![text(here.to_str().expect("a path"))])
        .buffer(vec![text(agent.scratch.path().join("away").to_str().expect("a path"))]);
    agent.run(vec![away, create("file")]).clean();
    agent.run(vec![create("file")]).clean();
    std::fs::remove_dir_all(agent.scratch.path().join("away")).expect("the case's own directory");
}

#[test]
fn mounts_are_undone_and_never_entered() {
    if !privileged() || elsewhere().is_some() {
        return;
    }
    // What is in /tmp no case sees.
    let precious = tempfile::TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    std::fs::write(precious.path().join("file"), "precious").expect("a file");
    let at = n(libc::AT_FDCWD.into());
    let mkdir = syscall(libc::SYS_mkdirat, &[at, Value::Address(0), n(0o755)]).buffer(vec![text("m")]);
    let bind = |target: &str| {
        let from = precious.path().to_str().expect("a path");
        let args = [Value::Address(0), Value::Address(1), n(0), n(libc::MS_BIND as i64), n(0)];
        syscall(libc::SYS_mount, &args).buffer(vec![text(from)]).buffer(vec![text(target)])
    };
    let mut agent = Agent::start();
    let here = working_directory(&agent);
    agent.run(vec![mkdir, bind("m"), bind("m")]).clean();
    agent.run(vec![bind(here.to_str().expect("a path"))]).clean();
    agent.run(vec![open("file", libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY, 0)]).clean();
    assert_eq!(std::fs::read_to_string(precious.path().join("file")).expect("it is there"), "precious");
    assert_eq!(std::fs::read_dir(&here).expect("it is there").count(), 0);
}

/// What a native case leaves in files and namespaces is the agent's alone.
#[test]
fn the_machine_sees_nothing_of_what_a_case_leaves() {
    if !privileged() || elsewhere().is_some() {
        return;
    }
    let mut agent = Agent::start();
    assert_eq!(agent.facts.remarks, [""; 0]);
    let name = format!("/tmp/kconform-left-{}", std::process::id());
    let exclusive = libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY;
    agent.run(vec![open(&name, exclusive, 0)]).clean();
    assert!(!std::path::Path::new(&name).exists());
    let disk = concat!(env!("CARGO_TARGET_TMPDIR"), "/kconform-left");
    agent.run(vec![open(disk, exclusive, 0).errno(libc::EROFS)]).clean();
    let flags = i64::from(libc::IPC_CREAT | libc::IPC_EXCL | 0o600);
    let key = i64::from(std::process::id());
    // Neither the machine nor the next case has it.
    for _ in 0..2 {
        agent.run(vec![syscall(libc::SYS_shmget, &[n(key), n(4096), n(flags)])]).clean();
    }
    // SAFETY: no memory is involved.
    assert_eq!(unsafe { libc::shmget(std::process::id() as i32, 0, 0) }, -1);
    let domain = std::fs::read("/proc/sys/kernel/domainname").expect("it can be read");
    agent
        .run(vec![syscall(libc::SYS_setdomainname, &[Value::Address(0), n(6)]).buffer(vec![text("spoilt")])])
        .clean();
    assert_eq!(std::fs::read("/proc/sys/kernel/domainname").expect("it can be read"), domain);
}
