//! The pages of the program itself, as forked processes find them.

use crate::memory::populate::{Range, mapping};
use crate::sys;

/// From here on fork(2) gives children the program's code and constants as they are mapped here. The kernel leaves out mappings
/// of files of which no page is private (mm/memory.c: `vma_needs_copy()`), and each child takes a page fault for every few pages
/// that it uses: under emulation a dozen of them cost more than all copies. So a byte of each mapping is written anew. Whatever
/// keeps that from being done is no error.
pub(crate) fn give_to_children() {
    let Ok(maps) = sys::read_file("/proc/self/maps") else { return };
    let Ok(memory) = sys::open(c"/proc/self/mem", libc::O_RDWR) else { return };
    for Range { start, length, .. } in String::from_utf8_lossy(&maps).lines().filter_map(unchanged) {
        let mut byte = [0];
        if sys::read_at(memory, start, &mut byte) == Ok(1) {
            let _ = sys::write_at(memory, start, &byte);
        }
        sys::populate(start, length, false);
    }
    sys::close(memory);
}

/// A private mapping of a file that cannot be written, by its line of /proc/PID/maps (proc(5)).
fn unchanged(line: &str) -> Option<Range> {
    let mut words = line.split_ascii_whitespace().skip(1);
    let is_unchanged = matches!(words.next()?.as_bytes(), [b'r', b'-', _, b'p']);
    let inode = words.nth(2)?;
    mapping(line).filter(|_| is_unchanged && inode != "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_of_the_program_are_known_by_their_lines() {
        let read = |line| unchanged(line).map(|mapping| (mapping.start, mapping.length));
        assert_eq!(read("200000-262000 r--p 00000000 00:02 1060   /init"), Some((0x200000, 0x62000)));
        assert_eq!(read("262000-328000 r-xp 00061000 00:02 1060   /init"), Some((0x262000, 0xc6000)));
        assert_eq!(read("328000-329000 rw-p 00126000 00:02 1060   /init"), None);
        assert_eq!(read("7ff000-800000 r--s 00000000 00:02 1060   /init"), None);
        assert_eq!(read("7ffe000-7fff000 r-xp 00000000 00:00 0     [vdso]"), None);
        assert_eq!(read(""), None);
    }

    /// A child takes fewer faults for code that its parent has used.
    #[test]
    fn children_need_not_fault_the_program_in() {
        let faults = || {
            let child = sys::fork().expect("fork");
            if child == 0 {
                let before = sys::page_faults();
                // Code and constants all over the program.
                let text = format!(
                    "{:?}",
                    unchanged("262000-328000 r-xp 00061000 00:02 1060   /init").map(|range| range.start)
                );
                let taken = sys::page_faults() - before;
                sys::exit(if text.is_empty() { 255 } else { taken.min(254) as i32 });
            }
            match sys::wait(child, 0) {
                Ok(Some((_, sys::Ended::Exited(faults)))) => faults,
                other => panic!("{other:?}"),
            }
        };
        let before = faults();
        give_to_children();
        assert!(faults() < before, "{before} before, and {} after", faults());
    }
}
