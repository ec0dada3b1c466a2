//! The schema of case files: not stale, complete, and kept by every case file.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rstest::rstest;
use serde_json::Value;

use crate::load::{btf_types, outcome, piece, probes, requires, steps, suite};
use crate::schema::{schema, value};

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn the_one_in_the_repository_is_not_stale() {
    let path = here("../../cases/schema.json");
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == schema(), "stale; write it again: kconform schema cases > cases/schema.json");
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|e| e == "yaml") {
            found.push(path);
        }
    }
}

/// As an editor reads it. Unquoted, `!CONFIG_X` would be a tag of YAML's, which the loader takes for its text.
fn read(text: &str) -> Value {
    let mut parts = text.split("!CONFIG_");
    let mut quoted = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(part.len());
        let (name, rest) = part.split_at(end);
        let quote = if quoted.ends_with(['"', '\'']) { "" } else { "\"" };
        quoted.push_str(&format!("{quote}!CONFIG_{name}{quote}{rest}"));
    }
    serde_yaml::from_str(&quoted).expect("YAML")
}

fn mistakes(text: &str) -> Vec<String> {
    let file = read(text);
    let validator = jsonschema::validator_for(&value()).expect("a schema");
    validator.iter_errors(&file).map(|e| format!("{}: {e}", e.instance_path())).collect()
}

#[test]
fn every_case_file_keeps_to_it() {
    let mut found = Vec::new();
    files(&here("../../cases"), &mut found);
    files(&here("tests/data/good"), &mut found);
    assert!(found.len() > 20);
    let validator = jsonschema::validator_for(&value()).expect("a schema");
    let mut wrong = Vec::new();
    for path in found {
        let text = std::fs::read_to_string(&path).expect("text");
        let file = read(&text);
        let errors = validator.iter_errors(&file);
        wrong.extend(errors.map(|e| format!("{}: {}: {e:.300}", path.display(), e.instance_path())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[rstest]
#[case::key_of_a_file("about: x\ncase: []")]
#[case::no_steps("cases: [{name: x}]")]
#[case::syscall("cases: [{name: x, steps: [{clsoe: [1]}]}]")]
#[case::errno("cases: [{name: x, steps: [{close: [1], errno: EBDF}]}]")]
#[case::constant("cases: [{name: x, steps: [{fcntl: [1, F_GETFT]}]}]")]
#[case::field("cases: [{name: x, steps: [{bpf: [BPF_MAP_CREATE, {map_typ: 1}]}]}]")]
#[case::field_of_another_command("cases: [{name: x, steps: [{bpf: [BPF_MAP_FREEZE, {map_type: 1}]}]}]")]
#[case::command("cases: [{name: x, steps: [{bpf: [BPF_MAP_CREAT, {}]}]}]")]
#[case::architecture("requires: {arch: amd64}\ncases: []")]
#[case::capability("requires: {capabilities: [CAP_BFP]}\ncases: []")]
#[case::sysctl("requires: {sysctl: {kptr_restrict: 0}}\ncases: []")]
#[case::value_of_a_sysctl("requires: {sysctl: {kernel.kptr_restrict: []}}\ncases: []")]
#[case::lockdown("requires: {lockdown: integrety}\ncases: []")]
#[case::piece("cases: [{name: x, steps: [{write: [1, {u33: 1}, 4]}]}]")]
#[case::want("cases: [{name: x, steps: [{read: [1, {out: 4}, 4], expect: {arg1: {contain: x}}}]}]")]
fn mistakes_are_found(#[case] text: &str) {
    assert_ne!(mistakes(text), Vec::<String>::new());
}

/// The keys of a mapping of the schema, without YAML's merge.
fn keys(pointer: &str) -> BTreeSet<String> {
    let schema = value();
    let properties =
        schema.pointer(pointer).and_then(Value::as_object).unwrap_or_else(|| panic!("{pointer}"));
    properties.keys().filter(|key| *key != "<<").cloned().collect()
}

#[rstest]
#[case("/properties", suite::FILE_KEYS, &[])]
#[case("/definitions/case/properties", suite::CASE_KEYS, &[])]
#[case("/definitions/requires/properties", requires::KEYS, &[])]
#[case("/properties/probes/additionalProperties/properties", probes::KEYS, &[])]
#[case("/definitions/step/properties/except/anyOf/0/properties", outcome::EXCEPT_KEYS, &[])]
#[case("/definitions/want/anyOf/1/properties", outcome::WANTS, &[])]
#[case("/definitions/piece/properties", piece::PIECES, &["as"])]
#[case("/definitions/btf/anyOf/1/properties", btf_types::HEADER_KEYS, &[])]
#[case("/definitions/btf_type/anyOf/0/properties/members/items/properties", btf_types::MEMBER_KEYS, &[])]
#[case("/definitions/btf_type/anyOf/0/properties/values/items/properties", btf_types::VALUE_KEYS, &[])]
#[case("/definitions/btf_type/anyOf/0/properties/params/items/properties", btf_types::PARAM_KEYS, &[])]
#[case("/definitions/btf_type/anyOf/0/properties/vars/items/properties", btf_types::VAR_KEYS, &[])]
fn it_has_the_keys_that_are_read(#[case] pointer: &str, #[case] read: &[&str], #[case] more: &[&str]) {
    let read: BTreeSet<String> = read.iter().chain(more).map(|key| (*key).to_owned()).collect();
    assert_eq!(keys(pointer), read);
}

#[test]
fn it_has_all_keys_of_types() {
    let read = btf_types::kinds().flat_map(|(kind, keys)| std::iter::once(kind).chain(keys.iter().copied()));
    let read: BTreeSet<String> =
        read.chain(btf_types::TYPE_KEYS.iter().copied()).map(str::to_owned).collect();
    assert_eq!(keys("/definitions/btf_type/anyOf/0/properties"), read);
}

#[test]
fn it_has_all_keys_of_steps() {
    let there = keys("/definitions/step/properties");
    for key in steps::KEYS.iter().chain(steps::BLOCKS).copied().chain(kconform_abi::syscall_names()) {
        assert!(there.contains(key), "{key}");
    }
}
