//! A run that is lost, or less than was asked for, is red for whatever reads its report.

use rstest::rstest;

use crate::program::Place;
use crate::readers;
use crate::ssh::with_ssh;

/// A report that is there as `run.json` is red in each format, and joined with nothing has the run's exit status.
#[track_caller]
pub(crate) fn assert_red(place: &Place, status: i32) {
    for format in ["ktap", "tap", "junit", "github"] {
        let wanted = format!("{format}=made");
        place.say(&["report", "run.json", "--report", &wanted]).assert_status(0);
        assert_reader_says_red(
            format,
            &std::fs::read_to_string(place.here().join("made")).expect("a report"),
        );
    }
    let said = place.say(&["report", "run.json", "--kcidb", "--origin", "myci"]).assert_status(0);
    assert_reader_says_red("kcidb", &said.out);
    place.say(&["merge", "run.json"]).assert_status(status);
}

#[track_caller]
fn assert_reader_says_red(format: &str, text: &str) {
    for (reader, says) in readers::verdicts(format, text) {
        assert!(!says, "{reader} takes this {format} to be well:\n{text}");
    }
}

/// It has time to come to an end several times before it is lost.
const CASES: &str = "cases:
  - {name: one, steps: [{close: [0]}]}
  - {name: takes its time, steps: [{ppoll: [null, 0, {list: [{u64: 0}, {u64: 50000000}]}, null]}]}
";

/// The first agent is the third call, and has some seconds.
const FOR_A_WHILE: &str = "[ $1 != 3 ] || exec timeout 6 sh -c \"$there\"; ";

/// All its cases have passed in the first round.
#[test]
fn a_target_that_is_lost_in_a_later_round() {
    let gone = "[ $1 -lt 4 ] || { echo 'ssh: connect to host board: No route to host' >&2; exit 255; }; ";
    let place = with_ssh(CASES, &format!("{gone}{FOR_A_WHILE}sh -c \"$there\""));
    let run = ["run", "--target", "ssh:board", "--until-fail", "--report", "json=run.json"];
    let said = place.say(&run).assert_status(3);
    assert_eq!(said.counts("ssh:board"), "2 passed", "{}", said.all());
    assert!(said.out.contains("No route to host"), "{}", said.all());
    assert_red(&place, 3);
}

/// The machine is there again, so that nothing but the case's own result tells of it.
#[test]
fn a_case_that_is_lost_in_a_later_round() {
    let again = "[ $1 != 6 ] || exec </dev/null; ";
    let place = with_ssh(CASES, &format!("{FOR_A_WHILE}{again}sh -c \"$there\""));
    let run = ["run", "--target", "ssh:board", "--until-fail", "--report", "json=run.json"];
    let said = place.say(&run).assert_status(3);
    assert_eq!(said.counts("ssh:board"), "1 passed, 1 lost", "{}", said.all());
    assert!(said.out.contains("flaky:\n"), "{}", said.all());
    assert_red(&place, 3);
}

/// What is wrong is told for the target that it is wrong with.
#[rstest]
#[case::skips("--fail-on-skip", "no_case_is_skipped # --fail-on-skip: 1 case skipped on native")]
#[case::too_few("--min-run=3", "enough_cases_ran # --min-run 3: 2 of 3 cases ran on native")]
fn less_than_was_asked_for(#[case] demand: &str, #[case] line: &str) {
    let skipped = "  - {name: skipped, requires: {kernel: \">=99\"}, steps: [{close: [0]}]}\n";
    let place = Place::with(&format!("{CASES}{skipped}"));
    let said = place.run(&[demand, "--report", "json=run.json", "--report", "ktap=run.ktap"]);
    let said = said.assert_status(1);
    let text = std::fs::read_to_string(place.here().join("run.ktap")).expect("a report");
    assert!(text.contains(&format!("\n  not ok 2 {line}")), "{text}\n{}", said.all());
    let page = place.say(&["report", "run.json", "--report", "html"]).assert_status(0);
    assert!(page.out.contains("\"trouble\":[\"--"), "{}", page.out);
    let joined = place.say(&["merge", "run.json"]).assert_status(1);
    assert!(joined.out.contains(&format!("error: {}", line.split(" # ").nth(1).expect("a reason"))));
    assert_red(&place, 1);
}
