//! The kernel's own KTAP parser reads what `--report ktap` writes.

use super::readers;
use super::sample::document;
use super::written;
use crate::report::Format;
use crate::report::document::Status;

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
    }
    assert_eq!(read, format!("{wanted}0\n"));
}
