//! What is said of guests: how they came up and ended, and what is missing for them.

#![allow(clippy::unwrap_used)]

use std::io;
use std::os::unix::process::ExitStatusExt;

use super::agent_file::contains;
use super::*;
use crate::checkout::checkout_of;
use crate::guest::Images;
use crate::guest::cache::at;
use crate::guest::qemu::{BootEnd, not_installed};

#[test]
fn how_a_guest_came_up() {
    let (kvm, tcg) = (Accel::proven(), Accel::of_another_arch(Arch::Riscv64));
    let trouble = ["its snapshot was discarded: memory is not what was saved".to_owned()];
    let plain =
        |accel| Way { accel, failed_boots: 0, restored: false, port: AgentPort::Virtio, remarks: &[] };
    let ways = [
        plain(&kvm),
        Way { restored: true, ..plain(&tcg) },
        Way { failed_boots: 1, port: AgentPort::Serial, remarks: &trouble, ..plain(&kvm) },
    ];
    let told = ways.iter().map(remark).collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!(told.replace(&format!("on {}", std::env::consts::ARCH), "on [this]"));
}

#[test]
fn how_a_guest_ended() {
    let (killed, well) = (Some(ExitStatus::from_raw(9)), Some(ExitStatus::from_raw(0)));
    let told = [
        end_of(Some("no virtio-serial port"), true, well, None, false),
        end_of(None, true, killed, Some("out of memory"), false),
        end_of(None, true, killed, None, false),
        end_of(None, true, None, None, false),
        end_of(None, false, None, None, true),
        end_of(None, false, None, None, false),
    ];
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn what_is_missing_for_a_guest() {
    let refused = || io::Error::from_raw_os_error(13);
    let place = Path::new("target/agents/riscv64/kconform-agent");
    let image = "riscv64-6.12".to_owned();
    let mut told: Vec<_> = Arch::ALL.iter().map(|&arch| unusable(&not_installed(arch))).collect();
    told.extend([
        unusable(&GuestError::NotFetched { image: image.clone() }),
        unusable(&GuestError::DiskFull { directory: "/tmp".into() }),
        unusable(&GuestError::NoPlace { directory: "/no/such".into(), reason: "Not a directory".into() }),
        unusable(&GuestError::NoPlace {
            directory: "/tmp".into(),
            reason: io::Error::from_raw_os_error(27).to_string(),
        }),
        unusable(&GuestError::Hangs {
            program: "/usr/bin/qemu-system-riscv64".into(),
            waited: Duration::from_secs(20),
            said: String::new(),
        }),
        unusable(&GuestError::NeverUp {
            image: image.clone(),
            attempts: vec![
                BootFailure {
                    end: BootEnd::Ended { status: "exit status: 0".into() },
                    console: Vec::new()
                };
                3
            ],
        }),
        unusable(&GuestError::NeverUp {
            image: image.clone(),
            attempts: vec![BootFailure {
                end: BootEnd::Ended { status: "exit status: 1".into() },
                console: vec![
                    "qemu-system-riscv64: cannot set up guest memory 'ram': Cannot allocate memory".into(),
                ],
            }],
        }),
        unusable(&GuestError::Refused { image, text: "unsupported machine type".into() }),
        unusable(&GuestError::Cache(CacheError::Read {
            path: "/etc/passwd/kernels/riscv64-6.12/manifest.json".into(),
            source: io::ErrorKind::NotADirectory.into(),
        })),
        no_agent("riscv64", place),
        stale(place, "riscv64"),
        not_unpacked(&refused()),
        no_stream(&io::Error::from_raw_os_error(24)),
    ]);
    let told: Vec<_> = told.iter().map(ToString::to_string).collect();
    let checkout = format!("{}/ci/agents", checkout().display());
    insta::assert_snapshot!(told.join("\n").replace(&checkout, "[checkout]/ci/agents"));
}

#[test]
fn the_command_that_builds_an_agent_fits_the_place() {
    let checkout = tempfile::tempdir().unwrap();
    let told = |here: Option<&Path>| {
        let command = build_agents_in(checkout.path(), here, "riscv64");
        command.replace(&*checkout.path().to_string_lossy(), "[checkout]")
    };
    let nowhere = told(None);
    std::fs::create_dir(checkout.path().join("ci")).unwrap();
    std::fs::write(checkout.path().join("ci/agents"), "").unwrap();
    let all = [nowhere, told(None), told(Some(Path::new("/"))), told(Some(checkout.path()))];
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn a_kernel_without_virtio_is_known_by_what_the_agent_says() {
    let images = Images::built_in().unwrap();
    let kernel = tempfile::NamedTempFile::new().unwrap();
    let kernel = at(kernel.path(), None).unwrap();
    let lacks = |image: &str, console: &[&str]| {
        let image = images.find(image).unwrap();
        let agent = Path::new("agent");
        let spec =
            BootSpec { image, kernel: &kernel, agent, cache: agent, cmdline: &[], hears: Hears::NOBODY };
        let console = console.iter().map(|line| (*line).to_owned()).collect();
        lacks_virtio(&spec, &[BootFailure { end: BootEnd::PoweredOff, console }])
    };
    let says =
        "kconform-agent: no virtio-serial port: the kernel has no virtio_console (CONFIG_VIRTIO_CONSOLE)";
    assert!(lacks("x86_64", &["reboot: Power down", says]));
    assert!(!lacks("x86_64", &["kconform-agent: signalfd: errno 24"]));
    // Its machine has no second serial port.
    assert!(!lacks("s390x", &[says]));
}

#[test]
fn a_fingerprint_is_found_wherever_it_is() {
    let agent = |before: usize| [vec![b'f'; before], b"fingerprint".to_vec(), vec![0; 10]].concat();
    let is_in = |bytes: &[u8]| contains(&mut &bytes[..], b"fingerprint").unwrap();
    let places = [0, 1, (64 << 10) - 1, 64 << 10, (64 << 10) + 9, (64 << 10) + 10, (64 << 10) + 11, 200_000];
    assert!(places.iter().all(|&before| is_in(&agent(before))));
    assert!(!is_in(b"fingerprin"));
    assert!(!is_in(b""));
}

#[test]
fn a_config_of_another_kernel_is_not_believed() {
    let text = |word: &str| Some(format!("# Linux/x86 6.12.0 Kernel Configuration\nCONFIG_{word}=y\n"));
    let told = |beside, own, release| {
        let (config, doubt) = believed(beside, own, release);
        let config = config.unwrap_or_default();
        format!("{}: {}", config.lines().last().unwrap_or("none"), doubt.unwrap_or_default())
    };
    let all = [
        told(None, None, "6.12.1"),
        told(None, text("OWN"), "6.12.1"),
        told(text("BESIDE"), None, "6.12.1"),
        told(text("BESIDE"), None, "6.1.0"),
        told(text("OWN"), text("OWN"), "6.12.1"),
        told(text("BESIDE"), text("OWN"), "6.12.1"),
    ];
    let own = "CONFIG_OWN=y: ";
    assert_eq!(
        all,
        [
            "none: ",
            own,
            "CONFIG_BESIDE=y: ",
            "none: is the config of 6.12.0, and not of 6.1.0: it is not used",
            own,
            "CONFIG_OWN=y: is not its config, which it tells itself and which counts",
        ]
    );
}

/// What QEMU's TCG does to a guest is told from a double fault that a kernel brings on itself.
#[test]
fn a_guest_that_dies_as_they_do_under_tcg_is_known() {
    let known =
        |lines: &[&str]| is_known_of_tcg(&lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>());
    assert!(known(&[
        "Oops: double fault: 0000 [#1] PREEMPT SMP NOPTI",
        "RIP: 0010:__kmalloc_noprof+0x1c5/0x4d0"
    ]));
    assert!(known(&["PANIC: double fault, error_code: 0x0", "RIP: 0010:kmem_cache_alloc_noprof+0x10/0x20"]));
    assert!(!known(&[
        "Oops: double fault: 0000 [#1] PREEMPT SMP NOPTI",
        "RIP: 0010:array_map_alloc+0x1/0x2"
    ]));
    assert!(!known(&["RIP: 0010:__kmalloc_noprof+0x1c5/0x4d0", "PANIC: double fault, error_code: 0x0"]));
    assert!(!known(&["Kernel panic - not syncing: sysrq triggered crash"]));
}

#[test]
fn a_copied_checkout_is_found_from_what_lies_in_it() {
    let copy = tempfile::tempdir().unwrap();
    let program = copy.path().join("target/debug/kconform");
    for path in ["ci/agents", "harness/kconform/Cargo.toml", "target/debug/kconform"] {
        let path = copy.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "").unwrap();
    }
    assert_eq!(checkout_of(&program).as_deref(), Some(copy.path()));
    std::fs::remove_file(copy.path().join("ci/agents")).unwrap();
    assert_eq!(checkout_of(&program), None);
}

#[test]
fn a_file_that_is_no_agent_is_told_with_its_path() {
    let told =
        wrong_agent(Path::new("agents/riscv64/kconform-agent"), "riscv64", &agent_file::NoAgent::Script);
    assert_eq!(told.what, "agents/riscv64/kconform-agent is not the agent for riscv64: it is a script");
    assert!(told.not_set_up && told.mend.is_some_and(|mend| mend.contains("ci/agents riscv64")));
}
