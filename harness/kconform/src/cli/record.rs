//! `kconform record`.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use crate::interrupt;
use crate::record::{Recorded, record as recorded, record_log};
use crate::report::{Destination, WantedError};
use crate::style::Style;

use super::args::RecordArgs;
use super::error::CliError;
use super::tell::tell;

pub(super) fn record(args: &RecordArgs, style: Style) -> Result<u8, CliError> {
    let destination = Destination::open(args.output.as_deref()).map_err(WantedError::from)?;
    let done = match &args.strace {
        Some(log) => record_log(log)?,
        None => {
            // Ctrl-C is for the program; its end is recorded.
            interrupt::watch()?;
            recorded(&args.program, destination.is_stdout())?
        }
    };
    for (line, note) in &done.notes {
        let log = args.strace.as_deref().unwrap_or(Path::new(""));
        tell(format_args!("{} {}:{line}: {note}", style.warn("note:"), log.display()));
    }
    let path = destination.called().to_owned();
    let written = destination.write(&mut |out| out.write_all(done.text.as_bytes()));
    written.map_err(|error| CliError::Report { path, error })?;
    if let Some(status) = done.status.filter(|status| !status.success()) {
        let how = match (status.code(), status.signal()) {
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
        let (text, notes) = Default::default();
        let done = Recorded { text, steps: 3, left_out: 2, unneeded: 1, compat: 7, status: None, notes };
        let text = "3 steps; 2 calls left out, which stand in comments; 1 taken out, on which nothing depends; 7 32-bit calls not looked at";
        assert_eq!(counted(&done), text);
    }
}
