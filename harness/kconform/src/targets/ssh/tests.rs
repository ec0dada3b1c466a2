//! What is told of each stage on the way to a board, by programs instead of ssh: the last of their words is the script.

#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;

const SHORT: Duration = Duration::from_millis(500);
const LONG: Duration = Duration::from_secs(60);

/// A program instead of ssh.
struct Fake {
    folder: TempDir,
}

impl Fake {
    fn new(script: &str) -> Fake {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("ssh");
        let text =
            format!("for there; do :; done\nTMPDIR={}\nexport TMPDIR\n{script}\n", folder.path().display());
        std::fs::write(&program, text).unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o644)).unwrap();
        Fake { folder }
    }

    /// It is a program of the shell's, which was not just written.
    fn host(&self, ask: Duration, copy: Duration, start: Duration) -> Host {
        let program = vec!["sh".into(), self.folder.path().join("ssh").into()];
        Host {
            destination: "me@board".into(),
            program,
            patience: Patience { ask, copy, start, clear: SHORT },
        }
    }

    fn told(&self, unusable: Unusable) -> String {
        unusable.to_string().replace(&self.folder.path().display().to_string(), "[folder]")
    }
}

/// The machine, or why not.
fn asked(script: &str, patience: Duration) -> String {
    let fake = Fake::new(script);
    let begun = std::time::Instant::now();
    let answer = fake.host(patience, LONG, LONG).ask(Stage::Ask, MACHINE, &[], &[]);
    assert!(begun.elapsed() < LONG / 2, "it was waited for {:?}", begun.elapsed());
    answer.unwrap_or_else(|unusable| fake.told(unusable))
}

#[test]
fn a_shell_may_greet() {
    let machine = asked("sh -c \"$there\"", LONG);
    assert_eq!(machine, rustix::system::uname().machine().to_string_lossy());
    for greeting in ["echo Welcome to board-7", "printf 'no end of line'", "echo 'kconform says hello'"] {
        assert_eq!(asked(&format!("{greeting}; sh -c \"$there\"; echo bye"), LONG), machine, "{greeting}");
    }
    // A process that goes on in the background has ssh's streams, and is not waited for.
    assert_eq!(asked("sleep 50 & sh -c \"$there\"", LONG), machine);
}

#[test]
fn what_keeps_us_from_logging_in_is_told_with_what_mends_it() {
    let ssh = |says: &str| format!("echo '{says}' >&2; exit 255");
    let told: Vec<_> = [
        ssh("Host key verification failed."),
        ssh("me@board: Permission denied (publickey,password)."),
        ssh("Received disconnect from 192.0.2.7 port 22:2: Too many authentication failures"),
        ssh("ssh: Could not resolve hostname board: Name or service not known"),
        ssh("ssh: connect to host board port 22: Connection refused"),
        ssh("ssh: connect to host board port 22: No route to host"),
        ssh("ssh: connect to host board port 22: Connection timed out"),
        ssh("ssh: connect to host board port 22: Network is unreachable"),
        ssh("kex_exchange_identification: Connection closed by remote host"),
        ssh("Connection reset by 192.0.2.7 port 22"),
        ssh("command-line: line 0: Bad configuration option: nonsense"),
        ssh("Bad owner or permissions on /home/me/.ssh/config"),
        ssh("something new"),
        "exit 255".into(),
        "echo 'This account is currently not available.'; exit 1".into(),
        "exit 1".into(),
        "echo 'rbash: sh: command not found' >&2; exit 127".into(),
        "printf '\\033[1mChoose: 1) restart\\n'".into(),
    ]
    .iter()
    .map(|script| asked(script, LONG))
    .collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn a_host_that_falls_silent_is_given_up() {
    let told = [
        asked("exec sleep 100", SHORT),
        asked("echo 'You have mail.'; exec sleep 100", SHORT),
        {
            let fake = Fake::new("exec sleep 100");
            let host = fake.host(LONG, SHORT, LONG);
            fake.told(host.ask(Stage::Copy, COPY, &["1048576"], &[0; 1 << 20]).unwrap_err())
        },
        {
            let fake = Fake::new("exec sleep 100");
            fake.told(fake.host(LONG, LONG, SHORT).start("/tmp/kconform-x").err().unwrap())
        },
        {
            let fake = Fake::new("echo \"kconform's agent begins\"; exec sleep 100");
            fake.told(fake.host(LONG, LONG, SHORT).start("/tmp/kconform-x").err().unwrap())
        },
    ];
    insta::assert_snapshot!(told.join("\n"));
}

/// As long as something is taken, time does not matter.
#[test]
fn a_slow_line_has_the_time_that_it_takes() {
    let fake = Fake::new(
        "i=0; while [ $i -lt 8 ]; do dd bs=32768 count=1 of=/dev/null 2>/dev/null; sleep 0.2; i=$((i + 1)); done; \
         cat >/dev/null; echo 'kconform says done'",
    );
    let host = fake.host(LONG, Duration::from_secs(1), LONG);
    assert_eq!(host.ask(Stage::Copy, COPY, &["1048576"], &[0; 1 << 20]).unwrap(), "done");
}

#[test]
fn why_an_agent_cannot_be_brought_is_told() {
    let fake = |script: &str| {
        let fake = Fake::new(script);
        let answer = fake.host(LONG, LONG, LONG).ask(Stage::Copy, COPY, &["5"], b"agent");
        fake.told(answer.unwrap_err())
    };
    let told = [
        fake(
            "printf '#!/bin/sh\necho mktemp: ${2%%/*}: Read-only file system >&2; exit 1' >$TMPDIR/mktemp; \
             chmod 755 $TMPDIR/mktemp; PATH=$TMPDIR:$PATH; sh -c \"$there\"",
        ),
        fake("echo 'cat: write error: No space left on device' >&2; exit 1"),
        fake("echo 'cat: write error: Input/output error' >&2; exit 1"),
        fake("echo 'sh: mktemp: not found' >&2; exit 127"),
        fake("echo 'Connection to board closed by remote host.' >&2; exit 255"),
    ];
    insta::assert_snapshot!(told.join("\n"));
}

/// They are words for whatever shell an account has: csh looks for history in quotes, too, and wants single lines; in fish a
/// backslash before another, or before a quote, is none.
#[test]
fn the_scripts_are_words_of_every_shell() {
    for script in [MACHINE, COPY, RUN, CLEAR] {
        for (what, where_from) in [("!", "csh"), ("\n", "csh"), ("'", "fish"), ("\\\\", "fish")] {
            assert!(!script.contains(what), "{where_from}: {script}");
        }
    }
}

/// The folder where temporary files go may be one of those that take no programs: there are others.
#[test]
fn a_folder_is_found_that_takes_programs() {
    let fake = Fake::new("TMPDIR=/no/such; sh -c \"$there\"");
    let there = fake.host(LONG, LONG, LONG).ask(Stage::Copy, COPY, &["5"], b"agent").unwrap();
    assert!(there.starts_with("/tmp/kconform-"), "{there}");
    assert_eq!(std::fs::read(format!("{there}/kconform-agent")).unwrap(), b"agent");
    std::fs::remove_dir_all(there).unwrap();
}

/// The folders of ours below one.
fn brought(below: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(below).unwrap().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("kconform-")).count()
}

#[test]
fn a_connection_that_ends_meanwhile_leaves_no_folder() {
    // While the agent is brought: of six bytes five come.
    let fake = Fake::new("sh -c \"$there\"");
    let answer = fake.host(LONG, LONG, LONG).ask(Stage::Copy, COPY, &["6"], b"agent");
    assert!(answer.is_err(), "{answer:?}");
    assert_eq!(brought(fake.folder.path()), 0);
    // Before it can be said where it is.
    let fake = Fake::new("sh -c \"$there\" | head -c 0; exit 255");
    let answer = fake.host(LONG, LONG, LONG).ask(Stage::Copy, COPY, &["5"], b"agent");
    assert!(answer.is_err(), "{answer:?}");
    assert_eq!(brought(fake.folder.path()), 0);
    // Before the agent starts.
    let lost = "case $there in *begins*) exit 255; esac; ";
    let fake = Fake::new(&format!("{lost} sh -c \"$there\""));
    let host = fake.host(LONG, LONG, LONG);
    let folder = host.ask(Stage::Copy, COPY, &["5"], b"agent").unwrap();
    assert_eq!(brought(fake.folder.path()), 1);
    assert!(host.start(&folder).is_err());
    assert_eq!(brought(fake.folder.path()), 0);
}

#[test]
fn a_folder_that_stays_is_told() {
    let fake = Fake::new("exit 255");
    assert!(fake.host(LONG, LONG, LONG).start("/tmp/kconform-stays").is_err());
    let left = folder::left();
    assert!(left.contains(&"me@board:/tmp/kconform-stays".to_owned()), "{left:?}");
}

#[test]
fn why_an_agent_does_not_begin_is_told() {
    let fake = |script: &str| {
        let fake = Fake::new(script);
        fake.told(fake.host(LONG, LONG, LONG).start("/tmp/kconform-x").err().unwrap())
    };
    let told = [
        fake("echo \"kconform's agent begins\"; echo 'sh: 1: agent: Permission denied' >&2; exit 126"),
        fake("exit 126"),
        fake("echo \"kconform's agent begins\"; echo Killed >&2; exit 137"),
        fake("echo 'Connection to board closed by remote host.' >&2; exit 255"),
        fake("yes"),
    ];
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn a_port_without_slashes_hints_at_them() {
    let fake = Fake::new("exit 255");
    let mend = |destination: &str| {
        let host = Host { destination: destination.to_owned(), ..fake.host(LONG, LONG, LONG) };
        host.ask(Stage::Ask, MACHINE, &[], &[]).unwrap_err().mend.unwrap()
    };
    assert_eq!(mend("me@host:22"), "a port is written ssh://me@host:22");
    for right in ["host", "ssh://host:22", "host:"] {
        assert_eq!(mend(right), format!("make `ssh {right} uname -m` work without a question"));
    }
}

#[test]
fn a_board_that_says_nothing_is_told_from_one_that_is_gone() {
    let last_words = |script: &str| {
        let mut command = Command::new("sh");
        let child = command.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let child = child.stderr(Stdio::piped()).spawn().unwrap();
        let (ssh, _stdout, stdin) = Piped::new(child, "ssh").unwrap();
        let mut board =
            Board { ssh, host: Fake::new("exit 255").host(LONG, LONG, LONG), folder: "/tmp/x".into() };
        if script.starts_with("echo") {
            let pid = rustix::process::Pid::from_child(&board.ssh.child);
            let options = rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
            rustix::process::waitid(rustix::process::WaitId::Pid(pid), options).unwrap();
        }
        let LastWords { what, console, .. } = board.last_words();
        drop(stdin);
        [vec![what], console].concat().join("\n    ")
    };
    // What was started there goes on, and has the stream still.
    let gone = "echo 'Connection to board closed by remote host.' >&2; sleep 50 & exit 255";
    let scripts = [gone, "read word"];
    let begun = std::time::Instant::now();
    insta::assert_snapshot!(scripts.map(last_words).join("\n"));
    assert!(begun.elapsed() < Duration::from_secs(40));
}
