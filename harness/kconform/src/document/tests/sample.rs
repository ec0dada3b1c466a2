//! A small report made by hand that has every verdict, and text that wants care.

use std::collections::BTreeMap;

use crate::document::{
    Also, Argument, Case, CaseResult, Document, FORMAT, Failure, FailureKind, LostTarget, Output, Place,
    Settings, Status, Step, SuiteFile, SuiteIdentity, Target, Trouble, TroubleKind, VERSION,
};

const FILE: &str = "cases/bpf/map/array.yaml";

fn place(line: u32, column: u32, width: u32) -> Place {
    Place { file: FILE.into(), line, column, end_line: line, end_column: column + width }
}

fn call(step: u32, name: &str, args: &[&str], ret: i64, back: &str) -> Step {
    Step {
        step,
        line: 20 + step,
        name: name.into(),
        args: args.iter().map(|text| Argument { text: (*text).into(), value: text.parse().ok() }).collect(),
        back: back.into(),
        ret: Some(ret),
        errno: back.split(' ').find(|word| word.starts_with('E')).map(str::to_owned),
        begun_ns: Some(1000 * u64::from(step)),
        call_ns: Some(250),
        ..Step::default()
    }
}

fn steps() -> Vec<Step> {
    let mut create = call(0, "bpf", &["BPF_MAP_CREATE", "{map_type=BPF_MAP_TYPE_ARRAY}", "72"], 3, "3");
    create.saves = BTreeMap::from([("map".into(), "ret".into())]);
    let mut lookup = call(2, "bpf", &["BPF_MAP_LOOKUP_ELEM", "{map_fd=3, value=\"*\\x00\"}", "32"], 0, "0");
    lookup.depth = 1;
    lookup.outputs = vec![Output { name: "value".into(), length: 8, hex: "2a".into() }];
    let fork = Step { step: 1, line: 21, name: "fork".into(), block: true, ..Step::default() };
    let refused = "-1 EINVAL (Invalid argument)";
    vec![create, fork, lookup, call(3, "bpf", &["BPF_MAP_DELETE_ELEM", "{map_fd=3}", "32"], -22, refused)]
}

fn failure(kind: FailureKind) -> Failure {
    Failure {
        kind,
        place: place(23, 9, 13),
        words: "errno: ENOENT".into(),
        step: Some(3),
        iteration: Vec::new(),
        text: "expected ENOENT (2, No such file or directory), got EINVAL (22, Invalid argument)".into(),
        expected: "ENOENT (2, No such file or directory)".into(),
        got: "EINVAL (22, Invalid argument)".into(),
        ret: Some(-22),
        also: vec![Also { place: place(24, 9, 10), text: "expected 1, got 100% <b>& \"more\"".into() }],
    }
}

/// What text may hold that no format may stumble over: colours, a NUL, markup, percent signs, a lone surrogate's
/// replacement, what is no character, the end of a CDATA section, the beginning of a directive.
pub(crate) const NASTY: &str = "\u{1b}[31moops\u{1b}[0m \0 </script><b>&amp; ]]> 100% # SKIP ::error::\u{fffd} \u{fffe}\u{ffff}\u{85} Grüße\r\nsecond line\u{7f}";

fn result(target: &str, status: Status) -> CaseResult {
    let mut result = CaseResult::bare(target, status);
    match status {
        Status::Skipped => result.reason = Some("needs Linux >=6.6".into()),
        Status::Lost => result.reason = Some("QEMU ended: killed".into()),
        Status::Crashed => {
            result.reason = Some("an oops".into());
            result.kernel_log = vec!["BUG: unable to handle page fault".into(), NASTY.into()];
        }
        Status::Flaky => {
            result.reason = Some("the kernel suffered a panic".into());
            result.kernel_log = vec!["Kernel panic - not syncing: oops".into(), NASTY.into()];
        }
        Status::UnexpectedPass => result.reason = Some("fixed in 6.9, they said".into()),
        Status::ExpectedFailure => {
            result.reason = Some("commit 123 broke it # for now".into());
            result.failure = Some(failure(FailureKind::Ret));
        }
        Status::Failed => {
            result.failure = Some(failure(FailureKind::Ret));
            result.kernel_log = vec!["bpf: a remark".into()];
        }
        Status::TimedOut => {
            let text = "expected success, but the case's time (10 s) was over in this call".to_owned();
            result.failure = Some(Failure { text, ..failure(FailureKind::TimedOut) });
            result.end = Some("killed because its time was over".into());
        }
        Status::Passed => {}
    }
    if !matches!(status, Status::Skipped | Status::Lost | Status::Crashed) {
        result.steps = steps();
        result.duration_ns = 1_500_000;
    }
    result
}

fn case(suite: &str, name: &str, results: Vec<CaseResult>) -> Case {
    Case {
        id: format!("{suite}::{}", name.replace(' ', "_")),
        suite: suite.into(),
        name: name.into(),
        about: Some("The elements of an array exist for the life of the map.".into()),
        source: vec!["bpf(2)".into()],
        tags: vec!["error".into()],
        place: place(10, 11, 4),
        results,
    }
}

fn target(name: &str, nth: usize, cases: &[Case]) -> Target {
    let mut counts = BTreeMap::new();
    for case in cases {
        *counts.entry(case.results[nth].status).or_default() += 1;
    }
    Target {
        name: name.into(),
        release: Some("6.12.94+deb13-amd64".into()),
        kernel: Some("6.12.94".into()),
        arch: Some("x86_64".into()),
        cpus: Some(2),
        page_size: Some(4096),
        uid: Some(0),
        elapsed_ns: 2_100_000_000,
        counts,
        ..Target::default()
    }
}

/// A guest that is set up out of the ordinary.
fn hardened() -> Settings {
    let sysctls =
        [("net.core.bpf_jit_enable", "0"), ("net.core.bpf_jit_harden", "2"), ("kernel.kptr_restrict", "0")];
    Settings {
        sysctls: sysctls.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        boot_options: vec!["console=ttyS0".into(), "lockdown=integrity".into()],
        lsm: vec!["lockdown".into(), "bpf".into()],
        lockdown: Some("integrity".into()),
        jit: Some(false),
        seccomp: Some("none".into()),
        seccomp_filters: Some(0),
        no_new_privs: Some(false),
        memory_cgroup: Some("v2".into()),
        limits: BTreeMap::from([
            ("MEMLOCK".into(), [None, None]),
            ("NOFILE".into(), [Some(1024), Some(4096)]),
        ]),
        capabilities: Some("000001ffffffffff".into()),
        in_user_namespace: false,
    }
}

/// Results of the second target, of cases that the JIT was switched on for: those that ran.
fn cases_of_second(cases: &mut [Case]) -> impl Iterator<Item = &mut CaseResult> {
    let second = cases.iter_mut().filter_map(|case| case.results.get_mut(1));
    second.filter(|result| result.failure.is_some())
}

/// The report: two targets, of which the second was lost on the way.
pub(crate) fn document() -> Document {
    let both = |first, second| vec![result("native", first), result("x86_64", second)];
    let mut flaky = case("bpf/map/hash", "flaky", both(Status::Failed, Status::Passed));
    flaky.results[0].runs = BTreeMap::from([(Status::Passed, 8), (Status::Failed, 2)]);
    flaky.results[0].remark = Some("it ran again on a fresh kernel".into());
    let mut nasty = case("bpf/map/hash", "nasty [key=0,flags=#1]", both(Status::Failed, Status::Failed));
    // A name may hold what an id does not.
    nasty.name.push_str(NASTY);
    for result in &mut nasty.results {
        let failure = result.failure.as_mut().expect("it failed");
        (failure.text, failure.got) = (format!("expected nothing, got {NASTY}"), NASTY.into());
        result.steps[3].args[1].text = NASTY.into();
    }
    let mut again = case("bpf/map/hash", "passes at last", both(Status::Flaky, Status::Passed));
    again.results[1].remark = Some(format!("it ran again: QEMU ended\n    {NASTY}"));
    let mut cases = vec![
        case("bpf/map/array", "passes", both(Status::Passed, Status::Passed)),
        case("bpf/map/array", "delete is refused", both(Status::Failed, Status::Passed)),
        case("bpf/map/array", "is skipped", both(Status::Skipped, Status::Passed)),
        case("bpf/map/array", "fails as expected", both(Status::ExpectedFailure, Status::UnexpectedPass)),
        case("bpf/map/array", "times out", both(Status::TimedOut, Status::Crashed)),
        flaky,
        nasty,
        again,
        case("bpf/map/hash", "is lost", both(Status::Passed, Status::Lost)),
    ];
    let mut targets = vec![target("native", 0, &cases), target("x86_64", 1, &cases)];
    targets[0].host = true;
    targets[1].settings = Some(hardened());
    for result in cases_of_second(&mut cases) {
        result.sysctls = BTreeMap::from([("net.core.bpf_jit_enable".into(), "1".into())]);
    }
    targets[1].remark = Some(format!("TCG: /dev/kvm does not work{NASTY}"));
    targets[1].lost = Some(LostTarget {
        why: "given up after 20 agents were lost in a row".into(),
        mend: Some("kconform image fetch x86_64".into()),
    });
    Document {
        format: FORMAT.into(),
        version: VERSION,
        kconform: "0.1.0".into(),
        started: "2026-01-02T03:04:05Z".into(),
        partial: true,
        nothing_ran: false,
        trouble: vec![
            Trouble {
                kind: TroubleKind::NotRemoved,
                target: None,
                text: format!("could not be removed: /tmp/kconform-1: {NASTY}"),
            },
            Trouble {
                kind: TroubleKind::TooFew,
                target: Some("native".into()),
                text: "--min-run 20: 8 of 9 cases ran on native".into(),
            },
        ],
        shard: None,
        suite: SuiteIdentity {
            sha256: "ab".repeat(32),
            files: vec![SuiteFile { name: "bpf/map/array.yaml".into(), sha256: "cd".repeat(32) }],
            cases: 9,
            forge: None,
        },
        targets,
        cases,
    }
}
