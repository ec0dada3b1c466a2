//! `kconform report --kcidb`: a submission to KernelCI's common database, in version 5 of its schema (the package
//! `kcidb-io` holds it).
//!
//! A target is a build of a checkout, unless the submitter names a build that is already there; each case is a test.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::document::lines::{lines, one_line};
use crate::document::plain::{details, headline, kernel};
use crate::document::{Case, CaseResult, Document, Status, Target, Trouble};
use crate::hex::hex;

/// What the schema allows of a log's excerpt, in bytes to be on the safe side.
const MOST_LOG: usize = 16384;

/// Who submits, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// The name under which the submitter is known there: `[a-z0-9_]+`.
    pub origin: String,
    /// Builds that are there already, by target: the tests are then of those.
    pub builds: BTreeMap<String, String>,
}

/// Why there is no submission.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SubmissionError {
    /// No such name is allowed.
    #[error("{0:?} is no origin of KCIDB's: small letters, digits and _ only")]
    Origin(String),
    /// No such id is allowed.
    #[error("{0:?} is no id of KCIDB's: it must begin with an origin and a colon")]
    Build(String),
    /// The report has no such target.
    #[error("the report has no target {name:?}; it has {known}")]
    NoTarget {
        /// As given.
        name: String,
        /// Those that there are.
        known: String,
    },
}

#[derive(Serialize)]
struct Report {
    version: Version,
    checkouts: Vec<Value>,
    builds: Vec<Value>,
    tests: Vec<Value>,
}

#[derive(Serialize)]
struct Version {
    major: u32,
    minor: u32,
}

impl Submission {
    /// Checks the names.
    ///
    /// # Errors
    /// One that KCIDB would refuse, or a build of a target that is not there.
    fn check(&self, document: &Document) -> Result<(), SubmissionError> {
        if !is_origin(&self.origin) {
            return Err(SubmissionError::Origin(self.origin.clone()));
        }
        for (name, id) in &self.builds {
            if !document.targets.iter().any(|target| target.name == *name) {
                let known: Vec<&str> = document.targets.iter().map(|target| target.name.as_str()).collect();
                return Err(SubmissionError::NoTarget { name: name.clone(), known: known.join(", ") });
            }
            if !id.split_once(':').is_some_and(|(origin, _)| is_origin(origin)) {
                return Err(SubmissionError::Build(id.clone()));
            }
        }
        Ok(())
    }

    /// The submission as JSON.
    ///
    /// # Errors
    /// Names that KCIDB would refuse.
    pub fn of(&self, document: &Document) -> Result<String, SubmissionError> {
        self.check(document)?;
        let mut report = Report {
            version: Version { major: 5, minor: 3 },
            checkouts: Vec::new(),
            builds: Vec::new(),
            tests: Vec::new(),
        };
        let run = digest(document);
        for (nth, target) in document.targets.iter().enumerate() {
            let own = format!("{}:kconform-{run}-{}", self.origin, target.name);
            let build = self.builds.get(&target.name).unwrap_or(&own);
            if build == &own {
                report.checkouts.push(self.checkout(&own, target));
                report.builds.push(self.build(&own, target));
            }
            let mut add = |id: String, mut test: Value| {
                test["id"] = json!(id);
                test["origin"] = json!(self.origin);
                test["build_id"] = json!(build);
                report.tests.push(test);
            };
            // A test is of a build: what is wrong with the run as a whole is told with the first.
            let is_of = |of: Option<&String>| of.map_or(nth == 0, |of| *of == target.name);
            let troubles = document.troubles();
            let troubles = troubles.iter().filter(|trouble| is_of(trouble.target.as_ref()));
            for (number, trouble) in troubles.enumerate() {
                add(format!("{own}-trouble-{number}"), failed_run(document, target, trouble));
            }
            for case in &document.cases {
                let id = format!("{own}-{}", case.id);
                if let Some(result) = case.results.get(nth) {
                    add(id, test(document, target, case, result));
                }
            }
        }
        // Strings and numbers: it can always be written.
        Ok(serde_json::to_string_pretty(&report).unwrap_or_default() + "\n")
    }

    fn checkout(&self, id: &str, target: &Target) -> Value {
        let release = target.release.as_deref().unwrap_or("unknown: it was never reached");
        json!({"id": id, "origin": self.origin, "comment": clean(&format!("Linux {release}"))})
    }

    fn build(&self, id: &str, target: &Target) -> Value {
        let mut build =
            json!({"id": id, "checkout_id": id, "origin": self.origin, "comment": clean(&kernel(target))});
        if let Some(arch) = &target.arch {
            build["architecture"] = json!(arch);
        }
        build
    }
}

fn environment(target: &Target) -> Value {
    json!({
        "comment": clean(&kernel(target)),
        "misc": {"target": target.name, "cpus": target.cpus, "page_size": target.page_size, "host": target.host},
    })
}

/// What was wrong beside the cases: it says nothing of the kernel, but that the submission is not all that it should be.
fn failed_run(document: &Document, target: &Target, trouble: &Trouble) -> Value {
    json!({
        "path": format!("kconform.{}", plain(trouble.kind.test())),
        "status": "ERROR",
        "start_time": document.started,
        "environment": environment(target),
        "comment": clean(&one_line(&trouble.text)),
        "log_excerpt": excerpt(&lines(&trouble.text)),
        "misc": {"kconform": {"version": document.kconform, "trouble": trouble.kind}},
    })
}

fn test(document: &Document, target: &Target, case: &Case, result: &CaseResult) -> Value {
    let mut test = json!({
        "path": path(&case.id),
        "status": status(result.status),
        "start_time": document.started,
        "duration": result.duration_ns as f64 / 1e9,
        "environment": environment(target),
        "misc": {
            "kconform": {
                "version": document.kconform,
                "case": case.id,
                "status": result.status,
                "suite_sha256": document.suite.sha256,
                "place": case.place.to_string(),
                "source": case.source,
            },
        },
    });
    let comment = [case.about.as_deref().unwrap_or_default(), &headline(result)];
    let comment: Vec<&str> = comment.into_iter().filter(|text| !text.is_empty()).collect();
    if !comment.is_empty() {
        test["comment"] = json!(clean(&comment.join("; ")));
    }
    if !result.status.is_fine() {
        test["log_excerpt"] = json!(excerpt(&details(case, result)));
    }
    test
}

/// An expected failure is a fault of the kernel that is known, and an unexpected pass is none.
fn status(status: Status) -> &'static str {
    match status {
        Status::Passed | Status::UnexpectedPass => "PASS",
        Status::Failed | Status::TimedOut | Status::Crashed | Status::Flaky | Status::ExpectedFailure => {
            "FAIL"
        }
        Status::Lost => "MISS",
        Status::Skipped => "SKIP",
    }
}

/// `bpf/map/array::create_is_refused[zero_key_size]` as `kconform.bpf.map.array.create_is_refused.zero_key_size`.
fn path(id: &str) -> String {
    let words = id.split(['/', ':', '[', ']']).filter(|word| !word.is_empty());
    std::iter::once("kconform".to_owned()).chain(words.map(plain)).collect::<Vec<_>>().join(".")
}

/// A word of a path.
fn plain(word: &str) -> String {
    word.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect()
}

fn is_origin(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// No text may hold a NUL.
fn clean(text: &str) -> String {
    text.replace('\0', "\\0")
}

/// The lines as far as they may go in.
fn excerpt(lines: &[String]) -> String {
    let mut text = String::new();
    for line in lines {
        let line = clean(line);
        if text.len() + line.len() + 1 > MOST_LOG {
            break;
        }
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// Tells this run from all others.
fn digest(document: &Document) -> String {
    let text = serde_json::to_string(document).unwrap_or_default();
    hex(&Sha256::digest(text.as_bytes()))[..16].to_owned()
}
