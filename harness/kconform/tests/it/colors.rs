//! When the program colours what it prints: on a terminal, unless the environment or the user says otherwise.

use rstest::rstest;

use crate::program::Place;

const MISTAKE: &str = "cases:\n  - name: wrong\n    steps:\n      - clsoe: [0]\n";

fn place(variables: &[(&str, &str)]) -> Place {
    variables.iter().fold(Place::with(MISTAKE), |place, (name, value)| place.env(name, value))
}

/// Without a terminal.
#[rstest]
#[case::nothing_said(&[], &[], false)]
#[case::forced(&[("CLICOLOR_FORCE", "1")], &[], true)]
#[case::no_color(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], &[], false)]
#[case::always(&[("NO_COLOR", "1")], &["--color", "always"], true)]
#[case::never(&[("CLICOLOR_FORCE", "1")], &["--color", "never"], false)]
fn in_a_file(#[case] variables: &[(&str, &str)], #[case] option: &[&str], #[case] colored: bool) {
    let place = place(variables);
    for words in [&["check"][..], &["run", "--target", "native"]] {
        let said = place.say(&[option, words].concat()).assert_status(2);
        assert_eq!(said.all().contains('\u{1b}'), colored, "{}", said.all());
    }
}

/// On a terminal of script(1).
#[rstest]
#[case::nothing_said(&[], true)]
#[case::no_color(&[("NO_COLOR", "1")], false)]
#[case::clicolor_off(&[("CLICOLOR", "0")], false)]
#[case::dumb(&[("TERM", "dumb")], false)]
#[case::dumb_and_forced(&[("TERM", "dumb"), ("CLICOLOR_FORCE", "1")], true)]
#[case::forced_all_the_same(&[("CLICOLOR", "0"), ("CLICOLOR_FORCE", "1")], true)]
fn on_a_terminal(#[case] variables: &[(&str, &str)], #[case] colored: bool) {
    let through = ["sh", "-c", "exec script --quiet --return --command \"$0 $*\" /dev/null"];
    let said = place(variables).say_through(&through, &["check"]).assert_status(2);
    assert!(said.out.contains("clsoe"), "{}", said.all());
    assert_eq!(said.out.contains('\u{1b}'), colored, "{}", said.all());
}
