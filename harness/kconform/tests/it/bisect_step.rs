//! `git bisect run kconform bisect-step`: its exit status is all that git hears.

use std::fs;
use std::process::Command;

use rstest::rstest;

use crate::bisect::{BUILD, Tree, git};
use crate::program::Place;

const CASE: &str = "cases:\n  - {name: c, steps: [{close: [0]}]}\n";

/// What is wrong with the command line or with this machine must stop `git bisect run`: below 128 it would name a commit.
#[rstest]
#[case::option(&["--nonsense"])]
#[case::case(&["no_such_case"])]
#[case::case_files(&["--cases", "nowhere"])]
#[case::architecture(&["--arch", "toaster"])]
#[case::no_kernel(&["--kernel", "nowhere"])]
#[case::config(&["--config", "nowhere"])]
#[case::no_repository(&[])]
fn trouble_stops_git(#[case] words: &[&str]) {
    let place = Place::with(CASE);
    let said = place.say(&[&["bisect-step", "--output", "out"], words].concat());
    assert!(said.status >= Some(128), "{}", said.all());
    assert!(said.err.starts_with("error: "), "{}", said.all());
}

#[test]
fn help_is_no_trouble() {
    let said = Place::new().say(&["bisect-step", "--help"]).assert_status(0);
    assert!(said.out.contains("git bisect run kconform bisect-step"), "{}", said.all());
}

#[test]
fn without_qemu_git_is_stopped() {
    let Some(tree) = Tree::new() else { return };
    let kernel = git(&tree.path, &["config", "--get-all", "core.bare"]);
    assert_eq!(kernel, "false");
    let script = "cp \"$KERNEL\" k; PATH=nowhere exec \"$0\" \"$@\"";
    let said = tree
        .place
        .say_through(&["sh", "-c", script], &["bisect-step", "--output", "out", "--kernel", "k", "version"]);
    assert_eq!(said.status, Some(128), "{}", said.all());
    assert!(said.err.contains("qemu-system-riscv64 is not here"), "{}", said.all());
}

#[test]
fn what_is_no_kernel_cannot_be_tested() {
    let place = Place::with(CASE).file("k", "hello");
    let said = place.say(&["bisect-step", "--output", "out", "--kernel", "k"]).assert_status(125);
    assert!(said.err.contains("skip: does not boot: k is no kernel image"), "{}", said.all());
}

#[test]
fn git_bisect_run_finds_the_commit() {
    let Some(tree) = Tree::new() else { return };
    git(&tree.path, &["bisect", "start", &tree.ids[8], &tree.ids[0]]);
    let words = [
        "bisect-step",
        "--arch",
        "riscv64",
        "--build",
        BUILD,
        "--output",
        "../out",
        "--cases",
        "../cases",
        "domain",
    ];
    let program = env!("CARGO_BIN_EXE_kconform");
    let mut run: Command = tree.place.command(&["git", "-C", "tree", "bisect", "run"]);
    let output = run.args(words).output().expect("git");
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{program}: {out}{}", String::from_utf8_lossy(&output.stderr));
    assert!(out.contains(&format!("{} is the first bad commit", tree.ids[6])), "{out}");
    let status = |commit: usize, more: &[&str]| {
        git(&tree.path, &["checkout", "--quiet", "--force", &tree.ids[commit]]);
        let mut step = tree.place.command(&["env", "-C", "tree"]);
        step.args([&words[..], more].concat()).output().expect("kconform").status.code()
    };
    assert_eq!([status(0, &[]), status(8, &[])], [Some(0), Some(1)]);
    assert_eq!([status(0, &["--expect-fail"]), status(8, &["--expect-fail"])], [Some(1), Some(0)]);
    assert_eq!([status(3, &[]), status(4, &[])], [Some(125), Some(125)]);
    assert!(fs::exists(tree.path.with_file_name("out").join("boot.log")).expect("readable"));
}
