//! What `kconform bisect --tree` tells: while it works, and in the end.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use crate::bisect::answer::Answer;
use crate::bisect::commit::short;
use crate::bisect::git::{GitError, Repository};
use crate::bisect::search::{Ending, Event, Question};
use crate::bisect::state::State;
use crate::bisect::table::{Made, Record, Table};
use crate::cli::tell::tell;
use crate::report::{seconds, side_by_side};
use crate::style::Style;

/// Tells on standard error what happens.
pub(in crate::cli) struct Teller<'a> {
    repository: &'a Repository,
    style: Style,
    quiet: bool,
}

impl<'a> Teller<'a> {
    pub(in crate::cli) fn new(repository: &'a Repository, style: Style, quiet: bool) -> Teller<'a> {
        Teller { repository, style, quiet }
    }

    fn say(&self, text: &str) {
        if !self.quiet {
            tell(format_args!("{text}"));
        }
    }

    /// What is to be known beforehand.
    pub(in crate::cli) fn begins(&self, state: &State, notes: &[String], table: &Table) {
        self.say(&begins(state.folder(), notes, table, self.style));
    }

    /// An id and the first line of its message.
    fn name(&self, commit: &str) -> String {
        let subject = self.repository.subject(commit).unwrap_or_default();
        format!("{} {subject}", short(commit))
    }

    pub(in crate::cli) fn hear(&mut self, event: &Event<'_>) {
        let text = self.text(event);
        self.say(&text);
    }

    /// What is said of an event.
    pub(in crate::cli) fn text(&self, event: &Event<'_>) -> String {
        match event {
            Event::Case(case) => self.style.strong(&case.id),
            Event::Testing { commit, builds, steps, step_seconds } => {
                let what = if *builds { "building" } else { "booting" };
                let left = steps.map_or_else(String::new, |steps| left(steps, *step_seconds));
                format!("  {what} {}{}", self.name(commit), self.style.dim(&left))
            }
            Event::Tested(record) => format!("    {}", self.style.dim(&tested(record))),
            Event::Told { commit, answer } => {
                let word = match answer {
                    Answer::Good => self.style.good("good"),
                    Answer::Bad => self.style.bad("bad"),
                    Answer::Skip(_) => self.style.warn("skip"),
                };
                let why = match answer {
                    Answer::Skip(why) => format!(" ({})", why.lines().next().unwrap_or_default()),
                    Answer::Good | Answer::Bad => String::new(),
                };
                format!("  {word} {}{why}", self.name(commit))
            }
        }
    }
}

/// What is to be known before a search begins.
pub(in crate::cli) fn begins(folder: &Path, notes: &[String], table: &Table, style: Style) -> String {
    let folder = folder.display();
    let mut lines: Vec<String> = notes.iter().map(|note| format!("{} {note}", style.warn("note:"))).collect();
    lines.push(match table.commits.len() {
        0 => format!("the search is kept in {folder}"),
        1 => format!("going on with what is known of one commit ({folder})"),
        known => format!("going on with what is known of {known} commits ({folder})"),
    });
    lines.join("\n")
}

/// `; 3 steps left, about 2 min 05 s`: git's guess does not count the step that is at hand.
fn left(steps: u32, step_seconds: Option<f64>) -> String {
    let time = step_seconds.map(|time| time * f64::from(steps + 1));
    let about = time.map_or_else(String::new, |time| {
        format!(", about {} with this one", seconds(Duration::from_secs_f64(time)))
    });
    let plural = if steps == 1 { "" } else { "s" };
    format!("; then about {steps} step{plural} left{about}")
}

fn tested(record: &Record) -> String {
    let time = |time: f64| seconds(Duration::from_secs_f64(time));
    let built = time(record.build_seconds);
    match &record.made {
        Made::NotBuilt(why) => {
            format!("does not build ({built}): {}", why.lines().next().unwrap_or_default())
        }
        Made::NotBooted(how) => {
            format!("built in {built}; does not boot: {}", how.lines().next().unwrap_or_default())
        }
        Made::Kernel(_) => {
            let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
            for case in record.cases.values() {
                *counts.entry(case.answer.word()).or_default() += 1;
            }
            let counted: Vec<String> = counts.iter().map(|(word, count)| format!("{count} {word}")).collect();
            format!(
                "built in {built}, booted and run in {}: {}",
                time(record.run_seconds),
                counted.join(", ")
            )
        }
    }
}

/// What the search came to, for each case; cases that came to the same commit share its message.
pub(in crate::cli) fn endings(
    repository: &Repository,
    question: &Question,
    found: &[Ending],
    table: &Table,
    style: Style,
) -> Result<String, GitError> {
    let mut out = String::new();
    let what = if question.expect_fail { "fixed by" } else { "broken by" };
    let mut commits: Vec<&str> = Vec::new();
    for (case, ending) in question.cases.iter().zip(found) {
        let id = style.strong(&case.id);
        match ending {
            Ending::Found { commit, .. } => {
                let _ = writeln!(out, "{id} was {what} {}", short(commit));
                if !commits.contains(&commit.as_str()) {
                    commits.push(commit);
                }
            }
            Ending::OneOf { commits, .. } => {
                let _ = writeln!(
                    out,
                    "{id} was {what} one of {} commits, the others of which cannot be tested:",
                    commits.len()
                );
                for commit in commits {
                    let why =
                        table.commits.get(commit).and_then(|record| record.answer(&case.id, &case.file));
                    let why = match why {
                        Some(Answer::Skip(why)) => format!(" ({})", why.lines().next().unwrap_or_default()),
                        _ => String::new(),
                    };
                    let _ = writeln!(out, "  {} {}{why}", short(commit), repository.subject(commit)?);
                }
            }
            Ending::NotBetween { why, .. } => {
                let _ = writeln!(out, "{} {id}: {why}", style.bad("no search:"));
            }
        }
    }
    for commit in commits {
        let of_commit = |ending: &Ending| matches!(ending, Ending::Found { commit: c, .. } if c == commit);
        let here = question.cases.iter().zip(found).filter(|(_, ending)| of_commit(ending));
        let _ = writeln!(out, "\n{}\n", repository.show(commit)?);
        let mut logs: Vec<&str> = Vec::new();
        for (case, ending) in here {
            let Ending::Found { before, log, .. } = ending else { continue };
            if !logs.contains(&log.as_str()) {
                logs.push(log);
            }
            let result = |commit: &str| Some(&table.commits.get(commit)?.cases.get(&case.id)?.result);
            if let (Some(was), Some(is)) = (result(before), result(commit)) {
                let _ = writeln!(out, "{}, before and after:", style.strong(&case.id));
                out.push_str(&side_by_side([short(before), short(commit)], [was, is]));
                out.push('\n');
            }
        }
        for log in logs {
            let _ = writeln!(out, "{}\n{log}\n", style.dim("git bisect log:"));
        }
    }
    Ok(out)
}
