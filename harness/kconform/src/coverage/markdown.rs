//! `cases/COVERAGE.md`: a line a command, type or field, so that two people who add cases seldom touch the same line.

use super::report::{Coverage, Fact, Row, Section, State};
use super::text::{is_plain, percent};

const HEAD: &str = "\
# What the cases cover

Made by `kconform coverage --markdown`, which writes this file anew; a test fails when it is stale. Counted from the
case files alone, against tables of what Linux 6.12 has (`harness/abi/src/bpf`): a fact is there when a case states it,
whether the case runs on a given kernel or not. An errno counts when a step, or an `except` of one, names it alone.
*Beyond* is what no case can have, with the reason; it counts as not covered, but not as possible.
";

/// The whole file.
pub fn markdown(coverage: &Coverage) -> String {
    let mut out = HEAD.to_owned();
    out.push_str("\n| | there | missing | beyond | covered | of possible |\n| --- | ---: | ---: | ---: | ---: | ---: |\n");
    for section in &coverage.sections {
        out.push_str(&format!(
            "| {} | {} | {} | {} | {} | {} |\n",
            section.title,
            section.count(State::There),
            section.count(State::Missing),
            section.count(State::Beyond),
            percent(section.permille()),
            percent(section.permille_of_possible())
        ));
    }
    for section in &coverage.sections {
        out.push_str(&format!("\n## {}\n\n", section.title));
        match section.id {
            "errnos" => errnos(section, &mut out),
            _ if is_plain(section) => plain(section, &mut out),
            _ => facts(section, &mut out),
        }
    }
    if !coverage.unlisted.is_empty() {
        out.push_str("\n## Expected by cases, and not in the table\n\nOf other kernels than Linux 6.12.\n\n");
        coverage.unlisted.iter().for_each(|pair| out.push_str(&format!("- {pair}\n")));
    }
    out
}

fn names<'a>(facts: impl Iterator<Item = &'a Fact>) -> String {
    let name = |fact: &Fact| match &fact.remark {
        Some(remark) if fact.state == State::There && remark.starts_with('E') => {
            format!("{} ({remark})", fact.name)
        }
        _ => fact.name.clone(),
    };
    facts.map(name).collect::<Vec<_>>().join(", ")
}

fn facts(section: &Section, out: &mut String) {
    out.push_str("| | there | missing |\n| --- | --- | --- |\n");
    for row in &section.rows {
        let line =
            format!("| {} | {} | {} |", row.name, names(row.of(State::There)), names(row.of(State::Missing)));
        out.push_str(&(line + "\n"));
    }
    let beyond = || section.rows.iter().flat_map(|row| row.of(State::Beyond).map(move |fact| (row, fact)));
    if beyond().next().is_some() {
        out.push_str("\nBeyond:\n\n");
    }
    for (row, fact) in beyond() {
        let remark = fact.remark.as_deref().unwrap_or_default();
        out.push_str(&format!("- {}, {}: {remark}\n", row.name, fact.name));
    }
}

fn plain(section: &Section, out: &mut String) {
    for row in &section.rows {
        let fact = row.facts.first();
        let word = match fact.map(|fact| fact.state) {
            Some(State::There) => "there",
            Some(State::Beyond) => "beyond",
            _ => "**missing**",
        };
        let remark = fact.and_then(|fact| fact.remark.as_ref()).map(|remark| format!(" ({remark})"));
        out.push_str(&format!("- {}: {word}{}\n", row.name, remark.unwrap_or_default()));
    }
}

/// What is there in one line a command; what is not with the kernel's functions, one line a pair.
fn errnos(section: &Section, out: &mut String) {
    for row in &section.rows {
        out.push_str(&format!(
            "- {}: {}\n",
            row.name,
            names(row.of(State::There).map(bare).collect::<Vec<_>>().iter())
        ));
        each(row, State::Missing, "**missing**", out);
        each(row, State::Beyond, "beyond", out);
    }
}

fn bare(fact: &Fact) -> Fact {
    Fact { remark: None, ..fact.clone() }
}

fn each(row: &Row, state: State, word: &str, out: &mut String) {
    for fact in row.of(state) {
        let remark = fact.remark.as_deref().unwrap_or_default();
        out.push_str(&format!("  - {word} {}: {remark}\n", fact.name));
    }
}
