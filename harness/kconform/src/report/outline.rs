//! A report that was read back, in a few lines for people: what is not as it should be, and a line a target.

use std::time::Duration;

use crate::document::lines::one_line;
use crate::document::plain::{counts, headline, said_once};
use crate::document::{Document, Status, Target};
use crate::style::Style;

use super::seconds;

/// The cases that are not as they should be, a line each, and how many cases each target has of which verdict.
pub fn outline(document: &Document, style: Style) -> String {
    let mut out = String::new();
    for case in &document.cases {
        for result in case.results.iter().filter(|result| !result.status.is_fine()) {
            let word = style.bad(&result.status.word().to_uppercase());
            out.push_str(&format!("{word} {} on {}: {}\n", case.id, result.target, headline(result)));
        }
    }
    if document.partial {
        out.push_str(&format!("{} this report is partial\n", style.bad("note:")));
    }
    for trouble in &document.trouble {
        out.push_str(&format!("{} {}\n", style.bad("error:"), one_line(&trouble.text)));
    }
    // What was lost is told as such.
    let skipped = |target: &&Target| target.ran() == 0 && !target.counts.contains_key(&Status::Lost);
    if document.nothing_ran && document.targets.iter().all(|target| skipped(&target)) {
        out.push_str(&format!("{} nothing was tested: no case ran on any target\n", style.bad("error:")));
    }
    for target in document.targets.iter().filter(skipped).filter(|_| !document.nothing_ran) {
        out.push_str(&format!("{} no case ran on {}\n", style.warn("warning:"), target.name));
    }
    let width = |text: fn(&Target) -> &str| {
        document.targets.iter().map(|target| text(target).chars().count()).max().unwrap_or(0)
    };
    let (name_width, release_width) = (width(|t| &t.name), width(release));
    let remarks = said_once(document.targets.iter().map(|target| target.remark.as_deref()));
    for (target, remark) in document.targets.iter().zip(remarks) {
        let time = seconds(Duration::from_nanos(target.elapsed_ns));
        out.push_str(&format!(
            "{:name_width$}  {:release_width$}  {} in {time}\n",
            target.name,
            release(target),
            counts(target)
        ));
        if let Some(remark) = remark {
            out.insert_str(out.len() - 1, &style.dim(&format!("  ({remark})")));
        }
        if let Some(lost) = &target.lost {
            out.push_str(&format!("  {} {}\n", style.bad("lost:"), lost.why.replace('\n', "\n    ")));
        }
    }
    out
}

fn release(target: &Target) -> &str {
    target.release.as_deref().unwrap_or("-")
}
