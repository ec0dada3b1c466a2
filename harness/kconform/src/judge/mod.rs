//! From an observation to a verdict: a pure comparison of what was seen with what the case says.

mod failure;
#[cfg(test)]
mod tests;
mod walk;

pub use failure::{Failure, FailureKind, describe_errno, describe_wanted};

use kconform_plan::{End, Observation};

use crate::case::{Case, Probe, Step};
use crate::health::{excerpt, worst};
use crate::kernel::Kernel;
use crate::lower::Lowered;
use walk::{Walk, Walked};

/// What is to be said of a case on a target.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Everything was as the case says.
    Passed,
    /// Something was not.
    Failed(Box<Failure>),
    /// The kernel or the user lacks what the case requires.
    Skipped(String),
    /// It failed where a known issue says so.
    ExpectedFailure {
        /// The known issue.
        because: String,
        /// What was not as it should be.
        failure: Box<Failure>,
    },
    /// It passed where a known issue says that it fails.
    UnexpectedPass {
        /// The known issue.
        because: String,
    },
    /// Its time was over.
    TimedOut(Box<Failure>),
    /// The kernel oopsed, panicked or became tainted.
    Crashed {
        /// What the kernel suffered, in a few words.
        what: String,
        /// What it said on its log or console.
        console: Vec<String>,
    },
    /// It passed, but only when it ran again: its kernel went down, or fell silent, the first time.
    Flaky {
        /// What became of the kernel the first time.
        what: String,
        /// What the kernel said then on its log or console.
        console: Vec<String>,
    },
    /// The harness could not do its work: nothing is known of the case.
    Lost(String),
}

impl Verdict {
    /// Whether this is as it should be.
    pub fn is_fine(&self) -> bool {
        matches!(self, Verdict::Passed | Verdict::Skipped(_) | Verdict::ExpectedFailure { .. })
    }

    /// One word for tables and counts.
    pub fn word(&self) -> &'static str {
        match self {
            Verdict::Passed => "passed",
            Verdict::Failed(_) => "failed",
            Verdict::Skipped(_) => "skipped",
            Verdict::ExpectedFailure { .. } => "expected failure",
            Verdict::UnexpectedPass { .. } => "unexpected pass",
            Verdict::TimedOut(_) => "timed out",
            Verdict::Crashed { .. } => "crashed",
            Verdict::Flaky { .. } => "flaky",
            Verdict::Lost(_) => "lost",
        }
    }
}

/// Judges a case.
pub fn judge(case: &Case, lowered: &Lowered, seen: &Observation, kernel: &Kernel) -> Verdict {
    let kernel = &*kernel.with(&lowered.plan.sysctls);
    let plain = judge_steps(&case.steps, lowered, seen, kernel);
    let known = case.known_issues.iter().find(|issue| kernel.meets(&issue.when).is_ok());
    match (plain, known) {
        (Verdict::Failed(failure) | Verdict::TimedOut(failure), Some(issue)) => {
            Verdict::ExpectedFailure { because: issue.because.clone(), failure }
        }
        (Verdict::Passed, Some(issue)) => Verdict::UnexpectedPass { because: issue.because.clone() },
        (verdict, _) => verdict,
    }
}

/// What a probe found.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// The feature is there.
    Present,
    /// It is not, and need not be: why, in words.
    Absent(String),
    /// It is not although it must be, or the probe went wrong in another way.
    Wrong(Box<Failure>),
    /// The probe could not be run.
    Unknown(Verdict),
}

/// Judges a probe: the last step's `absent` errno means absence, which is a fault from `since` on.
pub fn judge_probe(probe: &Probe, lowered: &Lowered, seen: &Observation, kernel: &Kernel) -> Found {
    match judge_steps(&probe.steps, lowered, seen, kernel) {
        Verdict::Passed => Found::Present,
        Verdict::Failed(mut failure) => {
            let last = probe.steps.last().map(|step| step.index);
            let absent = failure.ret == Some(-i64::from(probe.absent.value.number)) && failure.step == last;
            let due =
                probe.since.as_ref().filter(|since| kernel.version.as_slice() >= since.value.as_slice());
            match (absent, due) {
                (true, None) => {
                    let absent = probe.absent.value;
                    let known = absent.name.or_else(|| kconform_abi::errno::name(absent.number));
                    let name = known.unwrap_or("an errno");
                    Found::Absent(format!("the probe {} says {name}: not there", probe.name))
                }
                (true, Some(since)) => {
                    let since: Vec<_> = since.value.iter().map(u32::to_string).collect();
                    failure.text = format!(
                        "the probe {} finds it absent, which is a fault from Linux {} on",
                        probe.name,
                        since.join(".")
                    );
                    Found::Wrong(failure)
                }
                (false, _) => {
                    failure.text = format!("the probe {}: {}", probe.name, failure.text);
                    Found::Wrong(failure)
                }
            }
        }
        other => Found::Unknown(other),
    }
}

fn judge_steps(steps: &[Step], lowered: &Lowered, seen: &Observation, kernel: &Kernel) -> Verdict {
    if let Some((what, console)) = kernel_fault(seen, kernel.host) {
        return Verdict::Crashed { what, console };
    }
    if let End::NotStarted(errno) = seen.end {
        return Verdict::Lost(format!("the case's process could not be started: {}", describe_errno(errno)));
    }
    if let End::NotSet { nth, errno } = seen.end {
        return Verdict::Skipped(not_set(lowered, nth, errno));
    }
    if seen.dropped > 0 && seen.end != End::TimedOut {
        return Verdict::Lost(format!(
            "what happened found no room ({} records are missing): fewer repetitions, or smaller buffers, would do",
            seen.dropped
        ));
    }
    match Walk::new(steps, lowered, seen).case() {
        Walked::Held | Walked::Over => Verdict::Passed,
        Walked::Failed(failure) if failure.kind == FailureKind::TimedOut => Verdict::TimedOut(failure),
        Walked::Failed(failure) => Verdict::Failed(failure),
        // A guest is set up as cases need it. A board is somebody's, who need not be root there.
        Walked::Refused(_, failure) if kernel.guest || kernel.host => Verdict::Failed(failure),
        Walked::Refused(what, _) => {
            let hint = if kernel.uid == 0 { "" } else { " (log in as root)" };
            Verdict::Skipped(format!("a sysctl cannot be set there{hint}: {what}"))
        }
        Walked::Trouble(text) => Verdict::Lost(text),
    }
}

/// Why a case did not run whose sysctl cannot be set.
fn not_set(lowered: &Lowered, nth: u32, errno: i32) -> String {
    let Some(set) = lowered.plan.sysctls.get(nth as usize) else { return "needs a sysctl".into() };
    let why = match errno {
        0 => "and the kernel makes another value of it".to_owned(),
        errno => format!("and it cannot be set: {}", describe_errno(errno)),
    };
    format!("needs {}={}, {why}", set.name, set.value)
}

/// Taint bits that a case must not set: D (died), W (warned), L (soft lockup), B (bad page), M (machine check);
/// Documentation/admin-guide/tainted-kernels.rst.
const FAULT_TAINTS: &[(u32, &str)] = &[
    (4, "a machine check"),
    (5, "a bad page"),
    (7, "an oops"),
    (9, "a kernel warning"),
    (14, "a soft lockup"),
];

/// The letters of all taint bits, from bit 0 on; as above.
const TAINT_LETTERS: &str = "PFSRMBUDAWCIOELKXTNJ";

/// Whether the kernel itself came to harm: a taint says so, or its log. Nobody but a case taints a guest; on the host's
/// own kernel somebody may be loading a module.
fn kernel_fault(seen: &Observation, host: bool) -> Option<(String, Vec<String>)> {
    let (before, after) = seen.taint.unwrap_or((0, 0));
    let new = after & !before;
    let taint = FAULT_TAINTS.iter().find(|(bit, _)| new >> bit & 1 == 1).map(|(_, what)| (*what).to_owned());
    let said = worst(seen.kernel_log.iter().map(String::as_str)).map(|fault| fault.what.to_owned());
    let what = taint.or(said).or_else(|| {
        let letters = TAINT_LETTERS.chars().enumerate().filter(|(bit, _)| new >> bit & 1 == 1);
        (new != 0 && !host).then(|| format!("a taint ({})", letters.map(|(_, c)| c).collect::<String>()))
    })?;
    Some((what, excerpt(&seen.kernel_log)))
}
