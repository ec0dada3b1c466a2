//! `kconform compare`: only what is not the same is said.

use rstest::rstest;

use crate::guests::is_set_up;
use crate::program::Place;

/// A pid differs from run to run, a machine's name from kernel to kernel, and both pass.
const CASES: &str = "cases:
  - name: pid
    steps:
      - getpid: []
        save: pid
  - name: machine
    steps:
      - uname: [{out: 390, as: names}]
        expect: {names: {any: [{contains: x86_64}, {contains: riscv64}]}}
  - name: close
    steps:
      - close: [0]
";

#[test]
fn a_kernel_is_like_itself() {
    let said = Place::with(CASES).say(&["compare", "native", "native", "pid", "close"]).assert_status(0);
    assert_eq!(said.out, "2 results on native compared: nothing changed\n");
}

#[rstest]
#[case::no_kernel("nowhere")]
#[case::no_image("x86_65")]
fn what_is_no_kernel_is_said(#[case] name: &str) {
    let said = Place::with(CASES).say(&["compare", "native", name]).assert_status(2);
    assert!(said.err.contains(name), "{}", said.all());
}

#[test]
fn kernels_that_differ() {
    if !is_set_up("x86_64") || !is_set_up("riscv64") {
        return;
    }
    let said = Place::with(CASES).say(&["compare", "x86_64", "riscv64"]).assert_status(1);
    assert!(said.out.contains("s::machine on x86_64 → riscv64: passed"), "{}", said.all());
    let alike = ["note: the targets are not set up alike\n", "  BPF JIT: on → off\n"];
    assert!(alike.iter().all(|line| said.out.contains(line)), "{}", said.all());
    assert!(!said.out.contains("s::pid"), "{}", said.all());
    let same = Place::with(CASES).say(&["compare", "x86_64", "riscv64", "pid", "close"]).assert_status(0);
    assert!(same.out.contains("nothing changed"), "{}", same.all());
    let json = Place::with(CASES).say(&["compare", "x86_64", "riscv64", "--format", "json"]).assert_status(1);
    assert!(json.out.contains("\"case\": \"s::machine\""), "{}", json.all());
}
