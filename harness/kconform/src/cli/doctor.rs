//! `kconform doctor`: what this machine has for running cases, what it lacks, and the command that mends it. Nothing is
//! started but the native agent, and QEMU to say its version.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use kconform_abi::{Arch, capability};

use super::args::TargetsArgs;
use super::choose::default_targets;
use super::{CliError, LOST, images};
use crate::guest::image::{DEFAULT_IMAGES, Image};
use crate::guest::qemu::accel::{self, Accelerator};
use crate::guest::snapshot;
use crate::guest::{Hears, cache_dir};
use crate::report::Style;
use crate::target::{Opened, Target, TargetKind, Unusable, guest};

/// How many capabilities are named before it is shorter to name the others.
const FEW: usize = 8;

/// What was found out about one thing.
struct Finding {
    what: String,
    state: State,
    text: String,
    mend: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Good,
    /// As it may be, and worth knowing: some cases are skipped, or take longer.
    Notable,
    Missing,
}

struct Section {
    title: &'static str,
    findings: Vec<Finding>,
}

impl Finding {
    fn new(what: impl ToString, state: State, text: impl Into<String>) -> Finding {
        Finding { what: what.to_string(), state, text: text.into(), mend: None }
    }

    fn mend(self, command: &str) -> Finding {
        Finding { mend: Some(command.to_owned()), ..self }
    }

    /// What is lacking; for a target that is run on only when it is named, that is as it may be.
    fn lacking(what: impl ToString, unusable: &Unusable, needed: bool) -> Finding {
        let state = if needed { State::Missing } else { State::Notable };
        Finding { mend: unusable.mend.clone(), ..Finding::new(what, state, unusable.what.clone()) }
    }
}

pub(super) fn doctor(args: &TargetsArgs, style: Style) -> Result<u8, CliError> {
    let images = images(args.images.as_deref())?;
    let cache = cache_dir().map_err(|error| CliError::Fetch(error.to_string()))?;
    let native = open_native(&images);
    let here = |arch: &Arch| images.iter().any(|image| image.arch == *arch);
    let arches: Vec<Arch> = Arch::ALL.iter().copied().filter(here).collect();
    let section = |title, findings| Section { title, findings };
    let sections = [
        section("QEMU", arches.iter().map(|&arch| qemu(arch)).collect()),
        section("KVM", kvm(&images, &cache)),
        section("Agents", arches.iter().map(|&arch| agent(arch)).collect()),
        section("Kernels", images.iter().map(|image| kernel(image)).collect()),
        section("Snapshots", snapshots(&images, &cache)),
        section("Privileges", native.as_ref().map(privileges).unwrap_or_default()),
        section("Targets", targets(&images, &native, &cache)),
    ];
    let mut out = std::io::stdout().lock();
    print(&mut out, &sections, style)?;
    let unusable: Vec<_> = default_targets()
        .filter_map(|name| Target::named(name, &images))
        .filter(|target| match target.kind {
            TargetKind::Native => native.is_err(),
            TargetKind::Guest(_) | TargetKind::Ssh(_) => target.ready().is_err(),
        })
        .map(|target| target.name)
        .collect();
    if unusable.is_empty() {
        let names: Vec<_> = default_targets().collect();
        writeln!(
            out,
            "{}",
            style.good(&format!("`kconform run` has all that it needs: {}", names.join(", ")))
        )?;
        return Ok(0);
    }
    writeln!(out, "{}", style.bad(&format!("`kconform run` would leave out: {}", unusable.join(", "))))?;
    Ok(LOST)
}

/// The agent on this machine's own kernel, which tells what it may do.
fn open_native(images: &[Arc<Image>]) -> Result<Opened, Unusable> {
    let what = "there is no target native".to_owned();
    let missing = Unusable { what, mend: None, not_set_up: false };
    Target::named("native", images).ok_or(missing)?.open(Hears::NOBODY)
}

fn print(out: &mut impl Write, sections: &[Section], style: Style) -> std::io::Result<()> {
    let names =
        sections.iter().flat_map(|section| &section.findings).map(|finding| finding.what.chars().count());
    let width = names.max().unwrap_or(0);
    for section in sections.iter().filter(|section| !section.findings.is_empty()) {
        writeln!(out, "{}", style.strong(section.title))?;
        for Finding { what, state, text, mend } in &section.findings {
            let text = match state {
                State::Good => text.clone(),
                State::Notable => style.warn(text),
                State::Missing => style.bad(text),
            };
            writeln!(out, "  {what:width$}  {text}")?;
            if let Some(command) = mend {
                writeln!(out, "  {:width$}  to mend it: {command}", "")?;
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

fn is_default(arch: Arch) -> bool {
    DEFAULT_IMAGES.contains(&arch.name())
}

fn qemu(arch: Arch) -> Finding {
    let program = match guest::qemu(arch) {
        Ok(program) => program,
        Err(unusable) => return Finding::lacking(arch, &unusable, is_default(arch)),
    };
    match accel::version(&program) {
        Ok(version) => Finding::new(arch, State::Good, version),
        Err(error) => Finding::new(arch, State::Missing, format!("{}: {error}", program.display())),
    }
}

/// KVM runs guests of this machine's own architecture only.
fn kvm(images: &[Arc<Image>], cache: &Path) -> Vec<Finding> {
    let own = images.iter().find(|image| image.arch.name() == std::env::consts::ARCH);
    let Some((image, program)) = own.and_then(|image| Some((image, guest::qemu(image.arch).ok()?))) else {
        return Vec::new();
    };
    let (state, text) = match accel::expected(image, &program, cache) {
        Some(accel) if accel.accelerator == Accelerator::Kvm => (State::Good, format!("used: {}", accel.why)),
        Some(accel) => (State::Notable, format!("not used: {}", accel.why)),
        None => (
            State::Good,
            "not tried yet: /dev/kvm opens, and the next guest shows whether it works".to_owned(),
        ),
    };
    vec![Finding::new(image.arch, state, text)]
}

fn agent(arch: Arch) -> Finding {
    match guest::agent_for(arch) {
        Ok(_) if guest::is_carried(arch) => {
            Finding::new(arch, State::Good, "of this build, carried by kconform")
        }
        Ok(path) => Finding::new(arch, State::Good, format!("of this build: {}", path.display())),
        Err(unusable) => Finding::lacking(arch, &unusable, is_default(arch)),
    }
}

fn kernel(image: &Image) -> Finding {
    match guest::kernel(image) {
        Ok(kernel) if kernel.release.is_empty() => Finding::new(&image.name, State::Good, kernel.origin),
        Ok(kernel) => {
            Finding::new(&image.name, State::Good, format!("{} of {}", kernel.release, kernel.origin))
        }
        Err(unusable) => Finding::lacking(&image.name, &unusable, image.is_default()),
    }
}

/// Those of each image; the names of snapshots are the image's and a key.
fn snapshots(images: &[Arc<Image>], cache: &Path) -> Vec<Finding> {
    let mut all: BTreeMap<&str, (usize, u64)> = BTreeMap::new();
    let listed = snapshot::list(cache).unwrap_or_default();
    for snapshot in &listed {
        let image = snapshot.name.rsplit_once('-').map_or("", |(image, _)| image);
        let sum = all.entry(image).or_default();
        *sum = (sum.0 + 1, sum.1 + snapshot.size);
    }
    let known = |name: &str| images.iter().any(|image| image.name == name);
    let one = |(name, (count, bytes)): (&str, (usize, u64))| {
        Finding::new(name, State::Good, format!("{count}, {} MiB on the disk", bytes.div_ceil(1 << 20)))
    };
    all.into_iter().filter(|(name, _)| known(name)).map(one).collect()
}

fn privileges(native: &Opened) -> Vec<Finding> {
    let kernel = &native.kernel;
    let mut findings = Vec::new();
    findings.push(match kernel.in_user_namespace {
        false => {
            Finding::new("user", State::Good, format!("uid {} in the initial user namespace", kernel.uid))
        }
        true => {
            let text = format!(
                "uid {} of a user namespace: its capabilities are not those that bpf(2) asks for",
                kernel.uid
            );
            Finding::new("user", State::Notable, text)
        }
    });
    let (held, lacking): (Vec<_>, Vec<_>) =
        capability::names().zip(0_u8..).partition(|(_, number)| kernel.has_capability(*number));
    let list = |some: &[(&str, u8)]| some.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let (state, text) = match (held.len(), lacking.len()) {
        (_, 0) => (State::Good, "all".to_owned()),
        (0, _) => (State::Notable, "none: cases that need any are skipped".to_owned()),
        (_, ..=FEW) => (State::Notable, format!("all but {}", list(&lacking))),
        _ => (State::Notable, format!("only {}", list(&held))),
    };
    let found = Finding::new("capabilities", state, text);
    findings.push(match held.is_empty() {
        true => found.mend("run as root, or with sudo"),
        false => found,
    });
    let facts = native.session.facts();
    findings.push(match facts.kernel_log {
        true => Finding::new("kernel log", State::Good, "can be read"),
        false => Finding::new(
            "kernel log",
            State::Notable,
            "cannot be read: warnings of this kernel go unnoticed natively",
        ),
    });
    findings.extend(facts.remarks.iter().map(|remark| Finding::new("set-up", State::Notable, remark)));
    findings
}

fn targets(images: &[Arc<Image>], native: &Result<Opened, Unusable>, cache: &Path) -> Vec<Finding> {
    let one = |target: Target| match &target.kind {
        TargetKind::Native => Some(match native {
            Ok(opened) => {
                Finding::new("native", State::Good, format!("ready, Linux {}", opened.kernel.release))
            }
            Err(unusable) => Finding::lacking("native", unusable, true),
        }),
        TargetKind::Guest(image) => Some(guest_target(image, &target, cache)),
        // Those are known only when they are named.
        TargetKind::Ssh(_) => None,
    };
    Target::all(images).into_iter().filter_map(one).collect()
}

fn guest_target(image: &Image, target: &Target, cache: &Path) -> Finding {
    let names = image.names().collect::<Vec<_>>().join(", ");
    if let Err(unusable) = target.ready() {
        let unusable = Unusable { what: format!("not ready: {}", unusable.what), ..unusable };
        return Finding::lacking(names, &unusable, image.is_default());
    }
    let expected = guest::qemu(image.arch).ok().map(|program| accel::expected(image, &program, cache));
    let text = match expected.flatten().map(|accel| accel.accelerator) {
        Some(Accelerator::Kvm) => "ready, under KVM",
        Some(Accelerator::Tcg) => "ready, emulated",
        None => "ready, under KVM if that works, else emulated",
    };
    Finding::new(names, State::Good, text)
}
