//! Which commit is tested next, and what follows of it: the search for the first bad commit of each case.
//!
//! git leads it, one case after the other; what is known of a commit is told to git without building it again. A commit
//! that is built is tried with all cases, whichever of them asked for it.

use std::time::Instant;

use crate::document::Status;

use super::answer::Answer;
use super::commit::short;
use super::table::{CaseRecord, Made, Record, Table};

/// A history that is searched: `git bisect`, or a test's.
pub trait History {
    /// What can be wrong with it.
    type Error;

    /// Begins a new search, which knows of the two ends alone.
    ///
    /// # Errors
    /// It cannot be searched.
    fn start(&mut self) -> Result<Next, Self::Error>;

    /// Tells what a commit is.
    ///
    /// # Errors
    /// It cannot be searched.
    fn tell(&mut self, commit: &str, answer: &Answer) -> Result<Next, Self::Error>;

    /// All that was told, as `git bisect log` has it.
    ///
    /// # Errors
    /// It cannot be searched.
    fn log(&self) -> Result<String, Self::Error>;
}

/// What the history wants to know next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// What this commit is.
    Test {
        /// Its id.
        commit: String,
        /// How many steps will follow, as git guesses.
        steps: u32,
    },
    /// Nothing: this is the one.
    Found(String),
    /// Nothing that could be told: it is one of these.
    OneOf(Vec<String>),
}

/// Builds commits and tries them: with make and QEMU, or as a test says.
pub trait Lab {
    /// Trouble that is not a commit's.
    type Error;

    /// Builds a commit.
    ///
    /// # Errors
    /// Trouble that is not the commit's.
    fn build(&mut self, commit: &str) -> Result<Made, Self::Error>;

    /// Boots a commit's kernel and runs cases, given by their ids.
    ///
    /// # Errors
    /// Trouble that is not the commit's.
    fn run(&mut self, commit: &str, record: &Record, cases: &[Case]) -> Result<Ran, Self::Error>;
}

/// What came of a kernel.
#[derive(Clone, Debug, PartialEq)]
pub enum Ran {
    /// It does not boot: how it ended.
    NotBooted(String),
    /// `uname -r`, and the cases that were asked for, in the same order.
    Cases {
        /// `uname -r`.
        release: Option<String>,
        /// One for each case.
        records: Vec<CaseRecord>,
    },
}

/// A case whose first bad commit is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Its id.
    pub id: String,
    /// SHA-256 of its file.
    pub file: String,
}

/// What is looked for, and between which commits.
#[derive(Clone, Debug)]
pub struct Question {
    /// The older end.
    pub old: String,
    /// The newer end.
    pub new: String,
    /// The commit that *fixed* the case is looked for: the older end is bad, the newer one good.
    pub expect_fail: bool,
    /// The cases.
    pub cases: Vec<Case>,
}

impl Question {
    /// What the older end must be, and the newer.
    fn ends(&self) -> [(&str, Answer); 2] {
        let (old, new) =
            if self.expect_fail { (Answer::Bad, Answer::Good) } else { (Answer::Good, Answer::Bad) };
        // The newer end first: that it fails is what the user has just seen.
        [(&self.new, new), (&self.old, old)]
    }
}

/// What the search came to for a case.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// The commit from which on the case is as it is at the newer end.
    Found {
        /// Its id.
        commit: String,
        /// The tested commit before it that is nearest to it.
        before: String,
        /// `git bisect log`.
        log: String,
    },
    /// One of these, of which the others cannot be told.
    OneOf {
        /// Their ids.
        commits: Vec<String>,
        /// `git bisect log`.
        log: String,
    },
    /// There is nothing to be searched for: the ends are not what they should be.
    NotBetween {
        /// Which end, what it should be, and what it is.
        why: String,
        /// It is the harness that could not tell.
        lost: bool,
    },
}

/// Something happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// A case's search begins.
    Case(&'a Case),
    /// A commit is built, or only booted since it was built before.
    Testing {
        /// Its id.
        commit: &'a str,
        /// It is built.
        builds: bool,
        /// How many steps will follow for the case; `None`: an end of the range.
        steps: Option<u32>,
        /// Seconds that a step takes.
        step_seconds: Option<f64>,
    },
    /// A commit was tried.
    Tested(&'a Record),
    /// git was told.
    Told {
        /// Its id.
        commit: &'a str,
        /// What.
        answer: &'a Answer,
    },
}

/// Why a search stops before its end: what its history, its lab or what keeps it says. What was found out by then is kept.
#[derive(Debug, thiserror::Error)]
pub enum SearchError<H, L, K> {
    /// The history.
    #[error(transparent)]
    History(H),
    /// Building or booting.
    #[error(transparent)]
    Lab(L),
    /// What is known cannot be kept.
    #[error(transparent)]
    Kept(K),
}

/// Keeps what is known, after every step.
pub type Keep<'a, K> = &'a mut dyn FnMut(&Table) -> Result<(), K>;

/// The result of a part of a search.
type Searched<T, H, L, K> = Result<T, SearchError<<H as History>::Error, <L as Lab>::Error, K>>;

/// A search at work.
pub struct Search<'a, H, L, K> {
    /// The history.
    pub history: &'a mut H,
    /// What builds and tries commits.
    pub lab: &'a mut L,
    /// What is known.
    pub table: &'a mut Table,
    /// Keeps it.
    pub keep: Keep<'a, K>,
    /// Hears what happens.
    pub tell: &'a mut dyn FnMut(Event<'_>),
}

impl<H: History, L: Lab, K> Search<'_, H, L, K> {
    /// Searches for each case, in their order.
    ///
    /// # Errors
    /// [`SearchError`]; the same search, begun again with the same table, goes on where it was.
    pub fn run(&mut self, question: &Question) -> Searched<Vec<Ending>, H, L, K> {
        for (commit, _) in question.ends() {
            self.test(commit, &question.cases, None)?;
        }
        let mut endings = Vec::new();
        for case in &question.cases {
            (self.tell)(Event::Case(case));
            let ending = match self.not_between(question, case) {
                Some((why, lost)) => Ending::NotBetween { why, lost },
                None => self.case(question, case)?,
            };
            endings.push(ending);
        }
        Ok(endings)
    }

    /// What is wrong with the ends, and whether that is the harness's trouble.
    fn not_between(&self, question: &Question, case: &Case) -> Option<(String, bool)> {
        question.ends().into_iter().find_map(|(commit, wanted)| {
            let record = self.table.commits.get(commit);
            let found = record.and_then(|record| record.answer(&case.id, &case.file));
            let is_lost = |record: &Record| {
                record.cases.get(&case.id).is_some_and(|case| case.result.status == Status::Lost)
            };
            let why = match found {
                Some(answer) if answer == wanted => return None,
                Some(Answer::Skip(why)) => format!("and cannot be tested: {why}"),
                Some(answer) => format!("and is {}", answer.word()),
                None => "and was not tested".into(),
            };
            let why = format!("{} should be {} {why}", short(commit), wanted.word());
            Some((why, record.is_some_and(is_lost)))
        })
    }

    fn case(&mut self, question: &Question, case: &Case) -> Searched<Ending, H, L, K> {
        let mut next = self.history.start().map_err(SearchError::History)?;
        // The last commit that was found to be as the older end is.
        let mut before = question.old.clone();
        loop {
            let (commit, steps) = match next {
                Next::Test { commit, steps } => (commit, steps),
                Next::Found(commit) => {
                    return Ok(Ending::Found { commit, before, log: self.log()? });
                }
                Next::OneOf(commits) => return Ok(Ending::OneOf { commits, log: self.log()? }),
            };
            self.test(&commit, &question.cases, Some(steps))?;
            let record = self.table.commits.get(&commit);
            let unknown = || Answer::Skip("it was not run".into());
            let answer = record.and_then(|r| r.answer(&case.id, &case.file)).unwrap_or_else(unknown);
            (self.tell)(Event::Told { commit: &commit, answer: &answer });
            if answer == question.ends()[1].1 {
                before = commit.clone();
            }
            next = self.history.tell(&commit, &answer).map_err(SearchError::History)?;
        }
    }

    fn log(&self) -> Searched<String, H, L, K> {
        self.history.log().map_err(SearchError::History)
    }

    /// Finds out what is not known yet of a commit.
    fn test(&mut self, commit: &str, cases: &[Case], steps: Option<u32>) -> Searched<(), H, L, K> {
        let missing = self.missing(commit, cases);
        if missing.is_empty() {
            return Ok(());
        }
        let builds = !self.table.commits.contains_key(commit);
        let step_seconds = self.table.step_seconds();
        (self.tell)(Event::Testing { commit, builds, steps, step_seconds });
        if builds {
            let begun = Instant::now();
            let made = self.lab.build(commit).map_err(SearchError::Lab)?;
            let record = Record::new(made, begun.elapsed().as_secs_f64());
            self.table.commits.insert(commit.to_owned(), record);
            (self.keep)(self.table).map_err(SearchError::Kept)?;
        }
        let missing = self.missing(commit, cases);
        if let Some(record) = self.table.commits.get_mut(commit)
            && !missing.is_empty()
        {
            let begun = Instant::now();
            match self.lab.run(commit, record, &missing).map_err(SearchError::Lab)? {
                Ran::NotBooted(why) => record.made = Made::NotBooted(why),
                Ran::Cases { release, records } => {
                    record.release = release;
                    record.cases.extend(missing.into_iter().map(|case| case.id).zip(records));
                }
            }
            record.run_seconds += begun.elapsed().as_secs_f64();
            (self.keep)(self.table).map_err(SearchError::Kept)?;
        }
        if let Some(record) = self.table.commits.get(commit) {
            (self.tell)(Event::Tested(record));
        }
        Ok(())
    }

    /// The cases that nothing is known of on a commit.
    fn missing(&self, commit: &str, cases: &[Case]) -> Vec<Case> {
        let Some(record) = self.table.commits.get(commit) else { return cases.to_vec() };
        cases.iter().filter(|case| record.answer(&case.id, &case.file).is_none()).cloned().collect()
    }
}
