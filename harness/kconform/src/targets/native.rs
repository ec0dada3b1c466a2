//! The kernel that kconform itself runs on: the agent is a child process.

use std::io;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::child;
use super::session::{Keeper, LastWords, Link};
use crate::folder::Folder;
use crate::guest::Watch;

/// The static agent for this machine, built with kconform.
pub const AGENT: &[u8] = include_bytes!(env!("KCONFORM_AGENT"));

/// What the names of such folders begin with.
const PREFIX: &str = "kconform-native-";

struct Native {
    child: Child,
    stream: UnixStream,
    // Holds the agent's binary and the folder in which cases run; removed with it.
    _folder: Folder,
}

/// Starts an agent on this kernel.
pub(super) fn start() -> io::Result<Link> {
    let folder = Folder::new(PREFIX)?;
    if folder.path().to_str().is_none() {
        return Err(io::Error::other("its path is not UTF-8"));
    }
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o700))?;
    let agent = folder.path().join("kconform-agent");
    std::fs::write(&agent, AGENT)?;
    std::fs::set_permissions(&agent, PermissionsExt::from_mode(0o755))?;
    let scratch = folder.path().join("scratch");
    std::fs::create_dir(&scratch)?;
    std::fs::set_permissions(&scratch, PermissionsExt::from_mode(0o777))?;
    let (ours, theirs) = UnixStream::pair()?;
    let mut command = Command::new(&agent);
    command.arg("--scratch").arg(&scratch).env_clear().stdin(Stdio::from(OwnedFd::from(theirs)));
    let child = spawn(command.stdout(Stdio::null()).stderr(Stdio::null()))?;
    // The agent's end of the pair is the agent's alone.
    drop(command);
    let stream = ours.try_clone()?;
    Ok(Link {
        reader: Box::new(ours.try_clone()?),
        writer: Box::new(ours),
        keeper: Box::new(Native { child, stream, _folder: folder }),
        serial: false,
    })
}

/// Starts a program that was just written. A thread that forks meanwhile may have it open for writing until its own child
/// execs, and execve(2) refuses it so long (ETXTBSY).
pub(super) fn spawn(command: &mut Command) -> io::Result<Child> {
    for _ in 0..BUSY {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => std::thread::sleep(PAUSE),
            done => return done,
        }
    }
    command.spawn()
}

/// How often a program that is busy is tried again, and after how long.
const BUSY: u32 = 500;
const PAUSE: Duration = Duration::from_millis(2);

/// How long the agent may take to end when its stream has.
const AGENT_ENDS: Duration = Duration::from_secs(1);

impl Keeper for Native {
    fn last_words(&mut self) -> LastWords {
        let what = match self.child.try_wait() {
            Ok(Some(status)) => match status.code() {
                Some(code) => format!("the agent exited with status {code}"),
                None => {
                    let name = status.signal().and_then(kconform_abi::signal::name);
                    let sandbox = if name == Some("SIGSYS") { ", as seccomp filters do" } else { "" };
                    format!("the agent was killed by {}{sandbox}", name.unwrap_or("a signal"))
                }
            },
            _ => "the agent is still there, but silent".into(),
        };
        LastWords { what, ..LastWords::default() }
    }

    fn watch(&self) -> Option<Watch> {
        Some(Watch::of_process(self.child.id()))
    }
}

impl Drop for Native {
    fn drop(&mut self) {
        // The agent ends, and ends what is left of its cases, when its stream is closed; a stuck one is killed.
        let _ = self.stream.shutdown(Shutdown::Both);
        child::end(&mut self.child, AGENT_ENDS);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// What is said of an agent that is this shell script.
    fn last_words(script: &str) -> String {
        let (stream, theirs) = UnixStream::pair().unwrap();
        let mut command = Command::new("sh");
        let child = command.args(["-c", script]).stdin(Stdio::from(OwnedFd::from(theirs))).spawn().unwrap();
        drop(command);
        let mut native = Native { child, stream, _folder: Folder::new("kconform-words-").unwrap() };
        if !script.starts_with("read") {
            // It ends by itself, and stays to be asked.
            let pid = rustix::process::Pid::from_child(&native.child);
            let options = rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
            rustix::process::waitid(rustix::process::WaitId::Pid(pid), options).unwrap();
        }
        native.last_words().what
    }

    #[test]
    fn the_end_of_an_agent_is_told() {
        let scripts = ["exit 3", "kill -KILL $$", "kill -62 $$", "kill -SYS $$", "read word"];
        insta::assert_snapshot!(scripts.map(last_words).join("\n"));
    }

    /// A stopped agent cannot be late.
    #[test]
    fn an_agent_that_the_machine_keeps_from_working_is_known() {
        for (script, share) in [("kill -STOP $$", 0.0..0.5), ("sleep 9", 0.5..1.1)] {
            let (stream, theirs) = UnixStream::pair().unwrap();
            let mut command = Command::new("sh");
            let child =
                command.args(["-c", script]).stdin(Stdio::from(OwnedFd::from(theirs))).spawn().unwrap();
            drop(command);
            let native = Native { child, stream, _folder: Folder::new("kconform-watch-").unwrap() };
            let stat = format!("/proc/{}/stat", native.child.id());
            let stops = script.contains("STOP");
            while stops && !std::fs::read_to_string(&stat).unwrap().contains(") T ") {
                std::thread::sleep(PAUSE);
            }
            let mut watch = native.watch().unwrap();
            for _ in 0..6 {
                std::thread::sleep(Duration::from_millis(60));
                watch.look(std::time::Instant::now());
            }
            std::thread::sleep(Duration::from_millis(60));
            let (passed, counted) = watch.look(std::time::Instant::now());
            let had = counted.as_secs_f64() / passed.as_secs_f64();
            assert!(share.contains(&had), "{script}: {had}");
        }
    }
}
