//! How the kernel is set up, and what confines the agent: read once, and told with the facts.

use kconform_plan::{Lockdown, MemoryCgroup, SYSCTLS, Settings, Sysctl, sysctl_path};

use crate::sys;

/// Of the limits those that bpf(2) and the calls around it come up against.
const LIMITS: [(&str, usize); 2] =
    [("MEMLOCK", libc::RLIMIT_MEMLOCK as usize), ("NOFILE", libc::RLIMIT_NOFILE as usize)];

/// Where securityfs is mounted.
const SECURITY: &str = "/sys/kernel/security";

/// What can only be read before the agent enters namespaces of its own: most of `/proc/sys/net/core` is in the initial one
/// alone (`net_core_table` of net/core/sysctl_net_core.c).
pub(crate) fn sysctls() -> Vec<(String, Sysctl)> {
    SYSCTLS.iter().map(|known| (known.name.to_owned(), sysctl(known.name))).collect()
}

/// What there is of a sysctl.
pub(crate) fn sysctl(name: &str) -> Sysctl {
    let path = sysctl_path(name);
    // Names come from the host, and are checked there; what leads out of the tree is none anyway.
    if path.split('/').any(|part| part == "..") || path.contains('\0') {
        return Sysctl::Missing;
    }
    match sys::read_file(&path) {
        Ok(value) => Sysctl::Is(text(&value)),
        // In a chroot, say.
        Err(libc::ENOENT) if sys::stat(c"/proc/sys/kernel").is_err() => Sysctl::Hidden(libc::ENOENT),
        Err(libc::ENOENT | libc::ENOTDIR) => Sysctl::Missing,
        Err(errno) => Sysctl::Hidden(errno),
    }
}

/// All settings; of the sysctls those that were read before. `may_load`: bpf(2) may be called.
pub(crate) fn settings(sysctls: Vec<(String, Sysctl)>, may_load: bool) -> Settings {
    let read = |path: &str| sys::read_file(path).ok().map(|bytes| text(&bytes));
    let status = read("/proc/self/status").unwrap_or_default();
    let security = Security::read();
    let limits = sys::limits();
    let limit = |&(name, nth): &(&str, usize)| {
        let word =
            |nth: usize| limits.get(nth * 8..nth * 8 + 8)?.first_chunk().map(|b| u64::from_ne_bytes(*b));
        Some((name.to_owned(), word(nth * 2)?, word(nth * 2 + 1)?))
    };
    Settings {
        sysctls,
        command_line: read("/proc/cmdline"),
        lsm: security.lsm,
        lockdown: security.lockdown,
        jit: if may_load { compiled() } else { None },
        seccomp: field(&status, "Seccomp:"),
        seccomp_filters: field(&status, "Seccomp_filters:"),
        no_new_privs: field(&status, "NoNewPrivs:").map(|value| value != 0),
        memory_cgroup: memory_cgroup(
            &read("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default(),
            &read("/proc/cgroups").unwrap_or_default(),
        ),
        limits: LIMITS.iter().filter_map(limit).collect(),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end().to_owned()
}

/// The number behind a word at the beginning of a line.
fn field(status: &str, name: &str) -> Option<u32> {
    status.lines().find_map(|line| line.strip_prefix(name))?.trim().parse().ok()
}

/// Whether a program that is loaded is compiled (`bpf_prog_get_info_by_fd()` of kernel/bpf/syscall.c tells it to whoever has
/// CAP_BPF only).
fn compiled() -> Option<bool> {
    let program = sys::Closing(sys::load_nothing().ok()?);
    // `jited_prog_len` of `struct bpf_prog_info`, behind the type, the id and the tag.
    match sys::object_info(program.0).ok()?.word(16) {
        0 if !sys::capabilities().is_ok_and(may_look) => None,
        length => Some(length > 0),
    }
}

/// `bpf_capable()` of include/linux/capability.h.
fn may_look(capabilities: u64) -> bool {
    const CAP_SYS_ADMIN: u64 = 1 << 21;
    const CAP_BPF: u64 = 1 << 39;
    capabilities & (CAP_SYS_ADMIN | CAP_BPF) != 0
}

/// By `/sys/fs/cgroup/cgroup.controllers` (Documentation/admin-guide/cgroup-v2.rst) and `/proc/cgroups` (cgroups(7)).
fn memory_cgroup(controllers: &str, cgroups: &str) -> Option<MemoryCgroup> {
    if controllers.split_whitespace().any(|controller| controller == "memory") {
        return Some(MemoryCgroup::V2);
    }
    let fields = cgroups.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let memory = fields.into_iter().find(|fields| fields.first() == Some(&"memory"))?;
    match (memory.get(1)?, memory.get(3)?) {
        (_, &"0") => Some(MemoryCgroup::Disabled),
        // It is in no hierarchy of version 1, and version 2 is not to be seen from here.
        (&"0", _) => None,
        _ => Some(MemoryCgroup::V1),
    }
}

/// What securityfs tells.
#[derive(Default)]
struct Security {
    lsm: Option<String>,
    lockdown: Option<Lockdown>,
}

impl Security {
    fn read() -> Security {
        Security::of(SECURITY).or_else(Security::mounted).unwrap_or_default()
    }

    /// What is there, if securityfs is.
    fn of(place: &str) -> Option<Security> {
        let lsm = text(&sys::read_file(&format!("{place}/lsm")).ok()?);
        let lockdown = match sys::read_file(&format!("{place}/lockdown")) {
            Ok(levels) => Lockdown::chosen(&text(&levels)),
            // The module is not active: nothing locks the kernel down.
            Err(libc::ENOENT) => Some(Lockdown::None),
            Err(_) => None,
        };
        Some(Security { lsm: Some(lsm), lockdown })
    }

    /// What a child reads that mounts securityfs where nobody else sees it.
    fn mounted() -> Option<Security> {
        let tell = |to| {
            let told = Security::mount().unwrap_or_default();
            let lockdown = told.lockdown.map_or("", Lockdown::name);
            let line = format!("{lockdown} {}", told.lsm.unwrap_or_default());
            let _ = sys::write(to, line.as_bytes());
        };
        let line = text(&sys::told_by_child(tell).ok()?.0);
        let (lockdown, lsm) = line.split_once(' ')?;
        let lockdown = Lockdown::ALL.into_iter().find(|level| level.name() == lockdown);
        Some(Security { lsm: Some(lsm.to_owned()), lockdown })
    }

    fn mount() -> Option<Security> {
        sys::unshare(libc::CLONE_NEWNS).ok()?;
        sys::mount("", "/", "", libc::MS_REC | libc::MS_PRIVATE, "").ok()?;
        let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC | libc::MS_RDONLY;
        sys::mount("securityfs", SECURITY, "securityfs", flags, "").ok()?;
        Security::of(SECURITY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sysctl_is_there_or_not() {
        assert!(matches!(sysctl("kernel.ostype"), Sysctl::Is(value) if value == "Linux"));
        assert_eq!(sysctl("kernel.kptr_restricted"), Sysctl::Missing);
        assert_eq!(sysctl("kernel.ostype.x"), Sysctl::Missing);
        assert_eq!(sysctl("kernel.//.kernel.ostype"), Sysctl::Missing);
        assert_eq!(sysctl("kernel/../kernel/ostype"), Sysctl::Missing);
    }

    #[test]
    fn lines_of_status_are_read() {
        let status = "Name:\ta\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t3\n";
        let fields =
            ["NoNewPrivs:", "Seccomp:", "Seccomp_filters:", "CapEff:"].map(|name| field(status, name));
        assert_eq!(fields, [Some(1), Some(2), Some(3), None]);
    }

    #[test]
    fn what_charges_memory_is_told_by_two_files() {
        let head = "#subsys_name\thierarchy\tnum_cgroups\tenabled\n";
        let told = |controllers, memory: &str| memory_cgroup(controllers, &format!("{head}{memory}"));
        assert_eq!(told("cpu memory pids", "memory\t0\t7\t1"), Some(MemoryCgroup::V2));
        assert_eq!(told("", "memory\t4\t7\t1"), Some(MemoryCgroup::V1));
        assert_eq!(told("cpu pids", "memory\t0\t7\t0"), Some(MemoryCgroup::Disabled));
        assert_eq!(told("", "memory\t0\t7\t1"), None);
        assert_eq!(told("", ""), None);
    }

    #[test]
    fn all_of_the_table_and_the_limits_are_told() {
        let told = settings(sysctls(), true);
        assert_eq!(told.sysctls.len(), SYSCTLS.len());
        let names: Vec<&str> = told.limits.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(names, ["MEMLOCK", "NOFILE"]);
        assert!(told.seccomp.is_some() && told.command_line.is_some());
    }
}
