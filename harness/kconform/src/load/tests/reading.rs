//! Many files together, probes that they share, and what editors are told.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{load, message, suite};
use crate::load::{SuiteFile, files};
use crate::place::File;

const PROBES: &str = "probes:\n  gotol:\n    since: \"6.6\"\n    absent: EINVAL\n    steps: [{close: [1]}]\n";

const TAGS: &str = "tags: {map: maps, prog: programs}";

#[test]
fn tags_are_those_of_the_folder() {
    let case = |tags: &str| format!("cases: [{{name: x, tags: {tags}, steps: [{{getpid: []}}]}}]");
    let loaded = load(&[suite("a/b/user", &case("[map, prog]")), suite("probes", TAGS)]);
    assert!(loaded.mistakes.is_empty());
    assert_eq!(loaded.cases[0].tags, ["map", "prog"]);
    let loaded = load(&[suite("a/user", &case("[map, porg, other]")), suite("probes", TAGS)]);
    insta::assert_snapshot!(message::render(&loaded.mistakes, false));
    assert!(loaded.cases.is_empty());
    // Another folder has other tags, or any.
    let below = |folder: &str, suite: SuiteFile| {
        let file = File { path: Path::new(folder).join(&suite.file.path), text: suite.file.text.clone() };
        SuiteFile { file: Arc::new(file), ..suite }
    };
    let loaded =
        load(&[below("/elsewhere", suite("a", &case("other"))), below("my/cases", suite("probes", TAGS))]);
    assert!(loaded.mistakes.is_empty() && loaded.cases.len() == 1);
    // The same folder, seen from another.
    let loaded = load(&[
        below("my/cases", suite("a", &case("other"))),
        below("/home/my/cases", suite("probes", TAGS)),
    ]);
    assert_eq!(loaded.mistakes.len(), 1);
}

#[test]
fn mistakes_in_the_list_of_tags_are_explained() {
    let wrong = "tags: {a b: two, c: [], d: {}}\ncases: [{name: x, steps: [{getpid: []}]}]";
    let mut loaded = load(&[suite("probes", wrong)]);
    loaded.mistakes.extend(load(&[suite("probes", "tags: [a, b]")]).mistakes);
    loaded
        .mistakes
        .extend(load(&[suite("user", "tags: {a: x}\ncases: [{name: x, steps: [{getpid: []}]}]")]).mistakes);
    insta::assert_snapshot!(message::render(&loaded.mistakes, false));
}

#[test]
fn probes_are_shared() {
    let user = "cases:\n  - name: x\n    needs: gotol\n    steps: [{close: [1]}]\n";
    let loaded = load(&[suite("a/user", user), suite("probes", PROBES)]);
    assert_eq!(message::render(&loaded.mistakes, false), "");
    let probe = &loaded.cases[0].needs[0];
    assert_eq!((probe.id.as_str(), probe.absent.value.number), ("::gotol", 22));
    assert_eq!(probe.since.as_ref().expect("a version").value, [6, 6]);
    assert_eq!(loaded.probes.len(), 1);
}

#[test]
fn a_probe_of_the_file_goes_before_a_shared_one() {
    let user = format!("{PROBES}cases:\n  - name: x\n    needs: [gotol]\n    steps: [{{close: [1]}}]\n");
    let loaded = load(&[suite("probes", PROBES), suite("user", &user)]);
    assert_eq!(message::render(&loaded.mistakes, false), "");
    assert_eq!(loaded.cases[0].needs[0].id, "user::gotol");
}

#[test]
fn the_shared_probes_are_no_place_for_cases() {
    let both = format!("{PROBES}cases:\n  - name: x\n    steps: [{{close: [1]}}]\n");
    let loaded = load(&[suite("probes", &both)]);
    let told = message::render(&loaded.mistakes, false);
    assert!(told.starts_with("error: cases beside the shared probes\n"), "{told}");
    assert!(told.contains("^ this file holds probes that all others share; cases go into another"), "{told}");
}

#[test]
fn mistakes_of_all_files_are_told_in_order() {
    let bad = "cases:\n  - name: x\n    steps: [{clos: [1]}, {dub: [1]}]\n";
    let good = "cases:\n  - name: x\n    steps: [{close: [1]}]\n";
    let loaded = load(&[suite("b", bad), suite("c", good), suite("a", bad)]);
    let places: Vec<_> = loaded.mistakes.iter().map(|m| m.place.to_string()).collect();
    assert_eq!(places, ["a.yaml:3:14", "a.yaml:3:27", "b.yaml:3:14", "b.yaml:3:27"]);
    let ids: Vec<_> = loaded.cases.iter().map(|c| c.id.as_str()).collect();
    assert_eq!(ids, ["c::x"]);
}

#[test]
fn a_suite_is_one_file() {
    let text = "cases:\n  - name: x\n    steps: [{close: [1]}]\n";
    let loaded = load(&[suite("a", text), suite("a", text)]);
    let texts: Vec<_> = loaded.mistakes.iter().map(|m| m.text.as_str()).collect();
    assert_eq!(texts, ["a second file of the suite a; the first is a.yaml"]);
}

#[test]
fn what_an_alias_lacks_is_told_of_the_case() {
    let text = "let:\n  use: &use {close: [$fd]}\ncases:\n  - name: x\n    steps: [*use]\n";
    let loaded = load(&[suite("a", text)]);
    let (see, why) = loaded.mistakes[0].see.as_ref().expect("another place");
    assert_eq!((loaded.mistakes[0].place.text(), see.text(), why.as_str()), ("$fd", "x", "in this case"));
}

#[test]
fn editors_get_json() {
    let bad = "cases:\n  - name: é\n  - name: é\n    steps: [{clos: [1]}]\n";
    let loaded = load(&[suite("b", bad)]);
    insta::assert_snapshot!(message::json(&loaded.mistakes).expect("JSON"), @r#"
    [
    {"file":"b.yaml","line":2,"column":5,"end_line":2,"end_column":12,"message":"`steps` is missing"},
    {"file":"b.yaml","line":3,"column":11,"end_line":3,"end_column":12,"message":"a second case of this name","see":{"file":"b.yaml","line":2,"column":11,"message":"the first one"}},
    {"file":"b.yaml","line":4,"column":14,"end_line":4,"end_column":18,"message":"unknown syscall clos","help":"did you mean close?"}
    ]
    "#);
    assert_eq!(message::json(&[]).expect("JSON"), "[]\n");
}

#[test]
fn colours_are_there_when_asked_for() {
    let loaded = load(&[suite("b", "")]);
    assert!(!message::render(&loaded.mistakes, false).contains('\x1b'));
    assert!(message::render(&loaded.mistakes, true).contains('\x1b'));
}

/// A directory with these files.
fn directory(names: &[&str]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    for name in names {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(path, "cases: []\n").expect("a file");
    }
    directory
}

fn read(root: &Path, paths: &[&str]) -> Vec<String> {
    let paths: Vec<PathBuf> = paths.iter().map(|path| root.join(path)).collect();
    let files = files::read(root, &paths).expect("readable");
    files.iter().map(|f| f.suite.to_string()).collect()
}

#[test]
fn files_are_found_below_directories() {
    let all =
        directory(&["bpf/map/array.yaml", "bpf/prog.yaml", "probes.yaml", "bpf/README.md", ".git/x.yaml"]);
    assert_eq!(read(all.path(), &[""]), ["bpf/map/array", "bpf/prog", "probes"]);
    assert_eq!(read(all.path(), &["bpf/map"]), ["bpf/map/array", "probes"]);
    assert_eq!(read(all.path(), &["bpf/prog.yaml", "bpf"]), ["bpf/map/array", "bpf/prog", "probes"]);
    let real = all.path().canonicalize().expect("a path");
    assert_eq!(files::root_of(&all.path().join("bpf/map/array.yaml")), real);
    let each = ["bpf/map/array.yaml", "bpf/./map", "bpf/prog.yaml"].map(|path| all.path().join(path));
    let suites: Vec<_> =
        files::read_each(&each).expect("readable").iter().map(|f| f.suite.to_string()).collect();
    assert_eq!(suites, ["bpf/map/array", "bpf/prog", "probes"]);
}

#[test]
fn what_is_not_there_is_told() {
    let all = directory(&["a/x.md"]);
    let error =
        |path: &str| files::read(all.path(), &[all.path().join(path)]).expect_err("nothing").to_string();
    assert!(error("missing.yaml").contains("missing.yaml: No such file"));
    assert!(error("a").starts_with("no case files (*.yaml) below "));
    let other = directory(&["x.yml"]);
    let read = files::read(other.path(), &[other.path().to_owned()]);
    assert!(read.expect_err("passed over").to_string().ends_with("x.yml: case files are called *.yaml"));
}

/// Nothing of them is read: a device has no end, and a FIFO waits for a writer.
#[test]
fn what_has_no_end_is_told() {
    let all = directory(&["a/x.yaml"]);
    let fifo = all.path().join("a/fifo.yaml");
    let mode = rustix::fs::Mode::RUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).expect("made");
    let error = |path: &Path| files::read(all.path(), &[path.to_owned()]).expect_err("no end").to_string();
    assert_eq!(error(Path::new("/dev/zero")), "/dev/zero: it is a character device, not a regular file");
    let told = format!("{}: it is a FIFO, not a regular file", fifo.display());
    assert_eq!(error(&fifo), told);
    assert_eq!(error(&all.path().join("a")), told);
}

#[test]
fn a_file_that_is_not_text_is_told() {
    let all = directory(&[]);
    std::fs::write(all.path().join("x.yaml"), b"about: \xff\n").expect("a file");
    let loaded = load(&files::read(all.path(), &[all.path().to_owned()]).expect("readable"));
    assert_eq!(
        (loaded.mistakes[0].text.as_str(), loaded.mistakes[0].place.line_column()),
        ("not UTF-8", (1, 8))
    );
}
