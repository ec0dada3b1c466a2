//! Programs that take long, like make: they end when kconform is interrupted, and what a killed kconform has left of them
//! is found again.

use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open, test_kill_process_group,
};

use crate::interrupt;

/// The variable by which programs that belong to a search are known, whoever started them: it holds the search's folder.
pub const MARK: &str = "KCONFORM_BISECT";

/// How often an interruption is looked for.
const GLANCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// How long programs may take to end before they are killed.
const PATIENCE: Duration = Duration::from_secs(3);

/// Runs a program that belongs to the search in `folder`, with its output added to a log. `None`: it was ended since the
/// user wants everything to end.
///
/// # Errors
/// It cannot be started, or its log cannot be written.
pub fn run(mut command: Command, folder: &Path, log: &Path) -> io::Result<Option<ExitStatus>> {
    if interrupt::requested() {
        return Ok(None);
    }
    let log = File::options().create(true).append(true).open(log)?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    // A group of its own: Ctrl-C comes to kconform alone, and all of the group can be ended.
    command.env(MARK, folder).process_group(0);
    let mut child = command.spawn()?;
    let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
    loop {
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
        // Interrupted or not, the process is asked.
        let _ = poll(&mut fds, Some(&GLANCE));
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if interrupt::requested() {
            end(&mut child)?;
            return Ok(None);
        }
    }
}

/// Ends a program and all that it started: first it is asked to, then it is made to.
fn end(child: &mut Child) -> io::Result<()> {
    let group = Pid::from_child(child);
    let until = Instant::now() + PATIENCE;
    let _ = kill_process_group(group, Signal::TERM);
    while Instant::now() < until && test_kill_process_group(group).is_ok() {
        // Only what is waited for is gone.
        let _ = child.try_wait()?;
        let _ = poll(&mut [], Some(&GLANCE));
    }
    let _ = kill_process_group(group, Signal::KILL);
    child.wait().map(|_| ())
}

/// Ends every program that belongs to the search in a folder. Who calls this holds the folder's lock: there is no kconform
/// that still waits for one of them.
pub fn end_marked(folder: &Path) {
    let mut wanted = format!("{MARK}=").into_bytes();
    wanted.extend(folder.as_os_str().as_bytes());
    // What is being started while the processes are read is met the next time.
    for _ in 0..8 {
        let marked: Vec<Pid> = fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
                let environment = fs::read(entry.path().join("environ")).ok()?;
                environment.split(|&byte| byte == 0).any(|variable| variable == wanted).then_some(())?;
                Pid::from_raw(pid).filter(|pid| *pid != rustix::process::getpid())
            })
            .collect();
        if marked.is_empty() {
            return;
        }
        for pid in marked {
            // It may have ended meanwhile.
            let _ = kill_process(pid, Signal::KILL);
        }
        let _ = poll(&mut [], Some(&GLANCE));
    }
}
