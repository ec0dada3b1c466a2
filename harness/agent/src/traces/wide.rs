//! All that can be looked at of what the whole kernel shares in /proc/sys and below /sys, whoever changed it: for cases whose
//! plans do not tell where they write ([`crate::reach::stray`]).

use crate::sys;
use crate::traces::trees::{directories, mounts, walk};

const SYSCTLS: &str = "/proc/sys/";

/// Directories of /proc/sys that are not entered: another file system is mounted there when somebody looks.
const ELSEWHERE: &[&str] = &["fs/binfmt_misc"];

/// Sysctls that are not looked at: they change by themselves, or do something when they are read.
const RESTLESS: &[&str] = &[
    "fs/binfmt_misc",
    "kernel/ns_last_pid",
    // The kernel lowers it when samples take too long (perf_sample_event_took() in kernel/events/core.c).
    "kernel/perf_event_max_sample_rate",
    "kernel/random/",
    "kernel/tainted",
    "vm/stat_refresh",
];

/// The sysctls that somebody may write to, with their values.
pub(crate) fn sysctls() -> Vec<(String, Vec<u8>)> {
    sysctls_but(&[])
}

/// As [`sysctls`], without those below some directories.
pub(crate) fn sysctls_but(without: &[&str]) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut next = vec![SYSCTLS.trim_end_matches('/').to_owned()];
    while let Some(directory) = next.pop() {
        for entry in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
            let path = entry.path().to_string_lossy().into_owned();
            let name = path.strip_prefix(SYSCTLS).unwrap_or_default();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if !ELSEWHERE.contains(&name) && !without.contains(&name) {
                    next.push(path);
                }
                continue;
            }
            let is_restless = RESTLESS.iter().any(|restless| name.starts_with(restless));
            let can_be_written = sys::stat(&sys::c_string(&path)).is_ok_and(|s| s.st_mode & 0o222 != 0);
            if !is_restless
                && can_be_written
                && let Ok(value) = sys::read_file(&path)
            {
                found.push((path, value));
            }
        }
    }
    found
}

/// The directories that somebody may have made below /sys: cgroups, instances of tracefs, items of configfs.
pub(crate) fn made_directories() -> Vec<String> {
    let mut found: Vec<String> = ["cgroup2", "cgroup"].into_iter().flat_map(directories).collect();
    for top in mounts("tracefs") {
        let instances = std::fs::read_dir(format!("{top}/instances")).into_iter().flatten().flatten();
        found.extend(instances.map(|instance| instance.path().to_string_lossy().into_owned()));
    }
    for top in mounts("configfs") {
        found.extend(walk(&top).into_iter().filter_map(|(path, is_directory)| is_directory.then_some(path)));
    }
    found.sort_unstable();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_changes_stays_as_it_is() {
        let before = sysctls();
        assert!(before.iter().any(|(path, _)| path == "/proc/sys/kernel/panic"));
        assert!(
            before.iter().all(|(path, _)| !path.contains("binfmt_misc") && !path.contains("ns_last_pid"))
        );
        let now = sysctls();
        assert_eq!(before.len(), now.len());
    }
}
