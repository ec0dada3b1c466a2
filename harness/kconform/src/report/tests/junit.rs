//! What others find in the JUnit XML.

use super::sample::document;
use super::{readers, written};
use crate::report::Format;

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
