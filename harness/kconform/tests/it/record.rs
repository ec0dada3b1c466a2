//! `kconform record`: a program's calls of bpf(2) as a case. The program is kconform itself, whose agent calls what a case says.

use std::path::Path;
use std::process::Command;

use crate::program::{Place, not_here};

const CASES: &str = "cases:
  - name: two elements
    steps:
      - bpf: [BPF_MAP_CREATE, {map_type: BPF_MAP_TYPE_HASH, key_size: 4, value_size: 8, max_entries: 7, map_name: {str: hits}}]
        save: map
      - bpf: [BPF_MAP_UPDATE_ELEM, {map_fd: $map, key: {u32: 1}, value: {u64: 42}}]
      - fcntl: [$map, F_DUPFD_CLOEXEC, 10]
        save: again
      - fork:
          - bpf: [BPF_MAP_LOOKUP_ELEM, {map_fd: $again, key: {u32: 1}, value: {out: 8}}]
            expect: {value: {u64: 42}}
      - bpf: [BPF_PROG_LOAD, {prog_type: BPF_PROG_TYPE_SOCKET_FILTER, license: {str: GPL},
          insns: {insns: [\"BPF_LD_MAP_FD(BPF_REG_1, $map)\", \"BPF_MOV64_IMM(BPF_REG_0, 5)\", \"BPF_EXIT_INSN()\"]}}]
        save: prog
      - bpf: [BPF_PROG_TEST_RUN, {prog_fd: $prog, data_in: {zero: 64}}]
        expect: {retval: 5}
      - bpf: [BPF_MAP_UPDATE_ELEM, {map_fd: $map, key: {u32: 1}, value: {u64: 43}, flags: BPF_NOEXIST}]
        errno: EEXIST
";

#[test]
fn a_program_becomes_a_case_that_passes() {
    let place = Place::with(CASES);
    let kconform = env!("CARGO_BIN_EXE_kconform");
    let inner = [kconform, "run", "--target", "native", "--no-check-leaks", "--cases", "cases"];
    let words = [&["record", "-o", "recorded.yaml", "--"][..], &inner].concat();
    let said = place.say(&words).assert_status(0);
    let count = said
        .err
        .lines()
        .last()
        .unwrap_or_default()
        .split_whitespace()
        .map(|word| if word.parse::<usize>().is_ok() { "N" } else { word });
    let count = count.collect::<Vec<_>>().join(" ");
    assert_eq!(
        count,
        "N steps; N calls left out, which stand in comments; N taken out, on which nothing depends"
    );
    let text = std::fs::read_to_string(place.here().join("recorded.yaml")).expect("written");
    for line in [
        "max_entries: 7,",
        "save: hits",
        "{map_fd: $hits, key: {u32: 1}, value: {u64: 42}}",
        "expect: {value: {u64: 42}}",
        "BPF_LD_MAP_FD(BPF_REG_1, $hits)",
        "expect: {retval: 5}",
        "flags: BPF_NOEXIST}",
        "errno: EEXIST",
    ] {
        assert!(text.contains(line), "{line:?} is not in\n{text}");
    }
    place.say(&["check", "recorded.yaml"]).assert_status(0);
    let ran = place.say(&["run", "--cases", "recorded.yaml", "--target", "native"]).assert_status(0);
    assert!(ran.out.contains("1 passed"), "{}", ran.all());
}

#[test]
fn a_program_that_fails_is_recorded_all_the_same() {
    let place = Place::with(&CASES.replace("retval: 5", "retval: 6"));
    let inner =
        [env!("CARGO_BIN_EXE_kconform"), "run", "--target", "native", "--no-check-leaks", "--cases", "cases"];
    // Without -o the file is all that standard output has.
    let said = place.say(&[&["record", "--"][..], &inner].concat()).assert_status(0);
    assert!(said.err.contains("note: the program ended with exit status 1\n"), "{}", said.all());
    assert!(said.out.starts_with("about: ") && said.out.contains("expect: {retval: 5}"), "{}", said.all());
}

#[test]
fn what_cannot_be_recorded_is_lost() {
    let place = Place::new();
    let said = place.say(&["record", "--", "true"]).assert_status(3);
    assert!(
        said.err.ends_with("true made no call of bpf(2) that a case can repeat; exit status: 0\n"),
        "{}",
        said.all()
    );
    let said = place.say(&["record", "--", "/no/such/program"]).assert_status(3);
    assert!(
        said.err.contains("/no/such/program cannot be started: No such file or directory"),
        "{}",
        said.all()
    );
    // A tracer's program cannot be traced by another.
    let kconform = env!("CARGO_BIN_EXE_kconform");
    let said = place.say(&["record", "--", kconform, "record", "--", "true"]).assert_status(3);
    let why = "true cannot be traced: Operation not permitted (os error 1); ptrace(2) is not allowed here: run kconform as root, \
        not below another tracer (strace, gdb), with kernel.yama.ptrace_scope below 3, and in a container with --cap-add=SYS_PTRACE";
    assert!(said.err.contains(why), "{}", said.all());
    let said = place.say(&["record", "--", "sh", "-c", "exit 4"]).assert_status(3);
    assert!(said.err.contains("exit status: 4"), "{}", said.all());
    let said = place.say(&["record"]).assert_status(2);
    assert!(said.err.contains("PROGRAM"), "{}", said.all());
}

/// What docs/recording.md has its readers do.
#[test]
fn a_program_of_the_documents_becomes_a_case_and_a_report() {
    let place = Place::new();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples/freeze.c");
    let compile = |words: &[&str]| {
        let cc = Command::new("cc").args(words).current_dir(place.here()).status();
        assert!(cc.expect("there is a C compiler").success());
    };
    compile(&["-Wall", "-Wextra", "-Werror", "-o", "freeze", source.to_str().expect("UTF-8")]);
    let said = place.say(&["record", "-o", "freeze.yaml", "--", "./freeze"]).assert_status(0);
    let end = "3 steps; 0 calls left out, which stand in comments; 0 taken out, on which nothing depends\n";
    assert!(said.err.ends_with(end), "{}", said.all());
    place.say(&["check", "freeze.yaml"]).assert_status(0);
    let run = ["run", "--cases", "freeze.yaml", "--target", "native"];
    place.say(&run).assert_status(0);

    // The kernel here has one errno for it, and now the other is wanted.
    let file = place.here().join("freeze.yaml");
    let text = std::fs::read_to_string(&file).expect("written");
    let other = match text.contains("errno: EPERM") {
        true => text.replace("errno: EPERM", "errno: EBUSY"),
        false => text.replace("errno: EBUSY", "errno: EPERM"),
    };
    assert_ne!(text, other);
    std::fs::write(&file, other).expect("written");
    let said = place.say(&run).assert_status(1);
    assert!(said.out.contains("--> freeze.yaml:12:9"), "{}", said.all());
    place.say(&["export", "c", "--cases", "freeze.yaml", "-o", "case.c", "freeze"]).assert_status(0);
    compile(&["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-pthread", "-o", "case", "case.c"]);
    let ran = Command::new(place.here().join("case")).output().expect("it can be started");
    let out = String::from_utf8_lossy(&ran.stdout);
    assert!(out.ends_with("not ok 1 freeze::freeze\n"), "{out}");
    assert_eq!(ran.status.code(), Some(1), "{out}");
}

/// strace and kconform tell the same of a program that uses no memory but its attrs.
#[test]
fn a_log_of_strace_says_what_a_recording_says() {
    let place = Place::new();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples/freeze.c");
    let here = |program: &str, words: &[&str]| {
        Command::new(program).args(words).current_dir(place.here()).output().ok().map(|output| output.status)
    };
    let built = here("cc", &["-o", "freeze", source.to_str().expect("UTF-8")]);
    assert!(built.expect("there is a C compiler").success());
    let traced = here("strace", &["-f", "-v", "-xx", "-s", "65536", "-o", "log", "./freeze"]);
    if traced.is_none() || !place.here().join("log").exists() {
        let required = std::env::var_os("KCONFORM_REQUIRE_STRACE").is_some_and(|value| !value.is_empty());
        assert!(!required, "strace is not here, or may not trace");
        return not_here("strace is not here, or may not trace (Debian: strace)");
    }
    place.say(&["record", "-o", "live.yaml", "--", "./freeze"]).assert_status(0);
    let said = place.say(&["record", "-o", "log.yaml", "--strace", "log"]).assert_status(0);
    let end = "3 steps; 0 calls left out, which stand in comments; 0 taken out, on which nothing depends\n";
    assert!(said.err.ends_with(end), "{}", said.all());
    let read = |name: &str| std::fs::read_to_string(place.here().join(name)).expect("written");
    let (live, log) = (read("live.yaml"), read("log.yaml"));
    assert!(log.starts_with("about: \"Recorded from a log of strace of `./freeze`.\"\n"), "{log}");
    let rest = |text: &str| text.split_once('\n').expect("lines").1.to_owned();
    assert_eq!(rest(&log), rest(&live));
}

#[test]
fn a_log_that_says_nothing_is_told() {
    let place = Place::new();
    let write = |name: &str, text: &str| std::fs::write(place.here().join(name), text).expect("written");
    let say =
        |words: &[&str], status| place.say(&[&["record"][..], words].concat()).assert_status(status).all();
    let ids =
        (0..7).map(|n| format!("bpf(BPF_MAP_CREATE, {{map_type=BPF_MAP_TYPE_N{n}, key_size=4}}, 72) = 3\n"));
    write("many", &ids.collect::<String>());
    write("raw", "bpf(0, 0x7ffc00, 72) = 3\n");
    write(
        "cut",
        "bpf(BPF_MAP_CREATE, {map_type=BPF_MAP_TYPE_NONE}, 72) = 3\nbpf(BPF_MAP_CREATE, {map_ = 3\n",
    );
    write("few", "bpf(BPF_MAP_FREEZE, {map_fd=-1}, 24) = -1 EBADF (Bad file descriptor)\n");
    let told = [
        say(&["--strace", "few"], 0),
        say(&["--strace", "raw"], 2),
        say(&["--strace", "cut"], 3),
        say(&["--strace", "many"], 3),
        say(&["--strace", "nowhere"], 2),
        say(&["--strace", "raw", "--", "true"], 2),
    ];
    insta::assert_snapshot!(told.join("\n"));
}
