//! The arguments of `record`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

/// Arguments of `record`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kconform record -o case.yaml -- bpftool prog load prog.o /sys/fs/bpf/prog
  kconform record -o case.yaml -- sh -c 'make-map && use-map'   several programs, one case
  kconform record -o case.yaml --strace LOG   what somebody else has seen, from a log of strace
  kconform check case.yaml && kconform run --cases case.yaml --target native

Recorded are bpf(2), perf_event_open(2), mmap(2) and ioctl(2) of their fds, and unlink(2) of
pins, of all processes and threads of the program. What is pinned is pinned in a bpf file system
of the case's own. What a case cannot repeat stands in a comment at its place: ids, types and
devices of this machine. The program runs as you, with all it does. Exit status 3: it cannot be
traced, or made no such call.

A log of strace has less: it says where keys, values and packets are, and not what they hold. Calls
that depend on what a log does not have stand in comments.")]
pub(in crate::cli) struct RecordArgs {
    /// Write the case file here. Without it the file goes to standard output, and what the program writes there to standard
    /// error.
    #[arg(long, short, value_name = "FILE")]
    pub(in crate::cli) output: Option<PathBuf>,
    /// Read this log instead of running a program. It was written by: strace -f -v -xx -s 65536 -o LOG PROGRAM
    #[arg(long, value_name = "LOG", conflicts_with = "program")]
    pub(in crate::cli) strace: Option<PathBuf>,
    /// The program and its arguments.
    #[arg(
        value_name = "PROGRAM",
        required_unless_present = "strace",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub(in crate::cli) program: Vec<OsString>,
}
