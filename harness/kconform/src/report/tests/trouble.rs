//! A run that is red is red in each format, for what usually reads it.

use rstest::rstest;

use crate::document::tests::sample::document;
use crate::document::{Document, LostTarget, Shard, Status, Trouble, TroubleKind};
use crate::report::Format;
use crate::report::kcidb::Submission;

use super::readers;
use super::written;

/// The sample with the cases that passed everywhere, of two suites: all is as it should be.
fn green() -> Document {
    let mut document = document();
    document.cases.retain(|case| ["passes", "passes at last"].contains(&case.name.as_str()));
    for case in &mut document.cases {
        for result in &mut case.results {
            (result.status, result.reason, result.remark) = (Status::Passed, None, None);
        }
    }
    (document.partial, document.trouble) = (false, Vec::new());
    document.targets.iter_mut().for_each(|target| target.lost = None);
    count(document)
}

fn count(mut document: Document) -> Document {
    for (nth, target) in document.targets.iter_mut().enumerate() {
        target.counts.clear();
        for case in &document.cases {
            *target.counts.entry(case.results[nth].status).or_default() += 1;
        }
    }
    let skipped = |status| [Status::Skipped, Status::Lost].contains(&status);
    document.nothing_ran =
        document.cases.iter().flat_map(|case| &case.results).all(|result| skipped(result.status));
    document
}

fn all(mut document: Document, target: Option<usize>, status: Status) -> Document {
    for case in &mut document.cases {
        for (nth, result) in case.results.iter_mut().enumerate() {
            if target.is_none_or(|target| target == nth) {
                result.status = status;
            }
        }
    }
    count(document)
}

fn lost(mut document: Document, why: &str) -> Document {
    document.partial = true;
    document.targets[1].lost = Some(LostTarget { why: why.into(), mend: None });
    document
}

/// Ways in which a run may end, by the exit status that they make.
fn ended(how: &str) -> Document {
    let trouble = |kind, target: Option<&str>| Document {
        trouble: vec![Trouble { kind, target: target.map(str::to_owned), text: "why\nand more".into() }],
        ..green()
    };
    match how {
        "well" => green(),
        "some skipped" => all(green(), Some(0), Status::Skipped),
        "as known" => all(green(), Some(1), Status::ExpectedFailure),
        "never started" => {
            let mut document = lost(all(green(), Some(1), Status::Lost), "no kernel\nis here");
            document.targets[1].release = None;
            document
        }
        "lost midway" => {
            let mut document = lost(green(), "QEMU ended");
            document.cases[1].results[1].status = Status::Lost;
            count(document)
        }
        "a case lost" => {
            let mut document = green();
            document.cases[1].results[1].status = Status::Lost;
            count(document)
        }
        // All its cases passed before.
        "lost in a later round" => lost(green(), "given up after 20 agents were lost in a row"),
        "lost without cases" => {
            let mut document = lost(green(), "QEMU ended");
            document.cases.clear();
            count(document)
        }
        "interrupted in a later round" => lost(green(), "interrupted"),
        "killed in a later round" => Document { partial: true, ..green() },
        "nothing ran" => all(green(), None, Status::Skipped),
        "not removed" => trouble(TroubleKind::NotRemoved, None),
        "a skip" => trouble(TroubleKind::Skipped, Some("native")),
        "too few" => trouble(TroubleKind::TooFew, Some("x86_64")),
        "a failure" => {
            let mut document = green();
            document.cases[1].results[1].status = Status::Failed;
            count(document)
        }
        other => panic!("{other}?"),
    }
}

fn text(format: &str, document: &Document) -> String {
    if format == "kcidb" {
        let submission = Submission { origin: "myci".into(), builds: Default::default() };
        return submission.of(document).expect("right names");
    }
    let format = format!("{format}=file").parse::<crate::report::Wanted>().expect("a format").format;
    written(format, document)
}

#[rstest]
#[case::well("well", true)]
#[case::some_skipped("some skipped", true)]
#[case::as_known("as known", true)]
#[case::never_started("never started", false)]
#[case::lost_midway("lost midway", false)]
#[case::a_case_lost("a case lost", false)]
#[case::lost_in_a_later_round("lost in a later round", false)]
#[case::lost_without_cases("lost without cases", false)]
#[case::interrupted_in_a_later_round("interrupted in a later round", false)]
#[case::killed_in_a_later_round("killed in a later round", false)]
#[case::nothing_ran("nothing ran", false)]
#[case::not_removed("not removed", false)]
#[case::a_skip("a skip", false)]
#[case::too_few("too few", false)]
#[case::a_failure("a failure", false)]
fn each_reader_comes_to_the_same_end(
    #[case] how: &str,
    #[case] well: bool,
    #[values("ktap", "tap", "junit", "kcidb", "github")] format: &str,
) {
    let document = ended(how);
    // KernelCI has no word for what is known to fail: the kernel's fault is none the less one.
    let well = well && (how, format) != ("as known", "kcidb");
    // The kernel's parser takes a target on which all was skipped as skipped, and all else as well.
    let text = text(format, &document);
    for (reader, says) in readers::verdicts(format, &text) {
        assert_eq!(says, well, "{reader} of {format}, {how}:\n{text}");
    }
    assert!(!well || document.troubles().is_empty());
}

/// Also of a report that comes back from where reports are kept.
#[rstest]
fn what_was_wrong_comes_back(
    #[values("lost in a later round", "killed in a later round", "nothing ran", "not removed", "too few")]
    how: &str,
    #[values(Format::Json, Format::Jsonl)] format: Format,
) {
    let document = ended(how);
    let read = crate::document::read(&written(format, &document)).expect("it is one");
    assert_eq!(read.troubles(), document.troubles());
    assert_eq!(read.troubles().len(), 1);
}

/// A run that was killed when all cases had passed once has no end.
#[test]
fn a_killed_run_is_no_green_one() {
    let text = written(Format::Jsonl, &green());
    let cut: String =
        text.lines().filter(|line| !line.starts_with("{\"end\"")).map(|l| format!("{l}\n")).collect();
    let read = crate::document::read(&cut).expect("it is one");
    assert_eq!(read.troubles()[0].kind, TroubleKind::Partial);
}

/// Another shard may have run some.
#[test]
fn a_shard_in_which_nothing_ran_is_no_trouble() {
    let document = Document { shard: Some(Shard::default()), ..ended("nothing ran") };
    assert_eq!(document.troubles(), []);
}

#[test]
fn what_is_wrong_in_short() {
    let names = [
        "lost in a later round",
        "killed in a later round",
        "nothing ran",
        "not removed",
        "a skip",
        "too few",
    ];
    let said = |name: &&str| {
        let troubles = ended(name).troubles().into_iter();
        let line = |t: Trouble| {
            let on = t.target.unwrap_or_else(|| "the run".into());
            format!("{on}: {}: {}: {}\n", t.kind.word(), t.kind.test(), t.text.replace('\n', "|"))
        };
        troubles.map(line).collect::<String>()
    };
    insta::assert_snapshot!(names.iter().map(said).collect::<String>());
}
