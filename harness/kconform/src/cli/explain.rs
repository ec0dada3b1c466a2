//! `kconform explain`.

use std::io::Write;

use kconform_abi::Arch;

use super::args::ExplainArgs;
use super::{CliError, images, load_suites};
use crate::report::{Style, explain as words};
use crate::select::Selection;
use crate::target::{Target, TargetKind};

/// How many cases are explained at once.
const MOST: usize = 5;

pub(super) fn explain(args: &ExplainArgs, style: Style) -> Result<u8, CliError> {
    let arch = arch(&args.target)?;
    let cases = load_suites(&args.suite.paths)?.right(style.color)?;
    let only = |exact| Selection { patterns: vec![args.case.clone()], exact, ..Selection::default() };
    // A whole id means that case alone, even where others have it as a part of theirs.
    let exact = cases.iter().any(|case| case.id == args.case);
    let cases = only(exact).apply(cases)?;
    let mut out = std::io::stdout().lock();
    for case in cases.iter().take(MOST) {
        writeln!(out, "{}", words(case, arch, style))?;
    }
    if cases.len() > MOST {
        let rest: Vec<&str> = cases.iter().skip(MOST).map(|case| case.id.as_str()).collect();
        writeln!(out, "and {} more: {}", rest.len(), rest.join(" "))?;
    }
    Ok(0)
}

/// The architecture of a target, or of this machine for the native one.
fn arch(name: &str) -> Result<Arch, CliError> {
    if let Some(arch) = Arch::from_name(name) {
        return Ok(arch);
    }
    let unknown = || CliError::NoTarget { name: name.to_owned(), nearest: None };
    match Target::named(name, &images(None)?).ok_or_else(unknown)?.kind {
        TargetKind::Guest(image) => Ok(image.arch),
        _ => Arch::from_name(std::env::consts::ARCH).ok_or_else(unknown),
    }
}
