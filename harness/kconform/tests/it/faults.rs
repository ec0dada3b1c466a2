//! The fault matrix: each fault among fifty healthy cases on real guests. All fifty get their verdicts, the faulty case is
//! called what it is, nothing is left behind, and the exit status is right.

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rstest::rstest;
use rustix::process::{Pid, Signal, kill_process};

use crate::guests::{is_set_up, told};
use crate::program::{Place, Said, in_a_chroot, is_root, not_here};

/// Healthy cases before the fault, and after it.
const AROUND: usize = 25;

const HEAD: &str = "about: A fault among healthy cases.

let:
  healthy: &healthy
    - dup: [0]
      ret: 3
    - bpf: [BPF_MAP_CREATE, {map_type: BPF_MAP_TYPE_ARRAY, key_size: 4, value_size: 8, max_entries: 4}]
    - close: [99]
      errno: EBADF

cases:
";

/// A case file with these faulty cases in the middle of healthy ones.
fn among_healthy(faulty: &str) -> String {
    let healthy = |from: usize| {
        (from..from + AROUND)
            .map(|n| format!("  - {{name: healthy {n}, steps: *healthy}}\n"))
            .collect::<String>()
    };
    format!("{HEAD}{}{faulty}{}", healthy(1), healthy(AROUND + 1))
}

/// The faults that a case can bring about, a file each.
fn fault(name: &str) -> String {
    let path = crate::program::data().join(format!("faults/{name}.yaml"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The images of the repository, whose guests are given no more time than this machine: silence is then over soon.
fn impatient(place: &Place) {
    let folder = place.folder().join("here/images");
    std::fs::create_dir(&folder).expect("a directory");
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vm")).expect("vm") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let text = std::fs::read_to_string(&path).expect("an image");
            let name = path.file_name().expect("a name");
            std::fs::write(folder.join(name), format!("{text}\ntime_factor: 1\n")).expect("an image");
        }
    }
}

fn place(faulty: &str) -> Place {
    let place = Place::with(&among_healthy(faulty));
    impatient(&place);
    place
}

fn words<'a>(arch: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["run", "--images", "images", "--target", arch, "--verbose"], more].concat()
}

#[track_caller]
fn assert_the_healthy_passed(said: &Said, arch: &str) {
    for n in 1..=2 * AROUND {
        let told = told(said, &format!("s::healthy_{n}"), arch);
        assert!(told.starts_with("passed "), "{told}\nin\n{}", said.all());
    }
}

/// A fault, what it is called, what is said of it, and the exit status.
type Row = (&'static str, &'static str, &'static str, i32);

/// Where the machine is busy, a case that times out has more time than its 3 s when it runs again.
const ROWS: &[Row] = &[
    ("panic", "CRASHED", "Kernel panic - not syncing: sysrq triggered crash", 1),
    ("soft_lockup", "CRASHED", "BUG: soft lockup - CPU#0 stuck for", 1),
    ("hung_task", "CRASHED", "blocked for more than", 1),
    ("taint", "CRASHED", "the kernel suffered a kernel warning", 1),
    ("other_taint", "CRASHED", "the kernel suffered a taint (U)", 1),
    ("oops", "CRASHED", "the kernel suffered an oops", 1),
    ("kasan", "CRASHED", "the kernel suffered a KASAN report", 1),
    ("ubsan", "CRASHED", "the kernel suffered a UBSAN report", 1),
    ("lockdep", "CRASHED", "the kernel suffered a lockdep report", 1),
    ("null_dereference", "CRASHED", "the kernel suffered an oops", 1),
    ("killed_agent", "CRASHED", "Attempted to kill init!", 1),
    ("stopped_agent", "TIMED OUT", "nothing was heard of the kernel any more", 1),
    ("killed_case", "FAILED", "killed by SIGKILL", 1),
    ("out_of_memory", "FAILED", "killed by SIGKILL", 1),
    ("out_of_all_memory", "CRASHED", "System is deadlocked on memory", 1),
    ("lost_port", "LOST", "the agent gave up: the port to the host is gone", 3),
    ("garbled_port", "LOST", "a message of 4294967295 bytes is not one of ours", 3),
    ("reset", "CRASHED", "a reset or a power-off", 1),
    ("endless", "TIMED OUT", "the case's time (", 1),
    ("endless_outputs", "TIMED OUT", "the case's time (", 1),
    ("endless_threads", "TIMED OUT", "the case's time (", 1),
    ("endless_image", "TIMED OUT", "the case's time (", 1),
    ("endless_children", "TIMED OUT", "the case's time (", 1),
    ("endless_kernel_log", "TIMED OUT", "the case's time (", 1),
    ("endless_console", "TIMED OUT", "the case's time (", 1),
];

/// Whether a fault was met as it should be; one that this kernel does not offer is skipped, and that is said.
#[track_caller]
fn assert_met(said: &Said, arch: &str, (name, verdict, says, status): Row) {
    assert_the_healthy_passed(said, arch);
    if !said.out.contains(&format!("s::{name} on {arch}")) {
        assert!(said.out.contains("\nskipped:\n  needs CONFIG_"), "nothing of {name}:\n{}", said.all());
        return not_here(&format!("{name} on {arch}: the kernel does not offer it"));
    }
    let told = told(said, &format!("s::{name}"), arch);
    assert!(told.starts_with(verdict) && told.contains(says), "{told}\nin\n{}", said.all());
    let noise =
        told.lines().find(|line| line.contains("] ? ") || line.contains("  ? ") || line.contains("RAX: "));
    assert_eq!(noise, None, "{told}");
    assert!(told.lines().count() < 90, "{told}");
    assert_eq!(said.status, Some(status), "{}", said.all());
}

#[rstest]
fn a_fault_costs_one_case(#[values("x86_64", "riscv64")] arch: &str) {
    if !is_set_up(arch) {
        return;
    }
    for row in ROWS {
        let said = place(&fault(row.0)).say(&words(arch, &[]));
        assert_met(&said, arch, *row);
    }
}

/// What a case may spoil is not always looked at: its neighbour is not blamed, and a case that fails alone is.
#[rstest]
fn a_case_is_not_blamed_for_what_another_did(#[values("x86_64", "riscv64")] arch: &str) {
    if !is_set_up(arch) {
        return;
    }
    let find = "steps: [{faccessat: [AT_FDCWD, {str: /tmp/file}, F_OK], errno: ENOENT}]";
    let place = Place::with(&format!(
        "cases:\n  - {{name: finds none, {find}}}\n  - name: makes a file\n    steps:\n      \
         - openat: [AT_FDCWD, {{str: /tmp/file}}, O_CREAT | O_RDWR, 0o600]\n  \
         - {{name: finds none either, {find}}}\n  - {{name: passes, steps: [{{close: [0]}}]}}\n  \
         - {{name: fails, steps: [{{close: [0], errno: EBADF}}]}}\n"
    ));
    let said = place.say(&["run", "--target", arch]).assert_status(1);
    assert_eq!(said.counts(arch), "4 passed, 1 failed, 1 with a note", "{}", said.all());
    let note = format!(
        "  s::finds_none_either on {arch}: it failed after s::makes_a_file and another case, and passed alone on a fresh agent; \
         it had failed with: expected ENOENT (2, No such file or directory), got success"
    );
    assert!(said.out.lines().any(|line| line.starts_with(&note)), "{}", said.all());
    assert!(said.out.contains(&format!("FAILED s::fails on {arch}")), "{}", said.all());
}

/// Whatever root does to the agent and to what cases share, the case after it finds all as it was. Where the agent cannot be
/// mended a fresh one takes over, and that is told.
#[rstest]
fn a_case_spoils_nothing_for_its_neighbours(#[values("native", "x86_64", "riscv64")] target: &str) {
    if target == "native" {
        if !is_root() {
            return not_here("what root can do to the agent: it needs root");
        }
    } else if !is_set_up(target) {
        return;
    }
    let path = crate::program::data().join("hostile/neighbours.yaml");
    let place = Place::with(&std::fs::read_to_string(path).expect("the cases"));
    let report = place.folder().join("report.json");
    let wanted = format!("json={}", report.display());
    let said = place.say(&["run", "--target", target, "--report", &wanted]).assert_status(0);
    let document = std::fs::read_to_string(report).expect("a report");
    assert!(document.contains("a fresh agent took over: the case"), "{document}\n{}", said.all());
    assert!(!document.contains("it failed after"), "{document}\n{}", said.all());
}

/// All of them at once, over several guests, and with a guest for each case.
#[rstest]
#[case::spread(&["--jobs", "2"])]
#[case::isolated(&["--isolate", "guest", "--jobs", "2"])]
fn many_faults_cost_their_cases(#[values("x86_64", "riscv64")] arch: &str, #[case] more: &[&str]) {
    if !is_set_up(arch) {
        return;
    }
    // Silence takes its time; it is met above.
    let rows = || ROWS.iter().filter(|row| row.0 != "stopped_agent");
    let all: String = rows().map(|row| fault(row.0)).collect();
    let said = place(&all).say(&words(arch, more));
    for row in rows() {
        assert_met(&said, arch, (row.0, row.1, row.2, 3));
    }
}

/// A run of which the faulty case waits until something happens to its QEMU from outside; it takes 64 MiB of memory first,
/// by which it is known to be under way.
struct Run {
    place: Place,
    child: Child,
}

const TAKEN_KIB: u64 = 64 << 10;

impl Run {
    fn start(arch: &str, name: &str) -> Run {
        let place = place(&fault(name));
        // The snapshot is there before the clock runs, so that no kernel is taken for the case while it boots.
        place.say(&words(arch, &["healthy_1"]));
        let mut command = place.command(&[]);
        let child = command.args(words(arch, &[])).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        Run { child: child.expect("the program can be started"), place }
    }

    /// Waits until the case is under way in another QEMU than these.
    fn qemu(&mut self, but: &[i32]) -> i32 {
        let begun = Instant::now();
        loop {
            let found =
                children(self.child.id()).into_iter().find(|pid| !but.contains(pid) && is_under_way(*pid));
            match found {
                Some(pid) => return pid,
                None => std::thread::yield_now(),
            }
            let ended = self.child.try_wait().expect("a child");
            assert!(
                ended.is_none() && begun.elapsed() < Duration::from_secs(120),
                "the case is not under way"
            );
        }
    }

    /// Waits for the end, which leaves nothing behind.
    fn end(self) -> (Said, Place) {
        let output = self.child.wait_with_output().expect("an end");
        self.place.assert_nothing_left();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        let said = Said { status: output.status.code(), out: text(output.stdout), err: text(output.stderr) };
        (said, self.place)
    }
}

fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).expect("a pid"), signal).expect("it is there");
}

/// The processes that a process has started (proc(5)).
pub(crate) fn children(of: u32) -> Vec<i32> {
    let tasks = std::fs::read_dir(format!("/proc/{of}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// Whether a QEMU has given its guest the memory that the case takes. A restored guest begins with little: its memory is
/// a file, of which it has a copy as far as it writes to it, and a touched page counts as anonymous then.
pub(crate) fn is_under_way(pid: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib: Option<u64> = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    kib.is_some_and(|kib| kib > TAKEN_KIB)
}

#[rstest]
fn a_qemu_that_is_killed_twice_loses_the_case(#[values("x86_64", "riscv64")] arch: &str) {
    if !is_set_up(arch) {
        return;
    }
    let mut run = Run::start(arch, "waits");
    let first = run.qemu(&[]);
    signal(first, Signal::KILL);
    let second = run.qemu(&[first]);
    signal(second, Signal::KILL);
    assert_met(&run.end().0, arch, ("waits", "LOST", "QEMU ended (signal: 9 (SIGKILL))", 3));
}

/// What strikes once is not the case's fault: it runs again, alone, and is told to have.
#[rstest]
fn a_qemu_that_is_killed_once_costs_nothing(#[values("x86_64", "riscv64")] arch: &str) {
    if !is_set_up(arch) {
        return;
    }
    let mut run = Run::start(arch, "waits");
    let first = run.qemu(&[]);
    signal(first, Signal::KILL);
    // Its own time ends the second one.
    let said = run.end().0;
    assert_met(
        &said,
        arch,
        ("waits", "TIMED OUT", "it ran again on a fresh kernel, after the first went down", 1),
    );
}

/// A panic that comes half of the time is never told as a pass: a case whose guest went down, and which passes when it runs
/// again, is flaky, with what the kernel said the first time.
#[rstest]
fn a_panic_that_comes_now_and_then_is_no_pass(#[values("x86_64", "riscv64")] arch: &str) {
    if !is_set_up(arch) {
        return;
    }
    let place = place(&fault("half"));
    let files = ["json", "ktap", "junit"].map(|format| (format, place.folder().join(format)));
    let wanted: Vec<String> =
        files.iter().map(|(format, path)| format!("--report={format}={}", path.display())).collect();
    let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    let said = place.say(&words(arch, &wanted)).assert_status(1);
    assert_the_healthy_passed(&said, arch);
    let (flaky, crashed) =
        (said.out.matches("FLAKY s::panics").count(), said.out.matches("CRASHED s::panics").count());
    assert!(flaky > 0 && flaky + crashed <= 20, "{}", said.all());
    let told = "it passed only when it ran again: the kernel suffered a panic";
    let log = "Kernel panic - not syncing: sysrq triggered crash";
    assert_eq!(said.out.matches(told).count(), flaky, "{}", said.all());
    assert_eq!(said.out.matches(log).count(), flaky + crashed, "{}", said.all());
    let heading = "the kernel said, the first time:";
    assert_eq!(said.out.matches(heading).count(), flaky, "{}", said.all());
    assert!(said.counts(arch).contains(&format!("{flaky} flaky")), "{}", said.all());
    for (format, path) in files {
        let text = std::fs::read_to_string(path).expect("a report");
        let marked = match format {
            "json" => text.matches(r#""status":"flaky""#).count(),
            "ktap" => text.lines().filter(|line| line.contains("not ok") && line.contains(told)).count(),
            _ => text.matches(r#"type="flaky""#).count(),
        };
        assert_eq!(marked, flaky, "{format}:\n{text}");
        assert_eq!(text.matches(log).count(), flaky + crashed, "{format}:\n{text}");
    }
}

#[test]
fn a_qemu_that_is_stopped_loses_the_case() {
    let arch = "x86_64";
    if !is_set_up(arch) {
        return;
    }
    let mut run = Run::start(arch, "waits");
    let first = run.qemu(&[]);
    signal(first, Signal::STOP);
    let second = run.qemu(&[first]);
    signal(second, Signal::STOP);
    assert_met(&run.end().0, arch, ("waits", "LOST", "QEMU was stopped by a signal", 3));
}

/// A guest's clock goes on while its QEMU waits for the machine: a case that times out so runs again, and is not blamed.
#[rstest]
fn a_case_whose_qemu_was_held_up_has_more_time(#[values("x86_64", "riscv64")] arch: &str) {
    if !is_set_up(arch) {
        return;
    }
    let mut run = Run::start(arch, "takes_its_time");
    let qemu = run.qemu(&[]);
    signal(qemu, Signal::STOP);
    std::thread::sleep(Duration::from_secs(6));
    signal(qemu, Signal::CONT);
    let said = run.end().0;
    assert_the_healthy_passed(&said, arch);
    assert!(told(&said, "s::takes_its_time", arch).starts_with("passed "), "{}", said.all());
    let says = "with more time: it had timed out while QEMU had ";
    assert!(
        said.out.contains(&format!("s::takes_its_time on {arch}: it ran again, {says}")),
        "{}",
        said.all()
    );
    assert_eq!(said.status, Some(0), "{}", said.all());
}

/// However a run is ended while guests run or boot, it ends soon and leaves nothing, and says that its report is partial.
#[rstest]
fn an_interruption_ends_guests(
    #[values("x86_64", "riscv64")] arch: &str,
    #[values(Signal::INT, Signal::TERM)] by: Signal,
    #[values(&[], &["--cold"], &["--isolate", "guest", "--jobs", "2"])] more: &[&str],
) {
    if !is_set_up(arch) {
        return;
    }
    // Beside other tests a machine may be late once or twice.
    let times: Vec<Duration> =
        (0..3).map(|_| interrupted(arch, by, more)).take_while(|t| *t > SOON).collect();
    assert!(times.len() < 3, "it took {times:?}");
}

/// How long an interrupted run may go on.
const SOON: Duration = Duration::from_secs(2);

/// How long a run goes on that is interrupted while its guests run, or boot.
fn interrupted(arch: &str, by: Signal, more: &[&str]) -> Duration {
    let place = place(&fault("waits"));
    let report = place.folder().join("report.json");
    let wanted = format!("json={}", report.display());
    let mut command = place.command(&[]);
    command.args(words(arch, more)).args(["--report", &wanted]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut run = Run { place, child };
    match more.contains(&"--cold") {
        // As soon as there is a QEMU: while its guest boots.
        true => until(&mut run.child, |pid| !children(pid).is_empty()),
        false => drop(run.qemu(&[])),
    }
    let begun = Instant::now();
    signal(run.child.id() as i32, by);
    let (said, _place) = run.end();
    let took = begun.elapsed();
    assert_eq!(said.status, Some(130), "{}", said.all());
    assert!(said.out.contains("interrupted: this report is partial"), "{}", said.all());
    let document: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&report).expect("a report")).expect("JSON");
    assert_eq!(document["partial"], true);
    took
}

fn until(child: &mut Child, done: impl Fn(u32) -> bool) {
    let begun = Instant::now();
    while !done(child.id()) {
        assert!(begun.elapsed() < Duration::from_secs(60) && child.try_wait().expect("a child").is_none());
        std::thread::yield_now();
    }
}

/// A cache without room: guests are booted instead of restored, and it is said why. Without room for a guest's files
/// there is no guest that is booted, and nothing is taken for passed.
#[rstest]
#[case::cache("KCONFORM_CACHE", &[], 0, "no space left for a snapshot in the cache")]
#[case::files("TMPDIR", &["--cold"], 3, "no space left for a guest's files")]
fn a_full_disk_is_told(
    #[values("x86_64", "riscv64")] arch: &str,
    #[case] disk: &str,
    #[case] more: &[&str],
    #[case] status: i32,
    #[case] says: &str,
) {
    if !is_root() {
        return not_here("a full disk: it needs a mount");
    }
    if in_a_chroot() {
        return not_here("a full disk: it needs a mount that nobody else sees, and this is a chroot");
    }
    if !is_set_up(arch) {
        return;
    }
    let place = place("");
    let full = place.folder().join("full");
    std::fs::create_dir(&full).expect("a directory");
    let cache = kconform::inner::cache_dir().expect("a cache");
    let script = format!(
        "mount -t tmpfs -o size=64k none {full} && ln -s {kernels} {full}/kernels && cp {kvm} {full}/ 2>/dev/null; \
         {disk}={full} exec \"$@\"",
        full = full.display(),
        kernels = cache.join("kernels").display(),
        kvm = cache.join("kvm.json").display(),
    );
    let through = ["unshare", "--mount", "sh", "-c", &script, "sh"];
    let said = place.say_through(&through, &words(arch, more)).assert_status(status);
    assert!(said.out.contains(says), "{}", said.all());
    match status {
        0 => assert_the_healthy_passed(&said, arch),
        _ => assert_eq!(said.counts(arch), format!("0 passed, {} lost", 2 * AROUND), "{}", said.all()),
    }
}
