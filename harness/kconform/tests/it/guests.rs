//! Cases that do their worst to a guest, among healthy ones: each is told rightly, and costs the others nothing.

use rstest::rstest;

use crate::program::{Place, Said, not_here};

/// Whether guests of an architecture can be started here; says why not, and fails where they are required.
pub(crate) fn is_set_up(arch: &str) -> bool {
    let targets = Place::new().say(&["targets"]);
    let line = targets.out.lines().find(|line| line.split([' ', ',']).any(|word| word == arch));
    let line = line.unwrap_or_else(|| panic!("no target {arch}: {}", targets.all()));
    let ready = line.ends_with("  ready");
    if !ready {
        let required = std::env::var_os("KCONFORM_REQUIRE_GUESTS").is_some_and(|v| !v.is_empty() && v != "0");
        // The others are set up only where somebody asked for them.
        assert!(!required || !["x86_64", "riscv64"].contains(&arch), "guests are required: {line}");
        not_here(&format!("guests of {arch}: {line}"));
    }
    ready
}

/// Runs a file of `tests/data/hostile` in a guest.
fn run(arch: &str, file: &str) -> Said {
    Place::data().say(&["run", "--target", arch, "--verbose", "--cases", &format!("hostile/{file}.yaml")])
}

/// What is said of a case, from its verdict to the next one's.
pub(crate) fn told<'a>(said: &'a Said, case: &str, arch: &str) -> &'a str {
    let title = format!("{case} on {arch}\n");
    let start = said.out.find(&title).unwrap_or_else(|| panic!("nothing of {case}:\n{}", said.all()));
    let start = said.out[..start].rfind('\n').map_or(0, |line| line + 1);
    let rest = &said.out[start..];
    let end = ["\n\n", "\npassed "].iter().filter_map(|end| rest.find(end)).min();
    &rest[..end.unwrap_or(rest.len())]
}

#[rstest]
fn a_faulty_case_costs_the_others_nothing(#[values("x86_64", "riscv64", "aarch64", "s390x")] arch: &str) {
    if !is_set_up(arch) {
        return;
    }
    let said = run(arch, "guest").assert_status(1);
    let passed = [
        "healthy_1",
        "healthy_2",
        "healthy_3",
        "healthy_4",
        "healthy_5",
        "healthy_6",
        "closes_all_fds",
        "leaves_a_daemon",
        "kills_PID_1_and_everything_else",
        "leaves_orphans_to_PID_1_that_end",
        "sets_a_sysctl",
        "has_the_sysctl_as_it_was",
    ];
    for case in passed {
        assert!(told(&said, &format!("guest::{case}"), arch).starts_with("passed "), "{}", said.all());
    }
    let faulty = [
        ("kills_itself", "FAILED", "killed by SIGKILL"),
        ("takes_all_the_memory", "FAILED", "mmap("),
        ("panics_the_kernel", "CRASHED", "Kernel panic - not syncing: sysrq triggered crash"),
        ("never_ends", "TIMED OUT", "ppoll(NULL, 0, NULL, NULL) = ? <unfinished: its time was over>"),
        ("never_rests,_at_the_highest_priority", "TIMED OUT", "its time was over"),
        ("fails_within_a_sysctl", "FAILED", "close(99) = -1 EBADF"),
    ];
    for (case, verdict, text) in faulty {
        let told = told(&said, &format!("guest::{case}"), arch);
        assert!(told.starts_with(verdict) && told.contains(text), "{told}\nin\n{}", said.all());
    }
    // On a busy machine there are notes of cases that timed out, and ran again with more time.
    let counts = "12 passed, 3 failed, 2 timed out, 1 crashed";
    assert!(said.counts(arch).starts_with(counts), "{}", said.all());
}

/// A guest starts while case files are read; where there turns out to be nothing to run, it is gone again.
#[rstest]
#[case::mistakes("cases: [{name: x, steps: [{dupp: [0]}]}]", "no-pattern", "did you mean dup?")]
#[case::nothing_selected("cases: [{name: x, steps: [{dup: [0]}]}]", "other::*", "no case")]
fn a_guest_that_nobody_needs_is_ended(
    #[case] file: &str,
    #[case] pattern: &str,
    #[case] says: &str,
    #[values(&[], &["--cold"])] more: &[&str],
) {
    if !is_set_up("x86_64") {
        return;
    }
    let words = ["run", "--target", "x86_64,riscv64", pattern];
    let said = Place::with(file).say(&[&words[..], more].concat()).assert_status(2);
    assert!(said.err.contains(says), "{}", said.all());
}

/// A case that asks for a fresh guest sees nothing of those before it, leaves nothing to those after it, and the others go
/// on sharing one. (The folder is left by the first case in the guest that the second one may not have.)
#[rstest]
fn a_fresh_case_has_a_guest_that_is_thrown_away(#[values("x86_64", "riscv64")] arch: &str) {
    if !is_set_up(arch) {
        return;
    }
    let words = ["run", "--target", arch, "--verbose", "--jobs", "1", "--cases", "hostile/fresh.yaml"];
    let said = Place::data().say(&words).assert_status(0);
    assert_eq!(said.counts(arch), "5 passed", "{}", said.all());
}

/// What one case leaves on its kernel is not there for the next; and the report keeps to the order of the file.
#[rstest]
fn an_isolated_case_has_a_kernel_for_itself(#[values("1", "2")] jobs: &str) {
    if !is_set_up("riscv64") {
        return;
    }
    let words = ["run", "--target", "riscv64", "--verbose", "--cases", "hostile/isolated.yaml"];
    let shared = Place::data().say(&words).assert_status(0);
    assert!(
        shared.out.contains("finds_none on riscv64: it failed after isolated::leaves_a_folder"),
        "{}",
        shared.all()
    );
    let said = Place::data().say(&[&words[..], &["--isolate", "guest", "--jobs", jobs]].concat());
    assert_eq!(said.counts("riscv64"), "3 passed", "{}", said.all());
    assert!(!said.out.contains("to note:"), "{}", said.all());
    let place = |case: &str| said.out.find(&format!("isolated::{case} on")).unwrap_or_default();
    assert!(place("leaves_a_folder") < place("finds_none"), "{}", said.all());
    assert!(place("finds_none") < place("finds_none_either"), "{}", said.all());
}

/// Nothing is known of a case under which the guest goes away without a word, and that is never a pass.
#[rstest]
fn a_guest_that_goes_away_costs_one_case(#[values("x86_64", "riscv64", "aarch64", "s390x")] arch: &str) {
    if !is_set_up(arch) {
        return;
    }
    let said = run(arch, "fatal");
    assert!(matches!(said.status, Some(1 | 3)), "{}", said.all());
    for case in ["healthy_1", "healthy_2", "healthy_3"] {
        assert!(told(&said, &format!("fatal::{case}"), arch).starts_with("passed "), "{}", said.all());
    }
    for case in ["reboots", "powers_off"] {
        let told = told(&said, &format!("fatal::{case}"), arch);
        assert!(told.starts_with("LOST") || told.starts_with("CRASHED"), "{told}\nin\n{}", said.all());
    }
    assert!(said.counts(arch).starts_with("3 passed, 2 "), "{}", said.all());
}

/// The same file on this machine's own kernel: what would hurt it is skipped.
#[test]
fn natively_what_would_hurt_is_skipped() {
    let said = run("native", "guest").assert_status(1);
    assert_eq!(said.counts("native"), "9 passed, 1 failed, 1 timed out, 7 skipped", "{}", said.all());
}

/// Every form of case, in guests: another architecture, another kernel, the same contract.
#[rstest]
fn cases_of_every_form_pass(#[values("x86_64", "riscv64", "aarch64", "s390x")] arch: &str) {
    if !is_set_up(arch) {
        return;
    }
    let said = Place::data().say(&["run", "--target", arch, "--cases", "format"]).assert_status(0);
    assert!(!said.counts(arch).starts_with("0 passed"), "{}", said.all());
}

/// A sysctl is set in its block and put back after it.
#[test]
fn sysctls_are_put_back() {
    if !is_set_up("x86_64") {
        return;
    }
    let read = |value: &str| {
        format!(
            "\n          - openat: [AT_FDCWD, {{str: /proc/sys/kernel/panic_on_warn}}, O_RDONLY]\n            save: fd\n          - read: [$fd, {{out: 2}}, 2]\n            expect: {{arg1: {{hex: \"3{value} 0a\"}}}}"
        )
    };
    let place = Place::with(&format!(
        "cases:\n  - name: set and put back\n    exclusive: true\n    guest_only: true\n    steps:\n      - fork: {}\n      - sysctl:\n          kernel.panic_on_warn: 1\n          steps: {}\n      - fork: {}\n",
        read("0"),
        read("1"),
        read("0")
    ));
    let said = place.say(&["run", "--target", "x86_64"]).assert_status(0);
    assert_eq!(said.counts("x86_64"), "1 passed", "{}", said.all());
}

/// Guests of one snapshot draw random numbers of their own. An x86_64 guest draws them again with the same seed, whether its
/// first case is alone or not.
#[rstest]
fn guests_of_a_snapshot_draw_other_random_numbers(#[values("x86_64", "riscv64")] arch: &str) {
    if !is_set_up(arch) {
        return;
    }
    let draws = "steps: [{getrandom: [{out: 8}, 8, 0], expect: {arg0: {u64: 0}}}]";
    let place = Place::with(&format!("cases:\n  - {{name: one, {draws}}}\n  - {{name: two, {draws}}}\n"));
    // They are told, since they are not what is expected; and the seed.
    let drawn = |words: &[&str]| {
        let said = place.say(&[&["run", "--verbose", "--target", arch][..], words].concat()).assert_status(1);
        let (_, seed) = said
            .out
            .split_once("guests are sent the same random numbers again with --seed ")
            .expect("the seed is told");
        let numbers: Vec<String> = said
            .out
            .lines()
            .filter_map(|line| line.trim().strip_prefix("> getrandom(["))
            .map(|line| line.split_once(']').expect("the end of a buffer").0.to_owned())
            .collect();
        (numbers, seed.trim().to_owned())
    };
    let (first, seed) = drawn(&["*one"]);
    // Of 256 seeds one leads to the same numbers.
    let others = (0..3).map(|_| drawn(&["*one"]).0).filter(|numbers| *numbers != first).count();
    assert!(others > 0, "{first:?}");
    if arch == "x86_64" {
        assert_eq!(drawn(&["*one", "--seed", &seed]), (first.clone(), seed.clone()));
        let (both, _) = drawn(&["--seed", &seed, "--isolate", "guest"]);
        assert_eq!((both.len(), &both[0]), (2, &first[0]));
        assert_ne!(both[0], both[1]);
    }
}

/// One case a kind of object that a pin keeps, in turn with cases that leave nothing.
#[rstest]
fn what_outlives_a_case_is_found(#[values("x86_64", "riscv64")] arch: &str) {
    if !is_set_up(arch) {
        return;
    }
    let run = |more: &[&str]| {
        let words = ["run", "--target", arch, "--verbose", "--cases", "hostile/leaks.yaml"];
        Place::data().say(&[&words[..], more].concat())
    };
    let said = run(&[]).assert_status(1);
    for (case, left) in [
        ("leaves_a_map", "(BPF_MAP_TYPE_ARRAY, pinned at /sys/fs/bpf/map)"),
        ("leaves_a_map", "that was undone (rm /sys/fs/bpf/map)"),
        ("leaves_a_program", "(BPF_PROG_TYPE_SOCKET_FILTER, pinned at /sys/fs/bpf/program)"),
        ("leaves_a_link", "(BPF_LINK_TYPE_CGROUP, pinned at /sys/fs/bpf/link)"),
        ("leaves_a_link", "(BPF_PROG_TYPE_CGROUP_SKB, attached by link "),
        ("leaves_a_map_with_BTF", ", BTF "),
    ] {
        let told = told(&said, &format!("leaks::{case}"), arch);
        let outlives = told.find("what the case made outlives its processes: ").map(|at| &told[at..]);
        assert!(
            told.starts_with("FAILED") && outlives.is_some_and(|text| text.contains(left)),
            "{}",
            said.all()
        );
    }
    for case in ["leaves_nothing", "leaves_nothing_either", "closes_late"] {
        assert!(told(&said, &format!("leaks::{case}"), arch).starts_with("passed "), "{}", said.all());
    }
    let said = run(&["--no-check-leaks"]).assert_status(0);
    assert_eq!(said.counts(arch), "7 passed", "{}", said.all());
    // A kernel of its own has nothing of others'.
    let said = run(&["--check-leaks", "--isolate", "guest"]).assert_status(1);
    assert_eq!(said.counts(arch), "3 passed, 4 failed", "{}", said.all());
}

/// The first case of a restored guest has a process that was there before; it cannot tell that from one of its own.
#[rstest]
fn the_first_case_of_a_guest_begins_like_any_other(#[values("x86_64", "riscv64")] arch: &str) {
    if !is_set_up(arch) {
        return;
    }
    let steps = "      - getpid: []
        save: pid
      - getsid: [0]
        ret: $pid
      - getppid: []
        ret: 1
      - rt_sigprocmask: [SIG_BLOCK, null, {out: 8}, 8]
        expect: {arg2: {u64: 0}}
      - fcntl: [2, F_GETFD, 0]
        ret: 0
      - fcntl: [3, F_GETFD, 0]
        errno: EBADF
      - fcntl: [32, F_GETFD, 0]
        errno: EBADF
      - fcntl: [33, F_GETFD, 0]
        errno: EBADF
      - dup: [0]
        ret: 3
      - openat: [AT_FDCWD, {str: /proc/self/oom_score_adj}, O_RDONLY]
        ret: 4
      - read: [4, {out: 5}, 5]
        expect: {arg1: {hex: 31 30 30 30 0a}}
";
    // More than a pipe holds at a time.
    let long = "      - umask: [18]\n        ret: 18\n".repeat(2000);
    let cases: String = ["first", "second", "third"]
        .iter()
        .map(|name| {
            format!("  - name: {name}\n    steps:\n{steps}{}", if *name == "third" { &long } else { "" })
        })
        .collect();
    let place = Place::with(&format!("cases:\n{cases}"));
    for more in [&[][..], &["--isolate", "guest"], &["--cold"]] {
        let said = place.say(&[&["run", "--target", arch][..], more].concat()).assert_status(0);
        assert_eq!(said.counts(arch), "3 passed", "{}", said.all());
    }
}
