//! The QEMU process: started so that it cannot outlive the harness, and ended for certain.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::thread;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::progress::Progress;
use crate::interrupt;

/// A running QEMU. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Process {
    child: Mutex<Child>,
    /// Becomes readable when the process ends (pidfd_open(2)).
    pub pidfd: OwnedFd,
}

/// A program and what it says.
pub(super) struct Spawned {
    pub process: Process,
    pub stdout: ChildStdout,
    pub stderr: ChildStderr,
}

impl Process {
    /// Starts a program in a directory, in a process group of its own, so that Ctrl-C comes to the harness alone. It is
    /// killed when the harness ends, whatever ends it, where `setpriv` of util-linux is there to say so
    /// (PR_SET_PDEATHSIG in prctl(2)).
    pub(super) fn spawn(program: &Path, arguments: &[String], directory: &Path) -> io::Result<Spawned> {
        let mut command = match find_program("setpriv") {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                // Without a locale it need not read one, which takes as long as all else it does.
                command.env("LC_ALL", "C").args(["--pdeathsig", "KILL", "--"]).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.args(arguments).current_dir(directory).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if interrupt::requested() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let mut child = spawn_from_lasting_thread(command)?;
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
        running().push(pidfd.try_clone()?);
        Ok(Spawned { process: Process { child: Mutex::new(child), pidfd }, stdout, stderr })
    }

    /// Ends it, if it has not ended, and waits until it is gone.
    pub(super) fn kill(&self) {
        let mut child = self.child();
        // Both fail only for a process that is gone already.
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Has it end, and does not wait for that: the kernel takes a while to give back a guest's memory.
    pub(super) fn begin_kill(&self) {
        // It fails only for a process that is gone already.
        let _ = self.child().kill();
    }

    /// How it ended, if it has.
    pub(super) fn ended(&self) -> Option<ExitStatus> {
        self.child().try_wait().ok().flatten()
    }

    /// How it ended, if it does so in time.
    pub(super) fn ended_within(&self, patience: Timespec) -> Option<ExitStatus> {
        let mut fds = [PollFd::from_borrowed_fd(self.pidfd.as_fd(), PollFlags::IN)];
        // Interrupted or not, the process is asked.
        let _ = poll(&mut fds, Some(&patience));
        self.ended()
    }

    /// What its threads do, and have done.
    pub(super) fn progress(&self) -> Progress {
        Progress::of_process(self.child().id())
    }

    /// Whether it is stopped by a signal: the state in /proc/PID/stat (proc(5)), behind the name, which may hold anything.
    pub(super) fn is_stopped(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child().id())).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, fields)| fields.starts_with(['T', 't']))
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// All that were started, as far as they may still be there.
fn running() -> MutexGuard<'static, Vec<OwnedFd>> {
    static RUNNING: Mutex<Vec<OwnedFd>> = Mutex::new(Vec::new());
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    running.retain(|pidfd| !has_ended(pidfd));
    running
}

fn has_ended(pidfd: &OwnedFd) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)];
    poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ended| ended > 0)
}

/// Ends every QEMU, whatever is waited for: whoever waits learns that it is gone. After an interruption no other is
/// started.
pub(crate) fn end_all() {
    for pidfd in running().iter() {
        // It may have ended by itself just now.
        let _ = pidfd_send_signal(pidfd, Signal::KILL);
    }
}

type Order = (Command, mpsc::Sender<io::Result<Child>>);

/// Spawns from a thread that lasts as long as the harness. The parent whose death kills a child is the thread that
/// made it (prctl(2)), and the threads that boot guests come and go.
fn spawn_from_lasting_thread(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<Mutex<mpsc::Sender<Order>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, reply) in inbox {
                // Whoever asked has gone only if it panicked.
                let _ = reply.send(command.spawn());
            }
        });
        Mutex::new(orders)
    });
    let (reply, answer) = mpsc::channel();
    let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
    spawner.lock().unwrap_or_else(PoisonError::into_inner).send((command, reply)).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}

/// Where in `$PATH` a program is.
pub(super) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(name)).find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    file.is_file() && rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok()
}
