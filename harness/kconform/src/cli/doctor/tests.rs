//! What is said of machines that are made up, line by line.

#![allow(clippy::unwrap_used)]

use std::io;
use std::path::Path;
use std::sync::Arc;

use kconform_abi::Arch;
use kconform_plan::{Facts, Refusal, Refuser};
use rstest::rstest;

use crate::guest::GuestError;
use crate::guest::cache::at;
use crate::guest::image::{Image, Images};
use crate::guest::qemu::{Accel, Accelerator, not_installed};
use crate::guest::snapshot::Listed;
use crate::kernel::Kernel;
use crate::style::Style;
use crate::targets::Unusable;
use crate::targets::guest::{no_agent, stale, unusable};

use super::findings::{self, Finding, Section};

const PLAIN: Style = Style { color: false };

fn images(names: &[&str]) -> Vec<Arc<Image>> {
    let all = Images::built_in().unwrap();
    names.iter().map(|name| Arc::new(all.find(name).unwrap().clone())).collect()
}

/// All that is said of a machine.
fn said(sections: Vec<(&'static str, Vec<Finding>)>, left_out: &[&str]) -> String {
    let sections: Vec<_> =
        sections.into_iter().map(|(title, findings)| Section { title, findings }).collect();
    let mut out = Vec::new();
    findings::print(&mut out, &sections, PLAIN).unwrap();
    let left_out: Vec<_> = left_out.iter().map(|name| (*name).to_owned()).collect();
    findings::print_line(&mut out, &findings::sum(&left_out), PLAIN).unwrap();
    String::from_utf8(out).unwrap()
}

fn facts(capabilities: u64) -> Facts {
    Facts { release: "6.12.5".into(), capabilities, initial_user_namespace: true, ..Facts::default() }
}

fn privileges(facts: &Facts) -> Vec<Finding> {
    findings::privileges(&Kernel::new(Arch::X86_64, facts, None, true), facts)
}

#[test]
fn a_machine_that_has_everything() {
    let images = images(&["x86_64", "riscv64"]);
    let facts = Facts { kernel_log: true, ..facts(u64::MAX) };
    let kernel = tempfile::NamedTempFile::new().unwrap();
    let mut own = at(kernel.path(), None).unwrap();
    own.origin = "/boot/vmlinuz".into();
    let mut packaged = own.clone();
    (packaged.release, packaged.origin) =
        ("6.12.5-amd64".into(), "linux-image-amd64 6.12.5-1 (trixie)".into());
    let listed = |name: &str, size| Listed { name: name.into(), size };
    let snapshots = [
        listed("riscv64-6.12-0a", 1),
        listed("x86_64-6.12-0b", 60 << 20),
        listed("x86_64-6.12-0c", 1),
        listed("gone-0d", 1),
    ];
    insta::assert_snapshot!(said(
        vec![
            ("QEMU", vec![findings::qemu(Arch::X86_64, Ok(("q".into(), Ok("7.2.22 (Debian)".into()))))]),
            ("KVM", vec![findings::kvm(Arch::X86_64, Some(&Accel::proven()), None)]),
            (
                "Agents",
                vec![
                    findings::agent(Arch::X86_64, Ok("cache/agents/x86_64".into()), true),
                    findings::agent(Arch::Riscv64, Ok("lib/agents/riscv64".into()), false),
                ],
            ),
            (
                "Kernels",
                vec![findings::kernel(&images[0], Ok(packaged)), findings::kernel(&images[1], Ok(own))]
            ),
            ("Snapshots", findings::snapshots(&images, &snapshots)),
            ("Privileges", privileges(&facts)),
            (
                "Targets",
                vec![
                    findings::native(Ok("6.12.5")),
                    findings::guest(&images[0], Ok(()), Some(Accelerator::Kvm)),
                    findings::guest(&images[1], Ok(()), Some(Accelerator::Tcg)),
                ],
            ),
        ],
        &[],
    ));
}

#[test]
fn a_machine_that_has_nothing() {
    let images = images(&["x86_64", "riscv64", "aarch64", "s390x"]);
    let arches = images.iter().map(|image| image.arch);
    let refused = || io::Error::from_raw_os_error(13);
    let missing = |image: &Image| unusable(&GuestError::NotFetched { image: image.name.clone() });
    let no_qemu = |arch| unusable(&not_installed(arch));
    let no_kvm = Accel::without_kvm(&refused());
    let opens = findings::opens_kvm(0o20660, 104, "root:x:0:\nkvm:x:104:\n");
    let full = unusable(&GuestError::DiskFull { directory: "/tmp".into() });
    let native = Unusable { what: "the agent did not start".into(), mend: None, not_set_up: false };
    let place = Path::new("lib/kconform/agents/kconform-agent");
    let refusals = [
        (Refuser::Seccomp, 321, Some(1)),
        (Refuser::Seccomp, 165, None),
        (Refuser::SecurityModule, 298, Some(13)),
    ];
    let refusals = refusals.map(|(by, call, errno)| Refusal { call, errno, by }).into();
    let remarks = vec!["what could not be set up".into()];
    let user = Facts { uid: 1000, remarks, refusals, ..facts(0) };
    insta::assert_snapshot!(
        said(
            vec![
                ("QEMU", arches.clone().map(|arch| findings::qemu(arch, Err(no_qemu(arch)))).collect()),
                ("QEMU", vec![findings::qemu(Arch::X86_64, Ok(("qemu".into(), Err(refused()))))]),
                ("KVM", vec![findings::kvm(Arch::X86_64, Some(&no_kvm), Some(&opens))]),
                (
                    "Agents",
                    arches
                        .map(|arch| findings::agent(arch, Err(no_agent(arch.name(), place)), false))
                        .collect()
                ),
                (
                    "Kernels",
                    images.iter().map(|image| findings::kernel(image, Err(missing(image)))).collect()
                ),
                ("Snapshots", Vec::new()),
                ("Privileges", privileges(&user)),
                (
                    "Targets",
                    vec![
                        findings::native(Err(&native)),
                        findings::guest(&images[0], Err(missing(&images[0])), None),
                        findings::guest(&images[1], Err(full), None),
                        findings::guest(&images[2], Err(stale(place, "aarch64")), None),
                    ],
                ),
            ],
            &["native", "x86_64"],
        )
        .replace(&format!("{}/ci/agents", checkout()), "[checkout]/ci/agents")
    );
}

/// The checkout that the tests run in, which commands name.
fn checkout() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().display().to_string()
}

#[test]
fn other_lines() {
    let images = images(&["x86_64"]);
    let few = (1 << 21) | (1 << 12);
    let inside = Facts { initial_user_namespace: false, ..facts(u64::MAX) };
    insta::assert_snapshot!(
        said(
            vec![
                (
                    "KVM",
                    vec![
                        findings::kvm(Arch::X86_64, None, None),
                        findings::kvm(
                            Arch::X86_64,
                            Some(&Accel::without_proof("KVM internal error. Suberror: 1")),
                            None
                        ),
                        findings::kvm(Arch::Riscv64, Some(&Accel::of_another_arch(Arch::Riscv64)), None),
                    ],
                ),
                ("All but some", privileges(&facts(!few))),
                ("Some", privileges(&facts(few))),
                ("In a namespace", privileges(&inside)),
                ("Targets", vec![findings::guest(&images[0], Ok(()), None)]),
            ],
            &["riscv64"],
        )
        .replace(&format!("on {}", std::env::consts::ARCH), "on [this]")
    );
}

/// The group of the device helps only where it may open it, and where somebody but root can be in it.
#[rstest]
#[case::group(0o20660, 104, "sudo usermod -aG kvm $USER, and log in again: the group kvm may open it")]
#[case::of_root(0o20600, 0, "sudo setfacl -m u:$USER:rw /dev/kvm, until the next boot")]
#[case::root_group(0o20660, 0, "sudo setfacl -m u:$USER:rw /dev/kvm, until the next boot")]
#[case::not_for_its_group(0o20600, 104, "sudo setfacl -m u:$USER:rw /dev/kvm, until the next boot")]
#[case::no_such_group(0o20660, 7, "sudo setfacl -m u:$USER:rw /dev/kvm, until the next boot")]
fn what_opens_kvm_is_told(#[case] mode: u32, #[case] group: u32, #[case] mend: &str) {
    assert_eq!(findings::opens_kvm(mode, group, "root:x:0:\nkvm:x:104:me\n"), mend);
}
