//! What is written as results come is read back, whole or cut anywhere.

use crate::document::tests::sample::document;
use crate::document::{Document, Status};

use super::super::Format;
use super::written;

fn lines() -> Vec<String> {
    written(Format::Jsonl, &document()).lines().map(|line| format!("{line}\n")).collect()
}

fn read(text: &str) -> Document {
    crate::document::read(text).unwrap_or_else(|error| panic!("{error}:\n{text}"))
}

fn known(document: &Document) -> usize {
    let results = document.cases.iter().flat_map(|case| &case.results);
    results.filter(|result| result.reason.as_deref() != Some("no result came")).count()
}

#[test]
fn it_comes_back() {
    assert_eq!(read(&lines().concat()), document());
}

#[test]
fn what_is_cut_anywhere_is_what_came_until_then() {
    let (lines, whole) = (lines(), document());
    for count in 1..lines.len() {
        let text = lines[..count].concat();
        let partial = read(&text);
        assert!(partial.partial);
        assert_eq!(known(&partial), count - 1);
        assert!(partial.cases.iter().all(|case| case.results.len() == whole.targets.len()));
        for (nth, target) in partial.targets.iter().enumerate() {
            assert_eq!(target.counts.values().sum::<u64>(), whole.cases.len() as u64);
            let lost = partial.cases.iter().filter(|case| case.results[nth].status == Status::Lost).count();
            assert_eq!(target.counts.get(&Status::Lost).copied().unwrap_or(0), lost as u64);
        }
        // In the midst of the next line, and after a machine that lost its power.
        let next = &lines[count];
        assert_eq!(read(&format!("{text}{}", &next[..next.len() / 2])), partial);
        assert_eq!(read(&format!("{text}\0\0\0\0")), partial);
    }
}

#[test]
fn a_later_line_replaces_an_earlier_one_and_unknown_ones_are_left_out() {
    let mut lines = lines();
    let (first, end) = (lines[1].clone(), lines.len() - 1);
    let mut value: serde_json::Value = serde_json::from_str(&first).expect("JSON");
    value["result"]["status"] = "timed_out".into();
    lines.truncate(end);
    lines.push(format!("{{\"weather\":\"fine\"}}\n{value}\n"));
    let document = read(&lines.concat());
    let id = value["result"]["case"].as_str().expect("an id");
    let case = document.cases.iter().find(|case| case.id == id).expect("it is there");
    assert_eq!(case.results[0].status, Status::TimedOut);
}

#[test]
fn what_is_no_line_of_it_is_told_with_its_number() {
    let lines = lines();
    let broken = [&lines[0], "{\"result\":\n", &lines[1]].concat();
    let said = crate::document::read(&broken).expect_err("it is broken").to_string();
    assert!(said.starts_with("line 2 is none of a report: EOF while parsing"), "{said}");
    let strange = lines[1].replacen("\"case\":\"", "\"case\":\"no::", 1);
    let said = crate::document::read(&format!("{}{strange}{}", lines[0], lines[2]));
    let said = said.expect_err("it is no case of this run").to_string();
    assert!(said.starts_with("line 2 is of the case no::"), "{said}");
}
