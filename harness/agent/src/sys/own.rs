//! What a process has of its own that others can set. All as bytes, to be compared and put back.

use libc::c_int;

use super::{Result, check, read_start};

/// The number of limits: `RLIM_NLIMITS` of asm-generic/resource.h.
const LIMITS: u32 = 16;
/// `SCHED_ATTR_SIZE_VER0` of linux/sched/types.h.
const ATTR: u32 = 48;
/// Room for the mask of 8192 CPUs, as many as CONFIG_NR_CPUS can be.
const CPUS: usize = 1024;

fn words(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.chunks_exact(8).map(|word| word.first_chunk().map_or(0, |word| u64::from_ne_bytes(*word)))
}

/// All limits, soft and hard (getrlimit(2)).
pub(crate) fn limits() -> Vec<u8> {
    let mut all = Vec::with_capacity(16 * LIMITS as usize);
    for resource in 0..LIMITS {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: `limit` is a valid place; the kind of `resource` differs between C libraries.
        unsafe { libc::getrlimit(resource as _, &mut limit) };
        all.extend_from_slice(&limit.rlim_cur.to_ne_bytes());
        all.extend_from_slice(&limit.rlim_max.to_ne_bytes());
    }
    all
}

/// Sets all limits to what [`limits`] has read.
pub(crate) fn set_limits(all: &[u8]) -> Result<()> {
    let mut words = words(all);
    for resource in 0..LIMITS {
        let (Some(soft), Some(hard)) = (words.next(), words.next()) else { break };
        let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
        // SAFETY: `limit` is valid; the kind of `resource` differs between C libraries.
        check(unsafe { libc::setrlimit(resource as _, &limit) })?;
    }
    Ok(())
}

/// Policy, nice value and priority (sched_getattr(2)).
pub(crate) fn scheduling() -> Vec<u8> {
    let mut attr = [0; ATTR as usize];
    // SAFETY: the kernel writes at most so many bytes.
    unsafe { libc::syscall(libc::SYS_sched_getattr, 0, attr.as_mut_ptr(), ATTR, 0) };
    attr.to_vec()
}

/// Sets what [`scheduling`] has read.
pub(crate) fn set_scheduling(attr: &[u8]) -> Result<()> {
    let mut own = [0; ATTR as usize];
    own[..attr.len().min(ATTR as usize)].copy_from_slice(&attr[..attr.len().min(ATTR as usize)]);
    // SAFETY: the attr has its size in its first field, as the kernel has written it.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, own.as_ptr(), 0) } as c_int).map(drop)
}

/// `IOPRIO_WHO_PROCESS` of linux/ioprio.h.
const WHO_PROCESS: c_int = 1;

/// Class and level (ioprio_get(2)).
pub(crate) fn io_priority() -> Vec<u8> {
    // SAFETY: no memory is involved.
    (unsafe { libc::syscall(libc::SYS_ioprio_get, WHO_PROCESS, 0) } as u64).to_ne_bytes().to_vec()
}

/// Sets what [`io_priority`] has read.
pub(crate) fn set_io_priority(value: &[u8]) -> Result<()> {
    let value = words(value).next().unwrap_or(0);
    // SAFETY: no memory is involved.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, value) } as c_int).map(drop)
}

/// The CPUs that it may run on (sched_getaffinity(2)).
pub(crate) fn cpus() -> Vec<u8> {
    let mut mask = vec![0; CPUS];
    // SAFETY: the kernel writes at most so many bytes.
    let length = unsafe { libc::syscall(libc::SYS_sched_getaffinity, 0, CPUS, mask.as_mut_ptr()) };
    mask.truncate(usize::try_from(length).unwrap_or(0));
    mask
}

/// Sets what [`cpus`] has read.
pub(crate) fn set_cpus(mask: &[u8]) -> Result<()> {
    // SAFETY: the kernel reads so many bytes.
    check(unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, mask.len(), mask.as_ptr()) } as c_int)
        .map(drop)
}

/// Nanoseconds by which timers may be late (PR_GET_TIMERSLACK in prctl(2)).
pub(crate) fn timer_slack() -> Vec<u8> {
    // SAFETY: no memory is involved. By number: C libraries give an int, and it may be larger.
    let slack = unsafe { libc::syscall(libc::SYS_prctl, libc::PR_GET_TIMERSLACK, 0, 0, 0, 0) };
    (slack as u64).to_ne_bytes().to_vec()
}

/// Sets what [`timer_slack`] has read.
pub(crate) fn set_timer_slack(value: &[u8]) -> Result<()> {
    let value = words(value).next().unwrap_or(0);
    // SAFETY: no memory is involved.
    check(unsafe { libc::syscall(libc::SYS_prctl, libc::PR_SET_TIMERSLACK, value, 0, 0, 0) } as c_int)
        .map(drop)
}

/// What a file of /proc says now, from its start; nothing where it cannot be read.
pub(crate) fn read_again(fd: c_int) -> Vec<u8> {
    const CHUNK: usize = 4096;
    let mut all = vec![0; CHUNK];
    let length = read_start(fd, &mut all).unwrap_or(0);
    all.truncate(length);
    let mut chunk = [0; CHUNK];
    while !all.is_empty() {
        // SAFETY: the kernel writes at most `CHUNK` bytes to a valid place.
        let more = unsafe { libc::pread(fd, chunk.as_mut_ptr().cast(), CHUNK, all.len() as libc::off_t) };
        match usize::try_from(more) {
            Ok(0) | Err(_) => break,
            Ok(more) => all.extend_from_slice(&chunk[..more]),
        }
    }
    all
}

/// Page faults of this process that needed no I/O (getrusage(2) `ru_minflt`).
#[cfg(test)]
pub(crate) fn page_faults() -> u64 {
    // SAFETY: all-zero bytes are a valid rusage, which the kernel fills.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage.ru_minflt as u64
    }
}

/// Whether an open /proc/PID/mountinfo says that the mounts have changed since it was last asked (`POLLPRI`, proc(5)).
pub(crate) fn has_changed(fd: c_int) -> bool {
    let mut fds = [libc::pollfd { fd, events: libc::POLLPRI, revents: 0 }];
    super::poll(&mut fds, Some(0)).is_ok_and(|changed| changed > 0)
}

/// Sets the loopback device up, as a host has it (SIOCSIFFLAGS in netdevice(7)). A kernel without one has nothing to set up.
pub(crate) fn loopback_up() {
    // SAFETY: all-zero is a valid request, its name ends in NUL, and it outlives the calls.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        if socket < 0 {
            return;
        }
        let mut request: libc::ifreq = std::mem::zeroed();
        (request.ifr_name[0], request.ifr_name[1]) = (b'l' as _, b'o' as _);
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as _;
        libc::ioctl(socket, libc::SIOCSIFFLAGS as _, &request);
        libc::close(socket);
    }
}

/// The path by which this program was started (AT_EXECFN in getauxval(3)).
pub(crate) fn own_path() -> std::ffi::CString {
    // SAFETY: the kernel put a string there that ends in NUL and lives as long as the program.
    unsafe {
        let path = libc::getauxval(libc::AT_EXECFN) as *const libc::c_char;
        if path.is_null() { std::ffi::CString::default() } else { std::ffi::CStr::from_ptr(path).to_owned() }
    }
}
