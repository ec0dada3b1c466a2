//! The way of a guest from nothing to an agent that speaks.

use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::accel::{self, Accel, Accelerator, Choice};
use super::args::{self, Memory};
use super::error::{BootEnd, BootFailure, GuestError};
use super::launch::{CONNECT, Launched, greeting};
use super::scratch::Scratch;
use super::{BootSpec, Guest};
use crate::guest::initramfs::{self, Module};

/// Boots that are tried before a guest is given up.
const ATTEMPTS: usize = 3;
/// What later attempts add to the command line, for more to be read should they fail too.
const TALKATIVE: &str = "loglevel=7";

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
pub(super) struct Boot<'a> {
    pub(super) spec: &'a BootSpec<'a>,
    pub(super) qemu: PathBuf,
    pub(super) initramfs: Vec<u8>,
}

/// One attempt that came to nothing, or an error that another attempt would meet again.
pub(super) enum Failure {
    Again(BootFailure),
    Final(GuestError),
}

/// How an attempt differs from others.
#[derive(Clone, Debug)]
struct Attempt<'a> {
    accel: Accel,
    deadline: Duration,
    talkative: bool,
    memory: Memory<'a>,
}

impl<'a> Boot<'a> {
    /// Finds QEMU and wraps up the agent.
    pub(super) fn new(spec: &'a BootSpec<'a>) -> Result<Boot<'a>, GuestError> {
        Ok(Boot { spec, qemu: super::program_of(spec.image.arch)?, initramfs: initramfs(spec)? })
    }

    /// KVM or emulation, from what is known so far.
    pub(super) fn choice(&self) -> Choice {
        accel::choose(self.spec.image, &self.qemu, self.spec.cache)
    }

    /// Boots with what was chosen.
    pub(super) fn run(&self, choice: Choice) -> Result<Guest, GuestError> {
        match choice {
            Choice::Settled(accel) => self.repeatedly(accel, Memory::Private),
            Choice::Prove => self.proving_kvm(),
        }
    }

    /// Boots until the guest comes up, or has failed often enough.
    pub(super) fn repeatedly(&self, accel: Accel, memory: Memory<'_>) -> Result<Guest, GuestError> {
        let deadline = self.spec.image.boot_timeout();
        let mut attempt = Attempt { accel, deadline, talkative: false, memory };
        let mut failures = Vec::new();
        loop {
            match self.once(&attempt) {
                Ok(mut guest) => {
                    guest.failed_boots = failures;
                    return Ok(guest);
                }
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Again(failure)) => failures.push(failure),
            }
            attempt.talkative = true;
            let gave_up = failures.last().is_some_and(|failure| failure.end == BootEnd::PoweredOff);
            if gave_up || failures.len() >= ATTEMPTS {
                return Err(GuestError::NeverUp { image: self.spec.image.name.clone(), attempts: failures });
            }
        }
    }

    /// Tries KVM once, and remembers what comes of it. A guest that does not come up under emulation either says
    /// nothing about KVM.
    fn proving_kvm(&self) -> Result<Guest, GuestError> {
        let why = "a guest came up under it on this machine".to_owned();
        let accel = Accel { accelerator: Accelerator::Kvm, why };
        let attempt = Attempt { accel, deadline: accel::PROOF, talkative: false, memory: Memory::Private };
        let failure = match self.once(&attempt) {
            Ok(guest) => {
                accel::remember(true, &guest.accel.why, &self.qemu, self.spec.cache);
                return Ok(guest);
            }
            Err(Failure::Again(failure)) => failure.end.to_string(),
            Err(Failure::Final(error)) => error.to_string(),
        };
        let why = format!("/dev/kvm is there but ran no guest: {failure}");
        let guest = self.repeatedly(Accel { accelerator: Accelerator::Tcg, why }, Memory::Private)?;
        accel::remember(false, &guest.accel.why, &self.qemu, self.spec.cache);
        Ok(guest)
    }

    fn once(&self, attempt: &Attempt<'_>) -> Result<Guest, Failure> {
        // The files may go when QEMU has connected and its agent has spoken.
        let scratch = Scratch::new().map_err(|error| self.start_error(error))?;
        let (launched, mut stream) = self.launch(attempt, scratch.path())?;
        match greeting(&mut stream, attempt.deadline) {
            Ok(greeting) => {
                let factor = self.spec.image.time_factor;
                Ok(launched.into_guest(stream, greeting, attempt.accel.clone(), factor))
            }
            Err(why) => Err(Failure::Again(launched.post_mortem(why, attempt.deadline))),
        }
    }

    /// Starts a guest from a snapshot's memory; it waits for its state. Its agent has spoken already. The files in
    /// `place` may go when it runs.
    pub(super) fn waiting(
        &self,
        accel: &Accel,
        memory: &Path,
        place: &Path,
    ) -> Result<(Launched, UnixStream), Failure> {
        let memory = Memory::Copied(memory);
        let attempt = Attempt { accel: accel.clone(), deadline: CONNECT, talkative: false, memory };
        self.launch(&attempt, place)
    }

    /// Starts QEMU and waits for it to connect to the agent's socket.
    fn launch(&self, attempt: &Attempt<'_>, place: &Path) -> Result<(Launched, UnixStream), Failure> {
        let launched = self.start(attempt, place).map_err(|error| self.start_error(error))?;
        match launched.agent().map_err(|error| self.start_error(error))? {
            Some(stream) => Ok((launched, stream)),
            None => Err(self.refused(launched)),
        }
    }

    fn start(&self, attempt: &Attempt<'_>, place: &Path) -> io::Result<Launched> {
        let initramfs = place.join("initramfs");
        fs::write(&initramfs, &self.initramfs)?;
        if let Memory::Kept(file) = attempt.memory
            && file.exists()
        {
            // An earlier attempt's; QEMU would take its contents over.
            fs::remove_file(file)?;
        }
        Launched::start(&self.qemu, &self.arguments(attempt, &initramfs)?, place)
    }

    fn arguments(&self, attempt: &Attempt<'_>, initramfs: &Path) -> io::Result<Vec<String>> {
        let mut cmdline = self.spec.cmdline.to_vec();
        cmdline.extend(attempt.talkative.then(|| TALKATIVE.to_owned()));
        let boot = args::Boot {
            kernel: &std::path::absolute(&self.spec.kernel.vmlinuz)?,
            initramfs,
            accelerator: attempt.accel.accelerator,
            cmdline: &cmdline,
            memory: attempt.memory,
        };
        Ok(args::arguments(self.spec.image, &boot))
    }

    pub(super) fn start_error(&self, source: io::Error) -> Failure {
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
