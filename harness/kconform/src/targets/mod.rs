//! The kernels that cases run on. Native, guest, ssh and command differ only in how an agent's stream is reached.

mod agent_file;
mod child;
pub mod choose;
mod command;
mod early;
pub(crate) mod guest;
mod leaks;
mod native;
mod piped;
mod seed;
mod session;
mod ssh;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use kconform_abi::Arch;

use crate::folder;
use crate::guest::image::Image;
use crate::guest::{Hears, Start};
use crate::kernel::Kernel;
pub use command::{Launcher, LauncherError};
pub use early::EarlyGuests;
pub use leaks::Leaks;
pub use native::AGENT;
pub use session::{Broken, LastWords, Session};
pub use worker::{CaseResult, Note, Worker};

/// A kernel that we can run on.
#[derive(Clone, Debug)]
pub struct Target {
    /// As the user calls it: `native`, `x86_64`, `riscv64-sid`.
    pub name: String,
    /// How its agent is reached.
    pub kind: TargetKind,
    /// How guests are started.
    pub start: Start,
    /// What its guests' random numbers come of; those of other targets are the machine's own.
    seed: u32,
    /// Its first guest, if that is on its way.
    early: Option<early::Early>,
}

/// How a target's agent is reached.
#[derive(Clone, Debug)]
pub enum TargetKind {
    /// A child process on this kernel.
    Native,
    /// A QEMU guest.
    Guest(Arc<Image>),
    /// A machine over ssh: `user@host`, or what else ssh takes for a destination.
    Ssh(String),
    /// A command that starts the agent and has its stream as standard input and output.
    Command(Launcher),
}

/// An agent that is ready, and its kernel.
pub struct Opened {
    /// The agent.
    pub session: Session,
    /// Its kernel.
    pub kernel: Kernel,
    /// What the user may want to know of how it was reached: the accelerator, why not KVM.
    pub remark: Option<String>,
}

/// Why a target cannot be used.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{what}{}", .mend.as_ref().map(|m| format!("; to mend it: {m}")).unwrap_or_default())]
pub struct Unusable {
    /// What is missing or went wrong.
    pub what: String,
    /// What to do about it, when that is known.
    pub mend: Option<String>,
    /// The target was never set up (as opposed to: is set up and does not work).
    pub not_set_up: bool,
}

impl Target {
    /// All targets that there are: `native`, then the images.
    pub fn all(images: &[Arc<Image>]) -> Vec<Target> {
        let guest = |image: &Arc<Image>| Target::of_image(&image.name, image.clone());
        std::iter::once(Target::native()).chain(images.iter().map(guest)).collect()
    }

    /// The target of that name, which may be an image's alias (and is then what the target is called).
    pub fn named(name: &str, images: &[Arc<Image>]) -> Option<Target> {
        if name == "native" {
            return Some(Target::native());
        }
        if let Some(destination) = name.strip_prefix("ssh:").filter(|d| !d.is_empty()) {
            // ssh://user@host:port is a destination as it is.
            let destination = if destination.starts_with("//") { name } else { destination };
            return Some(Target::new(name, TargetKind::Ssh(destination.into())));
        }
        if let Some(command) = name.strip_prefix(command::PREFIX) {
            let launcher = command.parse().ok()?;
            return Some(Target::new(name, TargetKind::Command(launcher)));
        }
        let image = images.iter().find(|i| i.name == name || i.aliases.iter().any(|a| a == name))?;
        Some(Target::of_image(name, image.clone()))
    }

    /// This machine's own kernel.
    pub fn native() -> Target {
        Target::new("native", TargetKind::Native)
    }

    /// A guest of an image, under a name of its own.
    pub fn of_image(name: &str, image: Arc<Image>) -> Target {
        Target::new(name, TargetKind::Guest(image))
    }

    /// The same target, whose guests are started so.
    pub fn starting(self, start: Start) -> Target {
        Target { start, ..self }
    }

    /// The same target, whose guests' random numbers come of this seed.
    pub fn seeded(self, seed: u32) -> Target {
        Target { seed, ..self }
    }

    /// What its guests' random numbers come of; `None` where it has no guests.
    pub fn seed(&self) -> Option<u32> {
        self.is_guest().then_some(self.seed)
    }

    fn new(name: &str, kind: TargetKind) -> Target {
        Target { name: name.into(), kind, start: Start::Warm, seed: seed::of_this_process(), early: None }
    }

    /// Whether its kernel is a guest's, of which there can be several.
    pub fn is_guest(&self) -> bool {
        matches!(self.kind, TargetKind::Guest(_))
    }

    /// The names that snapshots of the target's guests have in the cache; none where something is missing to make one.
    pub fn snapshots(&self) -> Vec<String> {
        match &self.kind {
            TargetKind::Native | TargetKind::Ssh(_) | TargetKind::Command(_) => Vec::new(),
            TargetKind::Guest(image) => guest::snapshots(image),
        }
    }

    /// How many cases run side by side on its kernel unless the user says otherwise. On this machine sixteen: most of their
    /// time they sleep. Over ssh one: each worker logs in three times, and firewalls count logins. By a command one: each worker
    /// may start a machine. In a guest always one.
    pub fn usually_beside(&self) -> usize {
        match &self.kind {
            TargetKind::Native => 16,
            TargetKind::Guest(_) | TargetKind::Ssh(_) | TargetKind::Command(_) => 1,
        }
    }

    /// How much slower than this machine's own kernel the target may be: timeouts are multiplied by it.
    pub fn time_factor(&self) -> f64 {
        match &self.kind {
            TargetKind::Native => 1.0,
            TargetKind::Guest(image) => image.time_factor.into(),
            TargetKind::Ssh(_) => ssh::TIME_FACTOR,
            TargetKind::Command(_) => command::TIME_FACTOR,
        }
    }

    /// Whether everything that the target needs is there, without starting anything.
    ///
    /// # Errors
    /// What is missing, and the command that mends it.
    pub fn ready(&self) -> Result<(), Unusable> {
        match &self.kind {
            TargetKind::Native => Ok(()),
            TargetKind::Guest(image) => guest::ready(image),
            TargetKind::Ssh(_) => ssh::ready(),
            TargetKind::Command(launcher) => launcher.ready(),
        }
    }

    /// Starts an agent on the target; `hears` is told what is done for a guest meanwhile.
    ///
    /// # Errors
    /// What is missing or went wrong.
    pub fn open(&self, hears: Hears<'_>) -> Result<Opened, Unusable> {
        if let Some(opened) = self.early.as_ref().and_then(|early| early.take(hears)) {
            return opened;
        }
        match &self.kind {
            TargetKind::Native => self.open_native(),
            TargetKind::Guest(image) => guest::open(image, self.start, hears),
            TargetKind::Ssh(destination) => ssh::open(destination),
            TargetKind::Command(launcher) => launcher.open(),
        }
    }

    fn open_native(&self) -> Result<Opened, Unusable> {
        let failed = |what: String| Unusable { what, mend: None, not_set_up: false };
        let link = native::start().map_err(|error| no_start(&error))?;
        let session = Session::open(link, Duration::from_secs(20), 1.0)
            .map_err(|(broken, words)| failed(words.after(&broken)))?;
        let facts = session.facts();
        let arch = arch_of(&facts.machine).map_err(failed)?;
        let config = facts.config.as_deref().and_then(config_text);
        let kernel = Kernel::new(arch, facts, config, true);
        let remark = (!facts.remarks.is_empty()).then(|| facts.remarks.join("; "));
        Ok(Opened { session, kernel, remark })
    }
}

/// Why an agent cannot be run from the folder for temporary files.
fn no_start(error: &std::io::Error) -> Unusable {
    if folder::lacks_null(error) {
        return no_null();
    }
    let folder = folder::temporary();
    let reason = match folder::refuses_programs(&folder) {
        true => "its file system is mounted noexec".to_owned(),
        false => folder::reason(error),
    };
    let mend = match error.kind() {
        std::io::ErrorKind::FileTooLarge => "raise the limit of a file's size (`ulimit -f`)",
        _ => "set TMPDIR to a folder that programs can be written to and run from",
    };
    let what = format!("the agent could not be started in {}: {reason}", folder.display());
    Unusable { what, mend: Some(mend.into()), not_set_up: false }
}

/// That no program can be started, for want of the file that its streams begin or end in.
fn no_null() -> Unusable {
    Unusable {
        what: "there is no /dev/null in this root".into(),
        mend: Some("mount a /dev into it, or run outside of it".into()),
        not_set_up: false,
    }
}

/// The architecture that a machine says it is of (uname(2)).
fn arch_of(machine: &str) -> Result<Arch, String> {
    let known = || Arch::ALL.iter().map(|arch| arch.name()).collect::<Vec<_>>().join(", ");
    Arch::from_name(machine).ok_or_else(|| {
        format!("its architecture is {machine}, which kconform does not know, but {}", known())
    })
}

/// A kernel's config as text; `/proc/config.gz` is packed.
fn config_text(config: &[u8]) -> Option<String> {
    use std::io::Read;
    let mut text = String::new();
    if config.starts_with(&[0x1f, 0x8b]) {
        flate2::read::GzDecoder::new(config).read_to_string(&mut text).ok()?;
    } else {
        text = String::from_utf8_lossy(config).into_owned();
    }
    Some(text)
}
