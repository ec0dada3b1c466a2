//! `kconform bless`: case files expect what a kernel does.

use std::path::Path;

use crate::guests::is_set_up;
use crate::program::{Place, not_here};

const CASES: &str = "about: Expectations that this kernel does not meet.
cases:
  # A comment that stays.
  - name: a hash
    steps:
      - bpf: [BPF_MAP_CREATE, {map_type: BPF_MAP_TYPE_HASH, key_size: 4, value_size: 8, max_entries: 1}]
        save: map
      - bpf: [BPF_MAP_UPDATE_ELEM, {map_fd: $map, key: {u32: 1}, value: {u64: 42}}]
      - bpf: [BPF_MAP_UPDATE_ELEM, {map_fd: $map, key: {u32: 1}, value: {u64: 43},
          flags: BPF_NOEXIST}]   # there already
      - bpf: [BPF_MAP_UPDATE_ELEM, {map_fd: $map, key: {u32: 2}, value: {u64: 43}}]
        errno: ENOENT   # full
      - {bpf: [BPF_MAP_LOOKUP_ELEM, {map_fd: $map, key: {u32: 1}, value: {out: 8}}], expect: {value: {u64: 7}}}
      - {bpf: [BPF_MAP_LOOKUP_ELEM, {map_fd: $map, key: {u32: 9}, value: {out: 8}}]}
      - bpf: [BPF_MAP_DELETE_ELEM, {map_fd: $map, key: {u32: 1}}]
        errno: EINVAL
      - bpf: [BPF_MAP_GET_NEXT_KEY, {map_fd: $map, key: 0, next_key: {out: 4}}]
  - name: a table
    each:
      - {case: hash, type: BPF_MAP_TYPE_HASH, errno: EINVAL}
      - {case: array, type: BPF_MAP_TYPE_ARRAY, errno: none}
    steps:
      - bpf: [BPF_MAP_CREATE, {map_type: $type, key_size: 4, value_size: 8, max_entries: 1}]
        save: map
      - bpf: [BPF_MAP_DELETE_ELEM, {map_fd: $map, key: {u32: 0}}]
        errno: $errno
      - bpf: [BPF_MAP_LOOKUP_ELEM, {map_fd: $map, key: {u32: 0}, value: {out: 8}}]
";

#[test]
fn a_file_expects_what_the_kernel_does() {
    let place = Place::with(CASES);
    let words = ["bless", "cases", "--target", "native", "--yes", "--quiet"];
    // The two rows need different words where they have the same.
    let said = place.say(&words).assert_status(1);
    insta::assert_snapshot!("bless", said.all());
    let case = ["run", "--cases", "cases", "--target", "native", "a_hash"];
    place.say(&case).assert_status(0);
    let again = place.say(&words).assert_status(1);
    assert!(again.err.contains("0 changes in 0 files; 1 left as they are; 3 cases ran"), "{}", again.all());
}

#[test]
fn nothing_is_written_unasked() {
    let place = Place::with(CASES);
    let said =
        place.say(&["bless", "cases", "--target", "native", "--case", "a_hash", "-q"]).assert_status(1);
    assert!(said.err.ends_with("nothing was written: --yes writes without asking\n"), "{}", said.all());
    assert_eq!(std::fs::read_to_string(place.here().join("cases/s.yaml")).expect("a file"), CASES);
}

#[test]
fn what_cannot_be_done_is_told() {
    let place = Place::with(&CASES.replace("BPF_NOEXIST", "BPF_NOEXISTS"));
    let said = place.say(&["bless", "cases", "--target", "native"]).assert_status(2);
    assert!(said.err.contains("did you mean BPF_NOEXIST?"), "{}", said.all());
    let place = Place::with(CASES);
    let said = place.say(&["bless", "cases", "--target", "natve"]).assert_status(2);
    assert!(said.err.contains("natve"), "{}", said.all());
    let said = place.say(&["bless", "cases", "--target", "native", "--case", "a_hahs"]).assert_status(2);
    assert!(said.err.contains("no case matches \"a_hahs\""), "{}", said.all());
    let never = CASES.replace("cases:\n", "requires: {kernel: \"<2.0\"}\ncases:\n");
    let place = Place::with(&never);
    let said = place.say(&["bless", "cases", "--target", "native", "-q"]).assert_status(3);
    assert!(said.err.contains("s::a_hash was not run: needs Linux <2.0"), "{}", said.all());
    assert!(said.err.ends_with("nothing was written: no case ran\n"), "{}", said.all());
}

#[test]
fn what_stands_elsewhere_is_not_changed() {
    let place = Place::with(
        "cases:
  - name: closed
    each: [{case: a, fd: 40, ret: 0}, {case: b, fd: 41, ret: 1}]
    steps:
      - close: [$fd]
        ret: $ret
",
    );
    let said = place.say(&["bless", "cases", "--target", "native", "-q"]).assert_status(1);
    let wanted = "note: cases/s.yaml:3:35: s::closed[a]
  not changed: 0 comes from elsewhere, and its key cannot say `errno: EBADF`
";
    assert!(said.err.starts_with(wanted), "{}", said.all());
}

#[test]
fn what_no_call_answers_is_not_changed() {
    let place = Place::with("cases: [{name: ends, steps: [{exit_group: [3]}, {getpid: []}]}]\n");
    let said = place.say(&["bless", "cases", "--target", "native", "-q"]).assert_status(1);
    let wanted = "not changed: only what calls of a case answer is changed: expected success, but the process exited with status 3";
    assert!(said.err.contains(wanted), "{}", said.all());
}

#[test]
fn a_kernel_that_cannot_run_says_nothing() {
    let place = Place::with(CASES).env("PATH", "/nowhere");
    let said = place.say(&["bless", "cases", "--target", "x86_64", "-y", "-q"]).assert_status(3);
    assert!(said.err.contains("nothing was written: s::a_hash was lost: "), "{}", said.all());
    assert_eq!(std::fs::read_to_string(place.here().join("cases/s.yaml")).expect("a file"), CASES);
}

#[test]
fn of_many_cases_that_do_not_run_a_few_are_named() {
    let rows: String = (0..7).map(|nth| format!("      - {{case: \"{nth}\", nth: {nth}}}\n")).collect();
    let place = Place::with(&format!(
        "cases:
  - name: none
    requires: {{kernel: \"<2.0\"}}
    each:
{rows}    steps: [{{close: [$nth]}}]
  - name: one
    steps: [{{getpid: []}}]
"
    ));
    let said = place.say(&["bless", "cases", "--target", "native", "-q"]).assert_status(0);
    assert!(
        said.err.contains("2 more cases were not run\n0 changes in 0 files; 0 left as they are; 1 case ran"),
        "{}",
        said.all()
    );
}

#[test]
fn outputs_of_which_nothing_is_said_are_filled_in() {
    let place = Place::with(
        "cases:
  - name: outputs
    steps:
      - bpf: [BPF_MAP_CREATE, {map_type: BPF_MAP_TYPE_ARRAY, key_size: 4, value_size: 8, max_entries: 2}]
        save: map
      - bpf: [BPF_MAP_UPDATE_ELEM, {map_fd: $map, key: {u32: 1}, value: {u64: 42}}]
      - bpf: [BPF_MAP_LOOKUP_ELEM, {map_fd: $map, key: {u32: 1}, value: {out: 8}}]
      - bpf: [BPF_MAP_GET_NEXT_KEY, {map_fd: $map, key: 0, next_key: {out: 4}}]
      - bpf: [BPF_PROG_LOAD, {prog_type: BPF_PROG_TYPE_SOCKET_FILTER, license: {str: GPL},
          insns: {insns: [\"BPF_MOV64_IMM(BPF_REG_0, 5)\", \"BPF_EXIT_INSN()\"]}}]
        save: prog
      - bpf: [BPF_PROG_TEST_RUN, {prog_fd: $prog, data_in: {zero: 64}}]
      - getrandom: [{out: 8}, 8, 0]
",
    );
    let said = place.say(&["bless", "cases", "--target", "native", "--outputs", "-y", "-q"]).assert_status(1);
    let added: Vec<&str> = said.out.lines().filter(|line| line.starts_with("+ ")).collect();
    let wanted = ["value: {u64: 42}", "next_key: {u32: 0}", "retval: 5"];
    assert_eq!(added, wanted.map(|want| format!("+        expect: {{{want}}}")), "{}", said.all());
    // Random numbers are no promise.
    assert!(
        said.err.contains("not changed: what the kernel answers differs from run to run"),
        "{}",
        said.all()
    );
}

/// Suites whose expectations a kernel restores, byte for byte, when all that stand on lines of their own are gone.
const RESTORED: &[&str] = &[
    "map/array",
    "map/hash",
    "map/array_limits",
    "map/batch",
    "map/freeze",
    "map/queue_stack",
    "map/lpm_trie",
    "map/percpu",
    "map/create",
    "map/lru",
    "map/map_in_map",
    "map/ringbuf",
    "map/sockmap",
    "map/devmap",
    "map/fd_array",
    "map/exclusive",
    "map/spin_lock",
    "map/reuseport_array",
    "map/xskmap",
    "map/hash_large",
];

#[test]
fn errnos_that_were_removed_come_back() {
    let suites = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cases");
    let place = Place::with(CASES);
    let ours = place.here().join("restored");
    std::fs::create_dir_all(ours.join("bpf/map")).expect("folders");
    std::fs::copy(suites.join("probes.yaml"), ours.join("probes.yaml")).expect("a copy");
    let mut removed = 0;
    for suite in RESTORED {
        let name = format!("bpf/{suite}.yaml");
        let text = std::fs::read_to_string(suites.join(&name)).expect("a suite");
        let kept =
            text.lines().filter(|line| !is_errno(line)).map(|line| format!("{line}\n")).collect::<String>();
        removed += text.lines().filter(|line| is_errno(line)).count();
        std::fs::write(ours.join(&name), kept).expect("written");
    }
    let said = place.say(&["bless", "restored", "--target", "native", "-y", "-q"]);
    if said.err.contains(" not run") {
        return not_here("suites that this kernel does not run in full");
    }
    assert!(said.err.contains(&format!("{removed} changes in ")), "{removed}: {}", said.err);
    for suite in RESTORED {
        let name = format!("bpf/{suite}.yaml");
        let read = |folder: &Path| std::fs::read_to_string(folder.join(&name)).expect("a suite");
        assert_eq!(read(&ours), read(&suites), "{name}");
    }
}

/// `errno: ENOENT` on a line of its own, as a step has it.
fn is_errno(line: &str) -> bool {
    let name = line.strip_prefix("        errno: ").unwrap_or_default();
    name.starts_with('E') && name.chars().all(|c| c.is_ascii_alphanumeric())
}

/// The two kernels are of one version, so what tells them apart is the architecture.
#[test]
fn what_another_kernel_does_is_an_except() {
    if !["x86_64", "riscv64"].iter().all(|name| is_set_up(name)) {
        return not_here("the guests x86_64 and riscv64");
    }
    let place = Place::with(
        "cases:
  - name: the time stamp counter
    steps:
      - prctl: [25, {out: 4}]   # PR_GET_TSC
      - getpid: []
  - name: the machine
    steps:
      - openat: [AT_FDCWD, {str: /proc/sys/kernel/arch}, O_RDONLY]
        save: fd
      - {read: [$fd, {out: 4, as: arch}, 4], ret: 4, expect: {arch: {u32: 0x5f363878}}}
  - name: held already
    steps:
      - prctl: [25, {out: 4}]
        except: [{when: {arch: riscv64}, errno: EPERM}]
  - name: a remark
    steps:
      - openat: [AT_FDCWD, {str: /proc/sys/kernel/arch}, O_RDONLY]
        save: fd
      - read: [$fd, {list: [{out: 4, as: name}, {out: 8}, {out: 4, as: behind}]}, 16]
        expect:
          name: {u32: 0x5f363878}
          behind: {list: [{u16: 0},   # nothing
            {u16: 0}]}
  - name: both
    each: [{case: tsc, option: 25}, {case: name, option: 16}]
    steps:
      - prctl: [$option, {out: 16}]
",
    );
    let words = ["bless", "cases", "--target", "x86_64", "--except-on", "riscv64", "--yes", "--quiet"];
    let said = place.say(&words).assert_status(1);
    insta::with_settings!({filters => [(r"\d+\.\d+\.\d+", "[version]"), (r"(, \[version\])* and \[version\]", "")]}, {
        insta::assert_snapshot!("bless_except_on", said.all());
    });
    let run = ["run", "--cases", "cases", "--target", "x86_64,riscv64", "s::the_*"];
    place.say(&run).assert_status(0);
    let again = place.say(&words).assert_status(1);
    assert!(again.err.contains("0 changes in 0 files; 3 left as they are; 6 cases ran"), "{}", again.all());
}

#[test]
fn a_kernel_cannot_be_right_and_another_one() {
    let place = Place::with(CASES);
    let words = ["bless", "cases", "--target", "x86_64", "--except-on", "x86_64-6.12"];
    let said = place.say(&words).assert_status(2);
    let wanted = "x86_64-6.12 cannot be the kernel that is right and another one too";
    assert!(said.err.contains(wanted), "{}", said.all());
}
