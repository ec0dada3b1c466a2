//! `cargo test --test conformance`: each case on each target is a trial.

use std::path::PathBuf;
use std::process::Command;

use rstest::rstest;

use crate::program::{Place, Said, not_here};

/// A project's own cases.
const OWN: &str = "cases:
  - {name: passes, steps: [{close: [0]}]}
  - {name: passes too, steps: [{close: [1]}]}
";

/// The test binary, built if it is not.
fn conformance() -> PathBuf {
    let mut command = Command::new(env!("CARGO"));
    command.args(["test", "--no-run", "--package", "kconform", "--test", "conformance"]);
    command.args([
        "--message-format",
        "json",
        "--manifest-path",
        concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
    ]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let output = command.output().expect("cargo can be run");
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let of_test = |message: &serde_json::Value| message["target"]["name"] == "conformance";
    let executable = messages.filter(of_test).find_map(|m| m["executable"].as_str().map(PathBuf::from));
    executable.unwrap_or_else(|| panic!("not built: {}", String::from_utf8_lossy(&output.stderr)))
}

fn place() -> Place {
    Place::new().program(&conformance())
}

/// A project's own cases, as the trials of its tests.
fn own(cases: &str) -> Place {
    place().file("own/s.yaml", cases).env("KCONFORM_CASES", "own").env("KCONFORM_TARGETS", "native")
}

/// A place whose cache of kernels is empty.
fn without_kernels() -> Place {
    let place = own(OWN).env("KCONFORM_TARGETS", "x86_64");
    let cache = place.folder().join("cache").display().to_string();
    place.env("KCONFORM_CACHE", &cache)
}

/// `3 passed; 0 failed; 1 ignored`
fn counts(said: &Said) -> String {
    let line = said.out.lines().rfind(|line| line.starts_with("test result: "));
    let line = line.unwrap_or_else(|| panic!("no result: {}", said.all()));
    let counts: Vec<_> = line.split(". ").nth(1).expect("counts").split("; ").take(3).collect();
    counts.join("; ")
}

#[test]
fn all_cases_are_listed_for_all_targets() {
    let cases = Place::new().say(&["list"]).out.lines().count();
    let said = place().say(&["--list"]).assert_status(0);
    for target in ["native", "x86_64", "riscv64"] {
        let prefix = format!("{target}::");
        let trials = said.out.lines().filter(|line| line.starts_with(&prefix) && line.ends_with(": test"));
        assert_eq!(trials.count(), cases, "{target}");
    }
    let own = own(OWN).say(&["--list"]).assert_status(0);
    assert_eq!(own.out, "native::s::passes: test\nnative::s::passes_too: test\n");
}

#[test]
fn targets_can_be_chosen() {
    let said = place().env("KCONFORM_TARGETS", "native").say(&["--list"]).assert_status(0);
    assert!(
        said.out.lines().all(|line| line.is_empty() || line.starts_with("native::") || !line.contains("::"))
    );
    let wrong = place().env("KCONFORM_TARGETS", "toaster").say(&["--list"]).assert_status(2);
    assert!(wrong.err.contains("there is no target \"toaster\""), "{}", wrong.all());
}

#[rstest]
#[case::all(&[], 2)]
#[case::whole_name(&["--exact", "native::s::passes"], 1)]
#[case::part(&["s::passes"], 2)]
#[case::all_but(&["native", "--skip", "too"], 1)]
#[case::none(&["riscv64"], 0)]
fn trials_are_selected(#[case] arguments: &[&str], #[case] passed: usize) {
    let said = own(OWN).say(arguments).assert_status(0);
    assert_eq!(counts(&said), format!("{passed} passed; 0 failed; 0 ignored"), "{}", said.all());
}

#[test]
fn guests_that_are_not_set_up_are_ignored_with_the_reason() {
    let said = without_kernels().say(&["--exact", "x86_64::s::passes"]).assert_status(0);
    assert_eq!(counts(&said), "0 passed; 0 failed; 1 ignored");
    assert!(said.out.contains("ignored ("), "{}", said.all());
    assert!(said.out.contains("kconform image fetch"), "{}", said.all());
}

#[test]
fn guests_that_are_required_fail() {
    let place = without_kernels().env("KCONFORM_REQUIRE_GUESTS", "1");
    let said = place.say(&["--exact", "x86_64::s::passes"]).assert_status(101);
    assert_eq!(counts(&said), "0 passed; 1 failed; 0 ignored");
    assert!(said.out.contains("lost: "), "{}", said.all());
    assert!(said.out.contains("kconform image fetch"), "{}", said.all());
}

#[test]
fn a_missing_agent_is_ignored_with_the_reason() {
    let place = own(OWN).env("KCONFORM_TARGETS", "riscv64");
    let agents = place.folder().display().to_string();
    let place = place.env("KCONFORM_AGENTS", &agents);
    let said = place.say(&["--exact", "riscv64::s::passes"]).assert_status(0);
    assert_eq!(counts(&said), "0 passed; 0 failed; 1 ignored");
    assert!(said.out.contains("there is no agent for riscv64"), "{}", said.all());
}

#[test]
fn what_fails_is_told_as_by_run() {
    let said = own("cases:
  - {name: passes, steps: [{close: [0]}]}
  - {name: fails, steps: [{close: [99]}]}
  - {name: is skipped, requires: {kernel: \">=99\"}, steps: [{close: [0]}]}
  - {name: fails as known, known_issue: {when: {kernel: \">=2\"}, because: it does}, steps: [{close: [99]}]}
")
    .say(&[])
    .assert_status(101);
    assert_eq!(counts(&said), "2 passed; 1 failed; 1 ignored", "{}", said.all());
    assert!(said.out.contains("native::s::is_skipped     ... ignored (needs Linux >=99)"), "{}", said.all());
    assert!(said.out.contains("expected success, got EBADF (9, Bad file descriptor)"), "{}", said.all());
    assert!(said.out.contains("own/s.yaml:3:28"), "{}", said.all());
    assert!(said.out.contains("> close(99) = -1 EBADF (Bad file descriptor)"), "{}", said.all());
    assert!(said.out.contains("cargo test -- --exact 'native::s::fails'"), "{}", said.all());
}

#[test]
fn mistakes_in_case_files_are_told() {
    let said = own("cases:\n  - {name: one, steps: [{clsoe: [0]}]}\n").say(&[]).assert_status(2);
    assert!(said.err.contains("did you mean close?"), "{}", said.all());
}

/// nextest runs each trial in a process of its own.
#[test]
fn nextest_runs_trials() {
    let found = Command::new(env!("CARGO")).args(["nextest", "--version"]).output();
    if !found.is_ok_and(|output| output.status.success()) {
        return not_here("cargo nextest, which is not installed");
    }
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let words =
        ["nextest", "run", "--manifest-path", manifest, "--package", "kconform", "--test", "conformance"];
    let cargo = |place: Place| {
        let own = place.folder().join("here/own").display().to_string();
        place.env("KCONFORM_CASES", &own).program(env!("CARGO").as_ref()).say(&words)
    };
    let said = cargo(own(OWN)).assert_status(0);
    assert!(said.err.contains("2 tests run: 2 passed"), "{}", said.all());
    let said = cargo(own("cases:\n  - {name: fails, steps: [{close: [99]}]}\n")).assert_status(100);
    assert!(said.err.contains("got EBADF"), "{}", said.all());
    // 4: there was nothing to run, for all trials are skipped.
    let said = cargo(without_kernels()).assert_status(4);
    assert!(said.err.contains("0 tests run") && said.err.contains("2 skipped"), "{}", said.all());
}
