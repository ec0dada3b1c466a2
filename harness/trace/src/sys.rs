//! The system calls of a tracer: ptrace(2), wait(2) and process_vm_readv(2). All `unsafe` of the package is here.

use std::ffi::{c_long, c_uint};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::Entry;

/// `PTRACE_GET_SYSCALL_INFO`, as linux/ptrace.h has it.
const GET_SYSCALL_INFO: c_uint = 0x420e;

/// Words of `struct ptrace_syscall_info`: `op` and `arch`, two pointers, then the number of the call and its six arguments,
/// and what only seccomp(2) fills in.
const WORDS: usize = 11;

/// What a thread stopped at.
pub(crate) enum Info {
    /// It enters a call.
    Entry {
        /// `arch`.
        audit_arch: u32,
        /// The call.
        entry: Entry,
    },
    /// A call returns.
    Exit {
        /// `arch`.
        audit_arch: u32,
        /// `rval`.
        value: i64,
    },
    /// Neither.
    None,
}

/// Asks what a stopped thread stopped at.
pub(crate) fn info(tid: i32) -> io::Result<Info> {
    let mut words = [0_u64; WORDS];
    // SAFETY: the kernel writes at most the given size, which is that of `words`; every bit pattern is a u64.
    let got = unsafe { libc::ptrace(GET_SYSCALL_INFO as _, tid, size_of_val(&words), words.as_mut_ptr()) };
    checked(got)?;
    // `op` is the first byte, `arch` the second half of the first word, on either byte order.
    let [op, _, _, _, arch @ ..] = words[0].to_ne_bytes();
    let audit_arch = u32::from_ne_bytes(arch);
    let [_, _, _, number, args @ .., _] = words;
    Ok(match op {
        1 => Info::Entry { audit_arch, entry: Entry { number, args } },
        2 => Info::Exit { audit_arch, value: number as i64 },
        _ => Info::None,
    })
}

/// Has the program of a command traced by this thread: it stops behind its execve(2).
pub(crate) fn traced(command: &mut Command) {
    let traceme = || {
        // SAFETY: PTRACE_TRACEME looks at no other argument.
        let done = unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) };
        checked(done).map(drop)
    };
    // SAFETY: the closure runs between fork and exec, and calls ptrace(2) only, which takes no lock and no memory.
    unsafe { command.pre_exec(traceme) };
}

/// `PTRACE_SETOPTIONS`.
pub(crate) fn set_options(tid: i32, options: i32) -> io::Result<()> {
    // SAFETY: the request takes a number and writes no memory.
    checked(unsafe { libc::ptrace(libc::PTRACE_SETOPTIONS, tid, 0, c_long::from(options)) }).map(drop)
}

/// `PTRACE_SYSCALL`: lets a thread go on to the next call, with a signal or with none (0).
pub(crate) fn go_on(tid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: the request takes a number and writes no memory of ours.
    checked(unsafe { libc::ptrace(libc::PTRACE_SYSCALL, tid, 0, c_long::from(signal)) }).map(drop)
}

/// `PTRACE_GETEVENTMSG`.
pub(crate) fn event_message(tid: i32) -> Option<i32> {
    let mut message: libc::c_ulong = 0;
    // SAFETY: the request writes an unsigned long, which `message` is.
    let done = unsafe { libc::ptrace(libc::PTRACE_GETEVENTMSG, tid, 0, &raw mut message) };
    checked(done).ok()?;
    i32::try_from(message).ok()
}

/// Waits for a thread, or with -1 for any: its number and status as wait(2) has it.
pub(crate) fn wait(tid: i32) -> io::Result<(i32, i32)> {
    let mut status = 0;
    // SAFETY: the call writes an int, which `status` is.
    let tid = unsafe { libc::waitpid(tid, &raw mut status, libc::__WALL) };
    checked(tid.into())?;
    Ok((tid, status))
}

/// Reads memory of another process; how many bytes.
pub(crate) fn read(tid: i32, address: usize, bytes: &mut [u8]) -> io::Result<usize> {
    let ours = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let theirs = libc::iovec { iov_base: address as *mut _, iov_len: bytes.len() };
    // SAFETY: `ours` is a slice that is borrowed mutably; the kernel checks `theirs`, which is memory of the other process.
    let count = unsafe { libc::process_vm_readv(tid, &raw const ours, 1, &raw const theirs, 1, 0) };
    checked(count as c_long).map(|count| usize::try_from(count).unwrap_or(0))
}

fn checked(value: c_long) -> io::Result<c_long> {
    if value == -1 { Err(io::Error::last_os_error()) } else { Ok(value) }
}
