//! Arguments that several commands have.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Which case files.
#[derive(Debug, Args)]
pub(in crate::cli) struct SuiteArgs {
    /// A folder of case files, or one file; may be given more than once. Default: the `cases` folder here, or that of
    /// kconform's own checkout, or else the cases that kconform carries.
    #[arg(id = "suites", long = "cases", value_name = "PATH", env = "KCONFORM_CASES", value_delimiter = ':')]
    pub(in crate::cli) paths: Vec<PathBuf>,
}

/// Which cases.
#[derive(Debug, Args)]
pub(in crate::cli) struct SelectArgs {
    /// Parts of case ids, or patterns with * and ? for whole ids.
    #[arg(value_name = "CASE")]
    pub(in crate::cli) patterns: Vec<String>,
    /// CASE is a whole id.
    #[arg(long)]
    pub(in crate::cli) exact: bool,
    /// Only cases with this tag; may be given more than once.
    #[arg(long = "tag", value_name = "TAG")]
    pub(in crate::cli) tags: Vec<String>,
    /// Not the cases that match; may be given more than once.
    #[arg(long, value_name = "CASE")]
    pub(in crate::cli) exclude: Vec<String>,
}

/// How things are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Format {
    /// For people.
    Text,
    /// For editors and programs.
    Json,
}

/// Arguments of `targets`.
#[derive(Debug, Args)]
pub(in crate::cli) struct TargetsArgs {
    /// A folder with further image files; the names that they have are theirs. KCONFORM_IMAGES names folders, too.
    #[arg(long, value_name = "PATH")]
    pub(in crate::cli) images: Option<PathBuf>,
}
