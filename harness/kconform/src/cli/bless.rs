//! `kconform bless`: case files expect what a kernel does.

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;

use kconform_abi::Arch;
use similar::TextDiff;

use crate::bless::{Blessed, Elsewhere, KernelName, Ran, Runs, Stopped, bless as blessed};
use crate::case::Case;
use crate::guest::Image;
use crate::interrupt;
use crate::kernel::Kernel;
use crate::load::SuiteFile;
use crate::load::message;
use crate::load::suites::{SuiteError, contents};
use crate::report::{Destination, Progress, WantedError};
use crate::run::{Options, run};
use crate::select::Selection;
use crate::style::Style;
use crate::targets::choose::images;
use crate::targets::{Leaks, Target, TargetKind};

use super::args::BlessArgs;
use super::color::Styles;
use super::compare::target;
use super::error::{CliError, FAILED, LOST};
use super::tell::tell;

pub(super) fn bless(args: &BlessArgs, styles: Styles) -> Result<u8, CliError> {
    let read = contents(&args.paths)?;
    if !read.mistakes.is_empty() {
        let text = message::render(&read.mistakes, styles.err.color);
        return Err(SuiteError::Mistakes { count: read.mistakes.len(), text }.into());
    }
    let selection = Selection { patterns: args.cases.clone(), exact: args.exact, ..Selection::default() };
    // What selects nothing is told before a kernel starts.
    selection.apply(crate::load::load(&read.files).cases)?;
    interrupt::watch()?;
    let named = |word: &str| target(word, args.images.as_deref(), styles.err);
    let on = |target| On { target, quiet: args.quiet, style: styles.err };
    let right = named(&args.target)?;
    let mut elsewhere = Vec::new();
    for word in &args.except_on {
        let other = named(word)?;
        if is_same(&other, &right) {
            return Err(CliError::Usage(format!(
                "{word} cannot be the kernel that is right and another one too"
            )));
        }
        let near = near(&other, &right, &images(args.images.as_deref())?);
        elsewhere.push(Elsewhere { on: on(other), near: near.into_iter().map(on).collect() });
    }
    let means = |case: &Case| selection.contains(case);
    let blessed = match blessed(&read.files, &means, args.outputs, &mut on(right), &mut elsewhere) {
        Ok(blessed) => blessed,
        Err(Stopped::Interrupted) => return Ok(interrupt::STATUS),
        Err(Stopped::Mistakes(mistakes)) => {
            let text = message::render(&mistakes, styles.err.color);
            return Err(SuiteError::Mistakes { count: mistakes.len(), text }.into());
        }
    };
    if interrupt::requested() {
        return Ok(interrupt::STATUS);
    }
    show(&blessed, styles)?;
    if let Some((case, why)) = &blessed.lost {
        tell(format_args!("{} nothing was written: {case} was lost: {why}", styles.err.bad("error:")));
        return Ok(LOST);
    }
    if blessed.ran == 0 {
        tell(format_args!("{} nothing was written: no case ran", styles.err.bad("error:")));
        return Ok(LOST);
    }
    let written = blessed.files.is_empty() || (agreed(args, &blessed)? && write(&blessed)?);
    Ok(if written && blessed.left.is_empty() { 0 } else { FAILED })
}

/// Whether two targets are one kernel.
fn is_same(one: &Target, other: &Target) -> bool {
    match (&one.kind, &other.kind) {
        (TargetKind::Guest(one), TargetKind::Guest(other)) => one.name == other.name,
        _ => one.name == other.name,
    }
}

/// The images of a kernel's architecture that are ready, which tell where it begins and ends to answer as it does.
fn near(other: &Target, right: &Target, images: &[Arc<Image>]) -> Vec<Target> {
    let arch = match &other.kind {
        TargetKind::Guest(image) => Some(image.arch),
        TargetKind::Native => Arch::from_name(std::env::consts::ARCH),
        TargetKind::Ssh(_) | TargetKind::Command(_) => None,
    };
    let of_arch = images.iter().filter(|image| Some(image.arch) == arch);
    let targets = of_arch.map(|image| Target::of_image(&image.name, Arc::clone(image)));
    targets.filter(|one| !is_same(one, other) && !is_same(one, right) && one.ready().is_ok()).collect()
}

/// Runs cases on a kernel.
struct On {
    target: Target,
    quiet: bool,
    style: Style,
}

impl Runs for On {
    fn run(&mut self, cases: &Arc<[Case]>) -> Option<Ran> {
        let options = Options { leaks: Leaks::Ignored, ..Options::default() };
        let targets = std::slice::from_ref(&self.target);
        let mut progress = Progress::new(targets, cases, self.quiet, self.style);
        let runs = run(cases, targets, options, &mut |target, event, _| progress.tell(target, event));
        progress.end();
        let run = runs.into_iter().next()?;
        let name = |kernel: Kernel| KernelName { arch: kernel.arch, version: kernel.version };
        let ran = Ran { results: run.results, kernel: run.kernel.map(name) };
        (!interrupt::requested()).then_some(ran)
    }
}

/// The changes as a diff, and what is to be said beside them.
fn show(blessed: &Blessed, styles: Styles) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    for (file, text) in &blessed.files {
        write!(out, "{}", diff(file, text, styles.out))?;
    }
    out.flush()?;
    let style = styles.err;
    for left in &blessed.left {
        tell(format_args!(
            "{} {}: {}\n  not changed: {}",
            style.warn("note:"),
            left.place,
            left.case,
            left.why
        ));
    }
    for (case, why) in blessed.not_run.iter().take(MOST_SKIPPED) {
        tell(format_args!("{} {case} was not run: {why}", style.warn("note:")));
    }
    if let Some(more @ 1..) = blessed.not_run.len().checked_sub(MOST_SKIPPED) {
        tell(format_args!("{} {more} more cases were not run", style.warn("note:")));
    }
    tell(counted(blessed));
    Ok(())
}

/// How many cases that did not run are named.
const MOST_SKIPPED: usize = 5;

fn counted(blessed: &Blessed) -> String {
    let many = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    format!(
        "{} in {}; {} left as they are; {} ran",
        many(blessed.changes, "change"),
        many(blessed.files.len(), "file"),
        blessed.left.len(),
        many(blessed.ran, "case")
    )
}

fn diff(file: &SuiteFile, text: &str, style: Style) -> String {
    let name = file.file.path.display().to_string();
    let diff = TextDiff::from_lines(&*file.file.text, text);
    let plain = diff.unified_diff().context_radius(3).header(&name, &name).to_string();
    let painted = plain.lines().map(|line| match line.as_bytes().first() {
        Some(b'+') => style.good(line),
        Some(b'-') => style.bad(line),
        Some(b'@') => style.dim(line),
        _ => line.to_owned(),
    });
    painted.map(|line| line + "\n").collect()
}

/// Whether the files may be written.
fn agreed(args: &BlessArgs, blessed: &Blessed) -> Result<bool, CliError> {
    if args.yes {
        return Ok(true);
    }
    if !std::io::stdin().is_terminal() {
        tell("nothing was written: --yes writes without asking");
        return Ok(false);
    }
    let mut err = std::io::stderr().lock();
    let files = blessed.files.len();
    write!(
        err,
        "Write {}? [y/N] ",
        if files == 1 { "this file".into() } else { format!("these {files} files") }
    )?;
    err.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn changed(path: &Path) -> String {
    format!("{}: not written: somebody changed the file meanwhile; run this again", path.display())
}

/// Writes the files; `false` if one is no more what was read.
fn write(blessed: &Blessed) -> Result<bool, CliError> {
    let mut all = true;
    for (file, text) in &blessed.files {
        let path = &file.file.path;
        let unreadable = |error| CliError::Unreadable { path: path.clone(), error };
        if std::fs::read(path).map_err(unreadable)? != file.file.text.as_bytes() {
            tell(changed(path));
            all = false;
            continue;
        }
        let destination = Destination::open(Some(path)).map_err(WantedError::from)?;
        let written = destination.write(&mut |out| out.write_all(text.as_bytes()));
        written.map_err(|error| CliError::Report { path: path.clone(), error })?;
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::File;

    fn blessed(path: &Path, was: &str) -> Blessed {
        let file = Arc::new(File { path: path.to_owned(), text: was.to_owned() });
        let files = vec![(SuiteFile { suite: "a".into(), file }, "new".to_owned())];
        Blessed { files, changes: 1, left: Vec::new(), not_run: Vec::new(), ran: 1, lost: None }
    }

    #[test]
    fn a_file_that_somebody_changed_is_not_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.yaml");
        std::fs::write(&path, "theirs").expect("written");
        assert!(!write(&blessed(&path, "ours")).expect("read"));
        assert_eq!(std::fs::read_to_string(&path).expect("read"), "theirs");
        assert_eq!(
            changed(&path),
            format!("{}: not written: somebody changed the file meanwhile; run this again", path.display())
        );
        assert!(write(&blessed(&path, "theirs")).expect("read"));
        assert_eq!(std::fs::read_to_string(&path).expect("read"), "new");
    }
}
