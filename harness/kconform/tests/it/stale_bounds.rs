//! `tools/stale-bounds`: which conditions hide what all kernels do alike.

use crate::program::{Place, tool};

const CASES: &str = "\
requires: {kernel: \">=2.6\"}
cases:
  - name: ends for nothing
    requires: {kernel: \"<2.7\"}
    steps: [{getpid: []}]
  - name: ends for a reason
    requires: {kernel: \"<2.7\"}
    steps: [{close: [-1]}]
  - name: only a row needs it
    requires: {kernel: \"<2.7\"}
    each: [{case: a, fd: 0}, {case: b, fd: 1}, {case: c, fd: -1}]
    steps: [{dup: [$fd]}]
  - name: a row has its own
    each:
      - {case: kept, kernel: \">=2.6\", errno: EBADF}
      - {case: too wide, kernel: \"<2.7\", errno: EBADF}
      - {case: needed, kernel: \"<2.7\", errno: EINVAL}
    requires: {kernel: $kernel}
    steps: [{close: [-1], errno: $errno}]
  - name: excepted for nothing
    steps:
      - close: [-1]
        errno: EBADF
        except: [{when: {kernel: \">=2.7\"}, errno: [EBADF, EINVAL], because: it was so}]
  - name: excepted for a reason
    steps:
      - close: [-1]
        errno: EINVAL
        except:
          - {when: {kernel: \">=2.7\"}, errno: EBADF, because: it is so}
          - {when: {kernel: \"<2.6.1\"}, errno: EIO, because: it was so}
";

#[test]
fn conditions_that_hide_nothing_are_told() {
    let place = Place::with(CASES);
    let Some((text, status)) = tool("stale-bounds", &place, &["cut", "cases", "cut/cases"]) else { return };
    assert_eq!((text.as_str(), status), ("10 conditions cut in cut/cases\n", Some(0)));
    place
        .say(&["run", "--target", "native", "--cases", "cut/cases", "--report", "json=run.json"])
        .assert_status(1);
    let report = std::fs::read_to_string(place.here().join("run.json")).expect("a report");
    let mut report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
    report["targets"][0]["kernel"] = "6.12.3".into();
    std::fs::write(place.here().join("run.json"), report.to_string()).expect("written");
    let Some((text, status)) = tool("stale-bounds", &place, &["read", "cut/cases", "run.json"]) else {
        return;
    };
    let expected = "s.yaml:4: kernel: \"<2.7\": cut, all of 1 cases pass on native\n\
                    s.yaml:10: kernel: \"<2.7\": cut, 2 cases pass on native; it is needed by s::only_a_row_needs_it[c]\n\
                    s.yaml:16: kernel: \"<2.7\": cut, all of 1 cases pass on native\n\
                    s.yaml:24: except when {kernel: \">=2.7\"}: cut, all of 1 cases pass on native\n\
                    s.yaml:31: except when {kernel: \"<2.6.1\"}: none of the kernels is one of these\n\
                    5 of 10 conditions are too wide or not needed on native (6.12.3); nothing ran that 2 of them hide\n";
    assert_eq!(text, expected);
    assert_eq!(status, Some(1));
    // A second copy does not go into the first, and what is no report is refused.
    let Some((text, status)) = tool("stale-bounds", &place, &["cut", "cases", "cut/cases"]) else { return };
    assert_eq!((text.as_str(), status), ("tools/stale-bounds: cut/cases is there already\n", Some(1)));
    std::fs::write(place.here().join("x.json"), "{}").expect("written");
    let Some((text, status)) = tool("stale-bounds", &place, &["read", "cut/cases", "x.json"]) else { return };
    assert_eq!((text.as_str(), status), ("tools/stale-bounds: x.json is no report of kconform's\n", Some(1)));
}
