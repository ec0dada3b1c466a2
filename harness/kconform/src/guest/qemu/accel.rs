//! KVM or emulation. That `/dev/kvm` opens proves nothing: there are machines where a guest under it sits still or
//! faults at its first instruction. So a guest that came up is the proof, and what was found is remembered until the
//! machine is booted again or QEMU becomes another.

use std::fs::{self, OpenOptions};
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use kconform_abi::Arch;
use rustix::event::Timespec;
use serde::{Deserialize, Serialize};

use super::process::{Process, Spawned};
use crate::guest::image::Image;
use crate::guest::stamp::seal;

/// What runs a guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// The host's CPU, through /dev/kvm.
    Kvm,
    /// QEMU's emulation (Tiny Code Generator): anywhere, for any architecture, slower.
    Tcg,
}

/// What runs a guest's instructions, and why that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accel {
    /// Which one.
    pub accelerator: Accelerator,
    /// The reason, for people: `/dev/kvm is there but runs no guest: KVM internal error. Suberror: 1`.
    pub why: String,
}

/// Forces a choice: `kvm` or `tcg`.
const CHOICE: &str = "KCONFORM_ACCEL";

/// How long a guest may take to come up under a KVM that has not proven itself; it takes a second under one that works.
pub(super) const PROOF: Duration = Duration::from_secs(10);

/// How long QEMU may take to say its version; it takes a fortieth of a second.
const VERSION: Duration = Duration::from_secs(10);

/// What QEMU says on standard error when KVM cannot run a guest.
const KVM_FAILURES: &[&str] = &[
    "KVM internal error",
    "emulation failure",
    "kvm run failed",
    "failed to set MSR",
    "kvm_buf_set_msrs",
    "error: kvm",
];

impl Accel {
    fn kvm(why: impl Into<String>) -> Accel {
        Accel { accelerator: Accelerator::Kvm, why: why.into() }
    }

    fn tcg(why: impl Into<String>) -> Accel {
        Accel { accelerator: Accelerator::Tcg, why: why.into() }
    }

    /// KVM, when a guest came up under it.
    pub(crate) fn proven() -> Accel {
        Accel::kvm("a guest came up under it on this machine")
    }

    /// Emulation, when none did: how it ended.
    pub(crate) fn without_proof(failure: &str) -> Accel {
        Accel::tcg(format!("/dev/kvm is there but ran no guest: {failure}"))
    }

    /// Emulation, where KVM cannot even be opened.
    pub(crate) fn without_kvm(error: &std::io::Error) -> Accel {
        Accel::tcg(format!("/dev/kvm: {error}"))
    }

    /// Emulation, which alone runs guests of another architecture than this machine's.
    pub(crate) fn of_another_arch(arch: Arch) -> Accel {
        Accel::tcg(format!("{arch} on {}", std::env::consts::ARCH))
    }
}

impl Accelerator {
    /// Its name for `-accel`.
    pub fn name(self) -> &'static str {
        match self {
            Accelerator::Kvm => "kvm",
            Accelerator::Tcg => "tcg",
        }
    }
}

/// Whether a line of QEMU's standard error means that KVM does not work.
pub(super) fn is_kvm_failure(line: &str) -> bool {
    KVM_FAILURES.iter().any(|sign| line.contains(sign))
}

/// What to boot an image with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::guest) enum Choice {
    /// This and nothing else.
    Settled(Accel),
    /// KVM, shortly; then emulation.
    Prove,
}

/// Chooses for an image, from what was found before on this machine.
pub(super) fn choose(image: &Image, qemu: &Path, cache: &Path) -> Choice {
    match std::env::var(CHOICE).as_deref() {
        Ok("tcg") => return Choice::Settled(Accel::tcg(format!("{CHOICE} says so"))),
        Ok("kvm") => return Choice::Settled(Accel::kvm(format!("{CHOICE} says so"))),
        _ => {}
    }
    if image.arch.name() != std::env::consts::ARCH {
        return Choice::Settled(Accel::of_another_arch(image.arch));
    }
    if let Err(error) = OpenOptions::new().read(true).write(true).open("/dev/kvm") {
        return Choice::Settled(Accel::without_kvm(&error));
    }
    match Machine::here(qemu).and_then(|machine| recall(&machine, cache)) {
        Some(Finding { works: true, why, .. }) => Choice::Settled(Accel::kvm(why)),
        Some(Finding { works: false, why, .. }) => Choice::Settled(Accel::tcg(why)),
        None => Choice::Prove,
    }
}

/// What a guest of an image will run under, and why; `None` where the next boot will show whether KVM works.
pub fn expected(image: &Image, qemu: &Path, cache: &Path) -> Option<Accel> {
    match choose(image, qemu, cache) {
        Choice::Settled(accel) => Some(accel),
        Choice::Prove => None,
    }
}

/// QEMU's version, as it says it: `7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)`.
///
/// # Errors
/// Those of running it.
pub fn version(qemu: &Path) -> std::io::Result<String> {
    let Spawned { process, stdout, stderr } =
        Process::spawn(qemu, &["--version".to_owned()], Path::new("/"))?;
    let in_time = process.ended_within(Timespec { tv_sec: VERSION.as_secs() as i64, tv_nsec: 0 });
    process.kill();
    drop(stderr);
    if in_time.is_none() {
        return Err(std::io::Error::other(format!(
            "it hangs: `--version` has no answer in {} s",
            VERSION.as_secs()
        )));
    }
    let mut text = String::new();
    BufReader::new(stdout).read_to_string(&mut text)?;
    let line = text.lines().next().unwrap_or_default();
    Ok(line.strip_prefix("QEMU emulator version ").unwrap_or(line).to_owned())
}

/// Remembers whether KVM ran a guest. A cache that cannot be written costs the next run a few seconds, so that is no
/// error.
pub(super) fn remember(works: bool, why: &str, qemu: &Path, cache: &Path) {
    let Some(machine) = Machine::here(qemu) else { return };
    let finding = Finding { machine, works, why: why.to_owned(), check: 0 };
    let finding = Finding { check: finding.sum(), ..finding };
    let write = || -> std::io::Result<()> {
        fs::create_dir_all(cache)?;
        let mut file = tempfile::NamedTempFile::new_in(cache)?;
        serde_json::to_writer(&mut file, &finding)?;
        file.flush()?;
        file.persist(finding_path(cache))?;
        Ok(())
    };
    let _ = write();
}

/// What a finding holds for.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Machine {
    /// Of this boot of the host (random(4)).
    boot_id: String,
    /// Which one: see [`identity`].
    qemu: String,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Finding {
    machine: Machine,
    works: bool,
    why: String,
    /// A checksum of the others.
    check: u32,
}

impl Finding {
    fn sum(&self) -> u32 {
        seal(&(&self.machine, self.works, &self.why))
    }
}

impl Machine {
    fn here(qemu: &Path) -> Option<Machine> {
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned();
        Some(Machine { boot_id, qemu: identity(qemu).ok()? })
    }
}

fn recall(machine: &Machine, cache: &Path) -> Option<Finding> {
    let finding: Finding = serde_json::from_slice(&fs::read(finding_path(cache)).ok()?).ok()?;
    (finding.machine == *machine && finding.check == finding.sum()).then_some(finding)
}

fn finding_path(cache: &Path) -> PathBuf {
    cache.join("kvm.json")
}

/// Which QEMU it is. Its version would take a fortieth of a second to ask for, and says less: a package may be built
/// again under the same version.
///
/// # Errors
/// Those of stat(2).
pub(in crate::guest) fn identity(program: &Path) -> std::io::Result<String> {
    use std::os::unix::fs::MetadataExt;
    let program = fs::canonicalize(program)?;
    let data = fs::metadata(&program)?;
    let place = program.display();
    Ok(format!("{place}, {} bytes, of {}.{:09}", data.len(), data.mtime(), data.mtime_nsec()))
}
