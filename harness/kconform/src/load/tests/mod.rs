//! Whole files: what loads, and what is said of what does not.

mod content;
mod pairs;
mod properties;
mod reading;
mod schema;
mod syntax;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rstest::rstest;

use super::{Loaded, SuiteFile, files, load, message};
use crate::place::File;

/// A text as the suite `name`, in the file `name.yaml`.
fn suite(name: &str, text: &str) -> SuiteFile {
    let path = Path::new(name).with_extension("yaml");
    SuiteFile { suite: name.into(), file: Arc::new(File { path, text: text.to_owned() }) }
}

/// What a text comes to that has no mistakes.
fn cases(text: &str) -> Vec<crate::case::Case> {
    let loaded = load(&[suite("s", text)]);
    assert_eq!(message::render(&loaded.mistakes, false), "");
    loaded.cases
}

fn data(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(path)
}

fn load_file(path: &Path) -> (String, Loaded) {
    let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
    let text = std::fs::read_to_string(path).expect("readable");
    // Under another name, for `probes` is the file that all share.
    let loaded = load(&[suite(&format!("s/{name}"), &text)]);
    (name, loaded)
}

fn snapshot(directory: &str, name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(data(directory));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name.to_owned(), text));
}

#[rstest]
fn good_files_load(#[files("tests/data/good/*.yaml")] path: PathBuf) {
    let (name, loaded) = load_file(&path);
    assert_eq!(message::render(&loaded.mistakes, false), "");
    let ids: Vec<_> = loaded.cases.iter().map(|c| c.id.as_str()).collect();
    snapshot("good", &name, &ids.join("\n"));
}

#[rstest]
fn bad_files_are_explained(#[files("tests/data/bad/*.yaml")] path: PathBuf) {
    let (name, loaded) = load_file(&path);
    assert!(!loaded.mistakes.is_empty());
    snapshot("bad", &name, &message::render(&loaded.mistakes, false));
}

#[test]
fn the_suite_of_the_project_loads() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cases");
    let files = files::read(&cases, std::slice::from_ref(&cases)).expect("readable");
    let loaded = load(&files);
    assert_eq!(message::render(&loaded.mistakes, false), "");
    assert!(loaded.cases.len() >= files.len());
}
