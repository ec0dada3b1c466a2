//! Every format from one hand-made report, and reports of real runs.

mod destination;
mod explain;
mod html;
mod jsonl;
mod junit;
mod kcidb;
mod kunit;
mod observed;
#[path = "../../../tests/readers/mod.rs"]
mod readers;
mod schema;
mod side_by_side;
mod summary;
mod trouble;

use rstest::rstest;

use crate::document::Document;
use crate::document::tests::sample::document;

use super::{Format, Wanted};

fn written(format: Format, document: &Document) -> String {
    let mut out = Vec::new();
    format.write(document, &mut out).expect("memory takes everything");
    String::from_utf8(out).expect("every format is text")
}

#[rstest]
#[case(Format::Json)]
#[case(Format::Jsonl)]
#[case(Format::Ktap)]
#[case(Format::Tap)]
#[case(Format::Junit)]
#[case(Format::Github)]
fn forms(#[case] format: Format) {
    insta::assert_snapshot!(format.name(), written(format, &document()));
}

#[test]
fn every_format_is_in_the_table_once() {
    let names: std::collections::BTreeSet<_> = Format::names().collect();
    assert_eq!(names.len(), Format::names().count());
    for name in Format::names() {
        let wanted: Wanted = name.parse().expect("a format");
        assert_eq!(wanted.format.name(), name);
    }
}

#[test]
fn json_comes_back() {
    assert_eq!(crate::document::read(&written(Format::Json, &document())).expect("it is one"), document());
}

#[rstest]
#[case::not_json("kconform", "not a report of kconform's: expected value at line 1 column 1")]
#[case::another("{}", "not a report of kconform's: it does not say that it is a kconform-report")]
#[case::newer(
    r#"{"format": "kconform-report", "version": 2}"#,
    "kconform-report version 2, and this kconform reads kconform-report version 1"
)]
fn what_is_no_report(#[case] text: &str, #[case] says: &str) {
    assert_eq!(crate::document::read(text).expect_err("it is none").to_string(), says);
}

#[rstest]
#[case("json", Ok(None))]
#[case("json=-", Ok(None))]
#[case("json=a=b.json", Ok(Some("a=b.json")))]
#[case("json=", Err("--report json= without a file name"))]
fn wanted(#[case] text: &str, #[case] path: Result<Option<&str>, &str>) {
    let wanted: Result<Wanted, _> = text.parse();
    let got = wanted.map(|w| w.path).map_err(|error| error.to_string());
    assert_eq!(got, path.map(|p| p.map(Into::into)).map_err(str::to_owned));
}
