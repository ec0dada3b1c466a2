//! The command line and the console by themselves, and real boots.

#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use kconform_plan::{FromAgent, ToAgent, read_frame, write_frame};
use rstest::rstest;

use crate::guest::cache::{CachedKernel, at, cache_dir, cached};
use crate::guest::image::Images;

use super::accel::{self, Accelerator};
use super::args::{Boot, Memory, arguments, describing, is_described};
use super::console::Console;
use super::{BootSpec, Guest, GuestError, Hears, launch};

#[rstest]
#[case("x86_64-6.12", Accelerator::Tcg)]
#[case("x86_64-6.12", Accelerator::Kvm)]
#[case("riscv64-6.12", Accelerator::Tcg)]
#[case("aarch64-6.12", Accelerator::Tcg)]
#[case("s390x-6.12", Accelerator::Tcg)]
fn a_command_line(#[case] name: &str, #[case] accelerator: Accelerator) {
    let images = Images::built_in().unwrap();
    let boot = Boot {
        kernel: Path::new("/k/vmlinuz"),
        initramfs: Path::new("/t/initramfs"),
        device_tree: Path::new("/t/device-tree"),
        accelerator,
        cmdline: &["bpf_jit=off".to_owned()],
        memory: Memory::Private,
    };
    let words = arguments(images.find(name).unwrap(), &boot);
    insta::assert_snapshot!(format!("{name}-{}", accelerator.name()), words.join("\n"));
}

#[rstest]
#[case(Memory::Kept(Path::new("/c,d/memory")), "share=on", &[])]
#[case(Memory::Copied(Path::new("/c,d/memory")), "share=off", &["-incoming", "defer"])]
fn a_command_line_of_a_snapshot(#[case] memory: Memory<'_>, #[case] share: &str, #[case] rest: &[&str]) {
    let images = Images::built_in().unwrap();
    let image = images.find("riscv64-6.12").unwrap();
    let kernel = Path::new("/k/vmlinuz");
    let of = |memory| {
        let accelerator = Accelerator::Tcg;
        let (initramfs, device_tree) = (kernel, kernel);
        arguments(image, &Boot { kernel, initramfs, device_tree, accelerator, cmdline: &[], memory })
    };
    let plain = of(Memory::Private);
    let more: Vec<_> = of(memory).into_iter().filter(|word| !plain.contains(word)).collect();
    let object = format!("memory-backend-file,id=memory,size=256M,mem-path=/c,,d/memory,{share}");
    assert_eq!(more[..3], ["-object", &object, "virt,memory-backend=memory"]);
    assert_eq!(more[3..], *rest);
    let loads =
        of(memory).iter().any(|word| ["-kernel", "-initrd", "-append", "-dtb"].contains(&word.as_str()));
    assert_eq!(loads, matches!(memory, Memory::Kept(_)));
}

#[test]
fn a_device_tree_tells_of_all_cpus() {
    let images = Images::built_in().unwrap();
    let image = images.find("riscv64-6.12").unwrap();
    let words = describing(image, Accelerator::Tcg, Path::new("/t/device,tree"));
    insta::assert_snapshot!(words.join(" "), @"-nodefaults -no-user-config -display none -machine virt,dumpdtb=/t/device,,tree -smp 2 -m 256M");
    assert!(is_described(image, Accelerator::Tcg) && !is_described(image, Accelerator::Kvm));
    assert!(!is_described(images.find("x86_64-6.12").unwrap(), Accelerator::Tcg));
}

/// A pipe that a guest would print into, with this in it and its other end closed.
fn printed(text: &str) -> std::io::PipeReader {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(text.as_bytes()).unwrap();
    reader
}

#[test]
fn a_console_keeps_lines_and_their_order() {
    let console = Console::new();
    console.read_all(printed("one\r\n\r\ntwo\nhal"), || panic!("nobody panicked"));
    assert_eq!(console.last(2), ["two", "hal"]);
    assert_eq!(
        (console.lines_from(0).len(), console.lines_from(1).len(), console.lines_from(9).len()),
        (3, 2, 0)
    );
    assert!(console.wait_for_end(Duration::ZERO) && !console.panicked());
}

#[test]
fn a_panic_that_was_told_in_full_ends_the_guest() {
    let console = Console::new();
    let killed = std::cell::Cell::new(0);
    let text = "Kernel panic - not syncing: x\n trace\n---[ end Kernel panic - not syncing: x ]---\nlast";
    console.read_all(printed(text), || killed.set(killed.get() + 1));
    assert!(console.panicked() && killed.get() > 0);
    assert_eq!(console.lines_from(0).len(), 4);
}

/// A program instead of QEMU, in a folder.
fn program(place: &Path, script: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = place.join("qemu-system-riscv64");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path
}

#[test]
fn qemu_says_its_version() {
    let place = tempfile::tempdir().unwrap();
    let says = |text: &str| accel::version(&program(place.path(), &format!("echo '{text}'"))).unwrap();
    assert_eq!(says("QEMU emulator version 7.2.22 (Debian 1:7.2)"), "7.2.22 (Debian 1:7.2)");
    assert_eq!(says("my own QEMU"), "my own QEMU");
    let hangs = accel::version(&program(place.path(), "exec sleep 300")).unwrap_err().to_string();
    assert_eq!(hangs, "it hangs: `--version` has no answer in 10 s");
}

#[rstest]
#[case("KVM internal error. Suberror: 1", true)]
#[case("emulation failure", true)]
#[case("error: kvm run failed Bad address", true)]
#[case("qemu-system-x86_64: error: failed to set MSR 0x10a to 0x0", true)]
#[case("qemu-system-x86_64: ../target/i386/kvm/kvm.c:1: kvm_buf_set_msrs: Assertion failed", true)]
#[case("qemu-system-x86_64: warning: host doesn't support requested feature", false)]
fn a_failure_of_kvm_is_known_by_what_qemu_says(#[case] line: &str, #[case] expected: bool) {
    assert_eq!(accel::is_kvm_failure(line), expected);
}

/// One that is asked for a device tree first, and one that is not.
#[rstest]
#[case("riscv64-6.12", "exec sleep 300", "")]
#[case("x86_64-6.12", "echo 'waiting for the lock' >&2; exec sleep 300", ": waiting for the lock")]
fn a_qemu_that_hangs_is_told(#[case] image: &str, #[case] script: &str, #[case] said: &str) {
    let told = without_guest(image, script, "agent");
    let program = "[place]/qemu-system-riscv64";
    let hangs = "hangs at its start: it has not connected to kconform within 20 s";
    assert_eq!(told, format!("{program} {hangs}{said}"));
}

/// What is said of a guest of a QEMU that is this script, and of an agent that holds this in the end.
fn without_guest(name: &str, script: &str, agent_holds: &str) -> String {
    let place = tempfile::tempdir().unwrap();
    let qemu = program(place.path(), script);
    let images = Images::built_in().unwrap();
    let kernel = at(&qemu, None).unwrap();
    let agent = place.path().join("agent");
    std::fs::write(&agent, "agent").unwrap();
    let spec = BootSpec {
        image: images.find(name).unwrap(),
        kernel: &kernel,
        agent: &agent,
        cache: place.path(),
        cmdline: &[],
        hears: Hears::NOBODY,
    };
    let contents = super::boot::contents(&spec).unwrap();
    let boot = super::Boot { spec: &spec, qemu: qemu.clone(), contents };
    std::fs::write(&agent, agent_holds).unwrap();
    let booted = boot.repeatedly(accel::Accel::of_another_arch(spec.image.arch), Memory::Private);
    booted.unwrap_err().to_string().replace(&*place.path().to_string_lossy(), "[place]")
}

#[test]
fn a_qemu_that_does_not_do_its_part_is_told() {
    let told = [
        without_guest("riscv64-6.12", "echo 'qemu: unsupported machine type' >&2; exit 1", "agent"),
        without_guest("x86_64-6.12", "echo 'qemu: -x: invalid option' >&2; exit 1", "agent"),
        without_guest("x86_64-6.12", "exit 1", "agent"),
        without_guest("riscv64-6.12", "exit 0", "agent"),
        without_guest("x86_64-6.12", "exit 1", "another"),
        format!("QEMU ended ({})", launch::how_it_ended(None)),
    ];
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn a_guest_without_its_kernel_says_how_to_get_it() {
    let error = GuestError::NotFetched { image: "riscv64-6.12".to_owned() };
    insta::assert_snapshot!(error, @"the kernel of riscv64-6.12 is not here: kconform image fetch riscv64-6.12");
}

/// What a real boot needs, or why there can be none here.
pub(in crate::guest) struct Real {
    pub images: Images,
    /// Where kernels are.
    cache: PathBuf,
    agents: PathBuf,
}

impl Real {
    pub(in crate::guest) fn here() -> Real {
        let agents = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/agents");
        let agents = std::env::var_os("KCONFORM_AGENTS").map_or(agents, PathBuf::from);
        Real { images: Images::built_in().unwrap(), cache: cache_dir().unwrap(), agents }
    }

    /// Does something with what a guest of an image is made of, and a cache of one's own but for the kernel; says why
    /// not where something is missing, and fails then where guests are required.
    pub(in crate::guest) fn with<T>(
        &self,
        name: &str,
        cache: &Path,
        test: impl FnOnce(&BootSpec<'_>) -> T,
    ) -> Option<T> {
        let image = self.images.find(name).unwrap();
        let agent = self.agents.join(image.arch.name()).join("kconform-agent");
        // The set-up brings what the default images need; others are tested where they are there.
        let usual = crate::guest::image::DEFAULT_IMAGES.iter().any(|alias| image.answers_to(alias));
        let missing = |why: String| {
            assert!(!(usual && crate::targets::choose::guests_required()), "{why}");
            crate::not_tested::not_tested(&why);
            None
        };
        if let Err(error) = super::program_of(image.arch) {
            return missing(error.to_string());
        }
        if !agent.exists() {
            return missing(format!("no agent at {}: ci/agents builds it", agent.display()));
        }
        let Some(kernel): Option<CachedKernel> = cached(image, &self.cache).unwrap() else {
            return missing(GuestError::NotFetched { image: name.to_owned() }.to_string());
        };
        // What is known of KVM need not be found out again.
        let _ = std::fs::copy(self.cache.join("kvm.json"), cache.join("kvm.json"));
        Some(test(&BootSpec {
            image,
            kernel: &kernel,
            agent: &agent,
            cache,
            cmdline: &[],
            hears: Hears::NOBODY,
        }))
    }
}

#[rstest]
#[case("x86_64-5.10")]
#[case("x86_64-6.1")]
#[case("x86_64-6.12")]
#[case("x86_64-sid")]
#[case("riscv64-6.12")]
#[case("riscv64-sid")]
#[case("aarch64-6.12")]
#[case("s390x-6.12")]
fn a_guest_comes_up_and_its_agent_speaks(#[case] name: &str) {
    let real = Real::here();
    let cache = tempfile::tempdir().unwrap();
    let Some(guest) = real.with(name, cache.path(), |spec| Guest::boot(spec).unwrap()) else { return };
    let FromAgent::Ready { facts, .. } = read_frame(&mut guest.greeting()).unwrap() else {
        panic!("the first message is not Ready");
    };
    let image = real.images.find(name).unwrap();
    assert_eq!((facts.machine.as_str(), facts.possible_cpus), (image.arch.name(), image.cpus));
    assert_eq!(facts.online_cpus, 1);
    let mut stream = guest.stream().unwrap();
    write_frame(&mut stream, &ToAgent::Quit).unwrap();
    // An agent that is init powers the guest off, and the stream ends with it.
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(guest.console().wait_for_end(Duration::from_secs(60)) && !guest.console().panicked());
}
