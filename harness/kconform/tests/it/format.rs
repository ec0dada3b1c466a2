//! The format's contract: cases that use each of its parts, and pass on a kernel that does what Linux does.

use std::path::PathBuf;

use rstest::rstest;

use crate::program::{Place, is_root, not_here};

#[rstest]
fn cases_of_every_form_pass(#[files("tests/data/format/*.yaml")] path: PathBuf) {
    if !is_root() {
        return not_here("the case format, some of whose cases need root");
    }
    let file = path.file_name().expect("a name").to_string_lossy();
    let said = Place::data().run(&["--cases", &format!("format/{file}")]).assert_status(0);
    assert!(!said.counts("native").starts_with("0 passed"), "{}", said.all());
}

#[test]
fn ids_are_made_as_the_format_says() {
    let place = Place::with(
        "cases:
  - name: two words and $x
    each: [{case: a row, x: 1}, {case: another, x: 2}]
    matrix: {key: [0, 3], flags: [BPF_ANY, O_RDWR | O_CREAT]}
    steps:
      - dup3: [$x | $key, 0, $flags]
",
    );
    let said = place.say(&["list"]).assert_status(0);
    let ids: Vec<_> = said.out.lines().collect();
    assert_eq!(ids.len(), 8, "{ids:#?}");
    assert_eq!(ids[0], "s::two_words_and_1[a_row,key=0,flags=BPF_ANY]");
    assert_eq!(ids[7], "s::two_words_and_2[another,key=3,flags=O_RDWR_|_O_CREAT]");
}
