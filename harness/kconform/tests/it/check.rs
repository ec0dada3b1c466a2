//! `kconform check`: all mistakes of all files at once, for people and for programs.

use std::path::Path;

use rstest::rstest;

use crate::program::{Place, assert_said, copy_program};

#[rstest]
#[case::text("check_text", &["check", "mistakes"])]
#[case::json("check_json", &["check", "--format", "json", "mistakes"])]
#[case::one_file("check_one_file", &["check", "mistakes/misspelt.yaml"])]
fn all_mistakes_are_told(#[case] name: &str, #[case] arguments: &[&str]) {
    assert_said!(name, Place::data().say(arguments).assert_status(2));
}

#[test]
fn the_json_can_be_read() {
    let said = Place::data().say(&["check", "--format", "json", "mistakes"]);
    let mistakes: Vec<serde_json::Value> = serde_json::from_str(&said.out).expect("JSON");
    assert!(mistakes.len() > 10);
    for mistake in &mistakes {
        assert!(mistake["file"].as_str().is_some_and(|file| file.ends_with(".yaml")), "{mistake}");
        assert!(mistake["line"].as_u64() >= Some(1) && mistake["column"].as_u64() >= Some(1), "{mistake}");
        assert!(!mistake["message"].as_str().expect("text").is_empty(), "{mistake}");
    }
}

#[test]
fn no_mistakes() {
    let place = Place::with("cases:\n  - name: a case\n    steps:\n      - close: [0]\n");
    let text = place.say(&["check"]).assert_status(0);
    assert_eq!(text.out, "1 case in 1 file: no mistakes\n");
    let json = place.say(&["check", "--format", "json"]).assert_status(0);
    assert_eq!(json.out.trim(), "[]");
}

#[test]
fn the_project_s_cases_are_right() {
    Place::new().say(&["check", concat!(env!("CARGO_MANIFEST_DIR"), "/../../cases")]).assert_status(0);
}

/// People read the cases beside other things, and hold them against the kernel that was read.
#[test]
fn the_project_s_cases_can_be_read() {
    let cases = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cases");
    let mut folders = vec![cases.clone()];
    let mut wide = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yaml") {
                let text = std::fs::read_to_string(&path).expect("a case file");
                let lines = text.lines().zip(1..).filter(|(line, _)| line.chars().count() > 140);
                wide.extend(lines.map(|(_, number)| format!("{}:{number}", path.display())));
            }
        }
    }
    assert!(
        wide.is_empty(),
        "lines of more than 140 columns (tools/wrap-cases wraps them):\n{}",
        wide.join("\n")
    );

    let cases = cases.to_str().expect("a path");
    let said = Place::new().say(&["list", "--format", "json", "--cases", cases]).assert_status(0);
    let listed: Vec<serde_json::Value> = serde_json::from_str(&said.out).expect("JSON");
    let folders =
        ["kernel/", "net/", "include/", "fs/", "mm/", "lib/", "security/", "drivers/", "Documentation/"];
    let mut without = std::collections::BTreeSet::new();
    for case in &listed {
        for source in case["source"].as_array().into_iter().flatten().filter_map(|source| source.as_str()) {
            if folders.iter().any(|folder| source.starts_with(folder)) {
                without.insert(format!("{}: {source}", case["file"]));
            }
        }
    }
    assert!(without.is_empty(), "sources without a release: {without:#?}");
    assert!(said.out.contains("\"6.12 kernel/bpf/syscall.c: "));
}

/// What ends with a version, and what no version promises, may hide that a later kernel does worse.
#[test]
fn bounds_are_listed() {
    let place = Place::with(
        "requires: {kernel: \">=5.6\"}
probes:
  promised: {since: \"6.1\", absent: EINVAL, steps: [{close: [0]}]}
  unpromised: {absent: EINVAL, steps: [{close: [0]}]}
  far: {since: \"99\", absent: EINVAL, steps: [{close: [0]}]}
cases:
  - {name: goes on, requires: {kernel: \">=6.1, !=6.2\"}, needs: promised, steps: [{close: [0]}]}
  - {name: ends, requires: {kernel: \"<7.0\"}, each: [{case: a}, {case: b}], needs: unpromised, steps: [{close: [0]}]}
  - name: changes
    each: [{case: before, kernel: \"<=6.1\", errno: EBADF}, {case: after, kernel: \">6.1\", errno: EINVAL}]
    requires: {kernel: $kernel}
    steps: [{close: [99], errno: $errno}]
  - {name: one release, requires: {kernel: \"=6.6\"}, steps: [{close: [0]}]}
  - {name: not yet, requires: {kernel: \">=99\"}, needs: far, steps: [{close: [0]}]}
",
    );
    assert_said!("check_bounds", place.say(&["check", "--bounds"]).assert_status(0));
    let json = place.say(&["check", "--bounds", "--format", "json"]).assert_status(2);
    assert!(json.err.contains("--bounds"), "{}", json.all());
}

/// The project's own cases promise nothing for releases that nobody has seen.
#[test]
fn the_project_s_cases_wait_for_no_far_release() {
    let cases = concat!(env!("CARGO_MANIFEST_DIR"), "/../../cases");
    let said = Place::new().say(&["check", "--bounds", cases]).assert_status(0);
    for words in ["due since", "release that is known:", "run on any release"] {
        assert!(!said.out.contains(words), "{}", said.out);
    }
    assert!(said.out.contains("the newest known release is"), "{}", said.out);
}

/// A run does not begin with mistakes, whatever is selected.
#[test]
fn mistakes_stop_a_run() {
    let place = Place::with("cases:\n  - name: right\n    steps:\n      - close: [0]\n")
        .file("cases/wrong.yaml", "cases:\n  - name: wrong\n    steps:\n      - clsoe: [0]\n");
    assert_said!("mistakes_stop_a_run", place.run(&["right"]).assert_status(2));
    place.say(&["list"]).assert_status(2);
}

/// What is wrong with a file itself is one mistake among others, in `run` too.
#[test]
fn a_file_that_is_none_hides_no_mistakes() {
    let wrong = "cases:\n  - name: wrong\n    steps:\n      - clsoe: [0]\n";
    let place = Place::with(wrong).file("cases/a.yml", "cases: []\n").file("cases/below/b.yml", "");
    std::os::unix::fs::symlink("nowhere", place.here().join("cases/dangling.yaml")).expect("a link");
    std::fs::write(place.here().join("cases/\x1b[31mred.yaml"), "cases: []\n").expect("a file");
    assert_said!("check_files_that_are_none", place.say(&["check"]).assert_status(2));
    assert_said!("check_bounds_files_that_are_none", place.say(&["check", "--bounds"]).assert_status(2));
    let said = place.run(&[]).assert_status(2);
    assert!(said.err.contains("call it a.yaml") && said.err.contains("clsoe"), "{}", said.all());
    let json = place.say(&["check", "--format", "json"]).assert_status(2);
    let mistakes: Vec<serde_json::Value> = serde_json::from_str(&json.out).expect("JSON");
    let files: Vec<_> = mistakes.iter().map(|mistake| mistake["file"].as_str().expect("a file")).collect();
    let names = ["a.yml", "below/b.yml", "dangling.yaml", "s.yaml", "\u{fffd}[31mred.yaml"];
    assert_eq!(files, names.map(|name| format!("cases/{name}")));
}

#[rstest]
#[case::missing_folder(&["check", "no/such"])]
#[case::empty_folder(&["check", "empty"])]
#[case::not_text(&["check", "binary.yaml"])]
#[case::a_directory_that_is_none(&["check", "cases/s.yaml/x"])]
fn files_that_cannot_be_read(#[case] arguments: &[&str]) {
    let place = Place::with("cases: []\n").file("empty/README", "no cases");
    std::fs::write(place.folder().join("here/binary.yaml"), b"cases:\n  - name: \xff\xfe\n").expect("a file");
    assert_said!(
        format!("unreadable_{}", arguments[1].replace('/', "_")),
        place.say(arguments).assert_status(2)
    );
}

/// Not those of the checkout in which the program was compiled, which a debug build would read for those that it carries.
#[test]
fn a_copied_checkout_has_cases_of_its_own() {
    let place = Place::new().file("copy/ci/agents", "").file("copy/harness/kconform/Cargo.toml", "");
    let program = place.here().join("copy/target/debug/kconform");
    std::fs::create_dir_all(program.parent().expect("a folder")).expect("a folder");
    copy_program(Path::new(env!("CARGO_BIN_EXE_kconform")), &program);
    let place = place.program(&program);
    let said = place.say(&["check"]);
    if cfg!(debug_assertions) {
        let cases = place.here().join("copy/cases");
        assert!(said.err.contains(&format!("{}: No such file", cases.display())), "{}", said.all());
        assert_eq!(said.status, Some(2));
    }
    let place = place.file("copy/cases/s.yaml", "cases:\n  - {name: one, steps: [{close: [0]}]}\n");
    assert_eq!(place.say(&["check"]).out, "1 case in 1 file: no mistakes\n");
}
