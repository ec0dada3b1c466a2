//! The kernel's own KTAP parser reads what `--report ktap` writes.

use crate::document::tests::sample::document;
use crate::document::{Status, Trouble};
use crate::report::Format;

use super::readers;
use super::written;

#[test]
fn the_kernels_parser_reads_it() {
    let document = document();
    let Some(read) = readers::kunit(&written(Format::Ktap, &document)) else { return };
    let mut wanted = String::new();
    for (nth, target) in document.targets.iter().enumerate() {
        for case in &document.cases {
            let status = match case.results[nth].status {
                // The parser has no word for what is expected to fail.
                Status::Passed | Status::ExpectedFailure => "SUCCESS",
                Status::Skipped => "SKIPPED",
                _ => "FAILURE",
            };
            let name = case.id.split("::").nth(1).expect("an id").replace('#', "_");
            wanted.push_str(&format!("{}|{}|{name}|{status}\n", target.name, case.suite));
        }
        let of = |trouble: &&Trouble| trouble.target.as_ref() == Some(&target.name);
        for trouble in document.troubles().iter().filter(of) {
            let name = trouble.kind.test().replace(' ', "_");
            wanted.push_str(&format!("{}|{name}|FAILURE\n", target.name));
        }
    }
    wanted.push_str("nothing_is_left_behind|FAILURE\n");
    assert_eq!(read, format!("{wanted}0\n"));
}
