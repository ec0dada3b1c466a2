//! `kconform explain`.

use std::io::Write;
use std::sync::Arc;

use kconform_abi::Arch;

use crate::case::Case;
use crate::interrupt;
use crate::load::suites::{SuiteError, choose_cases, load_suites};
use crate::report::{explain as words, layouts, prototypes, verdicts};
use crate::run::{Options, run};
use crate::select::{NothingSelected, Selection};
use crate::style::Style;
use crate::targets::choose::{ChooseError, images};
use crate::targets::{Target, TargetKind};

use super::args::ExplainArgs;
use super::error::CliError;

/// How many cases are explained at once.
const MOST: usize = 5;

pub(super) fn explain(args: &ExplainArgs, style: Style) -> Result<u8, CliError> {
    let arch = arch(&args.target)?;
    // An id has `::` in it, and no name.
    if kconform_abi::syscall_known(&args.case) {
        let suites = load_suites(&args.suite.paths)?;
        let words = prototypes(&args.case, arch, &suites.loaded.cases, style);
        write!(std::io::stdout().lock(), "{words}")?;
        return Ok(0);
    }
    if crate::uapi::is_known(&args.case) {
        write!(std::io::stdout().lock(), "{}", layouts(&args.case, arch, style))?;
        return Ok(0);
    }
    let only = |exact| Selection { patterns: vec![args.case.clone()], exact, ..Selection::default() };
    let chosen = |exact| choose_cases(&args.suite.paths, &only(exact), style.color);
    // A whole id means that case alone, even where others have it as a part of theirs.
    let whole = if args.case.contains("::") { chosen(true).ok() } else { None };
    let cases = match whole.map_or_else(|| chosen(false), Ok) {
        Ok(chosen) => chosen.cases,
        Err(SuiteError::Nothing(nothing)) => return Err(or_name(nothing, &args.case).into()),
        Err(error) => return Err(error.into()),
    };
    let mut out = std::io::stdout().lock();
    for case in cases.iter().take(MOST) {
        writeln!(out, "{}", words(case, arch, style))?;
    }
    if let ([case], false) = (cases.as_slice(), args.no_run) {
        write!(out, "{}", holds_on(case, args.seed, style)?)?;
    }
    if cases.len() > MOST {
        let rest: Vec<&str> = cases.iter().skip(MOST).map(|case| case.id.as_str()).collect();
        writeln!(out, "and {} more: {}", rest.len(), rest.join(" "))?;
    }
    Ok(0)
}

/// A word that selects nothing may be a misspelt system call or structure.
fn or_name(error: NothingSelected, word: &str) -> NothingSelected {
    let names = kconform_abi::syscall_names().chain(kconform_abi::structure_names());
    let name = kconform_abi::nearest(word, names);
    let nearest = kconform_abi::nearest(word, name.into_iter().chain(error.nearest.as_deref()));
    NothingSelected {
        what: format!("no case matches {word:?}, and no system call or structure has that name"),
        nearest: nearest.map(str::to_owned).or(error.nearest.clone()),
        ..error
    }
}

/// What comes of the case on each kernel that a guest can be started with here.
fn holds_on(case: &Case, seed: Option<u32>, style: Style) -> Result<String, CliError> {
    interrupt::watch()?;
    let targets: Vec<Target> = images(None)?
        .into_iter()
        .map(|image| Target::of_image(&image.name.clone(), image))
        .map(|target| seed.map_or(target.clone(), |seed| target.seeded(seed)))
        .filter(|target| target.ready().is_ok())
        .collect();
    if targets.is_empty() {
        let mend = "`kconform image fetch` gets the kernels of guests to try it on";
        return Ok(format!("{} {mend}\n", style.dim("On no kernel:")));
    }
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let cases: Arc<[Case]> = [case.clone()].into();
    let options = Options { jobs: cpus, ..Options::default() };
    let runs = run(&cases, &targets, options, &mut |_, _, _| {});
    Ok(verdicts(&runs, style))
}

/// The architecture of a target, or of this machine for the native one.
fn arch(name: &str) -> Result<Arch, CliError> {
    if let Some(arch) = Arch::from_name(name) {
        return Ok(arch);
    }
    let unknown = || CliError::from(ChooseError::of(name, None));
    match Target::named(name, &images(None)?).ok_or_else(unknown)?.kind {
        TargetKind::Guest(image) => Ok(image.arch),
        TargetKind::Command(launcher) => Ok(launcher.arch()),
        _ => Arch::from_name(std::env::consts::ARCH).ok_or_else(unknown),
    }
}
