//! What is said of a result and of a target, in words that every format uses.

use crate::targets::guest::EMULATED;

use super::counted;
use super::lines::{lines, one_line};
use super::{Case, CaseResult, Place, Status};

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One line of what came of a case; empty where that it passed is all.
pub(crate) fn headline(result: &CaseResult) -> String {
    let said = one_line(result.says().unwrap_or_default());
    let said = match result.status {
        Status::Passed => String::new(),
        Status::Crashed => format!("the kernel suffered {said}"),
        Status::Flaky => format!("it passed only when it ran again: {said}"),
        Status::Lost => format!("nothing is known of it: {said}"),
        Status::UnexpectedPass => format!("passed, though known to fail: {said}"),
        _ => said,
    };
    match result.flakiness() {
        Some(flaky) if said.is_empty() => flaky,
        Some(flaky) => format!("{said} ({flaky})"),
        None => said,
    }
}

/// All that is to be said of a case that was not as it should be.
pub(crate) fn details(case: &Case, result: &CaseResult) -> Vec<String> {
    let mut out = vec![headline(result)];
    let place = result.failure.as_ref().map_or(&case.place, |failure| &failure.place);
    out.push(format!("at {place}"));
    if let Some(failure) = &result.failure {
        out.extend(failure.words.lines().map(|line| format!("  {}", one_line(line))));
        out.extend(failure.also.iter().map(|also| format!("also {}: {}", also.place, one_line(&also.text))));
    }
    out.extend(with_sysctls(result));
    if !result.steps.is_empty() {
        out.push("steps:".into());
        out.extend(transcript(result));
    }
    if let Some(end) = &result.end {
        let was = if end.starts_with("exited") { "" } else { "was " };
        out.push(format!("the process {was}{}", one_line(end)));
    }
    if !result.kernel_log.is_empty() {
        out.push("the kernel said:".into());
        out.extend(result.kernel_log.iter().flat_map(|line| lines(line)).map(|line| format!("  {line}")));
    }
    out.extend(result.remark.iter().map(|remark| format!("note: {}", one_line(remark))));
    if !case.source.is_empty() {
        out.push(format!("source: {}", one_line(&case.source.join("; "))));
    }
    out
}

/// What was set for a case: `with net.core.bpf_jit_harden=0, set for the case`.
pub(crate) fn with_sysctls(result: &CaseResult) -> Option<String> {
    set_for_the_case(result.sysctls.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}

/// The same of names and values.
pub(crate) fn set_for_the_case<'a>(set: impl Iterator<Item = (&'a str, &'a str)>) -> Option<String> {
    let set: Vec<String> = set.map(|(name, value)| format!("{name}={}", one_line(value))).collect();
    (!set.is_empty()).then(|| format!("with {}, set for the case", set.join(", ")))
}

/// How many of a case's first and last steps are told where there are many more: loops have thousands.
const TOLD: (usize, usize) = (12, 24);

/// The steps as strace prints them; `>` marks the one that failed. Of many, the first and the last.
pub(crate) fn transcript(result: &CaseResult) -> Vec<String> {
    let failed = result.failed_step();
    let line = |(nth, step): (usize, &super::Step)| {
        let mark = if failed == Some(nth) { '>' } else { ' ' };
        format!("{mark} {}{}", "  ".repeat(step.depth as usize), one_line(&step.text()))
    };
    let steps = result.steps.iter().enumerate();
    let (first, last) = TOLD;
    let Some(left_out) = steps.len().checked_sub(first + last).filter(|count| *count > 1) else {
        return steps.map(line).collect();
    };
    let mut told: Vec<String> = steps.clone().take(first).map(line).collect();
    told.push(format!("  … and {} steps more …", left_out as u64 + result.left_out));
    told.extend(steps.skip(first + left_out).map(line));
    told
}

/// What is remarked of each of a run's targets, in a terminal: why they are emulated is said once, and not again where it is
/// the same reason.
pub(crate) fn said_once<'a>(remarks: impl IntoIterator<Item = Option<&'a str>>) -> Vec<Option<String>> {
    let mut said = Vec::new();
    let mut once = |remark: &str| {
        let (first, rest) = remark.split_at(remark.find("; ").unwrap_or(remark.len()));
        if first.starts_with(EMULATED) && said.contains(&first.to_owned()) {
            return format!("{}{rest}", EMULATED.trim_end_matches([':', ' ']));
        }
        said.push(first.to_owned());
        remark.to_owned()
    };
    remarks.into_iter().map(|remark| remark.map(&mut once)).collect()
}

/// `Linux 6.12.94+deb13-amd64 on x86_64, 2 CPUs (TCG)`, as far as it is known.
pub(crate) fn kernel(target: &super::Target) -> String {
    let Some(release) = &target.release else { return "never reached".into() };
    let mut text = format!("Linux {}", one_line(release));
    if let Some(arch) = &target.arch {
        text.push_str(&format!(" on {arch}"));
    }
    if let Some(cpus) = target.cpus {
        text.push_str(&format!(", {cpus} CPU{}", if cpus == 1 { "" } else { "s" }));
    }
    if let Some(remark) = &target.remark {
        text.push_str(&format!(" ({})", one_line(remark)));
    }
    text
}

/// What of a target's settings is out of the ordinary: `net.core.bpf_jit_harden=2, lockdown integrity`.
pub(crate) fn settings(target: &super::Target) -> Option<String> {
    target.settings.as_ref()?.unusual()
}

/// `914 passed, 2 failed`.
pub(crate) fn counts(target: &super::Target) -> String {
    let counted: Vec<String> = Status::ALL
        .iter()
        .filter_map(|status| Some(counted(*target.counts.get(status)?, status.word())))
        .collect();
    let again = (target.noted > 0).then(|| noted(target.noted));
    counted.into_iter().chain(again).collect::<Vec<_>>().join(", ")
}

/// So many cases of which something is to be noted: `2 with a note`.
pub(crate) fn noted(count: u64) -> String {
    format!("{count} with a note")
}

#[cfg(test)]
mod tests {
    use super::super::Step;
    use super::*;

    #[test]
    fn of_many_steps_the_first_and_the_last_are_told() {
        let mut result = CaseResult::bare("native", Status::Failed);
        let step = |n: u32| Step { step: n, name: format!("call{n}"), back: "0".into(), ..Step::default() };
        result.steps = (0..37).map(step).collect();
        assert_eq!(transcript(&result).len(), 37);
        result.steps = (0..500).map(step).collect();
        let told = transcript(&result);
        assert_eq!(told.len(), 37);
        assert_eq!(told[11..14], ["  call11() = 0", "  … and 464 steps more …", "  call476() = 0"]);
        assert_eq!(told[36], "  call499() = 0");
        result.left_out = 100_000;
        assert_eq!(transcript(&result)[12], "  … and 100464 steps more …");
    }
}
