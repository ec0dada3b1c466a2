//! `cargo test`: each case on each target is a trial named `target::suite::case`.
//!
//! A project with cases of its own has a test without libtest's harness (`harness = false`) that is just
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     kconform::trials::main(&["cases".as_ref()])
//! }
//! ```

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::case::Case;
use crate::guest::qemu::wait_for_ended;
use crate::interrupt;
use crate::judge::Verdict;
use crate::load::selected::Listing;
use crate::load::suites::{SuiteError, list_suites};
use crate::report::failures;
use crate::run::TargetRun;
use crate::style::Style;
use crate::targets::choose::{self, ChooseError, guests_required, images};
use crate::targets::{Leaks, Target, Unusable, Worker};

/// The targets of `cargo test`, unless `KCONFORM_TARGETS` names others, separated by commas.
const TARGETS: &str = "native,x86_64,riscv64";

/// Why there is nothing to run.
#[derive(Debug, thiserror::Error)]
enum TrialsError {
    #[error(transparent)]
    Suites(#[from] SuiteError),
    #[error(transparent)]
    Targets(#[from] ChooseError),
    #[error(transparent)]
    Interrupt(#[from] std::io::Error),
}

/// Runs the cases below `paths`, or below those that `KCONFORM_CASES` names, as trials, with the command line of a Rust
/// test.
///
/// A case that is skipped is an ignored trial, as libtest has it: tests of which all are ignored pass. Where that must not be,
/// `kconform run --min-run` is to be called.
///
/// Guests that are not set up are ignored with the reason, or fail where `KCONFORM_REQUIRE_GUESTS=1` is set. A target is
/// started when its first selected trial runs, and once for all of them.
pub fn main(paths: &[&Path]) -> ExitCode {
    let arguments = Arguments::from_args();
    match interrupt::watch().map_err(TrialsError::from).and_then(|()| gather(paths)) {
        Ok((trials, shared)) => {
            let conclusion = libtest_mimic::run(&arguments, trials);
            // Guests end before the process does.
            drop(shared);
            wait_for_ended();
            conclusion.exit_code()
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

type Shared = Arc<Mutex<Worker>>;

fn gather(paths: &[&Path]) -> Result<(Vec<Trial>, Vec<Shared>), TrialsError> {
    let paths: Vec<PathBuf> = match std::env::var_os("KCONFORM_CASES") {
        Some(named) => std::env::split_paths(&named).collect(),
        None => paths.iter().map(|path| path.to_path_buf()).collect(),
    };
    let cases = Arc::new(list_suites(&paths)?);
    let images = images(None).map_err(ChooseError::from)?;
    let names = std::env::var("KCONFORM_TARGETS").unwrap_or_else(|_| TARGETS.into());
    let mut trials = Vec::new();
    let mut workers = Vec::new();
    for name in choose::names(&names).into_iter().map(str::trim).filter(|name| !name.is_empty()) {
        let target = Target::named(name, &images).ok_or_else(|| ChooseError::of(name, None))?;
        let missing = target.ready().err().filter(|unusable| unusable.not_set_up && !guests_required());
        let worker = Arc::new(Mutex::new(Worker::new(target).checking_leaks(Leaks::Looked, true)));
        workers.push(worker.clone());
        let trial = |of: (usize, &str)| trial(name, &cases, of, &worker, missing.as_ref());
        trials.extend(cases.ids().map(trial));
    }
    Ok((trials, workers))
}

fn trial(
    name: &str,
    cases: &Arc<Listing>,
    (file, id): (usize, &str),
    worker: &Shared,
    missing: Option<&Unusable>,
) -> Trial {
    let title = format!("{name}::{id}");
    if let Some(unusable) = missing {
        let reason = unusable.to_string();
        // nextest takes a trial that ignores itself for a pass, but knows the flag.
        let flagged = std::env::var_os("NEXTEST").is_some();
        return Trial::ignorable_test(title, move || Ok(Completion::ignored_with(reason)))
            .with_ignored_flag(flagged);
    }
    let (name, id, cases, worker) = (name.to_owned(), id.to_owned(), cases.clone(), worker.clone());
    Trial::ignorable_test(title, move || run(&name, cases.case(file, &id)?, &worker))
}

fn run(name: &str, case: &Case, worker: &Shared) -> Result<Completion, Failed> {
    // A trial that panicked has left a worker that starts a fresh agent.
    let mut worker = worker.lock().unwrap_or_else(PoisonError::into_inner);
    let begun = std::time::Instant::now();
    let result = worker.run_one(case, &mut |_| {});
    match &result.verdict {
        Verdict::Passed | Verdict::ExpectedFailure { .. } => return Ok(Completion::Completed),
        Verdict::Skipped(reason) => return Ok(Completion::ignored_with(reason)),
        Verdict::Lost(why) => {
            let mend =
                worker.unusable().and_then(|u| u.mend.clone()).map(|m| format!("\n{m}")).unwrap_or_default();
            return Err(format!("lost: {why}{mend}").into());
        }
        _ => {}
    }
    let run = TargetRun::of_one(name, &worker, result, begun.elapsed());
    let again = |targets: &[&str], id: &str| format!("cargo test -- --exact '{}::{id}'", targets.join(","));
    Err(failures(std::slice::from_ref(case), &[run], &again, Style { color: false }).into())
}
