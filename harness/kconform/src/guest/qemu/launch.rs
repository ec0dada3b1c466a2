//! A QEMU process with its pipes and sockets, before there is a guest to speak of.

use std::io::{self, BufRead, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{ChildStderr, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use kconform_plan::MAX_FRAME;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::retry_on_intr;

use super::Guest;
use super::accel::{self, Accel};
use super::args::{AGENT_SOCKET, QMP_SOCKET};
use super::console::Console;
use super::error::{BootEnd, BootFailure};
use super::patience::Patient;
use super::process::Process;

/// Lines of the console that a failure carries.
const LAST_LINES: usize = 25;
/// The kernel's last words when its init asks for it (kernel_power_off in kernel/reboot.c).
const POWER_DOWN: &str = "reboot: Power down";
/// QEMU connects to its sockets before it does anything that takes time.
pub(super) const CONNECT: Duration = Duration::from_secs(20);

/// Bytes of a socket's path, which a NUL ends: `sun_path` of unix(7).
const SUN_PATH: usize = 108;

/// Where QEMU connects to: the sockets of the agent and of its monitor.
#[derive(Debug)]
pub(super) struct Sockets {
    agent: UnixListener,
    qmp: UnixListener,
}

impl Sockets {
    /// Makes them in a directory, however long its path is. QEMU, which works there, knows them by their names alone.
    pub(super) fn new(place: &Path) -> io::Result<Sockets> {
        Ok(Sockets { agent: socket(place, AGENT_SOCKET)?, qmp: socket(place, QMP_SOCKET)? })
    }
}

fn socket(place: &Path, name: &str) -> io::Result<UnixListener> {
    let path = place.join(name);
    if path.as_os_str().len() < SUN_PATH {
        return UnixListener::bind(path);
    }
    // An open directory has a short name in /proc (proc(5), /proc/pid/fd).
    let directory = open(place, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    UnixListener::bind(format!("/proc/self/fd/{}/{name}", directory.as_raw_fd()))
}

/// A QEMU whose guest has not come up yet.
pub(super) struct Launched {
    sockets: Sockets,
    process: Arc<Process>,
    console: Console,
    errors: Arc<Mutex<Vec<String>>>,
    readers: Vec<thread::JoinHandle<()>>,
}

impl Launched {
    /// Starts QEMU in a directory, with its sockets there.
    pub(super) fn start(
        qemu: &Path,
        arguments: &[String],
        place: &Path,
        sockets: Sockets,
    ) -> io::Result<Launched> {
        let console = Console::new();
        let spawned = Process::spawn(qemu, arguments, place)?;
        let process = Arc::new(spawned.process);
        let errors = Arc::default();
        let reader = {
            let (console, process) = (console.clone(), Arc::clone(&process));
            move || console.read_all(spawned.stdout, || process.kill())
        };
        let error_reader = {
            let (errors, process) = (Arc::clone(&errors), Arc::clone(&process));
            move || read_errors(spawned.stderr, &errors, &process)
        };
        let readers = vec![thread::spawn(reader), thread::spawn(error_reader)];
        Ok(Launched { sockets, process, console, errors, readers })
    }

    /// QEMU's connection to the agent's socket; none if QEMU ends or is stuck.
    pub(super) fn agent(&self) -> io::Result<Option<UnixStream>> {
        connection(&self.sockets.agent, &self.process)
    }

    /// Waits for the agent's first frame. The deadline is time that QEMU works or rests.
    pub(super) fn greeting(&self, stream: &UnixStream, deadline: Duration) -> io::Result<Vec<u8>> {
        let mut patient = Patient::new(stream, Arc::clone(&self.process), deadline)?;
        let greeting = greeting(&mut patient).map_err(|error| match error.kind() {
            io::ErrorKind::ConnectionReset => io::ErrorKind::UnexpectedEof.into(),
            _ => error,
        })?;
        patient.finish()?;
        Ok(greeting)
    }

    /// Whether QEMU has not ended.
    pub(super) fn is_there(&self) -> bool {
        self.process.ended().is_none()
    }

    /// Ends QEMU, whatever has become of it by then.
    pub(super) fn killer(&self) -> impl FnOnce() + Send + use<> {
        let process = Arc::clone(&self.process);
        move || process.kill()
    }

    /// Ends QEMU; nobody wants its guest.
    pub(super) fn end(self) {
        self.process.kill();
        for reader in self.readers {
            let _ = reader.join();
        }
    }

    /// The guest that came up.
    pub(super) fn into_guest(
        self,
        stream: UnixStream,
        greeting: Vec<u8>,
        accel: Accel,
        time_factor: u32,
    ) -> Guest {
        let Launched { sockets: Sockets { qmp, agent: _ }, process, console, errors, readers } = self;
        let (failed_boots, remarks, restored, snapshot) = (Vec::new(), Vec::new(), false, None);
        Guest {
            process,
            stream,
            greeting,
            console,
            errors,
            readers,
            accel,
            time_factor,
            failed_boots,
            restored,
            remarks,
            snapshot,
            qmp,
        }
    }

    /// Ends QEMU and tells what happened.
    pub(super) fn post_mortem(self, why: io::Error, deadline: Duration) -> BootFailure {
        let ended = match why.kind() {
            // The stream ends a moment before the process does.
            io::ErrorKind::UnexpectedEof => self.exit_status(),
            _ => None,
        };
        self.process.kill();
        for reader in self.readers {
            let _ = reader.join();
        }
        let errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut console = self.console.last(LAST_LINES);
        let kvm_failure = errors.iter().find(|line| accel::is_kvm_failure(line)).cloned();
        console.extend(errors);
        let end = match (kvm_failure, ended) {
            (Some(line), _) => BootEnd::KvmFailed { line },
            _ if self.console.panicked() => BootEnd::Panicked,
            _ if console.iter().any(|line| line.ends_with(POWER_DOWN)) => BootEnd::PoweredOff,
            (None, Some(status)) => BootEnd::Ended { status },
            (None, None) if why.kind() == io::ErrorKind::TimedOut => BootEnd::Silent { waited: deadline },
            (None, None) => BootEnd::Garbled { why: why.to_string() },
        };
        BootFailure { end, console }
    }

    /// How QEMU ended, given a moment to do so.
    fn exit_status(&self) -> Option<String> {
        let mut fds = [PollFd::from_borrowed_fd(self.process.pidfd.as_fd(), PollFlags::IN)];
        let _ = retry_on_intr(|| poll(&mut fds, Some(&Timespec { tv_sec: 5, tv_nsec: 0 })));
        Some(how_it_ended(self.process.ended()))
    }
}

/// How a QEMU ended that has closed the agent's stream.
pub(super) fn how_it_ended(status: Option<ExitStatus>) -> String {
    status
        .map_or("how is not known, but it closed the agent's stream".to_owned(), |status| status.to_string())
}

/// QEMU's connection to one of its sockets; none if QEMU ends or is stuck.
pub(super) fn connection(listener: &UnixListener, process: &Process) -> io::Result<Option<UnixStream>> {
    let timeout = Timespec { tv_sec: CONNECT.as_secs() as i64, tv_nsec: 0 };
    let mut fds = [
        PollFd::new(listener, PollFlags::IN),
        PollFd::from_borrowed_fd(process.pidfd.as_fd(), PollFlags::IN),
    ];
    retry_on_intr(|| poll(&mut fds, Some(&timeout)))?;
    match fds[0].revents().contains(PollFlags::IN) {
        true => Ok(Some(listener.accept()?.0)),
        false => Ok(None),
    }
}

/// Keeps what QEMU says on standard error, and ends it when it says that KVM has failed: it would sit there for ever.
fn read_errors(from: ChildStderr, errors: &Mutex<Vec<String>>, process: &Process) {
    for line in io::BufReader::new(from).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        let failed = accel::is_kvm_failure(&line);
        errors.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        if failed {
            process.kill();
        }
    }
}

/// Reads the agent's first frame: a 32-bit little-endian length and so many bytes.
fn greeting(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; 4];
    stream.read_exact(&mut frame)?;
    let length = frame.iter().rev().fold(0, |length, &byte| length << 8 | usize::from(byte));
    if length > MAX_FRAME {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a first message of {length} bytes")));
    }
    frame.resize(4 + length, 0);
    stream.read_exact(&mut frame[4..])?;
    Ok(frame)
}
