//! Running guests: QEMU with a kernel, the agent as its init, and a stream between that agent and us.

pub mod accel;
mod args;
mod boot;
pub mod console;
mod ending;
mod error;
mod launch;
mod patience;
mod process;
mod progress;
mod qmp;
mod scratch;
#[cfg(test)]
pub(super) mod tests;
mod timer;

use std::fs::File;
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

pub use accel::{Accel, Accelerator};
pub(super) use accel::{Choice, identity};
pub(crate) use args::has_second_serial;
pub(super) use args::{Boot as Machine, Memory, arguments, describing, is_described};
pub(super) use boot::Boot;
pub(crate) use boot::has_place;
pub use console::Console;
pub use ending::wait_for_ended;
pub use error::{BootEnd, BootFailure, GuestError};
pub use patience::Watch;
pub(super) use patience::{Late, Patient};
pub(crate) use process::end_all;
#[cfg(test)]
pub(crate) use progress::Progress;

use super::cache::CachedKernel;
use super::image::Image;
use process::Process;

/// The QEMU program for an architecture.
///
/// # Errors
/// [`GuestError::NoQemu`] when it is not installed.
pub fn program_of(arch: kconform_abi::Arch) -> Result<std::path::PathBuf, GuestError> {
    process::find_program(args::qemu(arch).program).ok_or_else(|| not_installed(arch))
}

/// That the QEMU program for an architecture is not installed.
pub(crate) fn not_installed(arch: kconform_abi::Arch) -> GuestError {
    let row = args::qemu(arch);
    GuestError::NoQemu { program: row.program.to_owned(), package: row.package.to_owned(), arch }
}

/// What to boot.
#[derive(Clone, Copy, Debug)]
pub struct BootSpec<'a> {
    /// The machine, the command line, the time limit.
    pub image: &'a Image,
    /// The kernel, of the image or of one's own.
    pub kernel: &'a CachedKernel,
    /// The agent's binary, static, of the image's architecture. It becomes PID 1.
    pub agent: &'a Path,
    /// Where findings about this machine are kept: [`super::cache_dir`].
    pub cache: &'a Path,
    /// Words for the kernel's command line, after the image's own.
    pub cmdline: &'a [String],
    /// Hears of what is being done for a guest, which takes its time.
    pub hears: Hears<'a>,
}

/// What is being done for a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// Its kernel boots.
    Booting,
    /// It comes from a snapshot.
    Restoring,
}

/// Who hears of what is being done for a guest.
#[derive(Clone, Copy)]
pub struct Hears<'a>(pub &'a dyn Fn(Doing));

impl Hears<'_> {
    /// Nobody does.
    pub const NOBODY: Hears<'static> = Hears(&|_| {});
}

impl std::fmt::Debug for Hears<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hears")
    }
}

/// A guest that came up: its agent has spoken. Dropping it ends it.
#[derive(Debug)]
pub struct Guest {
    process: Arc<Process>,
    stream: UnixStream,
    greeting: Vec<u8>,
    console: Console,
    errors: Arc<std::sync::Mutex<Vec<String>>>,
    readers: Vec<JoinHandle<()>>,
    accel: Accel,
    time_factor: u32,
    failed_boots: Vec<BootFailure>,
    restored: bool,
    remarks: Vec<String>,
    /// The lock on the snapshot that it came of.
    snapshot: Option<File>,
    /// QEMU has connected to it at its start, and waits there.
    qmp: UnixListener,
}

impl Guest {
    /// Boots a guest and waits until its agent has spoken. A guest that dies or hangs by itself before, as emulated
    /// ones do now and then, is started again, three times in all.
    ///
    /// # Errors
    /// [`GuestError`] says what is missing, or how the last attempt ended and what the console showed.
    pub fn boot(spec: &BootSpec<'_>) -> Result<Guest, GuestError> {
        let boot = Boot::new(spec)?;
        boot.run(boot.choice())
    }

    /// What went wrong with its snapshot, for people; mostly nothing.
    pub fn remarks(&self) -> &[String] {
        &self.remarks
    }

    pub(super) fn set_remarks(&mut self, remarks: Vec<String>) {
        self.remarks = remarks;
    }

    /// Keeps the snapshot that it came of from being pruned while it runs.
    pub(super) fn keep_snapshot(&mut self, lock: File) {
        self.snapshot = Some(lock);
    }

    /// Whether it was restored from a snapshot.
    pub fn restored(&self) -> bool {
        self.restored
    }

    /// The stream to and from the agent, after its [`greeting`](Guest::greeting). It ends when the guest does.
    ///
    /// # Errors
    /// Those of dup(2).
    pub fn stream(&self) -> io::Result<UnixStream> {
        self.stream.try_clone()
    }

    /// The agent's first frame, with its length in front: what it says of itself and its kernel. It has been taken off
    /// the stream.
    pub fn greeting(&self) -> &[u8] {
        &self.greeting
    }

    /// What the kernel prints. The handle outlives the guest.
    pub fn console(&self) -> &Console {
        &self.console
    }

    /// What runs it, and why that.
    pub fn accelerator(&self) -> &Accel {
        &self.accel
    }

    /// How many times longer a case may take here than natively.
    pub fn time_factor(&self) -> u32 {
        match self.accel.accelerator {
            Accelerator::Kvm => 1,
            Accelerator::Tcg => self.time_factor,
        }
    }

    /// Boots of this guest that came to nothing before it came up, first to last.
    pub fn failed_boots(&self) -> &[BootFailure] {
        &self.failed_boots
    }

    /// What QEMU itself has said on standard error.
    pub fn qemu_errors(&self) -> Vec<String> {
        self.errors.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// How QEMU ended, if it has; one that is about to end is waited for, for a second.
    pub fn ended(&self) -> Option<std::process::ExitStatus> {
        self.process.ended_within(rustix::event::Timespec { tv_sec: 1, tv_nsec: 0 })
    }

    /// Whether somebody has stopped QEMU (SIGSTOP).
    pub fn is_stopped(&self) -> bool {
        self.process.is_stopped()
    }

    /// Looks from now on how much of the time QEMU has.
    pub(crate) fn watch(&self) -> Watch {
        let process = Arc::clone(&self.process);
        Watch::new(Box::new(move || process.progress()))
    }

    /// The stream from the agent, as long as QEMU is waited for: `limit` is time that it works or rests.
    pub(super) fn patient<'a>(
        &self,
        stream: &'a UnixStream,
        limit: std::time::Duration,
    ) -> io::Result<Patient<'a>> {
        Patient::new(stream, Arc::clone(&self.process), limit)
    }

    /// Stops it and says its state, without the memory that is in a file: [`restored`](Guest::restored) guests begin there.
    pub(super) fn save(&self, arch: kconform_abi::Arch) -> io::Result<Vec<u8>> {
        let loses_timer = args::qemu(arch).loses_timer && self.accel.accelerator == Accelerator::Tcg;
        self.monitor()?.save(&mut |monitor| match loses_timer {
            // A CPU without that register has another timer, which the agent looks after (`fire_timer()` of its signals.rs).
            true => timer::make_due(monitor.debugger()?).map(drop),
            false => Ok(()),
        })
    }

    /// Takes up QEMU's monitor; once only.
    fn monitor(&self) -> io::Result<qmp::Qmp> {
        let stream = launch::connection(&self.qmp, &self.process)?;
        qmp::Qmp::new(stream.ok_or(io::ErrorKind::UnexpectedEof)?)
    }

    /// Ends it now. The stream ends too, and the console when its last lines are here.
    pub fn kill(&self) {
        self.process.kill();
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.process.begin_kill();
        let (process, readers) = (Arc::clone(&self.process), std::mem::take(&mut self.readers));
        ending::see_to_the_end(move || {
            process.kill();
            for reader in readers {
                // They end with the process's pipes; one that panicked has said so already.
                let _ = reader.join();
            }
        });
    }
}
