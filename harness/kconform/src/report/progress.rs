//! One line a target while it works.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::case::Case;
use crate::guest::Doing;
use crate::run::Event;
use crate::style::Style;
use crate::targets::{Note, Target};

/// How often a line is drawn though nothing happened: the time that is left goes on.
const TICK: Duration = Duration::from_millis(200);

/// `x86_64    812/5377  3 failed  1m left  bpf/map/array::delete_is_refused`; what does not fit into the terminal's
/// width is cut off at the end.
const TEMPLATE: &str = "{prefix}  {done}{bad}{left}  {wide_msg}";

/// The lines; nothing is drawn where standard error is not a terminal.
pub struct Progress {
    all: MultiProgress,
    lines: Vec<Line>,
    ids: Vec<String>,
    style: Style,
}

struct Line {
    bar: ProgressBar,
    bad: Arc<AtomicUsize>,
    round: Arc<AtomicUsize>,
    again: bool,
}

impl Progress {
    /// A line for each target on standard error, in the style that goes for it. `quiet`: none.
    pub fn new(targets: &[Target], cases: &[Case], quiet: bool, style: Style) -> Progress {
        let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let names: Vec<&str> = targets.iter().map(|target| target.name.as_str()).collect();
        let ids = cases.iter().map(|case| case.id.clone()).collect();
        let progress = Progress::on(target, &names, ids, style);
        progress.lines.iter().for_each(|line| line.bar.enable_steady_tick(TICK));
        progress
    }

    fn on(target: ProgressDrawTarget, names: &[&str], ids: Vec<String>, style: Style) -> Progress {
        let all = MultiProgress::with_draw_target(target);
        let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        let line = |name: &&str| {
            let (bad, round) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(1)));
            let bar = all.add(ProgressBar::new(ids.len() as u64));
            bar.set_style(look(bad.clone(), round.clone(), style));
            bar.set_prefix(format!("{name:width$}"));
            bar.set_message("waiting");
            Line { bar, bad, round, again: false }
        };
        let lines = names.iter().map(line).collect();
        Progress { all, lines, ids, style }
    }

    /// Takes in what happened.
    pub fn tell(&mut self, target: usize, event: &Event) {
        let Some(line) = self.lines.get_mut(target) else { return };
        match event {
            Event::Note(Note::Opening(again)) => {
                line.again = *again;
                line.say(self.style, "starting");
            }
            Event::Note(Note::Doing(Doing::Booting)) => line.say(self.style, "booting"),
            Event::Note(Note::Doing(Doing::Restoring)) => line.say(self.style, "restoring"),
            // The time that is left is known by the cases, and the first one comes after the boot.
            Event::Note(Note::Opened { .. }) if !line.again => line.bar.reset_eta(),
            Event::Note(Note::Opened { .. } | Note::Remark(_)) => {}
            Event::Note(Note::Running(case)) => {
                line.bar.set_message(self.ids.get(*case).cloned().unwrap_or_default());
            }
            Event::Note(Note::Result(_, result) | Note::NotRun(_, result)) => {
                if !result.verdict.is_fine() {
                    line.bad.fetch_add(1, Ordering::Relaxed);
                }
                line.bar.inc(1);
            }
            Event::Round(round) => {
                line.round.store(usize::try_from(*round).unwrap_or(usize::MAX), Ordering::Relaxed);
                line.bar.set_position(0);
                line.bar.reset_eta();
            }
            Event::Finished { .. } => line.bar.finish_and_clear(),
        }
    }

    /// Takes the lines away, also those of targets that never came to their end.
    pub fn end(self) {
        self.lines.iter().for_each(|line| line.bar.finish_and_clear());
        // Where nothing can be drawn there is nothing to be cleared.
        let _ = self.all.clear();
    }
}

impl Line {
    fn say(&self, style: Style, doing: &str) {
        let again = if self.again { " again" } else { "" };
        self.bar.set_message(style.dim(&format!("{doing}{again}")));
    }
}

/// What a line is made of.
fn look(bad: Arc<AtomicUsize>, round: Arc<AtomicUsize>, style: Style) -> ProgressStyle {
    // What is written into a string cannot fail.
    let done = move |state: &ProgressState, out: &mut dyn Write| {
        let all = state.len().unwrap_or(0);
        let width = all.to_string().len();
        let _ = match round.load(Ordering::Relaxed) {
            1 => write!(out, "{:width$}/{all}", state.pos()),
            round => write!(out, "round {round}: {:width$}/{all}", state.pos()),
        };
    };
    let bad = move |_: &ProgressState, out: &mut dyn Write| {
        let _ = match bad.load(Ordering::Relaxed) {
            0 => Ok(()),
            bad => write!(out, "  {}", style.bad(&format!("{bad} failed"))),
        };
    };
    let left = |state: &ProgressState, out: &mut dyn Write| {
        if state.pos() > 0 {
            let _ = write!(out, "  {} left", super::seconds_left(state.eta()));
        }
    };
    ProgressStyle::with_template(TEMPLATE)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("done", done)
        .with_key("bad", bad)
        .with_key("left", left)
}

#[cfg(test)]
mod tests {
    use indicatif::InMemoryTerm;

    use super::*;
    use crate::judge::Verdict;
    use crate::run::Event;
    use crate::targets::CaseResult;

    const IDS: [&str; 4] = [
        "bpf/map/array::delete_is_refused",
        "bpf/map/array::create_is_refused[zero_key_size,and_a_flag_that_is_not_known]",
        "bpf/map/hash::update",
        "fd/close",
    ];

    fn result(verdict: Verdict) -> CaseResult {
        CaseResult { verdict, seen: None, remark: None }
    }

    /// What a terminal of that many columns shows after each event.
    fn shown(columns: u16, color: bool) -> String {
        let terminal = InMemoryTerm::new(5, columns);
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(terminal.clone()), 255);
        let ids = IDS.iter().map(|id| (*id).to_owned()).collect();
        let mut progress = Progress::on(target, &["native", "x86_64-6.1"], ids, Style { color });
        let passed = |case| Note::Result(case, result(Verdict::Passed));
        let lost = |case| Note::Result(case, result(Verdict::Lost("gone".into())));
        let events = [
            ("waiting", 0, None),
            ("starting", 0, Some(Event::Note(Note::Opening(false)))),
            ("booting", 1, Some(Event::Note(Note::Doing(Doing::Booting)))),
            ("running", 0, Some(Event::Note(Note::Running(0)))),
            ("done", 0, Some(Event::Note(passed(0)))),
            ("a long id", 1, Some(Event::Note(Note::Running(1)))),
            ("failed", 1, Some(Event::Note(lost(0)))),
            ("opening again", 1, Some(Event::Note(Note::Opening(true)))),
            ("restoring", 1, Some(Event::Note(Note::Doing(Doing::Restoring)))),
            ("again", 1, Some(Event::Note(Note::Running(1)))),
            ("another round", 0, Some(Event::Round(2))),
            ("finished", 1, Some(Event::Finished { elapsed: Duration::ZERO, unusable: None })),
        ];
        let mut out = String::new();
        for (what, target, event) in events {
            match event {
                Some(event) => progress.tell(target, &event),
                None => progress.lines.iter().for_each(|line| line.bar.tick()),
            }
            let contents = match color {
                true => String::from_utf8_lossy(&terminal.contents_formatted()).replace('\u{1b}', "ESC"),
                false => terminal.contents(),
            };
            out.push_str(&format!("-- {what}\n{contents}\n"));
        }
        progress.end();
        assert_eq!(terminal.contents(), "", "nothing stays");
        out
    }

    #[test]
    fn a_line_a_target_fits_into_80_columns() {
        let shown = shown(80, false);
        assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
        insta::with_settings!({filters => vec![(r"\d+ (s|min) left", "[time] left")]}, {
            insta::assert_snapshot!("progress", shown);
        });
    }

    #[test]
    fn colours_are_used_where_they_are_wanted() {
        assert!(shown(80, true).contains("ESC[31;1m1 failed"), "{}", shown(80, true));
    }
}
