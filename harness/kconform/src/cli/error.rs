//! What ends a command early, and the exit status that says so.

use crate::bisect::BisectError;
use crate::bisect::git::GitError;
use crate::bisect::lab::LabError;
use crate::bisect::state::StateError;
use crate::guest::image::ImageError;
use crate::interrupt;
use crate::load::suites::SuiteError;
use crate::record::RecordError;
use crate::targets::choose::ChooseError;

/// A case was not as it should be.
pub(super) const FAILED: u8 = 1;
/// Usage, or mistakes in case files.
pub(super) const USAGE: u8 = 2;
/// The harness or a guest could not do its work.
pub(super) const LOST: u8 = 3;

/// Something that ends a command early.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The case files.
    #[error(transparent)]
    Suites(#[from] SuiteError),
    /// The selection.
    #[error(transparent)]
    Selection(#[from] crate::select::NothingSelected),
    /// The image files.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The targets.
    #[error(transparent)]
    Targets(#[from] ChooseError),
    /// A kernel could not be fetched.
    #[error("{0}")]
    Fetch(String),
    /// A report that cannot be had.
    #[error(transparent)]
    Wanted(#[from] crate::report::WantedError),
    /// A report could not be written.
    #[error("{}: {error}", .path.display())]
    Report {
        /// Where to.
        path: std::path::PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// A report could not be read.
    #[error("{}: {error}", .path.display())]
    Unreadable {
        /// What was to be read.
        path: std::path::PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// A file is no report.
    #[error("{}: {error}", .path.display())]
    NoReport {
        /// The file.
        path: std::path::PathBuf,
        /// Why not.
        error: crate::document::ReadError,
    },
    /// There is no such shard.
    #[error("--shard: {0}")]
    Shard(#[from] crate::shard::ShardError),
    /// Reports cannot be joined.
    #[error(transparent)]
    Merge(#[from] crate::document::merge::MergeError),
    /// A report cannot be submitted.
    #[error(transparent)]
    Kcidb(#[from] crate::report::kcidb::SubmissionError),
    /// Reports cannot be compared.
    #[error(transparent)]
    Diff(#[from] crate::document::diff::DiffError),
    /// A search for a commit.
    #[error(transparent)]
    Search(#[from] crate::bisect::BisectError),
    /// Kernels to search through.
    #[error(transparent)]
    Kernels(#[from] crate::bisect::between::KernelsError),
    /// A program could not be recorded.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A case cannot be exported.
    #[error(transparent)]
    Export(#[from] crate::export::ExportError),
    /// Arguments that do not go together.
    #[error("{0}")]
    Usage(String),
    /// The output could not be written.
    #[error("the output cannot be written: {0}")]
    Output(#[from] std::io::Error),
}

impl CliError {
    /// The exit status that says so.
    pub(super) fn status(&self) -> u8 {
        match self {
            CliError::Suites(_)
            | CliError::Selection(_)
            | CliError::Image(_)
            | CliError::Targets(
                ChooseError::Image(_)
                | ChooseError::Kernel(_)
                | ChooseError::NoTarget { .. }
                | ChooseError::Command { .. },
            )
            | CliError::Wanted(_)
            | CliError::Unreadable { .. }
            | CliError::NoReport { .. }
            | CliError::Shard(_)
            | CliError::Kcidb(_)
            | CliError::Kernels(_)
            | CliError::Usage(_)
            | CliError::Export(_)
            | CliError::Record(RecordError::Log { .. } | RecordError::Unreadable { .. })
            | CliError::Diff(_) => USAGE,
            // A shard whose report is not there may have been lost.
            CliError::Merge(crate::document::merge::MergeError::Missing(_)) => LOST,
            CliError::Merge(_) => USAGE,
            CliError::Search(error) => of_search(error),
            CliError::Targets(ChooseError::Cache(_))
            | CliError::Fetch(_)
            | CliError::Output(_)
            | CliError::Record(_)
            | CliError::Report { .. } => LOST,
        }
    }
}

/// The exit status when a search stops before its end.
fn of_search(error: &BisectError) -> u8 {
    match error {
        BisectError::Lab(LabError::Interrupted) => interrupt::STATUS,
        BisectError::History(
            GitError::NoRepository { .. }
            | GitError::NoCommit { .. }
            | GitError::Owner { .. }
            | GitError::Shallow { .. },
        )
        | BisectError::Kept(StateError::Busy(_) | StateError::Another { .. } | StateError::NoPlace) => USAGE,
        _ => LOST,
    }
}
