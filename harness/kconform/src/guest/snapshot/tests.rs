//! Keys and directories by themselves, and snapshots of real guests.

#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kconform_plan::{FromAgent, Plan, ToAgent, read_frame, write_frame};
use rstest::{fixture, rstest};
use tempfile::TempDir;

use super::key::Key;
use super::store::{MEMORY, Store, image_of};
use super::trouble::{Dead, Trouble};
use super::{ANSWER, answers, prune};
use crate::guest::Start;
use crate::guest::cache::at;
use crate::guest::image::{Image, Images};
use crate::guest::pruned::Fate;
use crate::guest::qemu::tests::Real;
use crate::guest::qemu::{Accelerator, Boot, BootSpec, Guest, Hears, Late, Patient, Progress};

/// What would be booted, with nothing but itself.
struct Parts {
    image: Image,
    kernel: Vec<u8>,
    qemu: PathBuf,
    contents: String,
    cmdline: Vec<String>,
    accelerator: Accelerator,
    _place: TempDir,
}

#[fixture]
fn parts() -> Parts {
    let image = Images::built_in().unwrap().find("riscv64-6.12").unwrap().clone();
    let place = tempfile::tempdir().unwrap();
    let qemu = place.path().join("qemu");
    fs::write(&qemu, "7.2").unwrap();
    Parts {
        image,
        kernel: b"6.12".to_vec(),
        qemu,
        contents: "agent".into(),
        cmdline: Vec::new(),
        accelerator: Accelerator::Tcg,
        _place: place,
    }
}

impl Parts {
    fn key(&self) -> Key {
        let vmlinuz = self.qemu.with_file_name("vmlinuz");
        fs::write(&vmlinuz, &self.kernel).unwrap();
        let kernel = at(&vmlinuz, None).unwrap();
        let (agent, cache) = (Path::new("agent"), Path::new("cache"));
        let spec = BootSpec {
            image: &self.image,
            kernel: &kernel,
            agent,
            cache,
            cmdline: &self.cmdline,
            hears: Hears::NOBODY,
        };
        let boot = Boot { spec: &spec, qemu: self.qemu.clone(), contents: self.contents.clone() };
        Key::of(&boot, self.accelerator).unwrap()
    }
}

#[rstest]
#[case::kernel(|parts: &mut Parts| parts.kernel.push(0))]
#[case::agent_or_module(|parts: &mut Parts| parts.contents.push('0'))]
#[case::qemu(|parts: &mut Parts| fs::write(&parts.qemu, "10.0").unwrap())]
#[case::machine(|parts: &mut Parts| parts.image.machine.push_str(",aia=aplic"))]
#[case::cpu(|parts: &mut Parts| parts.image.cpu = Some("max".to_owned()))]
#[case::cpus(|parts: &mut Parts| parts.image.cpus += 1)]
#[case::memory(|parts: &mut Parts| parts.image.memory += 1)]
#[case::console(|parts: &mut Parts| parts.image.console.push('1'))]
#[case::kernel_command_line(|parts: &mut Parts| parts.image.cmdline.push("x".to_owned()))]
#[case::command_line(|parts: &mut Parts| parts.cmdline.push("x".to_owned()))]
#[case::qemu_arguments(|parts: &mut Parts| parts.image.qemu_args.push("-x".to_owned()))]
#[case::accelerator(|parts: &mut Parts| parts.accelerator = Accelerator::Kvm)]
fn a_key_changes_with(mut parts: Parts, #[case] change: fn(&mut Parts)) {
    let before = parts.key();
    assert_eq!((&parts.key(), parts.key().digest()), (&before, before.digest()));
    change(&mut parts);
    assert_ne!(parts.key().digest(), before.digest());
}

#[rstest]
fn a_key_does_not_change_with_the_agents_patience(mut parts: Parts) {
    let before = parts.key();
    parts.image.boot_timeout += 1;
    parts.image.about.push('x');
    assert_eq!(parts.key(), before);
}

/// A snapshot as it would be, of nothing.
struct Kept {
    cache: TempDir,
    store: Store,
    key: Key,
}

const IMAGE: &str = "riscv64-6.12";

#[fixture]
fn kept(parts: Parts) -> Kept {
    let cache = tempfile::tempdir().unwrap();
    let kept = Kept { store: Store::new(cache.path()).unwrap(), key: parts.key(), cache };
    kept.put(&kept.key);
    kept
}

impl Kept {
    fn put(&self, key: &Key) {
        let _lock = self.store.lock(IMAGE).unwrap();
        let made = self.store.making(IMAGE, 0).unwrap();
        let memory = File::create(made.path().join(MEMORY)).unwrap();
        memory.set_len(1 << 20).unwrap();
        memory.write_all_at(b"memory", 600_000).unwrap();
        self.store.put(made, (IMAGE, None, key), b"state", b"greeting").unwrap();
    }

    fn directory(&self) -> PathBuf {
        self.store.directory(IMAGE, &self.key)
    }

    /// What is wrong with it.
    fn wrong(&self) -> Option<String> {
        match self.store.open(IMAGE, &self.key) {
            Ok(snapshot) => snapshot.unwrap().check_memory().err(),
            Err(why) => Some(why),
        }
    }
}

#[rstest]
fn a_snapshot_is_as_it_was_saved(kept: Kept) {
    let snapshot = kept.store.open(IMAGE, &kept.key).unwrap().unwrap();
    assert_eq!((snapshot.state.as_slice(), snapshot.greeting.as_slice()), (&b"state"[..], &b"greeting"[..]));
    assert_eq!(kept.wrong(), None);
}

fn write(directory: &Path, name: &str, bytes: &[u8], at: u64) {
    let file = File::options().write(true).open(directory.join(name)).unwrap();
    file.write_all_at(bytes, at).unwrap();
}

fn cut(directory: &Path, name: &str) {
    let file = File::options().write(true).open(directory.join(name)).unwrap();
    file.set_len(file.metadata().unwrap().len() - 1).unwrap();
}

#[rstest]
#[case::a_bit_of_memory(|at: &Path| write(at, "memory", b"M", 600_000), "memory is not what was saved")]
#[case::zeros(|at: &Path| write(at, "memory", b"x", 5), "memory is not what was saved")]
#[case::cut_memory(|at: &Path| cut(at, "memory"), "memory is not what was saved")]
#[case::no_memory(|at: &Path| fs::remove_file(at.join("memory")).unwrap(), "memory: No such file")]
#[case::a_bit_of_state(|at: &Path| write(at, "state", b"S", 0), "state is not what was saved")]
#[case::cut_state(|at: &Path| cut(at, "state"), "state is not what was saved")]
#[case::no_state(|at: &Path| fs::remove_file(at.join("state")).unwrap(), "state: No such file")]
#[case::greeting(|at: &Path| write(at, "greeting", b"G", 0), "greeting is not what was saved")]
#[case::cut_manifest(|at: &Path| cut(at, "manifest.json"), "manifest.json: EOF")]
#[case::no_manifest(|at: &Path| fs::remove_file(at.join("manifest.json")).unwrap(), "manifest.json: No such")]
fn damage_is_noticed(kept: Kept, #[case] damage: fn(&Path), #[case] expected: &str) {
    damage(&kept.directory());
    let wrong = kept.wrong().unwrap();
    assert!(wrong.starts_with(expected), "{wrong}");
}

#[rstest]
fn a_snapshot_of_another_guest_is_noticed(kept: Kept, #[from(parts)] mut other: Parts) {
    other.kernel.push(0);
    let other = other.key();
    fs::rename(kept.directory(), kept.store.directory(IMAGE, &other)).unwrap();
    assert_eq!(kept.store.open(IMAGE, &other).unwrap_err(), "it is one of another guest");
}

#[rstest]
fn a_snapshot_too_large_for_the_disk_is_not_begun(kept: Kept) {
    let error = kept.store.making(IMAGE, 1 << 60).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    let half = kept.store.making(IMAGE, 0).unwrap().keep();
    kept.store.making(IMAGE, 0).unwrap();
    assert!(!half.exists(), "what a killed maker leaves goes");
}

#[rstest]
fn the_snapshots_used_last_are_kept(kept: Kept, mut parts: Parts) {
    for nth in 1..=3_u64 {
        parts.kernel.push(0);
        kept.put(&parts.key());
        let manifest = File::open(kept.store.directory(IMAGE, &parts.key()).join("manifest.json")).unwrap();
        manifest.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(nth)).unwrap();
        assert!(kept.directory().exists());
    }
    parts.kernel = b"6.12\0".to_vec();
    assert!(!kept.store.directory(IMAGE, &parts.key()).exists());
}

#[rstest]
fn a_snapshot_in_use_is_not_pruned(kept: Kept) {
    let fates = |keep: &[String], dry| -> Vec<Fate> {
        let images = Images::built_in().unwrap();
        let pruned = prune(kept.cache.path(), &images, keep, dry).unwrap();
        pruned.into_iter().map(|pruned| pruned.fate).collect()
    };
    let used = kept.store.open(IMAGE, &kept.key).unwrap().unwrap();
    for dry in [true, false] {
        assert_eq!(fates(&[], dry), [Fate::Used]);
    }
    drop(used);
    let name = kept.directory().file_name().unwrap().to_string_lossy().into_owned();
    assert_eq!(fates(&[name], false), []);
    assert_eq!(fates(&[], true), [Fate::Removed]);
    assert!(kept.directory().exists());
    assert_eq!(fates(&[], false), [Fate::Removed]);
    assert!(!kept.directory().exists() && kept.store.list().is_empty());
}

#[test]
fn names_tell_their_image() {
    assert_eq!(image_of("x86_64-6.12-0a1b"), Some("x86_64-6.12"));
    assert_eq!(image_of(".x86_64-6.12.making-0a1b"), None);
    assert_eq!(image_of("x86_64-6.12-sid"), None);
}

fn start(spec: &BootSpec<'_>) -> Guest {
    Guest::start(spec, Start::Warm).unwrap()
}

/// Starts a guest, which must come of a snapshot without trouble.
fn restored(spec: &BootSpec<'_>) -> Guest {
    let guest = start(spec);
    assert!(guest.restored() && guest.remarks().is_empty(), "{:?}", guest.remarks());
    guest
}

/// What makes the kernel of a guest panic.
fn panic_plan(guest: &Guest, spec: &BootSpec<'_>) -> Plan {
    let steps = "{openat: [AT_FDCWD, {str: /proc/sysrq-trigger}, O_WRONLY], save: fd}, \
                 {write: [$fd, {hex: '63'}, 1]}";
    let text = format!("cases: [{{name: panic, steps: [{steps}]}}]");
    let file = Arc::new(crate::place::File { path: "panic.yaml".into(), text });
    let loaded = crate::load::load(&[crate::load::SuiteFile { suite: "panic".into(), file }]);
    let FromAgent::Ready { facts, .. } = read_frame(&mut guest.greeting()).unwrap() else { panic!() };
    let kernel = crate::kernel::Kernel::new(spec.image.arch, &facts, None, false);
    crate::lower::lower(&loaded.cases[0], &kernel, 1.0).map_err(|unmet| unmet.reason).unwrap().plan
}

/// Whether there can be snapshots of guests here, and not only boots.
fn is_settled(guest: &Guest) -> bool {
    if !guest.restored() {
        crate::not_tested::not_tested("KVM has yet to be proven here");
    }
    guest.restored()
}

#[rstest]
#[case("x86_64-6.12")]
#[case("riscv64-6.12")]
// Its kernel does not set a timer anew that QEMU has lost.
#[case("riscv64-sid")]
fn guests_of_one_snapshot_are_strangers(#[case] name: &str) {
    let cache = tempfile::tempdir().unwrap();
    Real::here().with(name, cache.path(), |spec| {
        let first = start(spec);
        if !is_settled(&first) {
            return;
        }
        let (second, third) = (restored(spec), restored(spec));
        assert_eq!(first.greeting(), second.greeting());
        let plan = Box::new(panic_plan(&first, spec));
        write_frame(&mut first.stream().unwrap(), &ToAgent::Run { id: 1, plan }).unwrap();
        assert!(first.console().wait_for_end(Duration::from_secs(60)) && first.console().panicked());
        second.kill();
        assert!(lives(&third));
        // The memory that they came of has not changed under them.
        assert!(lives(&restored(spec)));
        assert!(!Guest::start(spec, Start::Cold).unwrap().restored());
    });
}

#[test]
fn what_does_not_go_on_is_made_again() {
    let cache = tempfile::tempdir().unwrap();
    Real::here().with(IMAGE, cache.path(), |spec| {
        drop(restored(spec));
        let store = Store::new(cache.path()).unwrap();
        let directory = cache.path().join("snapshots").join(&store.list()[0].name);
        write(&directory, MEMORY, &[0xff; 1 << 16], 4 << 20);
        let guest = start(spec);
        assert!(guest.restored());
        assert_eq!(guest.remarks(), ["its snapshot was discarded: memory is not what was saved"]);
        drop(guest);
        // Whole by its checksums, but nothing that QEMU can go on with.
        let manifest = fs::read_to_string(directory.join("manifest.json")).unwrap();
        let mut manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
        fs::write(directory.join("state"), "nonsense").unwrap();
        manifest["state"] = crc32fast::hash(b"nonsense").into();
        fs::write(directory.join("manifest.json"), manifest.to_string()).unwrap();
        let guest = start(spec);
        assert!(guest.restored());
        assert!(guest.remarks()[0].starts_with("its snapshot was discarded: "), "{:?}", guest.remarks());
        drop(guest);
        restored(spec);
    });
}

/// A QEMU whose restored guests stay where they are (`-S`), as often as it is told.
fn resting(real: &Path, place: &Path, times: usize) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let (qemu, left) = (place.join("qemu"), place.join("left"));
    fs::write(&left, "x".repeat(times)).unwrap();
    let (real, left) = (real.display(), left.display());
    let script = format!(
        "#!/bin/sh\nleft=$(cat {left})\ncase \"$*\" in *-incoming*) [ -z \"$left\" ] || \
         {{ printf %s \"${{left#x}}\" > {left}; exec {real} \"$@\" -S; }};; esac\nexec {real} \"$@\"\n"
    );
    fs::write(&qemu, script).unwrap();
    fs::set_permissions(&qemu, fs::Permissions::from_mode(0o755)).unwrap();
    qemu
}

/// One guest that does not answer proves nothing, two do.
#[rstest]
#[case::once(1, true, &[
    "a guest of its snapshot was of no use, another one was: its agent does not answer: it was silent for 2.",
])]
#[case::always(9, false, &[
    "its snapshot was discarded: its agent does not answer: it was silent for 2.",
    "the snapshot that was just made cannot be used",
])]
fn guests_that_do_not_answer(#[case] times: usize, #[case] restored: bool, #[case] remarks: &[&str]) {
    let cache = tempfile::tempdir().unwrap();
    Real::here().with(IMAGE, cache.path(), |spec| {
        let mut boot = Boot::new(spec).unwrap();
        boot.qemu = resting(&boot.qemu, cache.path(), times);
        let guest = super::start(&boot).unwrap();
        assert_eq!(guest.restored(), restored);
        let told = guest.remarks();
        assert_eq!(told.len(), remarks.len(), "{told:?}");
        assert!(told.iter().zip(remarks).all(|(told, remark)| told.starts_with(remark)), "{told:?}");
        assert!(lives(&guest));
        assert_eq!(Store::new(cache.path()).unwrap().list().len(), usize::from(restored));
    });
}

fn lives(guest: &Guest) -> bool {
    let stream = guest.stream().unwrap();
    answers(&stream, guest.patient(&stream, ANSWER).unwrap()).is_ok()
}

#[test]
fn why_there_is_no_guest_of_a_snapshot() {
    let refused = || io::Error::from_raw_os_error(13);
    let discarded = |dead: Dead| Trouble::Discarded(dead.to_string());
    let restored = |says: FromAgent| {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        write_frame(&mut theirs, &says).unwrap();
        let patient = Patient::watching(&ours, Box::new(Progress::default), Duration::from_secs(60)).unwrap();
        answers(&ours, patient).unwrap_err()
    };
    let troubles = [
        Trouble::NotKept(refused()),
        io::Error::from(io::ErrorKind::StorageFull).into(),
        refused().into(),
        Trouble::NoGuest("exit status: 1".into()),
        Trouble::Useless,
        Trouble::GivenUp,
        discarded(Dead::Unchecked),
        discarded(restored(FromAgent::Failed { text: "signalfd: errno 24".into() })),
        discarded(restored(FromAgent::Btf { answers: Vec::new() })),
        discarded(Dead::Mute(io::Error::from(Late::Silent(ANSWER)).into())),
        Trouble::Again(Dead::Mute(io::Error::from(Late::Silent(ANSWER)).into()).to_string()),
        Trouble::HeldUp(Late::HeldUp(Duration::from_secs(60)).to_string()),
        Trouble::NotRemoved(refused()),
    ];
    insta::assert_snapshot!(troubles.map(|trouble| trouble.to_string()).join("\n"));
}

#[test]
fn two_at_once_make_one_snapshot() {
    let cache = tempfile::tempdir().unwrap();
    Real::here().with(IMAGE, cache.path(), |spec| {
        let BootSpec { image, kernel, agent, cache, cmdline, .. } = *spec;
        // Who hears of it belongs to one thread.
        let restored = || restored(&BootSpec { image, kernel, agent, cache, cmdline, hears: Hears::NOBODY });
        std::thread::scope(|scope| {
            let guests = [scope.spawn(restored), scope.spawn(restored)];
            for guest in guests {
                assert!(lives(&guest.join().unwrap()));
            }
        });
        assert_eq!(Store::new(cache).unwrap().list().len(), 1);
    });
}

#[test]
fn without_room_for_snapshots_a_guest_is_booted() {
    let cache = tempfile::tempdir().unwrap();
    // A file where the directory would be.
    fs::write(cache.path().join("snapshots"), "").unwrap();
    Real::here().with(IMAGE, cache.path(), |spec| {
        let guest = start(spec);
        assert!(!guest.restored());
        assert!(guest.remarks()[0].starts_with("no snapshot could be made: "), "{:?}", guest.remarks());
    });
}
