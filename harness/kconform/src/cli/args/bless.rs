//! The arguments of `bless`.

use std::path::PathBuf;

use clap::Args;

/// Arguments of `bless`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kconform bless my/cases --target x86_64              see what that kernel does otherwise, and be asked
  kconform bless my/cases/new.yaml --target native --outputs --yes   fill in what steps say nothing of
  kconform bless my/cases --target x86_64-6.12 --except-on x86_64-5.10   say what 5.10 does otherwise

The cases run on the kernel, and where a call answers something else than its step says, `errno`,
`ret` and the values of `expect` change to what it answered; comments, order and layout stay. In a
table the value of the row changes. What the kernel answers differently from one run to the next is
never written, nor what stands in words that two cases share and that only one of them needs: that
is told, with its place. Ranges and other patterns are yours to change.

With --except-on, each step that the other kernel answers otherwise gets an `except` with what it
answers, under a condition: a range of versions that the images of its architecture tell, which are
run too as far as they are here, or its architecture. Which versions were seen is said beside it.

Exit status: 0 the files say what the kernel does; 1 they do not, and nothing was written, or not
all could be; 2 usage, or mistakes in case files; 3 cases were lost, or none ran.")]
pub(in crate::cli) struct BlessArgs {
    /// Case files, or folders of them, whose expectations are to be those of the kernel.
    #[arg(value_name = "PATH", required = true)]
    pub(in crate::cli) paths: Vec<PathBuf>,
    /// The kernel that is right: native, an image, ssh:HOST, or the path of a kernel or of a build tree.
    #[arg(long, short, value_name = "KERNEL")]
    pub(in crate::cli) target: String,
    /// Another kernel, as for --target: where it answers otherwise, steps get an `except`; may be given more than once.
    #[arg(long, value_name = "KERNEL")]
    pub(in crate::cli) except_on: Vec<String>,
    /// Only these cases: parts of their ids, or patterns with * and ? for whole ids; may be given more than once.
    #[arg(long = "case", value_name = "CASE")]
    pub(in crate::cli) cases: Vec<String>,
    /// CASE is a whole id.
    #[arg(long, requires = "cases")]
    pub(in crate::cli) exact: bool,
    /// Add an `expect` to steps that have outputs and say nothing of them.
    #[arg(long)]
    pub(in crate::cli) outputs: bool,
    /// Write without asking.
    #[arg(long, short)]
    pub(in crate::cli) yes: bool,
    /// A folder with image files. Default: kconform's own.
    #[arg(long, value_name = "PATH")]
    pub(in crate::cli) images: Option<PathBuf>,
    /// No progress.
    #[arg(long, short)]
    pub(in crate::cli) quiet: bool,
}
