//! What went wrong with a case's agent or kernel, and which verdict that is.

use kconform_plan::WireError;

use crate::case::Case;
use crate::judge::{Failure, FailureKind, Verdict};
use crate::targets::session::POWERED_OFF;
use crate::targets::{Broken, LastWords};

/// How many lines of the console go with an agent that was lost without a fault of its kernel.
const LAST_LINES: usize = 8;

/// Why a case has no observation, or none that can be trusted.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// The kernel came to harm.
    Kernel { what: String, console: Vec<String> },
    /// Nothing was heard any more.
    Silent { what: String, console: Vec<String> },
    /// The agent went away.
    Gone(String),
    /// What holds the agent died by itself, or was stopped.
    Outside(String),
}

impl Fault {
    pub(super) fn new(broken: &Broken, words: LastWords) -> Fault {
        let what = words.after(broken);
        let LastWords { kernel_fault, held_up, outside, console, .. } = words;
        let last = || {
            let last = console[console.len().saturating_sub(LAST_LINES)..].iter();
            last.fold(what.clone(), |what, line| format!("{what}\n    {line}"))
        };
        // An agent that says what is not understood ends, and its guest with it.
        let garbled = matches!(broken, Broken::Stream(WireError::Length(_) | WireError::Encoding(_)));
        let kernel_fault = kernel_fault.filter(|fault| !(garbled && fault == POWERED_OFF));
        match (kernel_fault, broken) {
            _ if outside || held_up => Fault::Outside(last()),
            (Some(fault), _) => Fault::Kernel { what: fault, console },
            (None, Broken::Silent(_)) => Fault::Silent { what, console },
            (None, _) => Fault::Gone(last()),
        }
    }

    pub(super) fn what(&self) -> &str {
        match self {
            Fault::Kernel { what, .. } | Fault::Silent { what, .. } => what,
            Fault::Gone(what) | Fault::Outside(what) => what,
        }
    }

    /// What the kernel said then.
    pub(super) fn console(&self) -> &[String] {
        match self {
            Fault::Kernel { console, .. } | Fault::Silent { console, .. } => console,
            Fault::Gone(_) | Fault::Outside(_) => &[],
        }
    }

    /// What became of the kernel, in a few words.
    pub(super) fn told(&self) -> String {
        match self {
            Fault::Kernel { what, .. } => format!("the kernel suffered {what}"),
            other => other.what().to_owned(),
        }
    }

    /// What is said of a case that got its verdict only when it ran again.
    pub(super) fn remark(&self) -> String {
        let told = format!("it ran again on a fresh kernel, after the first went down: {}", self.told());
        self.console().iter().fold(told, |told, line| format!("{told}\n    {line}"))
    }

    /// The verdict on a case that came to one when it ran again, and what else is to be said of it. A case that passes after
    /// its kernel went down is no pass, unless the kernel had no part in it.
    pub(super) fn then(self, verdict: Verdict) -> (Verdict, Option<String>) {
        match (&self, &verdict) {
            (Fault::Outside(_), _) => (verdict, Some(self.remark())),
            (_, Verdict::Passed | Verdict::ExpectedFailure { .. }) => (self.flaky(), None),
            _ => (verdict, Some(self.remark())),
        }
    }

    /// The verdict on the cases that need a probe which brought down its kernel, but only the first time.
    pub(super) fn of_probe(self, probe: &str) -> Verdict {
        let what = format!("the probe {probe} did, the first time: {}", self.told());
        Verdict::Flaky { what, console: self.console().to_vec() }
    }

    fn flaky(self) -> Verdict {
        Verdict::Flaky { what: self.told(), console: self.console().to_vec() }
    }

    pub(super) fn verdict(self, case: &Case) -> Verdict {
        match self {
            Fault::Kernel { what, console } => Verdict::Crashed { what, console },
            Fault::Gone(what) | Fault::Outside(what) => Verdict::Lost(what),
            Fault::Silent { what, console } => Verdict::TimedOut(Box::new(Failure {
                kind: FailureKind::TimedOut,
                place: case.place.clone(),
                step: None,
                iteration: Vec::new(),
                text: format!("nothing was heard of the kernel any more: {what}"),
                expected: "the case to end".into(),
                got: console.join("\n"),
                ret: None,
                also: Vec::new(),
            })),
        }
    }
}
