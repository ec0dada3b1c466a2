//! Guests that are ending: nobody waits for them before there is nothing else to do.

use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};

static ENDING: Mutex<Vec<JoinHandle<()>>> = Mutex::new(Vec::new());

/// Does what waits for an end, while other things go on.
pub(super) fn see_to_the_end(wait: impl FnOnce() + Send + 'static) {
    let mut ending = ENDING.lock().unwrap_or_else(PoisonError::into_inner);
    ending.retain(|one| !one.is_finished());
    ending.push(thread::spawn(wait));
}

/// Waits until all guests that were dropped are gone, with their processes. A guest that is dropped is killed at once, but
/// ends a few milliseconds later: call this before the program ends.
pub fn wait_for_ended() {
    let ending = std::mem::take(&mut *ENDING.lock().unwrap_or_else(PoisonError::into_inner));
    for one in ending {
        // One that panicked has said so already.
        let _ = one.join();
    }
}
