//! A board, or any machine, over ssh: the agent for its architecture is copied there, runs with ssh's own streams, and is
//! removed when it ends.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use super::child;
use super::guest::agent_for;
use super::session::{Keeper, LastWords, Link};
use super::{Opened, Session, Unusable};
use crate::folder;
use crate::kernel::Kernel;

/// Slower machines than this one, and the network between.
pub(super) const TIME_FACTOR: f64 = 3.0;

/// How long a board may take to start the agent.
const PATIENCE: Duration = Duration::from_secs(60);

/// Makes a folder, takes the agent from standard input, and says where the folder is.
const COPY: &str = "umask 077 && d=$(mktemp -d \"${TMPDIR:-/tmp}/kconform-XXXXXX\") && mkdir -m 777 \"$d/scratch\" && chmod 755 \"$d\" \
                    && cat >\"$d/kconform-agent\" && chmod 755 \"$d/kconform-agent\" && echo \"$d\"";

/// Whether ssh is there; the board is not asked yet.
pub(super) fn ready() -> Result<(), Unusable> {
    match command().arg("-V").stdin(Stdio::null()).output() {
        Ok(_) => Ok(()),
        Err(error) => Err(no_ssh(&error)),
    }
}

fn no_ssh(error: &io::Error) -> Unusable {
    let program = command().get_program().to_string_lossy().into_owned();
    let mend = match program.as_str() {
        "ssh" => "install openssh-client",
        _ => "set KCONFORM_SSH to the ssh that is to be used, or leave it unset",
    };
    let what = format!("{program} cannot be run: {error}");
    Unusable { what, mend: Some(mend.into()), not_set_up: true }
}

/// Starts an agent there.
pub(super) fn open(destination: &str) -> Result<Opened, Unusable> {
    let machine = ask(destination, "uname -m", &[])?;
    let arch = super::arch_of(machine.trim()).map_err(|what| Unusable {
        what: format!("{destination}: {what}"),
        mend: None,
        not_set_up: false,
    })?;
    let agent = agent_for(arch)?;
    let agent = std::fs::read(&agent)
        .map_err(|error| failed(destination, format!("{}: {error}", agent.display())))?;
    let folder = ask(destination, COPY, &agent)?;
    let folder = folder.trim();
    let link = start(destination, folder).map_err(|error| failed(destination, error.to_string()))?;
    let session = Session::open(link, PATIENCE, TIME_FACTOR)
        .map_err(|(broken, words)| failed(destination, words.after(&broken)))?;
    let config = session.facts().config.as_deref().and_then(super::config_text);
    let kernel = Kernel::new(arch, session.facts(), config, false);
    Ok(Opened { session, kernel, remark: Some(format!("over ssh to {destination}")) })
}

/// The ssh to use: `KCONFORM_SSH`, words separated by spaces, else `ssh`. Never asks for anything.
fn command() -> Command {
    let words = std::env::var("KCONFORM_SSH").unwrap_or_else(|_| "ssh".into());
    let mut words = words.split_whitespace().map(OsString::from);
    let mut command = Command::new(words.next().unwrap_or_else(|| "ssh".into()));
    command.args(words).args(["-o", "BatchMode=yes", "-o", "ConnectTimeout=10"]);
    command
}

fn remote(destination: &str, script: &str) -> Command {
    let mut command = command();
    command.args(["-T", "--", destination, script]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a script there to its end; what it printed.
fn ask(destination: &str, script: &str, input: &[u8]) -> Result<String, Unusable> {
    let run = || -> io::Result<Output> {
        let mut child = remote(destination, script).spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // A board that does not take it says why when it ends.
            let _ = stdin.write_all(input);
        }
        child.wait_with_output()
    };
    let output = run().map_err(|error| no_ssh(&error))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(failed(destination, format!("{} ({})", said.trim(), output.status)))
}

fn start(destination: &str, folder: &str) -> io::Result<Link> {
    let quoted = format!("'{}'", folder.replace('\'', r"'\''"));
    let script = format!(
        "{quoted}/kconform-agent --scratch {quoted}/scratch; status=$?; rm -rf {quoted} || status={NOT_REMOVED}; exit $status"
    );
    let mut child = remote(destination, &script).spawn()?;
    let missing = || io::Error::from(io::ErrorKind::BrokenPipe);
    let (stdin, stdout) = (child.stdin.take().ok_or_else(missing)?, child.stdout.take().ok_or_else(missing)?);
    Ok(Link {
        reader: Box::new(stdout),
        writer: Box::new(stdin),
        keeper: Box::new(Board { child, folder: format!("{destination}:{folder}") }),
        serial: false,
    })
}

fn failed(destination: &str, what: String) -> Unusable {
    let has_port = |(_, port): (&str, &str)| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let mend = match destination.split_once(':').is_some_and(has_port) {
        // ssh takes all of it for the host's name.
        true => Some(format!("a port is written ssh://{destination}")),
        false => Some(format!("make `ssh {destination} uname -m` work without a question")),
    };
    Unusable { what: format!("{destination}: {what}"), mend, not_set_up: false }
}

/// How long ssh may take to end when its stream has: what it says of that is then there to be told.
const SSH_ENDS: Duration = Duration::from_secs(2);

/// How long a board may take to end the agent and to remove its folder.
const BOARD_CLEARED: Duration = Duration::from_secs(5);

/// ssh(1), EXIT STATUS: an error of its own.
const SSH_FAILED: i32 = 255;

/// How the shell there ends when it could not remove the folder: no status of the agent's, of ssh's or of a signal.
const NOT_REMOVED: i32 = 97;

struct Board {
    child: Child,
    /// Where it was put.
    folder: String,
}

impl Keeper for Board {
    fn last_words(&mut self) -> LastWords {
        let mut said = String::new();
        let mut outside = false;
        let what = match child::ended_within(&mut self.child, SSH_ENDS) {
            Some(status) => {
                if let Some(stderr) = &mut self.child.stderr {
                    // What cannot be read is not there to be told.
                    let _ = stderr.read_to_string(&mut said);
                }
                // What ssh(1) exits with when the connection itself fails.
                outside = status.code() == Some(SSH_FAILED);
                format!("ssh ended ({status})")
            }
            None => "ssh is still there, but silent".into(),
        };
        let console = said.lines().map(str::to_owned).collect();
        LastWords { what, console, outside, ..LastWords::default() }
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        // The agent has been told to quit; the shell there then removes its folder.
        child::end(&mut self.child, BOARD_CLEARED);
        if self.child.wait().is_ok_and(|status| status.code() == Some(NOT_REMOVED)) {
            folder::could_not_remove(self.folder.clone());
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_port_without_slashes_hints_at_them() {
        let mend = |destination: &str| failed(destination, "gone".into()).mend.unwrap();
        assert_eq!(mend("me@host:22"), "a port is written ssh://me@host:22");
        for right in ["host", "ssh://host:22", "host:"] {
            assert_eq!(mend(right), format!("make `ssh {right} uname -m` work without a question"));
        }
    }

    #[test]
    fn a_board_that_says_nothing_is_told_from_one_that_is_gone() {
        let last_words = |script: &str| {
            let mut command = Command::new("sh");
            let child = command.args(["-c", script]).stdin(Stdio::piped()).stderr(Stdio::piped());
            let mut board = Board { child: child.spawn().unwrap(), folder: "board:/tmp/x".into() };
            if script.starts_with("echo") {
                let pid = rustix::process::Pid::from_child(&board.child);
                let options = rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
                rustix::process::waitid(rustix::process::WaitId::Pid(pid), options).unwrap();
            }
            let LastWords { what, console, .. } = board.last_words();
            drop(board.child.stdin.take());
            [vec![what], console].concat().join("\n    ")
        };
        let scripts = ["echo 'Connection to board closed by remote host.' >&2; exit 255", "read word"];
        insta::assert_snapshot!(scripts.map(last_words).join("\n"));
    }
}
