//! What the agent says when it cannot do its part.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use kconform_plan::{FromAgent, Op, Piece, Plan, Step, ToAgent, Value};

use crate::agent::{Agent, elsewhere, run};
use crate::plans::*;

/// What the agent could not do, by step, with the errno.
fn told(steps: Vec<Step>) -> Vec<String> {
    let troubles = run(steps).troubles();
    troubles
        .into_iter()
        .map(|(step, trouble)| format!("{step}: {} ({})", trouble.what, trouble.errno))
        .collect()
}

#[test]
fn what_a_step_asks_for_and_cannot_be_had_is_named() {
    let close = |what| syscall(libc::SYS_close, &[what]);
    assert_eq!(told(vec![close(slot(3))]), ["0: slot 3 holds no such value (61)"]);
    assert_eq!(told(vec![close(Value::Address(2))]), ["0: buffer 2 is not there (22)"]);
    assert_eq!(told(vec![repeat(1 << 40, None, vec![getpid()])]), ["0: repeat so often (34)"]);
    let large = told(vec![getpid().buffer(vec![Piece::Zero(2 << 30)])]);
    assert_eq!(large, [format!("0: mmap {} bytes for buffers (12)", (2_usize << 30) + page())]);
}

/// Behind each buffer is a page that belongs to nobody.
fn page() -> usize {
    Agent::start().facts.page_size as usize
}

#[test]
fn an_fd_that_cannot_be_sent_is_told_by_both_ends() {
    let send = op(Op::SendFd { fd: n(99), slot: 0, steps: vec![getpid()] });
    assert_eq!(told(vec![send]), ["0: receive the fd (42)", "0: send fd 99 (9)"]);
}

#[test]
fn a_child_whose_end_nobody_can_hear_of_is_trouble() {
    // SIG_IGN for SIGCHLD: wait(2) then fails with ECHILD, and the child could not say how it would end.
    let ignore = Piece::Value { value: n(1), width: 8, shift: 0 };
    let action = syscall(libc::SYS_rt_sigaction, &[n(libc::SIGCHLD.into()), Value::Address(0), n(0), n(8)])
        .buffer(vec![ignore, Piece::Zero(56)]);
    let killed = fork(kill_itself(libc::SIGTERM).into());
    assert_eq!(told(vec![action, killed]), ["1: wait for the child (10)"]);
}

/// The image of an `exec` block finds far less memory than it would set aside, and goes on.
#[test]
fn an_image_takes_little_memory() {
    let limit = Piece::Value { value: n(16 << 20), width: 8, shift: 0 };
    let args = [n(0), n(libc::RLIMIT_DATA.into()), Value::Address(0), n(0)];
    let lower = syscall(libc::SYS_prlimit64, &args).buffer(vec![limit.clone(), limit]);
    let large = || getpid().buffer(vec![Piece::Zero(300_000)]).output(0);
    assert_eq!(told(vec![lower, exec(vec![large(), fork(vec![exec(vec![large()])])])]), [] as [&str; 0]);
}

#[test]
fn an_agent_without_its_directory_gives_up() {
    if elsewhere().is_some() {
        return;
    }
    // Where its mounts are its own the directory is one, and empty for good.
    let errno = if crate::agent::privileged() { libc::ENOENT } else { libc::ENOTDIR };
    let mut agent = Agent::start();
    std::fs::remove_dir_all(agent.scratch.path()).expect("it is gone");
    std::fs::write(agent.scratch.path(), "").expect("a file in its place");
    // It looks there only after a case that may have done something to it.
    for (id, step) in [(1, getpid()), (2, syscall(libc::SYS_umask, &[n(0o22)]))] {
        agent.say(&ToAgent::Run {
            id,
            plan: Box::new(Plan { slots: 0, timeout_ms: 20_000, sysctls: Vec::new(), steps: vec![step] }),
        });
        assert_eq!(agent.hear(), FromAgent::Started { id });
        if id == 2 {
            assert_eq!(
                agent.hear(),
                FromAgent::Spent { why: format!("no scratch directory: errno {errno}") }
            );
        }
        assert!(matches!(agent.hear(), FromAgent::Ran { .. }));
    }
    assert!(agent.child.wait().expect("a status").success());
    std::fs::remove_file(agent.scratch.path()).expect("it is gone");
}

/// The agent through a shell, which says `more` first.
fn through_shell(more: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{more}exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_kconform-agent")]);
    command.args(arguments).stdin(Stdio::null()).output().expect("a shell")
}

#[test]
fn an_agent_that_cannot_begin_says_why_to_people() {
    let scratch = tempfile::TempDir::new().expect("a directory");
    let place = scratch.path().display().to_string();
    let file = scratch.path().join("file");
    std::fs::write(&file, "").expect("a file");
    let file = file.display().to_string();
    let said = |more: &str, arguments: &[&str]| {
        let Output { status, stderr, .. } = through_shell(more, arguments);
        (status.code(), String::from_utf8(stderr).expect("text"))
    };
    let failed = |text: &str| (Some(1), format!("kconform-agent: {text}\n"));
    let usage = "usage: kconform-agent --scratch DIR [--bench TIMES]\n";
    assert_eq!(said("", &[]), (Some(2), usage.to_owned()));
    // Its heap takes less where there is little.
    assert_eq!(said("ulimit -v 12288; ", &["--scratch", &place]), failed("mmap address space: errno 12"));
    assert_eq!(said("ulimit -v 32768; ", &["--scratch", &place]), failed("mmap the log: errno 12"));
    assert_eq!(said("ulimit -v 163840; ", &["--scratch", &place]), failed("mmap the log: errno 12"));
    assert_eq!(said("", &["--scratch", &file]), failed(&format!("{file}: errno 20")));
}

/// Files that cannot be made read-only are told with the agent's first words. Without /proc it does not know what is mounted.
#[test]
fn files_that_cases_can_write_to_are_told() {
    if elsewhere().is_some() || !crate::agent::privileged() {
        return;
    }
    let (mut stream, theirs) = UnixStream::pair().expect("a socket pair");
    let scratch = tempfile::TempDir::new().expect("a directory");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", "mount -t tmpfs none /proc && exec \"$0\" --scratch \"$1\""]);
    command.arg(env!("CARGO_BIN_EXE_kconform-agent")).arg(scratch.path()).stdin(OwnedFd::from(theirs));
    let mut child = command.spawn().expect("unshare");
    drop(command);
    match kconform_plan::read_frame(&mut stream) {
        Ok(FromAgent::Ready { facts, .. }) => {
            let told = "cases can write to this machine's files: /proc/self/mountinfo: errno 2";
            assert!(facts.remarks.iter().any(|remark| remark == told), "{:?}", facts.remarks);
        }
        other => panic!("{other:?}"),
    }
    drop(stream);
    child.wait().expect("an end");
}

/// What an agent says on its console that is PID 1 of namespaces of its own, where /sys has what `sys` makes there;
/// `without`: a way to start it with fewer capabilities. It is ended when it has said something. `None` where a user may
/// not make such namespaces.
fn init(sys: &str, without: &str) -> Option<String> {
    let folder = tempfile::TempDir::new().expect("a directory");
    let console = folder.path().join("console");
    std::fs::write(&console, "").expect("a file");
    // Whoever has no /dev/console gets its words on stderr.
    let script = format!(
        "mount -t tmpfs none /sys && {{ {sys}; }} || exit 9; mount --bind \"$1\" /dev/console || exec 2>>\"$1\"; \
         exec {without} \"$0\""
    );
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c"]);
    command.arg(script).arg(env!("CARGO_BIN_EXE_kconform-agent")).arg(&console);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
    let begun = std::time::Instant::now();
    let lines = if without.is_empty() { 1 } else { 2 };
    let said = loop {
        let said = std::fs::read_to_string(&console).expect("readable");
        if said.lines().count() >= lines {
            break Some(said);
        }
        if let Some(status) = child.try_wait().expect("a status")
            && std::fs::read_to_string(&console).expect("readable") == said
        {
            println!("NOT TESTED: an agent as init of its own namespaces: {status}");
            break None;
        }
        assert!(begun.elapsed().as_secs() < 60, "it says {said:?}");
        std::thread::yield_now();
    };
    let _ = child.kill();
    child.wait().expect("an end");
    said
}

#[test]
fn an_init_without_its_port_says_what_the_kernel_lacks() {
    if elsewhere().is_some() || !Path::new("/usr/bin/unshare").exists() {
        return;
    }
    if let Some(said) = init(":", "") {
        let lacks = "no virtio-serial port: the kernel has no virtio_console (CONFIG_VIRTIO_CONSOLE)";
        assert_eq!(said, format!("kconform-agent: {lacks}\n"));
    }
    let bus = "mkdir -p /sys/bus/virtio/drivers/virtio_console /sys/bus/virtio/devices";
    if let Some(said) = init(bus, "") {
        let lacks = "no virtio-serial port: none is named org.kconform.agent (CONFIG_VIRTIO_PCI, or _CCW?)";
        assert_eq!(said, format!("kconform-agent: {lacks}\n"));
    }
    if let Some(said) = init(":", "setpriv --bounding-set=-sys_boot") {
        assert!(said.ends_with("\nkconform-agent: power off: errno 1\n"), "{said}");
    }
}
