//! A script on a machine over ssh, run to its end within its time.

use std::io::{self, Write};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::interrupt;
use crate::targets::piped::{LAST_BYTES, Listener, in_one_line};

/// How often it is looked whether ssh has ended.
const GLANCE: Duration = Duration::from_millis(10);

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
        let said = in_one_line(self.err.lines());
        match said.is_empty() {
            true => in_one_line(self.out.lines().filter(|line| !line.trim().starts_with(SAYS))),
            false => said,
        }
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
