//! A case that fails after others reached beyond their own processes runs again, alone and on a fresh agent, before it is
//! blamed: one of them may have spoilt something that the agent does not look at.

use super::CaseResult;
use crate::judge::{Failure, Verdict};

/// The cases that reached beyond their own processes since the agent was started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Neighbours {
    last: Option<String>,
    others: usize,
}

impl Neighbours {
    /// Another one, by its id.
    pub(super) fn add(&mut self, id: &str) {
        self.others += usize::from(self.last.is_some());
        self.last = Some(id.to_owned());
    }

    /// Those after which this verdict may not be the case's own fault.
    pub(super) fn suspects(&self, verdict: &Verdict) -> Option<Suspects> {
        let (Verdict::Failed(failure) | Verdict::TimedOut(failure)) = verdict else { return None };
        let others = match self.others {
            0 => String::new(),
            1 => " and another case".to_owned(),
            others => format!(" and {others} other cases"),
        };
        let told =
            format!("it failed after {}{others}, and passed alone on a fresh agent", self.last.as_ref()?);
        Some(Suspects { told, failed: failure.text.clone() })
    }
}

/// Why a case runs again.
pub(super) struct Suspects {
    /// What is said when it passes.
    told: String,
    /// How it failed.
    failed: String,
}

impl Suspects {
    /// The cases of other workers, which ran at the same time.
    pub(super) fn beside(failed: &Failure) -> Suspects {
        let told = "it failed while other cases ran beside it, and passed alone".into();
        Suspects { told, failed: failed.text.clone() }
    }

    /// The result of a case that ran again.
    pub(super) fn then(self, result: CaseResult) -> CaseResult {
        if !matches!(result.verdict, Verdict::Passed) {
            return result;
        }
        let Suspects { told, failed } = self;
        result.remarked(format!("{told}; it had failed with: {failed}"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Fault;
    use super::super::tests::case;
    use super::*;

    fn failed() -> Verdict {
        Fault::Silent { what: "it is mute".into(), console: Vec::new() }.verdict(&case())
    }

    #[test]
    fn what_is_said_of_a_case_that_passes_alone() {
        let mut neighbours = Neighbours::default();
        assert!(neighbours.suspects(&failed()).is_none());
        let mut told = Vec::new();
        for id in ["s::a", "s::b", "s::c"] {
            neighbours.add(id);
            assert!(neighbours.suspects(&Verdict::Passed).is_none());
            let suspects = neighbours.suspects(&failed()).expect("there are some");
            told.extend(suspects.then(CaseResult::bare(Verdict::Passed)).remark);
        }
        insta::assert_snapshot!(told.join("\n"), @r"
        it failed after s::a, and passed alone on a fresh agent; it had failed with: nothing was heard of the kernel any more: it is mute
        it failed after s::b and another case, and passed alone on a fresh agent; it had failed with: nothing was heard of the kernel any more: it is mute
        it failed after s::c and 2 other cases, and passed alone on a fresh agent; it had failed with: nothing was heard of the kernel any more: it is mute
        ");
        let suspects = neighbours.suspects(&failed()).expect("there are some");
        let again = suspects.then(CaseResult::bare(failed()));
        assert!(matches!(again.verdict, Verdict::TimedOut(_)) && again.remark.is_none());
    }
}
