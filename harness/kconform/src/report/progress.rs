//! One line a target while it works.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::case::Case;
use crate::run::Event;
use crate::target::{Note, Target};

/// The lines; nothing is drawn where standard error is not a terminal.
pub struct Progress {
    lines: Vec<Line>,
    ids: Vec<String>,
}

struct Line {
    bar: ProgressBar,
    bad: usize,
}

impl Progress {
    /// A line for each target. `quiet`: none.
    pub fn new(targets: &[Target], cases: &[Case], quiet: bool) -> Progress {
        let all = MultiProgress::new();
        if quiet {
            all.set_draw_target(indicatif::ProgressDrawTarget::hidden());
        }
        let width = targets.iter().map(|t| t.name.len()).max().unwrap_or(0);
        let template = "{prefix} {pos:>5}/{len:5} {bar:20} {wide_msg}";
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let lines = targets
            .iter()
            .map(|target| {
                let bar = all.add(ProgressBar::new(cases.len() as u64));
                bar.set_style(style.clone());
                bar.set_prefix(format!("{:width$}", target.name));
                bar.set_message("waiting");
                bar.enable_steady_tick(Duration::from_millis(200));
                Line { bar, bad: 0 }
            })
            .collect();
        Progress { lines, ids: cases.iter().map(|case| case.id.clone()).collect() }
    }

    /// Takes in what happened.
    pub fn tell(&mut self, target: usize, event: &Event) {
        let Some(line) = self.lines.get_mut(target) else { return };
        match event {
            Event::Note(Note::Opening(again)) => {
                line.bar.set_message(if *again { "restarting" } else { "starting" })
            }
            Event::Note(Note::Opened { kernel, .. }) => line.bar.set_message(kernel.release.clone()),
            Event::Note(Note::Running(case)) => {
                let failed = if line.bad > 0 { format!("{} failed; ", line.bad) } else { String::new() };
                line.bar.set_message(format!("{failed}{}", self.ids.get(*case).map_or("", String::as_str)));
            }
            Event::Note(Note::Result(_, result)) => {
                line.bar.inc(1);
                if !result.verdict.is_fine() {
                    line.bad += 1;
                }
            }
            Event::Round(round) => {
                line.bar.set_position(0);
                line.bar.set_message(format!("round {round}"));
            }
            Event::Finished { .. } => line.bar.finish_and_clear(),
        }
    }
}
