//! What `kconform bisect --images` prints.

use rstest::rstest;

use crate::bisect::between::series;
use crate::bisect::tests::between::document;
use crate::cli::args::Command;
use crate::cli::bisect::images::{between_kernels, text};
use crate::cli::color::Styles;
use crate::cli::error::CliError;
use crate::document::{Document, LostTarget, Status};

use super::{PLAIN, parsed};

/// Cases of these names on the same kernels.
fn joined(all: &[(&str, Document)]) -> Document {
    let mut joined = all[0].1.clone();
    joined.cases.clear();
    for (name, document) in all {
        let mut case = document.cases[0].clone();
        case.id = format!("s::{name}");
        joined.cases.push(case);
    }
    joined
}

#[test]
fn changes_between_kernels() {
    let changes = document(&[
        ("5.10", Status::Passed, "EBUSY"),
        ("6.1", Status::Passed, "EPERM"),
        ("6.12", Status::Skipped, ""),
        ("7.0", Status::Failed, "EPERM"),
    ]);
    let same = document(&[
        ("5.10", Status::Passed, "EPERM"),
        ("6.1", Status::Passed, "EPERM"),
        ("6.12", Status::Skipped, ""),
        ("7.0", Status::Passed, "EPERM"),
    ]);
    let shown = |document: &Document| text(document, &series(document), PLAIN);
    let mut lost = joined(&[("changes", changes), ("same", same.clone()), ("same_too", same.clone())]);
    lost.targets[2].lost = Some(LostTarget { why: "QEMU ended: killed".into(), mend: None });
    insta::assert_snapshot!([shown(&lost), shown(&same)].join("---\n"));
}

#[rstest]
#[case::arch(&["--arch", "riscv64"])]
#[case::config(&["--config", "c"])]
#[case::build(&["--build", "make"])]
#[case::jobs(&["--jobs", "2"])]
#[case::confirm(&["--confirm", "2"])]
#[case::expect_fail(&["--expect-fail"])]
fn what_is_for_a_tree_alone_is_refused(#[case] option: &[&str]) {
    let words = [&["bisect", "--images", "x86_64*"], option].concat();
    let Command::Bisect(args) = parsed(&words) else { panic!() };
    let error = between_kernels(&args, vec![], Styles { out: PLAIN, err: PLAIN }).expect_err("it is refused");
    assert!(matches!(error, CliError::Usage(_)));
    assert_eq!(error.to_string(), format!("{} is for a tree, and means nothing with --images", option[0]));
}
