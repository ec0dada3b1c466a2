//! `--report junit`: JUnit's XML, as far as GitLab, Jenkins and the annotators of GitHub agree on it. A test suite is a
//! suite on a target; the class name begins with the target, so that a case of two targets is two tests.
//!
//! All text goes through [`lines`] or [`one_line`]: what no XML may hold is written out.

use std::io::{self, Write};
use std::time::Duration;

use chrono::{DateTime, FixedOffset};
use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};

use crate::document::lines::{lines, one_line};
use crate::document::plain::{details, headline, settings};
use crate::document::{Case, CaseResult, Document, Status, Target, Trouble};

/// Writes the document.
///
/// # Errors
/// What the writer says.
pub(super) fn write(document: &Document, out: &mut dyn Write) -> io::Result<()> {
    let mut report = Report::new("kconform");
    let started = DateTime::parse_from_rfc3339(&document.started).ok();
    report.set_time(Duration::from_nanos(document.targets.iter().map(|t| t.elapsed_ns).sum()));
    let troubles = document.troubles();
    let suites = std::iter::once(None).chain(document.targets.iter().map(Some));
    for target in suites {
        let is_of = |trouble: &&Trouble| trouble.target.as_ref() == target.map(|target| &target.name);
        let troubles: Vec<&Trouble> = troubles.iter().filter(is_of).collect();
        if !troubles.is_empty() {
            report.add_test_suite(failed_run(document, target, &troubles, started));
        }
    }
    for (nth, target) in document.targets.iter().enumerate() {
        for (suite, cases) in document.suites() {
            let mut tests = TestSuite::new(one_line(&format!("{}: {suite}", target.name)));
            if let Some(started) = started {
                tests.set_timestamp(started);
            }
            tests.add_properties(properties(document, target));
            let results = cases.iter().filter_map(|case| Some((*case, case.results.get(nth)?)));
            let mut time = Duration::ZERO;
            for (case, result) in results {
                time += Duration::from_nanos(result.duration_ns);
                tests.add_test_case(test(case, result));
            }
            tests.set_time(time);
            report.add_test_suite(tests);
        }
    }
    let text = report.to_string().map_err(io::Error::other)?;
    out.write_all(without_total_of_skipped(&text).as_bytes())
}

/// The schema that Jenkins' xUnit plugin checks has no such attribute at the root, where quick-junit always writes it.
fn without_total_of_skipped(text: &str) -> String {
    let begins = text.find(" skipped=\"").unwrap_or(text.len());
    let (before, rest) = text.split_at(begins);
    let after = rest.splitn(3, '"').nth(2).unwrap_or_default();
    format!("{before}{after}")
}

fn properties(document: &Document, target: &Target) -> Vec<Property> {
    let known = [
        ("target", Some(&target.name)),
        ("release", target.release.as_ref()),
        ("arch", target.arch.as_ref()),
        ("remark", target.remark.as_ref()),
        ("lost", target.lost.as_ref().map(|lost| &lost.why)),
        ("case_files_sha256", Some(&document.suite.sha256)),
    ];
    let settings = settings(target).map(|settings| Property::new("settings", settings));
    let mut properties: Vec<Property> = known
        .into_iter()
        .filter_map(|(name, value)| Some(Property::new(name, one_line(value?))))
        .chain(settings)
        .collect();
    if document.partial {
        properties.push(Property::new("partial", "true"));
    }
    if target.ran() == 0 {
        properties.push(Property::new("nothing_ran", "true"));
    }
    if target.noted > 0 {
        properties.push(Property::new("noted", target.noted.to_string()));
    }
    properties
}

/// What was wrong with the run or a target of it beside its cases, each a test that did not pass: servers count nothing else.
fn failed_run(
    document: &Document,
    target: Option<&Target>,
    troubles: &[&Trouble],
    started: Option<DateTime<FixedOffset>>,
) -> TestSuite {
    let of_target = |word: &str| match target {
        Some(target) => one_line(&format!("{}{word}kconform", target.name)),
        None => "kconform".to_owned(),
    };
    let mut tests = TestSuite::new(of_target(": "));
    if let Some(started) = started {
        tests.set_timestamp(started);
    }
    if let Some(target) = target {
        tests.add_properties(properties(document, target));
    }
    tests.set_time(Duration::ZERO);
    for trouble in troubles {
        let kind = if trouble.kind.is_loss() { NonSuccessKind::Error } else { NonSuccessKind::Failure };
        let mut status = TestCaseStatus::non_success(kind);
        status.set_message(one_line(&trouble.text)).set_type(trouble.kind.word());
        status.set_description(lines(&trouble.text).join("\n"));
        let mut test = TestCase::new(trouble.kind.test(), status);
        test.set_classname(of_target("."));
        test.set_time(Duration::ZERO);
        tests.add_test_case(test);
    }
    tests
}

fn test(case: &Case, result: &CaseResult) -> TestCase {
    let mut status = match result.status {
        Status::Passed => TestCaseStatus::success(),
        // There is no word for what is expected to fail; skipped is what other test frameworks write.
        Status::Skipped | Status::ExpectedFailure => TestCaseStatus::skipped(),
        Status::Failed | Status::UnexpectedPass | Status::TimedOut => {
            TestCaseStatus::non_success(NonSuccessKind::Failure)
        }
        Status::Crashed | Status::Flaky | Status::Lost => TestCaseStatus::non_success(NonSuccessKind::Error),
    };
    if result.status != Status::Passed {
        let said = headline(result);
        let said = match result.status {
            Status::ExpectedFailure => format!("expected failure: {said}"),
            _ => said,
        };
        status.set_message(said).set_type(result.status.word());
    }
    if !result.status.is_fine() {
        status.set_description(details(case, result).join("\n"));
    }
    let mut test = TestCase::new(one_line(&case.name), status);
    if result.status.is_fine()
        && let Some(remark) = &result.remark
    {
        test.set_system_out(lines(remark).join("\n"));
    }
    test.set_classname(one_line(&format!("{}.{}", result.target, case.suite)));
    test.set_time(Duration::from_nanos(result.duration_ns));
    let place = result.failure.as_ref().map_or(&case.place, |failure| &failure.place);
    test.extra.insert("file".into(), one_line(&place.file).into());
    test.extra.insert("line".into(), place.line.to_string().into());
    test
}
