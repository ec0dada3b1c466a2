//! What is too large is a mistake; what is not too large runs.

use rstest::rstest;

use crate::guests::is_set_up;
use crate::program::{Place, data, not_here};

/// Cases at the limits, which are told by `kconform check`, are no trouble on any target.
#[rstest]
fn what_is_not_too_large_runs(#[values("native", "x86_64", "riscv64")] target: &str) {
    if target != "native" && !is_set_up(target) {
        return not_here("guests");
    }
    let said = Place::data().say(&["run", "--target", target, "--cases", "hostile/limits.yaml"]);
    assert_eq!(said.assert_status(0).counts(target), "9 passed");
}

/// A case that goes round for ever is timed out, whatever it writes down; its report is of a size that can be read.
#[rstest]
fn a_case_that_goes_round_for_ever_has_a_small_report(
    #[values("endless", "endless_outputs", "endless_threads", "endless_image", "endless_children")]
    name: &str,
) {
    let case = std::fs::read_to_string(data().join(format!("faults/{name}.yaml"))).expect("a case");
    let place = Place::with(&format!("cases:\n{case}  - {{name: passes, steps: [{{getpid: []}}]}}\n"));
    let said = place.run(&["--report", "json=run.json", "--report", "junit=run.xml"]).assert_status(1);
    assert_eq!(said.counts("native"), "1 passed, 1 timed out", "{}", said.all());
    // The outputs of some hundred rounds are in the one with large outputs.
    let most = if name == "endless_outputs" { 64 << 20 } else { 8 << 20 };
    let size = |file: &str| std::fs::metadata(place.here().join(file)).expect("a report").len();
    assert!(
        size("run.json") < most && size("run.xml") < 64 << 10,
        "{} {}",
        size("run.json"),
        size("run.xml")
    );
}

/// A number of rounds that is too much to keep, and comes to its end.
#[test]
fn a_long_repetition_passes() {
    let place = Place::with(
        "cases:\n  - name: long\n    timeout: 60\n    steps:\n      - repeat: {times: 100000, as: i, steps: [{close: [99], errno: EBADF}]}\n",
    );
    let said = place.run(&["--report", "json=run.json", "--verbose"]).assert_status(0);
    assert!(said.out.contains("repeat: round 99999"), "{}", said.all());
    let text = std::fs::read_to_string(place.here().join("run.json")).expect("a report");
    let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let result = &report["cases"][0]["results"][0];
    let left_out = result["left_out"].as_u64().expect("some are left out");
    let steps = result["steps"].as_array().expect("steps");
    assert!(steps.len() == 4096 && left_out > 1000, "{left_out} {}", steps.len());
    let is_note = |step: &serde_json::Value| {
        step["back"].as_str().is_some_and(|back| back.ends_with("went as expected"))
    };
    // Wherever the note is, rounds begin with 0 and end with the last.
    assert_eq!(steps[0]["back"], "round 0");
    assert!(steps.iter().filter(|step| is_note(step)).count() <= 1);
    assert_eq!(steps[steps.len() - 1]["iteration"][0], 99_999);
}

/// Nothing is made of what is too large, and nothing is skipped.
#[rstest]
#[case::nested("{times: [0x4000, {times: [0x4000, {times: [32, {u8: 1}]}]}]}", "a buffer of 8 GiB")]
#[case::wide("{times: [0xffffffffffffffff, {u64: 1}]}", "a buffer of 16 EiB or more")]
#[case::many(
    "{list: [{addr_of: {zero: 0x1000000}}, {addr_of: {zero: 0x1000000}}, {addr_of: {zero: 0x1000000}}]}",
    "the buffers of this case are 48.0 MiB (50331672 bytes)"
)]
fn what_is_too_large_is_a_mistake(#[case] buffer: &str, #[case] told: &str) {
    let place = Place::with(&format!("cases:\n  - name: x\n    steps:\n      - write: [1, {buffer}, 4]\n"));
    for words in [&["check"][..], &["run", "--target", "native"]] {
        let said = place.say(words).assert_status(2);
        assert!(said.all().contains(told) && said.all().contains("s.yaml:4:"), "{}", said.all());
    }
}

/// RLIMIT_FSIZE (`ulimit -f`): SIGXFSZ would end the program without a word.
#[test]
fn a_file_that_may_not_grow_is_told() {
    let place = Place::with("cases:\n  - {name: one, steps: [{close: [0]}]}\n");
    place.run(&["--report", "json=run.json"]).assert_status(0);
    let through = ["sh", "-c", "ulimit -f 0 && exec \"$@\"", "sh"];
    let merged = place.say_through(&through, &["merge", "run.json", "--report", "json=merged.json"]);
    assert_eq!(merged.err, "error: merged.json: File too large (os error 27)\n");
    merged.assert_status(3);
    let said = place.say_through(&through, &["run", "--target", "native"]).assert_status(3);
    assert!(said.out.contains(": File too large (os error 27)\n"), "{}", said.all());
    assert!(
        said.out.contains("to mend it: raise the limit of a file's size (`ulimit -f`)"),
        "{}",
        said.all()
    );
}
