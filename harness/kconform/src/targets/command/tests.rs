//! What is told of commands that start no agent, or end it.

#![allow(clippy::unwrap_used)]

use super::*;

const SHORT: Duration = Duration::from_millis(700);

fn taken(line: &str) -> String {
    match line.parse::<Launcher>() {
        Ok(launcher) => {
            assert!(line.starts_with(ARCH) || launcher.arch().name() == std::env::consts::ARCH);
            let words = launcher.words_in(Path::new("/tmp/a b"));
            format!(
                "{} {words:?}; {}",
                if line.starts_with(ARCH) { launcher.arch().name() } else { "ours" },
                launcher.trial()
            )
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_command_line_is_split_as_a_shell_would() {
    let lines = [
        "{agent}",
        "runsc --network=none do {agent}",
        "arch=riscv64 qemu-riscv64-static {agent}",
        "docker run -v {folder}:{folder} -i 'my box' {agent}",
        "sh -c 'exec {agent} 2>/dev/null'",
        "x $HOME * {agent}",
        "",
        "arch=riscv64",
        "runsc do",
        "arch=riscv46 x {agent}",
        "arch=toaster x {agent}",
        "sh -c 'x {agent}",
        "x {agent} \u{1b}[1m",
    ];
    let all: Vec<_> = lines.iter().map(|line| format!("{line:?}: {}", taken(line))).collect();
    insta::assert_snapshot!(all.join("\n"));
}

fn told(line: &str) -> String {
    let launcher: Launcher = line.parse().unwrap();
    let told = launcher.open_within(SHORT).err().map_or("it works".into(), |unusable| unusable.to_string());
    let begin = told.find("/tmp/kconform-command-").or_else(|| told.find("kconform-command-"));
    let Some(begin) = begin else { return told };
    let name =
        told[begin..].split(['/', ' ', ',', ':', '\'']).find(|part| part.starts_with("kconform-command-"));
    told.replace(&*crate::folder::temporary().join(name.unwrap()).to_string_lossy(), "[folder]")
}

#[test]
fn why_there_is_no_agent_is_told_with_what_mends_it() {
    let lines = [
        "/no/such/program {agent}",
        "sh -c 'exit 3' {agent}",
        "sh -c 'echo no such box >&2; exit 1' {agent}",
        "sh -c 'echo sh: no such file >&2; exit 127' {agent}",
        "sh -c 'exit 126' {agent}",
        "sh -c 'echo Exec format error >&2; exit 1' {agent}",
        "sh -c 'echo Welcome to the box; sleep 60' {agent}",
        "sh -c 'echo Welcome; exec {agent}'",
        "sh -c 'kill -KILL $$' {agent}",
        "sh -c 'sleep 60' {agent}",
        "setarch linux32 {agent}",
    ];
    let all: Vec<_> = lines.iter().map(|line| format!("{line}\n    {}", told(line))).collect();
    insta::assert_snapshot!(all.join("\n"));
}

/// A command whose children would outlive it.
#[test]
fn what_a_command_has_started_ends_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let pid = folder.path().join("pid");
    let line = format!("sh -c 'sleep 1000 & echo $! >{}; wait' {{agent}}", pid.display());
    assert!(told(&line).contains("has been silent"));
    let pid = fs::read_to_string(pid).unwrap();
    let state = fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    assert!(state.as_ref().map_or(true, |stat| stat.contains(") Z ")), "{state:?}");
}

#[test]
fn the_machine_must_be_of_the_architecture_that_was_said() {
    assert_eq!(reason::check_arch(Arch::Riscv64, "riscv64"), Ok(()));
    let told = ["x86_64", "pdp11"]
        .map(|machine| reason::check_arch(Arch::Riscv64, machine).unwrap_err().to_string());
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn an_agent_that_gives_up_is_told() {
    let launcher: Launcher = "x {agent}".parse().unwrap();
    let broken = super::super::Broken::Agent("/tmp/x/scratch: errno 30".into());
    let told = reason::of_start(&launcher, Path::new("/tmp/x"), "", &broken, &LastWords::default());
    insta::assert_snapshot!(told.to_string());
}
