//! What the agent says of the kernel and of itself.

pub(crate) mod btf;
mod sandbox;
pub(crate) mod settings;

use std::ffi::CStr;

use kconform_plan::{Facts, Sysctl};

use crate::kernel_log::KernelLog;
use crate::sys;

/// The inode of the initial user namespace: `PROC_USER_INIT_INO` of include/linux/proc_ns.h.
const INITIAL_USER_NAMESPACE: u64 = 0xEFFF_FFFD;

/// What cases find in any root, and a file that shows it to be there: a chroot may be without.
const ROOT: [(&str, &CStr); 3] =
    [("/proc", c"/proc/self/status"), ("/sys", c"/sys/kernel"), ("/dev/null", c"/dev/null")];

/// Those whose file is not there.
fn lacking(places: &[(&str, &CStr)]) -> Vec<String> {
    let is_there = |file: &CStr| sys::stat_following(file).is_ok();
    places.iter().filter(|(_, file)| !is_there(file)).map(|(place, _)| (*place).to_owned()).collect()
}

const CAP_SYS_ADMIN: u64 = 21;
const CAP_BPF: u64 = 39;

/// Collects the facts; the sysctls are read already.
pub(crate) fn facts(kernel_log: &KernelLog, sysctls: Vec<(String, Sysctl)>, remarks: Vec<String>) -> Facts {
    let [machine, release, version] = sys::uname();
    let config =
        sys::read_file("/proc/config.gz").or_else(|_| sys::read_file(&format!("/boot/config-{release}")));
    let cpus = |which: &str| {
        let list = sys::read_file(&format!("/sys/devices/system/cpu/{which}")).unwrap_or_default();
        count(&String::from_utf8_lossy(&list)).max(1)
    };
    let capabilities = sys::capabilities().unwrap_or(0);
    let user_namespace = sys::stat_following(c"/proc/self/ns/user");
    let initial_user_namespace = user_namespace.is_ok_and(|s| s.st_ino == INITIAL_USER_NAMESPACE);
    let refusals = sandbox::refusals(initial_user_namespace && may_bpf(capabilities));
    // Where it is refused, a filter may kill who calls it.
    let bpf_is_refused = refusals.iter().any(|refusal| refusal.call == libc::SYS_bpf as u64);
    Facts {
        fingerprint: option_env!("KCONFORM_FINGERPRINT").unwrap_or_default().into(),
        machine,
        release,
        version,
        possible_cpus: cpus("possible"),
        online_cpus: cpus("online"),
        page_size: sys::page_size() as u32,
        uid: sys::effective_uid(),
        capabilities,
        initial_user_namespace,
        config: config.ok(),
        settings: settings::settings(sysctls, !bpf_is_refused),
        taint: kernel_log.taint(),
        kernel_log: kernel_log.readable(),
        root_lacks: lacking(&ROOT),
        refusals,
        remarks,
    }
}

/// CAP_BPF, or CAP_SYS_ADMIN in its place (`bpf_capable()` of include/linux/capability.h).
fn may_bpf(capabilities: u64) -> bool {
    capabilities & (1 << CAP_BPF | 1 << CAP_SYS_ADMIN) != 0
}

/// How many CPUs a list names (`0-3,5`).
fn count(list: &str) -> u32 {
    let one = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.parse::<u32>().ok()?, last.parse::<u32>().ok()?);
        Some(last.checked_sub(first)? + 1)
    };
    list.trim().split(',').filter_map(one).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_root_lacks_is_noticed() {
        assert_eq!(lacking(&ROOT), [""; 0]);
        assert_eq!(lacking(&[("/dev/null", c"/dev/null"), ("/none", c"/none/such")]), ["/none"]);
    }

    #[test]
    fn cpu_lists_are_counted() {
        assert_eq!(count("0\n"), 1);
        assert_eq!(count("0-3,5,8-9\n"), 7);
        assert_eq!(count(""), 0);
    }
}
