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

/// A run does not begin with mistakes, whatever is selected.
#[test]
fn mistakes_stop_a_run() {
    let place = Place::with("cases:\n  - name: right\n    steps:\n      - close: [0]\n")
        .file("cases/wrong.yaml", "cases:\n  - name: wrong\n    steps:\n      - clsoe: [0]\n");
    assert_said!("mistakes_stop_a_run", place.run(&["right"]).assert_status(2));
    place.say(&["list"]).assert_status(2);
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
