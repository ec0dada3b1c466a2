//! `tools/never-run`: which cases were skipped by every target.

use crate::program::{Place, tool};

const CASES: &str = "\
cases:
  - name: runs everywhere
    steps: [{getpid: []}]
  - name: runs nowhere
    requires: {kernel: \"<2.6\"}
    steps: [{getpid: []}]
  - name: runs elsewhere
    guest_only: true
    steps: [{getpid: []}]
";

#[test]
fn a_case_that_every_target_skips_is_told() {
    let place = Place::with(CASES);
    place.run(&["--report", "json=host.json"]).assert_status(0);
    let Some((text, status)) = tool("never-run", &place, &["host.json"]) else { return };
    let expected = "s::runs_elsewhere\n    native: not run on this machine's own kernel (guest_only)\n\
                    s::runs_nowhere\n    native: needs Linux <2.6\n\
                    2 of 3 cases were skipped on each of native\n";
    assert_eq!((text.as_str(), status), (expected, Some(1)));
    // What another target's report says of the same cases counts too.
    let host = std::fs::read_to_string(place.here().join("host.json")).expect("a report");
    let other = host.replace("\"native\"", "\"other\"").replace("\"skipped\"", "\"passed\"");
    std::fs::write(place.here().join("other.json"), other).expect("written");
    let Some((text, status)) = tool("never-run", &place, &["host.json", "other.json"]) else { return };
    assert_eq!((text.as_str(), status), ("0 of 3 cases were skipped on each of native, other\n", Some(0)));
}

#[test]
fn what_is_no_report_is_refused() {
    let place = Place::new().file("x.json", "{}");
    let Some((text, status)) = tool("never-run", &place, &["x.json"]) else { return };
    assert_eq!((text.as_str(), status), ("tools/never-run: x.json is no report of kconform's\n", Some(1)));
}
