//! The way of a guest from nothing to an agent that speaks.

use std::fs;
use std::io::{self, BufReader, Read};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::Timespec;
use sha2::{Digest, Sha256};

use super::accel::{self, Accel, Accelerator, Choice};
use super::args::{self, Memory};
use super::error::{BootEnd, BootFailure, GuestError};
use super::launch::{CONNECT, Launched, Sockets};
use super::process::{Process, Spawned};
use super::scratch::Scratch;
use super::{BootSpec, Doing, Guest};
use crate::folder;
use crate::guest::cache::sha256;
use crate::guest::image::AgentPort;
use crate::guest::initramfs::{self, Module};
use crate::hex::hex;

/// Boots that are tried before a guest is given up.
const ATTEMPTS: usize = 3;
/// What later attempts add to the command line, for more to be read should they fail too.
const TALKATIVE: &str = "loglevel=7";

/// A guest's files, in the directory that its QEMU works in.
const INITRAMFS: &str = "initramfs";
const DEVICE_TREE: &str = "device-tree";

/// The initramfs, and what it is.
fn initramfs(spec: &BootSpec<'_>) -> io::Result<(Vec<u8>, String)> {
    let module = |path: &PathBuf| Ok(Module { name: name_of(path), bytes: fs::read(path)? });
    let modules = spec.kernel.modules.iter().map(module).collect::<io::Result<Vec<_>>>()?;
    let agent = fs::read(spec.agent)?;
    let files = [&agent].into_iter().chain(modules.iter().map(|module| &module.bytes));
    let contents = initramfs::identity(files.map(|bytes| hex(&Sha256::digest(bytes))))?;
    Ok((initramfs::build(&agent, &modules)?, contents))
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// What the initramfs will be, which need not be made for a guest that is restored.
pub(super) fn contents(spec: &BootSpec<'_>) -> Result<String, GuestError> {
    let paths = [spec.agent].into_iter().chain(spec.kernel.modules.iter().map(PathBuf::as_path));
    let hashes = paths.map(sha256).collect::<Result<Vec<_>, _>>()?;
    initramfs::identity(hashes).map_err(|source| GuestError::Read { path: spec.agent.to_owned(), source })
}

/// A guest's files cannot be written.
fn no_place(error: &io::Error) -> GuestError {
    let directory = folder::temporary();
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => GuestError::DiskFull { directory },
        _ => GuestError::NoPlace { directory, reason: folder::reason(error) },
    }
}

/// Whether a guest's files and sockets can be made.
///
/// # Errors
/// [`GuestError::NoPlace`] or [`GuestError::DiskFull`].
pub(crate) fn has_place() -> Result<(), GuestError> {
    let tried = Scratch::new().and_then(|scratch| Sockets::new(scratch.path()));
    tried.map(drop).map_err(|error| no_place(&error))
}

/// What all attempts share.
pub(in crate::guest) struct Boot<'a> {
    pub(in crate::guest) spec: &'a BootSpec<'a>,
    pub(in crate::guest) qemu: PathBuf,
    /// What its initramfs is made of, as a hash.
    pub(in crate::guest) contents: String,
}

/// One attempt that came to nothing, or an error that another attempt would meet again.
pub(super) enum Failure {
    Again(BootFailure),
    Final(GuestError),
}

/// A guest that has its memory, and waits for the rest of its state.
pub(in crate::guest) struct Waiting {
    launched: Launched,
    stream: UnixStream,
    accel: Accel,
    time_factor: u32,
    scratch: Scratch,
    /// Its port takes what is sent before it has its state, and forgets it then.
    forgets: bool,
}

impl Waiting {
    /// Ends it, whatever has become of it by then.
    pub(in crate::guest) fn killer(&self) -> impl FnOnce() + Send + use<> {
        self.launched.killer()
    }

    /// Gives the guest its state and sets it going. Its agent has said the greeting long ago.
    pub(in crate::guest) fn go_on(self, greeting: Vec<u8>, state: &[u8]) -> (Guest, io::Result<()>) {
        let Waiting { launched, stream, accel, time_factor, scratch, forgets } = self;
        let mut guest = launched.into_guest(stream, greeting, accel, time_factor);
        guest.restored = true;
        let went_on = guest.monitor().and_then(|mut monitor| {
            monitor.restore(state)?;
            if forgets { monitor.completed() } else { Ok(()) }
        });
        // QEMU has read all its files now.
        drop(scratch);
        (guest, went_on)
    }
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
    pub(in crate::guest) fn new(spec: &'a BootSpec<'a>) -> Result<Boot<'a>, GuestError> {
        Ok(Boot { spec, qemu: super::program_of(spec.image.arch)?, contents: contents(spec)? })
    }

    /// KVM or emulation, from what is known so far.
    pub(in crate::guest) fn choice(&self) -> Choice {
        accel::choose(self.spec.image, &self.qemu, self.spec.cache)
    }

    /// Boots with what was chosen.
    pub(in crate::guest) fn run(&self, choice: Choice) -> Result<Guest, GuestError> {
        match choice {
            Choice::Settled(accel) => self.repeatedly(accel, Memory::Private),
            Choice::Prove => self.proving_kvm(),
        }
    }

    /// Boots under an accelerator, after what the remarks say went wrong with doing otherwise.
    pub(in crate::guest) fn run_with(&self, accel: Accel, remarks: Vec<String>) -> Result<Guest, GuestError> {
        let mut guest = self.repeatedly(accel, Memory::Private)?;
        guest.remarks = remarks;
        Ok(guest)
    }

    /// Boots until the guest comes up, or has failed often enough.
    pub(in crate::guest) fn repeatedly(&self, accel: Accel, memory: Memory<'_>) -> Result<Guest, GuestError> {
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
        let accel = Accel::proven();
        let attempt = Attempt { accel, deadline: accel::PROOF, talkative: false, memory: Memory::Private };
        let failure = match self.once(&attempt) {
            Ok(guest) => {
                accel::remember(true, &guest.accel.why, &self.qemu, self.spec.cache);
                return Ok(guest);
            }
            Err(Failure::Again(failure)) => failure.end.to_string(),
            Err(Failure::Final(error)) => error.to_string(),
        };
        let guest = self.repeatedly(Accel::without_proof(&failure), Memory::Private)?;
        accel::remember(false, &guest.accel.why, &self.qemu, self.spec.cache);
        Ok(guest)
    }

    fn once(&self, attempt: &Attempt<'_>) -> Result<Guest, Failure> {
        (self.spec.hears.0)(Doing::Booting);
        let checked = self.spec.kernel.check(self.spec.image);
        checked.map_err(|error| Failure::Final(error.into()))?;
        // The files may go when QEMU has connected and its agent has spoken.
        let scratch = Scratch::new().map_err(|error| Failure::Final(no_place(&error)))?;
        let (launched, stream) = self.launch(attempt, scratch.path())?;
        match launched.greeting(&stream, attempt.deadline) {
            Ok(greeting) => {
                let factor = self.spec.image.time_factor;
                Ok(launched.into_guest(stream, greeting, attempt.accel.clone(), factor))
            }
            Err(why) => Err(Failure::Again(launched.post_mortem(why, attempt.deadline))),
        }
    }

    /// Starts a guest on a snapshot's memory, where it waits for the rest of its state.
    pub(in crate::guest) fn waiting(&self, accel: &Accel, memory: &Path) -> Result<Waiting, GuestError> {
        (self.spec.hears.0)(Doing::Restoring);
        let scratch = Scratch::new().map_err(|error| no_place(&error))?;
        let (memory, accel) = (Memory::Copied(memory), accel.clone());
        let attempt = Attempt { accel, deadline: CONNECT, talkative: false, memory };
        let launched = self.start(&attempt, scratch.path())?;
        let (launched, stream) = self.connected(launched)?;
        let (accel, time_factor) = (attempt.accel, self.spec.image.time_factor);
        let forgets = self.spec.image.port == AgentPort::Serial;
        Ok(Waiting { launched, stream, accel, time_factor, scratch, forgets })
    }

    /// Starts QEMU and waits for it to connect to the agent's socket.
    fn launch(&self, attempt: &Attempt<'_>, place: &Path) -> Result<(Launched, UnixStream), Failure> {
        let launched = self.start(attempt, place).map_err(Failure::Final)?;
        self.connected(launched).map_err(Failure::Final)
    }

    fn connected(&self, launched: Launched) -> Result<(Launched, UnixStream), GuestError> {
        match launched.agent() {
            Ok(Some(stream)) => Ok((launched, stream)),
            Ok(None) => Err(self.refused(launched)),
            Err(error) => {
                launched.end();
                Err(self.start_error(error))
            }
        }
    }

    fn start(&self, attempt: &Attempt<'_>, place: &Path) -> Result<Launched, GuestError> {
        let start_error = |error| self.start_error(error);
        if let Memory::Kept(file) = attempt.memory
            && file.exists()
        {
            // An earlier attempt's; QEMU would take its contents over.
            fs::remove_file(file).map_err(start_error)?;
        }
        if !matches!(attempt.memory, Memory::Copied(_)) {
            let (archive, contents) = self::initramfs(self.spec).map_err(start_error)?;
            if contents != self.contents {
                let text = "its agent or a module has just changed; run it again";
                return Err(start_error(io::Error::other(text)));
            }
            fs::write(place.join(INITRAMFS), archive).map_err(|error| no_place(&error))?;
            self.describe(attempt.accel.accelerator, place)?;
        }
        let sockets = Sockets::new(place).map_err(|error| no_place(&error))?;
        let arguments = self.arguments(attempt).map_err(start_error)?;
        Launched::start(&self.qemu, &arguments, place, sockets).map_err(start_error)
    }

    /// Has QEMU write the device tree of a guest that needs one of its own.
    fn describe(&self, accelerator: Accelerator, place: &Path) -> Result<(), GuestError> {
        if !args::is_described(self.spec.image, accelerator) {
            return Ok(());
        }
        let arguments = args::describing(self.spec.image, accelerator, Path::new(DEVICE_TREE));
        let start_error = |error| self.start_error(error);
        let Spawned { process, stdout, stderr } =
            Process::spawn(&self.qemu, &arguments, place).map_err(start_error)?;
        let status = process.ended_within(Timespec { tv_sec: CONNECT.as_secs() as i64, tv_nsec: 0 });
        // Its streams end with it.
        process.kill();
        drop(stdout);
        let mut said = Vec::new();
        BufReader::new(stderr).read_to_end(&mut said).map_err(start_error)?;
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        let Some(status) = status else {
            let program = self.qemu.display().to_string();
            return Err(GuestError::Hangs { program, waited: CONNECT, said });
        };
        match status.success() && place.join(DEVICE_TREE).exists() {
            true => Ok(()),
            false if said.is_empty() => {
                Err(start_error(io::Error::other(format!("it writes no device tree ({status})"))))
            }
            false => Err(start_error(io::Error::other(format!("it writes no device tree: {said}")))),
        }
    }

    /// QEMU's arguments. It works in the directory of its files, which may be called anything.
    fn arguments(&self, attempt: &Attempt<'_>) -> io::Result<Vec<String>> {
        let mut cmdline = self.spec.cmdline.to_vec();
        cmdline.extend(attempt.talkative.then(|| TALKATIVE.to_owned()));
        let boot = args::Boot {
            kernel: &std::path::absolute(&self.spec.kernel.vmlinuz)?,
            initramfs: Path::new(INITRAMFS),
            device_tree: Path::new(DEVICE_TREE),
            accelerator: attempt.accel.accelerator,
            cmdline: &cmdline,
            memory: attempt.memory,
        };
        Ok(args::arguments(self.spec.image, &boot))
    }

    fn start_error(&self, source: io::Error) -> GuestError {
        GuestError::Start { program: self.qemu.display().to_string(), source }
    }

    /// QEMU ended before it connected, as it does not like its arguments; or it is still there.
    fn refused(&self, launched: Launched) -> GuestError {
        let hangs = launched.is_there();
        let BootFailure { end, console } = launched.post_mortem(io::ErrorKind::UnexpectedEof.into(), CONNECT);
        let said = console.join("; ");
        if hangs {
            let program = self.qemu.display().to_string();
            return GuestError::Hangs { program, waited: CONNECT, said };
        }
        let text = if said.is_empty() { format!("{end}, and it said nothing") } else { said };
        GuestError::Refused { image: self.spec.image.name.clone(), text }
    }
}
