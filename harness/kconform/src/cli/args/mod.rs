//! The command line as it is parsed.

mod bisect;
mod bless;
mod cases;
mod common;
mod export;
mod image;
mod record;
mod report;
mod run;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

pub(super) use bisect::{BisectArgs, BisectStepArgs, BuildingArgs, CompareArgs};
pub(super) use bless::BlessArgs;
pub(super) use cases::{CheckArgs, CoverageArgs, ExplainArgs, ListArgs};
pub(super) use common::{Format, SelectArgs, SuiteArgs, TargetsArgs};
pub(super) use export::{ExportArgs, ExportCommand};
pub(super) use image::ImageCommand;
pub(super) use record::RecordArgs;
pub(super) use report::{DiffArgs, MergeArgs, ReportArgs};
pub(super) use run::{Isolate, RunArgs};

/// Checks that kernels keep their promises: runs YAML cases of system calls on this kernel and in QEMU guests.
#[derive(Debug, Parser)]
#[command(
    name = "kconform",
    version,
    about,
    max_term_width = 100,
    after_help = "Examples:
  kconform check                          read all case files, show all mistakes
  kconform list 'bpf/map/*' --tag error   what there is
  kconform run                            all cases on this kernel and on the guests that are set up
  kconform run --target riscv64 lpm_trie  some cases on one kernel
  kconform run --cases my/cases           cases of your own
  kconform image fetch riscv64            get a guest's kernel

Exit status: 0 all as expected; 1 a case was not, or fewer cases ran than asked for;
2 usage, or mistakes in case files; 3 the harness or a guest could not do its work, or no case
ran at all; 130 interrupted.

Environment variables: docs/environment.md in the checkout, share/doc/kconform/docs in a package."
)]
pub(super) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(super) command: Command,
    /// When to use colours.
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    pub(super) color: Color,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    /// On a terminal, unless NO_COLOR is set; CLICOLOR and CLICOLOR_FORCE are obeyed.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run cases on kernels and say what each promised and what it did.
    Run(RunArgs),
    /// Read all case files and show all mistakes at once.
    Check(CheckArgs),
    /// List the cases.
    List(ListArgs),
    /// Count what the case files cover of bpf(2), and say what is missing: commands, errnos, map types, program types,
    /// link types, attr fields. Nothing is run.
    Coverage(CoverageArgs),
    /// Show, fetch and remove what guests are made of.
    #[command(subcommand)]
    Image(ImageCommand),
    /// List the targets and whether they can be used.
    Targets(TargetsArgs),
    /// Tell what this machine has and lacks for running cases, and the commands that mend it. Exit status 3 when the
    /// default targets cannot all run.
    Doctor(TargetsArgs),
    /// Say in words what a case does, with the numbers that a target's kernel gets.
    Explain(ExplainArgs),
    /// Run a program and write its calls of bpf(2) as a case file: with names for its fds, instructions as macros, and
    /// what came back as expectations.
    Record(RecordArgs),
    /// Let a kernel that is right say what case files expect: changes `errno`, `ret` and `expect` in place, after it showed the
    /// changes and asked.
    Bless(BlessArgs),
    /// Write a case for those who do not have kconform.
    #[command(subcommand)]
    Export(ExportCommand),
    /// Make reports in other formats of one that was written with `--report json=FILE` or `jsonl=FILE`.
    Report(ReportArgs),
    /// Join the reports of shards and of targets, written with `--report json=FILE`, to that of one run. Exit status as
    /// that run's.
    Merge(MergeArgs),
    /// Compare two reports written with `--report json=FILE`: what got worse, what is fixed, what else changed.
    Diff(DiffArgs),
    /// Find the commit that broke cases, or the kernel from which on they are not as they were.
    Bisect(BisectArgs),
    /// Build and try the commit that is checked out, for `git bisect run`. Exit status 0: good, 1: bad, 125: cannot be
    /// tested, 128 and more: `git bisect run` must stop.
    BisectStep(BisectStepArgs),
    /// Run cases on two kernels and say only what is not the same. Exit status 0: nothing, 1: something.
    Compare(CompareArgs),
    /// Print the JSON Schema of case files or of reports, for editors and programs.
    Schema {
        /// Of what.
        #[arg(value_enum)]
        of: SchemaOf,
    },
    /// Write the manual pages.
    #[command(hide = true)]
    Manual {
        /// Into this folder.
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
    },
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// What there is a JSON Schema of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum SchemaOf {
    /// Case files: for the YAML language server.
    Cases,
    /// What `--report json` writes.
    Report,
}
