//! What a command starts, as a target: `cmd:COMMAND {agent}`.

use std::path::Path;

use rstest::rstest;

use crate::program::{Place, assert_said};

const CASES: &str = "cases:
  - {name: is there, steps: [{getpid: []}]}
  - {name: fails, steps: [{getpid: [], ret: 0}]}
  - {name: kills itself, steps: [{getpid: [], save: me}, {kill: [$me, SIGKILL]}, {getpid: []}]}
";

const ONE: &str = "cases:\n  - {name: one, steps: [{close: [0]}]}\n";

/// What is counted of the target, whose name may have spaces.
#[track_caller]
fn counted(said: &crate::program::Said, target: &str) -> String {
    let line =
        said.out.lines().rfind(|line| line.starts_with(target)).unwrap_or_else(|| panic!("{}", said.all()));
    let words = line[target.len()..].split_whitespace().skip(1).take_while(|word| *word != "in");
    words.collect::<Vec<_>>().join(" ")
}

#[rstest]
#[case::alone("cmd:{agent}")]
#[case::launcher("cmd:env -i {agent}")]
#[case::shell("cmd:sh -c 'echo to standard error >&2; exec {agent}'")]
#[case::not_its_last_process("cmd:sh -c '{agent}; true'")]
#[case::another_name(
    "cmd:sh -c 'cp -r {folder} {folder}-too && {folder}-too/kconform-agent --scratch {folder}/scratch; rm -r {folder}-too' {agent}"
)]
fn cases_run_by_a_command_as_they_do_natively(#[case] target: &str) {
    let place = Place::with(CASES);
    let said = place.say(&["run", "--target", target]).assert_status(1);
    assert_eq!(counted(&said, target), "1 passed, 2 failed", "{}", said.all());
    assert!(said.out.contains("killed by SIGKILL"), "{}", said.all());
}

/// The library's own example.
#[test]
fn the_cases_of_the_example_agree_with_native() {
    let place = Place::new();
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../example/cases");
    let run = ["run", "--cases", &cases.display().to_string(), "--target", "native,cmd:env -i {agent}"];
    let said = place.say(&run).assert_status(0);
    assert_eq!(counted(&said, "native"), counted(&said, "cmd:env -i {agent}"), "{}", said.all());
}

#[rstest]
#[case::no_agent("no_agent", "cmd:runsc do")]
#[case::nothing("nothing", "native,cmd:")]
#[case::quote("quote", "cmd:sh -c 'exec {agent}")]
#[case::arch("arch", "cmd:arch=riscv46 qemu-riscv64-static {agent}")]
#[case::control("control", "cmd:x\u{1b}[1m {agent}")]
fn a_command_that_is_none_is_a_mistake(#[case] name: &str, #[case] target: &str) {
    let said = Place::with(ONE).say(&["run", "--target", target]).assert_status(2);
    assert_said!(format!("command_{name}"), said);
}

#[rstest]
#[case::no_program("no_program", "cmd:/no/such/program {agent}")]
#[case::ends("ends", "cmd:sh -c 'echo no such box >&2; exit 1' {agent}")]
#[case::greets("greets", "cmd:sh -c 'echo Welcome, you; exec {agent}'")]
#[case::garbles("garbles", "cmd:sh -c 'printf \"\\\\001\\\\002\\\\377\\\\377\"; exec {agent}'")]
fn a_command_that_starts_no_agent_is_lost(#[case] name: &str, #[case] target: &str) {
    let said = Place::with(ONE).say(&["run", "--target", target]).assert_status(3);
    assert_said!(format!("command_{name}"), said);
}

/// The case sleeps when the command ends its agent, or writes between its words.
#[rstest]
#[case::killed("exec timeout -s KILL 3 {agent}", "sh ended (signal: 9 (SIGKILL))")]
#[case::stopped(
    "{agent} | { exec 3<&0; cat <&3 & sleep 3; kill -9 $!; echo the box is full >&2; exit 4; }",
    "the box is full"
)]
#[case::garbled("exec 3<&0; {agent} <&3 & sleep 3; echo rubbish from elsewhere; wait", "rubbish")]
fn an_agent_that_a_command_ends_costs_the_cases_that_run(#[case] script: &str, #[case] reason: &str) {
    let sleeps = "cases:\n  - {name: sleeps, timeout: 9, steps: [{ppoll: [null, 0, {list: [{u64: 8}, {u64: 0}]}, null]}]}\n";
    let target = format!("cmd:sh -c '{script}'");
    let said = Place::with(sleeps).say(&["run", "--target", &target]).assert_status(3);
    assert_eq!(counted(&said, &target), "0 passed, 1 lost", "{}", said.all());
    assert!(said.out.contains(reason), "{}", said.all());
}
