//! A run that tests nothing, or less than was asked for, is not green.

use rstest::rstest;

use crate::program::{Place, Said};

const SKIPPED: &str = "cases:
  - name: skipped
    requires: {kernel: \">=99\"}
    each: [{case: a}, {case: b}, {case: c}]
    steps: [{close: [0]}]
";

const MIXED: &str = "cases:
  - {name: passes, steps: [{close: [0]}]}
  - {name: skipped, requires: {kernel: \">=99\"}, steps: [{close: [0]}]}
";

const NOTHING: &str = "error: nothing was tested: no case ran on any target";

fn assert_told(said: &Said, line: &str) {
    assert!(said.all().lines().any(|told| told == line), "no line {line:?}: {}", said.all());
}

#[rstest]
#[case::all_skipped(SKIPPED, &[], 3, NOTHING)]
#[case::all_skipped_where_some_must_run(
    SKIPPED,
    &["--min-run", "1"],
    1,
    "error: --min-run 1: 0 of 3 cases ran on native; skipped most often: needs Linux >=99 (3)"
)]
#[case::a_skip(
    MIXED,
    &["--fail-on-skip"],
    1,
    "error: --fail-on-skip: 1 case skipped on native; skipped most often: needs Linux >=99 (1)"
)]
#[case::too_few(
    MIXED,
    &["--min-run", "2"],
    1,
    "error: --min-run 2: 1 of 2 cases ran on native; skipped most often: needs Linux >=99 (1)"
)]
fn what_was_not_tested_is_told(
    #[case] cases: &str,
    #[case] arguments: &[&str],
    #[case] status: i32,
    #[case] line: &str,
) {
    assert_told(&Place::with(cases).run(arguments).assert_status(status), line);
}

/// The last of several numbers counts, so that a script's own can be overridden.
#[rstest]
#[case::some_ran(&[])]
#[case::enough(&["--min-run", "1"])]
#[case::overridden(&["--min-run", "9", "--min-run", "1"])]
#[case::no_skip(&["--fail-on-skip", "passes"])]
fn enough_was_tested(#[case] arguments: &[&str]) {
    let said = Place::with(MIXED).run(arguments).assert_status(0);
    assert!(!said.all().contains("error:") && !said.all().contains("warning:"), "{}", said.all());
}

#[test]
fn no_case_at_all_is_no_number() {
    let said = Place::with(MIXED).run(&["--min-run", "0"]).assert_status(2);
    assert!(said.err.contains("--min-run"), "{}", said.all());
}

/// Each shard is fine by itself; what is joined says that nothing was tested.
#[test]
fn shards_without_a_case_that_ran_are_told_when_joined() {
    let place = Place::with(SKIPPED);
    let files: Vec<String> = (1..=4).map(|index| format!("s{index}.json")).collect();
    for (nth, file) in files.iter().enumerate() {
        let shard = format!("{}/4", nth + 1);
        let said = place.run(&["--shard", &shard, "--report", &format!("json={file}")]).assert_status(0);
        let line = "warning: no case of this shard ran; `kconform merge` tells if none ran in any shard";
        assert_told(&said, line);
    }
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let said =
        place.say(&[&["merge"], files.as_slice(), &["--report", "json=all.json"]].concat()).assert_status(3);
    assert_told(&said, NOTHING);
}

/// Every format says it, also one that is made later.
#[rstest]
#[case("json", &["nothing_ran"])]
#[case("ktap", &["\n# nothing was tested: no case ran on any target\n", "\n  # warning: no case ran on this target\n"])]
#[case("junit", &["name=\"nothing_ran\" value=\"true\""])]
#[case("github", &["::error title=nothing was tested::no case ran on any target"])]
#[case("html", &["\"nothing_ran\":true"])]
fn every_format_says_that_nothing_ran(#[case] format: &str, #[case] texts: &[&str]) {
    let place = Place::with(SKIPPED);
    let wanted = format!("{format}=first");
    place.run(&["--report", "json=run.json", "--report", &wanted]).assert_status(3);
    place.say(&["report", "run.json", "--report", &format!("{format}=later")]).assert_status(0);
    for name in ["first", "later"] {
        let read = std::fs::read_to_string(place.here().join(name)).expect("the report is there");
        for text in texts {
            assert!(read.contains(text), "{name} has no {text:?}: {read}");
        }
    }
}
