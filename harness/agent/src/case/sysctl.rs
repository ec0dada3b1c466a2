//! Sysctls that are set for a case, and what must be put back after it, whatever became of it.

use kconform_plan::{End, Op, SetSysctl, Step, Trouble, sysctl_path};

use crate::steps::sysctl::place;
use crate::sys;

/// The values that sysctls had before a case that sets them.
pub(crate) struct Before(Vec<(u32, String, Vec<u8>)>);

impl Before {
    /// Reads all sysctls that a case may set; nothing for the many that set none.
    pub(crate) fn read(steps: &[Step]) -> Before {
        let mut before = Before(Vec::new());
        before.collect(steps);
        before
    }

    fn collect(&mut self, steps: &[Step]) {
        for step in steps {
            match &step.op {
                Op::Call(_) => {}
                Op::Parallel(lists) => lists.iter().for_each(|list| self.collect(list)),
                Op::Sysctl { settings, steps } => {
                    for (name, _) in settings {
                        let known = self.0.iter().any(|(_, path, _)| *path == place(name));
                        if let (false, Ok(value)) = (known, sys::read_file(&place(name))) {
                            self.0.push((step.index, place(name), value));
                        }
                    }
                    self.collect(steps);
                }
                Op::Fork(steps)
                | Op::Exec(steps)
                | Op::Unprivileged { steps, .. }
                | Op::Repeat { steps, .. }
                | Op::SendFd { steps, .. } => self.collect(steps),
            }
        }
    }

    /// Puts back what the case did not; says what could not be, by step.
    pub(crate) fn put_back(&self) -> Vec<(u32, Trouble)> {
        let mut left = Vec::new();
        for (step, path, value) in &self.0 {
            if sys::read_file(path).as_ref() != Ok(value)
                && let Err(errno) = sys::write_file(path, value)
            {
                left.push((*step, Trouble { what: format!("put back {path}"), errno }));
            }
        }
        left
    }
}

/// Sysctls that are set while a case runs: where they are, and what they were.
pub(crate) struct Set(Vec<(String, Vec<u8>)>);

impl Set {
    /// Sets them, in their order.
    ///
    /// # Errors
    /// [`End::NotSet`], for the first that cannot be set; those before it are put back.
    pub(crate) fn all(sysctls: &[SetSysctl]) -> Result<Set, End> {
        let mut set = Set(Vec::with_capacity(sysctls.len()));
        for (nth, sysctl) in sysctls.iter().enumerate() {
            if let Err(errno) = set.one(sysctl) {
                // Nothing ran in between: what could be set can be set once more.
                let _ = set.put_back();
                return Err(End::NotSet { nth: nth as u32, errno });
            }
        }
        Ok(set)
    }

    fn one(&mut self, SetSysctl { name, value }: &SetSysctl) -> sys::Result<()> {
        let path = sysctl_path(name);
        let before = sys::read_file(&path)?;
        sys::write_file(&path, value.as_bytes())?;
        self.0.push((path.clone(), before));
        if is_same(&sys::read_file(&path)?, value.as_bytes()) { Ok(()) } else { Err(0) }
    }

    /// Puts them back, the last one first.
    ///
    /// # Errors
    /// What cannot be: the kernel is no longer as it was.
    pub(crate) fn put_back(self) -> Result<(), String> {
        let back = |(path, before): &(String, Vec<u8>)| {
            let is_back = || sys::read_file(path).as_ref() == Ok(before);
            is_back() || sys::write_file(path, before).is_ok() && is_back()
        };
        let left: Vec<_> =
            self.0.iter().rev().filter(|one| !back(one)).map(|(path, _)| path.as_str()).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{} cannot be put back", left.join(", "))) }
    }
}

/// Whether two values are the same word by word; numbers may have signs and zeros before them.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    let words = |text: &[u8]| {
        let text = String::from_utf8_lossy(text).into_owned();
        let word = |word: &str| word.parse::<i64>().map_or_else(|_| word.to_owned(), |n| n.to_string());
        text.split_whitespace().map(word).collect::<Vec<_>>()
    };
    words(a) == words(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, value: &str) -> SetSysctl {
        SetSysctl { name: name.into(), value: value.into() }
    }

    #[test]
    fn what_cannot_be_set_is_told() {
        let none = Set::all(&[set("kernel.no_such_sysctl", "1")]);
        assert_eq!(none.err(), Some(End::NotSet { nth: 0, errno: libc::ENOENT }));
        // Nobody writes to these.
        let constant = Set::all(&[set("kernel.ostype", "Linux")]).err();
        assert!(matches!(constant, Some(End::NotSet { nth: 0, errno }) if errno != 0), "{constant:?}");
    }

    #[test]
    fn what_is_as_it_was_needs_no_putting_back() {
        let ostype = ("/proc/sys/kernel/ostype".to_owned(), b"Linux\n".to_vec());
        assert_eq!(Set(vec![ostype.clone()]).put_back(), Ok(()));
        let other = ("/proc/sys/kernel/ostype".to_owned(), b"Hurd\n".to_vec());
        let left = "/proc/sys/kernel/ostype cannot be put back";
        assert_eq!(Set(vec![other, ostype]).put_back(), Err(left.into()));
    }

    #[test]
    fn values_are_compared_as_numbers_and_words() {
        assert!(
            is_same(b"4\t4\t1\t7\n", b"4 4 1 07") && is_same(b"-1\n", b"-1") && is_same(b"core\n", b"core")
        );
        assert!(!is_same(b"1\n", b"2") && !is_same(b"1 1\n", b"1"));
    }
}
