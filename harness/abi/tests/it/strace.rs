//! Names as strace prints them: strace is asked for each, by calls that a filter keeps from having any effect. What strace has no
//! name for, since it is older than the tables, is let pass, but counted.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use kconform_abi::{Arch, bpf, constant, constant_names, errno, signal};
use rstest::rstest;
use serde_json::{Value, json};

/// The machine's own architecture, if strace is here and may trace. `KCONFORM_REQUIRE_STRACE` makes it a failure if not.
fn traceable() -> Option<Arch> {
    let traced = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    let arch = Arch::from_name(std::env::consts::ARCH);
    let arch = arch.filter(|_| traced.is_ok_and(|output| output.status.success()));
    let required = std::env::var_os("KCONFORM_REQUIRE_STRACE").is_some_and(|value| !value.is_empty());
    assert!(arch.is_some() || !required, "strace is not here, or may not trace");
    if arch.is_none() {
        crate::not_tested::not_tested("strace is not here, or may not trace (Debian: strace)");
    }
    arch
}

/// What strace prints of the arguments of each call, `calls.py` says what a call is.
fn traced(arch: Arch, calls: &[Value]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/calls.py");
    let number = |name: &str| arch.syscall(name).unwrap().to_string();
    let mut child = Command::new("strace")
        .args(["-qq", "-e", "signal=none", "-o"])
        .arg(&log)
        .args(["python3", "-I", "-S"])
        .arg(script)
        .args([number("exit_group"), number("getppid")])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(Value::from(calls).to_string().as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    let text = std::fs::read_to_string(&log).unwrap();
    let refused = " = -1 ENOSYS (Function not implemented)";
    let (_, rest) = text.split_once(&format!("getppid()                              {refused}\n")).unwrap();
    let lines = rest.lines().take_while(|line| !line.starts_with("getppid()"));
    let arguments = |line: &str| {
        let line = line.strip_suffix(refused).expect(line).trim_end();
        line.split_once('(').unwrap().1.strip_suffix(')').expect(line).to_owned()
    };
    let lines: Vec<String> = lines.map(arguments).collect();
    assert_eq!(lines.len(), calls.len(), "{text}");
    lines
}

/// A field or an argument of what strace printed: after `begins`, up to what ends it.
fn field<'a>(printed: &'a str, begins: &str) -> &'a str {
    let (_, rest) = printed.split_once(begins).unwrap_or_else(|| panic!("{begins} is not in {printed}"));
    rest.split([',', '}']).next().unwrap_or_default()
}

/// The arguments, at the commas that are in no brackets and no comment.
fn arguments(printed: &str) -> Vec<&str> {
    let (mut depth, mut begin, mut all) = (0, 0, Vec::new());
    for (at, c) in printed.char_indices() {
        match c {
            '(' | '{' | '[' => depth += 1,
            ')' | '}' | ']' => depth -= 1,
            ',' if depth == 0 => {
                all.push(printed[begin..at].trim());
                begin = at + 1;
            }
            _ => {}
        }
    }
    all.push(printed[begin..].trim());
    all
}

fn attr(words: &[u32]) -> String {
    let bytes = words.iter().flat_map(|word| word.to_ne_bytes()).chain([0; 128]).take(128);
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

/// Names by number, as we print them, against those that strace prints.
#[track_caller]
fn assert_named(ours: &[(String, String)], at_least: usize) {
    let known: Vec<_> =
        ours.iter().filter(|(_, strace)| !strace.contains("_???") && !strace.contains("errno ")).collect();
    let wrong: Vec<_> = known.iter().filter(|(ours, strace)| ours != strace).collect();
    assert!(wrong.is_empty(), "ours, strace's: {wrong:?}");
    assert!(known.len() >= at_least, "strace knows only {} of {}", known.len(), ours.len());
}

/// The second names are for cases to write; the first ones are told. strace makes the call fail with each.
#[test]
fn errnos_have_straces_names() {
    if traceable().is_none() {
        return;
    }
    let mut names = Vec::new();
    for number in (1..=4095).filter(|number| errno::name(*number).is_some()) {
        let mut strace = Command::new("strace");
        strace.args(["-qq", "-e", "trace=chdir", "-e", &format!("inject=chdir:error={number}")]);
        let output = strace.args(["env", "-C", "/", "true"]).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        // `-1 EPERM (Operation not permitted)`, `? ERESTARTSYS (To be restarted …)`, `-1 (errno 531)`
        let line = text.lines().find_map(|line| line.strip_suffix(" (INJECTED)")).expect(&text);
        let said = line.split_once(" = ").unwrap().1.trim_start_matches(['-', '1', '?', ' ']);
        let (name, words) = said.split_once('(').unwrap();
        let name = if name.is_empty() { words } else { name.trim_end() };
        if !errno::is_internal(number) && name.starts_with('E') {
            assert_eq!(errno::text(number), words.strip_suffix(')'), "{name}");
        }
        names.push((errno::name(number).unwrap().to_owned(), name.to_owned()));
    }
    assert_named(&names, 140);
}

#[test]
fn signals_have_straces_names() {
    let Some(arch) = traceable() else { return };
    let calls: Vec<Value> = (1..=64).map(|number| json!([arch.syscall("kill"), 0, number])).collect();
    let ours = (1..=64).map(|number| signal::name(number).unwrap_or("none").to_owned());
    let strace = traced(arch, &calls).into_iter().map(|printed| arguments(&printed)[1].to_owned());
    assert_named(&ours.zip(strace).collect::<Vec<_>>(), 64);
}

/// What a table of bpf(2) calls its rows, by number, and where strace prints them.
#[rstest]
#[case::commands("", 30)]
#[case::map_types("map_type=", 28)]
#[case::program_types("prog_type=", 30)]
#[case::attach_types("attach_type=", 25)]
fn the_words_of_bpf_are_straces(#[case] begins: &str, #[case] at_least: usize) {
    let Some(arch) = traceable() else { return };
    let value = |name: &str| constant(arch, name).unwrap() as u32;
    let numbers = 0..200;
    let rows: Vec<(u32, String)> = match begins {
        "" => bpf::commands().map(|command| (value(command.name), command.name.to_owned())).collect(),
        "map_type=" => bpf::map_types().iter().map(|t| (value(t.name), t.name.to_owned())).collect(),
        "prog_type=" => bpf::program_types().iter().map(|t| (value(t.name), t.name.to_owned())).collect(),
        _ => numbers.filter_map(|n| Some((n, bpf::attach_type_name(n)?.to_owned()))).collect(),
    };
    let call = |(number, _): &(u32, String)| {
        let (command, attr) = match begins {
            "" => (*number, attr(&[])),
            "map_type=" => (0, attr(&[*number, 4, 4, 1])),
            "prog_type=" => (5, attr(&[*number, 1])),
            _ => (8, attr(&[1, 2, *number])),
        };
        json!([arch.syscall("bpf"), command, attr, 128])
    };
    let calls: Vec<Value> = rows.iter().map(call).collect();
    let names = rows.into_iter().map(|(_, name)| name);
    let strace = traced(arch, &calls).into_iter().map(|printed| match begins {
        "" => arguments(&printed)[0].to_owned(),
        begins => field(&printed, begins).to_owned(),
    });
    // The header has two names of the same number, of which the newer one says that the older map is the deprecated one.
    let is_renamed = |ours: &str, strace: &str| ours == format!("{strace}_DEPRECATED");
    let pairs = names.zip(strace).filter(|(ours, strace)| !is_renamed(ours, strace));
    assert_named(&pairs.collect::<Vec<_>>(), at_least);
}

/// The number that strace's words stand for by our tables: `O_RDWR|O_CREAT`, `0x800 /* O_??? */`, `21<<MAP_HUGE_SHIFT`.
fn meant(arch: Arch, printed: &str) -> Result<u64, String> {
    let uncommented: String =
        printed.split("/*").map(|part| part.split_once("*/").map_or(part, |(_, rest)| rest)).collect();
    uncommented.split('|').map(str::trim).try_fold(0, |all, word| {
        let value = match word.split_once("<<") {
            Some((number, by)) => value_of(arch, number)? << value_of(arch, by)?,
            None => value_of(arch, word)?,
        };
        Ok(all | value)
    })
}

fn value_of(arch: Arch, word: &str) -> Result<u64, String> {
    let number = match word.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => word.parse::<i64>().ok().map(|number| number as u64),
    };
    number.or_else(|| constant(arch, word)).ok_or_else(|| format!("{word} is in no table"))
}

/// No flags, though they begin so: what mmap(2) returns, and a name of 0x10 that user space's headers do not have (MSG_PROBE of
/// include/linux/socket.h).
const NO_FLAGS: &[&str] = &["MAP_FAILED", "MSG_PROXY"];

/// Arguments of system calls that are named: which one, which names it may have, and what else is passed.
const ARGUMENTS: &[(&str, usize, &[&str], &[u64])] = &[
    ("openat", 2, &["O_"], &[0, 0, 0, 0]),
    ("openat", 0, &["AT_FDCWD"], &[0, 0, 0, 0]),
    ("mmap", 2, &["PROT_"], &[0, 4096, 0, 2, 0, 0]),
    ("mmap", 3, &["MAP_"], &[0, 4096, 0, 0, 0, 0]),
    ("mremap", 3, &["MREMAP_"], &[0, 0, 0, 0, 0]),
    ("madvise", 2, &["MADV_"], &[0, 0, 0]),
    ("msync", 2, &["MS_ASYNC", "MS_SYNC", "MS_INVALIDATE"], &[0, 0, 0]),
    ("mlock2", 2, &["MLOCK_"], &[0, 0, 0]),
    ("memfd_create", 1, &["MFD_"], &[0, 0]),
    ("fcntl", 1, &["F_DUPFD", "F_GET", "F_SET", "F_ADD_SEALS", "F_NOTIFY"], &[0, 0, 0]),
    ("lseek", 2, &["SEEK_"], &[0, 0, 0]),
    ("fallocate", 1, &["FALLOC_FL_"], &[0, 0, 0, 0]),
    ("renameat2", 4, &["RENAME_"], &[0, 0, 0, 0, 0]),
    ("unlinkat", 2, &["AT_REMOVEDIR"], &[0, 0, 0]),
    ("dup3", 2, &["O_CLOEXEC"], &[0, 1, 0]),
    ("pipe2", 1, &["O_CLOEXEC", "O_NONBLOCK", "O_DIRECT"], &[0, 0]),
    ("close_range", 2, &["CLOSE_RANGE_"], &[0, 0, 0]),
    ("socket", 0, &["AF_"], &[0, 1, 0]),
    ("socket", 1, &["SOCK_"], &[1, 0, 0]),
    ("socket", 2, &["IPPROTO_"], &[2, 1, 0]),
    ("setsockopt", 2, &["SO_"], &[0, 1, 0, 0, 0]),
    ("setsockopt", 1, &["SOL_"], &[0, 0, 0, 0, 0]),
    ("sendto", 3, &["MSG_"], &[0, 0, 0, 0, 0, 0]),
    ("shutdown", 1, &["SHUT_"], &[0, 0]),
    ("epoll_create1", 0, &["EPOLL_CLOEXEC"], &[0]),
    ("epoll_ctl", 1, &["EPOLL_CTL_"], &[0, 0, 0, 0]),
    ("eventfd2", 1, &["EFD_"], &[0, 0]),
    ("timerfd_create", 1, &["TFD_CLOEXEC", "TFD_NONBLOCK"], &[0, 0]),
    ("timerfd_create", 0, &["CLOCK_"], &[0, 0]),
    ("signalfd4", 3, &["SFD_"], &[0, 0, 8, 0]),
    ("inotify_init1", 0, &["IN_CLOEXEC", "IN_NONBLOCK"], &[0]),
    ("inotify_add_watch", 2, &["IN_"], &[0, 0, 0]),
    ("prctl", 0, &["PR_SET_", "PR_GET_", "PR_CAP", "PR_MCE"], &[0, 0, 0, 0, 0]),
    ("mount", 3, &["MS_"], &[0, 0, 0, 0, 0]),
    ("umount2", 1, &["MNT_FORCE", "MNT_DETACH", "MNT_EXPIRE", "UMOUNT_"], &[0, 0]),
    ("fsopen", 1, &["FSOPEN_"], &[0, 0]),
    ("fsmount", 1, &["FSMOUNT_"], &[0, 0, 0]),
    ("open_tree", 2, &["OPEN_TREE_"], &[0, 0, 0]),
    ("move_mount", 4, &["MOVE_MOUNT_"], &[0, 0, 0, 0, 0]),
    ("unshare", 0, &["CLONE_NEW", "CLONE_FILES", "CLONE_FS", "CLONE_VM", "CLONE_SYSVSEM"], &[0]),
    ("setns", 1, &["CLONE_NEW"], &[0, 0]),
    (
        "futex",
        1,
        &["FUTEX_WAIT", "FUTEX_WAKE", "FUTEX_REQUEUE", "FUTEX_LOCK_PI", "FUTEX_CMP"],
        &[0, 0, 0, 0, 0, 0],
    ),
    ("seccomp", 0, &["SECCOMP_SET_MODE_", "SECCOMP_GET_"], &[0, 0, 0]),
    ("seccomp", 1, &["SECCOMP_FILTER_FLAG_"], &[1, 0, 0]),
    (
        "ptrace",
        0,
        &["PTRACE_TRACEME", "PTRACE_PEEK", "PTRACE_POKE", "PTRACE_CONT", "PTRACE_SEIZE"],
        &[0, 0, 0, 0],
    ),
    ("waitid", 0, &["P_ALL", "P_PID", "P_PGID"], &[0, 0, 0, 0, 0]),
    ("waitid", 3, &["WNOHANG", "WSTOPPED", "WEXITED", "WCONTINUED", "WNOWAIT"], &[0, 0, 0, 0, 0]),
    ("getrandom", 2, &["GRND_"], &[0, 0, 0]),
    ("membarrier", 0, &["MEMBARRIER_CMD_"], &[0, 0, 0]),
    ("prlimit64", 1, &["RLIMIT_"], &[0, 0, 0, 0]),
    ("sched_setscheduler", 1, &["SCHED_"], &[0, 0, 0]),
    ("perf_event_open", 4, &["PERF_FLAG_"], &[0, 0, 0, 0, 0]),
    ("keyctl", 0, &["KEYCTL_"], &[0, 0, 0, 0, 0]),
    ("statx", 3, &["STATX_"], &[0, 0, 0, 0, 0]),
    ("kcmp", 2, &["KCMP_"], &[0, 0, 0, 0, 0]),
    ("userfaultfd", 0, &["UFFD_USER_MODE_ONLY"], &[0]),
    ("pidfd_open", 1, &["PIDFD_NONBLOCK"], &[0, 0]),
    ("splice", 5, &["SPLICE_F_"], &[0, 0, 0, 0, 0, 0]),
    ("ioctl", 1, &["PERF_EVENT_IOC_", "TIOCG", "TIOCS", "FIO"], &[0, 0, 0]),
];

#[test]
fn constants_are_what_strace_means_by_them() {
    let Some(arch) = traceable() else { return };
    let mut rows: Vec<(&str, usize, &str, u64, Value)> = Vec::new();
    for (call, nth, prefixes, others) in ARGUMENTS {
        let Some(number) = arch.syscall(call) else { continue };
        let is_one =
            |name: &&str| prefixes.iter().any(|prefix| name.starts_with(prefix)) && !NO_FLAGS.contains(name);
        for name in constant_names().filter(is_one) {
            let Some(value) = constant(arch, name) else { continue };
            let mut passed = others.to_vec();
            passed[*nth] = value;
            rows.push((*call, *nth, name, value, json!([&[number], passed.as_slice()].concat())));
        }
    }
    let calls: Vec<Value> = rows.iter().map(|row| row.4.clone()).collect();
    let (mut wrong, mut named) = (Vec::new(), 0);
    for ((call, nth, name, value, _), printed) in rows.iter().zip(traced(arch, &calls)) {
        let argument = arguments(&printed)[*nth].to_owned();
        named += usize::from(argument.contains(name));
        // Most arguments are ints.
        match meant(arch, &argument) {
            Ok(meant) if meant as u32 == *value as u32 => {}
            other => wrong.push(format!("{call}: {name} ({value:#x}) is {argument} for strace: {other:x?}")),
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(named > 500, "only {named} of {} have a name", rows.len());
}
