//! The command line as it is parsed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::bisect_args::{BisectArgs, BisectStepArgs, CompareArgs};
use crate::report::Wanted;
use crate::shard::Wish;

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

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// The case's id, or a part of it, or a pattern with * and ?; or the name of a system call, whose arguments are told,
    /// or of a structure of the uapi headers (open_how), whose members are.
    #[arg(value_name = "CASE|SYSCALL|STRUCT")]
    pub(super) case: String,
    /// Which case files.
    #[command(flatten)]
    pub(super) suite: SuiteArgs,
    /// A target, or an architecture, whose numbers are shown.
    #[arg(long, short, value_name = "TARGET", default_value = "native")]
    pub(super) target: String,
    /// Send guests the seed of an earlier run for their random numbers (getrandom(2)): its report tells it.
    #[arg(long, value_name = "NUMBER")]
    pub(super) seed: Option<u32>,
    /// Only say it. Otherwise a case that is alone is also run in a guest of every kernel that is in the cache.
    #[arg(long)]
    pub(super) no_run: bool,
}

/// Arguments of `report`.
#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// The report; `-` is standard input.
    #[arg(value_name = "JSON")]
    pub(super) file: PathBuf,
    /// What to make of it: html, ktap, tap, junit, github, json or jsonl; may be given more than once. Without a file, or with
    /// `-`, it goes to standard output.
    #[arg(long = "report", value_name = "FORMAT[=FILE]", required_unless_present = "kcidb")]
    pub(super) reports: Vec<Wanted>,
    /// Make a submission to KernelCI's database, KCIDB, which `kcidb-submit` sends. Without a file, or with `-`, it goes
    /// to standard output.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    pub(super) kcidb: Option<PathBuf>,
    /// The name under which KCIDB knows the submitter.
    #[arg(long, value_name = "NAME", requires = "kcidb", default_value = "kconform")]
    pub(super) origin: String,
    /// The build in KCIDB that a target was, `x86_64=myci:1234`; may be given more than once. Default: one is submitted
    /// with the tests.
    #[arg(long = "build", value_name = "TARGET=ID", requires = "kcidb", value_parser = pair)]
    pub(super) builds: Vec<(String, String)>,
}

/// `NAME=VALUE`.
fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write TARGET=ID")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Arguments of `merge`.
#[derive(Debug, Args)]
pub(super) struct MergeArgs {
    /// The reports: every shard of every target.
    #[arg(value_name = "JSON", required = true)]
    pub(super) files: Vec<PathBuf>,
    /// What to make of them: json, jsonl, html, ktap, tap, junit or github; may be given more than once. Without a file, or
    /// with `-`, it goes to standard output, and the text to standard error.
    #[arg(long = "report", value_name = "FORMAT[=FILE]")]
    pub(super) reports: Vec<Wanted>,
}

/// Arguments of `diff`.
#[derive(Debug, Args)]
pub(super) struct DiffArgs {
    /// The report before; `-` is standard input.
    #[arg(value_name = "BEFORE")]
    pub(super) before: PathBuf,
    /// The report after.
    #[arg(value_name = "AFTER")]
    pub(super) after: PathBuf,
    /// Compare only this target, or one of BEFORE with another of AFTER: `x86_64-6.1=x86_64`; may be given more than
    /// once. Default: targets of the same name, or the only ones.
    #[arg(long = "target", short, value_name = "TARGET[=TARGET]", value_delimiter = ',')]
    pub(super) targets: Vec<String>,
    /// A case that ran and is now skipped, or no longer there, counts as worse.
    #[arg(long)]
    pub(super) strict: bool,
    /// How the comparison is written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(super) format: Format,
}

/// What there is a JSON Schema of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum SchemaOf {
    /// Case files: for the YAML language server.
    Cases,
    /// What `--report json` writes.
    Report,
}

/// Which case files.
#[derive(Debug, Args)]
pub(super) struct SuiteArgs {
    /// A folder of case files, or one file; may be given more than once. Default: the `cases` folder here, or that of
    /// kconform's own checkout, or else the cases that kconform carries.
    #[arg(id = "suites", long = "cases", value_name = "PATH", env = "KCONFORM_CASES", value_delimiter = ':')]
    pub(super) paths: Vec<PathBuf>,
}

/// Which cases.
#[derive(Debug, Args)]
pub(super) struct SelectArgs {
    /// Parts of case ids, or patterns with * and ? for whole ids.
    #[arg(value_name = "CASE")]
    pub(super) patterns: Vec<String>,
    /// CASE is a whole id.
    #[arg(long)]
    pub(super) exact: bool,
    /// Only cases with this tag; may be given more than once.
    #[arg(long = "tag", value_name = "TAG")]
    pub(super) tags: Vec<String>,
    /// Not the cases that match; may be given more than once.
    #[arg(long, value_name = "CASE")]
    pub(super) exclude: Vec<String>,
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// Which cases.
    #[command(flatten)]
    pub(super) select: SelectArgs,
    /// Which case files.
    #[command(flatten)]
    pub(super) suite: SuiteArgs,
    /// A kernel to run on: native, an image such as x86_64, riscv64, x86_64-6.1 (see `kconform targets`), or a machine
    /// over ssh (ssh:user@host, ssh://user@host:port); may be given more than once. Default: native, x86_64 and riscv64 as far as they are set up.
    #[arg(long = "target", short, value_name = "TARGET", value_delimiter = ',')]
    pub(super) targets: Vec<String>,
    /// A kernel of your own to run on: a bzImage, vmlinuz, Image, Image.gz, vmlinux, zboot image or build tree, of any
    /// architecture that there is an image for; may be given more than once.
    #[arg(long = "kernel", short, value_name = "PATH")]
    pub(super) kernels: Vec<PathBuf>,
    /// A folder with image files. Default: kconform's own.
    #[arg(long, value_name = "PATH")]
    pub(super) images: Option<PathBuf>,
    /// How many kernels run at the same time: targets, and where there are fewer of those, several guests of each, which
    /// share its cases. Default: one for each CPU, and one guest a target.
    #[arg(long, short, value_name = "N")]
    pub(super) jobs: Option<std::num::NonZeroUsize>,
    /// Boot every guest afresh, instead of restoring it from a snapshot of one that was booted before.
    #[arg(long)]
    pub(super) cold: bool,
    /// What a case shares with no other: with `guest`, every case has a guest for itself, fresh from the snapshot. Nothing
    /// changes for targets that are no guests.
    #[arg(long, value_name = "WHAT", value_enum)]
    pub(super) isolate: Option<Isolate>,
    /// Send guests the seed of an earlier run for their random numbers (getrandom(2)): its report and `--verbose` tell it.
    #[arg(long, value_name = "NUMBER")]
    pub(super) seed: Option<u32>,
    /// Do not look for what outlives a case (BPF objects that stay pinned or attached, say), which makes it fail otherwise.
    #[arg(long, conflicts_with = "check_leaks")]
    pub(super) no_check_leaks: bool,
    /// Insist on it: where it cannot be looked for, nothing is known of a case. Without this it is then left out.
    #[arg(long)]
    pub(super) check_leaks: bool,
    /// Show the steps of the cases that pass, too.
    #[arg(long, short)]
    pub(super) verbose: bool,
    /// No progress.
    #[arg(long, short)]
    pub(super) quiet: bool,
    /// A report beside the text: json, jsonl, html, ktap, tap, junit or github; may be given more than once. Without a file, or
    /// with `-`, it goes to standard output, and the text to standard error. jsonl is written as the results come: what
    /// is there when the run is killed can be read by `kconform report`.
    #[arg(long = "report", value_name = "FORMAT[=FILE]")]
    pub(super) reports: Vec<Wanted>,
    /// Run all cases so many times on each target; a case that does not always come to the same end is called flaky.
    #[arg(long, value_name = "N")]
    pub(super) repeat: Option<std::num::NonZeroU64>,
    /// Run only a part of the cases: `3/8` is the third of eight, `auto` the one that CI_NODE_INDEX and CI_NODE_TOTAL
    /// name (or SLURM_ARRAY_TASK_ID), `auto/8` the one of eight that JOB_COMPLETION_INDEX names. Each case is in exactly
    /// one. `kconform merge` joins the reports.
    #[arg(long, value_name = "N/M")]
    pub(super) shard: Option<Wish>,
    /// A JSON report of an earlier run, by whose times the cases are spread over the shards; all shards must be given
    /// the same one. Without, all cases count alike.
    #[arg(long, value_name = "JSON", requires = "shard")]
    pub(super) times: Option<PathBuf>,
    /// Run all cases again and again, at most --repeat times, until one is not as it should be.
    #[arg(long)]
    pub(super) until_fail: bool,
    /// A case that is skipped makes the exit status 1.
    #[arg(long)]
    pub(super) fail_on_skip: bool,
    /// Exit status 1 if fewer than N cases ran on a target. A case that was skipped or lost did not run. Of several such
    /// options the last one counts.
    #[arg(long, value_name = "N", overrides_with = "min_run")]
    pub(super) min_run: Option<std::num::NonZeroU64>,
}

/// What a case shares with no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Isolate {
    /// The guest that it runs in.
    Guest,
}

/// Arguments of `check`.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Case files, or folders of them. Default: as for `run`.
    #[arg(value_name = "PATH")]
    pub(super) paths: Vec<PathBuf>,
    /// Which case files.
    #[command(flatten)]
    pub(super) suite: SuiteArgs,
    /// How mistakes are written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(super) format: Format,
    /// Also list where cases end to run as kernels get newer (kernel: "<7.0"), and probes that are never due: a regression there is not
    /// seen.
    #[arg(long, conflicts_with = "format")]
    pub(super) bounds: bool,
}

/// How things are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Text,
    /// For editors and programs.
    Json,
}

/// Arguments of `list`.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Which cases.
    #[command(flatten)]
    pub(super) select: SelectArgs,
    /// Which case files.
    #[command(flatten)]
    pub(super) suite: SuiteArgs,
    /// How the list is written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(super) format: Format,
}

/// Arguments of `coverage`.
#[derive(Debug, Args)]
pub(super) struct CoverageArgs {
    /// Which case files.
    #[command(flatten)]
    pub(super) suite: SuiteArgs,
    /// As `cases/COVERAGE.md` has it.
    #[arg(long, conflicts_with = "json")]
    pub(super) markdown: bool,
    /// For programs, with every fact and the kernel's functions that an errno comes from.
    #[arg(long)]
    pub(super) json: bool,
}

/// Arguments of `targets`.
#[derive(Debug, Args)]
pub(super) struct TargetsArgs {
    /// A folder with image files. Default: kconform's own.
    #[arg(long, value_name = "PATH")]
    pub(super) images: Option<PathBuf>,
}

/// What to do with images.
#[derive(Debug, Subcommand)]
pub(super) enum ImageCommand {
    /// List the images, and which kernels and snapshots are in the cache.
    List(TargetsArgs),
    /// Remove what no image needs any more: snapshots of other kernels, agents or QEMUs, and kernels of images that are
    /// gone. What running guests use stays, and what the images of other folders ask for.
    Prune {
        /// Snapshots that are of use, too: the next run makes them again.
        #[arg(long)]
        all: bool,
        /// Only say what would be removed, and how large it is.
        #[arg(long)]
        dry_run: bool,
        /// A folder with image files. Default: kconform's own.
        #[arg(long, value_name = "PATH")]
        images: Option<PathBuf>,
    },
    /// Fetch and verify the kernels of images with this machine's apt.
    Fetch {
        /// Images, or `all`. Default: x86_64 and riscv64.
        #[arg(value_name = "IMAGE")]
        names: Vec<String>,
        /// Ask for newer kernels, even where one is there.
        #[arg(long)]
        refresh: bool,
        /// A folder with image files. Default: kconform's own.
        #[arg(long, value_name = "PATH")]
        images: Option<PathBuf>,
    },
}
