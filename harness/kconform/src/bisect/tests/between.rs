use rstest::rstest;

use crate::bisect::between::{series, version};
use crate::document::{Case, CaseResult, Document, Place, Status, Step, SuiteIdentity, Target};

#[rstest]
#[case(&["5.10.0-39-amd64", "6.1.0-50-amd64", "6.9.1", "6.12.107+deb13-amd64", "7.2-amd64"])]
#[case(&["6.12.0-rc3", "6.12.0-rc10", "6.12.0", "6.12.1"])]
#[case(&["6.12-rc7", "6.12", "6.12.1"])]
#[case(&["6.12.9-3-generic", "6.12.9-12-generic"])]
fn versions_are_in_order(#[case] releases: &[&str]) {
    let mut sorted = releases.to_vec();
    sorted.reverse();
    sorted.sort_by_key(|release| version(release, None));
    assert_eq!(sorted, releases);
}

/// `uname -r` of a Debian kernel hides the stable version, which its banner tells.
#[test]
fn the_numbers_win() {
    assert!(version("6.1.0-9-amd64", Some("6.1.192")) > version("6.1.0-50-amd64", Some("6.1.76")));
}

fn step(back: &str, errno: Option<&str>) -> Step {
    let name = "bpf".to_owned();
    Step { name, back: back.into(), errno: errno.map(str::to_owned), ret: Some(0), ..Step::default() }
}

/// A case on kernels of one architecture: release, verdict, and what its only step came to.
pub(crate) fn document(kernels: &[(&str, Status, &str)]) -> Document {
    let target = |(release, ..): &(&str, Status, &str)| Target {
        name: format!("k{release}"),
        release: Some((*release).into()),
        arch: Some("x86_64".into()),
        ..Target::default()
    };
    let result = |(release, status, errno): &(&str, Status, &str)| CaseResult {
        steps: match status {
            Status::Skipped => vec![],
            _ => vec![step(&format!("-1 {errno}"), Some(errno))],
        },
        reason: (*status == Status::Skipped).then(|| "it needs Linux 6".to_owned()),
        ..CaseResult::bare(&format!("k{release}"), *status)
    };
    Document {
        format: String::new(),
        version: 1,
        kconform: String::new(),
        started: String::new(),
        partial: false,
        nothing_ran: false,
        trouble: Vec::new(),
        shard: None,
        suite: SuiteIdentity::default(),
        targets: kernels.iter().map(target).collect(),
        cases: vec![Case {
            id: "s::c".into(),
            suite: "s".into(),
            name: "c".into(),
            about: None,
            source: vec![],
            tags: vec![],
            place: Place::default(),
            results: kernels.iter().map(result).collect(),
        }],
    }
}

/// Whatever the order in which kernels are named, a change is told between neighbours: of the verdict, or only of what was
/// seen; and a kernel that cannot tell stands between none.
#[rstest]
#[case::verdict(&[("6.12", Status::Failed, "EPERM"), ("6.1", Status::Passed, "EBUSY")], &["k6.1 (6.1) k6.12 (6.12)"])]
#[case::only_observed(&[("6.1", Status::Passed, "EBUSY"), ("6.12", Status::Passed, "EPERM"), ("7.0", Status::Passed, "EPERM")], &["k6.1 (6.1) k6.12 (6.12)"])]
#[case::twice(&[("5.10", Status::Passed, "EPERM"), ("6.1", Status::Passed, "EBUSY"), ("6.12", Status::Passed, "EPERM")], &["k5.10 (5.10) k6.1 (6.1)", "k6.1 (6.1) k6.12 (6.12)"])]
#[case::skipped_between(&[("5.10", Status::Passed, "EPERM"), ("6.1", Status::Skipped, ""), ("6.12", Status::Passed, "EINVAL")], &["k5.10 (5.10) k6.12 (6.12)"])]
#[case::never(&[("5.10", Status::Skipped, ""), ("6.1", Status::Passed, "EPERM"), ("6.12", Status::Passed, "EPERM")], &[])]
fn changes_are_between_neighbours(#[case] kernels: &[(&str, Status, &str)], #[case] changes: &[&str]) {
    let document = document(kernels);
    let all = series(&document);
    let found: Vec<String> =
        all.iter().flat_map(|s| &s.changes).map(|b| format!("{} {}", b.before, b.after)).collect();
    assert_eq!(found, changes);
    let skipped = kernels.iter().filter(|(_, status, _)| *status == Status::Skipped).count();
    assert_eq!(all[0].untested.len(), skipped);
}
