//! A case that timed out in a guest whose QEMU had little of the time runs again, with more time, before it is told so: a guest's
//! clock goes on while the machine lets QEMU wait.

use std::collections::BTreeMap;

use kconform_plan::Plan;

use super::CaseResult;
use crate::targets::session::HeldUp;

/// How often a case runs again at most.
const MOST_RUNS: u32 = 2;
/// How many times its time it has then, at least and at most.
const MORE_TIME: (f64, f64) = (2.0, 4.0);

/// What stands for a probe, among cases.
pub(super) const PROBE: usize = usize::MAX;

/// The cases that run again, by their places in a round.
#[derive(Debug, Default)]
pub(super) struct HeldUpCases(BTreeMap<usize, Again>);

/// Why a case runs again.
#[derive(Debug)]
struct Again {
    runs: u32,
    /// The part of the time that QEMU had.
    share: f64,
}

impl HeldUpCases {
    /// Whether a case, or [`PROBE`], is to run again.
    pub(super) fn again(&mut self, case: usize, timed_out: bool, held_up: Option<HeldUp>) -> bool {
        let Some(HeldUp { share }) = held_up.filter(|_| timed_out) else { return false };
        let again = self.0.entry(case).or_insert(Again { runs: 0, share });
        let is_to = again.runs < MOST_RUNS;
        *again = Again { runs: again.runs + u32::from(is_to), share };
        is_to
    }

    /// Gives a case that runs again the more time the less QEMU had.
    pub(super) fn give_time(&self, case: usize, plan: &mut Plan) {
        if let Some(again) = self.0.get(&case) {
            let more = again.share.max(f64::EPSILON).recip().clamp(MORE_TIME.0, MORE_TIME.1);
            plan.timeout_ms = (plan.timeout_ms as f64 * more) as u64;
        }
    }

    /// A probe has come to its end.
    pub(super) fn probed(&mut self) {
        self.0.remove(&PROBE);
    }

    /// What a case comes to that may have run again: that is said.
    pub(super) fn told(&mut self, case: usize, result: CaseResult) -> CaseResult {
        let Some(Again { runs, share }) = self.0.remove(&case) else { return result };
        let times = if runs == 1 { String::new() } else { format!(", {runs} times") };
        let percent = (share * 100.0).round();
        let told = format!(
            "it ran again{times}, with more time: it had timed out while QEMU had {percent} % of the time"
        );
        result.remarked(told)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Fault;
    use super::super::tests::case;
    use super::*;
    use crate::judge::Verdict;

    fn timed_out() -> Verdict {
        Fault::Silent { what: "it is mute".into(), console: Vec::new() }.verdict(&case())
    }

    fn time(cases: &HeldUpCases, case: usize) -> u64 {
        let mut plan = Plan { slots: 0, timeout_ms: 1000, sysctls: Vec::new(), steps: Vec::new() };
        cases.give_time(case, &mut plan);
        plan.timeout_ms
    }

    #[test]
    fn a_case_runs_again_so_often_and_no_more() {
        let mut cases = HeldUpCases::default();
        let share = |share| Some(HeldUp { share });
        assert!(!cases.again(0, true, None) && !cases.again(0, false, share(0.1)));
        assert_eq!(time(&cases, 0), 1000);
        let bare = cases.told(0, CaseResult::bare(Verdict::Passed));
        assert_eq!(bare.remark, None);

        assert!(cases.again(7, true, share(0.4)));
        assert_eq!((time(&cases, 7), time(&cases, 0)), (2500, 1000));
        let once = cases.told(7, CaseResult::bare(Verdict::Passed)).remark;

        assert!(cases.again(7, true, share(0.49)));
        assert_eq!(time(&cases, 7), 2040);
        assert!(cases.again(7, true, share(0.0)));
        assert_eq!(time(&cases, 7), 4000);
        assert!(!cases.again(7, true, share(0.125)));
        let result = CaseResult { remark: Some("and this".into()), ..CaseResult::bare(timed_out()) };
        let twice = cases.told(7, result).remark;
        insta::assert_snapshot!([once, twice].map(Option::unwrap_or_default).join("\n"), @r"
        it ran again, with more time: it had timed out while QEMU had 40 % of the time
        it ran again, 2 times, with more time: it had timed out while QEMU had 13 % of the time; and this
        ");
        assert_eq!(time(&cases, 7), 1000);
    }
}
