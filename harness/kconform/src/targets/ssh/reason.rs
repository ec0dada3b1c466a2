//! Why a machine over ssh cannot be used, and what to do about it: of each stage on the way in words of its own.

use std::process::ExitStatus;

use super::greeted::ENDLESS;
use super::stage::{End, Ended};
use super::{Broken, LastWords, SSH_FAILED, Unusable};
use crate::targets::piped::in_one_line;

/// How the script that brings the agent ends where there is no folder for it.
pub(super) const NO_FOLDER: i32 = 98;

/// How a shell ends that may not run a program (126), or finds none (127): POSIX, Shell Command Language, 2.8.2.
const NOT_RUN: i32 = 126;
const NOT_FOUND: i32 = 127;

/// What is done there, in this order; then cases run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Logging in, and asking what machine it is.
    Ask,
    /// Making a folder, and writing the agent to it.
    Copy,
}

/// What ssh itself complains of, in its own words, and what mends it; the first that fits counts. `{dest}` and `{host}` are filled in.
const OF_SSH: &[(&str, &str)] = &[
    (
        "Host key verification failed",
        "run `ssh {dest}` once and accept its key; one that has changed is forgotten by ssh-keygen -R {host}",
    ),
    (
        "Too many authentication failures",
        "say which key is meant: IdentityFile and IdentitiesOnly in ~/.ssh/config",
    ),
    (
        "Permission denied",
        "let a key in without a question: ssh-copy-id {dest} (ssh-agent holds those with a passphrase)",
    ),
    ("Could not resolve hostname", "check the name, or give its address (HostName in ~/.ssh/config)"),
    ("Connection refused", "start sshd there, or say its port: ssh://{host}:PORT"),
    ("No route to host", "see that it is switched on and in the network: ping {host}"),
    ("timed out", "see that it is switched on and in the network: ping {host}"),
    ("Network is unreachable", "see that it is switched on and in the network: ping {host}"),
    (
        "Connection closed",
        "see why in sshd's log there: an account that may not log in, MaxStartups, a firewall",
    ),
    (
        "closed by remote host",
        "see why in sshd's log there: an account that may not log in, MaxStartups, a firewall",
    ),
    (
        "Connection reset",
        "see why in sshd's log there: an account that may not log in, MaxStartups, a firewall",
    ),
    ("Bad configuration option", "mend the configuration of ssh: ssh_config(5)"),
    ("Bad owner or permissions", "mend the configuration of ssh: ssh_config(5)"),
];

/// Why a stage failed.
pub(super) fn of_stage(destination: &str, stage: Stage, ended: &Ended) -> Unusable {
    let said = ended.said();
    let behind = if said.is_empty() { String::new() } else { format!(": {said}") };
    let status = match &ended.end {
        End::Interrupted => return Unusable { what: "interrupted".into(), mend: None, not_set_up: false },
        End::Silent(waited) => {
            let waited = format!("{} s", waited.as_secs_f64());
            let (what, mend) = match stage {
                Stage::Ask => (
                    format!("`uname -m` has not answered in {waited}{behind}"),
                    "see where `ssh {dest} uname -m` hangs: a start-up file of its shell, a mount, its disk",
                ),
                Stage::Copy => (
                    format!("it has taken nothing more of the agent in {waited}{behind}"),
                    "see where `ssh {dest} mktemp -d` hangs: its disk, the network",
                ),
            };
            return unusable(destination, what, mend);
        }
        End::Exited(status) => *status,
    };
    if status.code() == Some(SSH_FAILED) {
        return of_ssh(destination, &said, status);
    }
    let (what, mend) = match (stage, status.code()) {
        (_, Some(NOT_FOUND)) => (
            format!("a program is missing there{behind} ({status})"),
            "install what the agent is brought with: sh, uname, mktemp, mkdir, chmod, cat, wc, rm (busybox has them)",
        ),
        (Stage::Ask, _) => (
            match said.is_empty() {
                true => format!("its shell runs no command, and says nothing of it ({status})"),
                false => format!("its shell runs no command, but says{behind} ({status})"),
            },
            "give the account a shell (chsh -s /bin/sh), or log in as another: ssh:USER@{host}",
        ),
        (Stage::Copy, Some(NO_FOLDER)) => (
            format!("no folder there takes a program{behind}"),
            "let one of them take programs (mounted neither read-only nor noexec), or set TMPDIR there to another",
        ),
        (Stage::Copy, _) => (
            format!("the agent could not be written there{behind} ({status})"),
            match said.contains("No space") || said.contains("quota") {
                true => "make room there, or set TMPDIR there to a folder that has some",
                false => "see what `ssh {dest} mktemp -d` says",
            },
        ),
    };
    unusable(destination, what, mend)
}

/// Why an agent that was brought there did not begin.
pub(super) fn of_start(destination: &str, folder: &str, broken: &Broken, words: &LastWords) -> Unusable {
    let said = in_one_line(words.console.iter().map(String::as_str));
    let behind = if said.is_empty() { String::new() } else { format!(": {said}") };
    let (what, mend) = match (broken, words.what.as_str()) {
        (Broken::Interrupted, _) => {
            return Unusable { what: "interrupted".into(), mend: None, not_set_up: false };
        }
        (Broken::Stale(_) | Broken::Agent(_) | Broken::OutOfTurn(_), _) => {
            return Unusable {
                what: format!("{destination}: {}", words.after(broken)),
                mend: None,
                not_set_up: false,
            };
        }
        (Broken::Silent(_), _) => (
            format!("{}{behind}", words.after(broken)),
            "see whether it lives, and what it is busy with: ssh {dest} uptime",
        ),
        (_, what) if words.outside => {
            let status = what.trim_start_matches("ssh ended ");
            return of_said(destination, &said, status);
        }
        (_, what) if what.contains(&format!("exit status: {NOT_RUN})")) => (
            format!("the agent may not be run in {folder}{behind} ({what})"),
            "let programs be run there (noexec, SELinux, an appliance's policy), or set TMPDIR there to another folder",
        ),
        _ if broken.to_string().contains(ENDLESS) => {
            (broken.to_string(), "have its shell's start-up files print less: ssh {dest} true")
        }
        _ => (format!("{}{behind}", words.after(broken)), "see what its kernel's log says: ssh {dest} dmesg"),
    };
    unusable(destination, what, mend)
}

/// Why ssh itself failed.
fn of_ssh(destination: &str, said: &str, status: ExitStatus) -> Unusable {
    of_said(destination, said, &format!("({status})"))
}

fn of_said(destination: &str, said: &str, status: &str) -> Unusable {
    let known = OF_SSH.iter().find(|(words, _)| said.contains(words)).map(|(_, mend)| *mend);
    let what = if said.is_empty() { format!("ssh failed {status}") } else { format!("{said} {status}") };
    unusable(destination, what, known.unwrap_or("make `ssh {dest} uname -m` work without a question"))
}

fn unusable(destination: &str, what: String, mend: &str) -> Unusable {
    let has_port = |(_, port): (&str, &str)| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let mend = match destination.split_once(':').is_some_and(has_port) {
        // ssh takes all of it for the host's name.
        true => format!("a port is written ssh://{destination}"),
        false => mend.replace("{dest}", destination).replace("{host}", host(destination)),
    };
    Unusable { what: format!("{destination}: {what}"), mend: Some(mend), not_set_up: false }
}

/// The host's name in a destination: `ssh://user@host:port`, `user@host`.
fn host(destination: &str) -> &str {
    let rest = destination.strip_prefix("ssh://").unwrap_or(destination);
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    match host.strip_prefix('[').and_then(|address| address.split_once(']')) {
        Some((address, _)) => address,
        None => host.rsplit_once(':').map_or(host, |(host, _)| host),
    }
}
