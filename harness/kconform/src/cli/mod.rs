//! The command line: arguments as parsed (`args`), then done, a file a command.

mod args;
mod bisect;
mod bless;
mod bounds;
mod cases;
mod check;
mod color;
mod compare;
mod coverage;
mod diff;
mod doctor;
mod error;
mod explain;
mod export;
mod image;
mod list;
mod manual;
mod merge;
mod observe;
mod record;
mod report;
mod reports;
mod run;
mod schema;
mod shard;
mod tell;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use args::{Cli, Command};
use color::Styles;
pub(crate) use error::CliError;
use tell::tell;

use crate::guest::qemu::wait_for_ended;
use crate::interrupt;

/// Parses the command line, does what it says and gives the exit status.
pub fn main() -> ExitCode {
    // Where this fails, the signal ends the program, as it does others.
    interrupt::tell_of_the_size_limit().ok();
    let status = work();
    wait_for_ended();
    status
}

fn work() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => bisect::step::misused(&error),
    };
    let styles = Styles::wished(cli.color);
    let style = styles.out;
    let done = match cli.command {
        Command::Run(args) => run::run(&args, styles),
        Command::Check(args) => check::check(&args, style),
        Command::List(args) => list::list(&args, style),
        Command::Coverage(args) => coverage::print(&args, style),
        Command::Image(command) => image::image(&command),
        Command::Targets(args) => image::targets(&args, style),
        Command::Doctor(args) => doctor::doctor(&args, style),
        Command::Explain(args) => explain::explain(&args, style),
        Command::Bisect(args) => bisect::bisect(&args, styles),
        Command::BisectStep(args) => return bisect::step::bisect_step(&args, styles.err),
        Command::Bless(args) => bless::bless(&args, styles),
        Command::Compare(args) => compare::compare(&args, styles),
        Command::Record(args) => record::record(&args, styles.err),
        Command::Export(command) => export::export(&command, styles.err),
        Command::Report(args) => report::report(&args, styles.err),
        Command::Merge(args) => merge::merge(&args, styles),
        Command::Diff(args) => diff::diff(&args, style),
        Command::Schema { of } => schema::schema(of),
        Command::Manual { folder } => manual::manual(&folder),
        Command::Completions { shell } => completions(shell),
    };
    let status = done.unwrap_or_else(|error| match error {
        // The reader of a pipe has seen enough.
        CliError::Output(e) if e.kind() == std::io::ErrorKind::BrokenPipe => 0,
        error => {
            tell(format_args!("{} {error}", styles.err.bad("error:")));
            error.status()
        }
    });
    ExitCode::from(status)
}

fn completions(shell: clap_complete::Shell) -> Result<u8, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "kconform", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(0)
}
