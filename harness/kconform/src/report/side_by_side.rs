//! Two observations of a case, from one kernel and from another: what is the same once, what is not beside each other.

use std::collections::BTreeMap;

use crate::document::lines::{lines, one_line};
use crate::document::plain::headline;
use crate::document::{CaseResult, Step};

/// How many lines of the kernel's log are shown.
const MOST_LINES: usize = 20;

/// Both observations; `names` are what the two kernels are called.
pub fn side_by_side(names: [&str; 2], results: [&CaseResult; 2]) -> String {
    let mut out = String::new();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    for (name, result) in names.iter().zip(results) {
        let said = headline(result);
        let said = if said.is_empty() { String::new() } else { format!(": {said}") };
        out.push_str(&format!("  {name:width$}  {}{said}\n", result.status.word()));
    }
    let mut steps: BTreeMap<(u32, &[u32]), [Option<&Step>; 2]> = BTreeMap::new();
    for (nth, result) in results.into_iter().enumerate() {
        for step in &result.steps {
            steps.entry((step.step, &step.iteration)).or_default()[nth] = Some(step);
        }
    }
    for pair in steps.into_values() {
        out.push_str(&step(names, width, pair));
    }
    for (name, result) in names.iter().zip(results) {
        if !result.kernel_log.is_empty() {
            out.push_str(&format!("  the kernel said at {name}:\n"));
            let said = result.kernel_log.iter().flat_map(|line| lines(line)).take(MOST_LINES);
            out.extend(said.map(|line| format!("    {line}\n")));
        }
    }
    out
}

fn step(names: [&str; 2], width: usize, pair: [Option<&Step>; 2]) -> String {
    let text = |step: &Step| format!("{}{}", "  ".repeat(step.depth as usize), one_line(&step.text()));
    let call = |step: &Step| -> String {
        let args: Vec<&str> = step.args.iter().map(|arg| arg.text.as_str()).collect();
        format!("{}{}({})", "  ".repeat(step.depth as usize), step.name, one_line(&args.join(", ")))
    };
    match pair {
        [Some(a), Some(b)] if text(a) == text(b) => format!("    {}\n", text(a)),
        [Some(a), Some(b)] if !a.block && call(a) == call(b) => {
            let mut out = format!("  > {}\n", call(a));
            for (name, step) in names.iter().zip([a, b]) {
                out.push_str(&format!("      {name:width$}  = {}\n", one_line(&step.back)));
            }
            out
        }
        pair => {
            let mut out = String::new();
            for (name, step) in names.iter().zip(pair) {
                let text = step.map_or_else(|| "(not reached)".to_owned(), text);
                out.push_str(&format!("  > {name:width$}  {}\n", text.trim_start()));
            }
            out
        }
    }
}
