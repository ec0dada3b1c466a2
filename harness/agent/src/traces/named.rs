//! What a case changes where its calls name it, of what the whole kernel shares: sysctls, and directories below /sys (cgroups,
//! instances of tracefs). No namespace keeps these apart. It is looked at before the case and after it, and put back. Where a
//! case may reach them by other names than theirs, all are looked at.

use kconform_plan::{Left, Step, Trace};

use crate::reach::Reach;
use crate::reach::stray::{strays, texts_of};
use crate::sys;
use crate::traces::wide;
use crate::traces::words::words;

const SYSCTLS: &str = "/proc/sys/";
const SYSFS: &str = "/sys/";
/// Sysctls that change by themselves: a new value at each look, or what the kernel counts there.
const RESTLESS: &[&str] = &[
    "fs/aio-nr",
    "fs/dentry-state",
    "fs/file-nr",
    "fs/inode-nr",
    "fs/inode-state",
    "fs/quota/",
    "kernel/ns_last_pid",
    "kernel/pty/nr",
    "kernel/random/",
    // It says that the kernel came to harm, which is told otherwise.
    "kernel/tainted",
    "net/netfilter/nf_conntrack_count",
];
/// With more names in a plan all that there is is looked at.
const MOST: usize = 64;
/// More texts of a plan are not kept.
const MOST_TEXTS: usize = 1024;

/// What was there before a case.
#[derive(Default)]
pub(crate) struct Named {
    sysctls: Vec<(String, Vec<u8>)>,
    absent: Vec<String>,
    /// All sysctls are there, as the case may write to them by any name.
    all_sysctls: bool,
    /// All directories, where the case may make some by any name.
    directories: Option<Vec<String>>,
    /// What the case's calls are given.
    texts: Vec<String>,
}

impl Named {
    /// Looks at all that the plan names; at all that there is, where that does not tell what it reaches.
    pub(crate) fn before(steps: &[Step], reach: Reach) -> Named {
        let mut found = Vec::new();
        words(steps, MOST, &mut found);
        let mut named = Named::default();
        if reach.anything {
            let too_many = found.len() == MOST;
            let strays = strays(steps);
            if strays.sysctls || too_many {
                named.all_sysctls = true;
                named.sysctls = wide::sysctls();
            }
            named.directories = (strays.directories || too_many).then(wide::made_directories);
            if named.all_sysctls || named.directories.is_some() {
                texts_of(steps, MOST_TEXTS, &mut named.texts);
            }
        }
        let mut paths: Vec<String> =
            found.into_iter().filter_map(|word| String::from_utf8(word).ok()).collect();
        paths.sort_unstable();
        paths.dedup();
        for path in paths {
            if let Some(name) = path.strip_prefix(SYSCTLS) {
                let restless = RESTLESS.iter().any(|restless| name.starts_with(restless));
                let is_known = named.sysctls.iter().any(|(known, _)| *known == path);
                if let (false, false, Ok(value)) = (restless, is_known, sys::read_file(&path)) {
                    named.sysctls.push((path, value));
                }
            } else if path.starts_with(SYSFS) && sys::stat(&sys::c_string(&path)).is_err() {
                named.absent.push(path);
            }
        }
        named
    }

    /// What is there now and was not, or is another value; put back where that can be done. On a kernel that others use too
    /// only what the case names is, if only by its last part.
    pub(crate) fn after(&self, shared: bool) -> Vec<Trace> {
        let text = |value: &[u8]| String::from_utf8_lossy(value).trim_end().to_owned();
        let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        let is_wide = self.all_sysctls || self.directories.is_some();
        let is_its =
            |path: &str| !shared || !is_wide || self.texts.iter().any(|text| text.contains(&last(path)));
        let mut traces = Vec::new();
        for (path, before) in &self.sysctls {
            if let Ok(after) = sys::read_file(path)
                && after != *before
            {
                let undone = is_its(path) && sys::write_file(path, before).is_ok();
                let left = Left::Sysctl { path: path.clone(), before: text(before), after: text(&after) };
                traces.push(Trace { left, undone });
            }
        }
        let mut new = self.absent.clone();
        if let Some(before) = &self.directories {
            new.extend(
                wide::made_directories().into_iter().filter(|path| before.binary_search(path).is_err()),
            );
        }
        // Deeper ones go first.
        new.sort_unstable();
        new.dedup();
        for path in new.iter().rev() {
            let place = sys::c_string(path);
            if sys::stat(&place).is_ok_and(|s| s.st_mode & libc::S_IFMT == libc::S_IFDIR) {
                let undone =
                    is_its(path) && sys::unlink_at(libc::AT_FDCWD, &place, libc::AT_REMOVEDIR).is_ok();
                traces.push(Trace { left: Left::Directory(path.clone()), undone });
            }
        }
        traces
    }
}
