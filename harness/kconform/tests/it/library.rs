//! Another project, outside this workspace, runs case files of its own from its own `cargo test`, as docs/library.md says.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::guests::is_set_up;

const DOCS: &str = include_str!("../../../../docs/library.md");

/// The first block of the page in that language.
fn block(language: &str) -> &'static str {
    let opening = format!("```{language}\n");
    let start = DOCS.find(&opening).expect("the block is there") + opening.len();
    &DOCS[start..start + DOCS[start..].find("```").expect("its end")]
}

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the checkout")
}

fn project() -> TempDir {
    let project = tempfile::Builder::new().prefix("kconform-test-").tempdir().expect("a directory");
    let write = |path: &str, text: &str| {
        let path = project.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(path, text).expect("a file");
    };
    let dependency = block("toml").replace("../kconform/", &format!("{}/", checkout().display()));
    assert_ne!(dependency, block("toml"));
    let package = "[package]\nname = \"elsewhere\"\nedition = \"2024\"";
    // That of this workspace, so that what it has built of the dependencies is used again.
    let profile = "[profile.dev.package.\"*\"]\nopt-level = 1";
    write("Cargo.toml", &format!("{package}\n\n{dependency}\n{profile}\n"));
    write("src/lib.rs", "");
    write("tests/conformance.rs", block("rust"));
    write("cases/own.yaml", "cases:\n  - {name: passes, steps: [{umask: [], ret: 0o22}]}\n");
    // What is downloaded already does.
    std::fs::copy(checkout().join("Cargo.lock"), project.path().join("Cargo.lock")).expect("a copy");
    project
}

#[test]
fn another_project_runs_its_cases_in_three_lines() {
    assert_eq!(block("rust").lines().count(), 3);
    let project = project();
    let targets = ["native", "riscv64"].into_iter().filter(|name| *name == "native" || is_set_up(name));
    let targets: Vec<&str> = targets.collect();
    let output = Command::new(env!("CARGO"))
        .args(["test", "--quiet", "--offline", "--test", "conformance"])
        .current_dir(project.path())
        .env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("target"))
        .env("KCONFORM_TARGETS", targets.join(","))
        .env_remove("KCONFORM_CASES")
        .output()
        .expect("cargo can be run");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(said.contains(&format!("ok. {} passed; 0 failed; 0 ignored", targets.len())), "{said}");
}
