//! The arguments of commands that run nothing: `check`, `list`, `coverage`, `explain`.

use std::path::PathBuf;

use clap::Args;

use super::{Format, SelectArgs, SuiteArgs};

/// Arguments of `check`.
#[derive(Debug, Args)]
pub(in crate::cli) struct CheckArgs {
    /// Case files, or folders of them. Default: as for `run`.
    #[arg(value_name = "PATH")]
    pub(in crate::cli) paths: Vec<PathBuf>,
    /// Which case files.
    #[command(flatten)]
    pub(in crate::cli) suite: SuiteArgs,
    /// How mistakes are written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(in crate::cli) format: Format,
    /// Also list where cases end to run as kernels get newer (kernel: "<7.0"), and probes that are never due: a regression there is not
    /// seen.
    #[arg(long, conflicts_with = "format")]
    pub(in crate::cli) bounds: bool,
}

/// Arguments of `list`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs {
    /// Which cases.
    #[command(flatten)]
    pub(in crate::cli) select: SelectArgs,
    /// Which case files.
    #[command(flatten)]
    pub(in crate::cli) suite: SuiteArgs,
    /// How the list is written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(in crate::cli) format: Format,
}

/// Arguments of `coverage`.
#[derive(Debug, Args)]
pub(in crate::cli) struct CoverageArgs {
    /// Which case files.
    #[command(flatten)]
    pub(in crate::cli) suite: SuiteArgs,
    /// As `cases/COVERAGE.md` has it.
    #[arg(long, conflicts_with = "json")]
    pub(in crate::cli) markdown: bool,
    /// For programs, with every fact and the kernel's functions that an errno comes from.
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ExplainArgs {
    /// The case's id, or a part of it, or a pattern with * and ?; or the name of a system call, whose arguments are told,
    /// or of a structure of the uapi headers (open_how), whose members are.
    #[arg(value_name = "CASE|SYSCALL|STRUCT")]
    pub(in crate::cli) case: String,
    /// Which case files.
    #[command(flatten)]
    pub(in crate::cli) suite: SuiteArgs,
    /// A target, or an architecture, whose numbers are shown.
    #[arg(long, short, value_name = "TARGET", default_value = "native")]
    pub(in crate::cli) target: String,
    /// Send guests the seed of an earlier run for their random numbers (getrandom(2)): its report tells it.
    #[arg(long, value_name = "NUMBER")]
    pub(in crate::cli) seed: Option<u32>,
    /// Only say it. Otherwise a case that is alone is also run in a guest of every kernel that is in the cache.
    #[arg(long)]
    pub(in crate::cli) no_run: bool,
}
