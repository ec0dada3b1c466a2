//! Ends what a case leaves behind.
//!
//! The agent is its cases' subreaper, or PID 1: a process whose parent has ended becomes its child, so waiting until it
//! has no child any more means that nothing is left. Every round kills all descendants that there are; a process can
//! slip through a round only by being forked meanwhile, and is met in the next.

use std::collections::BTreeMap;

use crate::signals::Signals;
use crate::sys::{self, Ended};

/// How long processes may take to die; one that takes longer sits in the kernel for good.
const PATIENCE_NS: u64 = 10_000_000_000;
/// The first pause between two rounds, and the longest; a child's end cuts it short.
const PAUSES_NS: (u64, u64) = (200_000, 20_000_000);

/// What a sweep found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Swept {
    /// How the case's own process ended, if that was waited for too.
    pub(crate) main: Option<Ended>,
    /// Other processes that were killed.
    pub(crate) killed: u32,
    /// Something cannot be killed.
    pub(crate) stuck: bool,
}

/// Reaps what has ended by itself while no case runs.
pub(crate) fn reap_strangers() {
    while let Ok(Some(_)) = sys::wait(-1, libc::WNOHANG) {}
}

/// Kills and reaps all descendants; `main` is the case's own process and the leader of its first session.
pub(crate) fn sweep(main: libc::pid_t, signals: Signals) -> Swept {
    let mut swept = Swept::default();
    let deadline = sys::now() + PATIENCE_NS;
    let mut pause = PAUSES_NS.0;
    loop {
        kill_all(main);
        loop {
            match sys::wait(-1, libc::WNOHANG) {
                Ok(Some((pid, ended))) if pid == main => swept.main = Some(ended),
                Ok(Some((_, Ended::Signaled(libc::SIGKILL)))) => swept.killed += 1,
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => return swept,
            }
        }
        if sys::now() > deadline {
            swept.stuck = true;
            return swept;
        }
        // Whatever is heard besides (the agent is to end, say) has time until the sweep is done.
        let _ = signals.wait(&mut None, Some(pause));
        pause = (2 * pause).min(PAUSES_NS.1);
    }
}

fn kill_all(main: libc::pid_t) {
    if sys::pid() == 1 {
        // In one go, so not even a fork bomb can outrun it; kill(2) spares PID 1 itself.
        let _ = sys::kill(-1, libc::SIGKILL);
        return;
    }
    let descendants = descendants(sys::pid(), &parents());
    // A process group dies in one go too. Its number is surely the case's while one of our descendants is in it.
    if descendants.iter().any(|&pid| sys::group_of(pid) == Ok(main)) {
        let _ = sys::kill(-main, libc::SIGKILL);
    }
    for pid in descendants {
        let _ = sys::kill(pid, libc::SIGKILL);
    }
}

/// Parent and child of all processes, by parent.
fn parents() -> BTreeMap<i32, Vec<i32>> {
    let mut children = BTreeMap::<i32, Vec<i32>>::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(stat) = sys::read_file(&format!("/proc/{pid}/stat")) else { continue };
        if let Some(parent) = parent_in(&stat) {
            children.entry(parent).or_default().push(pid);
        }
    }
    children
}

/// The ppid in a line of /proc/PID/stat (proc(5)): the second field behind the name, which may hold anything.
fn parent_in(stat: &[u8]) -> Option<i32> {
    let behind = stat.iter().rposition(|&b| b == b')')? + 1;
    std::str::from_utf8(&stat[behind..]).ok()?.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn descendants(of: i32, children: &BTreeMap<i32, Vec<i32>>) -> Vec<i32> {
    let mut found = Vec::new();
    let mut next = vec![of];
    while let Some(parent) = next.pop() {
        let these = children.get(&parent).map_or(&[][..], Vec::as_slice);
        found.extend_from_slice(these);
        next.extend_from_slice(these);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_is_found_behind_any_name() {
        assert_eq!(parent_in(b"12 (a) b) (c)) S 7 12 12 0"), Some(7));
        assert_eq!(parent_in(b""), None);
    }

    #[test]
    fn descendants_are_found_at_any_depth() {
        let children = BTreeMap::from([(1, vec![2, 3]), (3, vec![4]), (4, vec![5]), (9, vec![10])]);
        let mut found = descendants(1, &children);
        found.sort_unstable();
        assert_eq!(found, [2, 3, 4, 5]);
    }
}
