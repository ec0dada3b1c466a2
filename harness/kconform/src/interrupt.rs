//! Ctrl-C, and a terminal that is closed: what runs is ended, and what is known by then is reported.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;

/// The exit status after an interruption, as shells have it for SIGINT; `git bisect run` stops at it.
pub const STATUS: u8 = 130;

static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Takes SIGINT, SIGTERM and SIGHUP from now on: the first one is only noted, a second one ends the process at once. Who has
/// us ignore SIGHUP, as nohup(1) does, has that still.
///
/// # Errors
/// Those of sigaction(2).
pub fn watch() -> io::Result<()> {
    tell_of_the_size_limit()?;
    let flag = FLAG.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        if signal == SIGHUP && is_ignored(signal) {
            continue;
        }
        // In this order: the first signal finds the flag still down.
        flag::register_conditional_shutdown(signal, STATUS.into(), flag.clone())?;
        flag::register(signal, flag.clone())?;
    }
    Ok(())
}

/// A file that would grow beyond RLIMIT_FSIZE is an error of write(2), EFBIG, from now on, which can be told; SIGXFSZ would end the
/// process without a word. Programs that are started have the signal as it was (execve(2)).
///
/// # Errors
/// Those of sigaction(2).
pub fn tell_of_the_size_limit() -> io::Result<()> {
    flag::register(SIGXFSZ, Arc::default()).map(|_| ())
}

/// Whether a signal is ignored: the mask `SigIgn` of /proc/self/status (proc(5)).
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// Whether the user wants everything to end.
pub fn requested() -> bool {
    FLAG.get().is_some_and(|flag| flag.load(Ordering::Relaxed))
}
