//! Why a command has started no agent, and what to do about it.

use std::io;
use std::path::Path;

use kconform_abi::Arch;

use super::Launcher;
use crate::targets::piped::in_one_line;
use crate::targets::session::{Broken, LastWords};
use crate::targets::{Unusable, arch_of};

fn unusable(what: String, mend: impl Into<String>) -> Unusable {
    Unusable { what, mend: Some(mend.into()), not_set_up: false }
}

/// Why a command could not be started.
pub(super) fn of_spawn(program: &str, error: &io::Error) -> Unusable {
    let mend = format!("install {program}, or give the path of a program that may be run");
    unusable(format!("{program} cannot be run: {error}"), mend)
}

/// Why the agent of a command that was started did not begin; `folder` is where the agent is, `first` the text that came in
/// its place.
pub(super) fn of_start(
    launcher: &Launcher,
    folder: &Path,
    first: &str,
    broken: &Broken,
    words: &LastWords,
) -> Unusable {
    let said = in_one_line(words.console.iter().map(String::as_str));
    let behind = if said.is_empty() { String::new() } else { format!(": {said}") };
    let what = format!("{}{behind}", words.after(broken));
    let trial = launcher.trial();
    match broken {
        Broken::Interrupted => Unusable { what: "interrupted".into(), mend: None, not_set_up: false },
        Broken::Agent(_) => {
            unusable(what, format!("let the agent have what it names: it writes to {}", folder.display()))
        }
        Broken::Stale(_) | Broken::OutOfTurn(_) => Unusable { what, mend: None, not_set_up: false },
        _ if !first.is_empty() => unusable(
            format!(
                "it is not the agent that speaks, but text comes: {:?}{behind}",
                in_one_line(first.lines())
            ),
            "have nothing but the agent use the command's standard output, without a terminal (docker exec -i, not -it)",
        ),
        Broken::Silent(_) => unusable(what, format!("see where this hangs: {trial}")),
        Broken::Stream(_)
            if ["Exec format error", "Invalid ELF image"].iter().any(|text| said.contains(text)) =>
        {
            unusable(what, "say the architecture of what the command starts first: cmd:arch=riscv64 COMMAND")
        }
        Broken::Stream(_) if said.to_lowercase().contains("no such file") || is_of_a_shell(&words.what) => {
            unusable(
                what,
                format!(
                    "let {} be seen there under this path ({{folder}} in the command), and programs be run in it; or set TMPDIR to another folder",
                    folder.display()
                ),
            )
        }
        Broken::Stream(_) => unusable(what, format!("make this work: {trial}")),
    }
}

/// How a shell, env(1) and the like end that may not run a program (126), or find none (127).
fn is_of_a_shell(what: &str) -> bool {
    ["126", "127"].iter().any(|status| what.ends_with(&format!("(exit status: {status})")))
}

/// Whether an agent runs on a machine of the architecture that the command says.
pub(super) fn check_arch(wanted: Arch, machine: &str) -> Result<(), Unusable> {
    let told = |what| Unusable { what, mend: None, not_set_up: false };
    let arch = arch_of(machine).map_err(told)?;
    match arch == wanted {
        true => Ok(()),
        false => Err(unusable(
            format!(
                "its machine is {arch}, and the agent is that for {wanted}",
                arch = arch.name(),
                wanted = wanted.name()
            ),
            format!("say its architecture first: cmd:arch={} COMMAND", arch.name()),
        )),
    }
}
