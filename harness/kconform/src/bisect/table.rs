//! What is known of commits and cases: every kernel that was built, and what came of each case on it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::document::{CaseResult, Status};
use crate::renamed::Renamed;

use super::answer::Answer;

/// The version of the form that it has on disk.
pub const VERSION: u32 = 1;

/// Commits by their ids.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// [`VERSION`].
    pub version: u32,
    /// What was tried of each commit.
    pub commits: BTreeMap<String, Record>,
}

/// A commit that was tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// What the build came to.
    pub made: Made,
    /// Seconds that the build took, its checkout too.
    pub build_seconds: f64,
    /// Seconds that booting it and running the cases took, all in all.
    #[serde(default)]
    pub run_seconds: f64,
    /// `uname -r`, once it was up.
    #[serde(default)]
    pub release: Option<String>,
    /// The cases by their ids.
    #[serde(default)]
    pub cases: BTreeMap<String, CaseRecord>,
}

/// What a build came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Made {
    /// A kernel, and where it is kept.
    Kernel(PathBuf),
    /// Nothing: why.
    NotBuilt(String),
    /// A kernel that does not boot: how it ended.
    NotBooted(String),
}

/// What came of a case on a commit's kernel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseRecord {
    /// What git is told.
    pub answer: Answer,
    /// SHA-256 of the case file: of another file the result says nothing.
    pub file: String,
    /// What was observed: of several runs, the first.
    pub result: CaseResult,
}

impl Record {
    /// Of a build that took so long.
    pub fn new(made: Made, build_seconds: f64) -> Record {
        Record { made, build_seconds, run_seconds: 0.0, release: None, cases: BTreeMap::new() }
    }

    /// What is known of a case in a file of that SHA-256; nothing when it has yet to be run.
    pub fn answer(&self, case: &str, file: &str) -> Option<Answer> {
        match &self.made {
            Made::NotBuilt(why) => Some(Answer::Skip(format!("does not build: {why}"))),
            Made::NotBooted(why) => Some(Answer::Skip(format!("does not boot: {why}"))),
            Made::Kernel(_) => {
                let record = self.cases.get(case).filter(|record| record.file == file)?;
                Some(record.answer.clone())
            }
        }
    }
}

impl Table {
    /// With the cases under their names of today.
    pub fn renamed(mut self, renamed: &Renamed) -> Table {
        for record in self.commits.values_mut() {
            let cases = std::mem::take(&mut record.cases);
            record.cases = cases.into_iter().map(|(id, case)| (renamed.now_or_same(&id), case)).collect();
        }
        self
    }

    /// Without the cases that were lost: what was the harness's trouble may be over.
    pub fn without_lost(mut self) -> Table {
        for record in self.commits.values_mut() {
            record.cases.retain(|_, case| case.result.status != Status::Lost);
        }
        self
    }

    /// Seconds that a further step will take: the median of those that were measured. The first build, of everything, is
    /// left out as soon as there are others.
    pub fn step_seconds(&self) -> Option<f64> {
        let mut times: Vec<f64> =
            self.commits.values().map(|record| record.build_seconds + record.run_seconds).collect();
        times.sort_by(f64::total_cmp);
        if times.len() > 1 {
            times.pop();
        }
        times.get(times.len() / 2).copied()
    }
}
