//! What an editor offers and underlines while a case file is written, and what is refused before a commit: all as
//! docs/editors.md says.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::program::Place;
use crate::readers::{self, validator};

/// A case whose only step is this.
fn step(text: &str) -> String {
    format!("cases:\n  - name: x\n    steps:\n      - {text}\n")
}

#[test]
fn an_editor_underlines_mistakes() {
    let right =
        step("bpf: [BPF_MAP_CREATE, {map_type: BPF_MAP_TYPE_ARRAY, key_size: 4}]\n        errno: EPERM");
    let wrong = [
        ("clsoe: [1]", "clsoe"),
        ("close: [1]\n        errno: EBDF", "EBDF"),
        ("bpf: [BPF_MAP_CREAT, {map_type: 1}]", "BPF_MAP_CREAT"),
        ("bpf: [BPF_MAP_CREATE, {map_typ: 1}]", "map_typ"),
        ("bpf: [BPF_MAP_FREEZE, {map_type: 1}]", "map_type"),
        ("bpf: [BPF_MAP_CREATE, {map_type: BPF_MAP_TYPE_ARAY}]", "BPF_MAP_TYPE_ARAY"),
        ("fcntl: [1, F_GETFT]", "F_GETFT"),
        ("close: [3, 4]", "[3, 4]"),
        ("getpid: [0]", "[0]"),
        ("close: {fdd: 3}", "fdd"),
        ("openat2: [0, {str: x}, {struct: [open_how, {flagss: 1}]}, 24]", "flagss"),
        ("openat: {dirfd: {str: x}, path: {str: x}}", "{str: x}"),
        ("openat: [{str: x}, O_RDONLY]", "{str: x}"),
        ("read: [0, {out: 8}, unmapped]", "unmapped"),
    ];
    let right = [
        right,
        step("openat: [AT_FDCWD, {str: x}, O_RDONLY | O_CREAT, 0o644]"),
        step("close: [null]\n        errno: EBADF"),
        step("fcntl: [0, F_GETLK, {zero: 32}]"),
        step("getpid: []"),
        step(
            "openat2: [0, {str: x}, {struct: [open_how, {flags: O_RDONLY, mode: {u64: 1}}]}, sizeof(struct open_how)]",
        ),
        step("write: [1, {struct: [of_the_kernel_s_btf, {member: {u64: 1}}]}, 1]"),
        step("write: [1, {struct: [timespec, {tv_sec: {as: seconds}}]}, 1]"),
        step("openat: {dirfd: AT_FDCWD, path: {str: x}, flags: O_RDONLY}"),
        step("openat: {dfd: AT_FDCWD, filename: {str: x}}"),
        step("clone: {flags: 0, stack: 0, tls: 0}"),
        step("syscall: [close, 3, 4]"),
    ];
    let questions: Vec<Value> =
        wrong.iter().map(|(text, _)| step(text)).chain(right.clone()).map(|text| json!([text])).collect();
    let Some(answers) = readers::editor(&Value::Array(questions)) else { return };
    for ((text, word), answer) in wrong.iter().zip(&answers) {
        let underlined: Vec<&str> =
            answer.as_array().expect("a list").iter().filter_map(|said| said[1].as_str()).collect();
        assert_eq!(underlined, [*word], "{text}: {answer}");
    }
    for (text, answer) in right.iter().zip(&answers[wrong.len()..]) {
        assert_eq!(*answer, json!([]), "{text}");
    }
}

#[test]
fn an_editor_offers_what_may_stand_there() {
    let offered = [
        (step("bpf: [‸]"), vec!["BPF_MAP_CREATE", "BPF_PROG_LOAD"]),
        (step("bpf: [BPF_MAP_CREATE, {map_‸}]"), vec!["map_type", "map_flags"]),
        (
            step("bpf:\n          - BPF_MAP_CREATE\n          - map_type: BPF_MAP_TYPE_ARRAY\n            ‸"),
            vec!["key_size", "max_entries"],
        ),
        (
            step("bpf: [BPF_MAP_CREATE, {map_type: BPF_MAP_TY‸}]"),
            vec!["BPF_MAP_TYPE_ARRAY", "BPF_MAP_TYPE_ARENA"],
        ),
        (step("close: [1]\n        errno: ‸"), vec!["EBADF", "ENOTSUPP"]),
        (step("openat:\n          dirfd: AT_FDCWD\n          ‸"), vec!["path", "flags", "mode"]),
        (
            step(
                "openat2:\n          - 0\n          - {str: x}\n          - struct:\n              - open_how\n              - flags: 1\n                ‸",
            ),
            vec!["mode", "resolve"],
        ),
        (step("write: [1, {struct: [‸]}]"), vec!["open_how", "timespec"]),
        (step("‸"), vec!["bpf", "fcntl", "repeat", "unprivileged"]),
        ("cases:\n  - name: x\n    ‸\n".into(), vec!["matrix", "known_issue", "requires"]),
        ("‸\n".into(), vec!["about", "cases", "probes"]),
    ];
    let questions = offered.iter().map(|(text, _)| json!([text, "completion"]));
    let hovers = [
        ("bpf: [BPF_MAP_CREATE, {map_t‸ype: 1}]", "a number; 4 bytes at 0"),
        ("open‸at: [AT_FDCWD, {str: x}]", "openat(int dirfd, const char *path, int flags, umode_t mode)"),
        ("clo‸ne: [17]", "int *child_tid, unsigned long tls); elsewhere clone("),
    ];
    let asked = hovers.iter().map(|(text, _)| json!([step(text), "hover"]));
    let Some(answers) = readers::editor(&questions.chain(asked).collect()) else { return };
    for ((text, words), answer) in offered.iter().zip(&answers) {
        let labels: Vec<&str> =
            answer.as_array().expect("a list").iter().filter_map(|item| item[0].as_str()).collect();
        for word in words {
            assert!(labels.contains(word), "{word} is not offered in\n{text}");
        }
    }
    for ((text, words), answer) in hovers.iter().zip(&answers[offered.len()..]) {
        // The server escapes what Markdown would take for its own.
        let shown = answer.as_str().expect("text").replace('\\', "");
        assert!(shown.contains(words), "{text}: {shown}");
    }
}

/// The code block of docs/editors.md that begins so.
fn block(begins: &str) -> String {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/editors.md"));
    let text = text.expect("the document");
    let blocks = text.split("```").skip(1).step_by(2);
    let mut bodies = blocks.map(|block| block.split_once('\n').expect("a body").1);
    bodies.find(|body| body.starts_with(begins)).expect("the block").to_owned()
}

/// A repository of git's with a case file, and what it says to a command.
struct Repository {
    place: Place,
}

impl Repository {
    fn new() -> Repository {
        let place = Place::with("cases:\n  - name: right\n    steps: [{close: [0]}]\n");
        let repository = Repository { place };
        repository.git(&["init", "--quiet", "."]);
        repository
    }

    fn here(&self) -> &Path {
        self.place.here()
    }

    /// What the document calls by cargo is here the program that cargo would run.
    fn example(&self, begins: &str) -> String {
        let example = block(begins);
        assert!(example.contains("cargo run -q -p kconform -- check"), "{example}");
        example.replace("cargo run -q -p kconform --", env!("CARGO_BIN_EXE_kconform"))
    }

    fn run(&self, program: &Path, arguments: &[&str]) -> (bool, String) {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.here());
        for (name, value) in [("NAME", "A Person"), ("EMAIL", "person@localhost")] {
            command.env(format!("GIT_AUTHOR_{name}"), value).env(format!("GIT_COMMITTER_{name}"), value);
        }
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        command.env("PRE_COMMIT_HOME", self.place.folder().join("pre-commit")).env_remove("KCONFORM_CASES");
        let output = command.output().expect("it starts");
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).expect("text"))
    }

    fn git(&self, arguments: &[&str]) -> (bool, String) {
        self.run(Path::new("git"), arguments)
    }

    fn write(&self, text: &str) {
        std::fs::write(self.here().join("cases/s.yaml"), text).expect("a file");
        assert!(self.git(&["add", "."]).0);
    }

    /// A mistake is refused with its line, a right file is not, and neither is what is no case file.
    #[track_caller]
    fn assert_guarded(&self) {
        self.write("cases:\n  - name: wrong\n    steps: [{clsoe: [0]}]\n");
        let (done, said) = self.git(&["commit", "--message", "a mistake"]);
        assert!(
            !done && said.contains("cases/s.yaml:3:14") && said.contains("did you mean close?"),
            "{said}"
        );
        self.write("cases:\n  - name: right\n    steps: [{close: [0]}]\n");
        let (done, said) = self.git(&["commit", "--message", "mended"]);
        assert!(done, "{said}");
        std::fs::write(self.here().join("README"), "more").expect("a file");
        assert!(self.git(&["add", "."]).0);
        let (done, said) = self.git(&["commit", "--message", "no case"]);
        assert!(done, "{said}");
    }
}

#[test]
fn a_hook_of_git_s_refuses_mistakes() {
    use std::os::unix::fs::PermissionsExt;
    let repository = Repository::new();
    let hook = repository.here().join(".git/hooks/pre-commit");
    std::fs::create_dir_all(hook.parent().expect("a folder")).expect("a folder");
    std::fs::write(&hook, repository.example("#!/bin/sh")).expect("a file");
    std::fs::set_permissions(&hook, PermissionsExt::from_mode(0o755)).expect("the mode is set");
    repository.assert_guarded();
}

#[test]
fn pre_commit_refuses_mistakes() {
    let Some(program) = validator("pre-commit") else { return };
    let repository = Repository::new();
    let config = repository.here().join(".pre-commit-config.yaml");
    std::fs::write(config, repository.example("repos:")).expect("a file");
    let (done, said) = repository.run(&program, &["install"]);
    assert!(done, "{said}");
    repository.assert_guarded();
}
