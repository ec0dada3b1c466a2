//! Running guests: QEMU with a kernel, the agent as its init, and a stream between that agent and us.

pub mod accel;
mod args;
mod boot;
pub mod console;
mod error;
mod launch;
mod process;
mod qmp;
mod scratch;
mod snapshot;
#[cfg(test)]
mod tests;

use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

pub use accel::{Accel, Accelerator};
pub use args::PORT;
pub use console::{Console, Line};
pub use error::{BootFailure, GuestError};

use super::cache::CachedKernel;
use super::image::Image;
use boot::Boot;
use process::Process;

/// The QEMU program for an architecture.
///
/// # Errors
/// [`GuestError::NoQemu`] when it is not installed.
pub fn program_of(arch: kconform_abi::Arch) -> Result<std::path::PathBuf, GuestError> {
    let row = args::qemu(arch);
    process::find_program(row.program).ok_or_else(|| GuestError::NoQemu {
        program: row.program.to_owned(),
        package: row.package.to_owned(),
    })
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
    no_snapshot: Option<String>,
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

    /// A guest as [`boot`](Guest::boot) makes it, from a snapshot where that can be: a guest of the same image, kernel,
    /// agent, QEMU and command line that was saved when its agent had spoken. It takes a tenth of a second, and none of
    /// the deaths that a boot may die. Where there is no snapshot yet, one is made; where none can be made, or emulation
    /// is not what is used, the guest is booted.
    ///
    /// # Errors
    /// Those of [`boot`](Guest::boot).
    pub fn start(spec: &BootSpec<'_>) -> Result<Guest, GuestError> {
        snapshot::start(&Boot::new(spec)?)
    }

    /// Whether it was restored from a snapshot.
    pub fn restored(&self) -> bool {
        self.restored
    }

    /// Why it was booted although [`start`](Guest::start) would rather have restored it.
    pub fn no_snapshot(&self) -> Option<&str> {
        self.no_snapshot.as_deref()
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

    /// Takes up QEMU's monitor; once only.
    fn monitor(&self) -> io::Result<qmp::Qmp> {
        qmp::Qmp::new(self.qmp.accept()?.0)
    }

    /// How QEMU ended, if it has; one that is about to end is waited for, for a second.
    pub fn ended(&self) -> Option<std::process::ExitStatus> {
        self.process.ended_within(rustix::event::Timespec { tv_sec: 1, tv_nsec: 0 })
    }

    /// Ends it now. The stream ends too, and the console when its last lines are here.
    pub fn kill(&self) {
        self.process.kill();
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.process.kill();
        for reader in self.readers.drain(..) {
            // They end with the process's pipes; one that panicked has said so already.
            let _ = reader.join();
        }
    }
}
