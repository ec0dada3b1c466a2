//! A QEMU guest as a target: the agent for its architecture, its kernel, and what its console says when it goes down.

#[cfg(test)]
mod tests;

use std::io::{self, Cursor, Read};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use kconform_abi::Arch;

use crate::checkout::checkout;
use crate::folder;
use crate::guest::cache::{CacheError, claimed};
use crate::guest::image::{AgentPort, DEFAULT_IMAGES, KernelSource};
use crate::guest::own_kernel::{of_another_series, same_config};
use crate::guest::qemu::{Accel, Accelerator, BootFailure, has_place, has_second_serial, program_of};
use crate::guest::{BootSpec, Guest, GuestError, Hears, Image, Start, Watch, cache_dir, snapshot};
use crate::health::{excerpt, worst};
use crate::kernel::Kernel;

use super::session::{Keeper, LastWords, Link, POWERED_OFF};
use super::{AGENT, Broken, Opened, Session, Unusable, agent_file, no_null};

/// How many lines of the console are searched for a fault.
const CONSOLE_LINES: usize = 400;

/// What the agent's own words on the console begin with.
const AGENT_SAYS: &str = "kconform-agent: ";

/// How long a guest that fell silent may take to say its last.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Whether QEMU, the agent and the kernel are there.
pub(super) fn ready(image: &Image) -> Result<(), Unusable> {
    program_of(image.arch).map_err(|error| unusable(&error))?;
    agent_for(image.arch)?;
    kernel(image)?;
    has_place().map_err(|error| unusable(&error))
}

/// The names of its guest's snapshots, as far as there could be any.
pub(super) fn snapshots(image: &Image) -> Vec<String> {
    let (Ok(cache), Ok(kernel), Ok(agent)) = (cache_dir(), kernel(image), agent_for(image.arch)) else {
        return Vec::new();
    };
    let spec =
        BootSpec { image, kernel: &kernel, agent: &agent, cache: &cache, cmdline: &[], hears: Hears::NOBODY };
    snapshot::names(&spec).unwrap_or_default()
}

/// Has a guest.
pub(super) fn open(image: &Image, start: Start, hears: Hears<'_>) -> Result<Opened, Unusable> {
    let cache = cache_dir().map_err(|error| unusable(&error.into()))?;
    let (kernel, agent) = (kernel(image)?, agent_for(image.arch)?);
    let spec = BootSpec { image, kernel: &kernel, agent: &agent, cache: &cache, cmdline: &[], hears };
    // What is read of files is read while the guest comes up.
    let (config, started) = thread::scope(|scope| {
        let config = scope.spawn(|| {
            kernel.check_untouched(image)?;
            kernel.config_text(image)
        });
        let started = with_some_port(&spec, start);
        (config.join().unwrap_or_else(|panic| resume_unwind(panic)), started)
    });
    let (guest, port) = started.map_err(|error| unusable(&error))?;
    // Damage is told as such, and not as what has come of it: a guest that did not come up tells of it itself.
    let config = config.map_err(|error| unusable(&error.into()))?;
    let remark = remark(&Way {
        accel: guest.accelerator(),
        failed_boots: guest.failed_boots().len(),
        restored: guest.restored(),
        port,
        remarks: guest.remarks(),
    });
    let stream = || guest.stream().map_err(|error| no_stream(&error));
    let reader = Cursor::new(guest.greeting().to_vec()).chain(stream()?);
    let writer = stream()?;
    let factor = f64::from(guest.time_factor());
    let keeper = Box::new(Running { guest });
    let serial = port == AgentPort::Serial;
    let link = Link { reader: Box::new(reader), writer: Box::new(writer), keeper, serial };
    let session =
        Session::open(link, Duration::from_secs(5), factor).map_err(|(broken, words)| match broken {
            Broken::Stale(_) => Unusable {
                what: format!("{} ({})", broken, agent.display()),
                mend: Some(build_agents(image.arch.name())),
                not_set_up: true,
            },
            _ => failed(words.after(&broken)),
        })?;
    let told = session.facts().config.as_deref().and_then(super::config_text);
    let (config, doubt) = believed(config, told, &session.facts().release);
    let path = kernel.config.as_deref().unwrap_or(Path::new("config")).display();
    let remark = doubt.map_or(remark.clone(), |doubt| format!("{remark}; {path} {doubt}"));
    let kernel = Kernel { guest: true, ..Kernel::new(image.arch, session.facts(), config, false) };
    Ok(Opened { session, kernel, remark: Some(remark) })
}

/// The config of a kernel, of what is said beside it and what it tells itself (`/proc/config.gz`); and what is wrong with
/// the former.
fn believed(beside: Option<String>, told: Option<String>, release: &str) -> (Option<String>, Option<String>) {
    match (beside, told) {
        (Some(beside), Some(told)) => {
            let doubt = "is not its config, which it tells itself and which counts".to_owned();
            let doubt = (!same_config(&beside, &told)).then_some(doubt);
            (Some(told), doubt)
        }
        (Some(beside), None) => match of_another_series(&beside, release) {
            Some(version) => {
                (None, Some(format!("is the config of {version}, and not of {release}: it is not used")))
            }
            None => (Some(beside), None),
        },
        (None, told) => (told, None),
    }
}

/// How a guest's remark begins that says why it is emulated.
pub(crate) const EMULATED: &str = "emulated: ";

/// How a guest came up.
struct Way<'a> {
    accel: &'a Accel,
    failed_boots: usize,
    restored: bool,
    port: AgentPort,
    remarks: &'a [String],
}

/// What a user may want to know of it.
fn remark(way: &Way<'_>) -> String {
    let mut remark = match way.accel.accelerator {
        Accelerator::Kvm => "KVM".to_owned(),
        Accelerator::Tcg => format!("{EMULATED}{}", way.accel.why),
    };
    if way.failed_boots > 0 {
        remark.push_str(&format!("; came up at attempt {}", way.failed_boots + 1));
    }
    if way.restored {
        remark.push_str("; from a snapshot");
    }
    if way.port == AgentPort::Serial {
        remark.push_str("; without virtio, over a second serial port");
    }
    for trouble in way.remarks {
        remark.push_str("; ");
        remark.push_str(trouble);
    }
    remark
}

/// A guest, whose agent is behind a second serial port where the kernel turns out to have no virtio.
fn with_some_port(spec: &BootSpec<'_>, start: Start) -> Result<(Guest, AgentPort), GuestError> {
    /// Kernels that have none.
    static WITHOUT_VIRTIO: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
    let known = || WITHOUT_VIRTIO.lock().unwrap_or_else(PoisonError::into_inner);
    let KernelSource::File(own) = &spec.image.kernel else {
        return Ok((Guest::start(spec, start)?, spec.image.port));
    };
    if spec.image.port == AgentPort::Virtio && !known().contains(&own.path) {
        match Guest::start(spec, start) {
            Err(GuestError::NeverUp { attempts, .. }) if lacks_virtio(spec, &attempts) => {
                known().push(own.path.clone());
            }
            other => return Ok((other?, AgentPort::Virtio)),
        }
    }
    let image = Image { port: AgentPort::Serial, ..spec.image.clone() };
    Ok((Guest::start(&BootSpec { image: &image, ..*spec }, start)?, AgentPort::Serial))
}

/// Whether the agent gave up for want of a virtio-serial port, and could have had a serial one.
fn lacks_virtio(spec: &BootSpec<'_>, attempts: &[BootFailure]) -> bool {
    let said = format!("{AGENT_SAYS}no virtio-serial port");
    let last = attempts.last().map_or(&[][..], |attempt| &attempt.console);
    has_second_serial(spec.image.arch) && last.iter().any(|line| line.starts_with(&said))
}

pub(crate) fn kernel(image: &Image) -> Result<crate::guest::CachedKernel, Unusable> {
    let cache = cache_dir().map_err(|error| unusable(&error.into()))?;
    match claimed(image, &cache) {
        Ok(Some(kernel)) => Ok(kernel),
        Ok(None) => Err(unusable(&GuestError::NotFetched { image: image.name.clone() })),
        Err(error) => Err(unusable(&error.into())),
    }
}

/// The agent for an architecture: the one in `KCONFORM_AGENTS`, where that is set; for this machine's architecture the one
/// that kconform carries; else one that was installed with kconform, or built by `ci/agents` in its checkout.
pub(crate) fn agent_for(wanted: Arch) -> Result<PathBuf, Unusable> {
    let arch = wanted.name();
    if let Some(folder) = std::env::var_os("KCONFORM_AGENTS") {
        let path = Path::new(&folder).join(arch).join("kconform-agent");
        if !path.exists() {
            return Err(no_agent(arch, &path));
        }
        let amiss = agent_file::look(&path, wanted);
        return match amiss.map_err(|error| failed(format!("{}: {error}", path.display())))? {
            None => Ok(path),
            Some(amiss) => Err(wrong_agent(&path, arch, &amiss)),
        };
    }
    if arch == std::env::consts::ARCH {
        return own_agent().map_err(|error| not_unpacked(&error));
    }
    let folders = [installed(), Some(checkout().join("target/agents"))];
    let places: Vec<PathBuf> =
        folders.into_iter().flatten().map(|folder| folder.join(arch).join("kconform-agent")).collect();
    let Some(built) = places.iter().find(|path| path.is_file()).cloned() else {
        return Err(no_agent(arch, places.last().map_or(Path::new(""), PathBuf::as_path)));
    };
    if !agent_file::is_of_this_build(&built)
        .map_err(|error| failed(format!("{}: {error}", built.display())))?
    {
        return Err(stale(&built, arch));
    }
    Ok(built)
}

/// Whether kconform carries the agent for an architecture that is used.
pub(crate) fn is_carried(arch: Arch) -> bool {
    arch.name() == std::env::consts::ARCH && std::env::var_os("KCONFORM_AGENTS").is_none()
}

/// The QEMU program for an architecture.
pub(crate) fn qemu(arch: Arch) -> Result<PathBuf, Unusable> {
    program_of(arch).map_err(|error| unusable(&error))
}

/// Where a package puts agents: `lib/kconform/agents` beside the `bin` that kconform is in.
fn installed() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?.canonicalize().ok()?;
    Some(program.parent()?.parent()?.join("lib/kconform/agents"))
}

fn wrong_agent(path: &Path, arch: &str, amiss: &agent_file::NoAgent) -> Unusable {
    Unusable {
        what: format!("{} is not the agent for {arch}: {amiss}", path.display()),
        mend: Some(build_agents(arch)),
        not_set_up: true,
    }
}

pub(crate) fn stale(path: &Path, arch: &str) -> Unusable {
    Unusable {
        what: format!("the agent for {arch} is of another build than kconform ({})", path.display()),
        mend: Some(build_agents(arch)),
        not_set_up: true,
    }
}

/// The command that builds the agent for an architecture, as it can be called here.
fn build_agents(arch: &str) -> String {
    build_agents_in(&checkout(), std::env::current_dir().ok().as_deref(), arch)
}

fn build_agents_in(checkout: &Path, here: Option<&Path>, arch: &str) -> String {
    if !checkout.join("ci/agents").is_file() {
        return format!(
            "ci/agents {arch} in kconform's checkout, and KCONFORM_AGENTS=CHECKOUT/target/agents"
        );
    }
    match here {
        Some(here) if here == checkout => format!("ci/agents {arch}"),
        _ => format!("{}/ci/agents {arch}", checkout.display()),
    }
}

/// Unpacks the agent that kconform carries, once a build.
fn own_agent() -> std::io::Result<PathBuf> {
    let folder = cache_dir().map_err(std::io::Error::other)?.join("agents");
    let path = folder.join(format!("{}-{}", std::env::consts::ARCH, env!("KCONFORM_FINGERPRINT")));
    if std::fs::read(&path).is_ok_and(|there| there == AGENT) {
        return Ok(path);
    }
    let unpack = || {
        std::fs::create_dir_all(&folder)?;
        let file = tempfile::NamedTempFile::new_in(&folder)?;
        std::fs::write(file.path(), AGENT)?;
        file.persist(&path).map_err(|error| error.error)?;
        Ok(path)
    };
    // A cache that is full, or cannot be written, is no reason to have no guest.
    unpack().or_else(|error: std::io::Error| agent_in_memory().map_err(|_| error))
}

/// The agent that kconform carries in a file that only this process has, as long as it runs (memfd_create(2)).
fn agent_in_memory() -> std::io::Result<PathBuf> {
    static AGENT_FILE: Mutex<Option<std::fs::File>> = Mutex::new(None);
    let mut kept = AGENT_FILE.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.is_none() {
        let fd = rustix::fs::memfd_create("kconform-agent", rustix::fs::MemfdFlags::CLOEXEC)?;
        let mut file = std::fs::File::from(fd);
        std::io::Write::write_all(&mut file, AGENT)?;
        *kept = Some(file);
    }
    let fd = kept.as_ref().map_or(-1, std::os::fd::AsRawFd::as_raw_fd);
    Ok(format!("/proc/self/fd/{fd}").into())
}

pub(crate) fn no_agent(arch: &str, path: &Path) -> Unusable {
    Unusable {
        what: format!("there is no agent for {arch} ({})", path.display()),
        mend: Some(build_agents(arch)),
        not_set_up: true,
    }
}

fn not_unpacked(error: &std::io::Error) -> Unusable {
    failed(format!("kconform's own agent cannot be unpacked: {error}"))
}

fn no_stream(error: &std::io::Error) -> Unusable {
    failed(format!("the guest's stream cannot be opened: {error}"))
}

fn failed(what: String) -> Unusable {
    Unusable { what, mend: None, not_set_up: false }
}

pub(crate) fn unusable(error: &GuestError) -> Unusable {
    let (what, mend) = match error {
        GuestError::NoQemu { program, package, arch } => {
            let option = if DEFAULT_IMAGES.contains(&arch.name()) { "" } else { &format!(" --arch {arch}") };
            (format!("{program} is not installed"), format!("ci/setup{option}, or install {package}"))
        }
        GuestError::NotFetched { image } => {
            (format!("the kernel of {image} is not here"), format!("kconform image fetch {image}"))
        }
        GuestError::Start { source, .. } if folder::lacks_null(source) => return no_null(),
        _ => return Unusable { what: error.to_string(), mend: mend(error), not_set_up: false },
    };
    Unusable { what, mend: Some(mend), not_set_up: true }
}

/// What a user can do about it, where that is known.
fn mend(error: &GuestError) -> Option<String> {
    let text = match error {
        GuestError::DiskFull { .. } => "make room there, or set TMPDIR",
        GuestError::NoPlace { reason, .. } if reason.starts_with("File too large") => {
            "raise the limit of a file's size (`ulimit -f`)"
        }
        GuestError::NoPlace { .. } => "set TMPDIR to a folder that can be written to",
        GuestError::Hangs { program, .. } => {
            return Some(format!(
                "see whether `{program} --version` answers, and what else `ps` shows of it"
            ));
        }
        GuestError::Refused { .. } => {
            "see that QEMU is 7.2 or newer, and knows the machine, cpu and qemu_args of the image"
        }
        GuestError::NeverUp { attempts, .. } if attempts.iter().all(|attempt| attempt.console.is_empty()) => {
            "see that its kernel is whole, and of the machine and with the console that its image names"
        }
        GuestError::NeverUp { attempts, .. } if attempts.last().is_some_and(lacks_memory) => {
            "let QEMU have more memory (`ulimit -v`, a cgroup's limit), or run fewer guests at once (--jobs)"
        }
        GuestError::Cache(CacheError::Read { source, .. }) if is_of_a_folder(source) => {
            "set KCONFORM_CACHE to a folder that can be read and written"
        }
        _ => return None,
    };
    Some(text.into())
}

/// Whether QEMU ended because this machine gave it no memory.
fn lacks_memory(attempt: &BootFailure) -> bool {
    attempt
        .console
        .last()
        .is_some_and(|line| line.contains("qemu") && line.ends_with("Cannot allocate memory"))
}

/// Whether an error is of the folder that a file is in, not of the file.
fn is_of_a_folder(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied)
}

struct Running {
    guest: Guest,
}

/// What became of a guest: what its agent said last, whether QEMU's output ended, how QEMU did, what it said, and whether it
/// was stopped.
fn end_of(
    agent: Option<&str>,
    over: bool,
    status: Option<ExitStatus>,
    error: Option<&str>,
    stopped: bool,
) -> String {
    match (agent, over, status, error) {
        (Some(said), ..) => format!("the agent gave up: {said}"),
        (None, true, _, Some(error)) => format!("QEMU ended: {error}"),
        (None, true, Some(status), None) => format!("QEMU ended ({status})"),
        (None, true, None, None) => "QEMU ended".into(),
        (None, false, ..) if stopped => "QEMU was stopped by a signal".into(),
        (None, false, ..) => "QEMU is still there".into(),
    }
}

/// Whether a console ends as guests of x86-64 do now and then under QEMU 7.2's TCG, by themselves: in a double fault within the
/// slab allocator, right after a cmpxchg16b (`__kmalloc`, `kmem_cache_alloc` and their kin of mm/slub.c).
fn is_known_of_tcg(console: &[String]) -> bool {
    let fault = console
        .iter()
        .rposition(|line| line.contains("PANIC: double fault") || line.contains("Oops: double fault"));
    let at = |line: &String| {
        line.contains("RIP: ") && ["__kmalloc", "kmem_cache_alloc"].iter().any(|name| line.contains(name))
    };
    fault.is_some_and(|fault| console[fault..].iter().any(at))
}

impl Keeper for Running {
    fn last_words(&mut self) -> LastWords {
        let console = self.guest.console();
        let over = console.wait_for_end(LAST_WORDS);
        let lines = console.last(CONSOLE_LINES);
        let status = over.then(|| self.guest.ended()).flatten();
        let agent = lines.iter().find_map(|line| line.strip_prefix(AGENT_SAYS));
        // QEMU ends well when the guest powers itself off or resets itself, which no case may make it do; an agent that
        // gives up does, and says why.
        let well = status.filter(ExitStatus::success).filter(|_| agent.is_none());
        let said = worst(lines.iter().map(String::as_str)).map(|fault| fault.what);
        let kernel_fault = said.or(well.map(|_| POWERED_OFF)).map(str::to_owned);
        let stopped = !over && self.guest.is_stopped();
        let errors = self.guest.qemu_errors();
        let what = end_of(agent, over, status, errors.last().map(String::as_str), stopped);
        let ended_ill = kernel_fault.is_none() && status.is_some_and(|status| !status.success());
        let emulated = self.guest.accelerator().accelerator == Accelerator::Tcg;
        let outside = ended_ill || emulated && is_known_of_tcg(&lines);
        LastWords { what, kernel_fault, held_up: stopped, outside, console: excerpt(&lines) }
    }

    fn has_fault(&self) -> bool {
        self.guest.console().has_fault()
    }

    fn watch(&self) -> Option<Watch> {
        Some(self.guest.watch())
    }
}
