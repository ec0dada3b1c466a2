//! For people at a terminal, in 80 columns: a line a section, then what is missing.

use crate::style::Style;

use super::report::{Coverage, Row, Section, State};

const WIDTH: usize = 80;

/// The numbers, and all that is missing.
pub fn text(coverage: &Coverage, style: Style) -> String {
    let mut out = format!("{} cases\n\n", coverage.cases);
    out.push_str(&format!(
        "{:<37} {:>6} {:>7} {:>6} {:>8} {:>11}\n",
        "", "there", "missing", "beyond", "covered", "of possible"
    ));
    for section in &coverage.sections {
        let (there, missing) = (section.count(State::There), section.count(State::Missing));
        let line = format!(
            "{:<37} {there:>6} {missing:>7} {:>6} {:>8} {:>11}",
            section.title,
            section.count(State::Beyond),
            percent(section.permille()),
            percent(section.permille_of_possible())
        );
        out.push_str(&if missing == 0 { style.good(&line) } else { line });
        out.push('\n');
    }
    for section in coverage.sections.iter().filter(|section| section.count(State::Missing) > 0) {
        out.push_str(&format!("\n{}: missing\n", section.title));
        let rows = section.rows.iter().filter(|row| row.count(State::Missing) > 0);
        rows.for_each(|row| missing(row, section, &mut out));
    }
    if !coverage.unlisted.is_empty() {
        out.push_str("\nExpected by cases, and not in the table\n");
        coverage.unlisted.iter().for_each(|pair| out.push_str(&format!("  {pair}\n")));
    }
    out
}

/// `98.5 %`: rounded down, so that 100.0 is all.
pub(super) fn percent(permille: usize) -> String {
    format!("{}.{} %", permille / 10, permille % 10)
}

/// A row whose only fact has nothing to add to its name is that name.
pub(super) fn is_plain(section: &Section) -> bool {
    section.rows.iter().all(|row| row.facts.len() == 1) && section.id != "errnos"
}

fn missing(row: &Row, section: &Section, out: &mut String) {
    let mut line = format!("  {}", row.name);
    if !is_plain(section) {
        line.push(':');
        for fact in row.of(State::Missing) {
            if line.len() + fact.name.len() + 2 > WIDTH {
                out.push_str(&line);
                out.push('\n');
                line = "   ".into();
            }
            line.push(' ');
            line.push_str(&fact.name);
            line.push(',');
        }
        line.pop();
    }
    out.push_str(&line);
    out.push('\n');
}
