//! Where the agent says that something is wrong with itself.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI32, Ordering};

use kconform_plan::{FromAgent, Trouble, write_frame};

use crate::log::Log;
use crate::sys::write_some;

/// Messages for people go here: the agent's stderr, or a guest's console.
static MESSAGES: AtomicI32 = AtomicI32::new(2);
/// The stream to the host, once there is one; in a case's process there is none.
static HOST: AtomicI32 = AtomicI32::new(-1);
/// The log of the case, in its processes.
static LOG: Mutex<Option<Log>> = Mutex::new(None);

struct Fd(i32);

impl std::io::Write for Fd {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        write_some(self.0, bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Messages for people go to this fd from now on.
pub(crate) fn tell_people(fd: i32) {
    MESSAGES.store(fd, Ordering::Relaxed);
}

/// A failure is told to the host from now on.
pub(crate) fn tell_host(fd: i32) {
    HOST.store(fd, Ordering::Relaxed);
}

/// A failure is written to the log from now on, and nowhere else: fds are the case's own.
pub(crate) fn tell_log(log: Log) {
    HOST.store(-1, Ordering::Relaxed);
    MESSAGES.store(-1, Ordering::Relaxed);
    if let Ok(mut place) = LOG.try_lock() {
        *place = Some(log);
    }
}

/// Says what is wrong, to people.
pub(crate) fn say(text: &str) {
    let fd = MESSAGES.load(Ordering::Relaxed);
    if fd >= 0 {
        let _ = write_some(fd, format!("kconform-agent: {text}\n").as_bytes());
    }
}

/// Says what is wrong, to people and to the host.
pub(crate) fn fail(text: &str) {
    say(text);
    let fd = HOST.load(Ordering::Relaxed);
    if fd >= 0 {
        let _ = write_frame(&mut Fd(fd), &FromAgent::Failed { text: text.into() });
    }
}

/// A panic is told like any failure before the process aborts.
pub(crate) fn set_hook() {
    std::panic::set_hook(Box::new(|info| {
        let text = info.to_string();
        let log = LOG.try_lock().ok().and_then(|log| *log);
        match log {
            Some(log) => log.trouble(0, &[], 0, Trouble { what: text, errno: 0 }),
            None => fail(&text),
        }
    }));
}
