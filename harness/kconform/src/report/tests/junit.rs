//! What others find in the JUnit XML.

use serde_json::Value;

use crate::document::tests::sample::document;
use crate::report::Format;

use super::{readers, written};

/// Every kind of character that no XML may hold, in every text of a report, also where texts are attributes; and control
/// characters, which XML may hold but nobody wants.
#[test]
fn what_no_xml_may_hold_is_written_out() {
    let odd: String = ('\0'..' ').chain('\u{7f}'..='\u{9f}').chain(['\u{fffe}', '\u{ffff}']).collect();
    let mut value = serde_json::to_value(document()).expect("JSON");
    spoil(&mut value, &odd);
    let text = written(Format::Junit, &serde_json::from_value(value).expect("a report"));
    let is_odd = |c: &char| c.is_control() && *c != '\n' || ['\u{fffe}', '\u{ffff}'].contains(c);
    assert_eq!(text.chars().filter(is_odd).collect::<String>(), "");
    let times = |name: &str| text.matches(&format!("{name}=\"")).count();
    assert_eq!(text.matches("\\ufffe\\uffff\"").count(), 0, "all has been spoilt in the middle");
    assert!(text.matches("\\ufffe\\uffff").count() > times("classname") + times("message") + times("value"));
    if let Some(read) = readers::junit(&text) {
        assert!(read.contains("\\ufffe\\uffff"), "{read}");
    }
}

/// Puts the characters into all texts but those that are words of the report's form or that name a target.
fn spoil(value: &mut Value, odd: &str) {
    match value {
        Value::Object(map) => {
            let own = ["format", "started", "status", "kind", "target", "counts", "runs", "sha256"];
            map.iter_mut().filter(|(key, _)| !own.contains(&key.as_str())).for_each(|(_, v)| spoil(v, odd));
        }
        Value::Array(list) => list.iter_mut().for_each(|value| spoil(value, odd)),
        Value::String(text) => *text = format!("{odd}{text}"),
        _ => {}
    }
}

/// It is valid by the schema of Jenkins' xUnit plugin of 2014 as it is, and by that of today but for the places: GitLab
/// and GitHub's annotators take them from these attributes, and the plugin refuses them since 2018.
#[test]
fn others_read_it() {
    let Some(read) = readers::junit(&written(Format::Junit, &document())) else { return };
    let (invalid, read): (Vec<&str>, Vec<&str>) =
        read.lines().partition(|line| line.starts_with("invalid by "));
    let places = ["file", "line"].map(|attribute| {
        format!(
            "invalid by junit-10: Element 'testcase', attribute '{attribute}': \
             The attribute '{attribute}' is not allowed."
        )
    });
    assert_eq!(invalid, places);
    insta::assert_snapshot!("junit_read", read.join("\n"));
}
