//! A run in parts, and the parts joined.

use std::process::Child;

use kconform::document::{self, CaseResult, Document, Status};
use rstest::rstest;

use crate::guests::is_set_up;
use crate::program::{Place, Said, assert_said};

const SUITE: &str = "cases:
  - name: passes
    matrix: {n: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}
    steps:
      - lseek: [-1, $n, SEEK_SET]
        errno: EBADF
  - name: fails
    steps:
      - close: [-1]
        errno: EINVAL
  - name: skipped
    requires: {kernel: \"<2.0\"}
    steps:
      - umask: []
";

fn place() -> Place {
    Place::with(SUITE).file("cases/t.yaml", "cases: [{name: last, steps: [{umask: [], ret: 0o22}]}]\n")
}

fn shard_files(count: u32) -> Vec<String> {
    (1..=count).map(|index| format!("s{index}.json")).collect()
}

/// Runs the shards natively as processes of their own, all at once.
fn run_shards(place: &Place, count: u32, more: &[&str]) {
    run_shards_on("native", place, count, more);
}

fn run_shards_on(targets: &str, place: &Place, count: u32, more: &[&str]) {
    let start = |index: u32| -> Child {
        let mut command = place.command(&[]);
        command.args(["run", "--quiet", "--target", targets, "--shard", &format!("{index}/{count}")]);
        command.args(["--report", &format!("json=s{index}.json")]).args(more);
        command.stdout(std::process::Stdio::null()).spawn().expect("the program can be started")
    };
    let children: Vec<Child> = (1..=count).map(start).collect();
    for mut child in children {
        let status = child.wait().expect("a status").code();
        assert!(matches!(status, Some(0 | 1)), "{status:?}");
    }
    place.assert_nothing_left();
}

fn merge(place: &Place, files: &[String], more: &[&str]) -> Said {
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    place.say(&[&["merge"], files.as_slice(), more].concat())
}

fn read(place: &Place, name: &str) -> Document {
    let text = std::fs::read_to_string(place.here().join(name)).expect("the report is there");
    document::read(&text).expect("a report")
}

/// Without what differs from run to run.
fn timeless(mut document: Document) -> Document {
    document.started.clear();
    for target in &mut document.targets {
        target.elapsed_ns = 0;
        // Whether its first boot was in this run, or at which attempt it came up.
        target.remark = None;
    }
    for result in document.cases.iter_mut().flat_map(|case| &mut case.results) {
        result.duration_ns = 0;
        // A kernel calibrates its clock a second after its boot, whichever case runs then.
        result.kernel_log.retain(|line| !line.starts_with("tsc: ") && !line.starts_with("clocksource: "));
        result.steps.iter_mut().for_each(|step| (step.begun_ns, step.call_ns) = (None, None));
    }
    document
}

#[rstest]
#[case::eight(8, &[])]
#[case::more_than_cases(20, &[])]
#[case::one(1, &[])]
#[case::by_times(3, &["--times", "whole.json"])]
fn shards_joined_are_the_run_of_all(#[case] count: u32, #[case] more: &[&str]) {
    let place = place();
    place.run(&["--report", "json=whole.json"]).assert_status(1);
    run_shards(&place, count, more);
    merge(&place, &shard_files(count), &["--report", "json=joined.json"]).assert_status(1);
    assert_eq!(timeless(read(&place, "joined.json")), timeless(read(&place, "whole.json")));
}

/// Suites of the project's own that print no number which the kernel or the C library gives (ids, addresses).
#[rstest]
#[case::native("native")]
#[case::guests("x86_64,riscv64")]
fn eight_shards_of_the_suite_are_the_run_of_all(#[case] targets: &str) {
    if targets.split(',').any(|target| target != "native" && !is_set_up(target)) {
        return;
    }
    let cases = concat!(env!("CARGO_MANIFEST_DIR"), "/../../cases/bpf/map");
    let select = ["--seed", "7", "--cases", cases, "bpf/map/queue_stack*::*", "bpf/map/lpm_trie::*"];
    let place = Place::new();
    place.say(&[&["run", "--target", targets, "--report", "json=whole.json"][..], &select].concat());
    run_shards_on(targets, &place, 8, &select);
    let files = shard_files(8);
    let whole = read(&place, "whole.json");
    assert!(whole.cases.len() > 90 && !whole.partial, "{} cases", whole.cases.len());
    let lost = merge(&place, &files[1..], &[]).assert_status(3);
    assert!(lost.err.contains("shard 1/8 of "), "{}", lost.all());
    merge(&place, &files, &["--report", "json=joined.json"]).assert_status(0);
    let (joined, whole) = (timeless(read(&place, "joined.json")), timeless(whole));
    for (joined, whole) in joined.cases.iter().zip(&whole.cases) {
        assert_eq!(joined, whole);
    }
    assert_eq!(joined, whole);
}

#[rstest]
#[case::json("json")]
#[case::ktap("ktap")]
#[case::junit("junit")]
#[case::github("github")]
#[case::html("html")]
fn what_is_joined_is_written_in_every_format(#[case] format: &str) {
    let place = place();
    run_shards(&place, 3, &[]);
    merge(
        &place,
        &shard_files(3),
        &["--report", "json=joined.json", "--report", &format!("{format}=merged")],
    );
    let wanted = ["report", "joined.json", "--report", &format!("{format}=reported")];
    place.say(&wanted).assert_status(0);
    let text = |name: &str| std::fs::read_to_string(place.here().join(name)).expect("a report");
    assert_eq!(text("merged"), text("reported"));
    assert!(text("merged").contains("skipped") || format == "github", "{}", text("merged"));
}

/// A shard whose kernel was never reached, and one that was interrupted, have a report: what they lack is not passed.
#[test]
fn a_shard_that_was_lost_or_interrupted_makes_the_whole_partial() {
    let place = place();
    run_shards(&place, 3, &[]);
    let mut second = read(&place, "s2.json");
    second.partial = true;
    let lost = second.cases.len() as u64;
    for result in second.cases.iter_mut().flat_map(|case| &mut case.results) {
        *result =
            CaseResult { reason: Some("interrupted".into()), ..CaseResult::bare("native", Status::Lost) };
    }
    second.targets[0].counts = [(Status::Lost, lost)].into();
    second.targets[0].release = None;
    let place = place.file("s2.json", &serde_json::to_string(&second).expect("JSON"));
    let said = merge(&place, &shard_files(3), &["--report", "json=joined.json"]).assert_status(3);
    let joined = read(&place, "joined.json");
    assert!(joined.partial);
    assert_eq!(joined.targets[0].counts[&Status::Lost], lost, "{}", said.all());
    assert!(joined.targets[0].release.is_some(), "the other shards know the kernel");
    place.say(&["report", "joined.json", "--kcidb=k.json", "--origin", "myci"]).assert_status(0);
    let submission = std::fs::read_to_string(place.here().join("k.json")).expect("a submission");
    assert_eq!(submission.matches("\"MISS\"").count() as u64, lost);
}

/// Two kernels are not one target, whatever both are called.
#[test]
fn shards_of_two_kernels_are_not_joined() {
    let place = place();
    run_shards(&place, 2, &[]);
    let place =
        [("s1.json", "6.1.1"), ("s2.json", "6.1.2")].into_iter().fold(place, |place, (name, release)| {
            let mut shard = read(&place, name);
            shard.targets[0].release = Some(release.into());
            place.file(name, &serde_json::to_string(&shard).expect("JSON"))
        });
    let said = merge(&place, &shard_files(2), &[]).assert_status(2);
    assert!(said.err.contains("the kernel of native is 6.1.1 and 6.1.2"), "{}", said.all());
}

#[test]
fn the_longest_case_has_a_shard_for_itself() {
    let place = place();
    place.run(&["--report", "json=whole.json"]).assert_status(1);
    let mut whole = read(&place, "whole.json");
    for case in &mut whole.cases {
        let long = case.id == "s::fails";
        case.results[0].duration_ns = if long { 1_000_000_000 } else { 1_000_000 };
    }
    let text = serde_json::to_string(&whole).expect("JSON");
    let place = place.file("times.json", &text);
    run_shards(&place, 2, &["--times", "times.json"]);
    let ids: Vec<String> = read(&place, "s1.json").cases.into_iter().map(|case| case.id).collect();
    assert_eq!(ids, ["s::fails"]);
}

#[test]
fn engines_say_which_shard_it_is() {
    let engines = [
        ("CI_NODE_INDEX=2 CI_NODE_TOTAL=3", "auto"),
        ("JOB_COMPLETION_INDEX=1", "auto/3"),
        ("SLURM_ARRAY_TASK_ID=12 SLURM_ARRAY_TASK_MIN=11 SLURM_ARRAY_TASK_COUNT=3", "auto"),
    ];
    for (name, wish) in engines {
        let variables = name.split(' ').filter_map(|variable| variable.split_once('='));
        let place = variables.fold(place(), |place, (name, value)| place.env(name, value));
        place.run(&["--quiet", "--shard", wish, "--report", "json=s.json"]);
        let shard = read(&place, "s.json").shard.expect("a shard");
        assert_eq!((shard.index, shard.count, shard.selected), (2, 3, 13), "{name}");
        assert_eq!(shard.positions, [1, 4, 7, 10]);
    }
}

#[test]
fn what_is_joined_is_told_in_a_few_lines() {
    let place = place();
    run_shards(&place, 3, &[]);
    assert_said!("merge", merge(&place, &shard_files(3), &[]));
    let written = merge(&place, &shard_files(3), &["--report", "ktap"]).assert_status(1);
    assert!(written.out.starts_with("KTAP version 1\n"), "{}", written.all());
}

#[rstest]
#[case::lost("lost", 3, &["s1.json", "s3.json"])]
#[case::twice("twice", 2, &["s1.json", "s2.json", "s3.json", "s2.json"])]
#[case::other_count("other_count", 2, &["s1.json", "s2.json", "s3.json", "whole.json"])]
#[case::other_selection("other_selection", 2, &["s1.json", "s2.json", "other.json"])]
#[case::other_files("other_files", 2, &["s1.json", "s2.json", "files.json"])]
#[case::split_by_other_times("other_times", 2, &["s1.json", "s2.json", "times.json"])]
#[case::no_report("no_report", 2, &["s1.json", "cases/s.yaml"])]
fn what_is_not_all_of_one_run_is_not_joined(#[case] name: &str, #[case] status: i32, #[case] files: &[&str]) {
    let place = place();
    run_shards(&place, 3, &[]);
    place.run(&["--report", "json=whole.json"]).assert_status(1);
    place.run(&["--shard", "3/3", "passes", "--report", "json=other.json"]).assert_status(0);
    let mut times = read(&place, "whole.json");
    // How long the cases really took differs from run to run, and with it who has which.
    times.cases.iter_mut().for_each(|case| case.results[0].duration_ns = 1_000_000);
    times.cases[0].results[0].duration_ns = u64::from(u32::MAX);
    let place = place.file("slow.json", &serde_json::to_string(&times).expect("JSON"));
    place.run(&["--shard", "3/3", "--times", "slow.json", "--report", "json=times.json"]);
    let place = place.file("cases/t.yaml", "cases: [{name: last, steps: [{umask: [1], ret: 0o22}]}]\n");
    place.run(&["--shard", "3/3", "--report", "json=files.json"]);
    let files: Vec<String> = files.iter().map(|file| (*file).to_owned()).collect();
    assert_said!(format!("merge_{name}"), merge(&place, &files, &[]).assert_status(status));
}

#[test]
fn targets_of_several_machines_are_joined() {
    let place = place();
    place.run(&["--report", "json=a.json"]).assert_status(1);
    let mut other = read(&place, "a.json");
    other.targets[0].name = "board".into();
    other.cases.iter_mut().for_each(|case| case.results[0].target = "board".into());
    let place = place.file("b.json", &serde_json::to_string(&other).expect("JSON"));
    let files = ["a.json".to_owned(), "b.json".to_owned()];
    merge(&place, &files, &["--report", "json=both.json"]).assert_status(1);
    let both = read(&place, "both.json");
    assert_eq!(both.targets.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["native", "board"]);
    for case in &both.cases {
        let targets: Vec<&str> = case.results.iter().map(|r| r.target.as_str()).collect();
        assert_eq!(targets, ["native", "board"], "{}", case.id);
    }
    assert_eq!(both.targets[1].counts[&Status::Passed], 11);
}

#[rstest]
#[case::form("form", &["--shard", "three"])]
#[case::outside("outside", &["--shard", "9/8"])]
#[case::counted_from_1("from_1", &["--shard", "0/8"])]
#[case::of_none("of_none", &["--shard", "1/0"])]
#[case::too_many("too_many", &["--shard", "1/4000000000"])]
#[case::nothing_says_it("nothing", &["--shard", "auto"])]
#[case::times_alone("times_alone", &["--times", "x.json"])]
#[case::no_times("no_times", &["--shard", "1/2", "--times", "x.json"])]
fn a_shard_that_is_not_there_is_a_mistake_of_usage(#[case] name: &str, #[case] arguments: &[&str]) {
    assert_said!(format!("shard_{name}"), place().run(arguments).assert_status(2));
}
