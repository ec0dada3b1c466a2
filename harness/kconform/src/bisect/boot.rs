//! Whether a kernel boots, and its console kept.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use crate::guest::{BootSpec, Guest, GuestError, Hears, Image, cache_dir};
use crate::interrupt;
use crate::targets::guest::{agent_for, kernel};

/// Why a kernel did not come up.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// It is the kernel's own doing: how it ended.
    #[error("{0}")]
    Kernel(String),
    /// Something that is needed is missing, or fails for any kernel.
    #[error("{0}")]
    Harness(String),
    /// The user wants everything to end.
    #[error("interrupted")]
    Interrupted,
}

/// How often an interruption is looked for.
const GLANCE: Duration = Duration::from_millis(100);

/// Boots an image's kernel once and ends it; its console goes to `log`.
///
/// # Errors
/// [`BootError`].
pub fn boots(image: &Arc<Image>, log: &Path) -> Result<(), BootError> {
    let (sender, receiver) = channel();
    let (image, log) = (image.clone(), log.to_owned());
    // A guest that never speaks is waited for for minutes, which Ctrl-C must not.
    std::thread::spawn(move || sender.send(boot(&image, &log)));
    outcome(&receiver)
}

fn outcome(receiver: &Receiver<Result<(), BootError>>) -> Result<(), BootError> {
    loop {
        match receiver.recv_timeout(GLANCE) {
            Ok(outcome) => return outcome,
            Err(RecvTimeoutError::Timeout) if interrupt::requested() => return Err(BootError::Interrupted),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(BootError::Harness(
                    "kconform panicked while it booted the kernel; see above".into(),
                ));
            }
        }
    }
}

fn boot(image: &Image, log: &Path) -> Result<(), BootError> {
    let harness = |error: &dyn std::fmt::Display| BootError::Harness(error.to_string());
    let cache = cache_dir().map_err(|error| harness(&error))?;
    let agent = agent_for(image.arch).map_err(|error| harness(&error))?;
    let kernel = kernel(image).map_err(|error| harness(&error))?;
    let spec =
        BootSpec { image, kernel: &kernel, agent: &agent, cache: &cache, cmdline: &[], hears: Hears::NOBODY };
    let (console, outcome) = match Guest::boot(&spec) {
        Ok(guest) => {
            let lines = guest.console().lines_from(0).into_iter().map(|line| line.text).collect();
            (lines, Ok(()))
        }
        Err(error @ GuestError::NeverUp { .. }) => {
            let text = error.to_string();
            let ends = match &error {
                GuestError::NeverUp { attempts, .. } => attempts.last().map(|last| last.end.to_string()),
                _ => None,
            };
            (text.lines().map(str::to_owned).collect(), Err(BootError::Kernel(ends.unwrap_or(text))))
        }
        Err(error) => (vec![error.to_string()], Err(harness(&error))),
    };
    let console: Vec<String> = console;
    fs::write(log, console.join("\n") + "\n")
        .map_err(|error| harness(&format!("{}: {error}", log.display())))?;
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thread that panics has said why on standard error.
    #[test]
    fn a_panic_is_no_kernels_fault() {
        let (sender, receiver) = channel();
        drop(sender);
        let error = outcome(&receiver).expect_err("nobody said anything");
        assert!(matches!(error, BootError::Harness(_)));
        assert_eq!(error.to_string(), "kconform panicked while it booted the kernel; see above");
    }
}
