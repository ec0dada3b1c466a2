//! The command line and the console by themselves, and real boots.

#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use kconform_plan::{FromAgent, Plan, ToAgent, read_frame, write_frame};
use rstest::rstest;

use super::accel::Accelerator;
use super::args::{Boot, Memory, arguments};
use super::console::Console;
use super::{BootSpec, Guest, GuestError};
use crate::guest::cache::{CachedKernel, cache_dir, cached};
use crate::guest::image::Images;

#[rstest]
#[case("x86_64-6.12", Accelerator::Tcg)]
#[case("x86_64-6.12", Accelerator::Kvm)]
#[case("riscv64-6.12", Accelerator::Tcg)]
fn a_command_line(#[case] name: &str, #[case] accelerator: Accelerator) {
    let images = Images::built_in().unwrap();
    let boot = Boot {
        kernel: Path::new("/k/vmlinuz"),
        initramfs: Path::new("/t/initramfs"),
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
        let boot = Boot { kernel, initramfs: kernel, accelerator: Accelerator::Tcg, cmdline: &[], memory };
        arguments(image, &boot)
    };
    let plain = of(Memory::Private);
    let more: Vec<_> = of(memory).into_iter().filter(|word| !plain.contains(word)).collect();
    let object = format!("memory-backend-file,id=memory,size=256M,mem-path=/c,,d/memory,{share}");
    assert_eq!(more[..3], ["-object", &object, "virt,memory-backend=memory"]);
    assert_eq!(more[3..], *rest);
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
    assert_eq!((console.position(), console.lines_from(1).len(), console.lines_from(9).len()), (3, 2, 0));
    assert!(console.wait_for_end(Duration::ZERO) && !console.panicked());
}

#[test]
fn a_panic_that_was_told_in_full_ends_the_guest() {
    let console = Console::new();
    let killed = std::cell::Cell::new(0);
    let text = "Kernel panic - not syncing: x\n trace\n---[ end Kernel panic - not syncing: x ]---\nlast";
    console.read_all(printed(text), || killed.set(killed.get() + 1));
    assert!(console.panicked() && killed.get() > 0);
    assert_eq!(console.position(), 4);
}

#[test]
fn a_guest_without_its_kernel_says_how_to_get_it() {
    let error = GuestError::NotFetched { image: "riscv64-6.12".to_owned() };
    insta::assert_snapshot!(error, @"the kernel of riscv64-6.12 is not here: kconform image fetch riscv64-6.12");
}

type Way = fn(&BootSpec<'_>) -> Result<Guest, GuestError>;

/// What a real boot needs, or why there can be none here.
struct Real {
    images: Images,
    cache: PathBuf,
    agents: PathBuf,
}

impl Real {
    fn here() -> Real {
        let agents = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/agents");
        let agents = std::env::var_os("KCONFORM_AGENTS").map_or(agents, PathBuf::from);
        Real { images: Images::built_in().unwrap(), cache: cache_dir().unwrap(), agents }
    }

    /// Has a guest of an image; `None`, and a line that says why, where something is missing.
    fn guest(&self, name: &str, way: Way) -> Option<Guest> {
        let image = self.images.find(name).unwrap();
        let agent = self.agents.join(image.arch.name()).join("kconform-agent");
        let Some(kernel): Option<CachedKernel> = cached(image, &self.cache).unwrap() else {
            println!("skipped: {}", GuestError::NotFetched { image: name.to_owned() });
            return None;
        };
        if !agent.exists() {
            println!("skipped: no agent at {}: ci/agents builds it", agent.display());
            return None;
        }
        let spec = BootSpec { image, kernel: &kernel, agent: &agent, cache: &self.cache, cmdline: &[] };
        match way(&spec) {
            Err(error @ GuestError::NoQemu { .. }) => {
                println!("skipped: {error}");
                None
            }
            booted => Some(booted.unwrap()),
        }
    }
}

#[rstest]
#[case("x86_64-6.1")]
#[case("x86_64-6.12")]
#[case("x86_64-sid")]
#[case("riscv64-6.12")]
#[case("riscv64-sid")]
fn a_guest_comes_up_and_its_agent_speaks(#[case] name: &str, #[values(Guest::boot, Guest::start)] way: Way) {
    let real = Real::here();
    let Some(guest) = real.guest(name, way) else { return };
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

#[rstest]
#[case("x86_64-6.12")]
#[case("riscv64-6.12")]
fn guests_of_one_snapshot_are_strangers(#[case] name: &str) {
    let real = Real::here();
    let (Some(first), Some(second)) = (real.guest(name, Guest::start), real.guest(name, Guest::start)) else {
        return;
    };
    if first.accelerator().accelerator == Accelerator::Kvm {
        println!("skipped: no snapshots under KVM");
        return;
    }
    assert!(second.restored(), "{:?}", second.no_snapshot());
    assert_eq!(first.greeting(), second.greeting());
    let answers = |guest: &Guest, id| {
        let plan = Box::new(Plan { slots: 0, timeout_ms: 5000, steps: Vec::new() });
        let mut stream = guest.stream().unwrap();
        write_frame(&mut stream, &ToAgent::Run { id, plan }).unwrap();
        loop {
            match read_frame(&mut stream).unwrap() {
                FromAgent::Started { .. } => {}
                FromAgent::Ran { id: answered, .. } => return answered == id,
                other => panic!("{other:?}"),
            }
        }
    };
    assert!(answers(&first, 1) && answers(&second, 2));
    first.kill();
    assert!(first.console().wait_for_end(Duration::from_secs(60)));
    assert!(answers(&second, 3));
}
