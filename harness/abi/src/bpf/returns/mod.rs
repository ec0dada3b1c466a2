//! The errnos that each command of bpf(2) can return on purpose, up to Linux 6.12, and the kernel functions that do.
//!
//! Read out of kernel/bpf/syscall.c and what it calls for each map type, program type, link type and iterator. A pair of
//! command and errno is one row, however many places there are; `from` names the places, the one nearest to the system
//! call first. What comes from elsewhere is left out: an LSM or lockdown (`security_bpf`), and ENFILE of the file table.
//! A pair that a case cannot have says why not.

mod links;
mod maps;
mod objects;
mod programs;

/// An errno that a command can return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Return {
    /// `EINVAL`.
    pub errno: &'static str,
    /// Functions of the kernel, separated by commas.
    pub from: &'static str,
    /// Why no case can have it; `None` where a case can.
    pub beyond: Option<&'static str>,
}

/// The errnos of one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Returns {
    /// `BPF_MAP_CREATE`.
    pub command: &'static str,
    /// What it can return, by the errno's name.
    pub errnos: &'static [Return],
}

/// The errnos of all commands that Linux 6.12 has, in the order of the commands' numbers.
pub fn returns() -> impl Iterator<Item = &'static Returns> {
    let tables = [maps::RETURNS, programs::RETURNS, objects::RETURNS, links::RETURNS];
    super::commands()
        .filter_map(move |command| tables.iter().copied().flatten().find(|row| row.command == command.name))
}

/// An allocation fails, which nothing but fault injection does at will.
const MEMORY: &str = "an allocation must fail, which takes fault injection";
/// An ID is 31 bits wide.
const IDS_USED_UP: &str = "2^31 objects must be alive";
/// Devices that run programs.
const OFFLOAD: &str = "a network device must go away that maps or programs were offloaded to";
/// An object found on its way in or out.
const RACE: &str = "two threads must meet within a few instructions";
/// A case would be harmful on a kernel that the suite runs on.
const LEFT_OUT: &str = "left out on purpose, see docs/kernel-bugs.md";

const fn can(errno: &'static str, from: &'static str) -> Return {
    Return { errno, from, beyond: None }
}

const fn cannot(errno: &'static str, from: &'static str, why: &'static str) -> Return {
    Return { errno, from, beyond: Some(why) }
}

const fn of(command: &'static str, errnos: &'static [Return]) -> Returns {
    Returns { command, errnos }
}
