//! `--report ktap`: KTAP version 1, as the kernel's Documentation/dev-tools/ktap.rst says it, nested by target, suite
//! and case. Each level says its name in a `# Subtest:` line, as KUnit's does.

use std::io::{self, Write};

use crate::document::lines::one_line;
use crate::document::plain::{counts, details, headline, kernel, settings};
use crate::document::{Case, CaseResult, Document, Status, Target, Trouble};

/// Writes the document.
///
/// # Errors
/// What the writer says.
pub(super) fn write(document: &Document, out: &mut dyn Write) -> io::Result<()> {
    let troubles = document.troubles();
    let of_the_run = troubles.iter().filter(|trouble| trouble.target.is_none());
    let count = document.targets.len();
    writeln!(out, "KTAP version 1\n1..{}", count + of_the_run.clone().count())?;
    writeln!(out, "# kconform {}, {}", document.kconform, document.started)?;
    writeln!(out, "# case files: sha256 {}", document.suite.sha256)?;
    if document.partial {
        writeln!(out, "# partial: not every case came to a result on every target")?;
    }
    if document.nothing_ran {
        writeln!(out, "# nothing was tested: no case ran on any target")?;
    }
    let suites = document.suites();
    for (nth, target) in document.targets.iter().enumerate() {
        let troubles = troubles.iter().filter(|trouble| trouble.target.as_ref() == Some(&target.name));
        let mut fine = troubles.clone().count() == 0;
        let count = suites.len() + troubles.clone().count();
        writeln!(out, "  KTAP version 1\n  # Subtest: {}\n  1..{count}", name(&target.name))?;
        write_target(target, out)?;
        for (number, (suite, cases)) in suites.iter().enumerate() {
            let well = write_suite(suite, cases, nth, out)?;
            writeln!(out, "  {} {} {}", ok(well), number + 1, name(suite))?;
            fine &= well;
        }
        for (number, trouble) in troubles.enumerate() {
            writeln!(out, "  {}", failed_run(suites.len() + number + 1, trouble))?;
        }
        writeln!(out, "{} {} {}", ok(fine), nth + 1, name(&target.name))?;
    }
    for (number, trouble) in of_the_run.enumerate() {
        writeln!(out, "{}", failed_run(count + number + 1, trouble))?;
    }
    Ok(())
}

/// The line of what was wrong beside the cases: `not ok 3 the_target_is_not_lost # ERROR lost: …`.
fn failed_run(number: usize, trouble: &Trouble) -> String {
    let word = if trouble.kind.is_loss() { "ERROR lost: " } else { "" };
    // Parsers look for directives anywhere in the line.
    let said = diagnostic(&trouble.text).replace("# ", "#");
    format!("not ok {number} {} # {word}{said}", trouble.kind.test().replace(' ', "_"))
}

fn write_target(target: &Target, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "  # {}", diagnostic(&kernel(target)))?;
    if let Some(settings) = settings(target) {
        writeln!(out, "  # settings: {settings}")?;
    }
    writeln!(out, "  # {} in {:.3} s", counts(target), target.elapsed_ns as f64 / 1e9)?;
    if target.ran() == 0 {
        writeln!(out, "  # warning: no case ran on this target")?;
    }
    if let Some(lost) = &target.lost {
        writeln!(out, "  # lost: {}", diagnostic(&lost.why))?;
        if let Some(mend) = &lost.mend {
            writeln!(out, "  # to mend it: {}", diagnostic(mend))?;
        }
    }
    Ok(())
}

/// Writes the cases of a suite on the `nth` target; gives whether all were as they should be.
fn write_suite(suite: &str, cases: &[&Case], nth: usize, out: &mut dyn Write) -> io::Result<bool> {
    writeln!(out, "    KTAP version 1\n    # Subtest: {}\n    1..{}", name(suite), cases.len())?;
    let mut fine = true;
    for (number, case) in cases.iter().enumerate() {
        let Some(result) = case.results.get(nth) else { continue };
        if !result.status.is_fine() {
            fine = false;
            for line in details(case, result) {
                writeln!(out, "    # {}", diagnostic(&line))?;
            }
        } else if let Some(remark) = &result.remark {
            writeln!(out, "    # note: {}", diagnostic(remark))?;
        }
        // Within its suite a case is known by what comes after the suite's name.
        let short = case.id.split_once("::").map_or(case.id.as_str(), |(_, short)| short);
        let fine = ok(result.status.is_fine());
        writeln!(out, "    {fine} {} {}{}", number + 1, name(short), directive(result))?;
    }
    Ok(fine)
}

fn ok(fine: bool) -> &'static str {
    if fine { "ok" } else { "not ok" }
}

/// What follows the name: a directive, where there is one for it, and why.
fn directive(result: &CaseResult) -> String {
    let word = match result.status {
        Status::Passed if !result.is_flaky() => return String::new(),
        Status::Skipped => "SKIP ",
        Status::ExpectedFailure => "XFAIL ",
        Status::TimedOut => "TIMEOUT ",
        Status::Lost => "ERROR ",
        _ => "",
    };
    // Parsers look for directives anywhere in the line.
    let said = headline(result).replace("# ", "#");
    format!(" # {word}{said}").trim_end().to_owned()
}

/// A `#` ends a name.
fn name(text: &str) -> String {
    one_line(text).replace('#', "_")
}

/// Words of a console at which the kernel's parser takes the whole output to be over.
const ENDS: &[&str] =
    &["List of all partitions:", "Kernel panic - not syncing: VFS:", "reboot: System halted"];

fn diagnostic(text: &str) -> String {
    ENDS.iter().fold(one_line(text), |text, end| text.replace(end, &end.replace(':', " :")))
}
