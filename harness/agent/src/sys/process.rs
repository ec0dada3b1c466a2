//! Processes and what they may do.

use std::ffi::{CStr, CString};

use libc::{c_char, c_int};

use super::{Closing, Result, check, check_size, errno, pipe, read, timespec};
use crate::memory::heap;

/// fork(2), with the heap in a state that the child can use even if other threads were allocating.
pub(crate) fn fork() -> Result<libc::pid_t> {
    let held = heap::hold();
    // SAFETY: the child goes on with a copy of this thread only. The heap, the one lock that it shares with the threads
    // of a `parallel` block, is held by this thread; libc looks after its own.
    let pid = check(unsafe { libc::fork() });
    drop(held);
    pid
}

/// What a child writes to the fd that it is given, and how it ended.
pub(crate) fn told_by_child(tell: impl FnOnce(c_int)) -> Result<(Vec<u8>, Ended)> {
    let (from, to) = pipe().map(|(from, to)| (Closing(from), Closing(to)))?;
    let child = fork()?;
    if child == 0 {
        tell(to.0);
        exit(0);
    }
    drop(to);
    let mut told = Vec::new();
    let mut part = [0; 1024];
    while let Ok(length @ 1..) = read(from.0, &mut part) {
        told.extend_from_slice(&part[..length]);
    }
    let ended = wait(child, 0)?;
    Ok((told, ended.map_or(Ended::Exited(0), |(_, ended)| ended)))
}

/// _exit(2): no destructor, no atexit function.
pub(crate) fn exit(status: i32) -> ! {
    // SAFETY: ends the process, whatever its state.
    unsafe { libc::_exit(status) }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With this exit status.
    Exited(i32),
    /// By this signal.
    Signaled(i32),
}

/// waitpid(2) with `WNOHANG` or without; `Ok(None)` when nothing has ended yet.
pub(crate) fn wait(pid: libc::pid_t, flags: c_int) -> Result<Option<(libc::pid_t, Ended)>> {
    let mut status = 0;
    loop {
        // SAFETY: `status` is a valid place for the answer. __WALL: clone(2) without SIGCHLD makes children too.
        match check(unsafe { libc::waitpid(pid, &mut status, flags | libc::__WALL) }) {
            Ok(0) => return Ok(None),
            Ok(ended) if libc::WIFSIGNALED(status) => {
                return Ok(Some((ended, Ended::Signaled(libc::WTERMSIG(status)))));
            }
            Ok(ended) => return Ok(Some((ended, Ended::Exited(libc::WEXITSTATUS(status))))),
            Err(libc::EINTR) => {}
            Err(e) => return Err(e),
        }
    }
}

/// kill(2).
pub(crate) fn kill(pid: libc::pid_t, signal: c_int) -> Result<()> {
    // SAFETY: no memory is involved.
    check(unsafe { libc::kill(pid, signal) }).map(drop)
}

/// getpid(2).
pub(crate) fn pid() -> libc::pid_t {
    // SAFETY: always succeeds.
    unsafe { libc::getpid() }
}

/// getppid(2).
pub(crate) fn parent() -> libc::pid_t {
    // SAFETY: always succeeds.
    unsafe { libc::getppid() }
}

/// getpgid(2).
pub(crate) fn group_of(pid: libc::pid_t) -> Result<libc::pid_t> {
    // SAFETY: no memory is involved.
    check(unsafe { libc::getpgid(pid) })
}

/// setsid(2).
pub(crate) fn new_session() {
    // SAFETY: no memory is involved; a freshly forked process is no group leader, so it cannot fail.
    unsafe { libc::setsid() };
}

/// umask(2).
pub(crate) fn umask(mask: libc::mode_t) {
    // SAFETY: always succeeds.
    unsafe { libc::umask(mask) };
}

/// geteuid(2).
pub(crate) fn effective_uid() -> u32 {
    // SAFETY: always succeeds.
    unsafe { libc::geteuid() }
}

/// prctl(2) with plain numbers.
pub(crate) fn prctl(option: c_int, a: u64, b: u64) -> Result<c_int> {
    // SAFETY: only options without pointers are used here.
    check(unsafe { libc::prctl(option, a, b, 0, 0) })
}

/// setrlimit(2) of the soft limit, within the hard one.
pub(crate) fn limit(resource: u32, soft: u64) -> Result<()> {
    let mut limits = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limits` is a valid place; the kind of `resource` differs between C libraries.
    check(unsafe { libc::getrlimit(resource as _, &mut limits) })?;
    limits.rlim_cur = soft.min(limits.rlim_max);
    // SAFETY: `limits` is valid.
    check(unsafe { libc::setrlimit(resource as _, &limits) }).map(drop)
}

/// Takes a limit away (setrlimit(2)), or raises it as far as may be without CAP_SYS_RESOURCE.
pub(crate) fn lift_limit(resource: u32) -> Result<()> {
    let none = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: `none` is valid; the kind of `resource` differs between C libraries.
    match check(unsafe { libc::setrlimit(resource as _, &none) }) {
        Err(libc::EPERM) => limit(resource, libc::RLIM_INFINITY),
        done => done.map(drop),
    }
}

/// execve(2) with an empty environment; comes back only with an errno.
pub(crate) fn exec(path: &CStr, args: &[CString]) -> i32 {
    let mut pointers: Vec<*const c_char> = args.iter().map(|a| a.as_ptr()).collect();
    pointers.push(std::ptr::null());
    let environment = [std::ptr::null::<c_char>()];
    // SAFETY: both arrays end in NULL and point to strings that outlive the call.
    unsafe { libc::execve(path.as_ptr(), pointers.as_ptr(), environment.as_ptr()) };
    errno()
}

/// unshare(2).
pub(crate) fn unshare(flags: c_int) -> Result<()> {
    // SAFETY: only namespaces are unshared here.
    check(unsafe { libc::unshare(flags) }).map(drop)
}

/// setns(2).
pub(crate) fn enter_namespace(fd: c_int, kind: c_int) -> Result<()> {
    // SAFETY: no memory is involved.
    check(unsafe { libc::setns(fd, kind) }).map(drop)
}

#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapabilityData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// `_LINUX_CAPABILITY_VERSION_3` of linux/capability.h: 64 bits in two halves.
const CAPABILITY_VERSION: u32 = 0x2008_0522;

/// capset(2): exactly these capabilities permitted, effective and inheritable.
pub(crate) fn set_capabilities(mask: u64) -> Result<()> {
    let header = CapabilityHeader { version: CAPABILITY_VERSION, pid: 0 };
    let half = |bits: u32| CapabilityData { effective: bits, permitted: bits, inheritable: bits };
    let data = [half(mask as u32), half((mask >> 32) as u32)];
    // SAFETY: both have the layout of linux/capability.h.
    check(unsafe { libc::syscall(libc::SYS_capset, &header, data.as_ptr()) } as c_int).map(drop)
}

/// capget(2): the effective capabilities.
pub(crate) fn capabilities() -> Result<u64> {
    let header = CapabilityHeader { version: CAPABILITY_VERSION, pid: 0 };
    let mut data = [CapabilityData::default(); 2];
    // SAFETY: both have the layout of linux/capability.h.
    check(unsafe { libc::syscall(libc::SYS_capget, &header, data.as_mut_ptr()) } as c_int)?;
    Ok(u64::from(data[0].effective) | u64::from(data[1].effective) << 32)
}

/// sigtimedwait(2) without a time limit (`None`) or with one in nanoseconds: a signal of the set, all of which are blocked,
/// and the process that sent it; `None` when the time is over or the wait was interrupted.
pub(crate) fn wait_for_signal(
    set: &libc::sigset_t,
    limit_ns: Option<u64>,
) -> Result<Option<(i32, libc::pid_t)>> {
    let time = limit_ns.map(timespec);
    let limit = time.as_ref().map_or(std::ptr::null(), |t| t as *const libc::timespec);
    let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: the set and the place for the answer are valid, `limit` is NULL or a valid time that lives until the call ends.
    match check(unsafe { libc::sigtimedwait(set, info.as_mut_ptr(), limit) }) {
        // SAFETY: zeroed, then filled in by the kernel. Signals that are sent or tell of a child's end have a pid; it is zero
        // in those of the kernel's own.
        Ok(signal) => Ok(Some((signal, unsafe { info.assume_init().si_pid() }))),
        Err(libc::EAGAIN | libc::EINTR) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// A system call.
///
/// # Safety
/// Whatever the call does to memory with these arguments must be allowed.
pub(crate) unsafe fn plain_call(call: libc::c_long, args: [i64; 5]) -> Result<()> {
    let [a, b, c, d, e] = args;
    // SAFETY: the caller promises it.
    check_size(unsafe { libc::syscall(call, a, b, c, d, e) } as isize).map(drop)
}
