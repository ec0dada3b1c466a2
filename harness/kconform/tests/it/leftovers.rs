//! What cases leave behind is gone when the run is over, and often before.

use std::process::Stdio;
use std::sync::{Mutex, PoisonError};

use rstest::rstest;

use crate::guests::is_set_up;
use crate::losses::assert_red;
use crate::privileges::number;
use crate::program::{Place, assert_said, is_root, not_here};

#[test]
fn what_cases_leave_is_removed() {
    if !is_root() {
        return not_here("mounts and pins that cases leave");
    }
    // Place looks for what is left after every run.
    let said = Place::data().run(&["--cases", "hostile/leftovers.yaml"]).assert_status(0);
    assert_eq!(said.counts("native"), "8 passed");
}

/// All the memory that a case may have is not all that the machine has.
#[test]
fn memory_is_bounded() {
    let said = Place::data().run(&["--cases", "hostile/memory.yaml", "maps_too_much"]);
    assert_said!("memory", said);
}

#[rstest]
#[case::forks("forks_without_end")]
#[case::clones("clones_without_end")]
#[case::stopped("stops_all_that_it_made")]
#[case::files("fills_its_directory")]
fn what_has_no_end_is_ended(#[case] name: &str) {
    let said = Place::data().run(&["--cases", "hostile/endless.yaml", name]).assert_status(1);
    // A machine that gives a case few processes or little room is out of them before the time is over.
    let counts = said.counts("native");
    assert!(["0 passed, 1 timed out", "0 passed, 1 failed"].contains(&&*counts), "{}", said.all());
}

/// However it is ended, nothing stays.
#[rstest]
#[case::killed(rustix::process::Signal::KILL)]
#[case::terminated(rustix::process::Signal::TERM)]
#[case::interrupted(rustix::process::Signal::INT)]
fn a_run_that_is_ended_leaves_no_process(#[case] signal: rustix::process::Signal) {
    let place = Place::with(
        "cases:\n  - name: waits\n    steps:\n      - fork:\n          - setsid: []\n          - clone: [SIGCHLD, 0, 0, 0, 0]\n      - pause: []\n  - {name: ends, steps: [{getpid: []}]}\n",
    );
    let mut command = place.command(&[]);
    command.args(["run", "--target", "native", "waits"]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("the program can be started");
    // The agent, its case, and that case's daemon.
    until("its processes are there", || place.processes().len() >= 3);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, signal).expect("it is there");
    child.wait().expect("an end");
    until("its processes are gone", || place.processes().is_empty());
    // The folder of one that was killed goes with the next run, after which nothing is left.
    place.run(&["ends"]).assert_status(0);
}

/// A file that cannot be removed keeps its folder, and that is told as the harness's own trouble.
#[test]
fn a_folder_that_cannot_be_removed_is_told() {
    if !is_root() {
        return not_here("a file that cannot be removed: it needs root");
    }
    let place = Place::with(
        "cases:\n  - name: makes a file for good\n    steps:\n      - openat: [AT_FDCWD, {str: file}, O_CREAT | O_RDWR, 0o600]\n        save: file\n      - ioctl: [$file, 0x40086602, {u32: 0x10}]\n",
    );
    let run = place.command(&[]).args(["run", "--target", "native", "--report", "json=run.json"]).output();
    let run = run.expect("the program can be started");
    let mutable = std::process::Command::new("chattr").args(["-R", "-i"]).arg(place.tmp()).output();
    let said = String::from_utf8_lossy(&run.stdout);
    if said.contains("ENOTTY") || said.contains("EOPNOTSUPP") {
        return not_here("a file that cannot be removed: this file system has none");
    }
    assert!(mutable.is_ok_and(|done| done.status.success()), "the file can be removed again");
    assert_eq!(run.status.code(), Some(3), "{said}");
    assert!(said.contains("error: could not be removed: "), "{said}");
    for left in std::fs::read_dir(place.tmp()).expect("readable").flatten() {
        std::fs::remove_dir_all(left.path()).expect("removed");
    }
    assert_red(&place, 3);
}

/// Waits for what comes by itself, but not for ever.
fn until(what: &str, done: impl Fn() -> bool) {
    let begun = std::time::Instant::now();
    while !done() {
        assert!(begun.elapsed().as_secs() < 20, "{what}");
        std::thread::yield_now();
    }
}

/// What stays attached in a guest's network namespace is told as the case's own failure; a map that goes a little later, with
/// the program that uses it, is no leftover.
#[rstest]
fn what_stays_attached_is_told(#[values("x86_64", "riscv64")] arch: &str) {
    if !is_set_up(arch) {
        return;
    }
    let said =
        Place::data().say(&["run", "--target", arch, "--cases", "hostile/attached.yaml"]).assert_status(1);
    assert_eq!(said.counts(arch), "1 passed, 1 failed", "{}", said.all());
    let told = "(BPF_PROG_TYPE_SCHED_CLS, attached to lo by BPF_TCX_INGRESS)";
    assert!(said.out.contains(told), "{}", said.all());
    assert!(said.out.contains("(bpftool net detach tcx_ingress dev lo)"), "{}", said.all());
}

/// Natively the network namespace is the case's own, and goes with it: nothing stays attached to the machine's.
#[test]
fn what_is_attached_to_a_network_of_its_own_goes_with_it() {
    if !is_root() {
        return not_here("programs that stay attached");
    }
    // A network interface of the test's own is gone with its network namespace, whatever the program does.
    let said = Place::data()
        .say_through(
            &["unshare", "--net"],
            &["run", "--target", "native", "--cases", "hostile/attached.yaml"],
        )
        .assert_status(0);
    assert_eq!(said.counts("native"), "2 passed", "{}", said.all());
}

/// Natively too: what stays pinned is told as the case's own failure, once it has come again when the case ran alone; and it
/// is removed, as the case names it. A map that goes a little later, with the program that uses it, is no leftover.
#[test]
fn what_stays_pinned_is_removed_and_told() {
    if !is_root() {
        return not_here("pins that stay");
    }
    // The bpffs is the test's own.
    let script = "mount -t bpf none /sys/fs/bpf || exit 99; \"$@\"; status=$?; ls /sys/fs/bpf; exit $status";
    let through = ["unshare", "--mount", "sh", "-c", script, "sh"];
    let words = ["run", "--target", "native", "--cases", "hostile/pinned.yaml"];
    let said = Place::data().say_through(&through, &words).assert_status(1);
    assert_eq!(said.counts("native"), "1 passed, 1 failed", "{}", said.all());
    let told = "(BPF_PROG_TYPE_SCHED_CLS, pinned at /sys/fs/bpf/stays)";
    assert!(said.out.contains(told), "{}", said.all());
    assert!(said.out.contains("that was undone (rm /sys/fs/bpf/stays)"), "{}", said.all());
    assert!(!said.out.lines().any(|line| line == "stays"), "{}", said.all());
}

/// What no namespace keeps apart is put back, and told of the case that did it.
#[test]
fn what_is_changed_for_the_whole_kernel_is_put_back_and_told() {
    if !is_root() {
        return not_here("sysctls that cases change");
    }
    // How long a lease may outlast its break, in seconds: nobody has one here.
    const SYSCTL: &str = "/proc/sys/fs/lease-break-time";
    let Ok(before) = std::fs::read_to_string(SYSCTL) else { return not_here("no sysctl to change") };
    let write = "      - write: [$fd, {str: \"77\"}, 2]\n";
    let place = Place::with(&format!(
        "cases:
  - name: sets a sysctl
    steps:
      - openat: [AT_FDCWD, {{str: {SYSCTL}}}, O_WRONLY]
        save: fd
{write}  - name: goes there and sets it
    steps:
      - chdir: [{{str: /proc/sys/fs}}]
      - openat: [AT_FDCWD, {{str: lease-break-time}}, O_WRONLY]
        save: fd
{write}  - name: sets it from a directory
    steps:
      - openat: [AT_FDCWD, {{str: /proc}}, O_RDONLY | O_DIRECTORY]
        save: proc
      - openat: [$proc, {{str: sys/fs/lease-break-time}}, O_WRONLY]
        save: fd
{write}  - name: sets it through a link
    steps:
      - symlinkat: [{{str: /proc/sys}}, AT_FDCWD, {{str: link}}]
      - openat: [AT_FDCWD, {{str: link/fs/lease-break-time}}, O_WRONLY]
        save: fd
{write}  - name: sets it by a program
    steps:
      - fork:
          - execve: [{{str: /bin/sh}}, {{list: [{{addr_of: [{{str: sh}}]}}, {{addr_of: [{{str: -c}}]}}, {{addr_of: [{{str: echo 77 >{SYSCTL}}}]}}, {{u64: 0}}]}}, null]
  - name: reads one
    steps:
      - openat: [AT_FDCWD, {{str: {SYSCTL}}}, O_RDONLY]
"
    ));
    let said = place.say(&["run", "--target", "native"]);
    let after = std::fs::read_to_string(SYSCTL).expect("readable");
    std::fs::write(SYSCTL, &before).expect("it can be put back");
    assert_eq!(after, before, "{}", said.all());
    let said = said.assert_status(1);
    // A program that takes the case's place does not come to its end, whatever it does.
    assert_eq!(said.counts("native"), "1 passed, 5 failed", "{}", said.all());
    let besides = format!("what was left besides: {SYSCTL}, which was ");
    assert!(said.out.contains(&besides), "{}", said.all());
    let told = format!(
        "error: what the case made outlives its processes: {SYSCTL}, which was {:?} and is \"77\"",
        before.trim_end()
    );
    assert_eq!(said.out.matches(&told).count(), 4, "{}", said.all());
    assert_eq!(said.out.matches("was put back").count(), 4, "{}", said.all());
}

/// A cgroup that a case makes in the machine's tree is removed, by whatever name it was made.
#[test]
fn cgroups_that_stay_are_removed_and_told() {
    let Some(cgroup) = is_root().then(|| Cgroup::new("cgroups")).flatten() else {
        return not_here("cgroups that stay");
    };
    let path = cgroup.0.display();
    let place = Place::with(&format!(
        "cases:
  - name: makes one by its name
    steps:
      - mkdirat: [AT_FDCWD, {{str: {path}/by_name}}, 0o755]
  - name: makes one from its directory
    steps:
      - openat: [AT_FDCWD, {{str: {path}}}, O_RDONLY | O_DIRECTORY]
        save: directory
      - mkdirat: [$directory, {{str: from_directory}}, 0o755]
  - name: goes there and makes one
    steps:
      - chdir: [{{str: {path}}}]
      - mkdirat: [AT_FDCWD, {{str: outer}}, 0o755]
      - mkdirat: [AT_FDCWD, {{str: outer/inner}}, 0o755]
  - name: mounts them and makes one
    steps:
      - mkdirat: [AT_FDCWD, {{str: here}}, 0o755]
      - mount: [{{str: none}}, {{str: here}}, {{str: cgroup2}}, 0, null]
      - mkdirat: [AT_FDCWD, {{str: here/kconform-mounted}}, 0o755]
"
    ));
    let said = place.say(&["run", "--target", "native"]).assert_status(1);
    let inner: Vec<_> = std::fs::read_dir(&cgroup.0).expect("readable").flatten().collect();
    assert!(!inner.iter().any(|entry| entry.path().is_dir()), "{inner:?}\n{}", said.all());
    assert_eq!(said.counts("native"), "0 passed, 4 failed", "{}", said.all());
    for name in ["by_name", "from_directory", "outer", "outer/inner"] {
        assert!(said.out.contains(&format!("{path}/{name} was removed")), "{name}: {}", said.all());
    }
    assert!(said.out.contains("/kconform-mounted was removed"), "{}", said.all());
}

/// Keyrings of users are one for all native runs: what one case changes there meanwhile another takes for its own.
static USERS_KEYS: Mutex<()> = Mutex::new(());

/// The lines of /proc/keys with this in the description.
fn keys(of: &str) -> Vec<String> {
    let keys = std::fs::read_to_string("/proc/keys").unwrap_or_default();
    let is_used = |line: &&str| line.contains(of) && line.split_whitespace().nth(2) != Some("0");
    keys.lines().filter(is_used).map(str::to_owned).collect()
}

/// Keyrings of users are the whole machine's: what a case leaves there is removed, and told of it. Its session is its own.
#[rstest]
fn keys_that_stay_are_removed_and_told(#[values("native", "x86_64", "riscv64")] target: &str) {
    if target == "native" {
        if !is_root() || !std::path::Path::new("/proc/keys").exists() {
            return not_here("keys of several users");
        }
    } else if !is_set_up(target) {
        return;
    }
    let _alone = (target == "native").then(|| USERS_KEYS.lock().unwrap_or_else(PoisonError::into_inner));
    let said =
        Place::data().say(&["run", "--target", target, "--cases", "hostile/keys.yaml"]).assert_status(1);
    let counts = said.counts(target);
    assert!(counts == "3 passed, 4 failed" || counts.ends_with("skipped"), "{}", said.all());
    for (description, keyring) in [("left", "_uid.0"), ("other", "_uid_ses.65534"), ("linked", "_uid.0")] {
        let told = format!("\"kconform-{description}\" (user), which was linked to {keyring}");
        assert!(said.out.contains(&told), "{told}\n{}", said.all());
    }
    let persistent = said.out.contains("\"_persistent.65534\" (keyring), which is new");
    assert!(persistent || counts.ends_with("skipped"), "{}", said.all());
    assert!(said.out.contains(": that was undone (keyctl unlink "), "{}", said.all());
    assert!(!said.out.contains("to undo it"), "{}", said.all());
    if target == "native" {
        // What held them goes a little later.
        until("the keys are gone", || keys("kconform-").iter().all(|line| line.contains("kconform-others")));
    }
}

/// What a case changes of a key that was there before it is put back, where that can be done.
#[test]
fn keys_of_others_are_put_back() {
    if !is_root() || !std::path::Path::new("/proc/keys").exists() {
        return not_here("keys that were there before a case");
    }
    let _alone = USERS_KEYS.lock().unwrap_or_else(PoisonError::into_inner);
    let place = Place::data();
    let run = |more: &[&str]| {
        place.say(&[&["run", "--target", "native", "--cases", "hostile/others_keys.yaml"], more].concat())
    };
    run(&["--no-check-leaks", "--tag", "before"]).assert_status(0);
    // But for its id: one that nothing links to any more is made anew.
    let key = || {
        let all = keys("kconform-others");
        let line = all.first().cloned().unwrap_or_default();
        line.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    let before = key();
    let changed = run(&["--tag", "changes"]);
    let after = key();
    let check = run(&["--tag", "check"]);
    let revoked = run(&["--tag", "revoke"]);
    run(&["--no-check-leaks", "--tag", "after"]);
    until("the key is gone", || keys("kconform-others").is_empty());
    assert_eq!(after, before, "{}", changed.all());
    assert_eq!(changed.counts("native"), "0 passed, 5 failed", "{}", changed.all());
    check.assert_status(0);
    assert_said!("keys_of_others", changed);
    assert_said!("keys_of_others_revoked", revoked);
}

/// A cgroup of a test's own, which goes with it.
struct Cgroup(std::path::PathBuf);

impl Cgroup {
    /// `None` where none can be made.
    fn new(name: &str) -> Option<Cgroup> {
        let mounts = std::fs::read_to_string("/proc/self/mounts").expect("the mounts");
        let mut fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let mount = fields.find(|fields| fields.get(2) == Some(&"cgroup2"))?;
        let path = std::path::Path::new(mount[1]).join(format!("kconform-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).ok().map(|()| Cgroup(path))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// A program that stays attached to a cgroup of the machine's is detached, and told of the case; one that a case detached from
/// there is attached again.
#[test]
fn what_stays_attached_to_a_cgroup_is_detached_and_told() {
    let Some(cgroup) = is_root().then(|| Cgroup::new("attached")).flatten() else {
        return not_here("programs that stay attached to cgroups");
    };
    let load = |name: &str| {
        format!(
            "      - openat: [AT_FDCWD, {{str: {}}}, O_RDONLY | O_DIRECTORY]
        save: cgroup
      - bpf:
          - BPF_PROG_LOAD
          - prog_type: BPF_PROG_TYPE_CGROUP_SKB
            license: {{str: GPL}}
            prog_name: {{str: {name}}}
            expected_attach_type: BPF_CGROUP_INET_EGRESS
            insns: {{insns: [\"BPF_MOV64_IMM(BPF_REG_0, 1)\", \"BPF_EXIT_INSN()\"]}}
        save: program
",
            cgroup.0.display()
        )
    };
    let attach = "{target_fd: $cgroup, attach_bpf_fd: $program, attach_type: BPF_CGROUP_INET_EGRESS, \
                  attach_flags: BPF_F_ALLOW_MULTI}";
    let query = "      - bpf: [BPF_PROG_QUERY, {query.target_fd: $cgroup, query.attach_type: BPF_CGROUP_INET_EGRESS, \
                 query.prog_ids: {out: 4, as: id}, query.prog_cnt: 1}]";
    let place = Place::with(&format!(
        "cases:
  - name: attaches and detaches
    tags: [one]
    steps:
{}      - bpf: [BPF_PROG_ATTACH, {attach}]
      - bpf: [BPF_PROG_DETACH, {{target_fd: $cgroup, attach_bpf_fd: $program, attach_type: BPF_CGROUP_INET_EGRESS}}]
  - name: attaches
    tags: [one, before]
    steps:
{}      - bpf: [BPF_PROG_ATTACH, {attach}]
  - name: detaches another one
    tags: [two]
    steps:
{}{query}
        save: {{id: id}}
      - bpf: [BPF_PROG_GET_FD_BY_ID, {{prog_id: $id}}]
        save: program
      - bpf: [BPF_PROG_DETACH, {{target_fd: $cgroup, attach_bpf_fd: $program, attach_type: BPF_CGROUP_INET_EGRESS}}]
  - name: finds it again
    tags: [after]
    steps:
{}{query}
        expect: {{query.prog_cnt: {{u32: 1}}}}
",
        load("its"),
        load("its"),
        load("other"),
        load("other"),
    ));
    let run = |more: &[&str]| place.say(&[&["run", "--target", "native"], more].concat());
    let one = run(&["--tag", "one"]).assert_status(1);
    assert_eq!(one.counts("native"), "1 passed, 1 failed", "{}", one.all());
    let path = cgroup.0.display();
    let attached = format!("\"its\", attached to the cgroup {path} by BPF_CGROUP_INET_EGRESS");
    let undone = format!("that was undone (bpftool cgroup detach {path} cgroup_inet_egress id ");
    assert!(one.out.contains(&attached) && one.out.contains(&undone), "{}", one.all());
    run(&["--no-check-leaks", "--tag", "before"]).assert_status(0);
    let two = run(&["--tag", "two"]).assert_status(1);
    let detached =
        format!("\"its\", which is no longer attached to the cgroup {path} by BPF_CGROUP_INET_EGRESS");
    let undone = format!("that was undone (bpftool cgroup attach {path} cgroup_inet_egress id ");
    assert!(two.out.contains(&detached) && two.out.contains(&undone), "{}", two.all());
    run(&["--no-check-leaks", "--tag", "after"]).assert_status(0);
}

/// What is otherwise after a run, and no case was told of, is said of the target, in every report. It may be somebody else's.
#[test]
fn what_changed_meanwhile_is_told() {
    let Some(cgroup) = is_root().then(|| Cgroup::new("meanwhile")).flatten() else {
        return not_here("what changes while cases run");
    };
    // Of what is called as runs of kconform call it, nothing is said.
    let new = cgroup.0.parent().expect("a mount point").join(format!("meanwhile-{}", std::process::id()));
    let place = Place::with(
        "cases:\n  - {name: waits, steps: [{nanosleep: [{u64: [2, 0]}, null]}]}\n  - {name: ends, steps: [{getpid: []}]}\n",
    );
    let reports = ["json=r.json", "ktap=r.ktap", "junit=r.xml", "html=r.html", "jsonl=r.jsonl"];
    let mut command = place.command(&[]);
    command.args(["run", "--target", "native"]).stdout(Stdio::piped()).stderr(Stdio::null());
    command.args(reports.iter().flat_map(|report| ["--report", report]));
    let child = command.spawn().expect("the program can be started");
    // The agent has looked at the machine by then.
    let sleeps = |process: &String| {
        let directory = process.split(": ").next().unwrap_or_default();
        let call = std::fs::read_to_string(format!("{directory}/syscall")).unwrap_or_default();
        call.starts_with(&format!("{} ", number("nanosleep")))
    };
    until("the case sleeps", || place.processes().iter().any(sleeps));
    std::fs::create_dir(&new).expect("a cgroup");
    let inner = std::fs::create_dir(cgroup.0.join("inner"));
    let output = child.wait_with_output().expect("an end");
    let _ = std::fs::remove_dir(cgroup.0.join("inner"));
    std::fs::remove_dir(&new).expect("it can be removed");
    inner.expect("a cgroup");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let told = format!("the directory {} is new", new.display());
    assert!(said.contains("not as before the run, by a case or by somebody else on the machine: "), "{said}");
    assert!(said.contains(&told) && !said.contains("inner"), "{said}");
    for report in reports {
        let path = place.here().join(report.split_once('=').expect("a path").1);
        let text = std::fs::read_to_string(&path).expect("a report");
        assert!(text.contains(&told), "{report}:\n{text}");
    }
}
