//! `kconform export`.

use std::path::Path;

use crate::case::Case;
use crate::export::{ExportError, Manner, c_file, test_name};
use crate::report::{Destination, WantedError};
use crate::select::Selection;
use crate::style::Style;

use super::args::{ExportArgs, ExportCommand};
use super::cases::selected;
use super::error::{CliError, USAGE};
use super::tell::tell;

pub(super) fn export(command: &ExportCommand, style: Style) -> Result<u8, CliError> {
    let ExportCommand::C(args) = command;
    let cases = selected(&args.suite, Selection::from(&args.select), style)?;
    match (cases.as_slice(), &args.output) {
        ([case], output) if !output.as_ref().is_some_and(|path| path.is_dir()) => one(args, case),
        (cases, Some(folder)) => several(cases, folder, args.manner(), style),
        (cases, None) => {
            let count = cases.len();
            Err(CliError::Usage(format!(
                "these are {count} cases; name one, or a folder for the files: -o FOLDER"
            )))
        }
    }
}

fn one(args: &ExportArgs, case: &Case) -> Result<u8, CliError> {
    let text = c_file(case, args.manner())?;
    let destination = Destination::open(args.output.as_deref()).map_err(WantedError::from)?;
    let path = destination.called().to_owned();
    let written = destination.write(&mut |out| out.write_all(text.as_bytes()));
    written.map_err(|error| CliError::Report { path, error })?;
    Ok(0)
}

/// A file a case. What cannot be written as C is told, and the others are written all the same.
fn several(cases: &[Case], folder: &Path, manner: Manner, style: Style) -> Result<u8, CliError> {
    let unwritten = |path: &Path, error| CliError::Report { path: path.to_owned(), error };
    std::fs::create_dir_all(folder).map_err(|error| unwritten(folder, error))?;
    let (mut refused, mut written) = (0, Vec::new());
    for case in cases {
        match c_file(case, manner) {
            Ok(text) => {
                let name = match manner {
                    Manner::Alone => file_name(&case.id),
                    Manner::Kselftest => test_file_name(case, &written),
                };
                let path = folder.join(format!("{name}.c"));
                std::fs::write(&path, text).map_err(|error| unwritten(&path, error))?;
                written.push(name);
            }
            Err(ExportError { place, form }) => {
                refused += 1;
                let error = ExportError { place, form };
                tell(format_args!("{} {error} ({})", style.bad("error:"), case.id));
            }
        }
    }
    if manner == Manner::Kselftest {
        let path = folder.join("Makefile");
        std::fs::write(&path, makefile(&written)).map_err(|error| unwritten(&path, error))?;
    }
    tell(format_args!("{} of {} cases exported to {}", cases.len() - refused, cases.len(), folder.display()));
    Ok(if refused > 0 { USAGE } else { 0 })
}

/// A Makefile for a folder of tools/testing/selftests.
fn makefile(tests: &[String]) -> String {
    let lines: String = tests.iter().map(|test| format!("TEST_GEN_PROGS += {test}\n")).collect();
    format!(
        "# SPDX-License-Identifier: MIT OR Apache-2.0\nCFLAGS += -std=gnu11 -O2 -Wall -pthread $(KHDR_INCLUDES)\n{lines}\ninclude ../lib.mk\n"
    )
}

/// The longest name that file systems have room for.
const LONGEST: usize = 200;

/// The name of a test's file, which none has yet.
fn test_file_name(case: &Case, taken: &[String]) -> String {
    let name = test_name(case);
    let short = name.get(..LONGEST);
    match short {
        None if !taken.contains(&name) => name,
        short => format!("{}_{:08x}", short.unwrap_or(&name), crc32fast::hash(case.id.as_bytes())),
    }
}

/// The name of a case's file: letters, digits and `_` of its id, cut where file systems have no room, with a hash then.
fn file_name(id: &str) -> String {
    let plain: String =
        id.chars().map(|c| if c.is_ascii_alphanumeric() || "-.=".contains(c) { c } else { '_' }).collect();
    let sum = crc32fast::hash(id.as_bytes());
    let short = plain.get(..LONGEST).unwrap_or(&plain);
    format!("{short}.{sum:08x}")
}
