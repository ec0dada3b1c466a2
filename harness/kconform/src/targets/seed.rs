//! What makes guests of one snapshot differ in their random numbers.
//!
//! A snapshot has the state of its kernel's generator of random numbers, so all its guests would draw the same ones. Each is
//! sent a seed before its first case. It comes of the run's seed and of that case alone, so that an x86_64 guest draws the same
//! numbers again when the run's seed is the same, alone or among others, until its kernel mixes in the times of
//! interrupts (drivers/char/random.c). Kernels of other architectures draw numbers for the offset of the stack at each
//! system call, so there the numbers also depend on how many calls the agent made.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

use sha2::{Digest, Sha256};

/// Numbers that a guest draws at most before its first case, which takes it a few milliseconds under emulation.
const MOST_DRAWS: u32 = 256;

/// The seed of a run that was given none: another one in every process.
pub(super) fn of_this_process() -> u32 {
    static SEED: OnceLock<u32> = OnceLock::new();
    // The standard library's own seed, which the system's generator gave.
    *SEED.get_or_init(|| RandomState::new().hash_one(std::process::id()) as u32)
}

/// What a guest is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GuestSeed {
    pub pool: [u8; 32],
    pub draws: u32,
}

impl GuestSeed {
    /// That of a guest whose first case has this id.
    pub(super) fn new(run: u32, case: &str) -> GuestSeed {
        let pool: [u8; 32] =
            Sha256::new().chain_update(run.to_le_bytes()).chain_update(case).finalize().into();
        let [a, b, c, d, ..] = pool;
        GuestSeed { pool, draws: 1 + u32::from_le_bytes([a, b, c, d]) % MOST_DRAWS }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guests_seed_comes_of_the_run_and_its_first_case() {
        let seed = GuestSeed::new(1, "s::a");
        assert_eq!(seed, GuestSeed::new(1, "s::a"));
        assert_ne!(seed.pool, GuestSeed::new(2, "s::a").pool);
        assert_ne!(seed.pool, GuestSeed::new(1, "s::b").pool);
        let draws: std::collections::BTreeSet<u32> =
            (0..100).map(|run| GuestSeed::new(run, "s::a").draws).collect();
        assert!(draws.len() > 70 && draws.iter().all(|draws| (1..=MOST_DRAWS).contains(draws)), "{draws:?}");
    }

    #[test]
    fn a_process_has_one_seed() {
        assert_eq!(of_this_process(), of_this_process());
    }
}
