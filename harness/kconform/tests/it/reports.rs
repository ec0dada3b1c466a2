//! Real runs with all formats of reports at once, each read by what reads it elsewhere: they are complete, agree with each
//! other and say what happened, also where a run was interrupted or a guest was lost.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rstest::rstest;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::faults::{children, is_under_way};
use crate::guests::is_set_up;
use crate::program::{Place, Said, is_root, not_here};
use crate::readers;

const FORMATS: [&str; 7] = ["json", "jsonl", "ktap", "tap", "junit", "github", "html"];

/// A case for every verdict; a guest has more of them than this machine's own kernel.
const CASES: &str = "about: Of every kind.
cases:
  - name: passes
    steps:
      - dup: [0]
        ret: 3
  - name: fails
    about: Closing what is not open.
    source: close(2)
    steps:
      - dup: [0]
      - close: [99]
        errno: EINVAL
  - name: is skipped
    requires: {kernel: \"<2.0\"}
    steps:
      - close: [0]
  - name: times out
    timeout: 1
    steps:
      - ppoll: [null, 0, null, null]
  - name: fails as expected
    known_issue: {when: {}, because: it always did}
    steps:
      - close: [99]
  - name: passes unexpectedly
    known_issue: {when: {}, because: it never did}
    steps:
      - close: [0]
  - name: crashes
    guest_only: true
    steps:
      - openat: [AT_FDCWD, {str: /proc/sysrq-trigger}, O_WRONLY]
        save: trigger
      - write: [$trigger, {str: c}, 1]
";

/// Loses the agent without any fault of the kernel.
const LOST: &str = "  - name: is lost
    guest_only: true
    steps:
      - openat: [AT_FDCWD, {str: /sys/bus/virtio/drivers/virtio_console/unbind}, O_WRONLY]
        save: file
      - write: [$file, {str: virtio0}, 7]
";

/// Reports of one run.
struct Reports {
    said: Said,
    place: Place,
    document: Value,
}

fn arguments(place: &Place, targets: &str) -> Vec<String> {
    let mut all = vec!["run".to_owned(), "--target".into(), targets.into()];
    for format in FORMATS {
        let file = place.folder().join(format!("report.{format}"));
        all.extend(["--report".into(), format!("{format}={}", file.display())]);
    }
    all
}

impl Reports {
    fn of(place: Place, said: Said) -> Reports {
        let text = std::fs::read_to_string(place.folder().join("report.json"));
        let text = text.unwrap_or_else(|error| panic!("{error}:\n{}", said.all()));
        Reports { said, document: serde_json::from_str(&text).expect("JSON"), place }
    }

    fn run(cases: &str, targets: &str) -> Reports {
        let place = Place::with(cases);
        let arguments = arguments(&place, targets);
        let said = place.say(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        Reports::of(place, said)
    }

    fn path(&self, format: &str) -> PathBuf {
        self.place.folder().join(format!("report.{format}"))
    }

    fn text(&self, format: &str) -> String {
        std::fs::read_to_string(self.path(format)).expect("a report")
    }

    /// Target, short id, status, for each result of the JSON document.
    fn results(&self) -> Vec<(String, String, String)> {
        let word = |value: &Value| value.as_str().expect("text").to_owned();
        let list = |value: &Value| value.as_array().expect("a list").clone();
        let targets = list(&self.document["targets"]);
        let cases = list(&self.document["cases"]);
        let of = |nth: usize| {
            let cases = cases.iter();
            cases.map(move |case| {
                let result = &case["results"][nth];
                let id = word(&case["id"]).split_once("::").expect("an id").1.to_owned();
                (word(&result["target"]), id, word(&result["status"]))
            })
        };
        (0..targets.len()).flat_map(of).collect()
    }

    /// `case: status` on a target.
    fn statuses(&self, target: &str) -> Vec<String> {
        let of = self.results().into_iter().filter(|(on, ..)| on == target);
        of.map(|(_, id, status)| format!("{id}: {status}")).collect()
    }

    /// Each format is read by what reads it elsewhere, and says the same.
    #[track_caller]
    fn assert_read_alike(&self) {
        self.assert_schema();
        self.assert_jsonl();
        self.assert_ktap();
        self.assert_junit();
        self.assert_annotations();
        self.assert_page();
        self.assert_verdicts();
    }

    /// Whoever reads a format takes the run for what its exit status says.
    #[track_caller]
    fn assert_verdicts(&self) {
        for format in ["ktap", "tap", "junit", "github"] {
            let text = self.text(format);
            for (reader, says) in readers::verdicts(format, &text) {
                assert_eq!(says, self.said.status == Some(0), "{reader} of {format}:\n{text}");
            }
        }
    }

    /// The targets that were lost.
    fn lost(&self) -> Vec<String> {
        let targets = self.document["targets"].as_array().expect("a list").iter();
        let lost = targets.filter(|target| !target["lost"].is_null());
        lost.map(|target| target["name"].as_str().expect("a name").to_owned()).collect()
    }

    #[track_caller]
    fn assert_schema(&self) {
        let Some(program) = readers::validator("check-jsonschema") else { return };
        let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/report.schema.json");
        let output = Command::new(program).args(["--schemafile", schema]).arg(self.path("json")).output();
        let output = output.expect("it runs");
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
    }

    /// What was written as the results came is the same document, also of one that was written in the end.
    #[track_caller]
    fn assert_jsonl(&self) {
        let [grown, again] = ["jsonl", "jsonl.again"].map(|name| self.path(name).display().to_string());
        let made = format!("jsonl={again}");
        self.place
            .say(&["report", &grown, "--report", &made, "--report", "json=grown.json"])
            .assert_status(0);
        self.place.say(&["report", &again, "--report", "json=again.json"]).assert_status(0);
        for name in ["grown.json", "again.json"] {
            let text = std::fs::read_to_string(self.place.here().join(name)).expect("a report");
            assert_eq!(text, self.text("json"), "{name}");
        }
    }

    #[track_caller]
    fn assert_ktap(&self) {
        let Some(read) = readers::kunit(&self.text("ktap")) else { return };
        let status = |status: &str| match status {
            "passed" | "expected_failure" => "SUCCESS",
            "skipped" => "SKIPPED",
            _ => "FAILURE",
        };
        let line =
            |(target, id, word): (String, String, String)| format!("{target}|s|{id}|{}\n", status(&word));
        let mut wanted: Vec<String> = self.results().into_iter().map(line).collect();
        wanted.extend(self.lost().iter().map(|target| format!("{target}|the_target_is_not_lost|FAILURE\n")));
        let mut read: Vec<String> = read.lines().map(|line| format!("{line}\n")).collect();
        assert_eq!(read.pop().as_deref(), Some("0\n"), "{}", self.text("ktap"));
        wanted.sort();
        read.sort();
        assert_eq!(read, wanted, "{}", self.text("ktap"));
        let partial = "\n# partial: not every case came to a result on every target\n";
        assert_eq!(self.text("ktap").contains(partial), self.is_partial(), "{}", self.text("ktap"));
    }

    #[track_caller]
    fn assert_junit(&self) {
        let Some(read) = readers::junit(&self.text("junit")) else { return };
        assert!(!read.contains("invalid by junit-10-2014"), "{read}");
        let kind = |status: &str| match status {
            "passed" => "passed",
            "skipped" | "expected_failure" => "skipped ",
            "crashed" | "lost" => "error ",
            _ => "failure ",
        };
        let of_the_run = |line: &&str| line.contains(".kconform|the target is not lost|-:-|error lost");
        let tests: Vec<&str> = read.lines().filter(|line| line.starts_with("  ")).collect();
        let (lost, tests): (Vec<&str>, Vec<&str>) = tests.into_iter().partition(of_the_run);
        assert_eq!(lost.len(), self.lost().len(), "{read}");
        let results = self.results();
        assert_eq!(tests.len(), results.len(), "{read}");
        for (test, (target, id, status)) in tests.iter().zip(&results) {
            let columns: Vec<&str> = test.trim().split('|').collect();
            assert_eq!(columns[..2], [format!("{target}: s"), format!("{target}.s")], "{read}");
            assert_eq!(columns[2].replace(' ', "_"), *id, "{read}");
            let line = columns[3].strip_prefix("cases/s.yaml:").and_then(|line| line.parse().ok());
            assert!(line > Some(1_usize) && columns[4].starts_with(kind(status)), "{test}");
        }
        assert_eq!(read.contains("partial=true"), self.is_partial(), "{read}");
    }

    /// One annotation for each way in which a case was not as it should be, on a line of its file.
    #[track_caller]
    fn assert_annotations(&self) {
        let lines = CASES.lines().count() + LOST.lines().count();
        let mut told = BTreeMap::new();
        for line in self.text("github").lines() {
            let (head, text) = line.strip_prefix("::").and_then(|rest| rest.split_once("::")).expect(line);
            let (kind, properties) = head.split_once(' ').expect("properties");
            let property = |name: &str| {
                let found = properties.split(',').find_map(|p| p.strip_prefix(name)?.strip_prefix('='));
                found.map(|value| value.replace("%3A", ":").replace("%2C", ","))
            };
            let title = property("title").expect("a title");
            if let Some(file) = property("file") {
                assert_eq!(file, "cases/s.yaml");
                let line: usize = property("line").and_then(|line| line.parse().ok()).expect("a line");
                assert!((1..=lines).contains(&line), "{line}");
                assert_eq!(kind, "error");
                assert!(!text.is_empty(), "{title}");
            }
            told.insert(title, kind.to_owned());
        }
        let lost: Vec<&Value> = self.document["targets"].as_array().expect("a list").iter().collect();
        for target in lost {
            let name = target["name"].as_str().expect("a name");
            assert!(told.contains_key(&format!("kconform on {name}")), "{told:?}");
            let gone = !target["lost"].is_null();
            assert_eq!(told.contains_key(&format!("{name} was lost")), gone, "{told:?}");
            for (_, id, status) in self.results().into_iter().filter(|(on, ..)| on == name) {
                let fine = ["passed", "skipped", "expected_failure"].contains(&status.as_str());
                let with_target = status == "lost" && gone;
                let begins = format!("s::{id} {} on ", status.replace('_', " "));
                let is_told = told.keys().any(|title| {
                    title.strip_prefix(&begins).is_some_and(|on| on.split(", ").any(|on| on == name))
                });
                assert_eq!(is_told, !fine && !with_target, "{id} on {name}: {status}\n{told:?}");
            }
        }
    }

    /// A person reads on the page how many came to what, and opens each cell.
    #[track_caller]
    fn assert_page(&self) {
        let results = self.results();
        let mut actions = vec![json!(["open"]), json!(["see", "#targets"]), json!(["see", "#partial"])];
        for (target, id, _) in &results {
            actions.push(json!(["open", format!("open=s::{id}&on={target}")]));
            actions.push(json!(["see", ".more"]));
        }
        let Some(seen) = readers::person(&self.path("html"), &Value::Array(actions)) else { return };
        let text = |nth: usize| seen[nth].as_str().expect("text");
        assert_eq!(text(2).contains("Partial"), self.is_partial(), "{}", text(2));
        for target in self.document["targets"].as_array().expect("a list") {
            let name = target["name"].as_str().expect("a name");
            let row = text(1).lines().find(|line| line.starts_with(&format!("{name} ")));
            assert!(row.is_some(), "{name} is not in {}", text(1));
            assert_eq!(
                text(1).contains("lost: "),
                self.document["targets"].to_string().contains("\"lost\":{")
            );
        }
        for (nth, (target, _, status)) in results.iter().enumerate() {
            let opened = text(4 + 2 * nth);
            assert!(opened.starts_with(&format!("{} on {target}", status.replace('_', " "))), "{opened}");
        }
    }

    fn is_partial(&self) -> bool {
        self.document["partial"].as_bool().expect("it says so")
    }
}

#[test]
fn all_formats_of_a_real_run_are_read_alike() {
    if !is_root() {
        return not_here("a run on this machine's own kernel as root");
    }
    if !is_set_up("x86_64") || !is_set_up("riscv64") {
        return;
    }
    let reports = Reports::run(CASES, "native,x86_64,riscv64");
    assert_eq!(reports.said.status, Some(1), "{}", reports.said.all());
    assert!(!reports.is_partial());
    let mut wanted = [
        "passes: passed",
        "fails: failed",
        "is_skipped: skipped",
        "times_out: timed_out",
        "fails_as_expected: expected_failure",
        "passes_unexpectedly: unexpected_pass",
        "crashes: crashed",
    ];
    assert_eq!(reports.statuses("x86_64"), wanted);
    assert_eq!(reports.statuses("riscv64"), wanted);
    wanted[6] = "crashes: skipped";
    assert_eq!(reports.statuses("native"), wanted);
    reports.assert_read_alike();
    // What the document is read for by ourselves: nothing changed from itself, and other formats of it are the same.
    let [json, again] = ["json", "again"].map(|name| reports.path(name).display().to_string());
    let same = reports.place.say(&["diff", &json, &json]).assert_status(0);
    assert!(same.out.ends_with("nothing changed\n"), "{}", same.all());
    for format in FORMATS.into_iter().filter(|format| *format != "jsonl") {
        reports.place.say(&["report", &json, "--report", &format!("{format}={again}")]).assert_status(0);
        assert_eq!(std::fs::read_to_string(&again).expect("a report"), reports.text(format), "{format}");
    }
}

#[test]
fn a_run_that_lost_a_guest_says_so_in_all_formats() {
    if !is_set_up("x86_64") {
        return;
    }
    // One guest that is lost under a case, and a target that is never reached.
    let place = Place::with(&format!("{CASES}{LOST}"));
    let image = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../vm/x86_64-6.12.yaml"));
    let image = image.expect("an image");
    let place = place.file("images/x86_64-6.12.yaml", &image).file(
        "images/nowhere.yaml",
        "about: Nobody has its kernel.\narch: x86_64\nkernel: {path: /nonexistent/vmlinuz}\nmachine: q35\nconsole: ttyS0\n",
    );
    let mut arguments = arguments(&place, "x86_64,nowhere");
    arguments.extend(["--images".into(), "images".into()]);
    let said = place.say(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let reports = Reports::of(place, said);
    assert_eq!(reports.said.status, Some(3), "{}", reports.said.all());
    assert!(reports.is_partial(), "{}", reports.said.all());
    assert_eq!(reports.statuses("x86_64").last().map(String::as_str), Some("is_lost: lost"));
    assert_eq!(reports.statuses("x86_64")[0], "passes: passed");
    assert!(reports.statuses("nowhere").iter().all(|status| status.ends_with(": lost")));
    assert!(reports.said.out.contains("lost: "), "{}", reports.said.all());
    reports.assert_read_alike();
}

/// Under nohup(1) a run outlives its terminal.
#[test]
fn who_has_a_hangup_ignored_has_that_still() {
    let waits = "cases:\n  - {name: waits, steps: [{nanosleep: [{u64: [2, 0]}]}]}\n";
    let place = Place::with(waits);
    let mut command = place.command(&["sh", "-c", "trap '' HUP; exec \"$0\" \"$@\""]);
    command.args(["run", "--target", "native", "--report", "json=r.json"]).stdout(Stdio::piped());
    let child = command.spawn().expect("it starts");
    let pid = Pid::from_raw(child.id() as i32).expect("a pid");
    let begun = Instant::now();
    while children(child.id()).is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(60), "there is no agent");
        std::thread::yield_now();
    }
    kill_process(pid, Signal::HUP).expect("it is there");
    let output = child.wait_with_output().expect("an end");
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && out.contains("1 passed"), "{out}");
}

/// Whether this process, and what it starts, ignores SIGHUP: proc(5), the mask in `SigIgn`.
fn has_hangups_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").expect("this process");
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).expect("a mask");
    u64::from_str_radix(mask.trim(), 16).expect("hexadecimal") & 1 != 0
}

/// Ctrl-C, and a terminal or an ssh that is closed.
#[rstest]
#[case(Signal::INT)]
#[case(Signal::HUP)]
fn an_interrupted_run_says_so_in_all_formats(#[case] signal: Signal) {
    if !is_set_up("x86_64") {
        return;
    }
    if signal == Signal::HUP && has_hangups_ignored() {
        return not_here("what a hangup does: it is ignored here, as under nohup");
    }
    // Memory is taken, by which the case is known to be under way; then it waits.
    let take =
        "mmap: [0, 0x5000000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0]";
    let waits =
        CASES.replace("timeout: 1\n    steps:\n", &format!("timeout: 600\n    steps:\n      - {take}\n"));
    let place = Place::with(&waits);
    // The snapshot is there before the clock runs.
    place.say(&["run", "--target", "x86_64", "passes"]);
    let arguments = arguments(&place, "x86_64");
    let mut command = place.command(&[]);
    let child = command.args(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.expect("it starts");
    let begun = Instant::now();
    while !children(child.id()).into_iter().any(is_under_way) {
        assert!(begun.elapsed() < Duration::from_secs(120), "the case is not under way");
        std::thread::yield_now();
    }
    kill_process(Pid::from_raw(child.id() as i32).expect("a pid"), signal).expect("it is there");
    let output = child.wait_with_output().expect("an end");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    let said = Said { status: output.status.code(), out: text(output.stdout), err: text(output.stderr) };
    let reports = Reports::of(place, said);
    assert_eq!(reports.said.status, Some(130), "{}", reports.said.all());
    assert!(reports.said.out.contains("interrupted: this report is partial"), "{}", reports.said.all());
    assert!(reports.is_partial());
    let statuses = reports.statuses("x86_64");
    assert_eq!(statuses[..4], ["passes: passed", "fails: failed", "is_skipped: skipped", "times_out: lost"]);
    reports.assert_read_alike();
}
