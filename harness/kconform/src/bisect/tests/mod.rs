//! The search against real git and a builder that only says that it builds; and the parts that need neither.

#![allow(clippy::unwrap_used)]

mod answers;
pub(crate) mod between;
mod processes;
mod searches;
mod states;

use std::path::Path;

use crate::document::{CaseResult, Status};

use super::git::{Repository, git};

/// A repository with a commit for each of these lines, oldest first.
pub(crate) fn history(folder: &Path, subjects: &[&str]) -> (Repository, Vec<String>) {
    let run = |words: &[&str]| {
        let mut command = git(folder);
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "A Developer");
            command.env(format!("GIT_{who}_EMAIL"), "developer@example.org");
            command.env(format!("GIT_{who}_DATE"), "2026-01-01T12:00:00Z");
        }
        let output = command.args(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    run(&["init", "--quiet"]);
    let repository = Repository::open(folder).unwrap();
    let mut ids = Vec::new();
    for subject in subjects {
        std::fs::write(folder.join("file"), subject).unwrap();
        run(&["add", "file"]);
        run(&["commit", "--quiet", "--message", subject]);
        ids.push(repository.resolve("HEAD").unwrap());
    }
    (repository, ids)
}

/// A result of which only the verdict matters.
pub(crate) fn result(status: Status) -> CaseResult {
    let mut result = CaseResult::bare("k", status);
    result.reason = (!matches!(status, Status::Passed | Status::Failed)).then(|| "so it is".to_owned());
    result
}
