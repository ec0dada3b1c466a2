//! Makes page faults of a restored guest's first case happen before its snapshot.

use crate::log::Log;
use crate::memory::{areas, heap};
use crate::sys;

/// Mappings up to this size are made present as a whole: the program, its data, the stack.
const SMALL: usize = 4 << 20;
/// How much of a larger one is, where it will be used next.
const AHEAD: usize = 64 << 10;

/// Pages that a process is likely to touch.
pub(crate) struct Pages(Vec<Range>);

pub(super) struct Range {
    pub(super) start: usize,
    pub(super) length: usize,
    writable: bool,
}

impl Pages {
    /// Those of this process, and of one that is forked now. (A process that looked into /proc/self by itself would have
    /// more to tear down when it ends.)
    pub(crate) fn find(log: Log) -> Pages {
        let maps = sys::read_file("/proc/self/maps").unwrap_or_default();
        let maps = String::from_utf8_lossy(&maps);
        let small = maps.lines().filter_map(mapping).filter(|range| range.length <= SMALL);
        let used = heap::used();
        let ahead = |start| Range { start, length: AHEAD, writable: true };
        let heap = Range { start: used.start, length: used.len() + AHEAD, writable: true };
        Pages(small.chain([ahead(log.start()), ahead(areas::next()), heap]).collect())
    }

    /// Makes them present, and this process's own. Does nothing before Linux 5.14: there they are when they are touched
    /// (MADV_POPULATE_READ in madvise(2)).
    pub(crate) fn populate(&self) {
        for range in &self.0 {
            sys::populate(range.start, range.length, range.writable);
        }
    }
}

/// The mapping of a line of /proc/PID/maps (proc(5)).
pub(super) fn mapping(line: &str) -> Option<Range> {
    let (range, rest) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let (start, end) = (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
    Some(Range { start, length: end.checked_sub(start)?, writable: rest.as_bytes().get(1) == Some(&b'w') })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_is_read_from_its_line() {
        let read = |line| mapping(line).map(|range| (range.start, range.length, range.writable));
        assert_eq!(read("5577-5599 rw-p 00000000 fe:00 1 /a b"), Some((0x5577, 0x22, true)));
        assert_eq!(read("5577-5599 r-xp"), Some((0x5577, 0x22, false)));
        assert_eq!(read("5577-5566 r-xp"), None);
        assert_eq!(read(""), None);
    }
}
