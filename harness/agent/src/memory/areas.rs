//! Memory and addresses that calls are given.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::memory::heap;
use crate::memory::stretch::{self, Stretch};
use crate::sys::{self, Map};

/// Address space set aside for the buffers of calls; only what is used costs memory.
pub(crate) const POOL: usize = 64 << 20;
/// What is set aside instead where there is less.
const SMALL_POOL: usize = POOL / 16;

/// Below the least mmap_min_addr that anyone sets (4096 .. 65536): nothing is mapped there unless a case insists on it.
pub(crate) const UNMAPPED: u64 = 0x1000;

/// Pages that can be read only.
const READ_ONLY_PAGES: usize = 16;

static SPACE: Stretch = Stretch::none();
static POOL_USED: AtomicUsize = AtomicUsize::new(0);
static READ_ONLY: AtomicUsize = AtomicUsize::new(0);

/// How much of the address space that is set aside becomes memory before the first case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Memory {
    /// All of it, so that it does not depend on what a case does to its limits; but not where the kernel counts it.
    Ahead,
    /// What is used, when it is.
    AsUsed,
}

/// Sets the address space aside: once, before the first case, so that it does not depend on what a case does to its limits.
pub(crate) fn set_up(memory: Memory) -> sys::Result<()> {
    let read_only = READ_ONLY_PAGES * sys::page_size();
    SPACE.set_aside(&[POOL + read_only, SMALL_POOL + read_only])?;
    let start = SPACE.cut_off(read_only);
    sys::allow(start, read_only, libc::PROT_READ)?;
    READ_ONLY.store(start, Ordering::Relaxed);
    if memory == Memory::Ahead && !stretch::is_counted() {
        heap::open_all();
        SPACE.open_all();
    }
    Ok(())
}

/// Where the next buffers will be.
pub(crate) fn next() -> usize {
    SPACE.start() + POOL_USED.load(Ordering::Relaxed)
}

/// The address of pages of zeros that cannot be written.
pub(crate) fn read_only() -> u64 {
    READ_ONLY.load(Ordering::Relaxed) as u64
}

/// Zeroed memory that nobody else has, page-aligned, for the rest of the process's life.
pub(crate) fn take(length: usize) -> sys::Result<*mut u8> {
    let length = length.next_multiple_of(sys::page_size());
    let taken = POOL_USED.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
        let end = used.checked_add(length)?;
        (end <= SPACE.size()).then_some(end)
    });
    match taken {
        Ok(offset) if SPACE.open(offset + length) => Ok((SPACE.start() + offset) as *mut u8),
        _ => sys::map(length, Map::Private),
    }
}
