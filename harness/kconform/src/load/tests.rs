//! Whole files: what loads, and what is said of what does not.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rstest::rstest;

use super::{Loaded, SuiteFile, load, message};
use crate::place::File;

/// Loads a text as the suite `s`, in the file `s.yaml`.
fn load_text(text: &str) -> Loaded {
    let file = Arc::new(File { path: "s.yaml".into(), text: text.to_owned() });
    load(&[SuiteFile { suite: "s".into(), file }])
}

fn data(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(path)
}

#[rstest]
fn good_files_load(#[files("tests/data/good/*.yaml")] path: PathBuf) {
    let files = super::files::read(&data("good"), &[path]).expect("readable");
    let loaded = load(&files);
    assert_eq!(message::render(&loaded.mistakes, false), "");
    let ids: Vec<_> = loaded.cases.iter().map(|c| c.id.as_str()).collect();
    insta::with_settings!({ snapshot_path => data("ids"), prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(files[0].suite.to_string(), ids.join("\n"));
    });
}

#[test]
fn the_suite_of_the_project_loads() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cases");
    let files = super::files::read(&cases, &[cases.clone()]).expect("readable");
    let loaded = load(&files);
    assert_eq!(message::render(&loaded.mistakes, false), "");
    assert!(loaded.cases.len() >= files.len());
}

#[test]
fn an_empty_file_is_a_mistake() {
    assert_eq!(load_text("").mistakes[0].text, "an empty file");
}
