//! The end of a run: one line a target, the skipped cases by reason, and where targets differ.

use std::collections::BTreeMap;

use crate::case::Case;
use crate::document::plain::{noted, said_once};
use crate::document::{Settings, counted};
use crate::judge::Verdict;
use crate::run::TargetRun;
use crate::style::Style;
use crate::targets::CaseResult;

use super::seconds;

/// The words that are counted, in the order in which they are said.
const WORDS: &[&str] = &[
    "passed",
    "failed",
    "timed out",
    "crashed",
    "flaky",
    "lost",
    "unexpected pass",
    "expected failure",
    "skipped",
];

/// How many reasons and table rows are shown before the rest is only counted.
const MOST_REASONS: usize = 12;

/// The whole summary.
pub fn summary(cases: &[Case], runs: &[TargetRun], style: Style) -> String {
    let mut out = differences(cases, runs, style);
    out.push_str(&flaky(cases, runs, style));
    out.push_str(&notes(cases, runs, style));
    out.push_str(&skips(runs, style));
    let remarks = said_once(runs.iter().map(|run| run.remark.as_deref()));
    for (run, remark) in runs.iter().zip(remarks) {
        out.push_str(&target_line(run, remark, runs, style));
    }
    out
}

/// How many characters the longest name and the longest release have.
fn widths(runs: &[TargetRun]) -> (usize, usize) {
    let width =
        |text: fn(&TargetRun) -> &str| runs.iter().map(|run| text(run).chars().count()).max().unwrap_or(0);
    (width(|run| &run.name), width(release))
}

fn release(run: &TargetRun) -> &str {
    run.release.as_deref().unwrap_or("-")
}

fn target_line(run: &TargetRun, remark: Option<String>, runs: &[TargetRun], style: Style) -> String {
    let (name_width, release_width) = widths(runs);
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for result in &run.results {
        *counts.entry(result.verdict.word()).or_default() += 1;
    }
    let counted: Vec<String> = WORDS
        .iter()
        .filter(|word| counts.contains_key(*word) || **word == "passed")
        .map(|word| {
            let text = counted(*counts.get(word).unwrap_or(&0), word);
            match *word {
                "passed" => style.good(&text),
                "skipped" | "expected failure" => style.dim(&text),
                _ => style.bad(&text),
            }
        })
        .collect();
    let with_note = run.results.iter().filter(|result| result.remark.is_some()).count() as u64;
    let counted: Vec<String> =
        counted.into_iter().chain((with_note > 0).then(|| style.bad(&noted(with_note)))).collect();
    let release = release(run);
    let mut line = format!(
        "{:name_width$}  {release:release_width$}  {} in {}",
        run.name,
        counted.join(", "),
        seconds(run.elapsed)
    );
    if let Some(remark) = remark {
        line.push_str(&style.dim(&format!("  ({remark})")));
    }
    line.push('\n');
    if let Some(unusable) = &run.unusable {
        line.push_str(&format!("  {} {}\n", style.bad("lost:"), unusable.what.replace('\n', "\n    ")));
        if let Some(mend) = &unusable.mend {
            line.push_str(&format!("  to mend it: {mend}\n"));
        }
    }
    line
}

/// What is out of the ordinary in how the kernels are set up, a line a target.
pub fn set_up(runs: &[TargetRun], style: Style) -> String {
    let line = |run: &TargetRun| {
        let unusual = Settings::of(run.kernel.as_ref()?).unusual()?;
        Some(style.dim(&format!("settings of {}: {unusual}", run.name)) + "\n")
    };
    runs.iter().filter_map(line).collect()
}

/// What came of a single case, a line a target.
pub fn verdicts(runs: &[TargetRun], style: Style) -> String {
    let (name_width, release_width) = widths(runs);
    let line = |run: &TargetRun| {
        let verdict = &run.results[0].verdict;
        let word = match verdict {
            Verdict::Passed => style.good(verdict.word()),
            verdict if verdict.is_fine() => style.dim(verdict.word()),
            verdict => style.bad(verdict.word()),
        };
        let why = match verdict {
            Verdict::Passed => String::new(),
            Verdict::Skipped(why) | Verdict::Lost(why) => format!(": {why}"),
            Verdict::Failed(failure) | Verdict::TimedOut(failure) => format!(": {}", failure.text),
            Verdict::ExpectedFailure { because, .. } | Verdict::UnexpectedPass { because } => {
                format!(": {because}")
            }
            Verdict::Crashed { what, .. } | Verdict::Flaky { what, .. } => format!(": {what}"),
        };
        let release = release(run);
        format!("  {:name_width$}  {release:release_width$}  {word}{why}\n", run.name)
    };
    let lines: String = runs.iter().map(line).collect();
    format!("{}\n{lines}", style.strong("On the kernels that are here:"))
}

fn times(count: u64, word: &str) -> String {
    if count == 1 { format!("once {word}") } else { format!("{count} times {word}") }
}

/// The cases that ran more than once and not always to the same end.
fn flaky(cases: &[Case], runs: &[TargetRun], style: Style) -> String {
    let mut out = String::new();
    for run in runs {
        for (case, tally) in cases.iter().zip(&run.tallies).filter(|(_, tally)| tally.len() > 1) {
            let counted: Vec<String> = tally.iter().map(|(word, count)| times(*count, word)).collect();
            out.push_str(&format!("  {} on {}: {}\n", case.id, run.name, counted.join(", ")));
        }
    }
    if out.is_empty() { out } else { format!("{}\n{out}\n", style.strong("flaky:")) }
}

/// What is to be noted of cases, that they ran again and why, say: a line each, of the many that a sick QEMU makes the
/// first ones.
fn notes(cases: &[Case], runs: &[TargetRun], style: Style) -> String {
    let told = |run: &TargetRun| -> Vec<String> {
        let results = cases.iter().zip(&run.results);
        let line = |(case, result): (&Case, &CaseResult)| {
            let first = result.remark.as_ref()?.lines().next()?;
            Some(format!("  {} on {}: {first}\n", case.id, run.name))
        };
        results.filter_map(line).collect()
    };
    let lines: Vec<String> = runs.iter().flat_map(told).collect();
    if lines.is_empty() {
        return String::new();
    }
    let mut out =
        format!("{}\n{}", style.strong("to note:"), lines[..lines.len().min(MOST_REASONS)].concat());
    if lines.len() > MOST_REASONS {
        out.push_str(&format!("  and {} other cases\n", lines.len() - MOST_REASONS));
    }
    out.push('\n');
    out
}

fn skips(runs: &[TargetRun], style: Style) -> String {
    let mut reasons: BTreeMap<&str, Vec<(&str, usize)>> = BTreeMap::new();
    for run in runs {
        for result in &run.results {
            if let Verdict::Skipped(reason) = &result.verdict {
                let on = reasons.entry(reason).or_default();
                match on.last_mut().filter(|(name, _)| *name == run.name) {
                    Some((_, count)) => *count += 1,
                    None => on.push((&run.name, 1)),
                }
            }
        }
    }
    if reasons.is_empty() {
        return String::new();
    }
    let mut out = format!("{}\n", style.strong("skipped:"));
    for (reason, on) in reasons.iter().take(MOST_REASONS) {
        let on: Vec<String> = on.iter().map(|(name, count)| format!("{count} on {name}")).collect();
        out.push_str(&format!("  {reason}: {}\n", on.join(", ")));
    }
    if reasons.len() > MOST_REASONS {
        let rest: usize = reasons.values().skip(MOST_REASONS).flatten().map(|(_, count)| count).sum();
        out.push_str(&format!("  and {} other reasons: {rest} cases\n", reasons.len() - MOST_REASONS));
    }
    out.push('\n');
    out
}

/// A table of case × target, of those cases whose verdicts differ. Where a case was skipped or lost, nothing is known of
/// it, which is no difference: a target that is lost would otherwise differ in all cases.
fn differences(cases: &[Case], runs: &[TargetRun], style: Style) -> String {
    let differs = |nth: &usize| {
        let mut words =
            runs.iter().map(|r| r.results[*nth].verdict.word()).filter(|w| !["skipped", "lost"].contains(w));
        let first = words.next();
        words.any(|word| Some(word) != first)
    };
    let rows: Vec<usize> = (0..cases.len()).filter(differs).collect();
    if runs.len() < 2 || rows.is_empty() {
        return String::new();
    }
    let id_width = rows.iter().map(|&n| cases[n].id.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = runs
        .iter()
        .map(|r| rows.iter().map(|&n| r.results[n].verdict.word().len()).max().unwrap_or(0).max(r.name.len()))
        .collect();
    let mut out = format!("{}\n", style.strong("targets differ:"));
    let heading: Vec<String> =
        runs.iter().zip(&widths).map(|(r, w)| format!("{:w$}", r.name, w = *w)).collect();
    out.push_str(&format!("  {:id_width$}  {}\n", "", heading.join("  ").trim_end()));
    for nth in rows {
        let cells: Vec<String> = runs
            .iter()
            .zip(&widths)
            .map(|(run, &width)| {
                let verdict = &run.results[nth].verdict;
                let text = format!("{:width$}", verdict.word());
                if verdict.is_fine() { style.good(&text) } else { style.bad(&text) }
            })
            .collect();
        out.push_str(&format!("  {:id_width$}  {}\n", cases[nth].id, cells.join("  ").trim_end()));
    }
    out.push('\n');
    out
}
