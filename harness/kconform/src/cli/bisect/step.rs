//! `kconform bisect-step`: one step of a `git bisect run` that the user drives. Its exit status is for git alone, to which
//! everything below 128 says something of the commit: so trouble of any kind must be above.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use crate::bisect::BisectError;
use crate::bisect::answer::Answer;
use crate::bisect::build::{Built, Site};
use crate::bisect::git::Repository;
use crate::bisect::lab::{LabError, Trial, Tried};
use crate::bisect::state::hex;
use crate::case::Case;
use crate::cli::args::BisectStepArgs;
use crate::cli::bisect::tree::recipe;
use crate::cli::cases::selected;
use crate::cli::error::CliError;
use crate::cli::tell::tell;
use crate::guest::{Images, cache_dir};
use crate::interrupt;
use crate::select::Selection;
use crate::style::Style;

const GOOD: u8 = 0;
const BAD: u8 = 1;
/// This commit cannot be tested.
const SKIP: u8 = 125;
/// `git bisect run` must stop.
const ABORT: u8 = 128;

/// What is to be said of a command line that is none; ends the process.
pub(in crate::cli) fn misused(error: &clap::Error) -> ! {
    let is_step = std::env::args_os().nth(1).is_some_and(|word| word == "bisect-step");
    if is_step && error.use_stderr() {
        // A closed stream is no reason to tell git anything else.
        let _ = error.print();
        std::process::exit(ABORT.into());
    }
    error.exit()
}

pub(in crate::cli) fn bisect_step(args: &BisectStepArgs, style: Style) -> ExitCode {
    let status = match catch_unwind(AssertUnwindSafe(|| step(args, style))) {
        Ok(Ok(answer)) => told(&answer, args.building.expect_fail),
        Ok(Err(error)) => {
            tell(format_args!("{} {error}", style.bad("error:")));
            if interrupt::requested() { interrupt::STATUS } else { ABORT }
        }
        // The panic has said what it is.
        Err(_) => ABORT,
    };
    ExitCode::from(status)
}

fn told(answer: &Answer, expect_fail: bool) -> u8 {
    match (answer, expect_fail) {
        (Answer::Good, false) | (Answer::Bad, true) => GOOD,
        (Answer::Bad, false) | (Answer::Good, true) => BAD,
        (Answer::Skip(_), _) => SKIP,
    }
}

fn step(args: &BisectStepArgs, style: Style) -> Result<Answer, CliError> {
    let cases: Arc<[Case]> = selected(&args.suite, Selection::from(&args.select), style)?.into();
    interrupt::watch()?;
    let lab_error = |error: LabError| CliError::from(BisectError::from(error));
    let folder = folder(args)?;
    let kernel = match &args.kernel {
        Some(kernel) => kernel.clone(),
        None => match build(args, &folder)? {
            Built::Kernel(kernel) => kernel,
            Built::Not(why) => return Ok(skip(format!("does not build: {why}"))),
            Built::Interrupted => return Err(lab_error(LabError::Interrupted)),
        },
    };
    let trial = Trial { images: Images::known(None)?, confirm: args.building.confirm.get() };
    let log = folder.join("boot.log");
    let name = kernel.display().to_string();
    match trial.run(&name, &kernel, &cases, Some(&log)).map_err(lab_error)? {
        Tried::NotBooted(how) => Ok(skip(format!("does not boot: {how}"))),
        Tried::Cases(_, results) => {
            let answers: Vec<Answer> = results.iter().map(|results| Answer::of_all(results)).collect();
            for (case, answer) in cases.iter().zip(&answers) {
                let why = if let Answer::Skip(why) = answer { format!(" ({why})") } else { String::new() };
                tell(format_args!("{} {}{why}", answer.word(), case.id));
            }
            Ok(Answer::of_cases(&answers))
        }
    }
}

fn skip(why: String) -> Answer {
    tell(format_args!("skip: {why}"));
    Answer::Skip(why)
}

/// Where this tree's steps build and log.
fn folder(args: &BisectStepArgs) -> Result<PathBuf, CliError> {
    let folder = match &args.output {
        Some(folder) => folder.clone(),
        None => {
            let cache = cache_dir().map_err(|error| CliError::Fetch(error.to_string()))?;
            let here = std::env::current_dir()?;
            cache.join("bisect-step").join(&hex(here.as_os_str().as_encoded_bytes())[..12])
        }
    };
    fs::create_dir_all(&folder)?;
    Ok(folder.canonicalize()?)
}

fn build(args: &BisectStepArgs, folder: &std::path::Path) -> Result<Built, CliError> {
    let source = std::env::current_dir()?;
    let commit = Repository::open(&source).and_then(|repository| repository.resolve("HEAD"));
    let commit = commit.map_err(BisectError::from)?;
    let keep = folder.join("kept");
    // A kernel of the step before must not be taken for this one's.
    let _ = fs::remove_dir_all(&keep);
    fs::create_dir_all(&keep)?;
    let build = folder.join("build");
    let site = Site { source: &source, build: &build, keep: &keep, state: folder, commit: &commit };
    let built = recipe(&args.building)?.build(&site);
    Ok(built.map_err(|error| BisectError::from(LabError::from(error)))?)
}
