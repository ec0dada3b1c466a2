//! `kconform record`.

use std::os::unix::process::ExitStatusExt;

use crate::interrupt;
use crate::record::record as recorded;
use crate::report::{Destination, WantedError};
use crate::style::Style;

use super::args::RecordArgs;
use super::error::CliError;
use super::tell::tell;

pub(super) fn record(args: &RecordArgs, style: Style) -> Result<u8, CliError> {
    // Ctrl-C is for the program; its end is recorded.
    interrupt::watch()?;
    let destination = Destination::open(args.output.as_deref()).map_err(WantedError::from)?;
    let done = recorded(&args.program, destination.is_stdout())?;
    let path = destination.called().to_owned();
    let written = destination.write(&mut |out| out.write_all(done.text.as_bytes()));
    written.map_err(|error| CliError::Report { path, error })?;
    if !done.status.success() {
        let how = match (done.status.code(), done.status.signal()) {
            (Some(code), _) => format!("exit status {code}"),
            (None, signal) => format!("signal {}", signal.unwrap_or(0)),
        };
        tell(format_args!("{} the program ended with {how}", style.warn("note:")));
    }
    let compat = match done.compat {
        0 => String::new(),
        count => format!(", {count} 32-bit calls not looked at"),
    };
    tell(format_args!(
        "{} steps; {} calls left out, which stand in comments; {} taken out, on which nothing depends{compat}",
        done.steps, done.left_out, done.unneeded
    ));
    Ok(0)
}
