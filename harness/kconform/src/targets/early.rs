//! Guests that are started before anybody asks for them: while case files are read, which takes longer than a restore.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::{Opened, Target, Unusable};
use crate::guest::qemu::end_all;
use crate::guest::{Doing, Hears};

/// How often it is looked whether a guest that nobody wants any more is gone.
const GLANCE: Duration = Duration::from_millis(5);

type Starting = JoinHandle<Result<Opened, Unusable>>;

/// The first guest of a target, on its way, and what is being done for it. Clones mean the same one.
#[derive(Clone, Debug)]
pub(super) struct Early(Arc<Mutex<Option<Starting>>>, Arc<Mutex<Option<Doing>>>);

/// Ends the guests that nobody came to ask for.
#[derive(Debug)]
#[must_use]
pub struct EarlyGuests(Vec<Early>);

impl Early {
    /// The guest, for the first to ask, who hears of what is being done for it just then.
    pub(super) fn take(&self, hears: Hears<'_>) -> Option<Result<Opened, Unusable>> {
        let starting = self.0.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        if let Some(doing) = *self.1.lock().unwrap_or_else(PoisonError::into_inner) {
            (hears.0)(doing);
        }
        Some(starting.join().unwrap_or_else(|_| {
            let what = "the guest was not started: kconform panicked over it, as is told above".into();
            Err(Unusable { what, mend: None, not_set_up: false })
        }))
    }
}

impl Target {
    /// Starts the first guest of each of the first targets, as many as run at a time, on threads of their own.
    pub fn start_early(targets: &mut [Target], jobs: usize) -> EarlyGuests {
        let guests = targets.iter_mut().take(jobs).filter(|target| target.is_guest());
        let starting = guests.map(|target| {
            let own = target.clone();
            let doing = Arc::new(Mutex::new(None));
            let now = doing.clone();
            let tell = move |doing| *now.lock().unwrap_or_else(PoisonError::into_inner) = Some(doing);
            let starting = thread::spawn(move || own.open(Hears(&tell)));
            let early = Early(Arc::new(Mutex::new(Some(starting))), doing);
            target.early = Some(early.clone());
            early
        });
        EarlyGuests(starting.collect())
    }
}

impl Drop for EarlyGuests {
    fn drop(&mut self) {
        for early in &self.0 {
            let Some(starting) = early.0.lock().unwrap_or_else(PoisonError::into_inner).take() else {
                continue;
            };
            // What it has on the disk goes with its thread. One that boots hears of nothing but its end.
            while !starting.is_finished() {
                end_all();
                thread::sleep(GLANCE);
            }
            drop(starting.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_over_a_guest_is_that_targets_alone() {
        let starting: Starting = thread::spawn(|| panic!("as it must"));
        let early = Early(Arc::new(Mutex::new(Some(starting))), Arc::default());
        let Some(Err(unusable)) = early.take(Hears::NOBODY) else { panic!("a guest") };
        insta::assert_snapshot!(unusable, @"the guest was not started: kconform panicked over it, as is told above");
        assert!(early.take(Hears::NOBODY).is_none());
    }
}
