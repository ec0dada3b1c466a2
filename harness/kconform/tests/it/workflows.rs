//! What CI systems and clusters are told to do: the files are of their systems' form, and what they call is there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use kconform::inner::Images;
use rstest::rstest;
use serde::Deserialize;

use crate::program::Place;
use crate::readers::validator;

/// A row of the matrix.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Row {
    target: String,
    arch: String,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Matrix {
    include: Vec<Row>,
}

const FILES: &[&str] = &[
    ".github/workflows/ci.yml",
    ".github/workflows/nightly.yml",
    "docs/examples/github.yml",
    "docs/examples/gitlab.yml",
    "docs/examples/kubernetes-job.yaml",
    "docs/examples/slurm-array.sh",
];

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn text(path: &str) -> String {
    std::fs::read_to_string(checkout().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[rstest]
#[case("check-jsonschema", &["--builtin-schema", "vendor.github-workflows"], ".github/workflows/ci.yml")]
#[case("check-jsonschema", &["--builtin-schema", "vendor.github-workflows"], ".github/workflows/nightly.yml")]
#[case("check-jsonschema", &["--builtin-schema", "vendor.github-workflows"], "docs/examples/github.yml")]
#[case("actionlint", &[], ".github/workflows/ci.yml")]
#[case("actionlint", &[], ".github/workflows/nightly.yml")]
#[case("actionlint", &[], "docs/examples/github.yml")]
#[case("check-jsonschema", &["--builtin-schema", "vendor.gitlab-ci"], "docs/examples/gitlab.yml")]
#[case("kubernetes-validate", &["--strict"], "docs/examples/kubernetes-job.yaml")]
#[case("check-jsonschema", &["--builtin-schema", "vendor.github-issue-forms"], ".github/ISSUE_TEMPLATE/missing-case.yml")]
#[case("check-jsonschema", &["--builtin-schema", "vendor.github-issue-forms"], ".github/ISSUE_TEMPLATE/trouble.yml")]
#[case("check-jsonschema", &["--builtin-schema", "vendor.github-issue-forms"], ".github/ISSUE_TEMPLATE/wrong-verdict.yml")]
#[case("check-jsonschema", &["--builtin-schema", "vendor.github-issue-config"], ".github/ISSUE_TEMPLATE/config.yml")]
fn their_validators_take_them(#[case] program: &str, #[case] arguments: &[&str], #[case] file: &str) {
    let Some(program) = validator(program) else { return };
    let output = Command::new(program).args(arguments).arg(checkout().join(file)).output().expect("it runs");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn every_row_of_the_matrix_is_a_target() {
    let matrix: Matrix = serde_yaml::from_str(&text("ci/matrix.yaml")).expect("rows");
    let images = Images::built_in().expect("images");
    for row in &matrix.include {
        let image = images.iter().find(|image| image.name == row.target);
        let arch = image.map_or("x86_64".into(), |image| image.arch.name().to_owned());
        assert!(image.is_some() || row.target == "native", "{} is no image", row.target);
        assert_eq!(row.arch, arch, "{}", row.target);
    }
    let rows: BTreeSet<&str> = matrix.include.iter().map(|row| row.target.as_str()).collect();
    for image in images.iter() {
        assert!(rows.contains(image.name.as_str()), "no row of ci/matrix.yaml runs {}", image.name);
    }
    // The script that has no YAML to read it with reads the same.
    let output = Command::new(checkout().join("ci/matrix")).arg("--json").output().expect("bash");
    let read: Matrix = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(read, matrix);
}

/// Those that are named without a variable, in a list of the file.
#[rstest]
#[case("docs/examples/github.yml", &["jobs", "kernel", "strategy", "matrix", "include"], ["target", "arch"])]
#[case("docs/examples/gitlab.yml", &["run", "parallel", "matrix"], ["TARGET", "ARCH"])]
fn the_targets_of_the_examples_are_there(
    #[case] file: &str,
    #[case] path: &[&str],
    #[case] names: [&str; 2],
) {
    let yaml: serde_yaml::Value = serde_yaml::from_str(&text(file)).expect("YAML");
    let rows = path.iter().fold(&yaml, |value, key| &value[*key]).as_sequence().expect("a list");
    let images = Images::built_in().expect("images");
    assert!(!rows.is_empty());
    for row in rows {
        let [target, arch] = names.map(|key| row[key].as_str().expect("text"));
        let image = images.iter().find(|image| image.name == target);
        assert!(image.is_some() || target == "native", "{target} is no image");
        assert_eq!(arch, image.map_or("x86_64", |image| image.arch.name()), "{target}");
    }
}

/// Lines that call kconform, each as one line, without what the shell or the CI system puts in place of `$…`.
fn commands(text: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#')).peekable();
    while let Some(line) = lines.next() {
        // `git -C kconform …` is another program's.
        let called = |at: &usize| !line[..*at].contains("--") && !line[..*at].ends_with("-C ");
        let Some(at) = line.find("kconform ").filter(called) else { continue };
        let mut command = line[at..].trim_end_matches('\\').trim().to_owned();
        while let Some(more) = lines.next_if(|line| line.starts_with("--")) {
            command.push(' ');
            command.push_str(more.trim_end_matches('\\').trim());
        }
        let end = command.find(" ||").unwrap_or(command.len());
        commands.push(command[..end].to_owned());
    }
    commands
}

#[test]
fn what_they_call_is_there() {
    let place = Place::new();
    let mut called = 0;
    for file in FILES {
        let text = text(file);
        for command in commands(&text) {
            let words: Vec<String> = command.split_whitespace().skip(1).map(placeholders).collect();
            let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
            words.push("--help");
            assert_eq!(place.say(&words).status, Some(0), "{file}: {command}");
            called += 1;
        }
        for word in text.split(|c: char| c.is_whitespace() || "\"([],".contains(c)) {
            let script = word.strip_prefix("kconform/").unwrap_or(word);
            if script.starts_with("ci/") && !script.contains('*') && !script.contains('.') {
                assert!(checkout().join(script).is_file(), "{file}: {script}");
            }
        }
    }
    assert!(called >= 8, "{called}");
}

/// `${{ matrix.target }}.json` and the like, as one word that stands for any.
fn placeholders(word: &str) -> String {
    let word = word.trim_matches('"');
    if word == "--shard" || !word.contains('$') { word.to_owned() } else { word.replace("$SHARD", "1/2") }
}
