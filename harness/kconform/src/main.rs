//! The `kconform` command.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    kconform::cli::main()
}
