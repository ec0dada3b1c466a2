//! KernelCI's own validator takes what `report --kcidb` writes.

use std::collections::{BTreeMap, BTreeSet};

use rstest::rstest;
use serde_json::Value;

use crate::document::tests::sample::document;
use crate::report::kcidb::{Submission, SubmissionError};

use super::readers;

fn submission(builds: &[(&str, &str)]) -> Submission {
    let builds = builds.iter().map(|(target, id)| ((*target).to_owned(), (*id).to_owned()));
    Submission { origin: "myci".into(), builds: builds.collect() }
}

fn parsed(submission: &Submission) -> Value {
    serde_json::from_str(&submission.of(&document()).expect("right names")).expect("JSON")
}

#[rstest]
#[case::own_builds(&[])]
#[case::known_builds(&[("native", "maestro:1234"), ("x86_64", "maestro:5678")])]
fn kernel_ci_takes_it(#[case] builds: &[(&str, &str)]) {
    let text = submission(builds).of(&document()).expect("right names");
    let Some(python) = readers::validator("python") else { return };
    assert_eq!(readers::said(&python, "kcidb.py", &[], &text), "");
}

#[test]
fn every_result_is_a_test_of_a_build() {
    let report = parsed(&submission(&[("x86_64", "maestro:5678")]));
    let all = |list: &str, key: &str| -> Vec<String> {
        let list = report[list].as_array().expect("a list").iter();
        list.map(|object| object[key].as_str().expect("text").to_owned()).collect()
    };
    let document = document();
    // One was lost, something could not be removed, and too few cases ran.
    assert_eq!(all("tests", "id").len(), document.cases.len() * document.targets.len() + 3);
    assert_eq!(all("tests", "id").iter().collect::<BTreeSet<_>>().len(), all("tests", "id").len());
    let builds: BTreeSet<String> = all("tests", "build_id").into_iter().collect();
    let native = all("builds", "id");
    assert_eq!(builds, BTreeSet::from([native[0].clone(), "maestro:5678".into()]));
    assert_eq!(native.len(), 1, "the build that is there is not submitted again");
    assert_eq!(all("builds", "checkout_id"), all("checkouts", "id"));
    let mut statuses = BTreeMap::new();
    all("tests", "status").into_iter().for_each(|status| *statuses.entry(status).or_insert(0) += 1);
    insta::assert_debug_snapshot!(statuses, @r#"
    {
        "ERROR": 3,
        "FAIL": 8,
        "MISS": 1,
        "PASS": 8,
        "SKIP": 1,
    }
    "#);
    let paths = all("tests", "path");
    assert_eq!(paths[..2], ["kconform.nothing_is_left_behind", "kconform.enough_cases_ran"]);
    assert_eq!(paths[3], "kconform.bpf.map.array.delete_is_refused");
    assert!(paths.contains(&"kconform.the_target_is_not_lost".into()), "{paths:?}");
}

#[test]
fn of_a_target_that_was_never_reached_no_release_is_known() {
    let mut document = document();
    document.targets[1].release = None;
    let report: Value =
        serde_json::from_str(&submission(&[]).of(&document).expect("right names")).expect("JSON");
    assert_eq!(report["checkouts"][1]["comment"], "Linux unknown: it was never reached");
}

#[rstest]
#[case::origin("My CI", &[], SubmissionError::Origin("My CI".into()))]
#[case::build("myci", &[("native", "1234")], SubmissionError::Build("1234".into()))]
#[case::target("myci", &[("riscv64", "a:1")], SubmissionError::NoTarget { name: "riscv64".into(), known: "native, x86_64".into() })]
fn names_that_would_be_refused(
    #[case] origin: &str,
    #[case] builds: &[(&str, &str)],
    #[case] error: SubmissionError,
) {
    let submission = Submission { origin: origin.into(), ..submission(builds) };
    assert_eq!(submission.of(&document()), Err(error));
}
