//! Thin wrappers of the system calls that the agent itself makes; an error is the errno.

mod bpf;
mod fd;
mod keys;
mod own;
mod passing;
mod process;
mod tree;

use std::ffi::CString;

use libc::{c_char, c_int};

pub(crate) use bpf::*;
pub(crate) use fd::*;
pub(crate) use keys::*;
pub(crate) use own::*;
pub(crate) use passing::*;
pub(crate) use process::*;
pub(crate) use tree::*;

/// The result of a system call: its value or its errno.
pub(crate) type Result<T> = std::result::Result<T, i32>;

/// The errno of the last failed libc call.
pub(crate) fn errno() -> i32 {
    // SAFETY: libc promises a valid pointer to this thread's errno.
    unsafe { *libc::__errno_location() }
}

fn check(ret: c_int) -> Result<c_int> {
    if ret == -1 { Err(errno()) } else { Ok(ret) }
}

fn check_size(ret: isize) -> Result<usize> {
    usize::try_from(ret).map_err(|_| errno())
}

/// Text as C wants it; a NUL inside ends it.
pub(crate) fn c_string(text: &str) -> CString {
    let until = text.find('\0').unwrap_or(text.len());
    CString::new(&text[..until]).unwrap_or_default()
}

/// Nanoseconds of the monotonic clock.
pub(crate) fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the answer.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64)
}

/// Sleeps for so many nanoseconds, or less when a signal comes.
pub(crate) fn pause_ns(ns: u64) {
    let time = timespec(ns);
    // SAFETY: `time` is valid; nobody asks for the time that is left.
    unsafe { libc::nanosleep(&time, std::ptr::null_mut()) };
}

fn timespec(ns: u64) -> libc::timespec {
    libc::timespec { tv_sec: (ns / 1_000_000_000) as libc::time_t, tv_nsec: (ns % 1_000_000_000) as _ }
}

/// What an mmap(2) is for.
#[derive(Clone, Copy)]
pub(crate) enum Map {
    /// Private zeros, writable, not counted before they are used.
    Private,
    /// Address space that is no memory until [`allow`].
    NoAccess,
    /// Shared with children.
    Shared,
    /// Shared memory of a memfd.
    File(c_int),
}

/// mmap(2) at an address that the kernel chooses.
pub(crate) fn map(length: usize, what: Map) -> Result<*mut u8> {
    let writable = libc::PROT_READ | libc::PROT_WRITE;
    let (prot, flags, fd) = match what {
        Map::Private => (writable, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE, -1),
        Map::NoAccess => (libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE, -1),
        Map::Shared => (writable, libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE, -1),
        Map::File(fd) => (writable, libc::MAP_SHARED, fd),
    };
    // SAFETY: no address is asked for, so no existing mapping is touched.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), length, prot, flags, fd, 0) };
    if at == libc::MAP_FAILED { Err(errno()) } else { Ok(at.cast()) }
}

/// mprotect(2): what was mapped with [`Map::NoAccess`] becomes private zeros with this access.
pub(crate) fn allow(start: usize, length: usize, access: c_int) -> Result<()> {
    // SAFETY: whoever has the address space calls this, before any of it is memory; more access spoils nothing.
    check(unsafe { libc::mprotect(start as *mut _, length, access) }).map(drop)
}

/// Bytes of a page.
pub(crate) fn page_size() -> usize {
    // SAFETY: no memory is involved.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

/// Waits for a grace period of RCU (membarrier(2), `MEMBARRIER_CMD_GLOBAL`: `synchronize_rcu()` in kernel/sched/membarrier.c),
/// where the kernel offers it.
pub(crate) fn synchronize_rcu() {
    const MEMBARRIER_CMD_GLOBAL: u64 = 1;
    syscall(libc::SYS_membarrier, [MEMBARRIER_CMD_GLOBAL, 0, 0, 0, 0, 0]);
}

/// A system call by number, with six numbers (some of which may be addresses that the kernel checks).
pub(crate) fn syscall(number: libc::c_long, args: [u64; 6]) -> i64 {
    // On s390x mmap(2) takes one argument, a pointer to the six (mm/mmap.c: old_mmap); C libraries hide that, and so do we.
    let packed = args;
    let args = match number {
        libc::SYS_mmap if cfg!(target_arch = "s390x") => [packed.as_ptr() as u64, 0, 0, 0, 0, 0],
        _ => args,
    };
    let [a, b, c, d, e, f] = args;
    // SAFETY: what the call does to this process is what the plan's author asks for: it runs in a process of its own, and
    // the memory that it is given is private to the call. Calls that return twice are made by `raw` instead.
    let ret = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if ret == -1 { -i64::from(errno()) } else { ret as i64 }
}

/// finit_module(2) without parameters. A compressed module is left to the kernel to unpack (since Linux 5.17).
pub(crate) fn load_module(fd: c_int, compressed: bool) -> Result<()> {
    /// `MODULE_INIT_COMPRESSED_FILE` of linux/module.h.
    const COMPRESSED: c_int = 4;
    let flags = if compressed { COMPRESSED } else { 0 };
    // SAFETY: the parameters end in NUL; the kernel reads the rest from the fd.
    let ret = unsafe { libc::syscall(libc::SYS_finit_module, fd, c"".as_ptr(), flags) };
    if ret == -1 { Err(errno()) } else { Ok(()) }
}

/// Bytes of memory that the machine has (sysinfo(2)).
pub(crate) fn memory() -> u64 {
    let mut info = std::mem::MaybeUninit::<libc::sysinfo>::zeroed();
    // SAFETY: `info` is a valid place, and all-zero is a valid answer.
    let info = unsafe {
        libc::sysinfo(info.as_mut_ptr());
        info.assume_init()
    };
    info.totalram as u64 * u64::from(info.mem_unit)
}

/// uname(2): machine, release and version.
pub(crate) fn uname() -> [String; 3] {
    let mut names = std::mem::MaybeUninit::<libc::utsname>::zeroed();
    // SAFETY: `names` is a valid place, and all-zero is a valid answer.
    let names = unsafe {
        libc::uname(names.as_mut_ptr());
        names.assume_init()
    };
    let text = |name: &[c_char]| name.iter().take_while(|&&c| c != 0).map(|&c| c as u8 as char).collect();
    [text(&names.machine), text(&names.release), text(&names.version)]
}

/// sync(2) and reboot(2): powers the machine off; comes back only with an errno.
pub(crate) fn power_off() -> i32 {
    // SAFETY: asks for nothing of this process.
    unsafe {
        libc::sync();
        libc::reboot(libc::RB_POWER_OFF);
    }
    errno()
}

/// Gives the kernel's generator of random numbers 256 bits (RNDADDENTROPY in random(4)), with which it seeds itself anew when
/// it does so next (crng_reseed() in drivers/char/random.c: at once where it never was seeded, else within a minute).
pub(crate) fn seed_random(bits: [u8; 32]) {
    #[repr(C)]
    struct Pool {
        bits: i32,
        bytes: i32,
        pool: [u8; 32],
    }
    const RNDADDENTROPY: libc::c_ulong = 0x4008_5203;
    let Ok(random) = open(c"/dev/urandom", libc::O_WRONLY) else { return };
    let pool = Pool { bits: 256, bytes: 32, pool: bits };
    // SAFETY: the pool is what the ioctl takes.
    unsafe { libc::ioctl(random, RNDADDENTROPY as _, &pool) };
    close(random);
}

/// Draws numbers from the kernel's generator on every CPU, for each has a state of its own, and throws them away. Each one is
/// made with a key that comes of the one before (crng_fast_key_erasure() in drivers/char/random.c), so those after it
/// differ by how many there were. A process of its own would keep this one's CPUs as they are, but takes far longer.
pub(crate) fn draw_random(numbers: u32) {
    let mine = cpus();
    draw_on_each_cpu(numbers);
    // Whatever keeps it from that is told after the first case.
    let _ = set_cpus(&mine);
}

fn draw_on_each_cpu(numbers: u32) {
    let all = cpus();
    for bit in (0..all.len() * 8).filter(|bit| all[bit / 8] & 1 << (bit % 8) != 0) {
        let mut one = vec![0; all.len()];
        one[bit / 8] = 1 << (bit % 8);
        if set_cpus(&one).is_err() {
            continue;
        }
        let mut number = [0_u8; 8];
        for _ in 0..numbers {
            // SAFETY: the place is as large as is said.
            unsafe { libc::getrandom(number.as_mut_ptr().cast(), number.len(), libc::GRND_NONBLOCK) };
        }
    }
}

/// Makes the pages of a mapping present (madvise(2)): to be read, or to be written without a copy or a fault later. Whatever
/// keeps that from being done is no error: then it happens when a page is touched.
pub(crate) fn populate(start: usize, length: usize, writable: bool) {
    let advice = if writable { libc::MADV_POPULATE_WRITE } else { libc::MADV_POPULATE_READ };
    // SAFETY: changes nothing that a program could see; an address without a mapping is refused.
    unsafe { libc::madvise(start as *mut libc::c_void, length, advice) };
}
