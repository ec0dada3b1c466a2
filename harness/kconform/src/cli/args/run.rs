//! The arguments of `run`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::report::Wanted;
use crate::shard::Wish;

use super::{SelectArgs, SuiteArgs};

/// Arguments of `run`.
#[derive(Debug, Args)]
pub(in crate::cli) struct RunArgs {
    /// Which cases.
    #[command(flatten)]
    pub(in crate::cli) select: SelectArgs,
    /// Which case files.
    #[command(flatten)]
    pub(in crate::cli) suite: SuiteArgs,
    /// A kernel to run on: native, an image such as x86_64, riscv64, x86_64-6.1 (see `kconform targets`), a machine over
    /// ssh (ssh:user@host, ssh://user@host:port), or what a command starts ('cmd:runsc do {agent}',
    /// 'cmd:arch=riscv64 qemu-riscv64-static {agent}'); may be given more than once, and be a list with commas. Default: native, x86_64 and riscv64 as far as they are set up.
    #[arg(long = "target", short, value_name = "TARGET")]
    pub(in crate::cli) targets: Vec<String>,
    /// A kernel of your own to run on: a bzImage, vmlinuz, Image, Image.gz, vmlinux, zboot image or build tree, of any
    /// architecture that there is an image for; may be given more than once.
    #[arg(long = "kernel", short, value_name = "PATH")]
    pub(in crate::cli) kernels: Vec<PathBuf>,
    /// A folder with further image files; the names that they have are theirs. KCONFORM_IMAGES names folders, too.
    #[arg(long, value_name = "PATH")]
    pub(in crate::cli) images: Option<PathBuf>,
    /// How many jobs run at the same time: targets, and where there are fewer of those, several guests of each, or several
    /// cases side by side on this machine and over ssh. Default: a target for each CPU, one guest each, and on this
    /// machine sixteen cases side by side. With 1, cases run one after another.
    #[arg(long, short, value_name = "N")]
    pub(in crate::cli) jobs: Option<std::num::NonZeroUsize>,
    /// Run the cases in another order, each round in one of its own. SEED is that of an earlier run, to have the same
    /// orders again. Reports keep the cases' order.
    #[arg(long, value_name = "SEED", num_args = 0..=1, require_equals = true)]
    pub(in crate::cli) shuffle: Option<Option<u64>>,
    /// Boot every guest afresh, instead of restoring it from a snapshot of one that was booted before.
    #[arg(long)]
    pub(in crate::cli) cold: bool,
    /// What a case shares with no other: with `guest`, every case has a guest for itself, fresh from the snapshot. Nothing
    /// changes for targets that are no guests.
    #[arg(long, value_name = "WHAT", value_enum)]
    pub(in crate::cli) isolate: Option<Isolate>,
    /// Send guests the seed of an earlier run for their random numbers (getrandom(2)): its report and `--verbose` tell it.
    #[arg(long, value_name = "NUMBER")]
    pub(in crate::cli) seed: Option<u32>,
    /// Do not look for what outlives a case (BPF objects that stay pinned or attached, say), which makes it fail otherwise.
    #[arg(long, conflicts_with = "check_leaks")]
    pub(in crate::cli) no_check_leaks: bool,
    /// Insist on it: where it cannot be looked for, nothing is known of a case. Without this it is then left out.
    #[arg(long)]
    pub(in crate::cli) check_leaks: bool,
    /// Show the steps of the cases that pass, too.
    #[arg(long, short)]
    pub(in crate::cli) verbose: bool,
    /// No progress.
    #[arg(long, short)]
    pub(in crate::cli) quiet: bool,
    /// A report beside the text: json, jsonl, html, ktap, tap, junit or github; may be given more than once. Without a file, or
    /// with `-`, it goes to standard output, and the text to standard error. jsonl is written as the results come: what
    /// is there when the run is killed can be read by `kconform report`.
    #[arg(long = "report", value_name = "FORMAT[=FILE]")]
    pub(in crate::cli) reports: Vec<Wanted>,
    /// Run all cases so many times on each target; a case that does not always come to the same end is called flaky.
    #[arg(long, value_name = "N")]
    pub(in crate::cli) repeat: Option<std::num::NonZeroU64>,
    /// Run only a part of the cases: `3/8` is the third of eight, `auto` the one that CI_NODE_INDEX and CI_NODE_TOTAL
    /// name (or SLURM_ARRAY_TASK_ID), `auto/8` the one of eight that JOB_COMPLETION_INDEX names. Each case is in exactly
    /// one. `kconform merge` joins the reports.
    #[arg(long, value_name = "N/M")]
    pub(in crate::cli) shard: Option<Wish>,
    /// A JSON report of an earlier run, by whose times the cases are spread over the shards; all shards must be given
    /// the same one. Without, all cases count alike.
    #[arg(long, value_name = "JSON", requires = "shard")]
    pub(in crate::cli) times: Option<PathBuf>,
    /// Run all cases again and again, at most --repeat times, until one is not as it should be.
    #[arg(long)]
    pub(in crate::cli) until_fail: bool,
    /// A case that is skipped makes the exit status 1.
    #[arg(long)]
    pub(in crate::cli) fail_on_skip: bool,
    /// Exit status 1 if fewer than N cases ran on a target. A case that was skipped or lost did not run. Of several such
    /// options the last one counts.
    #[arg(long, value_name = "N", overrides_with = "min_run")]
    pub(in crate::cli) min_run: Option<std::num::NonZeroU64>,
}

/// What a case shares with no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Isolate {
    /// The guest that it runs in.
    Guest,
}
