//! BPF objects that outlive a case: ids that the kernel has given out since, and still holds when the case's processes are
//! gone. Ids only grow (`idr_alloc_cyclic` in kernel/bpf/syscall.c), so what is new lies beyond the last one.
//!
//! Much of it goes by itself a little later (what a program uses is freed after a grace period of RCU), so nothing is waited
//! for here: what lingers is looked at again after later cases, or when the host asks.

use kconform_plan::{Left, Place, Step, Trace, calls};

use crate::reach::Reach;
use crate::sys;
use crate::traces::attached::Attachments;
use crate::traces::keys::Keys;
use crate::traces::kinds::{KINDS, Object, PROGRAM, describe, is_the_kernel_s, is_there};
use crate::traces::named::Named;
use crate::traces::{places, words};

/// When what lingers is looked at for the first time; then after twice as long, and so on up to the longest pause.
const FIRST_NS: u64 = 20_000_000;
const LONGEST_NS: u64 = 500_000_000;
/// When something holds an object for good, how long what else the case left may take to go.
const OTHERS_NS: u64 = 200_000_000;
/// What is still there after so long stays, whatever holds it.
const PATIENCE_NS: u64 = 5_000_000_000;
/// What nothing is known to hold must outlast so many grace periods of RCU besides, each with a pause in which the kernel can
/// free what waited for it: a guest whose QEMU has little time does not come to it sooner.
const GRACE_PERIODS: u32 = 10;
const GRACE_PAUSE_NS: u64 = 100_000_000;
/// More words of a plan are not kept.
const MOST_WORDS: usize = 256;

/// What is known of the kernel's objects.
#[derive(Default)]
pub(crate) struct Objects {
    /// The last id of each kind that is known, once they are looked at.
    last: Option<[u32; KINDS.len()]>,
    /// Others may make objects on this kernel.
    shared: bool,
    /// A sandbox refuses bpf(2), perhaps by death: objects can be neither made nor looked for.
    pub(crate) blind: bool,
    lingering: Vec<Lingering>,
    /// What was there before the case that runs, of what it names; and what cases left of it, not told yet.
    named: Named,
    attached: Option<Attachments>,
    keys: Option<Keys>,
    left: Vec<(u64, Vec<Trace>)>,
}

/// What a case left that may go yet.
struct Lingering {
    case: u64,
    objects: Vec<Object>,
    /// What the case's calls name.
    words: Vec<Vec<u8>>,
    since: u64,
    pause: u64,
    due: u64,
}

impl Objects {
    /// Takes note of what is there; from here on cases are watched.
    pub(crate) fn watch(&mut self, shared: bool) {
        self.shared = shared;
        self.last = Some([0; KINDS.len()]);
        self.news();
    }

    /// What others made since the last case is none of the next one's.
    pub(crate) fn before(&mut self, steps: &[Step], reach: Reach) {
        if self.shared {
            self.news();
        }
        if let Some(last) = self.last {
            self.attached = reach.attaches.then(|| Attachments::before(steps, last[PROGRAM]));
            self.named = Named::before(steps, reach);
            self.keys = reach.keys.then(Keys::before);
        }
    }

    /// Whether a case has left objects that may go yet.
    pub(crate) fn after(&mut self, case: u64, steps: &[Step]) -> bool {
        if self.last.is_none() {
            return false;
        }
        let mut left = std::mem::take(&mut self.named).after(self.shared);
        if let Some(attached) = self.attached.take() {
            left.append(&mut attached.after(steps, self.shared));
        }
        if let Some(keys) = self.keys.take() {
            left.append(&mut keys.after(steps, self.shared));
        }
        if !left.is_empty() {
            self.left.push((case, left));
        }
        if !calls(steps).any(|call| call.is(libc::SYS_bpf as u64)) {
            return false;
        }
        let mut objects = self.news();
        objects.retain(|&object| !is_the_kernel_s(object));
        let lingers = !objects.is_empty();
        if lingers {
            let mut words = Vec::new();
            words::words(steps, MOST_WORDS, &mut words);
            let since = sys::now();
            let (pause, due) = (FIRST_NS, since + FIRST_NS);
            self.lingering.push(Lingering { case, objects, words, since, pause, due });
        }
        lingers
    }

    /// The cases of which nothing lingers any more, with what they left for good.
    pub(crate) fn settled(&mut self) -> Vec<(u64, Vec<Trace>)> {
        let now = sys::now();
        let mut settled = std::mem::take(&mut self.left);
        settled.append(&mut self.settle(|lingering| lingering.due <= now, now, false));
        settled
    }

    /// As [`Objects::settled`], when that much time has been given to all. Without patience only what is known to be held for
    /// good is said.
    pub(crate) fn settle_within(&mut self, patience_ms: u64) -> Vec<(u64, Vec<Trace>)> {
        let began = sys::now();
        let mut settled = Vec::new();
        while patience_ms > 0 && !self.lingering.is_empty() {
            settled.append(&mut self.settled());
            let now = sys::now();
            if now - began > patience_ms.saturating_mul(1_000_000) {
                break;
            }
            let due = self.lingering.iter().map(|lingering| lingering.due).min();
            sys::pause_ns(due.map_or(0, |due| due.saturating_sub(now)));
        }
        settled.append(&mut self.settle(|_| true, sys::now(), true));
        settled
    }

    fn settle(
        &mut self,
        is_due: impl Fn(&Lingering) -> bool,
        now: u64,
        at_once: bool,
    ) -> Vec<(u64, Vec<Trace>)> {
        let mut settled = Vec::new();
        let mut rest = Vec::new();
        let old = |lingering: &&mut Lingering| {
            is_due(lingering) && now.saturating_sub(lingering.since) >= PATIENCE_NS
        };
        let old: Vec<_> = self.lingering.iter_mut().filter(old).map(|old| &mut old.objects).collect();
        if !self.shared {
            outlast(old, is_there, grace_period);
        }
        for mut lingering in std::mem::take(&mut self.lingering) {
            if !is_due(&lingering) {
                rest.push(lingering);
                continue;
            }
            lingering.objects.retain(|&(kind, id)| is_there(kind, id));
            if lingering.objects.is_empty() {
                settled.push((lingering.case, Vec::new()));
                continue;
            }
            let age = now.saturating_sub(lingering.since);
            // What holds it is dear to find out, and most of it goes before that is asked.
            let old_enough = at_once || age >= OTHERS_NS;
            let held = if old_enough { places::find(&lingering.objects) } else { Vec::new() };
            let is_held = held.iter().any(|places| !places.is_empty());
            if is_held || age >= PATIENCE_NS {
                settled.push((lingering.case, self.traces(&lingering, held)));
            } else if at_once {
                settled.push((lingering.case, Vec::new()));
            } else {
                lingering.pause = (2 * lingering.pause).min(LONGEST_NS);
                lingering.due = now + lingering.pause;
                rest.push(lingering);
            }
        }
        self.lingering = rest;
        settled
    }

    /// What is left, named; and undone as far as it is surely the case's: all where nobody else is there, else what is pinned
    /// where the case says.
    fn traces(&self, lingering: &Lingering, held: Vec<Vec<Place>>) -> Vec<Trace> {
        let named = |place: &Place| !self.shared || words::is_named(place, &lingering.words);
        let objects = lingering.objects.iter().zip(held);
        // All are asked for their names before one is undone: others may go with it.
        let described: Vec<_> =
            objects.filter_map(|(&object, places)| Some((object, describe(object)?, places))).collect();
        let trace = |((kind, id), (number, name), places): (Object, (u32, String), Vec<Place>)| {
            let undone = !places.is_empty() && places.iter().all(named) && places::undo(kind, id, &places);
            Trace { left: Left::Object { kind: KINDS[kind].0, id, number, name, places }, undone }
        };
        described.into_iter().map(trace).collect()
    }

    /// Ids beyond the last ones that were known, which they are then.
    fn news(&mut self) -> Vec<Object> {
        let mut news = Vec::new();
        for (kind, last) in self.last.iter_mut().flatten().enumerate().filter(|_| !self.blind) {
            while let Ok(id) = sys::next_object(KINDS[kind].1, *last) {
                news.push((kind, id));
                *last = id;
            }
        }
        news
    }
}

/// Waits for a grace period, and some time for what follows it.
fn grace_period() {
    sys::synchronize_rcu();
    sys::pause_ns(GRACE_PAUSE_NS);
}

/// Drops those of the objects that do not outlast so many grace periods.
fn outlast(mut all: Vec<&mut Vec<Object>>, is_there: impl Fn(usize, u32) -> bool, mut wait: impl FnMut()) {
    for _ in 0..GRACE_PERIODS {
        all.retain_mut(|objects| {
            objects.retain(|&(kind, id)| is_there(kind, id));
            !objects.is_empty()
        });
        if all.is_empty() {
            return;
        }
        wait();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn what_goes_after_some_grace_periods_is_not_left() {
        let waited = Cell::new(0);
        let wait = || waited.set(waited.get() + 1);
        // Each is there for as many as its id says.
        let mut two = [vec![(0, 1), (1, 7)], vec![(0, 3)]];
        outlast(two.iter_mut().collect(), |_, id| id > waited.get(), wait);
        assert_eq!((waited.get(), &two), (7, &[vec![], vec![]]));
        let mut two = [vec![(0, 1)], vec![(0, 3), (0, u32::MAX)]];
        outlast(two.iter_mut().collect(), |_, id| id > waited.get(), wait);
        assert_eq!((waited.get(), &two), (7 + GRACE_PERIODS, &[vec![], vec![(0, u32::MAX)]]));
        outlast(Vec::new(), |_, _| true, wait);
        assert_eq!(waited.get(), 7 + GRACE_PERIODS);
    }

    #[test]
    fn a_grace_period_ends() {
        let began = sys::now();
        grace_period();
        assert!(sys::now() - began >= GRACE_PAUSE_NS);
    }
}
