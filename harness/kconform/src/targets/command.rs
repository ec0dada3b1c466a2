//! What a command starts: an emulator, a sandbox, a container. The agent's stream is the command's standard input and output.

mod reason;
#[cfg(test)]
mod tests;

use std::fs::{self, Permissions};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kconform_abi::Arch;
use rustix::process::{Pid, Signal, kill_process_group};

use super::guest::agent_for;
use super::piped::Piped;
use super::session::{Keeper, LastWords, Link};
use super::{Opened, Session, Unusable, child, native};
use crate::folder::Folder;
use crate::guest::Watch;
use crate::kernel::Kernel;

/// What the names of such targets begin with.
pub(super) const PREFIX: &str = "cmd:";

/// Emulators translate the agent, and sandboxes take each of its calls apart.
pub(super) const TIME_FACTOR: f64 = 3.0;

/// How long the command may take to start the agent: containers are fetched, machines come up.
const START: Duration = Duration::from_secs(60);

/// What stands for the agent's path and its arguments.
const AGENT: &str = "{agent}";

/// What stands for the folder that holds the agent and its scratch directory.
const FOLDER: &str = "{folder}";

/// The word that says the agent's architecture, where it is the first.
const ARCH: &str = "arch=";

/// A command that starts the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launcher {
    /// Its words; at least one of them has [`AGENT`].
    words: Vec<String>,
    /// The agent that it starts.
    arch: Arch,
}

/// Why a command line is none that starts an agent.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum LauncherError {
    /// A character that terminals obey.
    #[error("a command has no control characters")]
    Control,
    /// It cannot be split into words as a shell would.
    #[error("a quote is not closed, or a backslash is the last character")]
    Quote,
    /// No word is left.
    #[error("the command is missing; write cmd:COMMAND {{agent}}")]
    Empty,
    /// The agent is not in it.
    #[error("the command lacks {{agent}}, which stands for the agent's path and arguments")]
    NoAgent,
    /// The architecture, and the nearest one.
    #[error("there is no agent for the architecture {0:?}{near}", near = .1.map(|near| format!("; did you mean {near:?}?")).unwrap_or_default())]
    Arch(String, Option<&'static str>),
}

impl FromStr for Launcher {
    type Err = LauncherError;

    /// Takes a command line apart as a POSIX shell does; no shell runs, so variables and wildcards stay as they are.
    fn from_str(line: &str) -> Result<Launcher, LauncherError> {
        if line.chars().any(char::is_control) {
            return Err(LauncherError::Control);
        }
        let mut words = shlex::split(line).ok_or(LauncherError::Quote)?;
        let said = words.first().and_then(|word| word.strip_prefix(ARCH)).map(str::to_owned);
        if said.is_some() {
            words.remove(0);
        }
        let name = said.as_deref().unwrap_or(std::env::consts::ARCH);
        let arch = Arch::from_name(name).ok_or_else(|| {
            let nearest = kconform_abi::nearest(name, Arch::ALL.iter().map(|arch| arch.name()));
            LauncherError::Arch(name.to_owned(), nearest)
        })?;
        match words.iter().any(|word| word.contains(AGENT)) {
            _ if words.is_empty() => Err(LauncherError::Empty),
            false => Err(LauncherError::NoAgent),
            true => Ok(Launcher { words, arch }),
        }
    }
}

impl Launcher {
    /// The architecture of the agent that it starts.
    pub fn arch(&self) -> Arch {
        self.arch
    }

    /// Whether there is an agent for it; the command is not tried yet.
    pub(super) fn ready(&self) -> Result<(), Unusable> {
        agent_for(self.arch).map(drop)
    }

    /// Starts an agent by it.
    pub(super) fn open(&self) -> Result<Opened, Unusable> {
        self.open_within(START)
    }

    fn open_within(&self, patience: Duration) -> Result<Opened, Unusable> {
        let agent = agent_for(self.arch)?;
        let folder = place(&agent).map_err(|error| super::no_start(&error))?;
        let there = folder.path().to_owned();
        let first = First::default();
        let link = self.link(folder, &first).map_err(|error| reason::of_spawn(&self.words[0], &error))?;
        let session = Session::open(link, patience, TIME_FACTOR)
            .map_err(|(broken, words)| reason::of_start(self, &there, &first.text(), &broken, &words))?;
        let facts = session.facts();
        reason::check_arch(self.arch, &facts.machine)?;
        let config = facts.config.as_deref().and_then(super::config_text);
        let kernel = Kernel::new(self.arch, facts, config, false);
        let by = (self.words[0] != AGENT).then(|| format!("by {}", self.words[0]));
        let remarks: Vec<String> = by.into_iter().chain(facts.remarks.iter().cloned()).collect();
        let remark = (!remarks.is_empty()).then(|| remarks.join("; "));
        Ok(Opened { session, kernel, remark })
    }

    fn link(&self, folder: Folder, first: &First) -> io::Result<Link> {
        let words = self.words_in(folder.path());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let name = Path::new(&self.words[0]).file_name().unwrap_or_default().to_string_lossy();
        let name = if name == AGENT { "the agent".into() } else { name };
        let (command, stdout, writer) = Piped::new(command.spawn()?, &name)?;
        Ok(Link {
            reader: Box::new(Noted { stream: BufReader::new(stdout), first: first.clone() }),
            writer,
            keeper: Box::new(Launched { command, _folder: folder }),
            serial: false,
        })
    }

    /// The words of the command, with the agent that is in a folder.
    fn words_in(&self, folder: &Path) -> Vec<String> {
        let agent = agent_in(folder);
        // A name with NUL is no path.
        let text = shlex::try_join(agent.iter().map(String::as_str)).unwrap_or_default();
        let mut words = Vec::new();
        for word in &self.words {
            match word.as_str() {
                AGENT => words.extend(agent.iter().cloned()),
                _ => words.push(word.replace(AGENT, &text).replace(FOLDER, &folder.display().to_string())),
            }
        }
        words
    }

    /// The command with another program in the agent's place, for a person to try.
    fn trial(&self) -> String {
        let words = self.words.iter().map(|word| word.replace(AGENT, "true"));
        let words: Vec<String> = words.collect();
        shlex::try_join(words.iter().map(String::as_str)).unwrap_or_default()
    }
}

/// The agent in a folder, with its arguments.
fn agent_in(folder: &Path) -> [String; 3] {
    let path = |name| folder.join(name).display().to_string();
    [path("kconform-agent"), "--scratch".into(), path("scratch")]
}

/// Puts an agent and its scratch directory into a folder that every user can come to.
fn place(agent: &Path) -> io::Result<Folder> {
    let folder = Folder::new("kconform-command-")?;
    if folder.path().to_str().is_none() {
        return Err(io::Error::other("its path is not UTF-8"));
    }
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
    let [path, _, scratch] = agent_in(folder.path());
    fs::write(&path, fs::read(agent)?)?;
    fs::set_permissions(&path, Permissions::from_mode(0o755))?;
    fs::create_dir(&scratch)?;
    fs::set_permissions(&scratch, Permissions::from_mode(0o777))?;
    // Once it was started, no child of another thread has it open for writing any more: the command is not told that the
    // agent is busy. Without arguments that it knows it says so and ends.
    let mut command = Command::new(&path);
    command.arg("--help").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match native::spawn(&mut command) {
        Ok(mut child) => child.wait().map(drop)?,
        // An agent for another architecture.
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error()) => {}
        Err(error) => return Err(error),
    }
    Ok(folder)
}

/// Bytes that are kept of what a command says first.
const NOTED: usize = 200;

/// What a command has said first on its standard output.
#[derive(Clone, Default)]
struct First(Arc<Mutex<Vec<u8>>>);

impl First {
    /// It, if it is text, which an agent's stream is not.
    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match bytes.iter().any(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace() && *byte != 0x1b)
        {
            true => String::new(),
            false => String::from_utf8_lossy(&bytes).trim().to_owned(),
        }
    }
}

/// A stream of which the first bytes are kept, as many as came at once: who wants four gets four, and a greeting is still told.
struct Noted<R> {
    stream: BufReader<R>,
    first: First,
}

impl<R: Read> Read for Noted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stream.buffer().is_empty() {
            let came = self.stream.fill_buf()?;
            let mut first = self.first.0.lock().unwrap_or_else(PoisonError::into_inner);
            let room = NOTED.saturating_sub(first.len()).min(came.len());
            first.extend(&came[..room]);
        }
        self.stream.read(buffer)
    }
}

/// How long a command may take to end when its standard input has, and again when it was told by a signal.
const ENDS: Duration = Duration::from_secs(3);

struct Launched {
    command: Piped,
    // Holds the agent and its scratch directory; removed with it.
    _folder: Folder,
}

impl Keeper for Launched {
    fn last_words(&mut self) -> LastWords {
        // Whether it was the command or the agent that failed, no exit status tells.
        self.command.last_words(|_| false)
    }

    fn watch(&self) -> Option<Watch> {
        Some(Watch::of_process(self.command.child.id()))
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        let command = &mut self.command.child;
        // The agent ends when its stream does, and the command after it. One that does not is told, and then killed with all
        // that it has started.
        for signal in [Signal::TERM, Signal::KILL] {
            if child::ended_within(command, ENDS).is_some() {
                return;
            }
            // It fails only for a command that has just ended.
            let _ = kill_process_group(Pid::from_child(command), signal);
        }
        let _ = command.wait();
    }
}
