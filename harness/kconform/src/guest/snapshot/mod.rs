//! Snapshots: a guest whose agent has just spoken, saved once and restored many times.
//!
//! A boot takes seconds under emulation and now and then dies by itself; a restored guest is there in a tenth of a
//! second, in the very state that others of its snapshot began with. Its memory is the snapshot's file, mapped privately:
//! guests share the pages that none of them has written to. See Documentation of QEMU, "Migration framework", for the
//! capability x-ignore-shared that leaves such memory where it is.
//!
//! What is equal in all guests of a snapshot, and would differ between boots: the kernel's random numbers begin alike
//! (hash seeds too), and CLOCK_REALTIME goes on from when the snapshot was made. Clocks since boot do so too.
//!
//! A snapshot is trusted only if it was made of what would be booted now (`key`) and is as it was saved
//! (`checksum`); whatever is wrong with it ends in another one, or in a boot, and is told.

mod checksum;
mod key;
mod store;
#[cfg(test)]
mod tests;
mod trouble;

use std::collections::HashSet;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use kconform_plan::{FromAgent, Plan, ToAgent, WireError, read_frame, write_frame};

pub use store::Listed;

use super::image::Images;
use super::pruned::Pruned;
use super::qemu::{
    Accel, Accelerator, Boot, BootEnd, BootSpec, Choice, Guest, GuestError, Late, Memory, Patient,
};
use key::Key;
use store::{MEMORY, Snapshot, Store};
use trouble::{Dead, Proof, Trouble, Useless};

/// How long a restored guest's agent may take to answer, in time that QEMU works or rests; emulated it takes a tenth of that.
const ANSWER: Duration = Duration::from_secs(2);

/// A guest from a snapshot, which is made first where there is none; a booted guest where there can be none.
pub(super) fn start(boot: &Boot<'_>) -> Result<Guest, GuestError> {
    let accel = match boot.choice() {
        Choice::Settled(accel) => accel,
        // What is to run it has to be found out by a boot.
        prove => return boot.run(prove),
    };
    match Warm::new(boot, &accel) {
        Ok(mut warm) => warm.start(),
        Err(error) => boot.run_with(accel, vec![Trouble::NotKept(error).to_string()]),
    }
}

/// Starting a guest by way of a snapshot.
struct Warm<'a> {
    boot: &'a Boot<'a>,
    accel: &'a Accel,
    store: Store,
    key: Key,
    /// What went wrong so far.
    remarks: Vec<String>,
}

/// Why there is no guest from a snapshot.
enum Unmade {
    /// There can be no guest of this kernel and agent.
    NoGuest(GuestError),
    /// There can be no snapshot; a boot may do.
    NoSnapshot(Trouble),
    /// A guest came up that is not fit to be saved.
    Unfit(Box<Guest>),
}

impl From<io::Error> for Unmade {
    fn from(error: io::Error) -> Unmade {
        Unmade::NoSnapshot(error.into())
    }
}

impl<'a> Warm<'a> {
    fn new(boot: &'a Boot<'a>, accel: &'a Accel) -> io::Result<Warm<'a>> {
        let key = Key::of(boot, accel.accelerator)?;
        Ok(Warm { boot, accel, store: Store::new(boot.spec.cache)?, key, remarks: Vec::new() })
    }

    fn image(&self) -> &'a str {
        &self.boot.spec.image.name
    }

    fn start(&mut self) -> Result<Guest, GuestError> {
        let directory = self.store.directory(self.image(), &self.key);
        if is_hopeless(&directory) {
            return self.boot.run_with(self.accel.clone(), vec![Trouble::GivenUp.to_string()]);
        }
        if let Some(guest) = self.restored()? {
            return Ok(guest);
        }
        let why = match self.make() {
            Ok(guest) => return Ok(guest),
            Err(Unmade::Unfit(guest)) => return Ok(*guest),
            Err(Unmade::NoGuest(error)) => return Err(error),
            Err(Unmade::NoSnapshot(why)) => why,
        };
        give_up(directory);
        self.remarks.push(why.to_string());
        self.boot.run_with(self.accel.clone(), std::mem::take(&mut self.remarks))
    }

    /// A guest from the snapshot, if it is there. One that is proven to be of no use is removed: damaged, or two guests of it in
    /// turn do not live. A machine that is too busy for a guest proves nothing.
    fn restored(&mut self) -> Result<Option<Guest>, GuestError> {
        let mut doubt = None;
        loop {
            let restored = match self.store.open(self.image(), &self.key) {
                Ok(None) => return Ok(None),
                Ok(Some(snapshot)) => self.restore(snapshot)?,
                Err(why) => Err(Useless::damaged(why)),
            };
            match restored {
                Ok(mut guest) => {
                    self.remarks.extend(doubt.map(|why| Trouble::Again(why).to_string()));
                    guest.set_remarks(std::mem::take(&mut self.remarks));
                    return Ok(Some(guest));
                }
                Err(Useless { why, proof: Proof::Doubtful }) if doubt.is_none() => doubt = Some(why),
                Err(Useless { why, proof: Proof::Nothing }) => {
                    self.remarks.push(Trouble::HeldUp(why).to_string());
                    let remarks = std::mem::take(&mut self.remarks);
                    return self.boot.run_with(self.accel.clone(), remarks).map(Some);
                }
                Err(Useless { why, .. }) => {
                    self.remarks.push(Trouble::Discarded(why).to_string());
                    if let Err(error) = self.store.discard(&self.store.directory(self.image(), &self.key)) {
                        self.remarks.push(Trouble::NotRemoved(error).to_string());
                    }
                    return Ok(None);
                }
            }
        }
    }

    /// A guest of a snapshot, or what is wrong with that. Its memory is checked while it comes up: nobody has the guest
    /// before it is found to be as it was saved.
    fn restore(&self, snapshot: Snapshot) -> Result<Result<Guest, Useless>, GuestError> {
        let (checked, restored) = thread::scope(|scope| {
            let (sender, started) = mpsc::channel();
            let check = scope.spawn(|| check_memory(&snapshot, started));
            let restored = self.boot.waiting(self.accel, &snapshot.directory.join(MEMORY)).map(|waiting| {
                // It is gone only if there is nothing to be ended.
                let _ = sender.send(waiting.killer());
                let (guest, went_on) = waiting.go_on(snapshot.greeting.clone(), &snapshot.state);
                living(guest, went_on)
            });
            drop(sender);
            (check.join().unwrap_or_else(|_| Err(Dead::Unchecked.to_string())), restored)
        });
        match (checked, restored) {
            (Err(why), Ok(_)) => Ok(Err(Useless::damaged(why))),
            (Ok(()), Ok(Ok(mut guest))) => {
                guest.keep_snapshot(snapshot.lock);
                Ok(Ok(guest))
            }
            (Ok(()), Ok(Err(why))) => Ok(Err(why)),
            (_, Err(GuestError::Refused { text, .. })) => Ok(Err(Useless::damaged(text))),
            (_, Err(error)) => Err(error),
        }
    }

    /// Makes the snapshot and a guest of it. Whoever wants the same one meanwhile waits, and has it then.
    fn make(&mut self) -> Result<Guest, Unmade> {
        let lock = self.store.lock(self.image())?;
        if let Some(guest) = self.restored().map_err(Unmade::NoGuest)? {
            return Ok(guest);
        }
        self.save()?;
        // From here on others may have it.
        drop(lock);
        self.restored().map_err(Unmade::NoGuest)?.ok_or_else(|| Unmade::NoSnapshot(Trouble::Useless))
    }

    /// Boots a guest with its memory in a file, and saves the rest of it when its agent has spoken. The guest ends
    /// there: it would go on writing to the file.
    fn save(&mut self) -> Result<(), Unmade> {
        let size = u64::from(self.boot.spec.image.memory) << 20;
        let place = self.store.making(self.image(), size)?;
        let booted = self.boot.repeatedly(self.accel.clone(), Memory::Kept(&place.path().join(MEMORY)));
        let mut guest = booted.map_err(unmade)?;
        if !guest.failed_boots().is_empty() {
            // It has another command line, and a history.
            guest.set_remarks(std::mem::take(&mut self.remarks));
            return Err(Unmade::Unfit(Box::new(guest)));
        }
        let state = guest.save(self.boot.spec.image.arch)?;
        guest.kill();
        let file = self.boot.spec.image.file.as_deref();
        self.store.put(place, (self.image(), file, &self.key), &state, guest.greeting())?;
        Ok(())
    }
}

/// Whether a snapshot's memory is as it was saved. If not, the guest that was started on it is ended at once, for
/// nobody to wait for its answer.
fn check_memory(snapshot: &Snapshot, started: mpsc::Receiver<impl FnOnce()>) -> Result<(), String> {
    let checked = snapshot.check_memory();
    if checked.is_err()
        && let Ok(kill) = started.recv()
    {
        kill();
    }
    checked
}

/// Hears whether a restored guest lives.
fn living(guest: Guest, went_on: io::Result<()>) -> Result<Guest, Useless> {
    let answered = went_on.map_err(|error| Dead::Mute(error.into())).and_then(|()| {
        let stream = guest.stream().map_err(|error| Dead::Mute(error.into()))?;
        let patient = guest.patient(&stream, ANSWER).map_err(|error| Dead::Mute(error.into()))?;
        answers(&stream, patient)
    });
    let Err(dead) = answered else { return Ok(guest) };
    let proof = match dead.late() {
        Some(Late::HeldUp(_)) => Proof::Nothing,
        Some(Late::Silent(_)) => Proof::Doubtful,
        // It ends by itself where it cannot make use of a state, and says so.
        None if guest.ended().is_some_and(|status| status.code().is_some()) => Proof::Damaged,
        None => Proof::Doubtful,
    };
    // What QEMU says of its end comes with its end.
    guest.kill();
    guest.console().wait_for_end(ANSWER);
    let last = guest.qemu_errors().pop().or_else(|| guest.console().last(1).pop());
    let last = last.map(|line| format!(" ({line})")).unwrap_or_default();
    Err(Useless { why: format!("{dead}{last}"), proof })
}

/// What the failure of a boot whose memory was to be kept says of other boots.
fn unmade(error: GuestError) -> Unmade {
    match &error {
        // A file system without shared mappings, or one that was full after all, which is SIGBUS to QEMU.
        GuestError::Refused { text, .. } => Unmade::NoSnapshot(Trouble::NoGuest(text.clone())),
        GuestError::NeverUp { attempts, .. } => match attempts.last().map(|attempt| &attempt.end) {
            Some(BootEnd::Ended { status }) => Unmade::NoSnapshot(Trouble::NoGuest(status.clone())),
            _ => Unmade::NoGuest(error),
        },
        _ => Unmade::NoGuest(error),
    }
}

/// Asks the agent of a restored guest for an empty case: one that hangs is better found now.
fn answers(mut stream: &UnixStream, mut patient: Patient<'_>) -> Result<(), Dead> {
    let mut asked = || -> Result<FromAgent, WireError> {
        let plan = Box::new(Plan { slots: 0, timeout_ms: 1000, sysctls: Vec::new(), steps: Vec::new() });
        write_frame(&mut stream, &ToAgent::Run { id: 0, plan })?;
        loop {
            match read_frame(&mut patient)? {
                FromAgent::Started { .. } | FromAgent::Took { .. } => {}
                other => return Ok(other),
            }
        }
    };
    match asked() {
        Ok(FromAgent::Ran { .. }) => patient.finish().map_err(|error| Dead::Mute(error.into())),
        Ok(FromAgent::Failed { text }) => Err(Dead::GaveUp(text)),
        Ok(_) => Err(Dead::OutOfTurn),
        Err(WireError::Io(error)) => Err(Dead::Mute(error.into())),
        Err(error) => Err(Dead::Mute(error.into())),
    }
}

/// Snapshots that could not be made or used: it is not tried at every start of this process.
static HOPELESS: Mutex<Option<HashSet<PathBuf>>> = Mutex::new(None);

fn is_hopeless(directory: &Path) -> bool {
    let all = HOPELESS.lock().unwrap_or_else(PoisonError::into_inner);
    all.as_ref().is_some_and(|all| all.contains(directory))
}

fn give_up(directory: PathBuf) {
    let mut all = HOPELESS.lock().unwrap_or_else(PoisonError::into_inner);
    all.get_or_insert_default().insert(directory);
}

/// All snapshots of a cache, by name.
///
/// # Errors
/// Only for a cache whose place cannot be told.
pub fn list(cache: &Path) -> io::Result<Vec<Listed>> {
    Ok(Store::new(cache)?.list())
}

/// The names that snapshots of this guest have in the cache, whatever runs it.
///
/// # Errors
/// [`GuestError`] when something is missing that the guest is made of.
pub fn names(spec: &BootSpec<'_>) -> Result<Vec<String>, GuestError> {
    let boot = Boot::new(spec)?;
    let name = |accelerator| {
        let key = Key::of(&boot, accelerator).ok()?;
        Some(format!("{}-{}", spec.image.name, key.digest()))
    };
    Ok([Accelerator::Tcg, Accelerator::Kvm].into_iter().filter_map(name).collect())
}

/// Removes all snapshots but those of these names, those that guests come of that run now, and those of other folders'
/// images; with `dry`, only tells of them.
///
/// # Errors
/// Those of removing files.
pub(super) fn prune(cache: &Path, images: &Images, keep: &[String], dry: bool) -> io::Result<Vec<Pruned>> {
    Store::new(cache)?.prune(images, keep, dry)
}
