//! `kconform record`.

use std::os::unix::process::ExitStatusExt;

use crate::interrupt;
use crate::record::{Recorded, record as recorded};
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
    tell(format_args!("{}", counted(&done)));
    Ok(0)
}

/// What became of the calls.
fn counted(done: &Recorded) -> String {
    let compat = match done.compat {
        0 => String::new(),
        count => format!("; {count} 32-bit calls not looked at"),
    };
    format!(
        "{} steps; {} calls left out, which stand in comments; {} taken out, on which nothing depends{compat}",
        done.steps, done.left_out, done.unneeded
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_the_calls_is_counted() {
        let status = std::process::ExitStatus::from_raw(0);
        let done = Recorded { text: String::new(), steps: 3, left_out: 2, unneeded: 1, compat: 7, status };
        let text = "3 steps; 2 calls left out, which stand in comments; 1 taken out, on which nothing depends; 7 32-bit calls not looked at";
        assert_eq!(counted(&done), text);
    }
}
