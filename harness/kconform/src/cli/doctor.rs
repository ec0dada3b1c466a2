//! `kconform doctor`: what this machine has for running cases, what it lacks, and the command that mends it. Nothing is
//! started but the native agent, and QEMU to say its version.

mod findings;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use kconform_abi::Arch;

use findings::{Finding, Section, State};

use crate::guest::image::Image;
use crate::guest::qemu::accel::{self, Accel};
use crate::guest::{Hears, cache_dir, snapshot};
use crate::style::Style;
use crate::targets::choose::{default_targets, images};
use crate::targets::{Opened, Target, TargetKind, Unusable, guest};

use super::args::TargetsArgs;
use super::error::{CliError, LOST};

pub(super) fn doctor(args: &TargetsArgs, style: Style) -> Result<u8, CliError> {
    let images = images(args.images.as_deref())?;
    let cache = cache_dir().map_err(|error| CliError::Fetch(error.to_string()))?;
    // The agent on this machine's own kernel tells what it may do.
    let native = Target::native().open(Hears::NOBODY);
    let here = |arch: &Arch| images.iter().any(|image| image.arch == *arch);
    let arches: Vec<Arch> = Arch::ALL.iter().copied().filter(here).collect();
    let section = |title, findings| Section { title, findings };
    let sections = [
        section("QEMU", arches.iter().map(|&arch| qemu(arch)).collect()),
        section("KVM", kvm(&images, &cache).into_iter().collect()),
        section("Agents", arches.iter().map(|&arch| agent(arch)).collect()),
        section(
            "Kernels",
            images.iter().map(|image| findings::kernel(image, guest::kernel(image))).collect(),
        ),
        section("Snapshots", findings::snapshots(&images, &snapshot::list(&cache).unwrap_or_default())),
        section("Privileges", native.as_ref().map(privileges).unwrap_or_default()),
        section("Targets", targets(&images, &native, &cache)),
    ];
    let mut out = std::io::stdout().lock();
    findings::print(&mut out, &sections, style)?;
    let unusable: Vec<_> = default_targets()
        .filter_map(|name| Target::named(name, &images))
        .filter(|target| match target.kind {
            TargetKind::Native => native.as_ref().map_or(true, |opened| opened.kernel.refuses_bpf()),
            TargetKind::Guest(_) | TargetKind::Ssh(_) | TargetKind::Command(_) => target.ready().is_err(),
        })
        .map(|target| target.name)
        .collect();
    let sum = findings::sum(&unusable);
    findings::print_line(&mut out, &sum, style)?;
    Ok(if sum.state == State::Missing { LOST } else { 0 })
}

fn qemu(arch: Arch) -> Finding {
    let found = guest::qemu(arch).map(|program| {
        let version = accel::version(&program);
        (program, version)
    });
    findings::qemu(arch, found)
}

/// KVM runs guests of this machine's own architecture only.
fn kvm(images: &[Arc<Image>], cache: &Path) -> Option<Finding> {
    let image = images.iter().find(|image| image.arch.name() == std::env::consts::ARCH)?;
    guest::qemu(image.arch).ok()?;
    Some(findings::kvm(image.arch, expected(image, cache).as_ref(), closed_to_us().as_deref()))
}

/// What opens /dev/kvm to this user, where only that is missing.
fn closed_to_us() -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let device = Path::new("/dev/kvm");
    let opened = std::fs::OpenOptions::new().read(true).write(true).open(device);
    if opened.err()?.kind() != std::io::ErrorKind::PermissionDenied {
        return None;
    }
    let device = device.metadata().ok()?;
    let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
    Some(findings::opens_kvm(device.mode(), device.gid(), &groups))
}

/// What a guest of an image will run under; `None` where the next one will show whether KVM works.
fn expected(image: &Image, cache: &Path) -> Option<Accel> {
    accel::expected(image, &guest::qemu(image.arch).ok()?, cache)
}

fn agent(arch: Arch) -> Finding {
    findings::agent(arch, guest::agent_for(arch), guest::is_carried(arch))
}

fn privileges(native: &Opened) -> Vec<Finding> {
    findings::privileges(&native.kernel, native.session.facts())
}

fn targets(images: &[Arc<Image>], native: &Result<Opened, Unusable>, cache: &Path) -> Vec<Finding> {
    let native = native.as_ref().map(|opened| opened.kernel.release.as_str());
    let guests = images.iter().map(|image| {
        let ready = Target::of_image(&image.name, image.clone()).ready();
        findings::guest(image, ready, expected(image, cache).map(|accel| accel.accelerator))
    });
    // Machines over ssh and commands are known only when they are named.
    std::iter::once(findings::native(native)).chain(guests).collect()
}
