//! From verdicts to what git wants to hear of a commit.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::document::{CaseResult, Status};

/// What is known of a case on a kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The kernel keeps to the case.
    Good,
    /// It does not, or came to harm.
    Bad,
    /// It cannot be told, and why: nothing that git should build on.
    Skip(String),
}

impl Answer {
    /// `good`, `bad` or `skip`.
    pub fn word(&self) -> &'static str {
        match self {
            Answer::Good => "good",
            Answer::Bad => "bad",
            Answer::Skip(_) => "skip",
        }
    }

    /// The answer of one run. What a known issue excuses counts as what it is: the kernel's behaviour is looked for, and
    /// whether it is known may depend on the kernel's version.
    pub fn of(result: &CaseResult) -> Answer {
        match result.status {
            Status::Passed | Status::UnexpectedPass => Answer::Good,
            Status::Failed | Status::TimedOut | Status::Crashed | Status::Flaky | Status::ExpectedFailure => {
                Answer::Bad
            }
            Status::Skipped | Status::Lost => {
                let why = result.says().unwrap_or("no reason was given");
                Answer::Skip(format!("{}: {}", result.status.word(), why.lines().next().unwrap_or_default()))
            }
        }
    }

    /// The answer of several runs, which are trusted only where they agree.
    pub fn of_all(results: &[CaseResult]) -> Answer {
        let answers: Vec<Answer> = results.iter().map(Answer::of).collect();
        let Some(first) = answers.first() else { return Answer::Skip("it did not run".into()) };
        if answers.iter().all(|answer| answer.word() == first.word()) {
            return first.clone();
        }
        let mut counts: BTreeMap<Status, usize> = BTreeMap::new();
        for result in results {
            *counts.entry(result.status).or_default() += 1;
        }
        let counted: Vec<String> =
            counts.iter().map(|(status, count)| format!("{count} {}", status.word())).collect();
        Answer::Skip(format!("not to be trusted: {} of {} runs", counted.join(", "), results.len()))
    }

    /// One answer for several cases: bad if one is, good if all are.
    pub fn of_cases<'a>(answers: impl IntoIterator<Item = &'a Answer>) -> Answer {
        let mut skip = None;
        for answer in answers {
            match answer {
                Answer::Bad => return Answer::Bad,
                Answer::Skip(_) if skip.is_none() => skip = Some(answer.clone()),
                Answer::Skip(_) | Answer::Good => {}
            }
        }
        skip.unwrap_or(Answer::Good)
    }
}
