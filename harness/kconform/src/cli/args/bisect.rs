//! The arguments of `bisect`, `bisect-step` and `compare`.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;

use clap::Args;

use super::{SelectArgs, SuiteArgs};

/// Arguments of `bisect`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kconform bisect --tree ~/linux --good v6.11 --bad v6.12 'bpf/map/array::delete_is_refused*'
  kconform bisect --tree ~/linux --good HEAD --bad v6.12 --expect-fail lpm_trie   which commit fixed it
  kconform bisect --images 'x86_64*' bpf/map/freeze                               between which kernels it changed

Stopped, by Ctrl-C or otherwise, the same command goes on where it was.

Exit status: 0 found; 1 not to one commit, since others cannot be tested, or no kernel changed it; 2 usage, or the ends
are not good and bad; 3 the harness or a guest could not do its work; 130 interrupted.")]
pub(in crate::cli) struct BisectArgs {
    /// Which cases.
    #[command(flatten)]
    pub(in crate::cli) select: SelectArgs,
    /// Which case files.
    #[command(flatten)]
    pub(in crate::cli) suite: SuiteArgs,
    /// A git repository of the kernel. Its checkout stays as it is: commits are built in a worktree elsewhere.
    #[arg(long, value_name = "LINUX", requires_all = ["good", "bad"], required_unless_present = "images", conflicts_with = "images")]
    pub(in crate::cli) tree: Option<PathBuf>,
    /// A revision at which the cases pass.
    #[arg(long, value_name = "REV", requires = "tree")]
    pub(in crate::cli) good: Option<String>,
    /// A revision at which they do not.
    #[arg(long, value_name = "REV", requires = "tree")]
    pub(in crate::cli) bad: Option<String>,
    /// Kernels that are built already, instead of a tree: images, by name or pattern, and files, folders of them or
    /// patterns; may be given more than once.
    #[arg(long, value_name = "GLOB", value_delimiter = ',')]
    pub(in crate::cli) images: Vec<String>,
    /// How commits are built and tried.
    #[command(flatten)]
    pub(in crate::cli) building: BuildingArgs,
    /// What git calls the older state; default: good, or broken with --expect-fail.
    #[arg(long, value_name = "WORD", requires_all = ["tree", "term_new"])]
    pub(in crate::cli) term_old: Option<String>,
    /// What git calls the newer state; default: bad, or fixed with --expect-fail.
    #[arg(long, value_name = "WORD", requires_all = ["tree", "term_old"])]
    pub(in crate::cli) term_new: Option<String>,
    /// Test only commits that change something below this path; may be given more than once.
    #[arg(long = "path", value_name = "PATH", requires = "tree")]
    pub(in crate::cli) paths: Vec<String>,
    /// Take merges for single commits.
    #[arg(long, requires = "tree")]
    pub(in crate::cli) first_parent: bool,
    /// Where the search is kept. Default: a folder of its own in $XDG_STATE_HOME/kconform/bisect, or
    /// ~/.local/state/kconform/bisect.
    #[arg(long, value_name = "FOLDER", requires = "tree")]
    pub(in crate::cli) state: Option<PathBuf>,
    /// Forget what an earlier run of the same search found out, and the kernels that it built.
    #[arg(long, requires = "tree")]
    pub(in crate::cli) restart: bool,
    /// No progress.
    #[arg(long, short)]
    pub(in crate::cli) quiet: bool,
}

/// How commits are built and tried.
#[derive(Debug, Args)]
pub(in crate::cli) struct BuildingArgs {
    /// The architecture that is built. Default: this machine's.
    #[arg(long, value_name = "ARCH")]
    pub(in crate::cli) arch: Option<String>,
    /// A kernel's .config, or the lines of one that matter (what they do not name is then off). Default: vm/kernel.config.
    #[arg(long, value_name = "FILE", conflicts_with = "build")]
    pub(in crate::cli) config: Option<PathBuf>,
    /// A shell command that builds the kernel, instead of make. It runs in the checked-out sources, with the variables O (a
    /// folder to build in), KCONFORM_KERNEL (where it may leave the kernel; otherwise it is looked for in $O, where make
    /// leaves it), KCONFORM_COMMIT, KCONFORM_ARCH, KCONFORM_JOBS, ARCH and CROSS_COMPILE. A status from 1 to 125: this commit
    /// does not build; others stop the search.
    #[arg(long, value_name = "CMD")]
    pub(in crate::cli) build: Option<String>,
    /// How many jobs make runs at a time. Default: one for each CPU.
    #[arg(long, short, value_name = "N")]
    pub(in crate::cli) jobs: Option<NonZeroUsize>,
    /// Run the cases so many times, each time in a fresh guest; a commit whose runs do not agree is skipped.
    #[arg(long, value_name = "N", default_value = "1")]
    pub(in crate::cli) confirm: NonZeroU32,
    /// Look for the commit that *fixed* the cases: the older commits fail them, the newer ones pass.
    #[arg(long)]
    pub(in crate::cli) expect_fail: bool,
}

impl BuildingArgs {
    /// The first option that is given, of those that mean nothing where nothing is built.
    pub(in crate::cli) fn given(&self) -> Option<&'static str> {
        let given = [
            (self.arch.is_some(), "--arch"),
            (self.config.is_some(), "--config"),
            (self.build.is_some(), "--build"),
            (self.jobs.is_some(), "--jobs"),
            (self.confirm.get() > 1, "--confirm"),
            (self.expect_fail, "--expect-fail"),
        ];
        given.into_iter().find_map(|(is_given, option)| is_given.then_some(option))
    }
}

/// Arguments of `bisect-step`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  git bisect start v6.12 v6.11
  git bisect run kconform bisect-step 'bpf/map/array::delete_is_refused*'")]
pub(in crate::cli) struct BisectStepArgs {
    /// Which cases: good if all of them are, bad if one of them is.
    #[command(flatten)]
    pub(in crate::cli) select: SelectArgs,
    /// Which case files.
    #[command(flatten)]
    pub(in crate::cli) suite: SuiteArgs,
    /// How the commit is built and tried.
    #[command(flatten)]
    pub(in crate::cli) building: BuildingArgs,
    /// A kernel that is built already (an image, or a build tree): nothing is built.
    #[arg(long, short, value_name = "PATH", conflicts_with_all = ["build", "config", "jobs", "arch"])]
    pub(in crate::cli) kernel: Option<PathBuf>,
    /// The folder to build in, for all steps; logs are left there, too. Default: one for this tree in the cache.
    #[arg(long, short, value_name = "FOLDER")]
    pub(in crate::cli) output: Option<PathBuf>,
}

/// Arguments of `compare`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kconform compare x86_64-6.1 x86_64
  kconform compare native ~/linux bpf/prog   this machine's kernel, and one that was built in ~/linux

Exit status: 0 no difference; 1 a verdict or an observation differs; 2 usage; 3 something was lost on the way.")]
pub(in crate::cli) struct CompareArgs {
    /// A kernel: native, an image, ssh:HOST, or the path of a kernel or of a build tree.
    #[arg(value_name = "KERNEL_A")]
    pub(in crate::cli) before: String,
    /// Another.
    #[arg(value_name = "KERNEL_B")]
    pub(in crate::cli) after: String,
    /// Which cases.
    #[command(flatten)]
    pub(in crate::cli) select: SelectArgs,
    /// Which case files.
    #[command(flatten)]
    pub(in crate::cli) suite: SuiteArgs,
    /// A folder with image files. Default: kconform's own.
    #[arg(long, value_name = "PATH")]
    pub(in crate::cli) images: Option<PathBuf>,
    /// How the comparison is written.
    #[arg(long, value_enum, default_value_t = super::Format::Text)]
    pub(in crate::cli) format: super::Format,
    /// No progress.
    #[arg(long, short)]
    pub(in crate::cli) quiet: bool,
}
