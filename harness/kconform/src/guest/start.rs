//! Having a guest: from a snapshot, or by a boot.

use super::qemu::{Boot, BootSpec, Guest, GuestError};
use super::snapshot;

/// How to have a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// From a snapshot, wherever that can be.
    Warm,
    /// By a boot of its kernel.
    Cold,
}

impl Guest {
    /// Has a guest. Warm, it comes of a snapshot of a guest of the same image, kernel, agent, QEMU and command line that
    /// was saved when its agent had spoken: in a tenth of a second, and without the deaths that a boot may die. Where
    /// there is no snapshot yet, one is made; where none can be had, the guest is booted, and its
    /// [`remarks`](Guest::remarks) say why.
    ///
    /// # Errors
    /// Those of [`boot`](Guest::boot).
    pub fn start(spec: &BootSpec<'_>, start: Start) -> Result<Guest, GuestError> {
        match start {
            Start::Cold => Guest::boot(spec),
            Start::Warm => snapshot::start(&Boot::new(spec)?),
        }
    }
}
