//! What is otherwise on a machine after a run than it was before, of which no case was told.

use std::collections::{BTreeMap, BTreeSet};

use kconform_plan::{Left, Place, Trace};

use super::Worker;
use crate::interrupt;
use crate::targets::leaks::Leaks;

/// More changes are counted only.
const MOST: usize = 8;

/// What is known of a machine before a run, and of what its cases changed.
#[derive(Default)]
pub(super) struct Before {
    /// By name; `None` as long as nobody looked.
    things: Option<BTreeMap<String, String>>,
    /// What a case was told to have left, by parts of names.
    told: BTreeSet<String>,
}

impl Before {
    /// A case was told to have left these.
    pub(super) fn told(&mut self, traces: &[Trace]) {
        for trace in traces {
            match &trace.left {
                Left::Object { places, .. } => {
                    self.told.extend(places.iter().filter_map(|place| match place {
                        Place::Pin(path) => Some(path.clone()),
                        _ => None,
                    }))
                }
                Left::Sysctl { path, .. } | Left::Directory(path) => drop(self.told.insert(path.clone())),
                Left::Key { id, .. } => drop(self.told.insert(format!("the key {id} "))),
                Left::Attachment { .. } => {}
            }
        }
    }

    /// What is otherwise now, in words.
    fn changes(&self, now: &BTreeMap<String, String>) -> Option<String> {
        let before = self.things.as_ref()?;
        let is_told = |name: &str| self.told.iter().any(|told| name.contains(told.as_str()));
        let changed = now.iter().filter_map(|(name, value)| match before.get(name) {
            None => Some((name, format!("{name} is new"))),
            Some(old) if old != value => Some((name, format!("{name} was {old:?} and is {value:?}"))),
            Some(_) => None,
        });
        let gone = before.keys().filter(|name| !now.contains_key(*name));
        let gone = gone.map(|name| (name, format!("{name} is gone")));
        let all: Vec<String> =
            changed.chain(gone).filter(|(name, _)| !is_told(name)).map(|(_, what)| what).collect();
        let more = match all.len().saturating_sub(MOST) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let some: Vec<&str> = all.iter().take(MOST).map(String::as_str).collect();
        (!all.is_empty()).then(|| {
            format!(
                "not as before the run, by a case or by somebody else on the machine: {}{more}",
                some.join(", ")
            )
        })
    }
}

impl Worker {
    /// Looks at the machine before the first case, where others use it too.
    pub(super) fn look_before(&mut self) {
        if self.is_second
            || self.target.is_guest()
            || self.leaks == Leaks::Ignored
            || self.before.things.is_some()
        {
            return;
        }
        // A broken stream is noticed when a case gets no answer.
        let things = self.opened.as_mut().and_then(|opened| opened.session.look().ok());
        self.before.things = things.map(|things| things.into_iter().collect());
    }

    /// What is not as it was before the first case, in words, if no case was told of it; `None` where nobody looked too.
    pub fn changes(&mut self) -> Option<String> {
        self.before.things.as_ref()?;
        if interrupt::requested() || self.unusable.is_some() {
            return None;
        }
        self.open(&mut |_| {})?;
        let things = self.opened.as_mut()?.session.look().ok()?;
        self.before.changes(&things.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn things(all: &[(&str, &str)]) -> BTreeMap<String, String> {
        all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_no_case_was_told_of_is_said() {
        let same = [("/proc/sys/kernel/panic", "0"), ("the pin /sys/fs/bpf/x", "")];
        let mut before = Before { things: Some(things(&same)), ..Before::default() };
        assert_eq!(before.changes(&things(&same)), None);
        let now = [("/proc/sys/kernel/panic", "1"), ("the directory /sys/fs/cgroup/x", "")];
        insta::assert_snapshot!(before.changes(&things(&now)).unwrap_or_default(), @"not as before the run, by a case or by somebody else on the machine: /proc/sys/kernel/panic was \"0\" and is \"1\", the directory /sys/fs/cgroup/x is new, the pin /sys/fs/bpf/x is gone");
        let left = Left::Directory("/sys/fs/cgroup/x".into());
        before.told(&[Trace { left, undone: false }]);
        let (path, old, new) = ("/proc/sys/kernel/panic".into(), "0".into(), "1".into());
        before.told(&[Trace { left: Left::Sysctl { path, before: old, after: new }, undone: false }]);
        insta::assert_snapshot!(before.changes(&things(&now)).unwrap_or_default(), @"not as before the run, by a case or by somebody else on the machine: the pin /sys/fs/bpf/x is gone");
        assert_eq!(Before::default().changes(&things(&now)), None);
    }

    #[test]
    fn of_many_changes_some_are_named() {
        let before = Before { things: Some(BTreeMap::new()), ..Before::default() };
        let now = (0..11).map(|nth| (format!("{nth:02}"), String::new())).collect();
        insta::assert_snapshot!(before.changes(&now).unwrap_or_default(), @"not as before the run, by a case or by somebody else on the machine: 00 is new, 01 is new, 02 is new, 03 is new, 04 is new, 05 is new, 06 is new, 07 is new and 3 more");
    }
}
