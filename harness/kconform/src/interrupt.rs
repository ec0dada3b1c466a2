//! Ctrl-C: what runs is ended, and what is known by then is reported.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// The exit status after an interruption, as shells have it for SIGINT; `git bisect run` stops at it.
pub const STATUS: u8 = 130;

static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Takes SIGINT and SIGTERM from now on: the first one is only noted, a second one ends the process at once.
///
/// # Errors
/// Those of sigaction(2).
pub fn watch() -> io::Result<()> {
    let flag = FLAG.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag still down.
        flag::register_conditional_shutdown(signal, STATUS.into(), flag.clone())?;
        flag::register(signal, flag.clone())?;
    }
    Ok(())
}

/// Whether the user wants everything to end.
pub fn requested() -> bool {
    FLAG.get().is_some_and(|flag| flag.load(Ordering::Relaxed))
}
