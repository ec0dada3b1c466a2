//! What refuses system calls before the kernel's own code looks at them: a seccomp filter (a container's, a service's), a
//! security module. Under it no case that makes such a call says anything of the kernel.

use kconform_plan::{Refusal, Refuser};

use crate::sys::{self, Ended};

/// `SECCOMP_MODE_FILTER` of linux/seccomp.h.
const MODE_FILTER: i32 = 2;

/// A call and its arguments.
type Probe = (libc::c_long, [i64; 5]);

/// A number that no command of bpf(2) has.
const NO_COMMAND: i64 = 0x7fff_ffff;
/// Nor an fd, a flag or an operation.
const NONE: i64 = -1;

/// Calls that sandboxes are known to refuse, with arguments that can do nothing. The kernel refuses each with another errno
/// than those of [`REFUSES`], whoever calls, and before it asks for a capability.
const PROBES: &[Probe] = &[
    // sched_copy_attr() and perf_copy_attr() read the attr first.
    (libc::SYS_perf_event_open, [0, 0, NONE, NONE, 0]),
    // do_add_key() and do_request_key() copy the type's name first.
    (libc::SYS_add_key, [0, 0, 0, 0, 0]),
    (libc::SYS_request_key, [0, 0, 0, 0, 0]),
    // EOPNOTSUPP.
    (libc::SYS_keyctl, [0x7fff_ffff, 0, 0, 0, 0]),
    // The path is looked up first.
    (libc::SYS_mount, [0, 0, 0, 0, 0]),
    (libc::SYS_chroot, [0, 0, 0, 0, 0]),
    // Flags that there are not.
    (libc::SYS_umount2, [0, 0x7fff_ffff, 0, 0, 0]),
    (libc::SYS_unshare, [1, 0, 0, 0, 0]),
    (libc::SYS_memfd_create, [0, 0x7fff_0000, 0, 0, 0]),
    (libc::SYS_pidfd_open, [0, 0x7fff_0000, 0, 0, 0]),
    (libc::SYS_pidfd_getfd, [NONE, NONE, 1, 0, 0]),
    (libc::SYS_seccomp, [0x7fff_ffff, 0, 0, 0, 0]),
    (libc::SYS_process_vm_readv, [0, 0, 0, 0, 0]),
    // No such fd.
    (libc::SYS_setns, [NONE, 0, 0, 0, 0]),
    (libc::SYS_io_uring_enter, [NONE, 0, 0, 0, 0]),
    // A structure that is too small.
    (libc::SYS_clone3, [0, 0, 0, 0, 0]),
    // No such process.
    (libc::SYS_ptrace, [0x7fff_ffff, 0x7fff_ffff, 0, 0, 0]),
    (libc::SYS_kcmp, [0x7fff_ffff, 0x7fff_ffff, 0, 0, 0]),
];

/// What is refused with where it is refused.
const REFUSES: &[i32] = &[libc::EPERM, libc::EACCES, libc::ENOSYS];

/// What is refused to this process. `may_bpf`: it has what bpf(2) asks for, so that the kernel itself does not refuse it.
pub(crate) fn refusals(may_bpf: bool) -> Vec<Refusal> {
    let filtered = sys::prctl(libc::PR_GET_SECCOMP, 0, 0) == Ok(MODE_FILTER);
    let bpf = (libc::SYS_bpf, [NO_COMMAND, 0, 0, 0, 0]);
    let probes: Vec<_> = std::iter::once(&bpf).chain(PROBES.iter().filter(|_| filtered)).copied().collect();
    let ends = if filtered { in_children(&probes) } else { vec![Some(end(&bpf))] };
    let refused = |(&(call, _), end): (&(libc::c_long, _), Option<i32>)| {
        let by = match (filtered, end) {
            // bpf(2) is refused to users without privileges by a sysctl too.
            (_, Some(libc::EPERM)) if call == libc::SYS_bpf && !may_bpf => return None,
            (true, _) => Refuser::Seccomp,
            (false, Some(libc::ENOSYS)) => Refuser::Kernel,
            (false, _) => Refuser::SecurityModule,
        };
        let refused = end.is_none_or(|errno| REFUSES.contains(&errno));
        refused.then_some(Refusal { call: call as u64, errno: end, by })
    };
    probes.iter().zip(ends).filter_map(refused).collect()
}

/// The errno of a call; 0 if there is none.
fn end((call, args): &Probe) -> i32 {
    // SAFETY: no probe has an address but null.
    unsafe { sys::plain_call(*call, *args) }.err().unwrap_or(0)
}

/// The errnos of calls that are made in a child, as a filter may kill who makes them: `None` then. Nothing can be known
/// without a process to ask with.
fn in_children(probes: &[Probe]) -> Vec<Option<i32>> {
    let mut ends = Vec::new();
    while ends.len() < probes.len() {
        let before = ends.len();
        let tell = |to| {
            let told = |probe| sys::write(to, &end(probe).to_ne_bytes()).is_ok();
            probes[before..].iter().all(told);
        };
        let Ok((told, ended)) = sys::told_by_child(tell) else { break };
        ends.extend(told.as_chunks().0.iter().map(|errno| Some(i32::from_ne_bytes(*errno))));
        match ended {
            Ended::Signaled(_) if ends.len() < probes.len() => ends.push(None),
            _ if ends.len() == before => ends.push(Some(0)),
            _ => {}
        }
    }
    ends.resize(probes.len(), Some(0));
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What no sandbox refuses the kernel does not either: for root and for anybody, since no capability is asked for.
    #[test]
    fn the_kernel_itself_refuses_no_probe() {
        assert_ne!(sys::prctl(libc::PR_GET_SECCOMP, 0, 0), Ok(MODE_FILTER), "a sandbox");
        for capabilities in [u64::MAX, 0] {
            let tell = |to| {
                if capabilities == 0 {
                    let _ = sys::set_capabilities(0);
                }
                for probe in PROBES {
                    let _ = sys::write(to, &end(probe).to_ne_bytes());
                }
            };
            let (told, _) = sys::told_by_child(tell).expect("a child");
            let errnos: Vec<_> = told.as_chunks().0.iter().map(|errno| i32::from_ne_bytes(*errno)).collect();
            assert_eq!(errnos.len(), PROBES.len());
            for ((call, _), errno) in PROBES.iter().zip(errnos) {
                assert!(errno != 0 && !REFUSES.contains(&errno), "call {call}: errno {errno}");
            }
        }
    }

    #[test]
    fn each_probe_has_its_end_from_children_too() {
        let alone: Vec<_> = PROBES.iter().map(|probe| Some(end(probe))).collect();
        assert_eq!(in_children(PROBES), alone);
    }
}
