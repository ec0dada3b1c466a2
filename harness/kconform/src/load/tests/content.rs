//! What comes of a file: the cases themselves.

use std::time::Duration;

use kconform_plan::Lockdown;
use rstest::rstest;

use super::{cases, data};
use crate::case::{
    Arg, Attr, AttrSlot, Call, CallStep, Case, Outcome, PieceKind, RetWant, Step, StepKind, Term,
};

/// The only case of a file with these steps (in flow style).
fn case(steps: &str) -> Case {
    cases(&format!("cases:\n  - name: x\n    exclusive: true\n    guest_only: true\n    steps: {steps}\n"))
        .remove(0)
}

fn call(step: &Step) -> &CallStep {
    match &step.kind {
        StepKind::Call(call) => call,
        other => panic!("a block: {other:?}"),
    }
}

fn args(case: &Case) -> Vec<&Arg> {
    match &call(&case.steps[0]).call {
        Call::Syscall { args, .. } => args.iter().map(|a| &a.value).collect(),
        other => panic!("no syscall: {other:?}"),
    }
}

#[rstest]
#[case("4", &[Term::Number(4)])]
#[case("0x10", &[Term::Number(16)])]
#[case("0o644", &[Term::Number(0o644)])]
#[case("0b11", &[Term::Number(3)])]
#[case("-1", &[Term::Number(u64::MAX)])]
#[case("18446744073709551615", &[Term::Number(u64::MAX)])]
#[case("-9223372036854775808", &[Term::Number(1 << 63)])]
#[case("'7'", &[Term::Number(7)])]
#[case("BPF_ANY", &[Term::Constant("BPF_ANY".into())])]
#[case("BPF_EXIST|4", &[Term::Constant("BPF_EXIST".into()), Term::Number(4)])]
#[case("PAGE_SIZE", &[Term::Constant("PAGE_SIZE".into())])]
#[case("2 * PAGE_SIZE + 8", &[Term::Arithmetic("2 * PAGE_SIZE + 8".into())])]
#[case("0x1000 + PATH_MAX - 1|4", &[Term::Arithmetic("0x1000 + PATH_MAX - 1".into()), Term::Number(4)])]
fn numbers_are_read(#[case] written: &str, #[case] terms: &[Term]) {
    let case = case(&format!("[{{close: [{written}]}}]"));
    let [Arg::Expr(expr)] = args(&case)[..] else { panic!("no number") };
    assert_eq!(expr.terms, terms);
    assert_eq!(expr.text, written.trim_matches('\''));
    assert_eq!(expr.place.text(), written);
}

#[test]
fn text_stays_as_it_is_written() {
    let case = case("[{write: [1, {list: [{str: 0123}, {str: null}, {str: 1e3}, {str: \"\"}]}, 4]}]");
    let [_, Arg::Buffer(piece), _] = args(&case)[..] else { panic!("no buffer") };
    let PieceKind::List(pieces) = &piece.kind else { panic!("no list") };
    let texts: Vec<_> = pieces.iter().map(|p| format!("{:?}", p.kind)).collect();
    let literal = |text: &str| format!("Str(Text {{ parts: [Literal({text:?})] }})");
    assert_eq!(texts[..3], [literal("0123"), literal("null"), literal("1e3")]);
    assert_eq!(texts[3], "Str(Text { parts: [] })");
}

#[test]
fn hex_ignores_white_space() {
    let case = case("[{write: [1, {hex: \"de ad\tBE  ef\"}, 4]}]");
    let [_, Arg::Buffer(piece), _] = args(&case)[..] else { panic!("no buffer") };
    assert!(matches!(&piece.kind, PieceKind::Hex(bytes) if bytes == &[0xde, 0xad, 0xbe, 0xef]));
}

#[test]
fn steps_are_numbered_in_preorder() {
    let case = case(
        "[{dup: [0]}, {fork: [{dup: [0]}, {exec: [{dup: [0]}]}]}, {parallel: [[{dup: [0]}], [{dup: [0]}]]}, {dup: [0]}]",
    );
    fn numbers(steps: &[Step]) -> Vec<u32> {
        let inner = |step: &Step| match &step.kind {
            StepKind::Fork(steps) | StepKind::Exec(steps) => numbers(steps),
            StepKind::Parallel(threads) => threads.iter().flat_map(|t| numbers(t)).collect(),
            _ => Vec::new(),
        };
        steps.iter().flat_map(|s| std::iter::once(s.index).chain(inner(s))).collect()
    }
    assert_eq!(numbers(&case.steps), (0..9).collect::<Vec<_>>());
}

/// The fields of the attr of the first step, as name and text.
fn fields(case: &Case) -> Vec<(String, String)> {
    let Call::Bpf { attr: Attr::Fields(fields), .. } = &call(&case.steps[0]).call else {
        panic!("no fields")
    };
    let name = |slot: &AttrSlot| match slot {
        AttrSlot::Field(field) => field.name.to_owned(),
        AttrSlot::Offset(offset) => format!("@{offset}"),
    };
    fields.iter().map(|f| (name(&f.slot), f.value.place.text().to_owned())).collect()
}

#[test]
fn in_a_merge_what_is_beside_wins_then_what_is_earlier() {
    let text = r#"
let:
  one: &one {key_size: 1, value_size: 1}
  two: &two {key_size: 2, max_entries: 2, "@120": {u8: 2}}
cases:
  - name: x
    steps:
      - bpf: [BPF_MAP_CREATE, {<<: [*one, *two], value_size: 3}]
"#;
    let expected = [("key_size", "1"), ("max_entries", "2"), ("@120", "{u8: 2}"), ("value_size", "3")];
    assert_eq!(fields(&cases(text)[0]), expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
}

#[test]
fn parameters_are_filled_in_before_merges_are_resolved() {
    let text = r#"
cases:
  - name: x
    each: [{case: a, attr: {key_size: $size}}, {case: b, attr: {value_size: 2, key_size: 5}}]
    matrix: {size: [7, 8]}
    steps:
      - bpf: [BPF_MAP_CREATE, {<<: $attr, value_size: $size}]
"#;
    let all: Vec<_> = cases(text).iter().map(|case| (case.id.clone(), fields(case))).collect();
    let sizes = |key: &str, value: &str| {
        vec![("key_size".to_owned(), key.to_owned()), ("value_size".to_owned(), value.to_owned())]
    };
    let expected = [
        ("s::x[a,size=7]", sizes("7", "7")),
        ("s::x[a,size=8]", sizes("8", "8")),
        ("s::x[b,size=7]", sizes("5", "7")),
        ("s::x[b,size=8]", sizes("5", "8")),
    ];
    assert_eq!(all, expected.map(|(id, fields)| (id.to_owned(), fields)));
}

fn outcome(case: &Case) -> &Outcome {
    &call(&case.steps[0]).outcome
}

#[test]
fn an_outcome_is_placed_where_it_is_written() {
    let text = r"
cases:
  - name: x
    each: [{case: a, errno: EBADF}, {case: b, errno: none}, {case: c, errno: [9, EINVAL]}]
    steps:
      - close: [9]
        errno: $errno
      - close: [9]
        errno:   EBADF
      - close: [9]
";
    let cases = cases(text);
    let places = cases.iter().map(|case| outcome(case).place.as_ref().expect("a place").text());
    assert_eq!(places.collect::<Vec<_>>(), ["EBADF", "none", "[9, EINVAL]"]);
    let errnos: Vec<_> = cases.iter().map(|case| format!("{:?}", outcome(case).ret)).collect();
    assert_eq!(errnos, ["Errno([9])", "Success", "Errno([9, 22])"]);
    let later = |step: usize| call(&cases[0].steps[step]).outcome.place.as_ref().map(|p| p.text());
    assert_eq!((later(1), later(2)), (Some("errno:   EBADF"), None));
}

#[test]
fn names_saved_by_rows_that_fail_are_left_out() {
    let text = r"
cases:
  - name: x
    each: [{case: a, errno: EBADF}, {case: b, errno: none}]
    steps:
      - dup: [9]
        errno: $errno
        save: fd
";
    let kept: Vec<_> = cases(text).iter().map(|case| call(&case.steps[0]).saves.len()).collect();
    assert_eq!(kept, [0, 1]);
}

#[test]
fn an_output_of_a_call_that_fails_can_be_saved() {
    let case =
        case("[{bpf: [BPF_MAP_LOOKUP_BATCH, {out_batch: {out: 4}}], errno: ENOENT, save: {n: count}}]");
    assert!(matches!(outcome(&case).ret, RetWant::Errno(_)));
    assert_eq!(call(&case.steps[0]).saves[0].name, "n");
}

#[test]
fn what_a_file_says_holds_for_its_cases() {
    let text = r#"
about: The file.
source: [bpf(2), a commit]
requires: {kernel: ">=5.6, <6.12", arch: [riscv64]}
cases:
  - name: one
    steps: [{close: [1]}]
  - name: two
    about: The case.
    source: a CVE
    requires: {config: [!CONFIG_A, CONFIG_B], privileged: false}
    timeout: 1.5
    tags: [a, b]
    steps: [{close: [1]}]
"#;
    let cases = cases(text);
    let (one, two) = (&cases[0], &cases[1]);
    assert_eq!((one.about.as_deref(), two.about.as_deref()), (Some("The file."), Some("The case.")));
    assert_eq!((one.source.len(), two.source.as_slice()), (2, &["a CVE".to_owned()][..]));
    assert_eq!((one.requires.len(), two.requires.len()), (1, 2));
    assert_eq!(two.requires[1].config, [("CONFIG_A".to_owned(), false), ("CONFIG_B".to_owned(), true)]);
    assert_eq!(two.requires[1].privileged, Some(false));
    assert_eq!((one.timeout, two.timeout), (Duration::from_secs(10), Duration::from_millis(1500)));
    assert_eq!(two.tags, ["a", "b"]);
    let range = &two.requires[0].kernel.as_ref().expect("a range").value;
    assert_eq!([[5, 5], [5, 6], [6, 11], [6, 12]].map(|v| range.contains(&v)), [false, true, true, false]);
}

#[test]
fn settings_are_read_and_those_that_must_be_asked_for_are_kept() {
    let path = data("good/settings.yaml");
    let cases = cases(&std::fs::read_to_string(path).expect("readable"));
    let wants = |nth: usize| -> Vec<String> {
        let settings = cases[nth].requires.iter().map(|requires| &requires.settings);
        settings.flat_map(|want| &want.sysctl).map(ToString::to_string).collect()
    };
    let sysctls = [
        "net.core.bpf_jit_harden=0 or none",
        "kernel.unprivileged_bpf_disabled of at most 2",
        "net.core.optmem_max from 20480 to 1000000",
        "kernel.core_pattern=core",
        "net.ipv4.conf.eth0/1.forwarding=0",
        "no kernel.kptr_restricts",
    ];
    assert_eq!(wants(0), sysctls);
    assert_eq!(wants(3), ["net.core.bpf_jit_harden=0 or none", "net.core.bpf_jit_harden=2"]);
    let asked = ["net.core.bpf_jit_harden", "kernel.core_pattern", "net.ipv4.conf.eth0/1.forwarding"];
    assert!(
        asked.iter().all(|name| cases[0].sysctls.contains(&(*name).to_owned())),
        "{:?}",
        cases[0].sysctls
    );
    let others = &cases[1].requires[1].settings;
    assert_eq!((others.jit, cases[2].requires[1].settings.jit), (Some(true), Some(false)));
    assert_eq!(others.lockdown, [Lockdown::None, Lockdown::Integrity]);
    assert_eq!(others.lsm, [("selinux".to_owned(), false), ("bpf".to_owned(), true)]);
    assert_eq!(others.cmdline, [("nokaslr".to_owned(), false)]);
}

#[test]
fn a_word_of_the_form_name_is_left_alone_in_texts() {
    let cases = cases("cases:\n  - name: x\n    about: Keeps $map.\n    steps: [{close: [1]}]\n");
    assert_eq!(cases[0].about.as_deref(), Some("Keeps $map."));
}
