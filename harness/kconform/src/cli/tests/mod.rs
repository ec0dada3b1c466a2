//! What commands print, from reports and events made by hand; and whether it is coloured.

mod bisect;
mod diff;
mod kernels;

use std::ffi::OsString;

use clap::Parser;
use rstest::rstest;

use crate::style::Style;

use super::args::{Cli, Color, Command};
use super::color::colors;

const PLAIN: Style = Style { color: false };

/// A command line that is right.
fn parsed(words: &[&str]) -> Command {
    Cli::try_parse_from([&["kconform"], words].concat()).expect("a right command line").command
}

/// Text without its colours.
fn without_colors(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| plain + part.split_once('m').map_or("", |(_, rest)| rest))
}

#[rstest]
#[case::a_terminal(Color::Auto, true, &[], true)]
#[case::a_file(Color::Auto, false, &[], false)]
#[case::no_color(Color::Auto, true, &[("NO_COLOR", "1")], false)]
#[case::no_color_whatever_it_says(Color::Auto, true, &[("NO_COLOR", "0")], false)]
#[case::an_empty_no_color_says_nothing(Color::Auto, true, &[("NO_COLOR", "")], true)]
#[case::clicolor_off(Color::Auto, true, &[("CLICOLOR", "0")], false)]
#[case::clicolor_on(Color::Auto, true, &[("CLICOLOR", "1")], true)]
#[case::clicolor_on_in_a_file(Color::Auto, false, &[("CLICOLOR", "1")], false)]
#[case::forced(Color::Auto, false, &[("CLICOLOR_FORCE", "1")], true)]
#[case::forced_against_clicolor(Color::Auto, false, &[("CLICOLOR_FORCE", "1"), ("CLICOLOR", "0")], true)]
#[case::not_forced(Color::Auto, false, &[("CLICOLOR_FORCE", "0")], false)]
#[case::forced_by_nothing(Color::Auto, false, &[("CLICOLOR_FORCE", "")], false)]
#[case::no_color_goes_before_force(Color::Auto, true, &[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")], false)]
#[case::the_option_goes_before_all(Color::Always, false, &[("NO_COLOR", "1"), ("CLICOLOR", "0")], true)]
#[case::and_when_it_says_never(Color::Never, true, &[("CLICOLOR_FORCE", "1"), ("CLICOLOR", "1")], false)]
fn colors_are_as_wished(
    #[case] wish: Color,
    #[case] terminal: bool,
    #[case] variables: &[(&str, &str)],
    #[case] on: bool,
) {
    let of = |name: &str| variables.iter().find(|v| v.0 == name).map(|v| OsString::from(v.1));
    assert_eq!(colors(wish, terminal, of), on);
}
