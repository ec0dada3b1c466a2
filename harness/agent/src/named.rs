//! What a case changes where its calls name it, of what the whole kernel shares: sysctls, and directories below /sys (cgroups,
//! instances of tracefs). No namespace keeps these apart. It is looked at before the case and after it, and put back.

use kconform_plan::{Left, Step, Trace};

use crate::places::words;
use crate::sys;

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
/// More names of a plan are not looked at.
const MOST: usize = 64;

/// What was there before a case.
#[derive(Default)]
pub(crate) struct Named {
    sysctls: Vec<(String, Vec<u8>)>,
    absent: Vec<String>,
}

impl Named {
    /// Looks at all that the plan names.
    pub(crate) fn before(steps: &[Step]) -> Named {
        let mut found = Vec::new();
        words(steps, MOST, &mut found);
        let mut named = Named::default();
        let mut paths: Vec<String> =
            found.into_iter().filter_map(|word| String::from_utf8(word).ok()).collect();
        paths.sort_unstable();
        paths.dedup();
        for path in paths {
            if let Some(name) = path.strip_prefix(SYSCTLS) {
                let restless = RESTLESS.iter().any(|restless| name.starts_with(restless));
                if let (false, Ok(value)) = (restless, sys::read_file(&path)) {
                    named.sysctls.push((path, value));
                }
            } else if path.starts_with(SYSFS) && sys::stat(&sys::c_string(&path)).is_err() {
                named.absent.push(path);
            }
        }
        named
    }

    /// What is there now and was not, or is another value; put back where that can be done.
    pub(crate) fn after(&self) -> Vec<Trace> {
        let text = |value: &[u8]| String::from_utf8_lossy(value).trim_end().to_owned();
        let mut traces = Vec::new();
        for (path, before) in &self.sysctls {
            if let Ok(after) = sys::read_file(path)
                && after != *before
            {
                let undone = sys::write_file(path, before).is_ok();
                let left = Left::Sysctl { path: path.clone(), before: text(before), after: text(&after) };
                traces.push(Trace { left, undone });
            }
        }
        // Deeper ones go first.
        for path in self.absent.iter().rev() {
            let place = sys::c_string(path);
            if sys::stat(&place).is_ok_and(|s| s.st_mode & libc::S_IFMT == libc::S_IFDIR) {
                let undone = sys::unlink_at(libc::AT_FDCWD, &place, libc::AT_REMOVEDIR).is_ok();
                traces.push(Trace { left: Left::Directory(path.clone()), undone });
            }
        }
        traces
    }
}
