//! How far a process has come, by its threads.

use std::time::Duration;

/// What a process is doing, and what it has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Time that its threads have had on CPUs.
    pub worked: Duration,
    /// One of them would go on if it could: it waits for a CPU or a disk, or is stopped.
    pub waits: bool,
}

impl Progress {
    /// That of the process with this PID; nothing for one that is gone.
    pub(super) fn of_process(pid: u32) -> Progress {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let stats = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok());
        stats.filter_map(|stat| of_thread(&stat)).fold(Progress::default(), |all, one| Progress {
            worked: all.worked + one.worked,
            waits: all.waits || one.waits,
        })
    }
}

/// Time on CPUs in seconds, and a state, of a line of /proc/PID/task/TID/stat (proc(5)), behind the name, which may hold
/// anything.
fn of_thread(stat: &str) -> Option<Progress> {
    /// Ticks a second that proc(5) counts in: USER_HZ, which is the same on all our architectures (asm-generic/param.h).
    const TICKS: u64 = 100;
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let state = fields.next()?;
    let mut times = fields.skip(10).map_while(|field| field.parse::<u64>().ok());
    let ticks = times.next()? + times.next()?;
    let worked = Duration::from_millis(ticks * 1000 / TICKS);
    Some(Progress { worked, waits: matches!(state, "R" | "D" | "T" | "t") })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("7 (qemu) R) x) S 1 7 7 0 -1 4 1 2 3 4 150 50 0 0 20 0", 2000, false)]
    #[case("7 (CPU 0/TCG) R 1 7 7 0 -1 4 1 2 3 4 0 1 0 0 20 0", 10, true)]
    #[case("7 (qemu) D 1 7 7 0 -1 4 1 2 3 4 0 0 0 0 20 0", 0, true)]
    #[case("7 (qemu) T 1 7 7 0 -1 4 1 2 3 4 0 0 0 0 20 0", 0, true)]
    fn a_thread_says_what_it_does(#[case] stat: &str, #[case] worked: u64, #[case] waits: bool) {
        assert_eq!(of_thread(stat), Some(Progress { worked: Duration::from_millis(worked), waits }));
    }
}
