//! A board, or any machine, over ssh: the agent for its architecture is copied there, runs with ssh's own streams, and is
//! removed when it ends.

mod greeted;
mod reason;
mod stage;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::io;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::child;
use super::guest::agent_for;
use super::piped::Piped;
use super::session::{Broken, Keeper, LastWords, Link};
use super::{Opened, Session, Unusable};
use crate::folder;
use crate::guest::Watch;
use crate::kernel::Kernel;
use greeted::{BEGINS, Greeted};
use reason::{NO_FOLDER, Stage};
use stage::SAYS;

/// Slower machines than this one, and the network between.
pub(super) const TIME_FACTOR: f64 = 3.0;

/// How long each stage may take.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// To log in and say what machine it is. Servers may ask a name server that is gone, or hash for seconds on a slow CPU.
    ask: Duration,
    /// To take more of the agent, of which ssh holds 2 MiB back: over a slow line those take their time.
    copy: Duration,
    /// To start the agent.
    start: Duration,
    /// To remove what was brought there.
    clear: Duration,
}

const PATIENCE: Patience = Patience {
    ask: Duration::from_secs(45),
    copy: Duration::from_secs(120),
    start: Duration::from_secs(60),
    clear: Duration::from_secs(15),
};

/// Asks what machine it is. As all of these it is a single line without an exclamation mark, for csh.
const MACHINE: &str = "m=$(uname -m) || exit; echo; echo \"{SAYS}$m\"";

/// Makes a folder that programs can be run from and every user can come to, takes the agent of `$1` bytes from standard input,
/// and says where the folder is. If the connection ends before all is there, or before that is said, the folder goes.
const COPY: &str = "umask 077; trap \"\" PIPE; for p in \"${TMPDIR:-/tmp}\" /tmp /var/tmp /dev/shm /run; do \
                    d=$(mktemp -d \"$p/kconform-XXXXXX\") || continue; a=\"$d/kconform-agent\"; \
                    if mkdir -m 777 \"$d/scratch\" && chmod 755 \"$d\" && printf \"#\\041/bin/sh\\n\" >\"$a\" && chmod 755 \"$a\" && \"$a\"; \
                    then if cat >\"$a\" && test $(wc -c <\"$a\") -eq $1 && echo && echo \"{SAYS}$d\"; then exit; fi; \
                    rm -rf \"$d\"; exit 1; fi; \
                    rm -rf \"$d\"; done; exit {NO_FOLDER}";

/// Runs the agent that is in the folder `$1`, and removes that.
const RUN: &str = "echo; echo \"{BEGINS}\"; \"$1/kconform-agent\" --scratch \"$1/scratch\"; status=$?; \
                   rm -rf \"$1\" || status={NOT_REMOVED}; exit $status";

/// Removes the folder `$1`, where a connection ended before [`RUN`] could do so.
const CLEAR: &str = "rm -rf \"$1\" && echo && echo \"{SAYS}gone\"";

/// Whether ssh is there; the board is not asked yet.
pub(super) fn ready() -> Result<(), Unusable> {
    match Host::new("").command().arg("-V").stdin(Stdio::null()).output() {
        Ok(_) => Ok(()),
        Err(error) => Err(Host::new("").no_ssh(&error)),
    }
}

/// Starts an agent there.
pub(super) fn open(destination: &str) -> Result<Opened, Unusable> {
    let host = Host::new(destination);
    let machine = host.ask(Stage::Ask, MACHINE, &[], &[])?;
    let failed =
        |what: String| Unusable { what: format!("{destination}: {what}"), mend: None, not_set_up: false };
    let arch = super::arch_of(&machine).map_err(failed)?;
    let agent = agent_for(arch)?;
    let agent = std::fs::read(&agent).map_err(|error| failed(format!("{}: {error}", agent.display())))?;
    let folder = host.ask(Stage::Copy, COPY, &[&agent.len().to_string()], &agent)?;
    let session = host.start(&folder)?;
    let config = session.facts().config.as_deref().and_then(super::config_text);
    let kernel = Kernel::new(arch, session.facts(), config, false);
    Ok(Opened { session, kernel, remark: Some(format!("over ssh to {destination}")) })
}

/// A machine to reach, and how.
#[derive(Clone)]
struct Host {
    destination: String,
    /// The ssh to use, and its first words.
    program: Vec<OsString>,
    patience: Patience,
}

impl Host {
    /// By `KCONFORM_SSH`, words separated by spaces, else `ssh`.
    fn new(destination: &str) -> Host {
        let words = std::env::var("KCONFORM_SSH").unwrap_or_default();
        let mut program: Vec<_> = words.split_whitespace().map(OsString::from).collect();
        if program.is_empty() {
            program.push("ssh".into());
        }
        Host { destination: destination.to_owned(), program, patience: PATIENCE }
    }

    /// It never asks for anything. A connection that others share is used where it is there, and none is left for them: the
    /// process that keeps it would keep our streams, too.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program[0]);
        command.args(&self.program[1..]);
        command.args(["-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ControlMaster=no"]);
        command
    }

    fn no_ssh(&self, error: &io::Error) -> Unusable {
        let program = self.program[0].to_string_lossy();
        let mend = match &*program {
            "ssh" => "install openssh-client",
            _ => "set KCONFORM_SSH to the ssh that is to be used, or leave it unset",
        };
        let what = format!("{program} cannot be run: {error}");
        Unusable { what, mend: Some(mend.into()), not_set_up: true }
    }

    /// A script for the shell there, of which only is expected that it starts sh; with the script's arguments.
    fn remote(&self, script: &str, arguments: &[&str]) -> Command {
        let script = script.replace("{SAYS}", SAYS).replace("{BEGINS}", BEGINS);
        let script = script.replace("{NO_FOLDER}", &NO_FOLDER.to_string());
        let script = script.replace("{NOT_REMOVED}", &NOT_REMOVED.to_string());
        let words = [script.as_str(), "kconform"].into_iter().chain(arguments.iter().copied()).map(quoted);
        let mut command = self.command();
        let line = format!("sh -c {}", words.collect::<Vec<_>>().join(" "));
        command.args(["-T", "--", &self.destination, &line]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a script there to its end; what it said.
    fn ask(&self, stage: Stage, script: &str, arguments: &[&str], input: &[u8]) -> Result<String, Unusable> {
        let patience = match stage {
            Stage::Ask => self.patience.ask,
            Stage::Copy => self.patience.copy,
        };
        let ended = stage::run(self.remote(script, arguments), input, patience)
            .map_err(|error| self.no_ssh(&error))?;
        match ended.answer() {
            Some(answer) => Ok(answer.trim().to_owned()),
            None => Err(reason::of_stage(&self.destination, stage, &ended)),
        }
    }

    /// Starts the agent that was brought to a folder.
    fn start(&self, folder: &str) -> Result<Session, Unusable> {
        let link = self.link(folder).map_err(|error| self.no_ssh(&error))?;
        Session::open(link, self.patience.start, TIME_FACTOR)
            .map_err(|(broken, words)| reason::of_start(&self.destination, folder, &broken, &words))
    }

    fn link(&self, folder: &str) -> io::Result<Link> {
        let (ssh, stdout, writer) = Piped::new(self.remote(RUN, &[folder]).spawn()?, "ssh")?;
        Ok(Link {
            reader: Box::new(Greeted::new(stdout)),
            writer,
            keeper: Box::new(Board { ssh, host: self.clone(), folder: folder.to_owned() }),
            serial: false,
        })
    }
}

/// A word as every shell reads it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// How long a board may take to end the agent and to remove its folder.
const BOARD_CLEARED: Duration = Duration::from_secs(5);

/// ssh(1), EXIT STATUS: an error of its own.
const SSH_FAILED: i32 = 255;

/// How the shell there ends when it could not remove the folder: no status of the agent's, of ssh's or of a signal.
const NOT_REMOVED: i32 = 97;

struct Board {
    ssh: Piped,
    host: Host,
    /// Where the agent was put.
    folder: String,
}

impl Board {
    /// Removes the folder over a connection of its own; whether that is known to be done.
    fn clear(&self) -> bool {
        let script = self.host.remote(CLEAR, &[&self.folder]);
        stage::run(script, &[], self.host.patience.clear).is_ok_and(|ended| ended.answer().is_some())
    }
}

impl Keeper for Board {
    fn last_words(&mut self) -> LastWords {
        // What ssh(1) exits with when the connection itself fails.
        self.ssh.last_words(|status| status.code() == Some(SSH_FAILED))
    }

    fn watch(&self) -> Option<Watch> {
        Some(Watch::of_process(self.ssh.child.id()))
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        // The agent has been told to quit; the shell there then removes its folder.
        child::end(&mut self.ssh.child, BOARD_CLEARED);
        let gone = match self.ssh.child.wait().ok().and_then(|status| status.code()) {
            Some(NOT_REMOVED) => false,
            // The connection failed, or ssh had to be killed: the shell there may never have begun.
            Some(SSH_FAILED) | None => self.clear(),
            Some(_) => true,
        };
        if !gone {
            folder::could_not_remove(format!("{}:{}", self.host.destination, self.folder));
        }
    }
}
