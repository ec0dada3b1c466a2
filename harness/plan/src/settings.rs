//! How a kernel is set up, beyond its version and config: sysctls, boot options, security modules, and what confines the agent.

use serde::{Deserialize, Serialize};

/// What of a system's settings changes what bpf(2), and the calls around it, answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Those of [`SYSCTLS`], by name.
    pub sysctls: Vec<(String, Sysctl)>,
    /// `/proc/cmdline`, where it can be read.
    pub command_line: Option<String>,
    /// The security modules that are active (`/sys/kernel/security/lsm`): `capability,lockdown,bpf`.
    pub lsm: Option<String>,
    /// The lockdown level, where it can be known.
    pub lockdown: Option<Lockdown>,
    /// Whether a program that was loaded has been compiled; `None` where none could be loaded.
    pub jit: Option<bool>,
    /// `Seccomp:` of `/proc/self/status`: 0 none, 1 strict, 2 filters.
    pub seccomp: Option<u32>,
    /// How many seccomp filters there are (since Linux 5.9).
    pub seccomp_filters: Option<u32>,
    /// `NoNewPrivs:` of `/proc/self/status`.
    pub no_new_privs: Option<bool>,
    /// Where memory is charged to cgroups.
    pub memory_cgroup: Option<MemoryCgroup>,
    /// Limits of cases (getrlimit(2)): the name without `RLIMIT_`, soft and hard, [`u64::MAX`] for none.
    pub limits: Vec<(String, u64, u64)>,
}

/// What is known of a sysctl.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sysctl {
    /// Its value, as it is read, without the end of the line.
    Is(String),
    /// There is none of that name.
    Missing,
    /// It cannot be read: the errno.
    Hidden(i32),
}

/// The levels of lockdown (`enum lockdown_reason` of include/linux/security.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Lockdown {
    /// Nothing is refused.
    None,
    /// User space cannot change the kernel.
    Integrity,
    /// Nor read what is secret.
    Confidentiality,
}

impl Lockdown {
    /// All, the weakest first.
    pub const ALL: [Lockdown; 3] = [Lockdown::None, Lockdown::Integrity, Lockdown::Confidentiality];

    /// As `lockdown=` and `/sys/kernel/security/lockdown` have it.
    pub fn name(self) -> &'static str {
        match self {
            Lockdown::None => "none",
            Lockdown::Integrity => "integrity",
            Lockdown::Confidentiality => "confidentiality",
        }
    }

    /// The level that a text like `none [integrity] confidentiality` has in brackets.
    pub fn chosen(text: &str) -> Option<Lockdown> {
        let (_, rest) = text.split_once('[')?;
        let (name, _) = rest.split_once(']')?;
        Lockdown::ALL.into_iter().find(|level| level.name() == name)
    }
}

/// What charges memory to cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemoryCgroup {
    /// Nothing: it was switched off at boot (`cgroup_disable=memory`).
    Disabled,
    /// The controller is in a hierarchy of version 1.
    V1,
    /// The controller is in that of version 2.
    V2,
}

impl MemoryCgroup {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            MemoryCgroup::Disabled => "disabled",
            MemoryCgroup::V1 => "v1",
            MemoryCgroup::V2 => "v2",
        }
    }
}

/// A sysctl that is read whenever an agent starts.
#[derive(Clone, Copy, Debug)]
pub struct KnownSysctl {
    /// `kernel.kptr_restrict`.
    pub name: &'static str,
    /// Values that go without saying: a kernel has them, or distributions' usual ones, unless somebody changed them. None:
    /// each machine has another.
    pub usual: &'static [i64],
    /// The value that stays until the next boot once it is set.
    pub locks_at: Option<i64>,
}

const fn sysctl(name: &'static str, usual: &'static [i64]) -> KnownSysctl {
    KnownSysctl { name, usual, locks_at: None }
}

const fn locking(name: &'static str, usual: &'static [i64], at: i64) -> KnownSysctl {
    KnownSysctl { name, usual, locks_at: Some(at) }
}

/// The sysctls that change what bpf(2), perf_event_open(2) and the calls that cases make beside them answer: by
/// Documentation/admin-guide/sysctl, kernel/bpf/syscall.c (`bpf_syscall_table`), net/core/sysctl_net_core.c and
/// kernel/ucount.c. In alphabetical order.
pub const SYSCTLS: &[KnownSysctl] = &[
    sysctl("debug.kprobes-optimization", &[1]),
    sysctl("fs.file-max", &[]),
    sysctl("fs.nr_open", &[1 << 20]),
    sysctl("fs.pipe-max-size", &[1 << 20]),
    sysctl("fs.protected_fifos", &[0, 1, 2]),
    sysctl("fs.protected_hardlinks", &[0, 1]),
    sysctl("fs.protected_regular", &[0, 1, 2]),
    sysctl("fs.protected_symlinks", &[0, 1]),
    sysctl("kernel.apparmor_restrict_unprivileged_userns", &[0]),
    sysctl("kernel.bpf_stats_enabled", &[0]),
    sysctl("kernel.dmesg_restrict", &[0, 1]),
    sysctl("kernel.ftrace_enabled", &[1]),
    sysctl("kernel.io_uring_disabled", &[0]),
    sysctl("kernel.io_uring_group", &[-1]),
    locking("kernel.kexec_load_disabled", &[0], 1),
    sysctl("kernel.keys.maxbytes", &[20_000]),
    sysctl("kernel.keys.maxkeys", &[200]),
    sysctl("kernel.keys.root_maxbytes", &[25_000_000]),
    sysctl("kernel.keys.root_maxkeys", &[1_000_000]),
    sysctl("kernel.kptr_restrict", &[0]),
    locking("kernel.modules_disabled", &[0], 1),
    sysctl("kernel.oops_limit", &[10_000]),
    sysctl("kernel.panic_on_oops", &[0]),
    sysctl("kernel.panic_on_warn", &[0]),
    sysctl("kernel.perf_cpu_time_max_percent", &[25]),
    sysctl("kernel.perf_event_max_contexts_per_stack", &[8]),
    sysctl("kernel.perf_event_max_sample_rate", &[]),
    sysctl("kernel.perf_event_max_stack", &[127]),
    sysctl("kernel.perf_event_mlock_kb", &[516]),
    // 3 is Debian's.
    sysctl("kernel.perf_event_paranoid", &[2, 3]),
    sysctl("kernel.pid_max", &[]),
    sysctl("kernel.randomize_va_space", &[2]),
    sysctl("kernel.sched_rt_runtime_us", &[950_000]),
    sysctl("kernel.threads-max", &[]),
    // 2 with CONFIG_BPF_UNPRIV_DEFAULT_OFF.
    locking("kernel.unprivileged_bpf_disabled", &[0, 2], 1),
    sysctl("kernel.unprivileged_userns_clone", &[1]),
    sysctl("kernel.warn_limit", &[0]),
    locking("kernel.yama.ptrace_scope", &[0, 1], 3),
    sysctl("net.core.bpf_jit_enable", &[1]),
    sysctl("net.core.bpf_jit_harden", &[0]),
    sysctl("net.core.bpf_jit_kallsyms", &[0, 1]),
    sysctl("net.core.bpf_jit_limit", &[]),
    sysctl("net.core.optmem_max", &[]),
    sysctl("net.core.rmem_max", &[]),
    sysctl("net.core.wmem_max", &[]),
    sysctl("user.max_cgroup_namespaces", &[]),
    sysctl("user.max_ipc_namespaces", &[]),
    sysctl("user.max_mnt_namespaces", &[]),
    sysctl("user.max_net_namespaces", &[]),
    sysctl("user.max_pid_namespaces", &[]),
    sysctl("user.max_time_namespaces", &[]),
    sysctl("user.max_user_namespaces", &[]),
    sysctl("user.max_uts_namespaces", &[]),
    sysctl("vm.max_map_count", &[]),
    sysctl("vm.memfd_noexec", &[0]),
    sysctl("vm.mmap_min_addr", &[4096, 65_536]),
    sysctl("vm.overcommit_memory", &[0]),
    sysctl("vm.overcommit_ratio", &[50]),
    sysctl("vm.panic_on_oom", &[0]),
    sysctl("vm.unprivileged_userfaultfd", &[0]),
];

/// What is known of a sysctl of [`SYSCTLS`].
pub fn known_sysctl(name: &str) -> Option<&'static KnownSysctl> {
    SYSCTLS.iter().find(|known| known.name == name)
}

/// Where a sysctl is below `/proc/sys`. In a name that begins with a dotted word `/` is a dot inside a part, as in sysctl.d(5):
/// `net.ipv4.conf.eth0/1.forwarding`.
pub fn sysctl_path(name: &str) -> String {
    let path = match name.find(['.', '/']).map(|at| name.as_bytes()[at]) {
        Some(b'/') => name.to_owned(),
        _ => dots_and_slashes_swapped(name),
    };
    format!("/proc/sys/{path}")
}

/// A sysctl's name of the one form in the other: `net.ipv4.conf.eth0/1.forwarding`, `net/ipv4/conf/eth0.1/forwarding`.
pub fn dots_and_slashes_swapped(name: &str) -> String {
    let swapped = |c| match c {
        '.' => '/',
        '/' => '.',
        c => c,
    };
    name.chars().map(swapped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_its_names_lead_somewhere() {
        assert!(SYSCTLS.is_sorted_by(|a, b| a.name < b.name));
        assert_eq!(sysctl_path("kernel.kptr_restrict"), "/proc/sys/kernel/kptr_restrict");
        assert_eq!(
            sysctl_path("net.ipv4.conf.eth0/1.forwarding"),
            "/proc/sys/net/ipv4/conf/eth0.1/forwarding"
        );
        assert_eq!(
            sysctl_path("net/ipv4/conf/eth0.1/forwarding"),
            "/proc/sys/net/ipv4/conf/eth0.1/forwarding"
        );
        assert_eq!(known_sysctl("kernel.modules_disabled").and_then(|known| known.locks_at), Some(1));
    }

    #[test]
    fn the_lockdown_level_is_the_one_in_brackets() {
        assert_eq!(Lockdown::chosen("none [integrity] confidentiality\n"), Some(Lockdown::Integrity));
        assert_eq!(Lockdown::chosen("[none] integrity confidentiality\n"), Some(Lockdown::None));
        assert_eq!(Lockdown::chosen("none integrity"), None);
        assert_eq!(Lockdown::chosen("[all]"), None);
    }
}
