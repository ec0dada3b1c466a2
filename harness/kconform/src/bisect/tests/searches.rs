use std::collections::BTreeMap;
use std::convert::Infallible;

use rstest::rstest;

use crate::bisect::answer::Answer;
use crate::bisect::git::{Bisection, GitError, Limits, Repository};
use crate::bisect::search::{Case, Ending, Event, Lab, Question, Ran, Search, SearchError};
use crate::bisect::table::{CaseRecord, Made, Record, Table};
use crate::document::Status;

use super::{history, result};

/// Builds nothing, and reads what came of it in the commit's message: `a` where the rule of that name is broken, `BUILD`
/// where it does not build, `BOOT` where it does not boot, `a?` where the case is flaky.
struct Reader<'a> {
    repository: &'a Repository,
    built: Vec<String>,
    ran: Vec<(String, Vec<String>)>,
    /// After so many builds the user has enough.
    patience: usize,
}

impl Reader<'_> {
    fn says(&self, commit: &str, word: &str) -> bool {
        let subject = self.repository.subject(commit).unwrap();
        subject.split(' ').any(|said| said == word)
    }
}

/// The user has enough.
#[derive(Debug)]
struct Enough;

impl Lab for Reader<'_> {
    type Error = Enough;

    fn build(&mut self, commit: &str) -> Result<Made, Enough> {
        if self.patience == 0 {
            return Err(Enough);
        }
        self.patience -= 1;
        self.built.push(commit.to_owned());
        Ok(match self.says(commit, "BUILD") {
            true => Made::NotBuilt("error: expected ';'".into()),
            false => Made::Kernel("kernel".into()),
        })
    }

    fn run(&mut self, commit: &str, _: &Record, cases: &[Case]) -> Result<Ran, Enough> {
        self.ran.push((commit.to_owned(), cases.iter().map(|case| case.id.clone()).collect()));
        if self.says(commit, "BOOT") {
            return Ok(Ran::NotBooted("its kernel panicked".into()));
        }
        let record = |case: &Case| {
            let runs = match (self.says(commit, &case.id), self.says(commit, &format!("{}?", case.id))) {
                (_, true) => vec![Status::Passed, Status::Failed],
                (true, _) => vec![Status::Failed],
                _ => vec![Status::Passed],
            };
            let results: Vec<_> = runs.into_iter().map(result).collect();
            let answer = Answer::of_all(&results);
            CaseRecord { answer, file: case.file.clone(), result: results[0].clone() }
        };
        Ok(Ran::Cases { release: None, records: cases.iter().map(record).collect() })
    }
}

/// A history, the cases that are asked for, and what is known.
struct Bench {
    _folder: tempfile::TempDir,
    worktree: std::path::PathBuf,
    repository: Repository,
    ids: Vec<String>,
    question: Question,
    limits: Limits,
    table: Table,
}

/// What a search came to, and what it did.
struct Outcome {
    endings: Result<Vec<Ending>, SearchError<GitError, Enough, Infallible>>,
    built: Vec<String>,
    ran: Vec<(String, Vec<String>)>,
    told: BTreeMap<&'static str, usize>,
}

impl Bench {
    fn new(subjects: &[&str], cases: &[&str]) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("tree");
        std::fs::create_dir(&tree).unwrap();
        let (repository, ids) = history(&tree, subjects);
        let worktree = folder.path().join("worktree");
        let case = |id: &&str| Case { id: (*id).to_owned(), file: "1".into() };
        let question = Question {
            old: ids[0].clone(),
            new: ids[ids.len() - 1].clone(),
            expect_fail: false,
            cases: cases.iter().map(case).collect(),
        };
        repository.worktree(&worktree, &question.new).unwrap();
        let limits = Limits { paths: vec![], first_parent: false, terms: None };
        Bench { _folder: folder, worktree, repository, ids, question, limits, table: Table::default() }
    }

    fn search(&mut self, patience: usize) -> Outcome {
        let Question { old, new, expect_fail, .. } = &self.question;
        let mut history = Bisection::new(&self.worktree, old, new, self.limits.clone(), *expect_fail);
        let mut lab = Reader { repository: &self.repository, built: vec![], ran: vec![], patience };
        let mut told = BTreeMap::new();
        let endings = Search {
            history: &mut history,
            lab: &mut lab,
            table: &mut self.table,
            keep: &mut |_| Ok(()),
            tell: &mut |event| {
                if let Event::Told { answer, .. } = event {
                    *told.entry(answer.word()).or_default() += 1;
                }
            },
        }
        .run(&self.question);
        Outcome { endings, built: lab.built, ran: lab.ran, told }
    }

    /// Where in the history a commit stands.
    fn nth(&self, commit: &str) -> usize {
        self.ids.iter().position(|id| id == commit).unwrap()
    }

    fn found(&self, ending: &Ending) -> usize {
        match ending {
            Ending::Found { commit, .. } => self.nth(commit),
            other => panic!("{other:?}"),
        }
    }
}

fn is_set(ids: &[String]) -> bool {
    let mut sorted = ids.to_vec();
    sorted.sort();
    sorted.dedup();
    sorted.len() == ids.len()
}

/// Harmless commits, one that does not build, one that does not boot, one that breaks `a`, and much later one that
/// breaks `b`.
const TWO_RULES: &[&str] = &[
    "0 base",
    "1 harmless",
    "2 harmless",
    "3 breaks a",
    "4 a still",
    "5 a BUILD",
    "6 a BOOT",
    "7 a works again",
    "8 a harmless",
    "9 breaks b a",
    "10 a b",
    "11 a b",
    "12 a b",
];

#[test]
fn two_rules_are_searched_at_once() {
    let mut bench = Bench::new(TWO_RULES, &["a", "b"]);
    let outcome = bench.search(usize::MAX);
    let endings = outcome.endings.unwrap();
    assert_eq!([bench.found(&endings[0]), bench.found(&endings[1])], [3, 9]);
    assert!(is_set(&outcome.built), "a commit was built twice: {:?}", outcome.built);
    assert!(outcome.told["skip"] > 0, "none of the broken commits was met");
    let Ending::Found { before, log, .. } = &endings[1] else { panic!() };
    assert_eq!(bench.nth(before), 8);
    assert!(log.contains(&format!("# first bad commit: [{}] 9 breaks b a", bench.ids[9])), "{log}");
    // Each kernel was booted once, for both.
    assert!(outcome.ran.iter().all(|(_, cases)| cases == &["a", "b"]), "{:?}", outcome.ran);
}

/// Wherever it is stopped, the same search goes on: nothing is built that was built before, and the end is the same.
#[test]
fn a_stopped_search_goes_on() {
    let mut whole = Bench::new(TWO_RULES, &["a", "b"]);
    let outcome = whole.search(usize::MAX);
    let (endings, builds) = (outcome.endings.unwrap(), outcome.built);
    for stop in 0..builds.len() {
        let mut bench = Bench::new(TWO_RULES, &["a", "b"]);
        let first = bench.search(stop);
        assert!(matches!(first.endings, Err(SearchError::Lab(Enough))));
        // What is known has been on disk meanwhile.
        let text = serde_json::to_vec(&bench.table).unwrap();
        bench.table = serde_json::from_slice(&text).unwrap();
        let second = bench.search(usize::MAX);
        assert_eq!(second.endings.unwrap(), endings, "stopped after {stop} builds");
        assert_eq!([first.built, second.built].concat(), builds);
    }
}

#[test]
fn a_case_that_is_added_builds_little() {
    let mut bench = Bench::new(TWO_RULES, &["a"]);
    let first = bench.search(usize::MAX);
    bench.question.cases.push(Case { id: "b".into(), file: "1".into() });
    let second = bench.search(usize::MAX);
    assert_eq!(bench.found(&second.endings.unwrap()[1]), 9);
    assert!(is_set(&[first.built, second.built].concat()));
}

/// A case file that was changed makes its results worthless, but not the kernels.
#[test]
fn another_case_file_is_run_again() {
    let mut bench = Bench::new(TWO_RULES, &["a"]);
    let first = bench.search(usize::MAX);
    bench.question.cases[0].file = "2".into();
    let second = bench.search(usize::MAX);
    assert_eq!(second.endings.unwrap(), first.endings.unwrap());
    assert_eq!((second.built.len(), second.ran.is_empty()), (0, false));
}

#[test]
fn what_was_fixed_is_found() {
    let mut bench = Bench::new(&["0 a", "1 a", "2 a BUILD", "3 fixed", "4", "5"], &["a"]);
    bench.question.expect_fail = true;
    bench.limits.terms = Some(("broken".into(), "fixed".into()));
    let outcome = bench.search(usize::MAX);
    let endings = outcome.endings.unwrap();
    // The commit before does not build.
    let Ending::OneOf { commits, log } = &endings[0] else { panic!("{endings:?}") };
    assert_eq!(commits.iter().map(|id| bench.nth(id)).collect::<Vec<_>>(), [3, 2]);
    assert!(log.contains("git bisect broken") && log.contains("possible first fixed commit"), "{log}");
}

#[rstest]
#[case::passes_at_the_bad_end(&["0", "1", "2"], "should be bad and is good")]
#[case::fails_at_the_good_end(&["0 a", "1 a", "2 a"], "should be good and is bad")]
#[case::the_bad_end_does_not_build(&["0", "1 a", "2 a BUILD"], "should be bad and cannot be tested: does not build: error: expected ';'")]
#[case::the_good_end_does_not_boot(&["0 BOOT", "1 a", "2 a"], "should be good and cannot be tested: does not boot: its kernel panicked")]
#[case::flaky_at_the_bad_end(&["0", "1", "2 a?"], "should be bad and cannot be tested: not to be trusted: 1 passed, 1 failed of 2 runs")]
fn the_ends_are_tried_first(#[case] subjects: &[&str], #[case] says: &str) {
    let mut bench = Bench::new(subjects, &["a"]);
    let outcome = bench.search(usize::MAX);
    let endings = outcome.endings.unwrap();
    let Ending::NotBetween { why, lost: false } = &endings[0] else { panic!("{endings:?}") };
    assert!(why.ends_with(says), "{why}");
    assert_eq!(outcome.built.len(), 2);
}

#[rstest]
#[case::flaky_between(&["0", "1 harmless", "2 a?", "3 a", "4 a"], &[3, 2])]
#[case::none_can_be_told(&["0", "1 BOOT", "2 a BUILD", "3 a"], &[3, 2, 1])]
fn what_cannot_be_told_is_listed(#[case] subjects: &[&str], #[case] candidates: &[usize]) {
    let mut bench = Bench::new(subjects, &["a"]);
    let endings = bench.search(usize::MAX).endings.unwrap();
    let Ending::OneOf { commits, .. } = &endings[0] else { panic!("{endings:?}") };
    let mut found: Vec<usize> = commits.iter().map(|id| bench.nth(id)).collect();
    found.sort_by(|a, b| b.cmp(a));
    assert_eq!(found, candidates);
}

/// The user's checkout, and a bisection of their own, are not touched.
#[test]
fn the_users_checkout_is_left_alone() {
    let mut bench = Bench::new(TWO_RULES, &["a"]);
    let tree = bench.worktree.parent().unwrap().join("tree");
    let said = |words: &[&str]| {
        let output = crate::bisect::git::git(&tree).args(words).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    said(&["bisect", "start", &bench.ids[12].clone(), &bench.ids[0].clone()]);
    let before = (said(&["status"]), said(&["bisect", "log"]), said(&["rev-parse", "HEAD"]));
    bench.search(usize::MAX).endings.unwrap();
    bench.repository.remove_worktree(&bench.worktree).unwrap();
    assert_eq!((said(&["status"]), said(&["bisect", "log"]), said(&["rev-parse", "HEAD"])), before);
    assert_eq!(said(&["worktree", "list"]).lines().count(), 1);
    assert!(!bench.worktree.exists());
}

/// Builds everything, and says of the cases only at these commits something, `a` being bad from the second on.
struct Mute(Vec<String>);

impl Lab for Mute {
    type Error = Infallible;

    fn build(&mut self, _: &str) -> Result<Made, Infallible> {
        Ok(Made::Kernel("kernel".into()))
    }

    fn run(&mut self, commit: &str, _: &Record, cases: &[Case]) -> Result<Ran, Infallible> {
        let Some(nth) = self.0.iter().position(|known| known == commit) else {
            return Ok(Ran::Cases { release: None, records: vec![] });
        };
        let result = result(if nth == 0 { Status::Passed } else { Status::Failed });
        let record = CaseRecord { answer: Answer::of(&result), file: cases[0].file.clone(), result };
        Ok(Ran::Cases { release: None, records: vec![record] })
    }
}

/// A run that comes back without the case is told as what it is: nothing.
#[rstest]
#[case::at_an_end(&[0], "should be bad and was not tested", &[])]
#[case::in_between(&[0, 4], "", &["it was not run"; 3])]
fn what_is_not_run_is_no_answer(#[case] known: &[usize], #[case] says: &str, #[case] told: &[&str]) {
    let bench = &mut Bench::new(&["0", "1", "2", "3", "4"], &["a"]);
    let Question { old, new, expect_fail, .. } = &bench.question;
    let mut history = Bisection::new(&bench.worktree, old, new, bench.limits.clone(), *expect_fail);
    let mut skipped = Vec::new();
    let endings = Search {
        history: &mut history,
        lab: &mut Mute(known.iter().map(|nth| bench.ids[*nth].clone()).collect()),
        table: &mut bench.table,
        keep: &mut |_| Ok::<(), Infallible>(()),
        tell: &mut |event| {
            if let Event::Told { answer: Answer::Skip(why), .. } = event {
                skipped.push(why.clone());
            }
        },
    }
    .run(&bench.question)
    .unwrap();
    assert_eq!(skipped, told);
    match &endings[0] {
        Ending::NotBetween { why, .. } => assert!(why.ends_with(says), "{why}"),
        Ending::OneOf { commits, .. } => assert_eq!(commits.len(), 4),
        other => panic!("{other:?}"),
    }
}
