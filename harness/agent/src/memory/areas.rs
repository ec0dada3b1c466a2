//! Memory and addresses that calls are given.

use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use crate::sys::{self, Map};

/// Address space set aside for the buffers of calls; only what is used costs memory.
pub(crate) const POOL: usize = 64 << 20;

/// Below the least mmap_min_addr that anyone sets (4096 .. 65536): nothing is mapped there unless a case insists on it.
pub(crate) const UNMAPPED: u64 = 0x1000;

/// Pages that can be read only.
const READ_ONLY_PAGES: usize = 16;

static POOL_START: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());
static POOL_USED: AtomicUsize = AtomicUsize::new(0);
static READ_ONLY: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());

/// Sets the address space aside: once, before the first case, so that it does not depend on what a case does to its limits.
pub(crate) fn set_up() -> sys::Result<()> {
    let pool = sys::map(POOL, Map::Private)?;
    // SAFETY: mapped just now, with this length.
    unsafe { libc::madvise(pool.cast(), POOL, libc::MADV_NOHUGEPAGE) };
    POOL_START.store(pool, Ordering::Relaxed);
    READ_ONLY.store(sys::map(READ_ONLY_PAGES * sys::page_size(), Map::ReadOnly)?, Ordering::Relaxed);
    Ok(())
}

/// Where the next buffers will be.
pub(crate) fn next() -> usize {
    POOL_START.load(Ordering::Relaxed) as usize + POOL_USED.load(Ordering::Relaxed)
}

/// The address of pages of zeros that cannot be written.
pub(crate) fn read_only() -> u64 {
    READ_ONLY.load(Ordering::Relaxed) as u64
}

/// Zeroed memory that nobody else has, page-aligned, for the rest of the process's life.
pub(crate) fn take(length: usize) -> sys::Result<*mut u8> {
    let length = length.next_multiple_of(sys::page_size());
    let start = POOL_START.load(Ordering::Relaxed);
    let taken = POOL_USED.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
        let end = used.checked_add(length)?;
        (!start.is_null() && end <= POOL).then_some(end)
    });
    match taken {
        // SAFETY: the offset lies within the pool.
        Ok(offset) => Ok(unsafe { start.add(offset) }),
        Err(_) => sys::map(length, Map::Private),
    }
}
