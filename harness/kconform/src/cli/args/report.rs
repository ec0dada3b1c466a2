//! The arguments of `report`, `merge` and `diff`.

use std::path::PathBuf;

use clap::Args;

use crate::report::Wanted;

use super::{Format, SuiteArgs};

/// Arguments of `report`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ReportArgs {
    /// The report; `-` is standard input.
    #[arg(value_name = "JSON")]
    pub(in crate::cli) file: PathBuf,
    /// What to make of it: html, ktap, tap, junit, github, json or jsonl; may be given more than once. Without a file, or with
    /// `-`, it goes to standard output.
    #[arg(long = "report", value_name = "FORMAT[=FILE]", required_unless_present = "kcidb")]
    pub(in crate::cli) reports: Vec<Wanted>,
    /// Make a submission to KernelCI's database, KCIDB, which `kcidb-submit` sends. Without a file, or with `-`, it goes
    /// to standard output.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    pub(in crate::cli) kcidb: Option<PathBuf>,
    /// The name under which KCIDB knows the submitter.
    #[arg(long, value_name = "NAME", requires = "kcidb", default_value = "kconform")]
    pub(in crate::cli) origin: String,
    /// The build in KCIDB that a target was, `x86_64=myci:1234`; may be given more than once. Default: one is submitted
    /// with the tests.
    #[arg(long = "build", value_name = "TARGET=ID", requires = "kcidb", value_parser = pair)]
    pub(in crate::cli) builds: Vec<(String, String)>,
}

/// `NAME=VALUE`.
fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write TARGET=ID")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Arguments of `merge`.
#[derive(Debug, Args)]
pub(in crate::cli) struct MergeArgs {
    /// The reports: every shard of every target.
    #[arg(value_name = "JSON", required = true)]
    pub(in crate::cli) files: Vec<PathBuf>,
    /// Which case files, whose `renamed.txt` says what cases of older reports are called now.
    #[command(flatten)]
    pub(in crate::cli) suite: SuiteArgs,
    /// What to make of them: json, jsonl, html, ktap, tap, junit or github; may be given more than once. Without a file, or
    /// with `-`, it goes to standard output, and the text to standard error.
    #[arg(long = "report", value_name = "FORMAT[=FILE]")]
    pub(in crate::cli) reports: Vec<Wanted>,
}

/// Arguments of `diff`.
#[derive(Debug, Args)]
pub(in crate::cli) struct DiffArgs {
    /// The report before; `-` is standard input.
    #[arg(value_name = "BEFORE")]
    pub(in crate::cli) before: PathBuf,
    /// The report after.
    #[arg(value_name = "AFTER")]
    pub(in crate::cli) after: PathBuf,
    /// Which case files, whose `renamed.txt` says what cases of older reports are called now.
    #[command(flatten)]
    pub(in crate::cli) suite: SuiteArgs,
    /// Compare only this target, or one of BEFORE with another of AFTER: `x86_64-6.1=x86_64`; may be given more than
    /// once. Default: targets of the same name, or the only ones.
    #[arg(long = "target", short, value_name = "TARGET[=TARGET]", value_delimiter = ',')]
    pub(in crate::cli) targets: Vec<String>,
    /// A case that ran and is now skipped, or no longer there, counts as worse.
    #[arg(long)]
    pub(in crate::cli) strict: bool,
    /// How the comparison is written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(in crate::cli) format: Format,
}
