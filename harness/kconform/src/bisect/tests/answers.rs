use rstest::rstest;

use crate::bisect::answer::Answer;
use crate::document::Status;
use crate::document::Status::*;

use super::result;

#[rstest]
#[case::passed(Passed, "good")]
#[case::known_to_fail_and_passed(UnexpectedPass, "good")]
#[case::failed(Failed, "bad")]
#[case::known_to_fail(ExpectedFailure, "bad")]
#[case::timed_out(TimedOut, "bad")]
#[case::crashed(Crashed, "bad")]
#[case::skipped(Skipped, "skip")]
#[case::lost(Lost, "skip")]
fn a_verdict_answers(#[case] status: Status, #[case] word: &str) {
    assert_eq!(Answer::of(&result(status)).word(), word);
}

#[rstest]
#[case::one(&[Passed], "good", "")]
#[case::all_alike(&[Failed, Failed, Failed], "bad", "")]
#[case::both_bad(&[Failed, Crashed], "bad", "")]
#[case::flaky(&[Passed, Failed, Passed], "skip", "not to be trusted: 2 passed, 1 failed of 3 runs")]
#[case::once_lost(&[Passed, Lost], "skip", "not to be trusted: 1 passed, 1 lost of 2 runs")]
#[case::never(&[Skipped, Skipped], "skip", "skipped: so it is")]
#[case::nothing(&[], "skip", "it did not run")]
fn runs_are_trusted_where_they_agree(#[case] runs: &[Status], #[case] word: &str, #[case] why: &str) {
    let results: Vec<_> = runs.iter().map(|status| result(*status)).collect();
    let answer = Answer::of_all(&results);
    assert_eq!(answer.word(), word);
    if let Answer::Skip(reason) = answer {
        assert_eq!(reason, why);
    }
}

#[rstest]
#[case(&["good", "good"], "good")]
#[case(&["good", "skip"], "skip")]
#[case(&["skip", "bad", "good"], "bad")]
fn a_step_has_one_answer_for_all_cases(#[case] words: &[&str], #[case] word: &str) {
    let answer = |word: &&str| match *word {
        "good" => Answer::Good,
        "bad" => Answer::Bad,
        _ => Answer::Skip("why".into()),
    };
    let answers: Vec<Answer> = words.iter().map(answer).collect();
    assert_eq!(Answer::of_cases(&answers).word(), word);
}

#[test]
fn what_was_lost_without_a_word_is_not_told_to_git() {
    let lost = crate::document::CaseResult::bare("k", Lost);
    assert_eq!(Answer::of(&lost), Answer::Skip("lost: no reason was given".into()));
}
