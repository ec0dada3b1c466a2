//! `kconform run`.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use super::args::RunArgs;
use super::{CliError, images, load_suites};
use crate::case::Case;
use crate::interrupt;
use crate::report::document::Document;
use crate::report::{Progress, Style, Wanted, failures, gather, passes, summary};
use crate::run::{Options, TargetRun, exit_status, run as run_cases};
use crate::select::Selection;
use crate::target::Target;

/// What is run on when nothing is named: the host's kernel, and a guest of each of these.
const DEFAULT_TARGETS: &[&str] = &["native", "x86_64", "riscv64"];

pub(super) fn run(args: &RunArgs, style: Style) -> Result<u8, CliError> {
    Wanted::check(&args.reports)?;
    let suites = load_suites(&args.suite.paths)?;
    let identity = suites.identity.clone();
    let cases: Arc<[Case]> = Selection::from(&args.select).apply(suites.right(style.color)?)?.into();
    interrupt::watch()?;
    let chosen = choose(&args.targets, args.images.as_deref())?;
    // A report on standard output must be alone there.
    let mut out: Box<dyn Write> = match args.reports.iter().any(|wanted| wanted.path.is_none()) {
        true => Box::new(std::io::stderr()),
        false => Box::new(std::io::stdout().lock()),
    };
    for (target, why) in &chosen.left_out {
        writeln!(out, "{} {target} is left out: {why}", style.warn("note:"))?;
    }
    let mut progress = Progress::new(&chosen.targets, &cases, args.quiet);
    let started = SystemTime::now();
    let runs = run_cases(&cases, &chosen.targets, options(args), &mut |target, event| {
        progress.tell(target, event);
    });
    report(&mut out, &cases, &runs, args, style)?;
    if interrupt::requested() {
        writeln!(out, "{} interrupted: this report is partial", style.bad("note:"))?;
    }
    if !args.reports.is_empty() {
        write_reports(&args.reports, &gather(&cases, &runs, identity, started))?;
    }
    Ok(exit_status(&runs))
}

fn options(args: &RunArgs) -> Options {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    Options {
        jobs: args.jobs.map_or(cpus, usize::from),
        rounds: match args.repeat {
            Some(rounds) => Some(rounds.get()),
            None if args.until_fail => None,
            None => Some(1),
        },
        until_fail: args.until_fail,
    }
}

/// Writes all reports that can be written, and then says what went wrong.
pub(super) fn write_reports(wanted: &[Wanted], document: &Document) -> Result<(), CliError> {
    let mut wrong = None;
    for wanted in wanted {
        if let Err(error) = wanted.write(document) {
            let path = wanted.path.clone().unwrap_or_else(|| "standard output".into());
            wrong.get_or_insert(CliError::Report { path, error });
        }
    }
    wrong.map_or(Ok(()), Err)
}

fn report(
    out: &mut dyn Write,
    cases: &[Case],
    runs: &[TargetRun],
    args: &RunArgs,
    style: Style,
) -> Result<(), CliError> {
    if args.verbose {
        write!(out, "{}", passes(cases, runs, style))?;
    }
    write!(out, "{}", failures(cases, runs, &|targets, id| again(args, targets, id), style))?;
    write!(out, "{}", summary(cases, runs, style))?;
    Ok(())
}

/// The command that runs a case again.
fn again(args: &RunArgs, targets: &[&str], id: &str) -> String {
    let quoted = |text: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-=+:,@%".contains(c);
        if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
    };
    let called = std::env::args().next().unwrap_or_default();
    // Under `cargo run` the binary has a long path that nobody typed.
    let program =
        if std::env::var_os("CARGO").is_some() { "cargo run -q --".into() } else { quoted(&called) };
    let mut words = vec![program, "run".into(), "--target".into(), targets.join(",")];
    for path in &args.suite.paths {
        words.extend(["--cases".into(), quoted(&path.display().to_string())]);
    }
    if let Some(images) = &args.images {
        words.extend(["--images".into(), quoted(&images.display().to_string())]);
    }
    words.extend(["--exact".into(), format!("'{}'", id.replace('\'', r"'\''"))]);
    words.join(" ")
}

/// The targets to run on, and those that would be but cannot.
pub(crate) struct Chosen {
    pub(crate) targets: Vec<Target>,
    pub(crate) left_out: Vec<(String, String)>,
}

/// The named targets, or those of the default ones that are set up; all of the default ones where guests are required.
pub(crate) fn choose(names: &[String], folder: Option<&Path>) -> Result<Chosen, CliError> {
    let images = images(folder)?;
    let find = |name: &str| {
        Target::named(name, &images).ok_or_else(|| {
            let known =
                images.iter().flat_map(|i| std::iter::once(&i.name).chain(&i.aliases)).map(String::as_str);
            let nearest = kconform_abi::nearest(name, known.chain(["native"])).map(str::to_owned);
            CliError::NoTarget { name: name.into(), nearest }
        })
    };
    let mut chosen = Chosen { targets: Vec::new(), left_out: Vec::new() };
    for name in names {
        let target = find(name)?;
        if !chosen.targets.iter().any(|t| t.name == target.name) {
            chosen.targets.push(target);
        }
    }
    if names.is_empty() {
        for name in DEFAULT_TARGETS {
            let Ok(target) = find(name) else { continue };
            match target.ready() {
                Err(unusable) if unusable.not_set_up && !guests_required() => {
                    chosen.left_out.push((target.name, unusable.to_string()));
                }
                _ => chosen.targets.push(target),
            }
        }
    }
    Ok(chosen)
}

/// Whether a guest that cannot be used is a failure, as in CI.
pub(crate) fn guests_required() -> bool {
    std::env::var_os("KCONFORM_REQUIRE_GUESTS").is_some_and(|value| !value.is_empty() && value != "0")
}
