//! Every verdict, and all that is said of it.

use std::path::PathBuf;

use rstest::rstest;

use crate::program::{Place, assert_said, is_root, not_here};

/// One snapshot a file of cases that are not as they should be.
#[rstest]
fn failures_are_told(#[files("tests/data/failing/*.yaml")] path: PathBuf) {
    if !is_root() {
        return not_here("how cases fail, some of which need root");
    }
    let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
    let said = Place::data().run(&["--cases", &format!("failing/{name}.yaml")]);
    assert_said!(name, said);
}

#[test]
fn steps_of_cases_that_pass_are_shown_when_asked_for() {
    let place = Place::with(
        "cases:\n  - name: passes\n    steps:\n      - fork:\n          - dup: [0]\n            ret: 3\n      - close: [0]\n",
    );
    assert_said!("verbose", place.run(&["--verbose"]));
}

#[test]
fn colours_are_there_when_asked_for() {
    let place = Place::with("cases:\n  - name: fails\n    steps:\n      - close: [99]\n");
    let plain = place.run(&[]).assert_status(1);
    assert!(!plain.out.contains('\u{1b}'), "{plain:?}");
    let colored = place.run(&["--color", "always"]).assert_status(1);
    assert!(colored.out.contains("\u{1b}[1;31mFAILED\u{1b}[0m"), "{colored:?}");
    let forced = Place::with("cases:\n  - name: passes\n    steps:\n      - close: [0]\n")
        .env("CLICOLOR_FORCE", "1")
        .run(&[]);
    assert!(forced.out.contains("\u{1b}[32m1 passed"), "{forced:?}");
}

#[rstest]
#[case::passed("close: [0]", 0)]
#[case::failed("close: [99]", 1)]
#[case::mistake("clsoe: [99]", 2)]
fn exit_statuses(#[case] step: &str, #[case] status: i32) {
    let place = Place::with(&format!("cases:\n  - name: a case\n    steps:\n      - {step}\n"));
    place.run(&[]).assert_status(status);
}

/// The other thread may have run or not.
#[test]
fn the_thread_that_fails_is_told() {
    let place = Place::with(
        "cases:\n  - name: threads\n    steps:\n      - parallel:\n          - - close: [0]\n          - - close: [99]\n      - close: [1]\n",
    );
    let said = place.run(&[]).assert_status(1);
    assert!(said.out.contains("    >   close(99) = -1 EBADF"), "{}", said.all());
    assert!(!said.out.contains("close(1)"), "{}", said.all());
}

/// A failure is shown with the command that runs it again, which a person can paste.
#[test]
fn the_line_to_run_it_again_runs_it_again() {
    let place = Place::with(
        "cases:\n  - name: it's $odd; isn't it\n    each: [{case: \"a \\\"row\\\"\", odd: 1}]\n    steps:\n      - close: [99]\n  - name: other\n    steps:\n      - close: [99]\n",
    );
    let said = place.run(&[]).assert_status(1);
    let lines: Vec<_> =
        said.out.lines().filter_map(|line| line.trim().strip_prefix("run it again: ")).collect();
    assert_eq!(lines.len(), 2, "{}", said.all());
    let again = place.program("sh".as_ref()).say(&["-c", lines[0]]).assert_status(1);
    assert_eq!(again.counts("native"), "0 passed, 1 failed", "{}", again.all());
}
