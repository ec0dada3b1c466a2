//! The ground that cases stand on: what the agent hands down to each of them. Root can change it from another process, so it
//! is looked at after each case that may have; what cannot be put back ends the agent, and a fresh one takes over.
//!
//! Not here, since no other process can change it: the umask, the working directory, dispositions of signals, timers,
//! personality, securebits. The score for the OOM killer is written anew for each case ([`crate::case::child::OomScore`]).

use crate::case::apart::Place;
use crate::reach::Reach;
use crate::sys;

/// Something of the agent's process that others can set, as bytes.
struct Trait {
    name: &'static str,
    read: fn() -> Vec<u8>,
    put_back: fn(&[u8]) -> sys::Result<()>,
}

const TRAITS: &[Trait] = &[
    Trait { name: "limits (prlimit(2))", read: sys::limits, put_back: sys::set_limits },
    Trait { name: "scheduling (sched_setattr(2))", read: sys::scheduling, put_back: sys::set_scheduling },
    Trait { name: "I/O priority (ioprio_set(2))", read: sys::io_priority, put_back: sys::set_io_priority },
    Trait { name: "CPUs (sched_setaffinity(2))", read: sys::cpus, put_back: sys::set_cpus },
    Trait { name: "timer slack", read: sys::timer_slack, put_back: sys::set_timer_slack },
];

/// A file of /proc that tells of the agent, and cannot be written to put things right.
struct Told {
    name: &'static str,
    path: &'static str,
    /// The beginnings of lines that count; all of them if there are none.
    lines: &'static [&'static str],
}

/// In proc_pid_status(5): what a tracer could have changed, or cpuset cgroups.
const STATUS: &[&str] = &[
    "Umask:",
    "TracerPid:",
    "Uid:",
    "Gid:",
    "Groups:",
    "Threads:",
    "SigBlk:",
    "SigIgn:",
    "SigCgt:",
    "CapInh:",
    "CapPrm:",
    "CapEff:",
    "CapBnd:",
    "CapAmb:",
    "NoNewPrivs:",
    "Seccomp:",
    "Cpus_allowed:",
    "Mems_allowed:",
];

const TOLD: &[Told] = &[
    Told { name: "state (/proc/PID/status)", path: "/proc/self/status", lines: STATUS },
    Told { name: "cgroup", path: "/proc/self/cgroup", lines: &[] },
    Told { name: "core dump filter", path: "/proc/self/coredump_filter", lines: &[] },
];

/// What a guest's cases need of its kernel: a limit that was lowered, or a switch that was thrown, is put back.
const SYSCTLS: &[&str] = &[
    "fs/file-max",
    "fs/nr_open",
    "fs/pipe-max-size",
    "kernel/bpf_stats_enabled",
    "kernel/core_pattern",
    "kernel/kptr_restrict",
    "kernel/modules_disabled",
    "kernel/panic_on_oops",
    "kernel/panic_on_warn",
    "kernel/perf_event_max_sample_rate",
    "kernel/perf_event_paranoid",
    "kernel/pid_max",
    "kernel/printk",
    "kernel/sched_rt_runtime_us",
    "kernel/threads-max",
    "kernel/unprivileged_bpf_disabled",
    "kernel/yama/ptrace_scope",
    "net/core/bpf_jit_enable",
    "net/core/bpf_jit_harden",
    "net/core/bpf_jit_kallsyms",
    "net/core/bpf_jit_limit",
    "net/core/optmem_max",
    "user/max_cgroup_namespaces",
    "user/max_ipc_namespaces",
    "user/max_mnt_namespaces",
    "user/max_net_namespaces",
    "user/max_pid_namespaces",
    "user/max_user_namespaces",
    "user/max_uts_namespaces",
    "vm/max_map_count",
    "vm/mmap_min_addr",
    "vm/overcommit_memory",
];

/// Files that a guest's cases find, all of one file system that they share.
const FILES: &[&str] = &["/", "/dev", "/dev/null", "/dev/zero", "/dev/urandom", "/dev/shm", "/run", "/tmp"];

/// The ground as it was before the first case.
pub(crate) struct Ground {
    place: Place,
    traits: Vec<Vec<u8>>,
    /// Open files of [`TOLD`], and what they said.
    told: Vec<Option<(i32, Vec<u8>)>>,
    /// /proc/self/mountinfo, which tells by poll(2) that it has changed, and what it said.
    mounts: Option<(i32, Vec<u8>)>,
    sysctls: Vec<(&'static str, Vec<u8>)>,
    files: Vec<Option<[u64; 5]>>,
}

impl Ground {
    /// Takes note of it. What cannot be read is not looked at.
    pub(crate) fn note(place: Place) -> Ground {
        let open = |path: &str| {
            let fd = sys::open(&sys::c_string(path), libc::O_RDONLY).ok()?;
            Some((fd, Vec::new()))
        };
        let in_guest = place == Place::Guest;
        let sysctl = |name: &&'static str| Some((*name, sys::read_file(&sysctl_path(name)).ok()?));
        let mut ground = Ground {
            place,
            traits: TRAITS.iter().map(|kind| (kind.read)()).collect(),
            told: TOLD.iter().map(|told| open(told.path)).collect(),
            mounts: open("/proc/self/mountinfo"),
            sysctls: if in_guest { SYSCTLS.iter().filter_map(sysctl).collect() } else { Vec::new() },
            files: if in_guest { FILES.iter().map(|path| look(path)).collect() } else { Vec::new() },
        };
        for (told, open) in TOLD.iter().zip(&mut ground.told) {
            if let Some((fd, said)) = open {
                *said = lines(&sys::read_again(*fd), told.lines);
            }
        }
        if let Some((fd, said)) = &mut ground.mounts {
            *said = sys::read_again(*fd);
        }
        ground
    }

    /// Looks at it after a case that may have changed it, and puts back what can be. Why no other case can follow, if so.
    pub(crate) fn mend(&mut self, reach: Reach) -> Result<(), String> {
        if !reach.anything {
            return Ok(());
        }
        for (kind, before) in TRAITS.iter().zip(&self.traits) {
            if (kind.read)() != *before {
                let put_back = (kind.put_back)(before);
                if put_back.is_err() || (kind.read)() != *before {
                    return Err(changed("agent", kind.name));
                }
            }
        }
        for (told, open) in TOLD.iter().zip(&self.told) {
            if let Some((fd, said)) = open
                && lines(&sys::read_again(*fd), told.lines) != *said
            {
                return Err(changed("agent", told.name));
            }
        }
        if reach.others {
            return Err("the case may have changed the agent from inside".into());
        }
        self.mounts(reach)?;
        match self.place {
            Place::Machine => Ok(()),
            Place::Guest => self.kernel(reach),
        }
    }

    fn mounts(&self, reach: Reach) -> Result<(), String> {
        let Some((fd, said)) = &self.mounts else { return Ok(()) };
        // Of the file systems' own options it does not tell by itself.
        if (reach.mounts || sys::has_changed(*fd)) && sys::read_again(*fd) != *said {
            return Err(changed("agent", "mounts"));
        }
        Ok(())
    }

    fn kernel(&self, reach: Reach) -> Result<(), String> {
        if reach.kernel {
            return Err("the case may have changed the kernel for good".into());
        }
        for (path, before) in FILES.iter().zip(&self.files) {
            if look(path) != *before {
                return Err(changed("guest", path));
            }
        }
        if !(reach.proc_or_sys || reach.mounts) {
            return Ok(());
        }
        for (name, before) in &self.sysctls {
            let path = sysctl_path(name);
            let is_same = || sys::read_file(&path).as_ref() == Ok(before);
            if !is_same() && (sys::write_file(&path, before).is_err() || !is_same()) {
                return Err(changed("kernel", &path));
            }
        }
        Ok(())
    }
}

fn changed(of: &str, what: &str) -> String {
    format!("the case changed the {of}'s {what}")
}

fn sysctl_path(name: &str) -> String {
    format!("/proc/sys/{name}")
}

/// What makes a file this file.
fn look(path: &str) -> Option<[u64; 5]> {
    let stat = sys::stat(&sys::c_string(path)).ok()?;
    let owner = u64::from(stat.st_uid) << 32 | u64::from(stat.st_gid);
    Some([stat.st_dev as u64, stat.st_ino as u64, stat.st_mode.into(), stat.st_rdev as u64, owner])
}

/// The lines that begin so; all if nothing is asked for.
fn lines(text: &[u8], beginnings: &[&str]) -> Vec<u8> {
    if beginnings.is_empty() {
        return text.to_vec();
    }
    let counts = |line: &&[u8]| beginnings.iter().any(|beginning| line.starts_with(beginning.as_bytes()));
    text.split_inclusive(|&byte| byte == b'\n').filter(counts).flatten().copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANYTHING: Reach = Reach {
        anything: true,
        network: false,
        attaches: false,
        ipc: false,
        keys: false,
        mounts: true,
        others: false,
        kernel: false,
        proc_or_sys: false,
    };

    /// Runs it in a process of its own: one of one thread, as the agent is, for threads of other tests come and go.
    #[track_caller]
    fn alone(test: impl FnOnce() + std::panic::UnwindSafe) {
        let child = sys::fork().expect("fork");
        if child == 0 {
            sys::exit(std::panic::catch_unwind(test).is_err().into());
        }
        assert_eq!(sys::wait(child, 0), Ok(Some((child, sys::Ended::Exited(0)))));
    }

    #[test]
    fn ground_that_nobody_touched_is_as_it_was() {
        alone(|| {
            let mut ground = Ground::note(Place::Machine);
            assert_eq!(ground.mend(ANYTHING), Ok(()));
            assert_eq!(ground.mend(Reach::default()), Ok(()));
        });
    }

    #[test]
    fn what_only_may_have_changed_ends_the_agent() {
        alone(|| {
            let mut ground = Ground::note(Place::Machine);
            let inside = "the case may have changed the agent from inside";
            assert_eq!(ground.mend(Reach { others: true, ..ANYTHING }), Err(inside.into()));
            assert_eq!(ground.mend(Reach { kernel: true, ..ANYTHING }), Ok(()));
            ground.place = Place::Guest;
            let for_good = "the case may have changed the kernel for good";
            assert_eq!(ground.mend(Reach { kernel: true, ..ANYTHING }), Err(for_good.into()));
        });
    }

    /// Where things were otherwise before, so that they cannot be put back.
    #[test]
    fn what_cannot_be_put_back_is_told() {
        alone(|| {
            let told = |place, change: &dyn Fn(&mut Ground)| {
                let mut ground = Ground::note(Place::Machine);
                ground.place = place;
                change(&mut ground);
                ground.mend(ANYTHING).err().unwrap_or_default()
            };
            let machine = |change: &dyn Fn(&mut Ground)| told(Place::Machine, change);
            let mut all: Vec<String> =
                (0..TRAITS.len()).map(|nth| machine(&|ground| ground.traits[nth] = Vec::new())).collect();
            let other = |open: &mut Option<(i32, Vec<u8>)>| {
                if let Some((_, said)) = open {
                    *said = b"another".to_vec();
                }
            };
            all.extend((0..TOLD.len()).map(|nth| machine(&|ground| other(&mut ground.told[nth]))));
            all.push(machine(&|ground| other(&mut ground.mounts)));
            all.push(told(Place::Guest, &|ground| ground.files = vec![None]));
            all.push(told(Place::Guest, &|ground| ground.sysctls = vec![("kernel/none", b"1".to_vec())]));
            let expected = [
                "the case changed the agent's limits (prlimit(2))",
                "the case changed the agent's scheduling (sched_setattr(2))",
                "the case changed the agent's I/O priority (ioprio_set(2))",
                "the case changed the agent's CPUs (sched_setaffinity(2))",
                "the case changed the agent's timer slack",
                "the case changed the agent's state (/proc/PID/status)",
                "the case changed the agent's cgroup",
                "the case changed the agent's core dump filter",
                "the case changed the agent's mounts",
                "the case changed the guest's /",
                "the case changed the kernel's /proc/sys/kernel/none",
            ];
            assert_eq!(all, expected);
        });
    }

    #[test]
    fn each_trait_is_put_back_as_it_was_read() {
        alone(|| {
            for kind in TRAITS {
                let before = (kind.read)();
                assert!(!before.is_empty(), "{}", kind.name);
                assert_eq!((kind.put_back)(&before), Ok(()), "{}", kind.name);
                assert_eq!((kind.read)(), before, "{}", kind.name);
            }
        });
    }

    #[test]
    fn lines_are_told_by_their_beginnings() {
        assert_eq!(lines(b"Uid:\t0\nVmRSS: 7\nGid:\t1\n", &["Uid:", "Gid:"]), b"Uid:\t0\nGid:\t1\n");
        assert_eq!(lines(b"0::/\n", &[]), b"0::/\n");
    }
}
