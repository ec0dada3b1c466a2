//! What is said of each case that was not as it should be.

use annotate_snippets::{AnnotationKind, Level, Snippet};

use crate::case::Case;
use crate::document::plain::set_for_the_case;
use crate::health::excerpt;
use crate::interrupt;
use crate::judge::{Failure, FailureKind, Verdict};
use crate::place::Place;
use crate::run::TargetRun;
use crate::strace::transcript;
use crate::style::Style;
use crate::targets::CaseResult;

/// How many lines of the kernel's log are shown with a case that did not crash it.
const MOST_LINES: usize = 20;

/// Gives the command that runs just a case again, on these targets.
pub type Again<'a> = &'a dyn Fn(&[&str], &str) -> String;

/// The failures of a run, case by case; targets on which a case failed in just the same way share one message.
pub fn failures(cases: &[Case], runs: &[TargetRun], again: Again<'_>, style: Style) -> String {
    let mut out = String::new();
    for (nth, case) in cases.iter().enumerate() {
        let mut told: Vec<(Vec<&str>, String)> = Vec::new();
        for run in runs {
            let result = &run.results[nth];
            if result.verdict.is_fine() || is_lost_with_target(run, &result.verdict) {
                continue;
            }
            let body = body(case, result, style);
            match told.iter_mut().find(|(_, other)| *other == body) {
                Some((names, _)) => names.push(&run.name),
                None => told.push((vec![&run.name], body)),
            }
        }
        for (names, body) in &told {
            out.push_str(&message(case, nth, runs, names, body, style));
            out.push_str(&format!("  run it again: {}\n\n", again(names, &case.id)));
        }
    }
    out
}

/// A target that could not be used, or an interruption, is said once, not for each case.
fn is_lost_with_target(run: &TargetRun, verdict: &Verdict) -> bool {
    if interrupt::requested() && matches!(verdict, Verdict::Lost(_)) {
        return true;
    }
    matches!((&run.unusable, verdict), (Some(unusable), Verdict::Lost(why)) if *why == unusable.what)
}

fn message(case: &Case, nth: usize, runs: &[TargetRun], names: &[&str], body: &str, style: Style) -> String {
    let verdict = runs.iter().find(|r| r.name == names[0]).map(|r| &r.results[nth].verdict);
    let word = verdict.map_or("failed", Verdict::word).to_uppercase();
    let mut out = format!("{} {} on {}\n", style.bad(&word), style.strong(&case.id), names.join(", "));
    if let Some(about) = &case.about {
        out.push_str(&format!("  {}\n", about.trim().replace('\n', "\n  ")));
    }
    out.push_str(body);
    let passing: Vec<&str> = runs
        .iter()
        .filter(|r| matches!(r.results[nth].verdict, Verdict::Passed))
        .map(|r| r.name.as_str())
        .collect();
    if !passing.is_empty() {
        out.push_str(&format!("  passes on: {}\n", passing.join(", ")));
    }
    if !case.source.is_empty() {
        out.push_str(&format!("  source: {}\n", case.source.join("; ")));
    }
    out
}

fn body(case: &Case, result: &CaseResult, style: Style) -> String {
    let mut out = match &result.verdict {
        Verdict::Failed(failure) | Verdict::TimedOut(failure) | Verdict::ExpectedFailure { failure, .. } => {
            failed(case, failure, result, style)
        }
        Verdict::Crashed { what, console } => {
            let mut out =
                pointed(&case.place, &format!("the kernel suffered {what}"), "during this case", style);
            out.push_str(&steps(case, result, None));
            out.push_str(&indented("the kernel said:", console));
            out
        }
        Verdict::Flaky { what, console } => {
            let mut out = pointed(
                &case.place,
                &format!("it passed only when it ran again: {what}"),
                "the first time",
                style,
            );
            out.push_str(&steps(case, result, None));
            if !console.is_empty() {
                out.push_str(&indented("the kernel said, the first time:", console));
            }
            out
        }
        Verdict::UnexpectedPass { because } => pointed(
            &case.place,
            &format!("passed, though known to fail: {because}"),
            "remove its known_issue?",
            style,
        ),
        Verdict::Lost(why) => format!("  nothing is known of it: {why}\n"),
        Verdict::Passed | Verdict::Skipped(_) => String::new(),
    };
    if let Some(remark) = &result.remark {
        out.push_str(&format!("  note: {remark}\n"));
    }
    out
}

fn failed(case: &Case, failure: &Failure, result: &CaseResult, style: Style) -> String {
    let short = |text: &str| {
        let first = text.split("\\n").next().unwrap_or_default();
        if first.len() < text.len() { format!("{first} …") } else { text.to_owned() }
    };
    let label = match failure.kind {
        FailureKind::Ret | FailureKind::Output => format!("got {}", short(&failure.got)),
        FailureKind::Leaked => format!("left {}", failure.got),
        FailureKind::Ended | FailureKind::TimedOut | FailureKind::SetUp => failure.got.clone(),
    };
    let title = failure.text.replacen(&failure.got, &short(&failure.got), 1);
    let mut out = pointed(&failure.place, &title, &label, style);
    if failure.kind == FailureKind::Output && failure.got.contains("\\n") {
        let held = failure.got.trim_matches('"').trim_end_matches("\\n");
        let lines: Vec<String> = held.split("\\n").map(str::to_owned).collect();
        out.push_str(&indented("what it held:", &lines));
    }
    for (place, text) in &failure.also {
        out.push_str(&format!("  also {place}: {text}\n"));
    }
    out.push_str(&steps(case, result, Some(failure)));
    if let Some(seen) = &result.seen
        && !seen.1.kernel_log.is_empty()
    {
        let lines = excerpt(&seen.1.kernel_log);
        out.push_str(&indented("the kernel logged meanwhile:", &lines[..lines.len().min(MOST_LINES)]));
        if lines.len() > MOST_LINES {
            out.push_str(&format!("    … and {} lines more\n", lines.len() - MOST_LINES));
        }
    }
    out
}

fn steps(case: &Case, result: &CaseResult, failure: Option<&Failure>) -> String {
    let Some(seen) = &result.seen else { return String::new() };
    let failed = failure.and_then(|f| f.step.map(|step| (step, f.iteration.as_slice())));
    let lines = transcript(&case.steps, &seen.0, &seen.1, failed);
    let set = seen.0.plan.sysctls.iter().map(|set| (set.name.as_str(), set.value.as_str()));
    let set = set_for_the_case(set).map_or_else(String::new, |set| format!("  {set}\n"));
    set + &indented("steps:", &lines)
}

fn indented(heading: &str, lines: &[String]) -> String {
    let mut out = format!("  {heading}\n");
    for line in lines {
        out.push_str(&format!("    {}\n", line.trim_end()));
    }
    out
}

/// A message that points at words of a case file.
fn pointed(place: &Place, title: &str, label: &str, style: Style) -> String {
    let label = label.lines().next().unwrap_or_default().chars().take(100).collect::<String>();
    let path = place.path().display().to_string();
    let end = place.end.max(place.start + 1).min(place.file.text.len().max(1));
    let snippet = Snippet::source(place.file.text.as_str())
        .path(path.as_str())
        .annotation(AnnotationKind::Primary.span(place.start..end).label(label.as_str()));
    let report = [Level::ERROR.primary_title(title).element(snippet)];
    format!("{}\n", style.renderer().render(&report))
}

/// The steps of the cases that were as they should be.
pub fn passes(cases: &[Case], runs: &[TargetRun], style: Style) -> String {
    let mut out = String::new();
    for (nth, case) in cases.iter().enumerate() {
        for run in runs {
            let result = &run.results[nth];
            if !result.verdict.is_fine() || matches!(result.verdict, Verdict::Skipped(_)) {
                continue;
            }
            let word = result.verdict.word();
            out.push_str(&format!("{} {} on {}\n", style.good(word), style.strong(&case.id), run.name));
            out.push_str(&steps(case, result, None));
            out.push('\n');
        }
    }
    out
}
