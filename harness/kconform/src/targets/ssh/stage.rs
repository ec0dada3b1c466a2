//! A script on a machine over ssh, run to its end within its time.

use std::io::{self, Read, Write};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::interrupt;

/// How often it is looked whether ssh has ended.
const GLANCE: Duration = Duration::from_millis(10);

/// How long the last of what was said may take to come once ssh has ended. Another process may hold its streams for ever.
const LAST_BYTES: Duration = Duration::from_secs(1);

/// Bytes of what is said that are kept: a shell that greets without end says nothing more.
const KEPT: usize = 64 << 10;

/// Bytes that are sent at once; each piece that is taken shows that the other end lives.
const PIECE: usize = 16 << 10;

/// What a line begins with that a script of ours prints, whatever a shell prints before it.
pub(super) const SAYS: &str = "kconform says ";

/// How a script ended.
#[derive(Debug)]
pub(super) enum End {
    /// By itself.
    Exited(ExitStatus),
    /// It did nothing for so long.
    Silent(Duration),
    /// The user wants everything to end.
    Interrupted,
}

/// A script's end, and what was said until then.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) end: End,
    pub(super) out: String,
    pub(super) err: String,
}

impl Ended {
    /// What the script itself said; none where it did not run to its end.
    pub(super) fn answer(&self) -> Option<&str> {
        match &self.end {
            End::Exited(status) if status.success() => {
                self.out.lines().rev().find_map(|l| l.strip_prefix(SAYS))
            }
            _ => None,
        }
    }

    /// What was said by others than the script, in one line: ssh, the shell there, its programs.
    pub(super) fn said(&self) -> String {
        let lines = |text: &str| -> Vec<String> {
            text.lines().map(|line| plain(line.trim())).filter(|line| !line.is_empty()).collect()
        };
        let mut said = lines(&self.err);
        if said.is_empty() {
            said = lines(&self.out).into_iter().filter(|line| !line.starts_with(SAYS)).collect();
        }
        let first = said.len().saturating_sub(LINES);
        said[first..].join("; ")
    }
}

/// Lines that are told of what was said.
const LINES: usize = 4;

/// Text of another machine as it may be printed here.
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
    fn until(&self, until: Instant) -> String {
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

/// Runs a script; `patience` is the time in which it must end, or take more of what it is given.
///
/// # Errors
/// Those of starting ssh.
pub(super) fn run(mut command: Command, input: &[u8], patience: Duration) -> io::Result<Ended> {
    let mut child = command.spawn()?;
    let begun = Instant::now();
    let moved = Arc::new(Mutex::new(begun));
    if let Some(mut stdin) = child.stdin.take() {
        let (input, moved) = (input.to_vec(), Arc::clone(&moved));
        thread::spawn(move || {
            for piece in input.chunks(PIECE) {
                // A board that does not take it says why when it ends.
                if stdin.write_all(piece).is_err() {
                    return;
                }
                *moved.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
            }
        });
    }
    let (out, err) = (Listener::new(child.stdout.take()), Listener::new(child.stderr.take()));
    let end = wait(&mut child, &moved, patience)?;
    let until = Instant::now() + if matches!(end, End::Exited(_)) { LAST_BYTES } else { Duration::ZERO };
    Ok(Ended { end, out: out.until(until), err: err.until(until) })
}

fn lock(heard: &Mutex<Heard>) -> std::sync::MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wait(child: &mut Child, moved: &Mutex<Instant>, patience: Duration) -> io::Result<End> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(End::Exited(status));
        }
        let moved = *moved.lock().unwrap_or_else(PoisonError::into_inner);
        let end = match interrupt::requested() {
            true => End::Interrupted,
            false if moved.elapsed() > patience => End::Silent(patience),
            false => {
                thread::sleep(GLANCE);
                continue;
            }
        };
        // It fails only for a process that has just ended.
        let _ = child.kill();
        let _ = child.wait();
        return Ok(end);
    }
}
