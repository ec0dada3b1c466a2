//! The arguments of `export`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{SelectArgs, SuiteArgs};
use crate::export::Manner;

/// What `export` writes.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ExportCommand {
    /// A case as one C file, which needs nothing but libc.
    C(ExportArgs),
}

/// Arguments of `export c`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kconform export c 'bpf/map/array::delete_is_refused'   one case, on standard output
  kconform export c --exact ID -o case.c && cc -static -pthread -o case case.c && ./case
  kconform export c 'bpf/map/*' -o files                 a file a case, in this folder
  kconform export c --kselftest 'bpf/map/array*' -o linux/tools/testing/selftests/array

The exit status of the C program: 0 the kernel conforms, 1 it does not, 4 skipped: the kernel or the
user lacks what the case needs. docs/exporting.md has more.")]
pub(in crate::cli) struct ExportArgs {
    /// For a folder of the kernel's tools/testing/selftests: a test of kselftest_harness.h. A folder gets a Makefile too.
    #[arg(long)]
    pub(in crate::cli) kselftest: bool,
    /// Which cases.
    #[command(flatten)]
    pub(in crate::cli) select: SelectArgs,
    /// Which case files.
    #[command(flatten)]
    pub(in crate::cli) suite: SuiteArgs,
    /// Write the file here. Of several cases: the folder that gets a file of each, named by the case's id.
    #[arg(long, short, value_name = "FILE|FOLDER")]
    pub(in crate::cli) output: Option<PathBuf>,
}

impl ExportArgs {
    /// What the files are to be part of.
    pub(in crate::cli) fn manner(&self) -> Manner {
        if self.kselftest { Manner::Kselftest } else { Manner::Alone }
    }
}
