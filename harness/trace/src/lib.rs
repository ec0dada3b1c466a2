//! Runs a program and watches the system calls of all its processes and threads, by ptrace(2). It reads no registers:
//! `PTRACE_GET_SYSCALL_INFO` (Linux 5.3) says the same on every architecture.
//!
//! Nothing of it stays behind: if the tracer ends, the kernel detaches what it traced, which goes on untraced.

mod sys;

use std::collections::HashSet;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};

use sys::Info;

/// Bytes of the smallest page: memory is readable by pages.
const PAGE: usize = 4096;

/// A thread at the entry or the exit of a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tracee {
    /// Its number, as gettid(2) says it.
    pub tid: i32,
    /// The ABI of the call, an `AUDIT_ARCH_…` of linux/audit.h: 32-bit calls have another than the kernel.
    pub audit_arch: u32,
}

/// The system call that a thread enters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The number of the call.
    pub number: u64,
    /// Its arguments.
    pub args: [u64; 6],
}

/// What happens in the processes of the program. All are stopped at that point, so that their memory can be read.
pub trait Watcher {
    /// A thread enters a call.
    fn enters(&mut self, tracee: Tracee, entry: Entry);
    /// The call of a thread returned; a negative errno is an error.
    fn returns(&mut self, tracee: Tracee, value: i64);
    /// A thread made another thread or a process.
    fn forks(&mut self, parent: i32, child: i32);
    /// A process runs another program now. `former` is the thread that called execve(2), `process` its number from now on.
    fn execs(&mut self, process: i32, former: i32);
    /// A thread has ended.
    fn ends(&mut self, tid: i32);
}

/// Why a program cannot be traced.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// There is no such program, or it cannot be executed.
    #[error("{program} cannot be started: {error}")]
    Start {
        /// As the user calls it.
        program: String,
        /// What the system said.
        error: io::Error,
    },
    /// The system lets nobody trace here.
    #[error(
        "{program} cannot be traced: {error}; ptrace(2) is not allowed here: run kconform as root, not below another tracer \
         (strace, gdb), with kernel.yama.ptrace_scope below 3, and in a container with --cap-add=SYS_PTRACE"
    )]
    NotAllowed {
        /// As the user calls it.
        program: String,
        /// What the system said.
        error: io::Error,
    },
    /// The kernel does not say which call it is.
    #[error(
        "the kernel does not say which system calls a program makes ({0}): PTRACE_GET_SYSCALL_INFO needs Linux 5.3"
    )]
    NoInfo(io::Error),
    /// ptrace(2) or wait(2) failed.
    #[error("the program is no longer traced: {0}")]
    Lost(io::Error),
}

/// Runs a program to the end of its last process, and gives the exit status of the first.
///
/// # Errors
/// The program cannot be started or not be traced.
pub fn trace(command: Command, watcher: &mut dyn Watcher) -> Result<ExitStatus, TraceError> {
    let first = start(command)?;
    let mut tracer = Tracer { first, ..Tracer::default() };
    tracer.known.insert(first);
    tracer.run(watcher)
}

/// Starts the program; it stops behind execve(2), and goes on to its first call.
fn start(mut command: Command) -> Result<i32, TraceError> {
    let program = command.get_program().to_string_lossy().into_owned();
    sys::traced(&mut command);
    let child = command.spawn().map_err(|error| match error.raw_os_error() {
        Some(libc::EPERM | libc::ENOSYS) => TraceError::NotAllowed { program, error },
        _ => TraceError::Start { program, error },
    })?;
    let tid = i32::try_from(child.id()).map_err(|error| TraceError::Lost(io::Error::other(error)))?;
    // The stop by which execve(2) ends. std waits for nobody unless it is asked to.
    sys::wait(tid).map_err(TraceError::Lost)?;
    let options = libc::PTRACE_O_TRACESYSGOOD
        | libc::PTRACE_O_TRACEFORK
        | libc::PTRACE_O_TRACEVFORK
        | libc::PTRACE_O_TRACECLONE
        | libc::PTRACE_O_TRACEEXEC;
    sys::set_options(tid, options).map_err(TraceError::Lost)?;
    go_on(tid, 0)?;
    Ok(tid)
}

#[derive(Default)]
struct Tracer {
    first: i32,
    /// Threads that are traced.
    known: HashSet<i32>,
    /// Threads that stopped before their parents told of them.
    early: HashSet<i32>,
    /// Threads that are to stop for the first time.
    new: HashSet<i32>,
    /// Threads within a call.
    inside: HashSet<i32>,
}

impl Tracer {
    fn run(&mut self, watcher: &mut dyn Watcher) -> Result<ExitStatus, TraceError> {
        let mut of_first = None;
        loop {
            let (tid, status) = match sys::wait(-1) {
                Ok(known) => known,
                Err(error) => match (error.raw_os_error(), of_first) {
                    (Some(libc::EINTR), _) => continue,
                    (Some(libc::ECHILD), Some(status)) => return Ok(status),
                    _ => return Err(TraceError::Lost(error)),
                },
            };
            if !libc::WIFSTOPPED(status) {
                for set in [&mut self.known, &mut self.early, &mut self.new, &mut self.inside] {
                    set.remove(&tid);
                }
                watcher.ends(tid);
                if tid == self.first {
                    of_first = Some(ExitStatus::from_raw(status));
                }
                continue;
            }
            let (signal, event) = (libc::WSTOPSIG(status), status >> 16);
            if signal == libc::SIGTRAP | 0x80 {
                self.at_call(tid, watcher)?;
                go_on(tid, 0)?;
            } else if event != 0 {
                self.event(tid, event, watcher)?;
                go_on(tid, 0)?;
            } else if !self.known.contains(&tid) {
                // It goes on when its parent has told of it.
                self.early.insert(tid);
            } else {
                // A new thread begins with a SIGSTOP that nobody sent; any other signal is its own.
                go_on(tid, if self.new.remove(&tid) { 0 } else { signal })?;
            }
        }
    }

    fn at_call(&mut self, tid: i32, watcher: &mut dyn Watcher) -> Result<(), TraceError> {
        match sys::info(tid) {
            Ok(Info::Entry { audit_arch, entry }) => {
                self.inside.insert(tid);
                watcher.enters(Tracee { tid, audit_arch }, entry);
            }
            Ok(Info::Exit { audit_arch, value }) if self.inside.remove(&tid) => {
                watcher.returns(Tracee { tid, audit_arch }, value);
            }
            Ok(Info::Exit { .. } | Info::None) => {}
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(TraceError::NoInfo(error)),
        }
        Ok(())
    }

    fn event(&mut self, tid: i32, event: i32, watcher: &mut dyn Watcher) -> Result<(), TraceError> {
        match event {
            libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE => {
                let Some(child) = sys::event_message(tid) else { return Ok(()) };
                self.known.insert(child);
                watcher.forks(tid, child);
                if self.early.remove(&child) {
                    go_on(child, 0)?;
                } else {
                    self.new.insert(child);
                }
            }
            libc::PTRACE_EVENT_EXEC => {
                let former = sys::event_message(tid).unwrap_or(tid);
                if former != tid {
                    self.inside.remove(&former);
                    self.inside.insert(tid);
                }
                watcher.execs(tid, former);
            }
            _ => {}
        }
        Ok(())
    }
}

/// Whether the thread is being killed; wait(2) says so next.
fn is_gone(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ESRCH)
}

fn go_on(tid: i32, signal: i32) -> Result<(), TraceError> {
    match sys::go_on(tid, signal) {
        Err(error) if !is_gone(&error) => Err(TraceError::Lost(error)),
        _ => Ok(()),
    }
}

/// Reads the memory of a process that is stopped: as many of the `length` bytes from `address` on as there are.
pub fn read(tid: i32, address: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let mut done = 0;
    while done < length {
        let base = usize::try_from(address).ok().and_then(|address| address.checked_add(done));
        let Some(base) = base else { break };
        // First all, then to the end of each page: a call that meets a page that is not there may have read nothing.
        let page = (PAGE - base % PAGE).min(length - done);
        let all = sys::read(tid, base, &mut bytes[done..]);
        match all.or_else(|_| sys::read(tid, base, &mut bytes[done..done + page])) {
            Ok(0) | Err(_) => break,
            Ok(count) => done += count,
        }
    }
    bytes.truncate(done);
    bytes
}
