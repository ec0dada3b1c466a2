//! Reports cannot be lost: their places are tried before anything runs, what was there stays until the new one is whole, and
//! what comes as the results come is there when the run is killed.

use std::fs;
use std::io::Read;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rstest::rstest;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::guests::is_set_up;
use crate::program::{Place, in_a_chroot, is_root, not_here};

const NOBODY: &[&str] =
    &["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps=-all"];

/// A run of this would never end: what is refused beforehand must not begin.
const CASES: &str = "cases:
  - {name: one, steps: [{getpid: []}]}
  - {name: two, steps: [{close: [99], errno: EINVAL}]}
  - {name: three, requires: {kernel: \"<2.0\"}, steps: [{getpid: []}]}
  - {name: waits, timeout: 600, steps: [{ppoll: [null, 0, null, null]}]}
  - {name: five, steps: [{getpid: []}]}
";

/// The place, and a file of before.
fn place() -> Place {
    Place::with(CASES).file("old", "what was there")
}

fn names(place: &Place) -> Vec<String> {
    let entries = fs::read_dir(place.here()).expect("readable").flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[rstest]
#[case::no_folder("json=no/report", "the folder no is not there")]
#[case::folder("html=cases", "this is a folder")]
#[case::dangling("junit=link", "this is a symlink to nothing, which is not there")]
#[case::growing("jsonl=no/report", "the folder no is not there")]
#[case::second("json=new", "two reports are to be written to new")]
fn a_place_that_is_none_is_told_before_anything_runs(#[case] report: &str, #[case] says: &str) {
    let place = place();
    std::os::unix::fs::symlink("nothing", place.here().join("link")).expect("made");
    let before = names(&place);
    let said = place.run(&["--report", "json=new", "--report", report]).assert_status(2);
    assert!(said.err.contains(says), "{}", said.all());
    assert_eq!(said.out, "", "nothing was begun");
    assert_eq!(names(&place), before);
    fs::write(place.here().join("read.json"), "no report is read before").expect("written");
    let said = place.say(&["report", "read.json", "--report", "json=new", "--report", report]);
    assert!(said.assert_status(2).err.contains(says));
    let said = place.say(&["merge", "read.json", "--report", "json=new", "--report", report]);
    assert!(said.assert_status(2).err.contains(says));
}

#[test]
fn a_place_that_one_may_not_write_to_is_told_before_anything_runs() {
    if !is_root() {
        return not_here("another user's files: only root can make them");
    }
    use std::os::unix::fs::PermissionsExt;
    let place = place().open_to_all();
    let at = |name: &str| place.here().join(name);
    fs::create_dir(at("open")).expect("made");
    fs::write(at("open/sealed"), "what was there").expect("written");
    for (name, mode) in [("old", 0o666), ("open", 0o777), ("open/sealed", 0o444)] {
        fs::set_permissions(at(name), PermissionsExt::from_mode(mode)).expect("set");
    }
    for (report, says) in [
        ("new", "no file can be made in the folder"),
        ("old", "no file can be made in the folder"),
        ("open/sealed", "open/sealed: this file cannot be written to (Permission denied"),
    ] {
        let report = format!("json={report}");
        let run = ["run", "--target", "native", "--cases", "cases", "--report", &report];
        let said = place.say_through(NOBODY, &run).assert_status(2);
        assert!(said.err.contains(says), "{}", said.all());
        assert_eq!(said.out, "");
    }
    // What may be replaced in a folder like /tmp is one's own.
    fs::set_permissions(place.here(), PermissionsExt::from_mode(0o1777)).expect("set");
    let run = ["run", "--target", "native", "--cases", "cases", "--report", "json=old"];
    let said = place.say_through(NOBODY, &run).assert_status(2);
    assert!(said.err.contains("old: this file is another user's"), "{}", said.all());
    assert_eq!(fs::read_to_string(at("old")).expect("read"), "what was there");
    assert_eq!(names(&place), ["cases", "old", "open"]);
}

/// The file system is full when the report comes.
#[test]
fn a_report_that_fails_is_told_and_the_old_one_stays() {
    let limits = ["prlimit", "--fsize=4096"];
    let place = place();
    let big: String = (0..100).map(|n| format!("  - {{name: c{n}, steps: [{{getpid: []}}]}}\n")).collect();
    let place = place.file("cases/s.yaml", &format!("cases:\n{big}"));
    place.run(&["--report", "json=whole.json"]).assert_status(0);
    // SIGXFSZ is ignored, and write(2) then says EFBIG.
    let through = ["sh", "-c", "trap '' XFSZ; exec \"$0\" \"$@\"", limits[0], limits[1]];
    let report = ["report", "whole.json", "--report", "json=old", "--report", "jsonl=new"];
    let said = place.say_through(&through, &report).assert_status(3);
    assert!(said.err.contains("error: old: File too large"), "{}", said.all());
    assert!(said.err.contains("error: new: File too large"), "{}", said.all());
    assert_eq!(fs::read_to_string(place.here().join("old")).expect("read"), "what was there");
    assert_eq!(names(&place), ["cases", "old", "whole.json"]);
    let said = place.run(&["c1", "--report", "json=/dev/full"]).assert_status(3);
    assert!(said.err.contains("error: /dev/full: No space left on device"), "{}", said.all());
    assert!(said.out.contains("11 passed"), "{}", said.all());
}

/// As a container has it when one file of the host is mounted: nothing can be renamed over it.
#[test]
fn a_file_that_is_a_mount_point_is_written_to() {
    if !is_root() || in_a_chroot() {
        return not_here("a mount of one's own: it needs root outside a chroot");
    }
    let long = "what was there ".repeat(1000);
    let place = Place::with(&CASES.replace("timeout: 600", "timeout: 1")).file("old", "").file("host", &long);
    let mount = "mount --bind host old && exec \"$0\" \"$@\"";
    for format in ["json", "jsonl"] {
        let report = format!("{format}=old");
        let run = ["run", "--target", "native", "--report", &report];
        place.say_through(&["unshare", "--mount", "sh", "-c", mount], &run).assert_status(1);
        let said = place.say(&["report", "host", "--report", "json"]).assert_status(0);
        let document = serde_json::from_str(&said.out).expect("JSON");
        assert_eq!(statuses(&document), ["passed", "failed", "skipped", "timed_out", "passed"]);
    }
    assert_eq!(names(&place), ["cases", "host", "old"]);
}

fn killed_by(child: &mut Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).expect("it is there");
    child.wait().expect("an end");
}

/// A run of which three results are there while the fourth case waits.
fn under_way(place: &Place, target: &str, report: &str, is_there: impl Fn() -> bool) -> Child {
    let mut command = place.command(&[]);
    command.args(["run", "--target", target, "--report", report]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
    let begun = Instant::now();
    while !is_there() {
        assert!(begun.elapsed() < Duration::from_secs(120), "the results do not come");
        std::thread::sleep(Duration::from_millis(10));
    }
    child
}

fn statuses(document: &Value) -> Vec<&str> {
    let cases = document["cases"].as_array().expect("a list").iter();
    cases.map(|case| case["results"][0]["status"].as_str().expect("a status")).collect()
}

#[rstest]
#[case::native("native")]
#[case::x86_64("x86_64")]
#[case::riscv64("riscv64")]
fn what_came_before_a_run_was_killed_is_there(#[case] target: &str) {
    if target != "native" && !is_set_up(target) {
        return;
    }
    let place = place();
    let path = place.here().join("old");
    let lines = || fs::read_to_string(&path).expect("always there").matches("\n{\"result\":").count();
    // Until there is something to say, what was there is there.
    let mut child = under_way(&place, target, "jsonl=old", || lines() == 3);
    killed_by(&mut child, Signal::KILL);
    let mut report = place.command(&[]);
    let output = report
        .args(["report", "old", "--report", "json", "--report", "html=page"])
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "note: old is partial: 3 of 5 results are known\n");
    let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(statuses(&document), ["passed", "failed", "skipped", "lost", "lost"]);
    assert_eq!(document["partial"], true);
    assert_eq!(document["cases"][4]["results"][0]["reason"], "no result came");
    assert!(document["targets"][0]["release"].is_string(), "{}", document["targets"]);
    assert_eq!(document["targets"][0]["counts"]["lost"], 2);
    // The last line was cut; the folder of the run goes with the next one.
    let text = fs::read_to_string(&path).expect("read");
    fs::write(&path, &text[..text.len() - 10]).expect("written");
    place.say(&["run", "--target", target, "one"]).assert_status(0);
    let said = place.say(&["report", "old", "--report", "json"]).assert_status(0);
    assert_eq!(said.err, "note: old is partial: 2 of 5 results are known\n");
    let said = place.say(&["merge", "old"]).assert_status(3);
    assert!(said.out.contains("note: this report is partial"), "{}", said.all());
    let said = place.say(&["diff", "old", "old"]).assert_status(0);
    assert!(said.out.contains("note: one of the reports is partial"), "{}", said.all());
}

/// Whatever reads it sees the results as they come.
#[test]
fn standard_output_has_the_results_as_they_come() {
    let place = place();
    let mut command = place.command(&[]);
    command
        .args(["run", "--target", "native", "--report", "jsonl"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().expect("it starts");
    let mut out = child.stdout.take().expect("a pipe");
    let (mut text, mut piece) = (Vec::new(), [0; 4096]);
    while String::from_utf8_lossy(&text).matches("{\"result\":").count() < 3 {
        let count = out.read(&mut piece).expect("readable");
        assert_ne!(count, 0, "it has ended");
        text.extend_from_slice(&piece[..count]);
    }
    killed_by(&mut child, Signal::INT);
    out.read_to_end(&mut text).expect("readable");
    let text = String::from_utf8(text).expect("text");
    assert!(text.lines().last().expect("a line").starts_with("{\"end\":{\"partial\":true"), "{text}");
    place.assert_nothing_left();
}

#[test]
fn a_run_that_ends_leaves_the_same_in_both_forms() {
    let place = Place::with(&CASES.replace("timeout: 600", "timeout: 1"));
    let report = ["--report", "json=a.json", "--report", "jsonl=a.jsonl", "--repeat", "2"];
    place.run(&report).assert_status(1);
    let said = place.say(&["report", "a.jsonl", "--report", "json=b.json"]).assert_status(0);
    assert_eq!(said.err, "");
    let text = |name: &str| fs::read_to_string(place.here().join(name)).expect("read");
    assert_eq!(text("b.json"), text("a.json"));
    let document: Value = serde_json::from_str(&text("a.json")).expect("JSON");
    assert_eq!(document["cases"][0]["results"][0]["runs"]["passed"], 2);
}

/// Who reads the text and goes early takes neither the report nor the verdict with him.
#[test]
fn a_reader_that_goes_takes_nothing_with_it() {
    let place = Place::with(&CASES.replace("timeout: 600", "timeout: 1"));
    let mut command = place.command(&[]);
    command.args(["run", "--target", "native", "--report", "json=a.json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
    drop(child.stdout.take());
    assert_eq!(child.wait().expect("an end").code(), Some(1));
    let text = fs::read_to_string(place.here().join("a.json")).expect("a report");
    let document: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(statuses(&document), ["passed", "failed", "skipped", "timed_out", "passed"]);
}

#[test]
fn two_things_for_standard_output_are_refused() {
    let said = place().say(&["report", "old", "--kcidb", "--report", "json"]).assert_status(2);
    assert!(
        said.err.contains("only one report can go to standard output; write --kcidb=FILE"),
        "{}",
        said.all()
    );
    let said = place().say(&["report", "old", "--kcidb=new", "--report", "json=./new"]).assert_status(2);
    assert!(said.err.contains("two reports are to be written to new"), "{}", said.all());
}
