//! Thin wrappers of the system calls that the agent itself makes; an error is the errno.

use std::ffi::{CStr, CString};

use libc::{c_char, c_int, c_void};

use crate::heap;

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

/// fork(2), with the heap in a state that the child can use even if other threads were allocating.
pub(crate) fn fork() -> Result<libc::pid_t> {
    let held = heap::hold();
    // SAFETY: the child goes on with a copy of this thread only. The heap, the one lock that it shares with the threads
    // of a `parallel` block, is held by this thread; libc looks after its own.
    let pid = check(unsafe { libc::fork() });
    drop(held);
    pid
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

/// prctl(2) with plain numbers.
pub(crate) fn prctl(option: c_int, a: u64, b: u64) -> Result<c_int> {
    // SAFETY: only options without pointers are used here.
    check(unsafe { libc::prctl(option, a, b, 0, 0) })
}

/// openat(2) of a path below the working directory or from the root; always close-on-exec.
pub(crate) fn open(path: &CStr, flags: c_int) -> Result<c_int> {
    open_at(libc::AT_FDCWD, path, flags)
}

/// openat(2), close-on-exec.
pub(crate) fn open_at(at: c_int, path: &CStr, flags: c_int) -> Result<c_int> {
    // SAFETY: `path` ends in NUL; the mode counts only with O_CREAT, which nobody here uses.
    check(unsafe { libc::openat(at, path.as_ptr(), flags | libc::O_CLOEXEC, 0) })
}

/// close(2).
pub(crate) fn close(fd: c_int) {
    // SAFETY: fds are numbers here, none is owned by a std type.
    unsafe { libc::close(fd) };
}

/// fcntl(2) with a number.
pub(crate) fn fcntl(fd: c_int, command: c_int, arg: c_int) -> Result<c_int> {
    // SAFETY: only commands that take numbers are used here.
    check(unsafe { libc::fcntl(fd, command, arg) })
}

/// dup2(2): `to` is then `from`, not close-on-exec.
pub(crate) fn dup_to(from: c_int, to: c_int) -> Result<c_int> {
    // SAFETY: no memory is involved.
    check(unsafe { libc::dup2(from, to) })
}

/// dup(2): the lowest free fd.
pub(crate) fn dup(from: c_int) -> Result<c_int> {
    // SAFETY: no memory is involved.
    check(unsafe { libc::dup(from) })
}

/// close_range(2) from this fd on; before 5.9, which lacks it, as many as the agent could possibly have open.
pub(crate) fn close_from(first: u32) {
    // SAFETY: no memory is involved.
    if unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) } != 0 {
        (first as c_int..1024).for_each(close);
    }
}

/// read(2).
pub(crate) fn read(fd: c_int, into: &mut [u8]) -> Result<usize> {
    // SAFETY: the kernel writes at most `len` bytes to a valid place.
    check_size(unsafe { libc::read(fd, into.as_mut_ptr().cast(), into.len()) })
}

/// write(2).
pub(crate) fn write(fd: c_int, bytes: &[u8]) -> Result<usize> {
    // SAFETY: the kernel reads `len` bytes of a valid slice.
    check_size(unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) })
}

/// pread(2) from offset 0.
pub(crate) fn read_start(fd: c_int, into: &mut [u8]) -> Result<usize> {
    // SAFETY: the kernel writes at most `len` bytes to a valid place.
    check_size(unsafe { libc::pread(fd, into.as_mut_ptr().cast(), into.len(), 0) })
}

/// pwrite(2) at offset 0.
pub(crate) fn write_start(fd: c_int, bytes: &[u8]) -> Result<usize> {
    // SAFETY: the kernel reads `len` bytes of a valid slice.
    check_size(unsafe { libc::pwrite(fd, bytes.as_ptr().cast(), bytes.len(), 0) })
}

/// lseek(2).
pub(crate) fn seek(fd: c_int, offset: i64, whence: c_int) -> Result<()> {
    // SAFETY: no memory is involved.
    if unsafe { libc::lseek(fd, offset, whence) } < 0 { Err(errno()) } else { Ok(()) }
}

/// All that a file holds; for files of /proc and /sys, whose size is not known beforehand.
pub(crate) fn read_file(path: &str) -> Result<Vec<u8>> {
    let fd = open(&c_string(path), libc::O_RDONLY)?;
    let mut all = Vec::new();
    let mut chunk = [0; 4096];
    let ended = loop {
        match read(fd, &mut chunk) {
            Ok(0) => break Ok(()),
            Ok(n) => all.extend_from_slice(&chunk[..n]),
            Err(libc::EINTR) => {}
            Err(e) => break Err(e),
        }
    };
    close(fd);
    ended.map(|()| all)
}

/// Writes to an existing file in one write.
pub(crate) fn write_file(path: &str, bytes: &[u8]) -> Result<()> {
    let fd = open(&c_string(path), libc::O_WRONLY)?;
    let written = write(fd, bytes);
    close(fd);
    written.map(drop)
}

/// ppoll(2) without a time limit (`None`) or with one in nanoseconds; a signal ends it too (`Ok(0)`).
pub(crate) fn poll(fds: &mut [libc::pollfd], limit_ns: Option<u64>) -> Result<usize> {
    let time = limit_ns.map(timespec);
    let limit = time.as_ref().map_or(std::ptr::null(), |t| t as *const libc::timespec);
    // SAFETY: `fds` is a valid slice, `limit` NULL or a valid time that lives until the call ends.
    match check(unsafe { libc::ppoll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, limit, std::ptr::null()) })
    {
        Ok(n) => Ok(n as usize),
        Err(libc::EINTR) => Ok(0),
        Err(e) => Err(e),
    }
}

/// What an mmap(2) is for.
#[derive(Clone, Copy)]
pub(crate) enum Map {
    /// Private zeros, writable, not counted before they are used.
    Private,
    /// Private zeros that cannot be written.
    ReadOnly,
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
        Map::ReadOnly => (libc::PROT_READ, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1),
        Map::Shared => (writable, libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE, -1),
        Map::File(fd) => (writable, libc::MAP_SHARED, fd),
    };
    // SAFETY: no address is asked for, so no existing mapping is touched.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), length, prot, flags, fd, 0) };
    if at == libc::MAP_FAILED { Err(errno()) } else { Ok(at.cast()) }
}

/// Bytes of a page.
pub(crate) fn page_size() -> usize {
    // SAFETY: no memory is involved.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
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

/// A system call by number, with six numbers (some of which may be addresses that the kernel checks).
pub(crate) fn syscall(number: libc::c_long, args: [u64; 6]) -> i64 {
    let [a, b, c, d, e, f] = args;
    // SAFETY: what the call does to this process is what the plan's author asks for: it runs in a process of its own, and
    // the memory that it is given is private to the call. Calls that return twice are made by `raw` instead.
    let ret = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if ret == -1 { -i64::from(errno()) } else { ret as i64 }
}

/// mount(2).
pub(crate) fn mount(source: &str, target: &str, kind: &str, flags: libc::c_ulong, data: &str) -> Result<()> {
    let (source, target, kind, data) = (c_string(source), c_string(target), c_string(kind), c_string(data));
    // SAFETY: all strings end in NUL and outlive the call.
    check(unsafe {
        libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, data.as_ptr().cast::<c_void>())
    })
    .map(drop)
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

/// umount2(2), lazily, not following a symbolic link.
pub(crate) fn unmount(path: &CStr) -> Result<()> {
    // SAFETY: `path` ends in NUL.
    check(unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH | libc::UMOUNT_NOFOLLOW) }).map(drop)
}

/// unshare(2).
pub(crate) fn unshare(flags: c_int) -> Result<()> {
    // SAFETY: only namespaces are unshared here.
    check(unsafe { libc::unshare(flags) }).map(drop)
}

/// mkdir(2); a directory that is there already is as good.
pub(crate) fn make_dir(path: &CStr, mode: libc::mode_t) -> Result<()> {
    // SAFETY: `path` ends in NUL.
    match check(unsafe { libc::mkdir(path.as_ptr(), mode) }) {
        Ok(_) | Err(libc::EEXIST) => Ok(()),
        Err(e) => Err(e),
    }
}

/// chmod(2).
pub(crate) fn change_mode(path: &CStr, mode: libc::mode_t) -> Result<()> {
    // SAFETY: `path` ends in NUL.
    check(unsafe { libc::chmod(path.as_ptr(), mode) }).map(drop)
}

/// chdir(2).
pub(crate) fn change_dir(path: &CStr) -> Result<()> {
    // SAFETY: `path` ends in NUL.
    check(unsafe { libc::chdir(path.as_ptr()) }).map(drop)
}

/// unlinkat(2).
pub(crate) fn unlink_at(at: c_int, name: &CStr, flags: c_int) -> Result<()> {
    // SAFETY: `name` ends in NUL.
    check(unsafe { libc::unlinkat(at, name.as_ptr(), flags) }).map(drop)
}

/// stat(2) not following a symbolic link.
pub(crate) fn stat(path: &CStr) -> Result<libc::stat> {
    let mut answer = std::mem::MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: `path` ends in NUL, `answer` is a valid place, and all-zero is a valid stat.
    check(unsafe { libc::lstat(path.as_ptr(), answer.as_mut_ptr()) })?;
    // SAFETY: initialised (with zeros at least) above.
    Ok(unsafe { answer.assume_init() })
}

/// fstat(2).
pub(crate) fn stat_fd(fd: c_int) -> Result<libc::stat> {
    let mut answer = std::mem::MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: `answer` is a valid place, and all-zero is a valid stat.
    check(unsafe { libc::fstat(fd, answer.as_mut_ptr()) })?;
    // SAFETY: initialised (with zeros at least) above.
    Ok(unsafe { answer.assume_init() })
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

/// memfd_create(2) of that length, not close-on-exec.
pub(crate) fn memory_file(length: usize) -> Result<c_int> {
    // SAFETY: the name ends in NUL. By number: old C libraries lack the function.
    let fd = unsafe { libc::syscall(libc::SYS_memfd_create, c"kconform".as_ptr(), 0) } as c_int;
    check(fd)?;
    // SAFETY: no memory is involved.
    check(unsafe { libc::ftruncate(fd, length as libc::off_t) }).inspect_err(|_| close(fd))?;
    Ok(fd)
}

/// A connected pair of close-on-exec UNIX sockets that keep messages apart.
pub(crate) fn socket_pair() -> Result<(c_int, c_int)> {
    let mut pair = [0; 2];
    // SAFETY: `pair` is a valid place for two fds.
    check(unsafe {
        libc::socketpair(libc::AF_UNIX, libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC, 0, pair.as_mut_ptr())
    })?;
    Ok((pair[0], pair[1]))
}

/// Room for a control message with one fd, aligned as cmsg(3) wants it.
#[repr(C, align(8))]
struct Control([u8; 64]);

/// Calls `then` with the header of a one-byte message that carries `control`.
fn with_message<T>(control: &mut Control, length: usize, then: impl FnOnce(&mut libc::msghdr) -> T) -> T {
    let mut byte = [0_u8];
    let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    // SAFETY: all-zero is a valid msghdr (some C libraries pad it, so it cannot be written out).
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = length as _;
    then(&mut message)
}

/// Sends an fd over a UNIX socket, as unix(7) describes `SCM_RIGHTS`.
pub(crate) fn send_fd(socket: c_int, fd: c_int) -> Result<()> {
    let mut control = Control([0; 64]);
    // SAFETY: a pure computation.
    let (space, length) = unsafe { (libc::CMSG_SPACE(4), libc::CMSG_LEN(4)) };
    with_message(&mut control, space as usize, |message| {
        // SAFETY: the message and all that it points to outlive the call; `control` has room for one fd.
        check_size(unsafe {
            let header = &mut *libc::CMSG_FIRSTHDR(message);
            header.cmsg_level = libc::SOL_SOCKET;
            header.cmsg_type = libc::SCM_RIGHTS;
            header.cmsg_len = length as _;
            libc::CMSG_DATA(header).cast::<c_int>().write_unaligned(fd);
            libc::sendmsg(socket, message, libc::MSG_NOSIGNAL)
        })
        .map(drop)
    })
}

/// Receives an fd over a UNIX socket; `ENOMSG` when the other end went away without sending one.
pub(crate) fn receive_fd(socket: c_int) -> Result<c_int> {
    let mut control = Control([0; 64]);
    let room = control.0.len();
    with_message(&mut control, room, |message| {
        // SAFETY: the message and all that it points to outlive the call; the kernel's control message, if there is one,
        // lies within `control`.
        unsafe {
            check_size(libc::recvmsg(socket, message, 0))?;
            let header = libc::CMSG_FIRSTHDR(message);
            if header.is_null() || (*header).cmsg_type != libc::SCM_RIGHTS {
                return Err(libc::ENOMSG);
            }
            Ok(libc::CMSG_DATA(header).cast::<c_int>().read_unaligned())
        }
    })
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

/// getdents64(2).
pub(crate) fn directory_entries(fd: c_int, into: &mut [u8]) -> Result<usize> {
    // SAFETY: the kernel writes at most `len` bytes to a valid place.
    check_size(unsafe { libc::syscall(libc::SYS_getdents64, fd, into.as_mut_ptr(), into.len()) } as isize)
}

/// fchdir(2).
pub(crate) fn change_dir_fd(fd: c_int) -> Result<()> {
    // SAFETY: no memory is involved.
    check(unsafe { libc::fchdir(fd) }).map(drop)
}

/// open(2), not close-on-exec.
pub(crate) fn open_kept(path: &CStr, flags: c_int) -> Result<c_int> {
    // SAFETY: `path` ends in NUL; the mode counts only with O_CREAT, which nobody here uses.
    check(unsafe { libc::open(path.as_ptr(), flags, 0) })
}

/// dup3(2), close-on-exec; the same fd twice is no mistake.
pub(crate) fn dup_exactly(from: c_int, to: c_int) -> Result<c_int> {
    if from == to {
        return fcntl(from, libc::F_SETFD, libc::FD_CLOEXEC);
    }
    // SAFETY: no memory is involved.
    check(unsafe { libc::dup3(from, to, libc::O_CLOEXEC) })
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

/// geteuid(2).
pub(crate) fn effective_uid() -> u32 {
    // SAFETY: always succeeds.
    unsafe { libc::geteuid() }
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

/// stat(2).
pub(crate) fn stat_following(path: &CStr) -> Result<libc::stat> {
    let mut answer = std::mem::MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: `path` ends in NUL, `answer` is a valid place, and all-zero is a valid stat.
    check(unsafe { libc::stat(path.as_ptr(), answer.as_mut_ptr()) })?;
    // SAFETY: initialised (with zeros at least) above.
    Ok(unsafe { answer.assume_init() })
}
