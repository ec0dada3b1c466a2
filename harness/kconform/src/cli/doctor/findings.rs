//! What was found out about this machine, in words. Nothing is asked of it here.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use kconform_abi::{Arch, capability};
use kconform_plan::{Facts, Refusal, Refuser};

use crate::guest::CachedKernel;
use crate::guest::image::{DEFAULT_IMAGES, Image};
use crate::guest::qemu::{Accel, Accelerator};
use crate::guest::snapshot::Listed;
use crate::kernel::{Kernel, end_of, refuser};
use crate::style::Style;
use crate::targets::Unusable;
use crate::targets::choose::default_targets;

/// How many capabilities are named before it is shorter to name the others.
const FEW: usize = 8;

/// What was found out about one thing.
pub(super) struct Finding {
    pub(super) what: String,
    pub(super) line: Line,
    pub(super) mend: Option<String>,
}

/// How it is with something, and the words for it.
pub(super) struct Line {
    pub(super) state: State,
    pub(super) text: String,
}

impl Line {
    /// Its words as they are printed; what is good looks as `good` says.
    fn colored(&self, style: Style, good: impl Fn(&str) -> String) -> String {
        match self.state {
            State::Good => good(&self.text),
            State::Notable => style.warn(&self.text),
            State::Missing => style.bad(&self.text),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Good,
    /// As it may be, and worth knowing: some cases are skipped, or take longer.
    Notable,
    Missing,
}

pub(super) struct Section {
    pub(super) title: &'static str,
    pub(super) findings: Vec<Finding>,
}

impl Finding {
    fn new(what: impl ToString, state: State, text: impl Into<String>) -> Finding {
        Finding { what: what.to_string(), line: Line { state, text: text.into() }, mend: None }
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

pub(super) fn print(out: &mut impl Write, sections: &[Section], style: Style) -> io::Result<()> {
    let names =
        sections.iter().flat_map(|section| &section.findings).map(|finding| finding.what.chars().count());
    let width = names.max().unwrap_or(0);
    for section in sections.iter().filter(|section| !section.findings.is_empty()) {
        writeln!(out, "{}", style.strong(section.title))?;
        for Finding { what, line, mend } in &section.findings {
            // What is as it should be does not stand out.
            let text = line.colored(style, |text| text.to_owned());
            writeln!(out, "  {what:width$}  {text}")?;
            if let Some(command) = mend {
                writeln!(out, "  {:width$}  to mend it: {command}", "")?;
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

/// A line that stands by itself.
pub(super) fn print_line(out: &mut impl Write, line: &Line, style: Style) -> io::Result<()> {
    writeln!(out, "{}", line.colored(style, |text| style.good(text)))
}

/// What follows for `kconform run`, of whose usual targets these cannot be used.
pub(super) fn sum(unusable: &[String]) -> Line {
    if unusable.is_empty() {
        let names: Vec<_> = default_targets().collect();
        let text = format!("`kconform run` has all that it needs: {}", names.join(", "));
        return Line { state: State::Good, text };
    }
    let text = format!("`kconform run` would leave out: {}", unusable.join(", "));
    Line { state: State::Missing, text }
}

fn is_default(arch: Arch) -> bool {
    DEFAULT_IMAGES.contains(&arch.name())
}

/// The program for an architecture, and its version.
pub(super) fn qemu(arch: Arch, found: Result<(PathBuf, io::Result<String>), Unusable>) -> Finding {
    match found {
        Ok((_, Ok(version))) => Finding::new(arch, State::Good, version),
        Ok((program, Err(error))) => {
            Finding::new(arch, State::Missing, format!("{}: {error}", program.display()))
        }
        Err(unusable) => Finding::lacking(arch, &unusable, is_default(arch)),
    }
}

/// What guests of this machine's own architecture run under, as far as that is known.
pub(super) fn kvm(arch: Arch, expected: Option<&Accel>, mend: Option<&str>) -> Finding {
    let (state, text) = match expected {
        Some(accel) if accel.accelerator == Accelerator::Kvm => (State::Good, format!("used: {}", accel.why)),
        Some(accel) => (State::Notable, format!("not used: {}", accel.why)),
        None => (
            State::Good,
            "not tried yet: /dev/kvm opens, and the next guest shows whether it works".to_owned(),
        ),
    };
    let found = Finding::new(arch, state, text);
    match mend {
        Some(mend) => found.mend(mend),
        None => found,
    }
}

/// What opens /dev/kvm of this mode and group to a user who may not: its group, where that may, and it is one (group(5)).
pub(super) fn opens_kvm(mode: u32, group: u32, groups: &str) -> String {
    let is_it = |line: &&str| line.split(':').nth(2).is_some_and(|number| number.parse() == Ok(group));
    let name = groups.lines().find(is_it).and_then(|line| line.split(':').next());
    match name {
        Some(name) if mode & 0o060 == 0o060 && group != 0 => {
            format!("sudo usermod -aG {name} $USER, and log in again: the group {name} may open it")
        }
        _ => "sudo setfacl -m u:$USER:rw /dev/kvm, until the next boot".to_owned(),
    }
}

pub(super) fn agent(arch: Arch, found: Result<PathBuf, Unusable>, is_carried: bool) -> Finding {
    match found {
        Ok(_) if is_carried => Finding::new(arch, State::Good, "of this build, carried by kconform"),
        Ok(path) => Finding::new(arch, State::Good, format!("of this build: {}", path.display())),
        Err(unusable) => Finding::lacking(arch, &unusable, is_default(arch)),
    }
}

pub(super) fn kernel(image: &Image, found: Result<CachedKernel, Unusable>) -> Finding {
    match found {
        Ok(kernel) if kernel.release.is_empty() => Finding::new(&image.name, State::Good, kernel.origin),
        Ok(kernel) => {
            Finding::new(&image.name, State::Good, format!("{} of {}", kernel.release, kernel.origin))
        }
        Err(unusable) => Finding::lacking(&image.name, &unusable, image.is_default()),
    }
}

/// Those of each image; the names of snapshots are the image's and a key.
pub(super) fn snapshots(images: &[Arc<Image>], listed: &[Listed]) -> Vec<Finding> {
    let mut all: BTreeMap<&str, (usize, u64)> = BTreeMap::new();
    for snapshot in listed {
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

/// What the native agent may do.
pub(super) fn privileges(kernel: &Kernel, facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![user(kernel), capabilities(kernel)];
    findings.push(match facts.kernel_log {
        true => Finding::new("kernel log", State::Good, "can be read"),
        false => Finding::new(
            "kernel log",
            State::Notable,
            "cannot be read: warnings of this kernel go unnoticed natively",
        ),
    });
    findings.extend(sandbox(kernel));
    findings.extend(facts.remarks.iter().map(|remark| Finding::new("set-up", State::Notable, remark)));
    findings
}

/// What refuses system calls, each that does once. Without bpf(2) hardly any case says anything.
fn sandbox(kernel: &Kernel) -> Vec<Finding> {
    let all = [Refuser::Seccomp, Refuser::SecurityModule, Refuser::Kernel];
    let one = |by: Refuser| {
        let refusals: Vec<_> = kernel.refusals.iter().filter(|refusal| refusal.by == by).collect();
        let state = match refusals.iter().any(|refusal| kernel.call_of(refusal) == "bpf") {
            true => State::Missing,
            false => State::Notable,
        };
        let end = |refusal: &&Refusal| format!("{}(2): {}", kernel.call_of(refusal), end_of(refusal));
        let calls = refusals.iter().map(end).collect::<Vec<_>>().join(", ");
        let (by, mend) = refuser(by);
        let found = Finding::new("sandbox", state, format!("{by} refuses {calls}"));
        let found = match mend {
            Some(mend) => found.mend(mend),
            None => found,
        };
        (!refusals.is_empty()).then_some(found)
    };
    all.into_iter().filter_map(one).collect()
}

fn user(kernel: &Kernel) -> Finding {
    match kernel.in_user_namespace {
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
    }
}

fn capabilities(kernel: &Kernel) -> Finding {
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
    match held.is_empty() {
        true => found.mend("run as root, or with sudo"),
        false => found,
    }
}

/// This machine's own kernel, by its release.
pub(super) fn native(release: Result<&str, &Unusable>) -> Finding {
    match release {
        Ok(release) => Finding::new("native", State::Good, format!("ready, Linux {release}")),
        Err(unusable) => Finding::lacking("native", unusable, true),
    }
}

/// A guest, and what it will run under as far as that is known.
pub(super) fn guest(image: &Image, ready: Result<(), Unusable>, expected: Option<Accelerator>) -> Finding {
    let names = image.names().collect::<Vec<_>>().join(", ");
    if let Err(unusable) = ready {
        let unusable = Unusable { what: format!("not ready: {}", unusable.what), ..unusable };
        return Finding::lacking(names, &unusable, image.is_default());
    }
    let text = match expected {
        Some(Accelerator::Kvm) => "ready, under KVM",
        Some(Accelerator::Tcg) => "ready, emulated",
        None => "ready, under KVM if that works, else emulated",
    };
    Finding::new(names, State::Good, text)
}
