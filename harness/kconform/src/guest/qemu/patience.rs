//! How long a process, QEMU most of all, is waited for: by the time that it works or rests. While it waits for a CPU or a disk of a busy machine, its
//! guest cannot be late.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::process::Process;
use super::progress::Progress;

/// How often it is looked how far QEMU has come.
const GLANCE: Duration = Duration::from_millis(50);
/// The most that counts between two looks: whoever looks may have had no CPU either.
const MOST: Duration = Duration::from_millis(200);
/// How much longer than its limit something may take by the clock, and what it may take at least: a QEMU may be stopped.
const HELD_UP: u32 = 3;
const HELD_UP_LEAST: Duration = Duration::from_secs(60);

/// Counts the time that a process works or rests.
struct Stopwatch<L> {
    look: L,
    begun: Instant,
    seen: Instant,
    worked: Duration,
    counted: Duration,
}

impl<L: FnMut() -> Progress> Stopwatch<L> {
    fn new(mut look: L, now: Instant) -> Stopwatch<L> {
        let worked = look().worked;
        Stopwatch { look, begun: now, seen: now, worked, counted: Duration::ZERO }
    }

    /// The time that it has had.
    fn counted(&mut self, now: Instant) -> Duration {
        let Progress { worked, waits } = (self.look)();
        let passed = now.duration_since(self.seen).min(MOST);
        let had = worked.saturating_sub(self.worked).min(passed);
        self.counted += if waits { had } else { passed };
        (self.seen, self.worked) = (now, worked);
        self.counted
    }
}

/// Looks now and then how much of the time a process has, from the first look on.
pub struct Watch {
    stopwatch: Stopwatch<Box<dyn FnMut() -> Progress + Send>>,
}

impl Watch {
    /// Begins now.
    pub(crate) fn new(look: Box<dyn FnMut() -> Progress + Send>) -> Watch {
        Watch { stopwatch: Stopwatch::new(look, Instant::now()) }
    }

    /// Begins now, with the process of this PID, which is ours to wait for.
    pub(crate) fn of_process(pid: u32) -> Watch {
        Watch::new(Box::new(move || Progress::of_process(pid)))
    }

    /// Looks at it, no more often than every 50 ms. The time that has passed since the first look, and how much of it the
    /// process worked or rested.
    pub(crate) fn look(&mut self, now: Instant) -> (Duration, Duration) {
        let Stopwatch { begun, seen, counted, .. } = self.stopwatch;
        let counted = if now.duration_since(seen) < GLANCE { counted } else { self.stopwatch.counted(now) };
        (now.duration_since(begun), counted)
    }
}

/// Why nothing more is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::guest) enum Late {
    /// It had the time, and did nothing of it.
    #[error("it was silent for {0:.1?}")]
    Silent(Duration),
    /// It hardly had any time.
    #[error("in {0:.1?} QEMU had little time to work, since the machine is busy or has stopped it")]
    HeldUp(Duration),
}

impl Late {
    /// What an error says of it.
    pub(in crate::guest) fn of(error: &io::Error) -> Option<Late> {
        error.get_ref().and_then(|inner| inner.downcast_ref::<Late>()).copied()
    }
}

impl From<Late> for io::Error {
    fn from(late: Late) -> io::Error {
        io::Error::new(io::ErrorKind::TimedOut, late)
    }
}

/// The stream from an agent, as long as its QEMU is waited for. [`finish`](Patient::finish) gives the stream back as it was.
pub(in crate::guest) struct Patient<'a> {
    stream: &'a UnixStream,
    stopwatch: Stopwatch<Box<dyn FnMut() -> Progress + 'a>>,
    limit: Duration,
}

impl<'a> Patient<'a> {
    /// Waits for a process for so long in all.
    pub(super) fn new(
        stream: &'a UnixStream,
        process: Arc<Process>,
        limit: Duration,
    ) -> io::Result<Patient<'a>> {
        Patient::watching(stream, Box::new(move || process.progress()), limit)
    }

    pub(in crate::guest) fn watching(
        stream: &'a UnixStream,
        look: Box<dyn FnMut() -> Progress + 'a>,
        limit: Duration,
    ) -> io::Result<Patient<'a>> {
        stream.set_read_timeout(Some(GLANCE))?;
        Ok(Patient { stream, stopwatch: Stopwatch::new(look, Instant::now()), limit })
    }

    /// What is read of the stream later is waited for without end.
    pub(in crate::guest) fn finish(self) -> io::Result<()> {
        self.stream.set_read_timeout(None)
    }

    fn late(&mut self, now: Instant) -> Option<Late> {
        let counted = self.stopwatch.counted(now);
        let passed = now.duration_since(self.stopwatch.begun);
        match () {
            () if counted >= self.limit => Some(Late::Silent(counted)),
            () if passed >= HELD_UP_LEAST.max(self.limit * HELD_UP) => Some(Late::HeldUp(passed)),
            () => None,
        }
    }
}

impl Read for Patient<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut stream = self.stream;
            match stream.read(into) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if let Some(late) = self.late(Instant::now()) {
                        return Err(late.into());
                    }
                }
                done => return done,
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write;

    use rstest::rstest;

    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Looks every 50 ms, for 3 s; what was counted then, in ms.
    fn count(worked_at_each: u64, waits: bool) -> u128 {
        let mut worked = Duration::ZERO;
        let look = || {
            worked += ms(worked_at_each);
            Progress { worked, waits }
        };
        let begun = Instant::now();
        let mut stopwatch = Stopwatch::new(look, begun);
        (1..=60).map(|nth| stopwatch.counted(begun + ms(50 * nth))).last().unwrap().as_millis()
    }

    #[rstest]
    #[case::at_rest(0, false, 3000)]
    #[case::at_work(50, true, 3000)]
    #[case::on_two_cpus(100, true, 3000)]
    #[case::on_a_busy_machine(5, true, 300)]
    #[case::stopped(0, true, 0)]
    fn time_is_what_a_process_works_or_rests(
        #[case] worked: u64,
        #[case] waits: bool,
        #[case] counted: u128,
    ) {
        assert_eq!(count(worked, waits), counted);
    }

    #[test]
    fn a_watch_tells_how_much_of_the_time_a_process_had() {
        let mut worked = Duration::ZERO;
        let mut watch = Watch::new(Box::new(move || {
            worked += ms(10);
            Progress { worked, waits: true }
        }));
        let begun = watch.stopwatch.begun;
        // Looks that follow too soon do nothing.
        let last = (1..=400).map(|nth| watch.look(begun + ms(5 * nth))).last().unwrap();
        assert_eq!(last, (ms(2000), ms(400)));
    }

    #[test]
    fn who_looks_late_counts_little() {
        let begun = Instant::now();
        let mut stopwatch = Stopwatch::new(Progress::default, begun);
        assert_eq!(stopwatch.counted(begun + ms(10_000)), MOST);
    }

    #[test]
    fn a_stream_that_is_late_is_known_and_one_of_a_busy_machine_is_not_broken() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut patient = Patient::watching(&ours, Box::new(Progress::default), ms(120)).unwrap();
        let error = patient.read(&mut [0]).unwrap_err();
        assert!(matches!(Late::of(&error), Some(Late::Silent(_))), "{error}");
        // Long after any limit, if time were the clock's.
        let waiting = || Progress { worked: Duration::ZERO, waits: true };
        let mut looks = 0;
        let look = || {
            looks += 1;
            if looks == 10 {
                theirs.write_all(b"x").unwrap();
            }
            waiting()
        };
        let mut patient = Patient::watching(&ours, Box::new(look), ms(120)).unwrap();
        assert_eq!(patient.read(&mut [0]).unwrap(), 1);
        patient.stopwatch.begun = Instant::now().checked_sub(HELD_UP_LEAST).unwrap();
        let held_up = patient.late(Instant::now()).unwrap();
        assert!(matches!(held_up, Late::HeldUp(_)));
        insta::assert_snapshot!(
            format!("{}\n{}", Late::Silent(ms(2000)), Late::HeldUp(ms(60_000))),
            @r"
        it was silent for 2.0s
        in 60.0s QEMU had little time to work, since the machine is busy or has stopped it
        "
        );
    }
}
