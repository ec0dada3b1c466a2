//! The way of a guest from nothing to an agent that speaks.

use std::fs;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::ChildStderr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use kconform_plan::MAX_FRAME;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::accel::{self, Accel, Accelerator, Choice};
use super::args::{self, AGENT_SOCKET};
use super::console::Console;
use super::error::{BootEnd, BootFailure, GuestError};
use super::process::Process;
use super::scratch::Scratch;
use super::{BootSpec, Guest};
use crate::guest::initramfs::{self, Module};

/// Boots that are tried before a guest is given up.
const ATTEMPTS: usize = 3;
/// What later attempts add to the command line, for more to be read should they fail too.
const TALKATIVE: &str = "loglevel=7";
/// Lines of the console that a failure carries.
const LAST_LINES: usize = 25;
/// The kernel's last words when its init asks for it (kernel_power_off in kernel/reboot.c).
const POWER_DOWN: &str = "reboot: Power down";
/// QEMU connects to the agent's socket before it does anything that takes time.
const CONNECT: Duration = Duration::from_secs(20);

pub(super) fn boot(spec: &BootSpec<'_>) -> Result<Guest, GuestError> {
    let qemu = super::program_of(spec.image.arch)?;
    let initramfs = initramfs(spec)?;
    let boot = Boot { spec, qemu: &qemu, initramfs: &initramfs };
    match accel::choose(spec.image, &qemu, spec.cache) {
        Choice::Settled(accel) => boot.repeatedly(accel, Vec::new()),
        Choice::Prove => boot.proving_kvm(),
    }
}

fn initramfs(spec: &BootSpec<'_>) -> Result<Vec<u8>, GuestError> {
    let read =
        |path: &Path| fs::read(path).map_err(|source| GuestError::Read { path: path.to_owned(), source });
    let module = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Module { name, bytes: read(path)? })
    };
    let modules = spec.kernel.modules.iter().map(module).collect::<Result<Vec<_>, GuestError>>()?;
    initramfs::build(&read(spec.agent)?, &modules)
        .map_err(|source| GuestError::Read { path: spec.agent.to_owned(), source })
}

/// What all attempts share.
struct Boot<'a> {
    spec: &'a BootSpec<'a>,
    qemu: &'a Path,
    initramfs: &'a [u8],
}

/// One attempt that came to nothing, or an error that another attempt would meet again.
enum Failure {
    Again(BootFailure),
    Final(GuestError),
}

impl Boot<'_> {
    /// Boots until the guest comes up, or has failed often enough.
    fn repeatedly(&self, accel: Accel, mut failures: Vec<BootFailure>) -> Result<Guest, GuestError> {
        let last = failures.len() + ATTEMPTS;
        let deadline = self.spec.image.boot_timeout();
        loop {
            match self.once(accel.clone(), deadline, !failures.is_empty()) {
                Ok(mut guest) => {
                    guest.failed_boots = failures;
                    return Ok(guest);
                }
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Again(failure)) => failures.push(failure),
            }
            let gave_up = failures.last().is_some_and(|failure| failure.end == BootEnd::PoweredOff);
            if gave_up || failures.len() >= last {
                return Err(GuestError::NeverUp { image: self.spec.image.name.clone(), attempts: failures });
            }
        }
    }

    /// Tries KVM once, and remembers what comes of it. A guest that does not come up under emulation either says
    /// nothing about KVM.
    fn proving_kvm(&self) -> Result<Guest, GuestError> {
        let why = "a guest came up under it on this machine".to_owned();
        let failure = match self.once(Accel { accelerator: Accelerator::Kvm, why }, accel::PROOF, false) {
            Ok(guest) => {
                accel::remember(true, &guest.accel.why, self.qemu, self.spec.cache);
                return Ok(guest);
            }
            Err(Failure::Again(failure)) => failure.end.to_string(),
            Err(Failure::Final(error)) => error.to_string(),
        };
        let why = format!("/dev/kvm is there but ran no guest: {failure}");
        let guest = self.repeatedly(Accel { accelerator: Accelerator::Tcg, why }, Vec::new())?;
        accel::remember(false, &guest.accel.why, self.qemu, self.spec.cache);
        Ok(guest)
    }

    /// One attempt.
    fn once(&self, accel: Accel, deadline: Duration, talkative: bool) -> Result<Guest, Failure> {
        let scratch = Scratch::new().map_err(|error| self.start_error(error))?;
        let launched = self.launch(&accel, talkative, scratch.path());
        let (launched, listener) = launched.map_err(|error| self.start_error(error))?;
        let connected = launched.connection(&listener).map_err(|error| self.start_error(error))?;
        let Some(mut stream) = connected else {
            return Err(self.refused(launched));
        };
        match greeting(&mut stream, deadline) {
            Ok(greeting) => Ok(launched.into_guest(stream, greeting, accel, self.spec.image.time_factor)),
            Err(why) => Err(Failure::Again(launched.post_mortem(why, deadline))),
        }
    }

    /// Writes the initramfs and starts QEMU. The files may go when QEMU has connected and its agent has spoken.
    fn launch(&self, accel: &Accel, talkative: bool, place: &Path) -> io::Result<(Launched, UnixListener)> {
        let initramfs = place.join("initramfs");
        fs::write(&initramfs, self.initramfs)?;
        let listener = UnixListener::bind(place.join(AGENT_SOCKET))?;
        let mut cmdline = self.spec.cmdline.to_vec();
        cmdline.extend(talkative.then(|| TALKATIVE.to_owned()));
        let arguments = args::arguments(
            self.spec.image,
            &args::Boot {
                kernel: &std::path::absolute(&self.spec.kernel.vmlinuz)?,
                initramfs: &initramfs,
                accelerator: accel.accelerator,
                cmdline: &cmdline,
            },
        );
        Ok((Launched::start(self.qemu, &arguments, place)?, listener))
    }

    fn start_error(&self, source: io::Error) -> Failure {
        Failure::Final(match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                GuestError::DiskFull { directory: std::env::temp_dir() }
            }
            _ => GuestError::Start { program: self.qemu.display().to_string(), source },
        })
    }

    /// QEMU ended before it connected: it did not like its arguments.
    fn refused(&self, launched: Launched) -> Failure {
        let text = launched.post_mortem(io::ErrorKind::UnexpectedEof.into(), CONNECT).console.join("; ");
        Failure::Final(GuestError::Refused { image: self.spec.image.name.clone(), text })
    }
}

/// A QEMU whose guest has not come up yet.
struct Launched {
    process: Arc<Process>,
    console: Console,
    errors: Arc<Mutex<Vec<String>>>,
    readers: Vec<thread::JoinHandle<()>>,
}

impl Launched {
    fn start(qemu: &Path, arguments: &[String], place: &Path) -> io::Result<Launched> {
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
        Ok(Launched { process, console, errors, readers })
    }

    /// QEMU's connection to the agent's socket; none if QEMU ends or is stuck.
    fn connection(&self, listener: &UnixListener) -> io::Result<Option<UnixStream>> {
        let timeout = Timespec { tv_sec: CONNECT.as_secs() as i64, tv_nsec: 0 };
        let mut fds = [
            PollFd::new(listener, PollFlags::IN),
            PollFd::from_borrowed_fd(self.process.pidfd.as_fd(), PollFlags::IN),
        ];
        poll(&mut fds, Some(&timeout))?;
        match fds[0].revents().contains(PollFlags::IN) {
            true => Ok(Some(listener.accept()?.0)),
            false => Ok(None),
        }
    }

    fn into_guest(self, stream: UnixStream, greeting: Vec<u8>, accel: Accel, time_factor: u32) -> Guest {
        let Launched { process, console, errors, readers } = self;
        let failed_boots = Vec::new();
        Guest { process, stream, greeting, console, errors, readers, accel, time_factor, failed_boots }
    }

    /// Ends QEMU and tells what happened.
    fn post_mortem(self, why: io::Error, deadline: Duration) -> BootFailure {
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
        let _ = poll(&mut fds, Some(&Timespec { tv_sec: 5, tv_nsec: 0 }));
        Some(self.process.ended().map_or("its stream closed".to_owned(), |status| status.to_string()))
    }
}

/// Keeps what QEMU says on standard error, and ends it when it says that KVM has failed: it would sit there for ever.
fn read_errors(from: ChildStderr, errors: &Mutex<Vec<String>>, process: &Process) {
    use std::io::BufRead;
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
fn greeting(stream: &mut UnixStream, deadline: Duration) -> io::Result<Vec<u8>> {
    let until = Instant::now() + deadline;
    let mut frame = read_until(stream, 4, until)?;
    let length = frame.iter().rev().fold(0, |length, &byte| length << 8 | usize::from(byte));
    if length > MAX_FRAME {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a first message of {length} bytes")));
    }
    frame.extend(read_until(stream, length, until)?);
    stream.set_read_timeout(None)?;
    Ok(frame)
}

fn read_until(stream: &mut UnixStream, length: usize, until: Instant) -> io::Result<Vec<u8>> {
    let (mut bytes, mut have) = (vec![0; length], 0);
    while have < length {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut bytes[have..]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(more) => have += more,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}
