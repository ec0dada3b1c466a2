//! How kernels are set up: told in reports, required by cases, and set for them in guests.

use rstest::rstest;
use serde_json::Value;

use crate::guests::is_set_up;
use crate::program::{Place, Said, is_root};

/// Reads a file of /proc/sys, which must hold this.
fn reads(sysctl: &str, value: &str) -> String {
    let path = sysctl.replace('.', "/");
    format!(
        "
      - openat: [AT_FDCWD, {{str: /proc/sys/{path}}}, O_RDONLY]
        save: fd
      - read: [$fd, {{out: 16}}, 16]
        ret: {}
        expect: {{arg1: {{prefix: {{str: \"{value}\\n\"}}}}}}",
        value.len() + 1
    )
}

/// A case that wants settings and finds them.
fn case(name: &str, requires: &str, steps: &str) -> String {
    format!("\n  - name: {name}\n    requires: {{{requires}}}\n    steps:{steps}")
}

/// A suite whose guests have one more word on their command line.
fn place(cases: &[String], arch: &str, more: &str) -> Place {
    let image = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../vm/{arch}-6.12.yaml"));
    let text = std::fs::read_to_string(image).expect("an image");
    let text = match text.contains("cmdline: [") {
        true => text.replacen("cmdline: [", &format!("cmdline: [{more}, "), 1),
        false => format!("{text}\ncmdline: [{more}]\n"),
    };
    let here = Place::with(&format!("cases:{}\n", cases.concat()));
    here.file(&format!("images/{arch}-6.12.yaml"), &text)
}

fn run(place: &Place, arch: &str, more: &[&str]) -> Said {
    let report = ["--report", "json=a.json"];
    place.say(&[&["run", "--images", "images", "--target", arch][..], &report, more].concat())
}

fn report(place: &Place) -> Value {
    let text = std::fs::read_to_string(place.here().join("a.json")).expect("a report");
    serde_json::from_str(&text).expect("JSON")
}

/// The result of a case by its name: the status, the reason and what was set.
fn result(report: &Value, name: &str) -> (String, String, Value) {
    let cases = report["cases"].as_array().expect("cases");
    let case = cases.iter().find(|case| case["name"] == name).unwrap_or_else(|| panic!("no {name}"));
    let result = &case["results"][0];
    let text = |key: &str| result[key].as_str().unwrap_or_default().to_owned();
    (text("status"), text("reason"), result["sysctls"].clone())
}

const HARDEN: &str = "net.core.bpf_jit_harden";

/// Cases that want a sysctl otherwise have it so; those after them find it as it was, a failed one and one that is killed
/// between them.
#[rstest]
fn a_guest_sets_sysctls_for_a_case(#[values("x86_64", "riscv64")] arch: &str) {
    if !is_set_up(arch) {
        return;
    }
    let lowered = format!("sysctl: {{{HARDEN}: 0}}");
    let killed = "\n      - kill: [0, SIGKILL]\n        signal: SIGKILL";
    let cases = [
        case("lowered", &lowered, &reads(HARDEN, "0")),
        case("as it was", "", &reads(HARDEN, "2")),
        case("fails", &lowered, "\n      - close: [0]\n        errno: EPERM"),
        case("as it was, after a failure", "", &reads(HARDEN, "2")),
        case("is killed", &lowered, killed),
        case("as it was, after a kill", "", &reads(HARDEN, "2")),
        case("never ends", &lowered, "\n      - pause: []").replace("requires", "timeout: 0.2\n    requires"),
        case("as it was, after its time", "", &reads(HARDEN, "2")),
        case("as it is", &format!("sysctl: {{{HARDEN}: [1, 2]}}"), &reads(HARDEN, "2")),
        case("in a range", &format!("sysctl: {{{HARDEN}: {{max: 1}}}}"), &reads(HARDEN, "1")),
        case("is looked at", "sysctl: {kernel.ostype: Linux, kernel.no_such: [none, 1]}", " [{close: [0]}]"),
        case("is not to be", &format!("sysctl: {{{HARDEN}: 9}}"), " [{close: [0]}]"),
        case("is nowhere", "sysctl: {kernel.no_such: 0}", " [{close: [0]}]"),
        case("locks", "sysctl: {kernel.unprivileged_bpf_disabled: 1}", " [{close: [0]}]"),
        case("locks and is thrown away", "sysctl: {kernel.unprivileged_bpf_disabled: 1}", " [{close: [0]}]")
            .replace("requires", "fresh: true\n    requires"),
        case("unlocked again", "", &reads("kernel.unprivileged_bpf_disabled", "2")),
    ];
    // `pause` is not a system call of every architecture.
    let cases = cases.map(|case| case.replace("pause: []", "ppoll: [null, 0, null, null, 0]"));
    let place = place(&cases, arch, "sysctl.net.core.bpf_jit_harden=2");
    let said = run(&place, arch, &[]).assert_status(1);
    let report = report(&place);
    let is = |name: &str, status: &str| {
        let (is, reason, set) = result(&report, name);
        assert_eq!(is, status, "{name}: {reason}\n{}", said.all());
        (reason, set)
    };
    let zero = serde_json::json!({HARDEN: "0"});
    assert_eq!(is("lowered", "passed").1, zero);
    for name in
        ["as it was", "as it was, after a failure", "as it was, after a kill", "as it was, after its time"]
    {
        assert_eq!(is(name, "passed").1, Value::Null, "{name}");
    }
    assert_eq!(is("fails", "failed").1, zero);
    assert_eq!(is("is killed", "passed").1, zero);
    assert_eq!(is("never ends", "timed_out").1, zero);
    assert_eq!(is("as it is", "passed").1, Value::Null);
    assert_eq!(is("in a range", "passed").1, serde_json::json!({HARDEN: "1"}));
    assert_eq!(is("is looked at", "passed").1, Value::Null);
    let cannot = format!("needs {HARDEN}=9, and it cannot be set: EINVAL (22, Invalid argument)");
    assert_eq!(is("is not to be", "skipped"), (cannot, Value::Null));
    let nowhere = "needs kernel.no_such=0, and there is no such sysctl here";
    assert_eq!(is("is nowhere", "skipped").0, nowhere);
    let locks = "needs kernel.unprivileged_bpf_disabled=1, it is 2 and could not be put back: the case would have to be `fresh`";
    assert_eq!(is("locks", "skipped").0, locks);
    is("locks and is thrown away", "passed");
    is("unlocked again", "passed");
    let with = format!("  with {HARDEN}=0, set for the case\n  steps:\n");
    assert!(said.out.contains(&with), "{}", said.all());
    let settings = &report["targets"][0]["settings"];
    assert_eq!(settings["sysctls"][HARDEN], "2");
    let options = settings["boot_options"].as_array().expect("boot options");
    assert!(options.contains(&Value::from("sysctl.net.core.bpf_jit_harden=2")), "{settings}");
}

/// The JIT is switched on and off as cases want it: on riscv64 Debian's kernel has it off.
#[rstest]
#[case("x86_64", "sysctl.net.core.bpf_jit_enable=0", false)]
#[case("x86_64", "quiet", true)]
#[case("riscv64", "sysctl.net.core.bpf_jit_enable=1", true)]
#[case("riscv64", "quiet", false)]
fn a_guest_switches_the_jit(#[case] arch: &str, #[case] option: &str, #[case] is_on: bool) {
    if !is_set_up(arch) {
        return;
    }
    // `jited_prog_len` is the fifth word of `struct bpf_prog_info`.
    let program = |length: &str| {
        format!(
            "
      - bpf:
          - BPF_PROG_LOAD
          - prog_type: BPF_PROG_TYPE_SOCKET_FILTER
            insns: {{insns: [\"BPF_MOV64_IMM(BPF_REG_0, 0)\", BPF_EXIT_INSN()]}}
            license: {{str: GPL}}
        save: prog
      - bpf: [BPF_OBJ_GET_INFO_BY_FD, {{bpf_fd: $prog, info: {{list: [{{out: 16}}, {{out: 4, as: length}}]}}}}]
        expect: {{length: {length}}}"
        )
    };
    let cases = [
        case("compiled", "jit: true", &program("{min: 1}")),
        case("interpreted", "jit: false", &program("{u32: 0}")),
        case("by its name", "sysctl: {net.core.bpf_jit_enable: 1}, jit: true", &program("{min: 1}")),
    ];
    let place = place(&cases, arch, option);
    let said = run(&place, arch, &["--verbose"]).assert_status(0);
    assert_eq!(said.counts(arch), "3 passed", "{}", said.all());
    let report = report(&place);
    assert_eq!(report["targets"][0]["settings"]["jit"], is_on);
    let is_off = said.out.contains(&format!("settings of {arch}: net.core.bpf_jit_enable=0, BPF JIT off"));
    assert_eq!(is_off, !is_on, "{}", said.all());
    let set = |name| result(&report, name).2;
    let to = |value: &str| serde_json::json!({"net.core.bpf_jit_enable": value});
    assert_eq!(set("compiled"), if is_on { Value::Null } else { to("1") });
    assert_eq!(set("interpreted"), if is_on { to("0") } else { Value::Null });
}

/// A probe runs with what is set for the case that needs it, and anew where that is something else.
#[test]
fn a_probe_finds_what_its_case_will_find() {
    if !is_set_up("x86_64") {
        return;
    }
    let ring = "\n      - io_uring_setup: [1, {zero: 120}]";
    let needs = |case: String| case.replace("requires", "needs: ring\n    requires");
    let cases = [
        needs(case("enabled", "sysctl: {kernel.io_uring_disabled: 0}", ring)),
        needs(case("disabled", "sysctl: {kernel.io_uring_disabled: 2}", ring)),
        needs(case("enabled again", "", ring)),
    ];
    let probe = "\nprobes: {ring: {absent: EPERM, steps: [{io_uring_setup: [1, {zero: 120}]}]}}";
    let mut cases = cases.to_vec();
    cases.push(probe.into());
    let place = place(&cases, "x86_64", "quiet");
    run(&place, "x86_64", &[]).assert_status(0);
    let report = report(&place);
    let told = ["enabled", "disabled", "enabled again"].map(|name| {
        let (status, reason, _) = result(&report, name);
        format!("{status} {reason}")
    });
    assert_eq!(told, ["passed ", "skipped the probe ring says EPERM: not there", "passed "]);
}

/// Where the kernel promises no more memory than it has, the agent and its forks take little of it: a guest of 256 MB comes up,
/// and cases have memory. What it then does not promise is an errno of the case's own calls.
#[rstest]
fn a_guest_that_does_not_overcommit_runs_cases(#[values("x86_64", "riscv64")] arch: &str) {
    if !is_set_up(arch) {
        return;
    }
    let map = |megabytes: u64, outcome: &str| {
        let prot = "PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE";
        format!("\n      - mmap: [null, {}, {prot}, -1, 0]{outcome}", megabytes << 20)
    };
    let refused = "\n        errno: ENOMEM";
    let deep = "
      - fork:
          - exec:
              - fork: [{unprivileged: [{close: [0]}]}, {parallel: [[{close: [0]}], [{close: [1]}]]}]
          - close: [0]";
    let large = "
      - memfd_create: [{str: x}, 0]
        save: fd
      - write: [$fd, {fill: [7, 3000000]}, 3000000]
        ret: 3000000
      - pread64: [$fd, {out: 3000000}, 3000000, 0]
        expect: {arg1: {fill: [7, 3000000]}}";
    let cases = [
        case("it is so", "", &reads("vm.overcommit_memory", "2")),
        case("is required", "sysctl: {vm.overcommit_memory: 2}", &map(1024, refused)),
        case("is not", "sysctl: {vm.overcommit_memory: 0}", &map(1024, "")),
        case("processes", "", deep),
        case("large buffers", "", large),
        case("memory", "", &(map(16, "") + "\n      - fork:" + &map(16, "").replace("\n  ", "\n      "))),
        case("too much", "", &map(1024, refused)),
    ];
    let place = place(&cases, arch, "sysctl.vm.overcommit_memory=2");
    let said = run(&place, arch, &[]).assert_status(0);
    assert_eq!(said.counts(arch), "7 passed", "{}", said.all());
}

/// Cases of a cgroup's memory are skipped where version 2 does not have the controller: where it was switched off at boot…
#[test]
fn a_memory_controller_that_is_off_is_no_fault() {
    if !is_set_up("x86_64") {
        return;
    }
    let place = place(&[case("none", "", " [{close: [0]}]")], "x86_64", "cgroup_disable=memory");
    let memcg = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cases/bpf/map/memcg.yaml");
    let place = place.file("cases/memcg.yaml", &std::fs::read_to_string(memcg).expect("a suite"));
    let said =
        place.say(&["run", "--images", "images", "--target", "x86_64", "--cases", "cases"]).assert_status(0);
    assert_eq!(said.counts("x86_64"), "1 passed, 2 skipped", "{}", said.all());
    let told = "the probe memory_controller says ENOENT: not there: 2 on x86_64";
    assert!(said.out.contains(told), "{}", said.all());
}

/// … and where somebody has mounted it in a hierarchy of version 1, which later kernels can be built without
/// (CONFIG_MEMCG_V1).
#[test]
fn a_memory_controller_of_version_1_is_not_in_version_2() {
    let arch = "x86_64-6.1";
    if !is_set_up(arch) {
        return;
    }
    let root = |kind: &str, flag: &str, name: &str| {
        format!(
            "
      - fsopen: [{{str: {kind}}}, FSOPEN_CLOEXEC]
        save: context{flag}
      - fsconfig: [$context, FSCONFIG_CMD_CREATE, null, null, 0]
      - fsmount: [$context, FSMOUNT_CLOEXEC, 0]
        save: {name}
      - close: [$context]"
        )
    };
    let memory = "\n      - fsconfig: [$context, FSCONFIG_SET_FLAG, {str: memory}, null, 0]";
    let stat = |errno: &str| {
        format!("\n      - openat: [$v2, {{str: memory.stat}}, O_RDONLY | O_CLOEXEC, 0]{errno}")
    };
    let steps =
        [root("cgroup2", "", "v2"), stat(""), root("cgroup", memory, "v1"), stat("\n        errno: ENOENT")];
    let alone = case("mounts it", "", &steps.concat()).replace("requires", "fresh: true\n    requires");
    let place = Place::with(&format!("cases:{alone}\n"));
    let said = place.say(&["run", "--target", arch]).assert_status(0);
    assert_eq!(said.counts(arch), "1 passed", "{}", said.all());
}

/// Nothing is set on a machine that others use: what is otherwise there is told, and the case skipped.
#[test]
fn natively_nothing_is_set() {
    let cases = [
        case("can be", "sysctl: {kernel.ostype: Linux}", " [{close: [0]}]"),
        case("cannot be", "sysctl: {kernel.ostype: Hurd}", " [{close: [0]}]"),
        case("is not there", "sysctl: {kernel.no_such: 1}", " [{close: [0]}]"),
        case("the first", "", " [{close: [0]}]"),
    ];
    let place = Place::with(&format!("cases:{}\n", cases.concat()));
    place.say(&["run", "--target", "native", "--report", "json=a.json"]).assert_status(0);
    let report = report(&place);
    let told: Vec<_> = ["can be", "cannot be", "is not there"]
        .map(|name| result(&report, name))
        .into_iter()
        .map(|(status, reason, _)| format!("{status} {reason}"))
        .collect();
    let expected = [
        "passed ",
        "skipped needs kernel.ostype=Hurd, it is Linux",
        "skipped needs kernel.no_such=1, and there is no such sysctl here",
    ];
    assert_eq!(told, expected);
    let settings = &report["targets"][0]["settings"];
    assert!(settings["sysctls"]["kernel.randomize_va_space"].is_string(), "{settings}");
    // Of the network's those are told that only the initial namespace has.
    if is_root() {
        let there = std::fs::read_to_string("/proc/sys/net/core/bpf_jit_enable").ok();
        let told = settings["sysctls"]["net.core.bpf_jit_enable"].as_str().map(str::to_owned);
        assert_eq!(told, there.map(|text| text.trim().to_owned()));
    }
}

/// Two guests of one kernel that are not set up alike: `diff` says how, and what came of it.
#[test]
fn what_targets_are_not_set_up_alike_in_is_told() {
    if !is_set_up("x86_64") {
        return;
    }
    let harden = reads(HARDEN, "0");
    let cases = [case("reads", "", &harden), case("sets", &format!("sysctl: {{{HARDEN}: 0}}"), &harden)];
    let [before, after] = ["sysctl.net.core.bpf_jit_harden=2", "quiet"].map(|option| {
        let place = place(&cases, "x86_64", option);
        let said = run(&place, "x86_64", &[]);
        assert!((said.status == Some(0)) == (option == "quiet"), "{}", said.all());
        place
    });
    let reports = [&before, &after].map(|place| place.here().join("a.json").display().to_string());
    let said = before.say(&["diff", &reports[0], &reports[1]]).assert_status(0);
    let told = "note: the targets are not set up alike
  boot option quiet: there now
  boot option sysctl.net.core.bpf_jit_harden=2: no longer there
  net.core.bpf_jit_harden: 2 → 0

fixed: 1
  s::reads on x86_64: failed → passed
";
    assert!(said.out.starts_with(told), "{}", said.all());
    let said = before.say(&["diff", &reports[0], &reports[1], "--format", "json"]).assert_status(0);
    let json: Value = serde_json::from_str(&said.out).expect("JSON");
    let change = serde_json::json!({"target": "x86_64", "name": HARDEN, "before": "2", "after": "0"});
    assert!(json["settings"].as_array().expect("settings").contains(&change), "{}", said.all());
}
