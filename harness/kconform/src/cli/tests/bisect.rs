//! What `kconform bisect --tree` tells while it works, and in the end: of a small history, with results made by hand.

use std::path::Path;

use crate::bisect::answer::Answer;
use crate::bisect::commit::short;
use crate::bisect::git::Repository;
use crate::bisect::search::{Case, Ending, Event, Question};
use crate::bisect::table::{CaseRecord, Made, Record, Table};
use crate::bisect::tests::{history, result};
use crate::cli::args::Command;
use crate::cli::bisect::text::{Teller, begins, endings};
use crate::cli::bisect::tree::question;
use crate::document::{Status, Step};

use super::{PLAIN, parsed};

const SUBJECTS: &[&str] =
    &["map: Base", "map: First half", "map: Second half", "map: Refuse it", "map: Last"];

struct Bench {
    _folder: tempfile::TempDir,
    repository: Repository,
    ids: Vec<String>,
}

impl Bench {
    fn new() -> Bench {
        let folder = tempfile::tempdir().expect("a folder");
        let (repository, ids) = history(folder.path(), SUBJECTS);
        Bench { _folder: folder, repository, ids }
    }

    /// Ids are another version of git's business.
    fn without_ids(&self, text: &str) -> String {
        self.ids.iter().enumerate().fold(text.to_owned(), |text, (nth, id)| {
            let name = format!("<commit {nth}>");
            text.replace(id, &name).replace(short(id), &name)
        })
    }
}

fn case(id: &str) -> Case {
    Case { id: id.into(), file: "1".into() }
}

/// A commit whose kernel comes to this on each case.
fn tried(results: &[(&str, Status)]) -> Record {
    let mut record = Record { run_seconds: 7.25, ..Record::new(Made::Kernel("k".into()), 421.0) };
    for (id, status) in results {
        let mut result = result(*status);
        let back = if *status == Status::Passed { "-1 EINVAL (Invalid argument)" } else { "0" };
        result.steps = vec![Step { name: "close".into(), back: back.into(), ..Step::default() }];
        let answer = Answer::of(&result);
        record.cases.insert((*id).into(), CaseRecord { answer, file: "1".into(), result });
    }
    record
}

#[test]
fn while_it_works() {
    let bench = Bench::new();
    let teller = Teller::new(&bench.repository, PLAIN, false);
    let case = case("s::closes");
    let testing = |nth: usize, builds, steps, step_seconds| Event::Testing {
        commit: &bench.ids[nth],
        builds,
        steps,
        step_seconds,
    };
    let records = [
        Record::new(Made::NotBuilt("f.c:1: error: expected ';'\nand more".into()), 12.5),
        Record::new(Made::NotBooted("its kernel panicked\nand more".into()), 300.0),
        tried(&[("a", Status::Passed), ("b", Status::Failed), ("c", Status::Failed), ("d", Status::Skipped)]),
    ];
    let answers = [Answer::Good, Answer::Bad, Answer::Skip("does not build: f.c:1\nand more".into())];
    let mut events = vec![
        testing(4, true, None, None),
        testing(0, false, None, Some(60.0)),
        Event::Case(&case),
        testing(2, true, Some(2), Some(95.0)),
        testing(1, false, Some(1), Some(95.0)),
        testing(3, true, Some(0), None),
    ];
    events.extend(records.iter().map(Event::Tested));
    events.extend(answers.iter().map(|answer| Event::Told { commit: &bench.ids[2], answer }));
    let mut told: Vec<String> = Vec::new();
    let mut table = Table::default();
    let folder = Path::new("/state/linux-0123456789ab");
    told.push(begins(folder, &["pahole is not here".into()], &table, PLAIN));
    for nth in 0..2 {
        table.commits.insert(bench.ids[nth].clone(), tried(&[]));
        told.push(begins(folder, &[], &table, PLAIN));
    }
    told.extend(events.iter().map(|event| teller.text(event)));
    insta::assert_snapshot!(bench.without_ids(&told.join("\n")));
}

#[test]
fn in_the_end() {
    let bench = Bench::new();
    let ids = &bench.ids;
    let mut table = Table::default();
    let all = |status| tried(&[("s::found", status), ("s::found_too", status)]);
    table.commits.insert(ids[2].clone(), all(Status::Passed));
    table.commits.insert(ids[3].clone(), all(Status::Failed));
    table.commits.insert(ids[1].clone(), Record::new(Made::NotBuilt("f.c:1: error: x\nmore".into()), 1.0));
    let mut question = Question {
        old: ids[0].clone(),
        new: ids[4].clone(),
        expect_fail: false,
        cases: ["s::found", "s::one_of", "s::not_between", "s::found_too"].map(case).into(),
    };
    let log = || format!("git bisect start\n# first bad commit: [{}] map: Refuse it", ids[3]);
    let found = Ending::Found { commit: ids[3].clone(), before: ids[2].clone(), log: log() };
    let endings_of = [
        found.clone(),
        Ending::OneOf { commits: vec![ids[2].clone(), ids[1].clone()], log: String::new() },
        Ending::NotBetween { why: format!("{} should be bad and is good", short(&ids[4])), lost: false },
        found,
    ];
    let mut told = endings(&bench.repository, &question, &endings_of, &table, PLAIN).expect("git is there");
    question.expect_fail = true;
    question.cases.truncate(1);
    told.push_str("---\n");
    let fixed = endings(&bench.repository, &question, &endings_of[..1], &Table::default(), PLAIN);
    told.extend(fixed.expect("git is there").lines().next());
    insta::assert_snapshot!(bench.without_ids(&told));
}

/// Good and bad the wrong way round are told with the option that turns them.
#[test]
fn ends_the_wrong_way_round() {
    let bench = Bench::new();
    let refused = |good: &str, bad: &str, more: &[&str]| {
        let words = [&["bisect", "--tree", ".", "--good", good, "--bad", bad], more].concat();
        let Command::Bisect(args) = parsed(&words) else { panic!() };
        let error = question(&args, &bench.repository, [&good.to_owned(), &bad.to_owned()], &[]);
        error.expect_err("there is nothing between").to_string() + "\n"
    };
    let told = [
        refused("HEAD", "HEAD~4", &[]),
        refused("HEAD~4", "HEAD", &["--expect-fail"]),
        refused("HEAD", "HEAD", &[]),
    ];
    insta::assert_snapshot!(told.concat(), @r"
    HEAD comes after HEAD~4; to find the commit that fixed it, add --expect-fail
    HEAD~4 comes before HEAD; to find the commit that broke it, leave out --expect-fail
    HEAD and HEAD are the same commit
    ");
}
