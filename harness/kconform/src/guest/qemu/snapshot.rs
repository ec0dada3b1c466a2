//! Snapshots: a guest whose agent has just spoken, saved once and restored many times.
//!
//! A snapshot is a directory `snapshots/IMAGE-KEY` of the cache, there whole or not at all: the guest's memory in a
//! file of which every restored guest has a copy as far as it writes to it, the state of its devices, and what its
//! agent said. The key is a hash of all that made the guest, and of this boot of the host: a file that a crash of the
//! host left half written is never looked at again.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use kconform_plan::{FromAgent, Plan, ToAgent, WireError, read_frame, write_frame};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::Guest;
use super::accel::{self, Accel, Accelerator, Choice};
use super::args::Memory;
use super::boot::{Boot, Failure};
use super::error::GuestError;
use super::qmp::Qmp;
use super::scratch::Scratch;
use crate::guest::cache::hex;

/// `off`: every guest is booted.
const SWITCH: &str = "KCONFORM_SNAPSHOTS";
/// Snapshots that are kept of an image: different kernels or command lines of it in turn.
const KEPT: usize = 3;
/// How long a new snapshot's agent may take to answer.
const ANSWER: Duration = Duration::from_secs(20);

const MEMORY: &str = "memory";
const STATE: &str = "state";
const GREETING: &str = "greeting";

/// Restores a guest, makes its snapshot first where there is none, or boots it where there can be none.
pub(super) fn start(boot: &Boot<'_>) -> Result<Guest, GuestError> {
    let choice = boot.choice();
    // Under KVM a boot takes half a second, and a saved CPU may be another than the one it is restored on.
    let Choice::Settled(accel @ Accel { accelerator: Accelerator::Tcg, .. }) = &choice else {
        return boot.run(choice);
    };
    let off = std::env::var(SWITCH).is_ok_and(|value| value == "off");
    match Snapshots::new(boot, accel) {
        Some(snapshots) if !off => snapshots.start(),
        _ => boot.run(choice),
    }
}

/// The snapshots of an image, and the one that we want.
struct Snapshots<'a> {
    boot: &'a Boot<'a>,
    accel: &'a Accel,
    all: PathBuf,
    wanted: PathBuf,
}

/// Why a guest was not made from a snapshot.
enum Unmade {
    /// The guest itself cannot be had.
    NoGuest(GuestError),
    /// The snapshot cannot be made or used, for this reason; a boot may do.
    NoSnapshot(String),
    /// A guest came up that is not fit to be saved.
    Unfit(Box<Guest>),
}

impl From<io::Error> for Unmade {
    /// A full disk, a file system without shared mappings, a QEMU that cannot do it: none keeps a guest from booting.
    fn from(error: io::Error) -> Unmade {
        Unmade::NoSnapshot(error.to_string())
    }
}

impl<'a> Snapshots<'a> {
    fn new(boot: &'a Boot<'a>, accel: &'a Accel) -> Option<Snapshots<'a>> {
        let all = std::path::absolute(boot.spec.cache).ok()?.join("snapshots");
        let name = format!("{}-{}", boot.spec.image.name, key(boot)?);
        Some(Snapshots { boot, accel, wanted: all.join(name), all })
    }

    fn start(&self) -> Result<Guest, GuestError> {
        if let Some(guest) = self.restored() {
            return Ok(guest);
        }
        match self.make() {
            Ok(guest) => Ok(guest),
            Err(Unmade::Unfit(guest)) => Ok(*guest),
            Err(Unmade::NoGuest(error)) => Err(error),
            Err(Unmade::NoSnapshot(why)) => {
                let mut guest = self.boot.repeatedly(self.accel.clone(), Memory::Private)?;
                guest.no_snapshot = Some(why);
                Ok(guest)
            }
        }
    }

    /// A guest from the snapshot, if it is there. One that cannot be restored is removed.
    fn restored(&self) -> Option<Guest> {
        if !self.wanted.exists() {
            return None;
        }
        let restored = self.restore(&self.wanted);
        if restored.is_err() {
            let _ = fs::remove_dir_all(&self.wanted);
        }
        restored.ok()
    }

    fn restore(&self, snapshot: &Path) -> Result<Guest, Unmade> {
        let greeting = fs::read(snapshot.join(GREETING))?;
        let scratch = Scratch::new()?;
        let waiting = self.boot.waiting(self.accel, &snapshot.join(MEMORY), scratch.path());
        let (launched, stream) = waiting.map_err(|failure| match failure {
            Failure::Final(error @ GuestError::DiskFull { .. }) => Unmade::NoGuest(error),
            Failure::Final(error) => Unmade::NoSnapshot(error.to_string()),
            Failure::Again(failure) => Unmade::NoSnapshot(failure.end.to_string()),
        })?;
        let monitor = launched.qmp()?.ok_or_else(|| Unmade::NoSnapshot("QEMU ended".to_owned()))?;
        Qmp::new(monitor)?.restore(&snapshot.join(STATE))?;
        let factor = self.boot.spec.image.time_factor;
        let mut guest = launched.into_guest(stream, greeting, self.accel.clone(), factor);
        guest.restored = true;
        Ok(guest)
    }

    /// Makes the snapshot and a guest of it. Whoever wants the same one meanwhile waits.
    fn make(&self) -> Result<Guest, Unmade> {
        fs::create_dir_all(&self.all)?;
        let image = &self.boot.spec.image.name;
        let lock = File::create(self.all.join(format!(".{image}.lock")))?;
        lock.lock()?;
        if let Some(guest) = self.restored() {
            return Ok(guest);
        }
        let scratch = self.scratch()?;
        self.save(scratch.path())?;
        self.prove(scratch.path())?;
        fs::rename(scratch.path(), &self.wanted)?;
        // What is in place now is not to be removed.
        let _ = scratch.keep();
        self.prune();
        self.restore(&self.wanted)
    }

    /// A place to make it in. What is left of an earlier attempt, whose maker was killed, goes: we hold the lock.
    fn scratch(&self) -> io::Result<TempDir> {
        let prefix = format!(".{}.making-", self.boot.spec.image.name);
        for entry in fs::read_dir(&self.all)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        tempfile::Builder::new().prefix(&prefix).tempdir_in(&self.all)
    }

    /// Boots a guest with its memory in a file, and saves the rest of it when its agent has spoken. The guest ends
    /// there: it would go on writing to the file.
    fn save(&self, place: &Path) -> Result<(), Unmade> {
        let memory = place.join(MEMORY);
        let booted = self.boot.repeatedly(self.accel.clone(), Memory::Kept(&memory));
        let guest = booted.map_err(|error| match error {
            // A place without shared mappings, say.
            GuestError::Refused { .. } => Unmade::NoSnapshot(error.to_string()),
            error => Unmade::NoGuest(error),
        })?;
        if !guest.failed_boots.is_empty() {
            // It has another command line, and a history.
            return Err(Unmade::Unfit(Box::new(guest)));
        }
        guest.monitor()?.save(&place.join(STATE))?;
        fs::write(place.join(GREETING), guest.greeting())?;
        Ok(())
    }

    /// Lets a guest of the snapshot run an empty case: one that hangs would hang every time.
    fn prove(&self, place: &Path) -> Result<(), Unmade> {
        let mut guest = self.restore(place)?;
        guest.stream.set_read_timeout(Some(ANSWER))?;
        let plan = Box::new(Plan { slots: 0, timeout_ms: 1000, steps: Vec::new() });
        let unmade = |error: WireError| Unmade::NoSnapshot(format!("its agent is not there: {error}"));
        write_frame(&mut guest.stream, &ToAgent::Run { id: 0, plan }).map_err(unmade)?;
        loop {
            match read_frame(&mut guest.stream).map_err(unmade)? {
                FromAgent::Started { .. } => {}
                FromAgent::Ran { .. } => return Ok(()),
                other => return Err(Unmade::NoSnapshot(format!("its agent says {other:?}"))),
            }
        }
    }

    /// Removes all but the newest snapshots of the image. Guests that run keep what they have mapped.
    fn prune(&self) {
        let prefix = format!("{}-", self.boot.spec.image.name);
        let mut snapshots: Vec<(SystemTime, PathBuf)> = fs::read_dir(&self.all)
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| is_snapshot_of(&entry.file_name().to_string_lossy(), &prefix))
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        snapshots.sort();
        for (_, old) in snapshots.iter().rev().skip(KEPT) {
            let _ = fs::remove_dir_all(old);
        }
    }
}

/// Whether a directory is `PREFIX` and a key; an image's name may begin with another's.
fn is_snapshot_of(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix)
        .is_some_and(|key| key.len() == KEY && key.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Digits of a key.
const KEY: usize = 24;

/// A hash of all that makes the guest what it is.
fn key(boot: &Boot<'_>) -> Option<String> {
    let spec = boot.spec;
    let boot_id = fs::read("/proc/sys/kernel/random/boot_id").ok()?;
    let image = format!("{:?} {:?}", spec.image, spec.cmdline);
    let version = accel::version(&boot.qemu)?;
    let parts: [&[u8]; 5] =
        [spec.kernel.sha256.as_bytes(), &boot.initramfs, version.as_bytes(), image.as_bytes(), &boot_id];
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    Some(hex(&hash.finalize())[..KEY].to_owned())
}
