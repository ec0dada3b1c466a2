//! The agent's own heap: a part of the address space that is set aside before the first case.
//!
//! A case may lower `RLIMIT_AS` or use up all the memory that it may have; what the agent writes down of that in the same
//! process must not depend on a new brk(2) or mmap(2). It also keeps the pages that a fork has to copy together.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::memory::stretch::Stretch;
use crate::sys::{self, Map};

/// Address space that is set aside; only what is used costs memory.
pub(crate) const ARENA: usize = 64 << 20;
/// What is set aside instead where there is less.
const SMALL_ARENA: usize = ARENA / 16;

const SMALLEST: usize = 16;
/// Blocks above this are mapped for themselves.
const LARGEST: usize = 1 << 20;
const CLASSES: usize = (LARGEST / SMALLEST).trailing_zeros() as usize + 1;
/// No alignment beyond this is promised.
const PAGE: usize = 4096;

/// The allocator; all its values share one heap.
#[derive(Clone, Copy, Debug, Default)]
pub struct Heap;

struct State {
    next: usize,
    /// The end of the address space; 0 before any is set aside.
    end: usize,
    /// Freed blocks by class (16 bytes times a power of two), each holding the address of the next.
    free: [usize; CLASSES],
}

struct Locked {
    busy: AtomicBool,
    state: UnsafeCell<State>,
}

// SAFETY: the state is touched only while `busy` is held.
unsafe impl Sync for Locked {}

static HEAP: Locked = Locked {
    busy: AtomicBool::new(false),
    state: UnsafeCell::new(State { next: 0, end: 0, free: [0; CLASSES] }),
};

/// The heap's address space; changed only while the heap is held.
static SPACE: Stretch = Stretch::none();

/// Holds the heap until it is dropped: around a fork, so that the child does not inherit a lock whose holder it lacks.
pub(crate) struct Held(());

/// Waits until no thread is in the heap, and keeps them out.
pub(crate) fn hold() -> Held {
    while HEAP.busy.swap(true, Ordering::Acquire) {
        // SAFETY: no memory is involved.
        unsafe { libc::sched_yield() };
    }
    Held(())
}

/// In a freshly forked process: what it allocates from now on lies in pages that it need not copy first.
pub(crate) fn start_afresh() {
    let _held = hold();
    // SAFETY: the heap is held.
    let state = unsafe { &mut *HEAP.state.get() };
    state.free = [0; CLASSES];
    state.next = state.next.next_multiple_of(PAGE);
}

/// Lays the small blocks that are given out next close together. After each fork the first write to a page is a page fault,
/// and what a case takes and gives back would lie wherever a block of its size was free.
pub(crate) fn lie_close() {
    let _held = hold();
    // SAFETY: the heap is held.
    let state = unsafe { &mut *HEAP.state.get() };
    if state.end == 0 {
        state.reserve();
    }
    let start = state.next.next_multiple_of(PAGE);
    let end = start.saturating_add(CLOSE_PAGES * PAGE);
    if end > state.end || !SPACE.open(end - SPACE.start()) {
        return;
    }
    state.next = end;
    // What is given back last is taken first: the first page's blocks are to be.
    for page in (0..CLOSE_PAGES).rev() {
        let mut at = start + (page + 1) * PAGE;
        for (class, blocks) in CLOSE.iter().enumerate() {
            for _ in 0..*blocks {
                at -= SMALLEST << class;
                state.give(at as *mut u8, class);
            }
        }
    }
}

/// How many pages of blocks lie close, and the blocks of a page, by class. The page is full, and each block lies at a multiple of
/// its size.
const CLOSE_PAGES: usize = 4;
const CLOSE: [usize; 7] = [16, 16, 8, 4, 3, 1, 1];

/// The addresses that were given out so far.
pub(crate) fn used() -> std::ops::Range<usize> {
    let _held = hold();
    // SAFETY: the heap is held.
    let state = unsafe { &*HEAP.state.get() };
    SPACE.start()..state.next
}

/// Makes all of the heap's address space memory, so that no limit that a case sets later hinders it.
pub(crate) fn open_all() {
    let _held = hold();
    SPACE.open_all();
}

/// Whether the heap has address space of its own when it begins anew; what was given out before stays as it is.
#[cfg(test)]
pub(crate) fn begins_anew() -> bool {
    let _held = hold();
    // SAFETY: the heap is held.
    let state = unsafe { &mut *HEAP.state.get() };
    (state.free, state.end) = ([0; CLASSES], 0);
    let block = state.take(CLASSES - 1) as usize;
    (SPACE.start()..SPACE.start() + SPACE.size()).contains(&block)
}

impl Drop for Held {
    fn drop(&mut self) {
        HEAP.busy.store(false, Ordering::Release);
    }
}

impl State {
    fn take(&mut self, class: usize) -> *mut u8 {
        let block = self.free[class];
        if block != 0 {
            // SAFETY: a freed block's first word is the address of the next one, written by `give`.
            self.free[class] = unsafe { *(block as *const usize) };
            return block as *mut u8;
        }
        if self.end == 0 {
            self.reserve();
        }
        let size = SMALLEST << class;
        let start = self.next.next_multiple_of(size.min(PAGE));
        let end = start.saturating_add(size);
        if end > self.end || !SPACE.open(end - SPACE.start()) {
            return map(size);
        }
        self.next = end;
        start as *mut u8
    }

    fn give(&mut self, block: *mut u8, class: usize) {
        // SAFETY: the block is free, at least 16 bytes long and aligned to 16.
        unsafe { *block.cast::<usize>() = self.free[class] };
        self.free[class] = block as usize;
    }

    fn reserve(&mut self) {
        if SPACE.set_aside(&[ARENA, SMALL_ARENA]).is_ok() {
            (self.next, self.end) = (SPACE.start(), SPACE.start() + SPACE.size());
        } else {
            self.end = 1;
        }
    }
}

fn class(layout: Layout) -> Option<usize> {
    let size = layout.size().max(layout.align()).max(SMALLEST).next_power_of_two();
    (size <= LARGEST && layout.align() <= PAGE).then(|| (size / SMALLEST).trailing_zeros() as usize)
}

fn map(size: usize) -> *mut u8 {
    sys::map(size, Map::Private).unwrap_or(std::ptr::null_mut())
}

// SAFETY: blocks are as large as their class, aligned to the lesser of their size and a page, and in one hand at a time.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(class) = class(layout) else {
            return if layout.align() <= PAGE { map(layout.size()) } else { std::ptr::null_mut() };
        };
        let _held = hold();
        // SAFETY: the heap is held.
        unsafe { (*HEAP.state.get()).take(class) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match class(layout) {
            Some(class) => {
                let _held = hold();
                // SAFETY: the heap is held, and the caller gives the block back.
                unsafe { (*HEAP.state.get()).give(block, class) };
            }
            // SAFETY: blocks of no class were mapped for themselves, with this size.
            None => unsafe {
                libc::munmap(block.cast(), layout.size());
            },
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the alignment was valid before, and the caller promises a size that is.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        if let (Some(old), Some(new)) = (class(layout), class(wanted))
            && old == new
        {
            return block;
        }
        // SAFETY: as the caller promises for `realloc`.
        let moved = unsafe { self.alloc(wanted) };
        if !moved.is_null() {
            // SAFETY: both blocks are at least as long as the shorter size, and distinct; the old one is given back.
            unsafe {
                std::ptr::copy_nonoverlapping(block, moved, layout.size().min(size));
                self.dealloc(block, layout);
            }
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_blocks_of_all_sizes_lie_in_few_pages() {
        let page: usize = CLOSE.iter().enumerate().map(|(class, blocks)| blocks * (SMALLEST << class)).sum();
        assert_eq!(page, PAGE);
        let layouts = || {
            let sizes = CLOSE.iter().enumerate().map(|(class, _)| SMALLEST << class);
            sizes.map(|size| Layout::from_size_align(size, size).expect("a layout"))
        };
        lie_close();
        // Other tests may take blocks meanwhile.
        for _ in 0..10 {
            // SAFETY: no layout is empty.
            let blocks: Vec<_> = layouts().map(|layout| unsafe { (Heap.alloc(layout), layout) }).collect();
            assert!(blocks.iter().all(|(block, layout)| (*block as usize).is_multiple_of(layout.align())));
            for (block, layout) in blocks {
                // SAFETY: the block came with this layout, and is given back once.
                unsafe { Heap.dealloc(block, layout) };
            }
        }
    }

    #[test]
    fn blocks_are_aligned_keep_what_is_in_them_and_are_used_again() {
        let sizes = [1, 16, 17, 100, 4096, 5000, LARGEST, LARGEST + 1];
        let layouts = sizes.into_iter().flat_map(|size| [1, 8, 64, 4096].map(|align| (size, align)));
        let mut blocks = Vec::new();
        for (nth, (size, align)) in layouts.enumerate() {
            let layout = Layout::from_size_align(size, align).expect("a layout");
            // SAFETY: the layout is not empty, and so many bytes are then written.
            let block = unsafe {
                let block = Heap.alloc(layout);
                block.write_bytes(nth as u8, size);
                block
            };
            assert_eq!(block as usize % align, 0);
            blocks.push((nth, block, layout));
        }
        for (nth, block, layout) in blocks {
            let larger = layout.size() * 3;
            // SAFETY: the block came with this layout, is given back once, and is read within its new size.
            unsafe {
                let block = Heap.realloc(block, layout, larger);
                assert!((0..layout.size()).all(|at| *block.add(at) == nth as u8));
                Heap.dealloc(block, Layout::from_size_align_unchecked(larger, layout.align()));
            }
        }
        let layout = Layout::new::<[u64; 4]>();
        // SAFETY: the layout is not empty, and each block is given back once.
        unsafe {
            let first = Heap.alloc(layout);
            Heap.dealloc(first, layout);
            assert_eq!(Heap.alloc(layout), first);
            Heap.dealloc(first, layout);
        }
    }
}
