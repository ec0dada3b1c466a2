//! Address space that is set aside as a whole, and made memory as it is used.
//!
//! Memory that could be written counts against what the kernel may promise where it promises no more than it has
//! (vm.overcommit_memory=2 in Documentation/mm/overcommit-accounting.rst), once more in each fork, and MAP_NORESERVE changes
//! nothing there. Pages without access never count (mm/mmap.c: accountable_mapping()), and mprotect(2) takes no address space:
//! `RLIMIT_AS` does not hinder it.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::sys::{self, Map};

/// So much becomes memory at a time, if it can.
const STEP: usize = 1 << 20;

/// A part of the address space; its front is memory.
pub(crate) struct Stretch {
    start: AtomicUsize,
    size: AtomicUsize,
    /// Bytes from the start that are memory.
    open: AtomicUsize,
}

impl Stretch {
    /// One without address space.
    pub(crate) const fn none() -> Stretch {
        Stretch { start: AtomicUsize::new(0), size: AtomicUsize::new(0), open: AtomicUsize::new(0) }
    }

    /// Sets aside the first of these sizes (bytes, multiples of the page size) that can be had: less is better than nothing,
    /// where a case has lowered `RLIMIT_AS` before its exec.
    ///
    /// # Errors
    /// The errno of the last size: then it stays without address space.
    pub(crate) fn set_aside(&self, sizes: &[usize]) -> sys::Result<()> {
        let mut refused = libc::ENOMEM;
        for &size in sizes {
            match sys::map(size, Map::NoAccess) {
                Ok(start) => {
                    // SAFETY: the range was mapped just now. Huge pages would make the first touch, and each fork, dear.
                    unsafe { libc::madvise(start.cast(), size, libc::MADV_NOHUGEPAGE) };
                    self.start.store(start as usize, Ordering::Relaxed);
                    self.open.store(0, Ordering::Relaxed);
                    self.size.store(size, Ordering::Relaxed);
                    return Ok(());
                }
                Err(errno) => refused = errno,
            }
        }
        Err(refused)
    }

    /// Leaves so many bytes at its end to the caller, and gives their first address. None of it may be memory yet.
    pub(crate) fn cut_off(&self, bytes: usize) -> usize {
        let size = self.size() - bytes;
        self.size.store(size, Ordering::Relaxed);
        self.start() + size
    }

    /// Its first address.
    pub(crate) fn start(&self) -> usize {
        self.start.load(Ordering::Relaxed)
    }

    /// Its size in bytes; 0 if there is none.
    pub(crate) fn size(&self) -> usize {
        self.size.load(Ordering::Relaxed)
    }

    /// Whether the bytes before this offset are memory: makes it so if it can. Any thread may ask.
    pub(crate) fn open(&self, end: usize) -> bool {
        if end <= self.open.load(Ordering::Relaxed) {
            return true;
        }
        let size = self.size();
        if end > size {
            return false;
        }
        let fits = |to: usize| to.min(size);
        // Where little is left to be had, as little as is asked for.
        [fits(end.next_multiple_of(STEP)), fits(end.next_multiple_of(sys::page_size()))]
            .into_iter()
            .any(|to| self.open_to(to))
    }

    /// Makes all of it memory, if that can be had.
    pub(crate) fn open_all(&self) {
        let _ = self.open_to(self.size());
    }

    fn open_to(&self, end: usize) -> bool {
        let open = self.open.load(Ordering::Relaxed);
        // Two threads may do it for the same pages: that changes nothing.
        let opened = end <= open
            || sys::allow(self.start() + open, end - open, libc::PROT_READ | libc::PROT_WRITE).is_ok();
        if opened {
            self.open.fetch_max(end, Ordering::Relaxed);
        }
        opened
    }
}

/// Whether the kernel counts all memory that could be written, and promises no more than it has (proc_sys_vm(5),
/// overcommit_memory).
pub(crate) fn is_counted() -> bool {
    sys::read_file("/proc/sys/vm/overcommit_memory").is_ok_and(|mode| mode.trim_ascii() == b"2")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::areas::{self, Memory};
    use crate::memory::heap;

    fn write(stretch: &Stretch, at: usize) {
        // SAFETY: the place was opened.
        unsafe { ((stretch.start() + at) as *mut u8).write_volatile(1) };
    }

    /// The accesses of the mappings in a stretch (proc_pid_maps(5)), each with its length.
    fn accesses(stretch: &Stretch) -> Vec<(usize, String)> {
        let maps = std::fs::read_to_string("/proc/self/maps").expect("maps");
        let number = |digits| usize::from_str_radix(digits, 16).expect("an address");
        let within = stretch.start()..stretch.start() + stretch.size();
        maps.lines()
            .filter_map(|line| {
                let (range, rest) = line.split_once(' ')?;
                let (start, end) = range.split_once('-')?;
                // Neighbours of the same kind are one mapping.
                let (start, end) = (number(start).max(within.start), number(end).min(within.end));
                (start < end).then(|| (end - start, rest[..4].to_owned()))
            })
            .collect()
    }

    #[test]
    fn only_what_is_used_can_be_written() {
        let stretch = Stretch::none();
        assert!(!stretch.open(1));
        stretch.set_aside(&[8 * STEP]).expect("address space");
        assert_eq!(accesses(&stretch), [(8 * STEP, "---p".to_owned())]);
        assert!(stretch.open(STEP + 1) && stretch.open(2 * STEP) && stretch.open(0));
        write(&stretch, 2 * STEP - 1);
        assert_eq!(accesses(&stretch), [(2 * STEP, "rw-p".to_owned()), (6 * STEP, "---p".to_owned())]);
        assert!(!stretch.open(8 * STEP + 1));
        stretch.open_all();
        write(&stretch, 8 * STEP - 1);
        assert_eq!(accesses(&stretch), [(8 * STEP, "rw-p".to_owned())]);
    }

    /// Bytes of this process's address space (proc_pid_statm(5)).
    fn address_space() -> usize {
        let statm = sys::read_file("/proc/self/statm").unwrap_or_default();
        let pages =
            String::from_utf8_lossy(&statm).split(' ').next().and_then(|pages| pages.parse::<usize>().ok());
        pages.unwrap_or(0) * sys::page_size()
    }

    /// Lets this process map so many bytes more than it has.
    fn limit_to(more: usize) -> sys::Result<()> {
        sys::limit(libc::RLIMIT_AS as _, (address_space() + more) as u64)
    }

    #[test]
    fn less_is_set_aside_where_the_address_space_is_limited_and_a_limit_does_not_hinder_what_is() {
        // In a process of its own: the limit is for all of it.
        let (told, ended) = sys::told_by_child(|to| {
            let stretch = Stretch::none();
            let limited = limit_to(4 * STEP).is_ok();
            let set = stretch.set_aside(&[64 * STEP, 2 * STEP, STEP]).is_ok();
            let size = stretch.size();
            let _ = limit_to(0);
            let opened = stretch.open(2 * STEP);
            let none = stretch.set_aside(&[64 * STEP, 32 * STEP]) == Err(libc::ENOMEM);
            let _ = sys::write(to, format!("{limited} {set} {size} {opened} {none}").as_bytes());
        })
        .expect("a child");
        assert_eq!(String::from_utf8_lossy(&told), format!("true true {} true true", 2 * STEP), "{ended:?}");
    }

    #[test]
    fn the_heap_and_the_areas_start_in_little_address_space() {
        let (told, ended) = sys::told_by_child(|to| {
            let limited = limit_to(12 * STEP);
            let heap = heap::begins_anew();
            let areas = areas::set_up(Memory::Ahead);
            let taken = areas::take(3 * STEP).map(|start| {
                // SAFETY: so many bytes were taken.
                unsafe { start.add(3 * STEP - 1).write_volatile(1) };
            });
            let _ = sys::write(to, format!("{limited:?} {heap} {areas:?} {taken:?}").as_bytes());
        })
        .expect("a child");
        assert_eq!(String::from_utf8_lossy(&told), "Ok(()) true Ok(()) Ok(())", "{ended:?}");
    }
}
