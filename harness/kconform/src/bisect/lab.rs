//! Commits built and tried for real: checked out in a worktree, made, booted in a guest.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::case::Case;
use crate::document::{CaseResult, Document, run_and_gather};
use crate::guest::own_kernel::{OwnKernelError, own_kernel};
use crate::guest::{Image, Images, Start, cache_dir};
use crate::interrupt;
use crate::run::Options;
use crate::targets::{Leaks, Target};

use super::answer::Answer;
use super::boot::{BootError, boots};
use super::build::{BuildError, Built, Recipe, Site};
use super::commit::short;
use super::git::git;
use super::process::run as run_program;
use super::search::{Case as Wanted, Lab, Ran, SearchError};
use super::state::State;
use super::table::{CaseRecord, Made, Record};

/// Why nothing can be said of any commit.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The user wants everything to end.
    #[error("interrupted; the same command goes on where it was")]
    Interrupted,
    /// The build.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A file.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The commit cannot be checked out.
    #[error("git cannot check out {commit}; see {}", log.display())]
    Checkout {
        /// Its id.
        commit: String,
        /// What git said.
        log: PathBuf,
    },
    /// A guest cannot be had, whatever its kernel.
    #[error("no guest can be started: {0}")]
    Guest(String),
    /// There is no machine for the kernel.
    #[error(transparent)]
    Kernel(#[from] OwnKernelError),
}

impl<H, K> From<LabError> for SearchError<H, LabError, K> {
    fn from(error: LabError) -> Self {
        SearchError::Lab(error)
    }
}

/// Runs cases on a kernel, so many times, each time in a fresh guest.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The machines that there are.
    pub images: Images,
    /// How often.
    pub confirm: u32,
}

/// What came of a kernel and cases.
#[derive(Clone, Debug)]
pub enum Tried {
    /// It does not boot: how it ended.
    NotBooted(String),
    /// `uname -r`, and for each case what came of it each time.
    Cases(Option<String>, Vec<Vec<CaseResult>>),
}

impl Trial {
    /// Boots a kernel under a name and runs cases on it. With a log, it is first booted once for its console.
    ///
    /// # Errors
    /// What is not the kernel's fault.
    pub fn run(
        &self,
        name: &str,
        kernel: &Path,
        cases: &Arc<[Case]>,
        log: Option<&Path>,
    ) -> Result<Tried, LabError> {
        let cache = cache_dir().map_err(|error| LabError::Guest(error.to_string()))?;
        let image: Arc<Image> = match own_kernel(kernel, &self.images, &cache) {
            Ok(own) => Arc::new(own.image),
            Err(error @ (OwnKernelError::Unknown(_) | OwnKernelError::NotBuilt { .. })) => {
                return Ok(Tried::NotBooted(error.to_string()));
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(log) = log {
            match boots(&image, log) {
                Ok(()) => {}
                Err(BootError::Kernel(how)) => return Ok(Tried::NotBooted(how)),
                Err(BootError::Harness(what)) => return Err(LabError::Guest(what)),
                Err(BootError::Interrupted) => return Err(LabError::Interrupted),
            }
        }
        // A snapshot would be made for this one kernel and never be of use again.
        let target = Target::of_image(name, image).starting(Start::Cold);
        let (mut results, mut release) = (vec![Vec::new(); cases.len()], None);
        for _ in 0..self.confirm.max(1) {
            let document = run_once(cases, &target)?;
            // What can be mended is not the kernel's fault: a stale agent, say.
            if let Some(lost) = document.targets.first().and_then(|target| target.lost.as_ref())
                && let Some(mend) = &lost.mend
            {
                return Err(LabError::Guest(format!("{}; to mend it: {mend}", lost.why)));
            }
            release = document.targets.first().and_then(|target| target.release.clone()).or(release);
            for (all, case) in results.iter_mut().zip(document.cases) {
                all.extend(case.results);
            }
        }
        Ok(Tried::Cases(release, results))
    }
}

/// Runs cases on a target, quietly.
pub(crate) fn run_once(cases: &Arc<[Case]>, target: &Target) -> Result<Document, LabError> {
    let options = Options { leaks: Leaks::Ignored, ..Options::default() };
    let document = run_and_gather(cases, std::slice::from_ref(target), options, &mut |_, _, _| {});
    if interrupt::requested() {
        return Err(LabError::Interrupted);
    }
    Ok(document)
}

/// What builds and tries commits.
#[derive(Debug)]
pub struct KernelLab<'a> {
    /// The search's folder.
    pub state: &'a State,
    /// How kernels are built.
    pub recipe: Recipe,
    /// How they are tried.
    pub trial: Trial,
    /// All cases of the search.
    pub cases: Vec<Case>,
}

impl KernelLab<'_> {
    fn folder(&self, commit: &str) -> Result<PathBuf, LabError> {
        let place = || self.state.folder().join("commits").join(commit);
        self.state.commit(commit).map_err(|source| LabError::Io { path: place(), source })
    }
}

impl Lab for KernelLab<'_> {
    type Error = LabError;

    fn build(&mut self, commit: &str) -> Result<Made, LabError> {
        let keep = self.folder(commit)?;
        let worktree = self.state.worktree();
        let log = keep.join("checkout.log");
        let mut checkout = git(&worktree);
        checkout.args(["checkout", "--quiet", "--force", "--detach", commit]);
        let done = run_program(checkout, self.state.folder(), &log);
        match done.map_err(|source| LabError::Io { path: "git".into(), source })? {
            None => return Err(LabError::Interrupted),
            Some(status) if status.success() => {}
            Some(_) => return Err(LabError::Checkout { commit: commit.to_owned(), log }),
        }
        let build = self.state.build();
        let site = Site { source: &worktree, build: &build, keep: &keep, state: self.state.folder(), commit };
        match self.recipe.build(&site)? {
            Built::Kernel(path) => Ok(Made::Kernel(path)),
            Built::Not(why) => Ok(Made::NotBuilt(why)),
            Built::Interrupted => Err(LabError::Interrupted),
        }
    }

    fn run(&mut self, commit: &str, record: &Record, wanted: &[Wanted]) -> Result<Ran, LabError> {
        let Made::Kernel(kernel) = &record.made else {
            return Ok(Ran::NotBooted("there is no kernel".into()));
        };
        let cases: Arc<[Case]> = wanted
            .iter()
            .filter_map(|wanted| self.cases.iter().find(|case| case.id == wanted.id).cloned())
            .collect();
        let log = self.folder(commit)?.join("boot.log");
        // What has booted once is only booted for cases that were added.
        let log = record.release.is_none().then_some(log.as_path());
        match self.trial.run(short(commit), kernel, &cases, log)? {
            Tried::NotBooted(how) => Ok(Ran::NotBooted(how)),
            Tried::Cases(release, results) => {
                let record = |(wanted, results): (&Wanted, Vec<CaseResult>)| CaseRecord {
                    answer: Answer::of_all(&results),
                    file: wanted.file.clone(),
                    result: results.into_iter().next().unwrap_or_else(nothing),
                };
                Ok(Ran::Cases { release, records: wanted.iter().zip(results).map(record).collect() })
            }
        }
    }
}

fn nothing() -> CaseResult {
    CaseResult::bare("", crate::document::Status::Lost)
}
