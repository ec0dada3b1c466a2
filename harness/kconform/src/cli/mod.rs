//! The command line: arguments as parsed (`args`), then resolved, then done.

mod args;
mod bisect;
mod bisect_args;
mod bisect_images;
mod bisect_step;
mod bisect_text;
mod bounds;
mod check;
mod compare;
mod coverage;
mod diff;
mod doctor;
mod explain;
mod image;
mod list;
mod manual;
mod merge;
mod report;
mod run;
mod schema;
mod shard;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use args::{Cli, Color, Command};

use crate::guest::image::ImageError;
use crate::guest::qemu::wait_for_ended;
use crate::load::suites::SuiteError;
use crate::style::Style;
use crate::targets::choose::ChooseError;

/// A case was not as it should be.
const FAILED: u8 = 1;
/// Usage, or mistakes in case files.
const USAGE: u8 = 2;
/// The harness or a guest could not do its work.
const LOST: u8 = 3;

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
    /// Arguments that do not go together.
    #[error("{0}")]
    Usage(String),
    /// The output could not be written.
    #[error("the output cannot be written: {0}")]
    Output(#[from] std::io::Error),
}

impl CliError {
    fn status(&self) -> u8 {
        match self {
            CliError::Suites(_)
            | CliError::Selection(_)
            | CliError::Image(_)
            | CliError::Targets(
                ChooseError::Image(_) | ChooseError::Kernel(_) | ChooseError::NoTarget { .. },
            )
            | CliError::Wanted(_)
            | CliError::Unreadable { .. }
            | CliError::NoReport { .. }
            | CliError::Shard(_)
            | CliError::Kcidb(_)
            | CliError::Kernels(_)
            | CliError::Usage(_)
            | CliError::Diff(_) => USAGE,
            // A shard whose report is not there may have been lost.
            CliError::Merge(crate::document::merge::MergeError::Missing(_)) => LOST,
            CliError::Merge(_) => USAGE,
            CliError::Search(error) => bisect::status(error),
            CliError::Targets(ChooseError::Cache(_))
            | CliError::Fetch(_)
            | CliError::Output(_)
            | CliError::Report { .. } => LOST,
        }
    }
}

/// Parses the command line, does what it says and gives the exit status.
pub fn main() -> ExitCode {
    let status = work();
    wait_for_ended();
    status
}

fn work() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => bisect_step::misused(&error),
    };
    let styles = Styles::wished(cli.color);
    let style = styles.out;
    let done = match cli.command {
        Command::Run(args) => run::run(&args, styles),
        Command::Check(args) => check::check(&args, style),
        Command::List(args) => list::list(&args, style),
        Command::Coverage(args) => coverage::print(&args, style),
        Command::Image(command) => image::image(&command),
        Command::Targets(args) => image::targets(&args, style),
        Command::Doctor(args) => doctor::doctor(&args, style),
        Command::Explain(args) => explain::explain(&args, style),
        Command::Bisect(args) => bisect::bisect(&args, styles),
        Command::BisectStep(args) => return bisect_step::bisect_step(&args, styles.err),
        Command::Compare(args) => compare::compare(&args, styles),
        Command::Report(args) => report::report(&args, styles.err),
        Command::Merge(args) => merge::merge(&args, styles),
        Command::Diff(args) => diff::diff(&args, style),
        Command::Schema { of } => schema::schema(of),
        Command::Manual { folder } => manual::manual(&folder),
        Command::Completions { shell } => completions(shell),
    };
    let status = done.unwrap_or_else(|error| match error {
        // The reader of a pipe has seen enough.
        CliError::Output(e) if e.kind() == std::io::ErrorKind::BrokenPipe => 0,
        error => {
            eprintln!("{} {error}", styles.err.bad("error:"));
            error.status()
        }
    });
    ExitCode::from(status)
}

fn completions(shell: clap_complete::Shell) -> Result<u8, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "kconform", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(0)
}

/// Whether what is written where is coloured.
#[derive(Clone, Copy, Debug)]
struct Styles {
    /// Standard output.
    out: Style,
    /// Standard error.
    err: Style,
}

impl Styles {
    fn wished(wish: Color) -> Styles {
        let variable = |name: &str| std::env::var_os(name);
        let on = |terminal| Style { color: colors(wish, terminal, variable) };
        Styles { out: on(std::io::stdout().is_terminal()), err: on(std::io::stderr().is_terminal()) }
    }
}

/// Whether to use colours, as <https://no-color.org> and <https://bixense.com/clicolors> say.
fn colors(wish: Color, terminal: bool, variable: impl Fn(&str) -> Option<OsString>) -> bool {
    let set = |name: &str| variable(name).is_some_and(|value| !value.is_empty() && value != "0");
    match wish {
        Color::Always => true,
        Color::Never => false,
        Color::Auto if variable("NO_COLOR").is_some_and(|value| !value.is_empty()) => false,
        Color::Auto if set("CLICOLOR_FORCE") => true,
        Color::Auto => terminal && variable("CLICOLOR").is_none_or(|value| value != "0"),
    }
}
