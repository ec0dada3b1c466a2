//! `kconform explain`: in words, and on which kernels it holds.

use crate::guests::is_set_up;
use crate::program::{Place, assert_said};

const CASE: &str = "about: Creation masks.
source: umask(2)
cases:
  - name: the mask is what was set
    steps:
      - umask: [0o77]
        ret: 0o22
      - umask: [0]
        ret: 0o77
  - name: fails everywhere
    steps:
      - umask: [0]
        ret: 1
";

#[test]
fn a_case_in_words() {
    assert_said!(
        "explain",
        Place::with(CASE).say(&["explain", "--target", "x86_64", "--no-run", "the_mask"])
    );
}

#[test]
fn without_kernels_it_says_how_to_get_some() {
    let place = Place::with(CASE);
    let cache = place.folder().join("cache").display().to_string();
    let said = place.env("KCONFORM_CACHE", &cache).say(&["explain", "the_mask"]).assert_status(0);
    assert!(
        said.out.ends_with("On no kernel: `kconform image fetch` gets the kernels of guests to try it on\n")
    );
}

#[test]
fn a_case_is_tried_on_every_kernel_that_is_here() {
    if !is_set_up("riscv64") {
        return;
    }
    for (case, verdict) in [("the_mask", "passed"), ("fails", "failed: expected 1, got success: 18")] {
        let said = Place::with(CASE).say(&["explain", case]).assert_status(0);
        let line = said.out.lines().find(|line| line.starts_with("  riscv64-6.12 "));
        assert!(line.is_some_and(|line| line.contains(verdict)), "{}", said.all());
        assert!(!said.out.contains("native"), "nothing is run on the user's own kernel: {}", said.all());
    }
}

#[test]
fn a_system_call_in_words() {
    let case = "cases:
  - name: files
    steps:
      - openat: [AT_FDCWD, {str: x}, O_RDONLY | O_CREAT, 0o600]
        save: fd
      - fork: [{fstat: [$fd, {out: 144}]}]
  - name: twice
    matrix: {flags: [0, 1]}
    steps: [{memfd_create: [{str: x}, $flags]}]
  - name: four times
    matrix: {mask: [0, 1, 2, 3]}
    steps: [{umask: [$mask]}]
";
    let place = Place::with(case);
    let calls = [
        "openat",
        "fstat",
        "memfd_create",
        "umask",
        "execve",
        "clone",
        "bpf",
        "fork",
        "getpid",
        "afs_syscall",
    ];
    for call in calls {
        assert_said!(format!("syscall_{call}"), place.say(&["explain", "--target", "x86_64", call]));
    }
}

#[test]
fn a_structure_in_words() {
    for name in ["open_how", "epoll_event", "bpf_insn", "iovec", "linux_dirent64", "sockaddr_un", "tcphdr"] {
        let said = Place::with(CASE).say(&["explain", "--target", "x86_64", name]);
        assert_said!(format!("structure_{name}"), said);
    }
    let said = Place::with(CASE).say(&["explain", "opne_how"]).assert_status(2);
    assert!(said.err.contains("did you mean \"open_how\"?"), "{}", said.all());
}

#[test]
fn a_misspelt_system_call_is_told_from_a_case() {
    assert_said!("misspelt_syscall", Place::with(CASE).say(&["explain", "opneat"]));
    // An id is never taken for a system call, and words in ids still select cases.
    let said = Place::with(CASE).say(&["explain", "--no-run", "*fails*"]).assert_status(0);
    assert!(said.out.starts_with("s::fails_everywhere\n"), "{}", said.all());
}

#[test]
fn a_case_with_structures_in_words() {
    let case = "cases:
  - name: structures
    steps:
      - openat2: [AT_FDCWD, {str: x}, {struct: [open_how, {flags: O_RDWR, mode: {u64: 1}}]}, sizeof(struct open_how)]
      - openat2: [AT_FDCWD, {str: x}, {struct: [open_how, {}]}, 24]
      - writev: [1, {struct: [iovec, {iov_base: null}]}, 1]
      - epoll_wait: [1, {struct: [epoll_event, {data: {as: data}}]}, sizeof(struct epoll_event) | 1]
        expect: {data: 1}
";
    for arch in ["x86_64", "riscv64"] {
        let said = Place::with(case).say(&["explain", "--target", arch, "--no-run", "structures"]);
        assert_said!(format!("structures_{arch}"), said);
    }
}

/// Arguments by name are told in the order of the architecture.
#[test]
fn a_case_with_arguments_by_name_in_words() {
    let case = "cases:
  - name: named
    steps:
      - mmap: {addr: null, len: 4096, prot: PROT_READ, flags: MAP_PRIVATE | MAP_ANONYMOUS, fd: -1}
      - clone: {flags: CLONE_SIGHAND, stack: 0, parent_tid: null, tls: 1}
        errno: EINVAL
";
    for arch in ["x86_64", "riscv64", "s390x"] {
        let said = Place::with(case).say(&["explain", "--target", arch, "--no-run", "named"]);
        assert_said!(format!("named_{arch}"), said);
    }
}
