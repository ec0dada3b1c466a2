//! The memory that all processes of a case share with the agent, and in which they write down what happens.
//!
//! It outlives each of them: what a process wrote before it was killed, or closed all its fds, is there. A header, then
//! entries end to end, each with a word in front: its length and what it is. Room is taken by one atomic step and an
//! entry counts only once its word says so, so a process that is killed while it writes spoils nothing but that entry.
//! Free memory is all zeros; a process killed between taking room and writing the word leaves zeros, which a reader skips.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use kconform_plan::{Record, RecordKind, Trouble, decode, encode};

use crate::sys::{self, Map};

/// Bytes that a log may take at most; only what is written costs memory.
pub(crate) const CAPACITY: usize = 64 << 20;

/// Records that a log takes at most: as data each takes some hundred bytes of the agent's memory.
const MOST_RECORDS: u32 = 1 << 17;
/// Beyond these shares of a log, rounds of a `repeat` are forgotten but for the last ([`Log::is_long`]).
const MOST_KEPT: (usize, u32) = (8, 8);

const WORD: usize = size_of::<u64>();
/// Above this many bytes, pages are given back instead of being zeroed.
const WORTH_GIVING_BACK: usize = 1 << 20;

const PENDING: u32 = 1;
const RECORD: u32 = 2;
const CELL: u32 = 3;

#[repr(C)]
struct Header {
    /// Bytes of the whole log, the header included.
    capacity: AtomicU64,
    /// Bytes in use, the header included.
    used: AtomicU64,
    /// Entries that found no room.
    dropped: AtomicU32,
    /// The state of the process that the log was made for.
    first: AtomicU32,
    /// Records that are there.
    records: AtomicU32,
}

/// How much a log holds at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    at: usize,
    records: u32,
}

const START: usize = size_of::<Header>().next_multiple_of(WORD);

/// A log; a copy is the same log. Its memory is never unmapped while one is in use.
#[derive(Clone, Copy)]
pub(crate) struct Log {
    base: *mut u8,
}

// SAFETY: all of a log that more than one thread writes is atomic, or room that one of them took for itself.
unsafe impl Send for Log {}

/// How far a process of the case has come; kept in shared memory, so that no way of ending can pretend it.
#[derive(Clone, Copy)]
pub(crate) struct Cell(*const AtomicU32);

// SAFETY: an atomic in memory that is never unmapped while a cell is in use.
unsafe impl Send for Cell {}

/// What a [`Cell`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Its steps are under way (or it ended in between).
    Running,
    /// It is in a call that is expected to kill it with this signal.
    Dying(i32),
    /// All its steps did what was expected.
    Finished,
    /// A step did not do what was expected.
    Surprised,
    /// The agent could not do what a step asks for.
    Troubled,
    /// A step said that the case is over, and well.
    Over,
}

impl Cell {
    /// Says how far the process has come.
    pub(crate) fn set(self, state: State) {
        let word = match state {
            State::Running => 0,
            State::Finished => 1,
            State::Surprised => 2,
            State::Troubled => 3,
            State::Over => 4,
            State::Dying(signal) => 0x100 + signal.unsigned_abs(),
        };
        // SAFETY: cells lie in memory that stays mapped.
        unsafe { &*self.0 }.store(word, Ordering::Release);
    }

    /// What the process said last.
    pub(crate) fn get(self) -> State {
        // SAFETY: cells lie in memory that stays mapped.
        match unsafe { &*self.0 }.load(Ordering::Acquire) {
            1 => State::Finished,
            2 => State::Surprised,
            3 => State::Troubled,
            4 => State::Over,
            word if word >= 0x100 => State::Dying((word - 0x100) as i32),
            _ => State::Running,
        }
    }
}

impl Log {
    /// A log in memory that children share.
    pub(crate) fn new(capacity: usize) -> sys::Result<Log> {
        let base = sys::map(capacity, Map::Shared)?;
        // SAFETY: so many bytes were mapped just now.
        Ok(unsafe { Log::make(base, capacity) })
    }

    /// Makes a log of zeroed memory.
    ///
    /// # Safety
    /// So many bytes from `base` (page-aligned) stay mapped and are used for nothing else while the log is in use.
    pub(crate) unsafe fn make(base: *mut u8, capacity: usize) -> Log {
        let log = Log { base };
        log.header().capacity.store(capacity as u64, Ordering::Relaxed);
        log.header().used.store(START as u64, Ordering::Release);
        log
    }

    /// The log that another process made in this memory.
    ///
    /// # Safety
    /// `base` is what another process gave to [`Log::make`], mapped for as long as the log is in use.
    pub(crate) unsafe fn join(base: *mut u8) -> Log {
        Log { base }
    }

    fn header(&self) -> &Header {
        // SAFETY: a log begins with its header, which consists of atomics only.
        unsafe { &*self.base.cast::<Header>() }
    }

    /// Where it begins.
    pub(crate) fn start(&self) -> usize {
        self.base as usize
    }

    /// The state of the process that the log was made for.
    pub(crate) fn first(&self) -> Cell {
        Cell(&raw const self.header().first)
    }

    /// Bytes of the whole log.
    pub(crate) fn capacity(&self) -> usize {
        self.header().capacity.load(Ordering::Relaxed) as usize
    }

    /// Bytes that are still free.
    pub(crate) fn free(&self) -> usize {
        self.capacity().saturating_sub(self.used())
    }

    fn used(&self) -> usize {
        (self.header().used.load(Ordering::Acquire) as usize).clamp(START, self.capacity().max(START))
    }

    /// Entries that found no room.
    pub(crate) fn dropped(&self) -> u32 {
        self.header().dropped.load(Ordering::Relaxed)
    }

    /// Counts entries that found no room elsewhere.
    pub(crate) fn drop_more(&self, count: u32) {
        self.header().dropped.fetch_add(count, Ordering::Relaxed);
    }

    /// Forgets everything; nobody else may be writing.
    pub(crate) fn reset(&self) {
        let (used, capacity) = (self.used(), self.capacity());
        let pages = used.next_multiple_of(sys::page_size());
        // SAFETY: the range is the log's own and nobody else uses it now. MADV_REMOVE leaves zeros.
        unsafe {
            if used < WORTH_GIVING_BACK || libc::madvise(self.base.cast(), pages, libc::MADV_REMOVE) != 0 {
                std::ptr::write_bytes(self.base, 0, used);
            }
            Log::make(self.base, capacity);
        }
    }

    fn word(&self, at: usize) -> &AtomicU64 {
        // SAFETY: callers keep `at` a multiple of 8 below the capacity.
        unsafe { &*self.base.add(at).cast::<AtomicU64>() }
    }

    /// Takes room for so many bytes behind a word; `None` (counted) when there is none.
    fn take(&self, length: usize) -> Option<usize> {
        let size = WORD + length.next_multiple_of(WORD);
        let capacity = self.capacity();
        let taken = self.header().used.fetch_update(Ordering::AcqRel, Ordering::Acquire, |used| {
            let end = usize::try_from(used).ok()?.checked_add(size)?;
            (end <= capacity && u32::try_from(size).is_ok()).then_some(end as u64)
        });
        match taken {
            Ok(at) => {
                let at = at as usize;
                self.word(at).store(word(size, PENDING), Ordering::Relaxed);
                Some(at)
            }
            Err(_) => {
                self.drop_more(1);
                None
            }
        }
    }

    /// How much it holds now.
    pub(crate) fn mark(&self) -> Mark {
        Mark { at: self.used(), records: self.header().records.load(Ordering::Relaxed) }
    }

    /// Whether much of a log's room lies between the marks.
    pub(crate) fn is_long(&self, from: Mark, to: Mark) -> bool {
        to.at.saturating_sub(from.at) > self.capacity() / MOST_KEPT.0
            || to.records.saturating_sub(from.records) > MOST_RECORDS / MOST_KEPT.1
    }

    /// Forgets what was written between the marks: what came after moves there. Nobody else may be writing, and no cell that
    /// was taken since the first mark may be used any more.
    pub(crate) fn forget(&self, from: Mark, to: Mark) {
        let used = self.used();
        if !(START <= from.at && from.at < to.at && to.at <= used) {
            return;
        }
        let (moved, end) = (used - to.at, from.at + used - to.at);
        // SAFETY: all lies within the used part, and nobody else uses it now.
        unsafe {
            std::ptr::copy(self.base.add(to.at), self.base.add(from.at), moved);
            std::ptr::write_bytes(self.base.add(end), 0, used - end);
        }
        self.header().records.fetch_sub(to.records.saturating_sub(from.records), Ordering::Relaxed);
        self.header().used.store(end as u64, Ordering::Release);
    }

    /// Writes down a record that is encoded already.
    pub(crate) fn add_encoded(&self, record: &[u8]) {
        if self.header().records.fetch_add(1, Ordering::Relaxed) >= MOST_RECORDS {
            self.header().records.fetch_sub(1, Ordering::Relaxed);
            return self.drop_more(1);
        }
        let Some(at) = self.take(record.len()) else { return };
        // SAFETY: the room behind the word was taken for these bytes.
        unsafe {
            std::ptr::copy_nonoverlapping(record.as_ptr(), self.base.add(at + WORD), record.len());
        }
        let size = WORD + record.len().next_multiple_of(WORD);
        self.word(at).store(word(size, RECORD), Ordering::Release);
    }

    /// Writes down a record.
    pub(crate) fn add(&self, record: &Record) {
        match encode(record) {
            Ok(bytes) => self.add_encoded(&bytes),
            Err(_) => self.drop_more(1),
        }
    }

    /// A new cell, for a child; `None` (counted) when there is no room.
    pub(crate) fn cell(&self) -> Option<Cell> {
        let at = self.take(WORD)?;
        self.word(at).store(word(2 * WORD, CELL), Ordering::Release);
        Some(Cell(std::ptr::from_ref(self.word(at + WORD)).cast::<AtomicU32>()))
    }

    /// Gives each record from the `cursor` on to `each` and moves the cursor behind it. Stops at an entry that is being
    /// written, unless `all`: then nobody writes any more and such an entry is lost.
    pub(crate) fn read(&self, cursor: &mut Cursor, all: bool, mut each: impl FnMut(&[u8])) {
        let used = self.used();
        while cursor.0 + WORD <= used {
            let word = self.word(cursor.0).load(Ordering::Acquire);
            let (size, kind) = ((word >> 32) as usize, word as u32);
            match kind {
                0 if all => cursor.0 += WORD,
                0 => return,
                PENDING if !all => return,
                _ if size < WORD || size % WORD != 0 || cursor.0 + size > used => {
                    // Something else wrote here: a stray store of the case.
                    self.drop_more(1);
                    cursor.0 = used;
                }
                _ => {
                    if kind == RECORD {
                        // SAFETY: the entry lies within the used part and is complete; nobody writes it again.
                        each(unsafe {
                            std::slice::from_raw_parts(self.base.add(cursor.0 + WORD), size - WORD)
                        });
                    }
                    cursor.0 += size;
                }
            }
        }
    }

    /// All records, once nobody writes any more.
    pub(crate) fn records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        let mut unreadable = 0;
        self.read(&mut Cursor::default(), true, |bytes| match decode(bytes) {
            Ok(record) => records.push(record),
            Err(_) => unreadable += 1,
        });
        self.drop_more(unreadable);
        records
    }

    /// Writes down what the agent could not do.
    pub(crate) fn trouble(&self, step: u32, iteration: &[u32], time_ns: u64, trouble: Trouble) {
        let kind = RecordKind::Trouble(trouble);
        self.add(&Record { step, iteration: iteration.to_vec(), time_ns, kind });
    }
}

/// A place in a log.
pub(crate) struct Cursor(usize);

impl Default for Cursor {
    fn default() -> Self {
        Cursor(START)
    }
}

fn word(size: usize, kind: u32) -> u64 {
    (size as u64) << 32 | u64::from(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(step: u32) -> Record {
        let kind = RecordKind::Begin { args: vec![1, 2, 3], slots: Vec::new() };
        Record { step, iteration: vec![7], time_ns: 12, kind }
    }

    #[test]
    fn what_is_added_is_read_and_a_reset_forgets_it() {
        let log = Log::new(1 << 16).expect("memory");
        (0..3).for_each(|step| log.add(&record(step)));
        assert_eq!(log.records(), (0..3).map(record).collect::<Vec<_>>());
        log.reset();
        assert_eq!(log.records(), []);
        assert_eq!(log.first().get(), State::Running);
    }

    #[test]
    fn a_full_log_counts_what_finds_no_room() {
        let log = Log::new(4096).expect("memory");
        (0..500).for_each(|step| log.add(&record(step)));
        let kept = log.records().len();
        assert!(kept > 50);
        assert_eq!(log.dropped() as usize, 500 - kept);
    }

    #[test]
    fn a_log_takes_no_more_records_than_the_agent_can_read() {
        let log = Log::new(CAPACITY).expect("memory");
        (0..MOST_RECORDS + 3).for_each(|step| log.add(&record(step)));
        assert_eq!((log.records().len(), log.dropped()), (MOST_RECORDS as usize, 3));
    }

    #[test]
    fn what_is_forgotten_makes_room_and_what_came_after_stays() {
        let log = Log::new(1 << 16).expect("memory");
        log.add(&record(0));
        let from = log.mark();
        (1..5).for_each(|step| log.add(&record(step)));
        let to = log.mark();
        (5..7).for_each(|step| log.add(&record(step)));
        log.forget(from, to);
        log.add(&record(7));
        assert_eq!(log.records(), [0, 5, 6, 7].map(record));
        assert_eq!(log.mark().records, 4);
        // Nothing lies between.
        log.forget(from, from);
        log.forget(log.mark(), from);
        assert_eq!(log.records(), [0, 5, 6, 7].map(record));
    }

    #[test]
    fn an_entry_whose_writer_was_killed_hides_no_other() {
        let log = Log::new(1 << 16).expect("memory");
        log.add(&record(0));
        log.take(24).expect("room");
        let unmarked = log.take(16).expect("room");
        log.word(unmarked).store(0, Ordering::Relaxed);
        log.add(&record(1));
        let mut seen = 0;
        log.read(&mut Cursor::default(), false, |_| seen += 1);
        assert_eq!(seen, 1);
        assert_eq!(log.records(), [record(0), record(1)]);
    }

    #[test]
    fn large_logs_are_empty_after_a_reset_too() {
        let log = Log::new(8 << 20).expect("memory");
        log.add_encoded(&vec![0xff; 3 << 20]);
        log.reset();
        log.add(&record(5));
        assert_eq!(log.records(), [record(5)]);
        assert_eq!(log.capacity(), 8 << 20);
    }

    #[test]
    fn cells_say_what_they_were_told() {
        let log = Log::new(4096).expect("memory");
        let cell = log.cell().expect("room");
        for state in
            [State::Dying(7), State::Finished, State::Surprised, State::Troubled, State::Over, State::Running]
        {
            cell.set(state);
            assert_eq!(cell.get(), state);
        }
        log.add(&record(0));
        assert_eq!(log.records().len(), 1);
    }
}
