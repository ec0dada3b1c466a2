//! `kconform export c`: a case as a C file, which is compiled without a warning and says of this kernel what kconform says.

use std::path::Path;
use std::process::{Command, Output};

use crate::program::Place;
use crate::readers::{cached, wanted};

const CASES: &str = "about: What a map keeps.
source: bpf(2)
probes:
  hash:
    since: \"5.0\"
    absent: EINVAL
    steps:
      - bpf: [BPF_MAP_CREATE, {map_type: BPF_MAP_TYPE_HASH, key_size: 4, value_size: 8, max_entries: 1}]
  no_such_command:
    absent: EINVAL
    steps:
      - bpf: [9999, {\"@0\": {u32: 0}}]
cases:
  - name: an element
    needs: hash
    steps:
      - bpf: [BPF_MAP_CREATE, {map_type: BPF_MAP_TYPE_HASH, key_size: 4, value_size: 8, max_entries: 7, map_name: {str: hits}}]
        save: map
      - bpf: [BPF_MAP_UPDATE_ELEM, {map_fd: $map, key: {u32: 1}, value: {u64: 42}}]
      - fork:
          - bpf: [BPF_MAP_LOOKUP_ELEM, {map_fd: $map, key: {u32: 1}, value: {out: 8}}]
            expect: {value: {u64: 42}}
          - exit_group: [0]
  - name: an element in every way
    steps:
      - bpf: [BPF_MAP_CREATE, {map_type: BPF_MAP_TYPE_HASH, key_size: 4, value_size: 8, max_entries: 7}]
        save: map
      - repeat: {times: 9, as: i, steps: [{bpf: [BPF_MAP_UPDATE_ELEM, {map_fd: $map, key: {u32: $i}, value: {u64: $i}}],
          errno: [none, E2BIG]}]}
      - exec: [{fcntl: [$map, F_GETFD], errno: EBADF}]
      - parallel:
          - [{fcntl: [$map, F_GETFD], ret: FD_CLOEXEC, save: flags}, {dup: [$map], save: map}]
          - [{openat: [AT_FDCWD, {str: \"/proc/self/fdinfo/$map\"}, O_RDONLY], save: info},
             {read: [$info, {out: 400}, 400], expect: {arg1: {contains: \"max_entries:\\t7\\n\"}}}]
      - send_fd: {fd: $map, steps: [{bpf: [BPF_MAP_LOOKUP_ELEM, {map_fd: $fd, key: {u32: 3}, value: {out: 8}}],
          expect: {value: {min: 3, max: 3}}, eventually: 2}]}
      - mmap: [null, PAGE_SIZE, PROT_READ, \"MAP_PRIVATE | MAP_ANONYMOUS\", -1, 0]
        save: page
      - fork: [{poke: [$page, {u32: 1}], signal: SIGSEGV}]
  - name: another element
    steps:
      - bpf: [BPF_MAP_CREATE, {map_type: BPF_MAP_TYPE_HASH, key_size: 4, value_size: 8, max_entries: 7}]
        save: map
      - bpf: [BPF_MAP_LOOKUP_ELEM, {map_fd: $map, key: {u32: 1}, value: {out: 8}}]
        errno: EEXIST
  - name: a kernel of the future
    requires: {kernel: \">=99.0\"}
    steps: [{getpid: []}]
  - name: what no kernel has
    needs: no_such_command
    steps: [{getpid: []}]
  - name: a clone
    steps: [{clone: [0, 0, 0, 0, 0]}]
";

/// Exports a case, compiles it and runs it. The compiler is the one that links Rust programs.
fn run(place: &Place, case: &str) -> Output {
    let id = format!("s::{case}");
    place.say(&["export", "c", "--cases", "s.yaml", "--exact", &id, "-o", "case.c"]).assert_status(0);
    let words = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-pthread", "-o", "case", "case.c"];
    let cc =
        Command::new("cc").args(words).current_dir(place.here()).output().expect("there is a C compiler");
    assert!(cc.status.success(), "{}", String::from_utf8_lossy(&cc.stderr));
    Command::new(place.here().join("case")).output().expect("it can be started")
}

fn place() -> Place {
    let place = Place::new();
    std::fs::write(place.here().join("s.yaml"), CASES).expect("written");
    place
}

fn assert_ran(ran: &Output, status: i32, says: &[&str]) {
    let out = String::from_utf8_lossy(&ran.stdout);
    assert_eq!(ran.status.code(), Some(status), "{out}{}", String::from_utf8_lossy(&ran.stderr));
    for text in says {
        assert!(out.contains(text), "{text:?} is not in\n{out}");
    }
}

#[test]
fn a_kernel_that_conforms() {
    let place = place();
    let ran = run(&place, "an_element_in_every_way");
    assert_ran(
        &ran,
        0,
        &[
            "ok 1 s::an_element_in_every_way\n",
            "# round 2:\n",
            " = -1 EBADF",
            "+++ killed by signal 11 +++\n",
        ],
    );
}

#[test]
fn a_kernel_that_does_not_conform() {
    let place = place();
    let ran = run(&place, "another_element");
    let says = ["# s.yaml:44: expected EEXIST, got -1 ENOENT", "not ok 1 s::another_element\n"];
    assert_ran(&ran, 1, &says);
    // A child that exits by itself has not done its steps.
    let ran = run(&place, "an_element");
    let says = ["# the child exited with 0 before its last step\n", "not ok 1 s::an_element\n"];
    assert_ran(&ran, 1, &says);
}

#[test]
fn a_kernel_that_lacks_what_is_needed() {
    let place = place();
    let ran = run(&place, "a_kernel_of_the_future");
    assert_ran(&ran, 4, &["ok 1 s::a_kernel_of_the_future # SKIP needs Linux >=99.0\n"]);
    let ran = run(&place, "what_no_kernel_has");
    assert_ran(&ran, 4, &["# SKIP the probe no_such_command says EINVAL: not there\n"]);
}

/// Exported for the kernel's selftests, compiled with the kernel's header as its Makefile there would.
#[test]
fn a_test_of_the_kernels_harness() {
    let header = cached("kunit/kselftest_harness.h");
    let mend = "tools/kunit-parser gets it";
    let Some(header) = wanted(header, "KCONFORM_REQUIRE_KUNIT", "kselftest_harness.h", mend) else { return };
    let headers = header.parent().expect("a folder");
    let place = place();
    for name in ["kselftest.h", "kselftest_harness.h"] {
        std::fs::copy(headers.join(name), place.here().join(name)).expect("copied");
    }
    place.say(&["export", "c", "--kselftest", "--cases", "s.yaml", "-o", "ours"]).assert_status(2);
    let makefile = std::fs::read_to_string(place.here().join("ours/Makefile")).expect("written");
    assert!(makefile.contains("\nTEST_GEN_PROGS += s_another_element\n"), "{makefile}");
    assert!(makefile.ends_with("\ninclude ../lib.mk\n"), "{makefile}");
    let wanted = [
        ("s_an_element_in_every_way", 0, "ok 1 kconform.s_an_element_in_every_way\n"),
        ("s_another_element", 1, "# s.yaml:44: expected EEXIST, got -1 ENOENT"),
        ("s_a_kernel_of_the_future", 0, "SKIP needs Linux >=99.0\n"),
        ("s_what_no_kernel_has", 0, "SKIP the probe no_such_command says EINVAL: not there\n"),
    ];
    for (name, status, says) in wanted {
        let source = format!("ours/{name}.c");
        let words = ["-std=gnu11", "-O2", "-Wall", "-Werror", "-pthread", "-o", "case", &source];
        let cc = Command::new("cc").args(words).current_dir(place.here()).output().expect("a compiler");
        assert!(cc.status.success(), "{}", String::from_utf8_lossy(&cc.stderr));
        let ran = Command::new(place.here().join("case")).output().expect("it can be started");
        assert_ran(&ran, status, &[says]);
    }
}

#[test]
fn several_cases_and_what_cannot_be_exported() {
    let place = place();
    let said = place.say(&["export", "c", "--cases", "s.yaml"]).assert_status(2);
    assert!(
        said.err.contains("these are 6 cases; name one, or a folder for the files: -o FOLDER"),
        "{}",
        said.all()
    );
    let said = place.say(&["export", "c", "--cases", "s.yaml", "-o", "files"]).assert_status(2);
    assert!(
        said.err.contains(
            "s.yaml:53:14: the call clone, which returns twice, cannot be exported to C yet (s::a_clone)"
        ),
        "{}",
        said.all()
    );
    assert!(said.err.contains("5 of 6 cases exported to files"), "{}", said.all());
    assert_eq!(std::fs::read_dir(place.here().join("files")).expect("a folder").count(), 5);
    let said = place.say(&["export", "c", "--cases", "s.yaml", "--exact", "s::a_clone"]).assert_status(2);
    assert!(said.out.is_empty() && said.err.contains("returns twice"), "{}", said.all());
    assert!(!Path::new("case.c").exists());
}
