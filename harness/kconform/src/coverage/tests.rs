//! What counts and what does not, and the file in the repository.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rstest::rstest;

use crate::load::{SuiteFile, files, load, message};
use crate::place::File;
use crate::style::Style;

use super::report::State;
use super::{Coverage, coverage, json, markdown, text};

/// Coverage by a case of these steps, each written as a line of YAML.
fn of(steps: &[&str]) -> Coverage {
    let steps: String = steps.iter().map(|step| format!("      - {{{step}}}\n")).collect();
    let text = format!("cases:\n  - name: a case\n    steps:\n{steps}");
    let file = Arc::new(File { path: "s.yaml".into(), text });
    let loaded = load(&[SuiteFile { suite: "s".into(), file }]);
    assert_eq!(message::render(&loaded.mistakes, false), "");
    coverage(&loaded.cases)
}

/// All facts of a section that are there: `BPF_MAP_TYPE_HASH lookup`.
fn there(coverage: &Coverage, section: &str) -> Vec<String> {
    let section = coverage.sections.iter().find(|s| s.id == section).expect("a section");
    let facts = section.rows.iter().flat_map(|row| row.of(State::There).map(move |fact| (row, fact)));
    facts.map(|(row, fact)| format!("{} {}", row.name, fact.name)).collect()
}

const HASH: &str = "bpf: [BPF_MAP_CREATE, {map_type: BPF_MAP_TYPE_HASH, key_size: 4, value_size: 4, max_entries: 1}], save: map";
const DELETE: &str = "bpf: [BPF_MAP_DELETE_ELEM, {map_fd: $map, key: {u32: 0}}]";

#[rstest]
#[case::alone("errno: ENOENT", &["ENOENT"])]
#[case::a_list_of_one("errno: [ENOENT]", &["ENOENT"])]
#[case::of_several_none_is_promised("errno: [ENOENT, EINVAL]", &[])]
#[case::an_exception("errno: ENOENT, except: [{when: {kernel: \"<5.0\"}, errno: EINVAL}]", &["EINVAL", "ENOENT"])]
#[case::an_exception_of_several("except: [{when: {kernel: \"<5.0\"}, errno: [EINVAL, EPERM]}]", &[])]
fn an_errno_counts_when_it_is_the_only_one(#[case] outcome: &str, #[case] errnos: &[&str]) {
    let covered = of(&[HASH, &format!("{DELETE}, {outcome}")]);
    let expected: Vec<_> = errnos.iter().map(|errno| format!("BPF_MAP_DELETE_ELEM {errno}")).collect();
    assert_eq!(there(&covered, "errnos"), expected);
}

#[test]
fn a_command_by_number_counts() {
    let covered = of(&["bpf: [22, {map_fd: 99}], errno: EBADF"]);
    assert_eq!(there(&covered, "errnos"), ["BPF_MAP_FREEZE EBADF"]);
}

/// The map type is found wherever its fd goes.
#[rstest]
#[case::by_name(&[DELETE])]
#[case::fork(&["fork: [{bpf: [BPF_MAP_DELETE_ELEM, {map_fd: $map, key: {u32: 0}}]}]"])]
#[case::scm_rights(&["send_fd: {fd: $map, steps: [{bpf: [BPF_MAP_DELETE_ELEM, {map_fd: $fd, key: {u32: 0}}]}]}"])]
#[case::dup(&["dup: [$map], save: two", "bpf: [BPF_MAP_DELETE_ELEM, {map_fd: $two, key: {u32: 0}}]"])]
#[case::pin(&[
    "bpf: [BPF_OBJ_PIN, {pathname: {str: p}, bpf_fd: $map}]",
    "bpf: [BPF_OBJ_GET, {pathname: {str: p}}], save: two",
    "bpf: [BPF_MAP_DELETE_ELEM, {map_fd: $two, key: {u32: 0}}]",
])]
fn a_map_is_followed(#[case] steps: &[&str]) {
    let covered = of(&[&[HASH], steps].concat());
    assert_eq!(there(&covered, "elements"), ["BPF_MAP_TYPE_HASH create", "BPF_MAP_TYPE_HASH delete"]);
}

/// What is saved in a child's block does not leave it.
#[test]
fn a_name_of_a_block_ends_with_it() {
    let inside = "fork: [{dup: [0], save: map}, {bpf: [BPF_MAP_DELETE_ELEM, {map_fd: $map}], errno: EINVAL}]";
    let covered = of(&[HASH, inside, DELETE]);
    assert_eq!(there(&covered, "elements"), ["BPF_MAP_TYPE_HASH create", "BPF_MAP_TYPE_HASH delete"]);
}

/// A refusal counts where the type refuses, success where it does not.
#[rstest]
#[case::success_of_a_hash("BPF_MAP_TYPE_HASH", "", true)]
#[case::error_of_a_hash("BPF_MAP_TYPE_HASH", ", errno: EINVAL", false)]
#[case::refusal_of_an_array("BPF_MAP_TYPE_ARRAY", ", errno: EINVAL", true)]
#[case::another_refusal_of_an_array("BPF_MAP_TYPE_ARRAY", ", errno: EPERM", false)]
#[case::success_of_an_array("BPF_MAP_TYPE_ARRAY", "", false)]
fn what_a_type_gives_decides(#[case] map_type: &str, #[case] outcome: &str, #[case] counts: bool) {
    let create = HASH.replace("BPF_MAP_TYPE_HASH", map_type);
    let covered = of(&[&create, &format!("{DELETE}{outcome}")]);
    let fact = format!("{map_type} delete");
    assert_eq!(there(&covered, "elements").contains(&fact), counts);
}

#[rstest]
#[case::set("bpf: [BPF_MAP_FREEZE, {map_fd: 3}]", &["map_fd set"])]
#[case::closed("bpf: [BPF_MAP_FREEZE, {map_fd: 99}], errno: EBADF", &["map_fd closed"])]
#[case::dev_null("bpf: [BPF_MAP_FREEZE, {map_fd: 1}], errno: EINVAL", &["map_fd wrong kind"])]
#[case::unused("bpf: [BPF_MAP_FREEZE, {flags: 1}], errno: EINVAL", &["flags must be 0"])]
#[case::unused_zero("bpf: [BPF_MAP_FREEZE, {flags: 0}], errno: EINVAL", &[])]
fn fields(#[case] step: &str, #[case] facts: &[&str]) {
    let expected: Vec<_> = facts.iter().map(|fact| format!("BPF_MAP_FREEZE {fact}")).collect();
    assert_eq!(there(&of(&[step]), "fields"), expected);
}

/// A number that succeeds elsewhere is not what was refused.
#[rstest]
#[case::a_value_of_its_own("key_size: 9", true)]
#[case::a_value_that_succeeds("key_size: 4", false)]
fn a_number_is_refused_when_no_step_sets_it_with_success(#[case] field: &str, #[case] counts: bool) {
    let refused = format!("bpf: [BPF_MAP_CREATE, {{map_type: BPF_MAP_TYPE_ARRAY, {field}}}], errno: EINVAL");
    let covered = of(&[HASH, &refused]);
    assert_eq!(there(&covered, "fields").contains(&"BPF_MAP_CREATE key_size refused".to_owned()), counts);
}

#[rstest]
#[case::by_attach_type("prog_fd: 5, attach_type: BPF_TCX_INGRESS", &["BPF_LINK_TYPE_TCX made"])]
#[case::by_program("prog_fd: $prog, attach_type: BPF_CGROUP_INET_INGRESS", &["BPF_LINK_TYPE_CGROUP made"])]
#[case::unknown("prog_fd: 5", &[])]
fn link_types(#[case] attr: &str, #[case] links: &[&str]) {
    let program = "bpf: [BPF_PROG_LOAD, {prog_type: BPF_PROG_TYPE_CGROUP_SKB}], save: prog";
    let covered = of(&[program, &format!("bpf: [BPF_LINK_CREATE, {{{attr}}}]")]);
    assert_eq!(there(&covered, "links"), links);
    assert_eq!(there(&covered, "programs"), ["BPF_PROG_TYPE_CGROUP_SKB loads"]);
}

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cases")
}

fn of_the_project() -> Coverage {
    let files = files::read(&cases(), &[cases()]).expect("readable");
    coverage(&load(&files).cases)
}

#[test]
fn the_file_in_the_repository_is_not_stale() {
    let there = std::fs::read_to_string(cases().join("COVERAGE.md")).unwrap_or_default();
    let now = markdown(&of_the_project());
    assert!(there == now, "stale; write it again: kconform coverage --markdown > cases/COVERAGE.md");
}

#[test]
fn the_text_fits_a_terminal() {
    let text = text(&of(&[HASH]), Style { color: false });
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    insta::assert_snapshot!(text.lines().take(9).collect::<Vec<_>>().join("\n"));
}

#[test]
fn programs_can_read_it() {
    let covered = of(&[HASH]);
    let value: serde_json::Value = serde_json::from_str(&json(&covered).expect("JSON")).expect("JSON");
    let names: Vec<_> = value["sections"].as_array().expect("a list").iter().map(|s| &s["id"]).collect();
    assert_eq!(names, ["commands", "errnos", "elements", "programs", "links", "fields"]);
    assert_eq!(value["sections"][0]["rows"][0]["facts"][0]["state"], "there");
}
