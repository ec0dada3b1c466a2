//! `kconform manual`: a manual page of the program and one of each command, for packages.

use std::path::Path;

use clap::CommandFactory;

use super::args::Cli;
use super::error::CliError;

pub(super) fn manual(folder: &Path) -> Result<u8, CliError> {
    let written = clap_mangen::generate_to(Cli::command(), folder);
    written.map_err(|error| CliError::Report { path: folder.to_owned(), error })?;
    Ok(0)
}
