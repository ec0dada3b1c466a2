//! What becomes of each form; `tests/it/export.rs` compiles and runs it.

use std::path::PathBuf;
use std::sync::Arc;

use rstest::rstest;

use super::{Manner, c_file};
use crate::load::{SuiteFile, load};
use crate::place::File;

fn file(text: &str) -> Result<String, String> {
    file_for(text, Manner::Alone)
}

fn file_for(text: &str, manner: Manner) -> Result<String, String> {
    let file = Arc::new(File { path: PathBuf::from("s.yaml"), text: text.to_owned() });
    let loaded = load(&[SuiteFile { suite: "s".into(), file }]);
    assert!(loaded.mistakes.is_empty(), "{:?}", loaded.mistakes);
    c_file(&loaded.cases[0], manner).map_err(|error| error.to_string())
}

/// The file of a case with these steps.
fn case(steps: &str) -> Result<String, String> {
    file(&format!("source: bpf(2)\ncases:\n  - name: c\n    steps:\n{steps}"))
}

/// From a line on, up to `main`.
fn from<'t>(text: &'t str, line: &str) -> &'t str {
    let begin = text.find(line).unwrap_or_else(|| panic!("{line:?} is not in\n{text}"));
    &text[begin..text.find("int main(").unwrap_or(text.len())]
}

#[test]
fn a_test_for_the_selftests_of_the_kernel() {
    let text = "cases:\n  - name: c [1]\n    source: bpf(2)\n    steps: [{exec: [{getpid: []}]}]\n";
    let text = file_for(text, Manner::Kselftest).expect("it can be exported");
    let end = from(&text, "/* Where execve(2) has come");
    let head = text.split("#include \"../kselftest_harness.h\"").next().expect("its head");
    insta::assert_snapshot!(format!("{head}[…]\n{end}"));
}

#[test]
fn a_program_and_a_map() {
    let text = case(
        "      - bpf: [BPF_MAP_CREATE, {map_type: BPF_MAP_TYPE_HASH, key_size: 4, value_size: 8, max_entries: 7, map_name: {str: hits}}]
        save: map
      - bpf: [BPF_PROG_LOAD, {prog_type: BPF_PROG_TYPE_SOCKET_FILTER, license: {str: GPL}, insns: {insns: [\"BPF_LD_MAP_FD(BPF_REG_1, $map)\",
          \"BPF_LDX_MEM(BPF_W, BPF_REG_0, BPF_REG_FP, offsetof(struct __sk_buff, mark))\", \"BPF_EXIT_INSN()\"]}}]
        about: A program that reads what it may not.
        errno: [EACCES, EINVAL]
      - bpf: [BPF_MAP_UPDATE_ELEM, {map_fd: $map, key: {u32: 0x10}, value: {list: [{u32: 1}, {out: 4, as: half}]}, \"@28\": {u8: 1}}]
        except: [{when: {kernel: \"<5.11\"}, errno: E2BIG, because: It was another size.}]
        expect: {half: {i32: -1}, flags: {min: 0, max: 5}}
        save: {half: half}
",
    );
    let text = text.expect("it can be exported");
    let types = from(&text, "/* As in <linux/bpf.h>").split("/* What all").next().unwrap_or("");
    insta::assert_snapshot!("types", types);
    insta::assert_snapshot!("steps", from(&text, "static void steps(void)"));
}

#[test]
fn what_a_kernel_must_have() {
    let text = file(
        "requires: {kernel: \">=5.6, <6.12\", arch: [x86_64, riscv64], capabilities: [CAP_BPF], config: [CONFIG_BPF, \"!CONFIG_X\"], privileged: true,
  sysctl: {kernel.kptr_restrict: [0, 1], kernel.panic: {min: 3}}, jit: true, lockdown: none, page_size: 4096}
cases:
  - name: c
    source: bpf(2)
    steps: [{arch_prctl: [ARCH_GET_FS, {out: 8}]}]
",
    );
    let text = text.expect("it can be exported");
    insta::assert_snapshot!("requirements", from(&text, "static void check_requirements(void)"));
}

/// A case with about every form that there is.
const EVERYTHING: &str = "about: All of it.
source: [bpf(2), 6.12 kernel/bpf/syscall.c]
probes:
  feature:
    since: \"6.6\"
    absent: EINVAL
    steps: [{bpf: [BPF_PROG_LOAD, {prog_type: BPF_PROG_TYPE_KPROBE}]}]
cases:
  - name: c
    needs: feature
    guest_only: true
    exclusive: true
    known_issue: {when: {kernel: \"<5.1\"}, because: It was broken.}
    steps:
      - bpf: [BPF_MAP_CREATE, {map_type: BPF_MAP_TYPE_PERCPU_ARRAY, key_size: 4, value_size: 4, max_entries: 1}]
        save: map
      - exec: [{fcntl: [$map, F_GETFD], errno: EBADF}]
      - bpf: [BPF_MAP_UPDATE_ELEM, {map_fd: $map, key: {u32: 0}, value: {percpu: [{u32: 1}, {u32: 2}]}}]
      - bpf: [BPF_MAP_LOOKUP_ELEM, {map_fd: $map, key: {u32: 0}, value: {percpu: {out: 4}}}]
        expect: {value: {not: {percpu: {u32: 7}}}}
        eventually: 2
      - unprivileged: {capabilities: [CAP_BPF], steps: [{getpid: [], ret: {min: 1}}]}
      - unprivileged: [{getpid: []}]
      - fork: [{kill: [0, SIGKILL], signal: SIGKILL}]
      - send_fd: {fd: $map, steps: [{fcntl: [$fd, F_GETFD]}]}
      - parallel: [[{getpid: []}], [{dup: [$map], ret: {min: 3, max: 9}}]]
      - repeat: {times: 3, as: i, steps: [{dup: [$i]}]}
      - dup: [$map]
        errno: [none, EMFILE]
        eventually: 1
      - sysctl: {kernel.panic: 3, steps: [{getpid: []}]}
      - bpf: [BPF_MAP_CREATE, {\"@0\": {zero: PAGE_SIZE + 1}}, PAGE_SIZE + 1]
        errno: E2BIG
      - openat2: [AT_FDCWD, {str: /dev/zero}, {struct: [open_how, {flags: O_CLOEXEC}]}, sizeof(struct open_how)]
        save: zero
      - perf_event_open: [{struct: [perf_event_attr, {size: sizeof(struct perf_event_attr), disabled: 1, inherit: 1}]}, 0, -1, -1, 0]
        errno: [none, EACCES, ENOENT]
      - read: [$zero, {out: 20, as: bytes}, 20]
        expect: {bytes: {zero: 20}}
        save: {kept: bytes}
        except:
          - {when: {kernel: \"<3.0\"}, errno: EIO}
          - {when: {kernel: \"<4.0\"}, errno: EBADF, because: It was another.}
      - write: [2, {list: [{bytes: $kept}, {times: [2, {list: [{u8: 1}, {str: \"a$map\"}]}]}, {insns: [\"BPF_LD_IMM64(BPF_REG_0, 1 << 40)\"]}]}, 20]
        expect: {arg1: {any: [{contains: b}, {prefix: a}]}}
      - mmap: [null, PAGE_SIZE, PROT_READ, \"MAP_PRIVATE | MAP_ANONYMOUS\", -1, 0]
        save: page
      - peek: [$page, 2]
        expect: {data: 0}
      - poke: [$page, {u8: 1}]
        signal: SIGSEGV
";

#[test]
fn everything() {
    let text = file(EVERYTHING).expect("it can be exported").replace(env!("CARGO_PKG_VERSION"), "VERSION");
    let (head, rest) = text.split_once("/* What all").expect("the runtime");
    let case = &rest[rest.find("/* What steps keep").expect("saved values")..];
    let case = case.replacen(
        &case[case.find("} saved;").expect("the end")
            ..case.find("/* Ends the test where the kernel").expect("the case")],
        "} saved;\n\n",
        1,
    );
    insta::assert_snapshot!("everything", format!("{head}\n{case}"));
}

#[rstest]
#[case("      - clone: [0, 0, 0, 0, 0]\n", "s.yaml:5:9: the call clone, which returns twice,")]
#[case(
    "      - read: [0, {out: 20}, 20]\n        save: {kept: arg1}\n      - exec: [{getpid: []}]\n",
    "s.yaml:7:9: an exec block after memory was saved"
)]
#[case(
    "      - read: [0, {percpu: {out: PAGE_SIZE}}, 20]\n",
    "s.yaml:5:19: a per-CPU value of a size that the kernel says"
)]
#[case(
    "      - read: [0, {struct: [task_struct, {pid: {u32: 1, as: pid}}]}, 20]\n        expect: {pid: 1}\n",
    "s.yaml:5:48: a named member of a structure of the kernel"
)]
#[case(
    "      - getpid: []\n        save: a\n      - read: [0, {out: 20}, 20]\n        save: {a: arg1}\n",
    "s.yaml:8:16: $a, which is a number here and memory there,"
)]
#[case(
    "      - mmap: [null, 2 * O_DIRECTORY, 0, 0, -1, 0]\n",
    "s.yaml:5:22: arithmetic with what differs between architectures"
)]
fn forms_that_are_not_covered_are_named(#[case] steps: &str, #[case] form: &str) {
    let error = case(steps).expect_err("it is not covered");
    assert_eq!(error, format!("{form} cannot be exported to C yet"));
}
