use std::sync::Arc;

use rstest::rstest;

use super::draft::Drafts;
use super::insert::{added_to, removed};
use super::value::{each_cpu, plain, rewritten};
use super::{Change, Part, Proposal};
use crate::case::StepKind;
use crate::load::{SuiteFile, load};
use crate::place::{File, Mistake, Place};

fn applied(text: &str, change: &Change) -> String {
    format!("{}{}{}", &text[..change.start], change.text, &text[change.end..])
}

#[rstest]
#[case::the_only_line("- bpf: [X]\n- next: []\n", "bpf", "- bpf: [X]\n  errno: EPERM\n- next: []\n")]
#[case::before_other_keys(
    "  - bpf: [X]\n    save: y\n",
    "bpf",
    "  - bpf: [X]\n    errno: EPERM\n    save: y\n"
)]
#[case::a_value_of_lines(
    "- bpf: [X,\n    {y: 1}] # so\n- next: []\n",
    "bpf",
    "- bpf: [X,\n    {y: 1}] # so\n  errno: EPERM\n- next: []\n"
)]
#[case::a_blank_line_in_the_value(
    "- bpf:\n    - X\n\n    - y\n\n- next: []\n",
    "bpf",
    "- bpf:\n    - X\n\n    - y\n  errno: EPERM\n\n- next: []\n"
)]
#[case::no_line_end("- bpf: [X]", "bpf", "- bpf: [X]\n  errno: EPERM")]
fn an_entry_goes_behind_the_call(#[case] text: &str, #[case] key: &str, #[case] wanted: &str) {
    let at = text.find(key).expect("the key");
    assert_eq!(applied(text, &added_to(text, at, text.len(), at, "errno: EPERM")), wanted);
}

#[test]
fn an_entry_of_a_step_in_braces_goes_into_them() {
    let text = "- {bpf: [X, {y: 1} ] }\n";
    let at = text.find("bpf").expect("the key");
    let end = text.len() - 1;
    assert_eq!(
        applied(text, &added_to(text, 2, end, at, "errno: EPERM")),
        "- {bpf: [X, {y: 1} ], errno: EPERM }\n"
    );
}

#[rstest]
#[case::a_line("- x: []\n  errno: EPERM\n- y: []\n", Some("- x: []\n- y: []\n"))]
#[case::in_braces("- {x: [], errno: EPERM}\n", Some("- {x: []}\n"))]
#[case::first_in_braces("- {errno: EPERM, x: []}\n", None)]
#[case::a_line_with_a_remark("- x: []\n  errno: EPERM # why\n", None)]
fn an_entry_goes_without_a_trace(#[case] text: &str, #[case] wanted: Option<&str>) {
    let start = text.find("errno").expect("the key");
    let change = removed(text, start, start + "errno: EPERM".len());
    assert_eq!(change.map(|change| applied(text, &change)).as_deref(), wanted);
}

/// What `expect: {value: …}` becomes when the kernel writes these bytes.
fn expected(written: &str, memory: &[u8]) -> Result<String, String> {
    let text = format!(
        "cases:\n- name: a\n  steps:\n  - bpf: [BPF_MAP_LOOKUP_ELEM, {{map_fd: 0, key: 0, value: {{out: {}}}}}]\n    expect: {{value: {written}}}\n",
        memory.len()
    );
    let file = Arc::new(File { path: "a.yaml".into(), text });
    let loaded = load(&[SuiteFile { suite: "a".into(), file }]);
    assert_eq!(loaded.mistakes, []);
    let StepKind::Call(call) = &loaded.cases[0].steps[0].kind else { panic!("a call") };
    rewritten(&call.outcome.expect[0].1, memory, false)
}

#[rstest]
#[case::number("7", &[9, 0, 0, 0], "9")]
#[case::hexadecimal("0x7", &[255, 0, 0, 0], "0xff")]
#[case::negative("-1", &[254, 255, 255, 255], "-2")]
#[case::one("{u32: 7}", &[9, 0, 0, 0], "{u32: 9}")]
#[case::list("{u16: [1, 0x2]}", &[3, 0, 4, 0], "{u16: [3, 0x4]}")]
#[case::signed("{i32: -7}", &[249, 255, 255, 255], "{i32: -7}")]
#[case::text("{str: abc}", b"xyz\0", "{str: xyz}")]
#[case::text_that_needs_quotes("{str: abcdef}", b"x: \"y\"\0", "{str: \"x: \\\"y\\\"\"}")]
#[case::bytes("{hex: 0102}", &[3, 4], "{hex: 0304}")]
#[case::parts("{list: [{u32: 1}, {u8: [2, 3]}]}", &[4, 0, 0, 0, 5, 6], "{list: [{u32: 4}, {u8: [5, 6]}]}")]
#[case::beginning("{prefix: {u8: 1}}", &[2, 9, 9], "{prefix: {u8: 2}}")]
#[case::another_form("{zero: 4}", &[1, 0, 0, 0], "{u32: 1}")]
#[case::no_text_any_more("{str: abc}", &[1, 2, 3, 4], "{u32: 0x4030201}")]
fn a_value_keeps_its_form(#[case] written: &str, #[case] memory: &[u8], #[case] wanted: &str) {
    assert_eq!(expected(written, memory).as_deref(), Ok(wanted));
}

#[rstest]
#[case::range(
    "{min: 1, max: 2}",
    "a range says what may vary, so it is for you to say; it holds {u32: 9} here"
)]
#[case::other(
    "{not: {u32: 9}}",
    "{not: …} says what may vary, so it is for you to say; it holds {u32: 9} here"
)]
fn what_may_vary_stays(#[case] written: &str, #[case] why: &str) {
    assert_eq!(expected(written, &[9, 0, 0, 0]), Err(why.to_owned()));
}

#[test]
fn a_beginning_of_another_form_stays() {
    let why = "the prefix has another form than what was seen";
    assert_eq!(expected("{prefix: {zero: 2}}", &[2, 9, 9]), Err(why.to_owned()));
}

#[test]
fn a_value_without_a_form_gets_the_shortest() {
    let plain = |memory: &[u8]| plain(memory, false).expect("short enough");
    assert_eq!(plain(&[0; 12]), "{zero: 12}");
    assert_eq!(plain(&[1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]), "{u64: [1, 2]}");
    assert_eq!(plain(&[1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0]), "{u32: [1, 2, 3]}");
    assert_eq!(plain(b"kconform\0"), "{str: kconform}");
    assert_eq!(plain(&[1, 2, 3]), "{hex: 010203}");
    let long = super::value::plain(&[1; 513], false);
    assert_eq!(long, Err("513 bytes are more than a case file should hold (512)".into()));
    let cpus = [7, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(
        each_cpu("{percpu: {out: 4}}}]", &cpus, false).as_deref(),
        Some("{percpu: [{u32: 7}, {u32: 8}]}")
    );
    assert_eq!(each_cpu("{percpu: {out: 4}}}]", &cpus[..8], false).as_deref(), Some("{percpu: {u32: 7}}"));
    assert_eq!(each_cpu("{out: 16}}]", &cpus, false), None);
}

const TEXT: &str = "one: 1\ntwo: 2\nthree: 3\n";

fn drafts() -> Drafts {
    let file = Arc::new(File { path: "a.yaml".into(), text: TEXT.to_owned() });
    Drafts::new(&[SuiteFile { suite: "a".into(), file }])
}

/// The file as it is at the beginning of a round.
fn round(drafts: &mut Drafts) -> Arc<File> {
    drafts.settle();
    drafts.files()[0].file.clone()
}

/// Asks for other words in place of these, in the file of this round.
fn ask(drafts: &mut Drafts, file: &Arc<File>, case: &str, step: u32, old: &str, new: &str) -> bool {
    let file = file.clone();
    let start = file.text.find(old).expect("there");
    let (end, place) = (start + old.len(), Place { file, start, end: start + old.len() });
    let what = Ok(Change { start, end, text: new.to_owned() });
    drafts.add(case, Proposal { step, part: Part::Ret, place, what })
}

#[test]
fn changes_of_several_rounds_find_their_places() {
    let mut drafts = drafts();
    let changes = [("x", 0, "1", "a much longer one"), ("x", 1, "3", "c"), ("y", 0, "2", "b")];
    for (case, step, old, new) in changes {
        let now = round(&mut drafts);
        assert!(ask(&mut drafts, &now, case, step, old, new));
    }
    assert_eq!(round(&mut drafts).text, "one: a much longer one\ntwo: b\nthree: c\n");
    assert_eq!(drafts.changes(), 3);
    assert_eq!(drafts.into_changed().1, []);
}

#[rstest]
fn two_cases_that_disagree_change_nothing(#[values(false, true)] in_a_later_round: bool) {
    let mut drafts = drafts();
    let mut now = round(&mut drafts);
    assert!(ask(&mut drafts, &now, "x", 0, "1", "long enough"));
    let words = if in_a_later_round { "long enough" } else { "1" };
    if in_a_later_round {
        now = round(&mut drafts);
    }
    ask(&mut drafts, &now, "y", 0, words, "b");
    // What this round still has to say finds its place.
    assert!(ask(&mut drafts, &now, "z", 0, "3", "c"));
    now = round(&mut drafts);
    assert_eq!(now.text, "one: 1\ntwo: 2\nthree: c\n");
    // The first one asks again, and is not heard.
    assert!(!ask(&mut drafts, &now, "x", 0, "1", "a"));
    let left = drafts.into_changed().1;
    let why = "x has the same words here, and the kernel answers the two differently; give the table a column for it";
    assert_eq!(left.len(), 1);
    assert_eq!((&*left[0].place, &*left[0].case, &*left[0].why), ("a.yaml:1:6", "y", why));
}

#[test]
fn a_change_that_makes_a_mistake_is_taken_back() {
    let mut drafts = drafts();
    let now = round(&mut drafts);
    assert!(ask(&mut drafts, &now, "x", 0, "2", "two"));
    let file = round(&mut drafts);
    let place = |word: &str| {
        let start = file.text.find(word).expect("there");
        Place { file: file.clone(), start, end: start + word.len() }
    };
    let mistake = |place, see| Mistake { place, text: "so it is".into(), help: None, see };
    assert!(!drafts.take_back(&[mistake(place("one"), None)]));
    // Either of two places that do not go together may be the new one.
    assert!(drafts.take_back(&[mistake(place("one"), Some((place(": two"), "that".into())))]));
    assert!(drafts.is_untouched());
    let left = drafts.into_changed().1;
    assert_eq!((&*left[0].place, &*left[0].why), ("a.yaml:2:6", "a case file cannot say it there: so it is"));
}

#[test]
fn what_differs_from_run_to_run_is_not_written() {
    let mut drafts = drafts();
    let now = round(&mut drafts);
    assert!(ask(&mut drafts, &now, "x", 0, "2", "17"));
    let now = round(&mut drafts);
    assert!(ask(&mut drafts, &now, "x", 0, "17", "18"));
    drafts.settle();
    assert!(drafts.is_untouched());
    let left = drafts.into_changed().1;
    assert_eq!(left[0].why, "what the kernel answers differs from run to run");
    assert_eq!(left[0].place, "a.yaml:2:6");
}
