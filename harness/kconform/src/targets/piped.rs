//! What the streams of a command that holds an agent (ssh, a launcher) tell, and its last words.

use std::io::{self, Read, Write};
use std::process::{Child, ChildStdout, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::child;
use super::session::LastWords;

/// How often it is looked whether a stream has ended.
const GLANCE: Duration = Duration::from_millis(10);

/// How long the last of what was said may take to come once the command has ended. Another process may hold its streams for
/// ever.
pub(super) const LAST_BYTES: Duration = Duration::from_secs(1);

/// Bytes of what is said that are kept: a shell that greets without end says nothing more.
const KEPT: usize = 64 << 10;

/// Lines that are told of what was said.
const LINES: usize = 4;

/// How long the command may take to end when its stream has: what it says of that is then there to be told.
const ENDS: Duration = Duration::from_secs(2);

/// A command whose standard input and output are an agent's stream.
pub(super) struct Piped {
    /// The command.
    pub(super) child: Child,
    /// What it says on its standard error.
    said: Listener,
    /// What it is called: `ssh`.
    name: String,
}

impl Piped {
    /// Takes the streams of a command that was started with pipes for all three.
    ///
    /// # Errors
    /// A stream that is no pipe.
    pub(super) fn new(
        mut child: Child,
        name: &str,
    ) -> io::Result<(Piped, ChildStdout, Box<dyn Write + Send>)> {
        let missing = || io::Error::from(io::ErrorKind::BrokenPipe);
        let (stdin, stdout) =
            (child.stdin.take().ok_or_else(missing)?, child.stdout.take().ok_or_else(missing)?);
        let said = Listener::new(child.stderr.take());
        Ok((Piped { child, said, name: name.into() }, stdout, Box::new(stdin)))
    }

    /// What is known of a command whose stream has ended; `failed` says whether an exit status tells of the command's own
    /// failure.
    pub(super) fn last_words(&mut self, failed: impl FnOnce(ExitStatus) -> bool) -> LastWords {
        let name = &self.name;
        match child::ended_within(&mut self.child, ENDS) {
            Some(status) => {
                let console = self.said.all().lines().map(str::to_owned).collect();
                let what = format!("{name} ended ({status})");
                LastWords { what, console, outside: failed(status), ..LastWords::default() }
            }
            None => LastWords { what: format!("{name} is still there, but silent"), ..LastWords::default() },
        }
    }
}

/// The last lines of what was said, in one, without empty ones.
pub(super) fn in_one_line<'a>(lines: impl IntoIterator<Item = &'a str>) -> String {
    let lines: Vec<String> =
        lines.into_iter().map(|line| plain(line.trim())).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(LINES)..].join("; ")
}

/// Text of another machine, or of a name, as it may be printed here.
pub(super) fn plain(line: &str) -> String {
    line.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// What came through a stream so far, and what shows that it lives.
#[derive(Default)]
struct Heard {
    bytes: Vec<u8>,
    over: bool,
}

/// What is heard of a stream while it lasts.
#[derive(Default)]
pub(super) struct Listener(Arc<Mutex<Heard>>);

impl Listener {
    /// Listens to a stream, which need not be read any more.
    pub(super) fn new(stream: Option<impl Read + Send + 'static>) -> Listener {
        let heard = Arc::new(Mutex::new(Heard { over: stream.is_none(), ..Heard::default() }));
        if let Some(mut stream) = stream {
            let heard = Arc::clone(&heard);
            thread::spawn(move || {
                let mut piece = [0; 4096];
                while let Ok(read @ 1..) = stream.read(&mut piece) {
                    let mut heard = lock(&heard);
                    heard.bytes.extend(&piece[..read]);
                    let over = heard.bytes.len().saturating_sub(KEPT);
                    heard.bytes.drain(..over);
                }
                lock(&heard).over = true;
            });
        }
        Listener(heard)
    }

    /// What was heard; its end is waited for until then.
    pub(super) fn until(&self, until: Instant) -> String {
        while !lock(&self.0).over && Instant::now() < until {
            thread::sleep(GLANCE);
        }
        String::from_utf8_lossy(&lock(&self.0).bytes).into_owned()
    }

    /// What was heard of a stream that has ended, or will in a moment.
    pub(super) fn all(&self) -> String {
        self.until(Instant::now() + LAST_BYTES)
    }
}

fn lock(heard: &Mutex<Heard>) -> std::sync::MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}
