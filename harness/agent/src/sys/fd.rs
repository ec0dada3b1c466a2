//! Fds and what is read and written through them.

use std::ffi::CStr;
use std::io;

use libc::c_int;

use super::{Result, c_string, check, check_size, errno, timespec};

/// openat(2) of a path below the working directory or from the root; always close-on-exec.
pub(crate) fn open(path: &CStr, flags: c_int) -> Result<c_int> {
    open_at(libc::AT_FDCWD, path, flags)
}

/// openat(2), close-on-exec.
pub(crate) fn open_at(at: c_int, path: &CStr, flags: c_int) -> Result<c_int> {
    // SAFETY: `path` ends in NUL; the mode counts only with O_CREAT, which nobody here uses.
    check(unsafe { libc::openat(at, path.as_ptr(), flags | libc::O_CLOEXEC, 0) })
}

/// open(2), not close-on-exec.
pub(crate) fn open_kept(path: &CStr, flags: c_int) -> Result<c_int> {
    // SAFETY: `path` ends in NUL; the mode counts only with O_CREAT, which nobody here uses.
    check(unsafe { libc::open(path.as_ptr(), flags, 0) })
}

/// Makes a terminal's line carry bytes as they are, at the highest rate that every UART has: no echo, no signals, no
/// flow control, no hang-up when the other end seems to be away (termios(3)).
pub(crate) fn make_raw(fd: c_int) -> Result<()> {
    let mut line = std::mem::MaybeUninit::<libc::termios>::zeroed();
    // SAFETY: `line` is a valid place for the answer.
    check(unsafe { libc::tcgetattr(fd, line.as_mut_ptr()) })?;
    // SAFETY: tcgetattr has filled it in.
    let mut line = unsafe { line.assume_init() };
    // SAFETY: `line` is valid.
    unsafe { libc::cfmakeraw(&mut line) };
    line.c_cflag |= libc::CLOCAL | libc::CREAD;
    line.c_cflag &= !(libc::CRTSCTS | libc::HUPCL | libc::CBAUD);
    line.c_cflag |= libc::B115200;
    (line.c_cc[libc::VMIN], line.c_cc[libc::VTIME]) = (1, 0);
    // SAFETY: `line` is valid.
    check(unsafe { libc::tcsetattr(fd, libc::TCSAFLUSH, &line) }).map(drop)
}

/// close(2).
pub(crate) fn close(fd: c_int) {
    // SAFETY: fds are numbers here, none is owned by a std type.
    unsafe { libc::close(fd) };
}

/// close_range(2) from this fd on; before 5.9, which lacks it, those below `most` one by one.
pub(crate) fn close_from(first: u32, most: i32) {
    // SAFETY: no memory is involved.
    if unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) } != 0 {
        (first as c_int..most).for_each(close);
    }
}

/// close_range(2) of all fds below `end`; before 5.9, which lacks it, one by one.
pub(crate) fn close_below(end: c_int) {
    // SAFETY: no memory is involved.
    if unsafe { libc::syscall(libc::SYS_close_range, 0, end - 1, 0) } != 0 {
        (0..end).for_each(close);
    }
}

/// pipe2(2), close-on-exec: the end to read from and the one to write to.
pub(crate) fn pipe() -> Result<(c_int, c_int)> {
    let mut ends = [0; 2];
    // SAFETY: `ends` is a valid place for two fds.
    check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
    Ok((ends[0], ends[1]))
}

/// fcntl(2) with a number.
pub(crate) fn fcntl(fd: c_int, command: c_int, arg: c_int) -> Result<c_int> {
    // SAFETY: only commands that take numbers are used here.
    check(unsafe { libc::fcntl(fd, command, arg) })
}

/// dup(2): the lowest free fd.
pub(crate) fn dup(from: c_int) -> Result<c_int> {
    // SAFETY: no memory is involved.
    check(unsafe { libc::dup(from) })
}

/// dup2(2): `to` is then `from`, not close-on-exec.
pub(crate) fn dup_to(from: c_int, to: c_int) -> Result<c_int> {
    // SAFETY: no memory is involved.
    check(unsafe { libc::dup2(from, to) })
}

/// dup3(2), close-on-exec; the same fd twice is no mistake.
pub(crate) fn dup_exactly(from: c_int, to: c_int) -> Result<c_int> {
    if from == to {
        return fcntl(from, libc::F_SETFD, libc::FD_CLOEXEC);
    }
    // SAFETY: no memory is involved.
    check(unsafe { libc::dup3(from, to, libc::O_CLOEXEC) })
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
    read_at(fd, 0, into)
}

/// pwrite(2) at offset 0.
pub(crate) fn write_start(fd: c_int, bytes: &[u8]) -> Result<usize> {
    write_at(fd, 0, bytes)
}

/// pread(2) at an offset, which may be an address of /proc/PID/mem.
pub(crate) fn read_at(fd: c_int, at: usize, into: &mut [u8]) -> Result<usize> {
    // SAFETY: the kernel writes at most `len` bytes to a valid place.
    check_size(unsafe { libc::pread64(fd, into.as_mut_ptr().cast(), into.len(), at as libc::off64_t) })
}

/// pwrite(2) at an offset, which may be an address of /proc/PID/mem.
pub(crate) fn write_at(fd: c_int, at: usize, bytes: &[u8]) -> Result<usize> {
    // SAFETY: the kernel reads `len` bytes of a valid slice.
    check_size(unsafe { libc::pwrite64(fd, bytes.as_ptr().cast(), bytes.len(), at as libc::off64_t) })
}

/// lseek(2).
pub(crate) fn seek(fd: c_int, offset: i64, whence: c_int) -> Result<()> {
    // SAFETY: no memory is involved.
    if unsafe { libc::lseek(fd, offset, whence) } < 0 { Err(errno()) } else { Ok(()) }
}

/// All that a file holds; for files of /proc and /sys, whose size is not known beforehand.
pub(crate) fn read_file(path: &str) -> Result<Vec<u8>> {
    read_file_of(path, 0)
}

/// All of a file that has about so many bytes: memory for a large one is mapped at once, and given back.
pub(crate) fn read_file_of(path: &str, size: usize) -> Result<Vec<u8>> {
    let fd = open(&c_string(path), libc::O_RDONLY)?;
    let mut all = Vec::with_capacity(size);
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

/// memfd_create(2) of that length, not close-on-exec.
pub(crate) fn memory_file(length: usize) -> Result<c_int> {
    // SAFETY: the name ends in NUL. By number: old C libraries lack the function.
    let fd = unsafe { libc::syscall(libc::SYS_memfd_create, c"kconform".as_ptr(), 0) } as c_int;
    check(fd)?;
    // SAFETY: no memory is involved.
    check(unsafe { libc::ftruncate(fd, length as libc::off_t) }).inspect_err(|_| close(fd))?;
    Ok(fd)
}

/// write(2), waiting for room where the fd would not wait by itself.
pub(crate) fn write_some(fd: i32, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match write(fd, bytes) {
            Ok(written) => return Ok(written),
            Err(libc::EINTR) => {}
            Err(libc::EAGAIN) => {
                let mut room = [libc::pollfd { fd, events: libc::POLLOUT, revents: 0 }];
                poll(&mut room, None).map_err(io::Error::from_raw_os_error)?;
            }
            Err(errno) => return Err(io::Error::from_raw_os_error(errno)),
        }
    }
}
