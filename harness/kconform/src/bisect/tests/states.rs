use rstest::rstest;

use crate::bisect::answer::Answer;
use crate::bisect::build::Recipe;
use crate::bisect::lab::{KernelLab, Trial};
use crate::bisect::search::{Lab, Ran};
use crate::bisect::state::{Identity, State};
use crate::bisect::table::{CaseRecord, Made, Record, Table};
use crate::document::Status;
use crate::guest::Images;

use super::result;

fn identity() -> Identity {
    Identity {
        repository: "/src/linux/.git".into(),
        old: "1".repeat(40),
        new: "2".repeat(40),
        arch: "riscv64".into(),
        build: String::new(),
        expect_fail: false,
        confirm: 1,
        limits: vec![],
    }
}

fn table() -> Table {
    let mut record = Record::new(Made::Kernel("k".into()), 1.5);
    for (id, status) in [("kept", Status::Passed), ("lost", Status::Lost)] {
        let result = result(status);
        let case = CaseRecord { answer: Answer::of(&result), file: "1".into(), result };
        record.cases.insert(id.into(), case);
    }
    Table { version: 1, commits: [("3".repeat(40), record)].into() }
}

#[test]
fn what_is_known_of_a_case_is_known_by_its_name_of_today() {
    let renamed = [("kept".to_owned(), "now".to_owned())].into_iter().collect();
    let table = table().renamed(&renamed);
    let cases: Vec<_> = table.commits.values().flat_map(|record| record.cases.keys()).collect();
    assert_eq!(cases, ["lost", "now"]);
}

#[test]
fn what_is_known_is_there_again() {
    let folder = tempfile::tempdir().unwrap();
    let (state, empty) = State::open(folder.path(), identity(), false).unwrap();
    assert!(empty.commits.is_empty());
    state.keep(&table()).unwrap();
    let busy = State::open(folder.path(), identity(), false).unwrap_err().to_string();
    assert!(busy.ends_with("is in use by another kconform"), "{busy}");
    drop(state);
    let (state, again) = State::open(folder.path(), identity(), false).unwrap();
    // What was lost may be had now.
    let cases: Vec<_> = again.commits.values().flat_map(|record| record.cases.keys()).collect();
    assert_eq!(cases, ["kept"]);
    state.commit("3").unwrap();
    drop(state);
    let (state, restarted) = State::open(folder.path(), identity(), true).unwrap();
    assert!(restarted.commits.is_empty());
    assert!(!state.folder().join("commits").exists());
}

#[rstest]
#[case::another_search(None, "holds another search (111111111111 to 222222222222 on riscv64)")]
#[case::cut_short(Some("{\"identity\": {"), "begin anew with --restart")]
fn what_cannot_be_gone_on_with_is_said(#[case] text: Option<&str>, #[case] says: &str) {
    let folder = tempfile::tempdir().unwrap();
    drop(State::open(folder.path(), identity(), false).unwrap());
    let other = match text {
        Some(text) => {
            std::fs::write(folder.path().join("state.json"), text).unwrap();
            identity()
        }
        None => Identity { new: "4".repeat(40), ..identity() },
    };
    let error = State::open(folder.path(), other, false).unwrap_err().to_string();
    assert!(error.contains(says), "{error}");
}

#[test]
fn a_folder_is_called_after_its_tree() {
    let name = identity().name();
    assert!(name.starts_with("linux-"), "{name}");
    assert_ne!(name, Identity { confirm: 2, ..identity() }.name());
}

#[test]
fn the_first_build_is_no_measure_of_the_others() {
    let mut table = Table::default();
    assert_eq!(table.step_seconds(), None);
    for (commit, seconds) in [("1", 600.0), ("2", 40.0), ("3", 50.0), ("4", 44.0)] {
        table.commits.insert(commit.into(), Record::new(Made::NotBuilt(String::new()), seconds));
    }
    assert_eq!(table.step_seconds(), Some(44.0));
}

/// A commit without a kernel is never booted, whoever asks.
#[test]
fn what_was_not_built_does_not_boot() {
    let folder = tempfile::tempdir().unwrap();
    let (state, _) = State::open(folder.path(), identity(), false).unwrap();
    let recipe = Recipe { arch: kconform_abi::Arch::Riscv64, command: None, config: None, jobs: 1 };
    let trial = Trial { images: Images::built_in().unwrap(), confirm: 1 };
    let mut lab = KernelLab { state: &state, recipe, trial, cases: vec![] };
    let record = Record::new(Made::NotBuilt("error".into()), 1.0);
    let ran = lab.run("3", &record, &[]).unwrap();
    assert_eq!(ran, Ran::NotBooted("there is no kernel".into()));
}
