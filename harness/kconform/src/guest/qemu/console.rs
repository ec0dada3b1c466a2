//! The guest's kernel console: every line it printed, and when; what in it means trouble; and the end of a guest that
//! panicked.

use std::io::Read;
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::health::{Severity, fault_in};

/// A line of the console.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When it was complete, since QEMU was started.
    pub at: Duration,
    /// Without its end; bytes that are no UTF-8 are replaced.
    pub text: String,
}

/// Printed last by a kernel that panicked and does not reboot.
const END_OF_PANIC: &str = "---[ end Kernel panic";

/// After the first sign of a panic, a console this long silent has told all.
const SILENCE_AFTER_PANIC: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };

/// The console of a guest; a handle that can be cloned and outlives the guest.
#[derive(Clone, Debug)]
pub struct Console {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    started: Instant,
    log: Mutex<Log>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Log {
    lines: Vec<Line>,
    panicked: bool,
    fault: bool,
    ended: bool,
}

impl Console {
    /// A console without lines, whose clock starts now.
    pub(super) fn new() -> Console {
        let shared = Shared { started: Instant::now(), log: Mutex::default(), changed: Condvar::new() };
        Console { shared: Arc::new(shared) }
    }

    /// The lines from a cursor on, which is the number of lines before it.
    pub fn lines_from(&self, cursor: usize) -> Vec<Line> {
        self.log().lines.get(cursor..).unwrap_or_default().to_vec()
    }

    /// The last lines, oldest first.
    pub fn last(&self, count: usize) -> Vec<String> {
        let log = self.log();
        let first = log.lines.len().saturating_sub(count);
        log.lines[first..].iter().map(|line| line.text.clone()).collect()
    }

    /// Whether the kernel panicked. QEMU ends soon after, and with it the stream to the agent.
    pub fn panicked(&self) -> bool {
        self.log().panicked
    }

    /// Whether the kernel said that it came to serious harm: more than a warning.
    pub fn has_fault(&self) -> bool {
        self.log().fault
    }

    /// Waits until QEMU has ended and every line is here; false when that takes longer than `timeout`.
    pub fn wait_for_end(&self, timeout: Duration) -> bool {
        let waited = self.shared.changed.wait_timeout_while(self.log(), timeout, |log| !log.ended);
        waited.map_or_else(|poisoned| poisoned.into_inner().0.ended, |(log, _)| log.ended)
    }

    /// Reads what the guest prints until it ends. Calls `kill` once a panic has been told in full and QEMU is still
    /// there: some kernels hang in a panic.
    pub(super) fn read_all(&self, mut from: impl Read + AsFd, kill: impl Fn()) {
        let mut splitter = Splitter::default();
        let mut block = [0; 4096];
        loop {
            if self.panicked() && !readable(&from, SILENCE_AFTER_PANIC) {
                kill();
            }
            match from.read(&mut block) {
                Ok(0) => break,
                Ok(length) => splitter.take(&block[..length], |text| {
                    let told = text.contains(END_OF_PANIC);
                    self.push(text);
                    if told {
                        kill();
                    }
                }),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        splitter.finish(|text| self.push(text));
        self.log().ended = true;
        self.shared.changed.notify_all();
    }

    fn push(&self, text: String) {
        let at = self.shared.started.elapsed();
        let mut log = self.log();
        let severity = fault_in(&text).map(|fault| fault.severity);
        log.fault |= severity >= Some(Severity::Oops);
        log.panicked |= severity == Some(Severity::Panic);
        log.lines.push(Line { at, text });
    }

    /// A reader that panicked leaves whole lines behind, so the log stays good.
    fn log(&self) -> MutexGuard<'_, Log> {
        self.shared.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether there is something to read (or the end of it) before the time is up.
fn readable(from: &impl AsFd, timeout: Timespec) -> bool {
    let mut fds = [PollFd::new(from, PollFlags::IN)];
    // An error here (EINTR) only means to look again.
    poll(&mut fds, Some(&timeout)).map_or(true, |ready| ready > 0)
}

/// Makes lines of the pieces that a pipe delivers.
#[derive(Default)]
struct Splitter {
    line: Vec<u8>,
}

impl Splitter {
    fn take(&mut self, bytes: &[u8], mut line: impl FnMut(String)) {
        for &byte in bytes {
            match byte {
                b'\n' => self.finish(&mut line),
                b'\r' => {}
                _ => self.line.push(byte),
            }
        }
    }

    /// Ends a line, if there is anything in it.
    fn finish(&mut self, mut line: impl FnMut(String)) {
        if !self.line.is_empty() {
            line(String::from_utf8_lossy(&self.line).into_owned());
            self.line.clear();
        }
    }
}
